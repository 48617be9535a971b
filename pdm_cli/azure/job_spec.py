"""A job of pdm as data, and as the document that ``az ml job create -f`` takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"
# What the older tools of Azure ML write for "machines of the service, no cluster".
SERVERLESS = "serverless"
OUTPUT = "out"
CONTENT_TAG = "pdm_content"
COMMAND_TAG = "pdm_command"
VERSION_TAG = "pdm_version"
# Tells a step nothing; without a prefix of pdm's settings.
_PLACE_VARIABLE = "PDM_PLACE"


@dataclass(frozen=True)
class Step:
    """One command of pdm as a job or as a part of a pipeline.

    Attributes
    ----------
    command : str
        Sub-command, such as ``detect-anomalies``.
    words : tuple of str
        Its options but for the ports, each as the shell is to read it.
    ports : dict of str to str or None
        Input port to the folder of the earlier step that feeds it; ``None``: an input of the job.
    folder : str
        Name of its output in a pipeline.
    """

    command: str
    words: tuple[str, ...]
    ports: dict[str, str | None]
    folder: str

    @property
    def name(self) -> str:
        """Name of the step in a pipeline."""
        return self.command.replace("-", "_")

    @property
    def command_line(self) -> str:
        """Return the shell command, with places of Azure ML in its ports."""
        # What a killed run left in the place of the output is not in the way.
        ports = [f'--{port} "${{{{inputs.{port}}}}}"' for port in self.ports]
        ports += [f'--out "${{{{outputs.{OUTPUT}}}}}"', "--overwrite"]
        return " ".join(["python -m pdm_cli", self.command, *ports, *self.words])


@dataclass(frozen=True)
class Job:
    """What is submitted.

    Attributes
    ----------
    name : str
        Name of the job; unique in the workspace.
    command : str
        The command after ``pdm submit``.
    steps : tuple of Step
        One, or those of a pipeline.
    inputs : dict of str to str
        Port to a fingerprint of what is behind it: a hash of local files, or an address with one of its files.
    code : str
        Fingerprint of the code.
    environment : str
        Name and version of the environment.
    compute : str
        Name of a cluster, or ``serverless``.
    vm_size : str
        Machine to ask for without a cluster.
    datastore : str
        Gets the outputs.
    experiment, display_name : str
        As listed.
    tags : dict of str to str
        The user's.
    force_rerun : bool
        Run every step of a pipeline, also unchanged ones.
    has_own_place : bool
        Keep the outputs of a pipeline apart from those of others that are made from the same.
    version : str
        Version of pdm.
    """

    name: str
    command: str
    steps: tuple[Step, ...]
    inputs: dict[str, str]
    code: str
    environment: str
    compute: str
    vm_size: str
    datastore: str
    experiment: str
    display_name: str
    tags: dict[str, str]
    force_rerun: bool
    version: str
    has_own_place: bool = False

    @property
    def is_pipeline(self) -> bool:
        """Whether the steps hand their folders on."""
        return len(self.steps) > 1

    @property
    def shares_places(self) -> bool:
        """Whether its outputs are where those of others that are made from the same would be, to be reused."""
        return self.is_pipeline and not (self.force_rerun or self.has_own_place)

    def content(self) -> str:
        """Return one SHA-256 over what decides the result: not the name, nor where it runs."""
        return self.keys()[self.steps[-1].folder]

    def all_tags(self) -> dict[str, str]:
        """Return the user's tags and ours."""
        return {**self.tags, COMMAND_TAG: self.command, VERSION_TAG: self.version, CONTENT_TAG: self.content()}

    def outputs(self) -> dict[str, str]:
        """Return the address of each output.

        Those of a pipeline are named after what they are made from: a step that is not run again, for nothing has
        changed, has left its output in the very place.
        """
        root = f"azureml://datastores/{self.datastore}/paths/pdm"
        if self.shares_places:
            return {folder: f"{root}/steps/{key}/{folder}/" for folder, key in self.keys().items()}
        folders = [step.folder for step in self.steps] if self.is_pipeline else [OUTPUT]
        return {folder: f"{root}/{self.name}/{folder}/" for folder in folders}

    def keys(self) -> dict[str, str]:
        """Return for each step one SHA-256 over its command, code, environment and all that goes in."""
        keys: dict[str, str] = {}
        for step in self.steps:
            sources = {port: keys[maker] if maker else self.inputs[port] for port, maker in step.ports.items()}
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
        What to submit.
    paths : mapping
        Input port to a local folder or an address of Azure ML.
    code : str
        Folder with the code.
    environment : str or mapping
        Address of an environment, or its definition.
    """
    outputs = {name: {"type": "uri_folder", "path": path} for name, path in job.outputs().items()}
    common = {
        "name": job.name,
        "display_name": job.display_name,
        "experiment_name": job.experiment,
        "tags": job.all_tags(),
        "inputs": {port: {"type": "uri_folder", "path": path} for port, path in paths.items()},
        "outputs": outputs,
    }
    if job.is_pipeline:
        settings = {"default_compute": _compute_address(job), "force_rerun": job.force_rerun}
        steps = {step.name: _describe_step(job, step, code, environment) for step in job.steps}
        kind = {"$schema": f"{_SCHEMAS}/pipelineJob.schema.json", "type": "pipeline"}
        return {**kind, **common, "settings": settings, "jobs": steps}
    (step,) = job.steps
    machine = {"resources": {"instance_type": job.vm_size}} if job.compute == SERVERLESS else {}
    compute = {} if job.compute == SERVERLESS else {"compute": _compute_address(job)}
    kind = {"$schema": f"{_SCHEMAS}/commandJob.schema.json", "type": "command"}
    run = {"command": step.command_line, "code": code, "environment": environment}
    return {**kind, **common, **compute, **machine, **run}


def _describe_step(job: Job, step: Step, code: str, environment: str | Mapping[str, Any]) -> dict[str, Any]:
    makers = {other.folder: other.name for other in job.steps}
    inputs = {
        port: f"${{{{parent.jobs.{makers[maker]}.outputs.{OUTPUT}}}}}" if maker else f"${{{{parent.inputs.{port}}}}}"
        for port, maker in step.ports.items()
    }
    machine = {"resources": {"instance_type": job.vm_size}} if job.compute == SERVERLESS else {}
    return {
        "type": "command",
        "command": step.command_line,
        "code": code,
        "environment": environment,
        "inputs": inputs,
        "outputs": {OUTPUT: f"${{{{parent.outputs.{step.folder}}}}}"},
        # The service does not look behind addresses: it reuses a step by its own definition, and this is a part of it
        # that changes with the data.
        "environment_variables": {_PLACE_VARIABLE: job.outputs()[step.folder]},
        **machine,
    }


def _compute_address(job: Job) -> str:
    return f"azureml:{job.compute}"
