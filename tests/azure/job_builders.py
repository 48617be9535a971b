"""Jobs for tests: created directly in the emulator, or sent by the unmodified client."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

from tests.azure.emulator import Emulator
from tests.azure.emulator.jobs import Job

STORE = "workspaceblobstore"
SENDER = """
import json, sys
from azure.ai.ml import Input, MLClient, Output, command, dsl
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential

asked = json.loads(sys.argv[1])
client = MLClient(DefaultAzureCredential(), *asked["workspace"], enable_telemetry=False)

def node(name, line, place):
    output = Output(type="uri_folder", path=place)
    return command(
        name=name, display_name=name, command=line, environment=Environment(image="python"), outputs={"out": output},
        inputs={"made": Input(type="uri_folder", path=asked["made"])},
    )

if asked["steps"] is None:
    job = node(asked["name"], asked["command"], asked["place"] + "out/")
    job.compute = asked["compute"]
else:
    @dsl.pipeline(default_compute=asked["compute"])
    def chain():
        outputs = {}
        for name, (folder, line) in asked["steps"].items():
            step = node(name, line, None)()
            step.name = name
            outputs[folder] = step.outputs.out
        return outputs
    job = chain()
    for folder, output in job.outputs.items():
        output.path = asked["place"] + folder + "/"
    job.name = asked["name"]
print(client.jobs.create_or_update(job).name)
"""


def new_name() -> str:
    return f"pdm-train-{uuid.uuid4().hex[:8]}"


def container_of(emulator: Emulator, store: str = STORE) -> ContainerClient:
    return emulator.blobs.get_container_client(emulator.workspace.containers[store])


def place_of(job: str, output: str) -> str:
    return f"pdm/{job}/{output}/"


def put_job(
    emulator: Emulator,
    outputs: Mapping[str, Mapping[str, bytes]],
    *,
    status: str = "Completed",
    log: bytes | None = b"train: done\n",
) -> str:
    """Create a finished job with outputs and a log in the emulator, and return its name."""
    name = new_name()
    declared = {
        output: {"jobOutputType": "uri_folder", "uri": f"azureml://datastores/{STORE}/paths/{place_of(name, output)}"}
        for output in outputs
    }
    body = {"jobType": "Command", "command": "true", "environmentId": "azureml:python:1", "outputs": declared}
    job = Job(name, {**body, "experimentName": "pdm", "displayName": name, "inputs": {}, "properties": {}})
    job.outputs = {output: facts["uri"] for output, facts in declared.items()}
    job.start()
    job.end(status)
    emulator.jobs[name] = job
    for output, files in outputs.items():
        for file, content in files.items():
            container_of(emulator).upload_blob(place_of(name, output) + file, content, overwrite=True)
    if log is not None:
        logs = container_of(emulator, "workspaceartifactstore")
        logs.upload_blob(f"ExperimentRun/dcid.{name}/user_logs/std_log.txt", log)
    return name


def put_blob_by_any_name(emulator: Emulator, name: str, content: bytes) -> None:
    """Write a blob with a name that the client would change: its slashes are percent-encoded."""
    container = container_of(emulator)
    expiry = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    key = emulator.blobs.credential.account_key
    permission = ContainerSasPermissions(read=True, write=True, create=True)
    sas = generate_container_sas(
        emulator.workspace.account, container.container_name, key, permission=permission, expiry=expiry
    )
    url = urlsplit(container.url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port or 80)
    with closing(connection):
        path = f"{url.path}/{quote(name, safe='')}?{sas}"
        connection.request("PUT", path, content, {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"})
        assert connection.getresponse().status == 201


def send_command(emulator: Emulator, environment: Mapping[str, str], made: Path, line: str) -> str:
    """Send a command job with one input ``made`` and one output ``out``."""
    return _send(emulator, environment, made, {"command": line, "steps": None})


def send_pipeline(
    emulator: Emulator, environment: Mapping[str, str], made: Path, steps: Mapping[str, tuple[str, str]]
) -> str:
    """Send a pipeline of steps that read ``made``; each has the name of its output and its command line."""
    return _send(emulator, environment, made, {"steps": steps})


def _send(emulator: Emulator, environment: Mapping[str, str], made: Path, asked: dict[str, object]) -> str:
    name, workspace = new_name(), emulator.workspace
    asked |= {
        "name": name,
        "made": str(made),
        "place": f"azureml://datastores/{STORE}/paths/pdm/{name}/",
        "compute": environment["PDM_CLI_COMPUTE"],
        "workspace": [workspace.subscription_id, workspace.resource_group, workspace.name],
    }
    words = [sys.executable, "-W", "ignore", "-c", SENDER, json.dumps(asked)]
    done = subprocess.run(words, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
