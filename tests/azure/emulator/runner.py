"""Runs the command of a job as a local process, as a node of the cluster would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azure.storage.blob import BlobServiceClient

from tests.azure.emulator.assets import Assets
from tests.azure.emulator.blob_folders import BlobFolders
from tests.azure.emulator.jobs import Job
from tests.azure.emulator.wire import Json, ServiceError
from tests.azure.emulator.workspace import Workspace

LOG_EVERY_S = 0.3
# After this grace period a process is killed.
GRACE_S = 2.0
BINDING = re.compile(r"\$\{\{\s*(inputs|outputs)\.(\w+)\s*\}\}")
OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class Work:
    """The task of a node.

    Attributes
    ----------
    command : str
        Text with bindings ``${{inputs.x}}`` and ``${{outputs.y}}``.
    code : str
        Address of the code folder; empty for none.
    folders : dict of str
        Address of each input that is a folder or a file.
    literals : dict of str
        Value of each other input.
    outputs : dict of str
        Address of each output.
    variables : dict of str
        The job's own environment variables.
    """

    command: str
    code: str
    folders: Mapping[str, str]
    literals: Mapping[str, str]
    outputs: Mapping[str, str]
    variables: Mapping[str, str]


class Runner:
    """Runs one command at a time; queues it while ``gate`` is closed."""

    def __init__(self, workspace: Workspace, assets: Assets, folders: BlobFolders, blobs: BlobServiceClient) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self._workspace = workspace
        self._assets = assets
        self._folders = folders
        self._blobs = blobs

    def work_of(self, job: Job) -> Work:
        """Read the body of a command job."""
        asked = job.submitted
        inputs = asked.get("inputs") or {}
        outputs = asked.get("outputs") or {}
        return Work(
            command=asked["command"],
            code=self.code_address(asked.get("codeId")),
            folders={name: each["uri"] for name, each in inputs.items() if each.get("uri")},
            literals={name: str(each["value"]) for name, each in inputs.items() if each.get("value") is not None},
            outputs={name: each.get("uri") or default_place(job, name) for name, each in outputs.items()},
            variables=asked.get("environmentVariables") or {},
        )

    def code_address(self, identifier: str | None) -> str:
        return str(self._assets.find(identifier)["properties"]["codeUri"]) if identifier else ""

    def run(self, job: Job, work: Work) -> None:
        """Run ``work`` for ``job`` and leave the job in its final status."""
        job.outputs = dict(work.outputs)
        if not job.is_cancelled:
            job.status = "Queued"
        while not self.gate.wait(0.05) and not job.is_cancelled:
            pass
        if job.is_cancelled:
            job.end("Canceled")
            return
        job.start()
        try:
            with tempfile.TemporaryDirectory(prefix="pdm-node-", ignore_cleanup_errors=True) as home:
                self._run_in(Path(home), job, work)
        except ServiceError as error:
            job.end("Failed", _user_error(f"{error.code}: {error.message}"))

    def _run_in(self, home: Path, job: Job, work: Work) -> None:
        if work.code:
            self._folders.download(work.code, home / "code")
        inputs = {name: str(self._folders.download(uri, home / "inputs" / name)) for name, uri in work.folders.items()}
        outputs = {name: home / "outputs" / name for name in work.outputs}
        for folder in (home / "code", *outputs.values()):
            folder.mkdir(parents=True, exist_ok=True)
        job.command = fill_in(work.command, inputs | work.literals, {key: str(path) for key, path in outputs.items()})
        job.exit_code = self._execute(home, job, work.variables)
        if not job.is_cancelled:
            job.status = "Finalizing"
        # The outputs of a failed job are kept, too.
        for name, uri in work.outputs.items():
            self._folders.upload(outputs[name], uri)
        if job.is_cancelled:
            job.end("Canceled")
        elif job.exit_code:
            job.end("Failed", _exit_error(job))
        else:
            job.end("Completed")

    def _execute(self, home: Path, job: Job, variables: Mapping[str, str]) -> int:
        log = _Log(self._blobs, job, home / "std_log.txt")
        with log.path.open("wb") as sink:
            process = subprocess.Popen(
                ["bash", "-c", job.command],
                cwd=home / "code",
                env=self._environment(home, job) | dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        job.runs += 1
        while process.poll() is None:
            if job.is_cancelled:
                _stop(process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
            log.append()
        log.append(last=True)
        return process.returncode

    def _environment(self, home: Path, job: Job) -> dict[str, str]:
        """Return the environment of a node: only the interpreter and the search path are local."""
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "AZUREML_RUN_ID": job.name,
            "AZUREML_ARM_SUBSCRIPTION": self._workspace.subscription_id,
            "AZUREML_ARM_RESOURCEGROUP": self._workspace.resource_group,
            "AZUREML_ARM_WORKSPACE_NAME": self._workspace.name,
        }


class _Log:
    """Copies the output of a process to its log blob in pieces, as the service does."""

    def __init__(self, blobs: BlobServiceClient, job: Job, path: Path) -> None:
        self.path = path
        self._job = job
        self._sent = 0
        self._due = 0.0
        self._blob = blobs.get_blob_client("azureml", f"ExperimentRun/dcid.{job.name}/user_logs/std_log.txt")
        self._blob.create_append_blob()

    def append(self, *, last: bool = False) -> None:
        if not last and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LOG_EVERY_S
        with self.path.open("rb") as file:
            file.seek(self._sent)
            data = file.read()
        if data:
            self._blob.append_block(data)
            self._sent += len(data)
            self._job.log += data.decode(errors="replace")


def default_place(job: Job, output: str) -> str:
    """Return the service's default address of an output."""
    return f"azureml://datastores/workspaceblobstore/paths/azureml/{job.name}/{output}/"


def fill_in(command: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """Return ``command`` with its bindings replaced; a part in ``$[[ ]]`` is dropped if an input in it is missing."""
    known = {"inputs": inputs, "outputs": outputs}

    def keep(part: re.Match[str]) -> str:
        given = all(name in known[kind] for kind, name in BINDING.findall(part[1]))
        return part[1] if given else ""

    def value(binding: re.Match[str]) -> str:
        kind, name = binding.groups()
        if name not in known[kind]:
            raise ServiceError(400, "UserError", f"The command names {kind}.{name}, which was not given.")
        return known[kind][name]

    return BINDING.sub(value, OPTIONAL.sub(keep, command))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        os.killpg(process.pid, signal.SIGKILL)


def _exit_error(job: Job) -> Json:
    tail = "\n".join(job.log.strip().splitlines()[-5:])
    return _user_error(
        f"Execution failed. User process 'bash' exited with status code {job.exit_code}. "
        f"Please check log file 'user_logs/std_log.txt' for error details. Error: {tail}"
    )


def _user_error(message: str) -> Json:
    return {"code": "UserError", "message": message, "details": []}
