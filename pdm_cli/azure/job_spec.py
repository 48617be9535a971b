"""A job of pdm as data, and as the document that ``az ml job create -f`` takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
# Compute managed by Azure ML, without a cluster.
SERVERLESS = "serverless"
OUTPUT = "out"
CONTENT_TAG = "pdm_content"
COMMAND_TAG = "pdm_command"
VERSION_TAG = "pdm_version"
# Has no effect on the step itself; without the prefix of pdm's settings.
_PLACE_VARIABLE = "PDM_PLACE"


@dataclass(frozen=True)
class Step:
    """One command of pdm, as a job or as a step of a pipeline."""

    command: str
    # Its options other than ports, quoted for the shell.
    words: tuple[str, ...]
    # Input port to the folder of the step that produces it; None: an input of the job.
    ports: dict[str, str | None]
    # Name of its output in a pipeline.
    folder: str

    @property
    def name(self) -> str:
        """Name of the step in a pipeline."""
        return self.command.replace("-", "_")

    @property
    def command_line(self) -> str:
        """Shell command with placeholders of Azure ML for its ports."""
        # A killed run may have left files at the output's path.
        ports = [f'--{port} "${{{{inputs.{port}}}}}"' for port in self.ports]
        ports += [f'--out "${{{{outputs.{OUTPUT}}}}}"', "--overwrite"]
        return " ".join(["python -m pdm_cli", self.command, *ports, *self.words])


@dataclass(frozen=True)
class Job:
    """A job to submit: a single command, or a pipeline of steps."""

    name: str
    command: str
    steps: tuple[Step, ...]
    # Input port to a fingerprint of its content: a hash of local files, or an address with a hash of its listing.
    inputs: dict[str, str]
    # Fingerprint of the code.
    code: str
    # Name and version of the environment.
    environment: str
    # Name of a cluster, or serverless with this VM size.
    compute: str
    vm_size: str
    datastore: str
    experiment: str
    display_name: str
    tags: dict[str, str]
    # Run all steps of a pipeline, unchanged ones too.
    force_rerun: bool
    version: str
    # Keep the outputs of a pipeline apart from those of pipelines with the same content.
    has_own_outputs: bool = False

    @property
    def is_pipeline(self) -> bool:
        """Whether there are several steps."""
        return len(self.steps) > 1

    @property
    def shares_outputs(self) -> bool:
        """Whether its outputs are at the paths that pipelines with the same content use, so that they are reused."""
        return self.is_pipeline and not (self.force_rerun or self.has_own_outputs)

    def content(self) -> str:
        """Return the SHA-256 of everything that determines the result: not the name, nor the compute."""
        return self.keys()[self.steps[-1].folder]

    def all_tags(self) -> dict[str, str]:
        """Return the user's tags and pdm's."""
        return {**self.tags, COMMAND_TAG: self.command, VERSION_TAG: self.version, CONTENT_TAG: self.content()}

    def outputs(self) -> dict[str, str]:
        """Return the address of each output.

        Those of a pipeline are named by their content: a reused step has left its output at that very path.
        """
        root = f"azureml://datastores/{self.datastore}/paths/pdm"
        if self.shares_outputs:
            return {folder: f"{root}/steps/{key}/{folder}/" for folder, key in self.keys().items()}
        folders = [step.folder for step in self.steps] if self.is_pipeline else [OUTPUT]
        return {folder: f"{root}/{self.name}/{folder}/" for folder in folders}

    def keys(self) -> dict[str, str]:
        """Return for each output the SHA-256 of its step's command, code, environment and inputs."""
        keys: dict[str, str] = {}
        for step in self.steps:
            sources = {port: keys[folder] if folder else self.inputs[port] for port, folder in step.ports.items()}
            text = json.dumps([step.command_line, sources, self.code, self.environment], sort_keys=True)
            keys[step.folder] = hashlib.sha256(text.encode()).hexdigest()
        return keys


def make_document(
    job: Job, *, paths: Mapping[str, str], code: str, environment: str | Mapping[str, Any]
) -> dict[str, Any]:
    """Return the job in the form of Azure ML's YAML files.

    Parameters
    ----------
    job : Job
        The job.
    paths : mapping
        Input port to a local folder or an address of Azure ML.
    code : str
        Folder with the code.
    environment : str or mapping
        Address of an environment, or its definition.
    """
    common = {
        "name": job.name,
        "display_name": job.display_name,
        "experiment_name": job.experiment,
        "tags": job.all_tags(),
        "inputs": {port: {"type": "uri_folder", "path": path} for port, path in paths.items()},
        "outputs": {name: {"type": "uri_folder", "path": path} for name, path in job.outputs().items()},
    }
    if job.is_pipeline:
        settings = {"default_compute": _compute_address(job), "force_rerun": job.force_rerun}
        steps = {step.name: _describe_step(job, step, code, environment) for step in job.steps}
        header = {"$schema": f"{_SCHEMAS}/pipelineJob.schema.json", "type": "pipeline"}
        return {**header, **common, "settings": settings, "jobs": steps}
    (step,) = job.steps
    compute = {} if job.compute == SERVERLESS else {"compute": _compute_address(job)}
    header = {"$schema": f"{_SCHEMAS}/commandJob.schema.json", "type": "command"}
    run = {"command": step.command_line, "code": code, "environment": environment}
    return {**header, **common, **compute, **_resources(job), **run}


def _describe_step(job: Job, step: Step, code: str, environment: str | Mapping[str, Any]) -> dict[str, Any]:
    sources = {other.folder: other.name for other in job.steps}
    inputs = {
        port: f"${{{{parent.jobs.{sources[folder]}.outputs.{OUTPUT}}}}}" if folder else f"${{{{parent.inputs.{port}}}}}"
        for port, folder in step.ports.items()
    }
    return {
        "type": "command",
        "command": step.command_line,
        "code": code,
        "environment": environment,
        "inputs": inputs,
        "outputs": {OUTPUT: f"${{{{parent.outputs.{step.folder}}}}}"},
        # The service reuses a step if its definition is unchanged. It does not check the data at an address, so the
        # definition must change with the data.
        "environment_variables": {_PLACE_VARIABLE: job.outputs()[step.folder]},
        **_resources(job),
    }


def _resources(job: Job) -> dict[str, Any]:
    return {"resources": {"instance_type": job.vm_size}} if job.compute == SERVERLESS else {}


def _compute_address(job: Job) -> str:
    return f"azureml:{job.compute}"
