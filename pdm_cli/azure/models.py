"""Registered models: tags, comparison with the newest version, and registration of a job's model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pdm_cli.azure import blobs
from pdm_cli.azure.client import Session, azure_errors, retry
from pdm_cli.azure.job_spec import COMMAND_TAG, OUTPUT
from pdm_cli.azure.jobs import COMPLETED, JobState, read_state
from pdm_cli.azure.wait import describe_end
from pdm_cli.errors import DataError, GateNotMet, JobNotFinished, RemoteError, UsageError
from pdm_cli.evaluation.gates import GATE_METRICS, read_metric
from pdm_cli.io import manifest
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.progress import Progress
from pdm_cli.text import plain

if TYPE_CHECKING:
    from azure.ai.ml.entities import Model

SCHEMA = "pdm.registration/1"
JOB_TAG = "job"
_TRAIN = STAGES["train"]
# Command of a job to its output with the model.
_MODEL_OUTPUTS = {_TRAIN.command: OUTPUT, "run": _TRAIN.folder}
# Path of registered models in the datastore.
_MODELS_PATH = "pdm/models"
# Metrics by which models are compared, and whether higher is better.
_HIGHER_IS_BETTER = {"ap": True, "auc": True, "f1": True, "brier": False}
# Their names in metrics.json, such as average_precision.
_FULL_NAMES = {name: GATE_METRICS[name][-1] for name in _HIGHER_IS_BETTER}
# Libraries that determine the model and its predictions, and their tags, which are their import names.
_TAGGED_VERSIONS = {
    "pdm-cli": "pdm_version",
    "python": "python",
    "numpy": "numpy",
    "pandas": "pandas",
    "scikit-learn": "scikit-learn",
    "xgboost-cpu": "xgboost",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
}
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,254}", re.ASCII)


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    model: str
    # Usually a number.
    version: str
    tags: dict[str, str]

    def __str__(self) -> str:
        return f"{self.model}:{self.version}"


def check_model_name(name: str) -> str:
    """Return ``name`` if a model can have it."""
    if not _MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r}: not a valid model name", hint="use letters, digits, - . and _, at most 255 characters"
        )
    return name


def find_metric(name: str) -> str:
    """Return the short name of a metric by which models are compared, given the short or the full one.

    Examples
    --------
    >>> find_metric("average_precision")
    'ap'
    """
    for short, full in _FULL_NAMES.items():
        if name in (short, full):
            return short
    raise UsageError(f"--if-better {name}: unknown metric", hint=f"choose one of {', '.join(_FULL_NAMES)}")


def metric_tag(metric: str) -> str:
    """Return the tag that holds a metric."""
    return f"metric_{_FULL_NAMES[metric]}"


def make_tags(job: str, metrics: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a model from its ``metrics.json`` and the content of its manifest.

    They hold metrics in full precision, one hash of all inputs, versions, and the job.
    """
    values = {metric: read_metric(metrics, metric) for metric in _FULL_NAMES}
    tags = {metric_tag(metric): repr(value) for metric, value in values.items() if value is not None}
    inputs = json.dumps(content["inputs"], sort_keys=True)
    tags["data_sha256"] = hashlib.sha256(inputs.encode()).hexdigest()
    versions = content.get("versions") or {}
    tags |= {tag: str(versions[library]) for library, tag in _TAGGED_VERSIONS.items() if library in versions}
    return {**tags, JOB_TAG: job}


def read_tag(tags: Mapping[str, str], metric: str) -> float | None:
    """Return a metric from the tags of a model; ``None`` if it is missing or not a number."""
    try:
        return float(tags[metric_tag(metric)])
    except (KeyError, TypeError, ValueError):
        return None


def is_better(metric: str, new: float, old: float) -> bool:
    """Return whether ``new`` is strictly better than ``old``; never with NaN."""
    return new > old if _HIGHER_IS_BETTER[metric] else new < old


def register_job(
    session: Session, job: str, name: str, *, if_better: str | None = None, screen: Progress
) -> dict[str, Any]:
    """Register the model of a finished job, once per name.

    Parameters
    ----------
    session : Session
        The workspace.
    job : str
        A job of ``train`` or ``run``.
    name : str
        Name of the model.
    if_better : str, optional
        Metric by which it must be better than the newest version, if there is one.
    screen : Progress
        Receives progress and warnings.

    Returns
    -------
    dict
        The JSON object of the command.

    Raises
    ------
    JobNotFinished, JobFailed, JobCancelled
        If the job has not completed.
    GateNotMet
        If the model is not better.
    UsageError
        If the job does not train a model, or a name is invalid.
    RemoteError
        If there is no such job, or the newest version lacks the metric.
    DataError
        If the output of the job is not a complete model.
    """
    check_model_name(name)
    metric = find_metric(if_better) if if_better else None
    state: JobState = retry(partial(read_state, session, job), warn=screen.warn)
    address = find_model(state)
    # A retry finds the version that an earlier attempt has registered.
    request = _Request(job, name, metric)
    registration = retry(partial(_register, session, request, address), warn=screen.warn)
    version = f"{name}:{registration['version']}"
    if registration["registered"]:
        screen.info(f"register: registered {job} as {version}{_describe_gain(registration['compared'])}")
    else:
        screen.info(f"register: {job} is already registered as {version}")
    return registration


@dataclass(frozen=True)
class _Request:
    """The job to register, the name, and the metric by which it must be better."""

    job: str
    model: str
    metric: str | None


def find_model(state: JobState) -> str:
    """Return the address of the model that a job has trained; errors as for :func:`register_job`."""
    command = state.tags.get(COMMAND_TAG)
    if command not in _MODEL_OUTPUTS:
        problem = f"runs pdm {command}, which does not train a model" if command else "was not submitted by pdm"
        raise UsageError(f"job {state.name}: {problem}", hint=f"choose a job of {' or '.join(_MODEL_OUTPUTS)}")
    if not state.is_finished:
        raise JobNotFinished(
            f"job {state.name}: {state.status}, not finished",
            hint=f"wait for it with pdm fetch-results {state.name} --out FOLDER --wait",
            job=state.name,
        )
    if state.status != COMPLETED:
        raise describe_end(state, {})
    output = _MODEL_OUTPUTS[command]
    address = state.outputs.get(output)
    if not address:
        raise RemoteError(f"job {state.name}: no output {output}; it has: {', '.join(state.outputs) or 'none'}")
    return address


def _register(session: Session, request: _Request, address: str) -> dict[str, Any]:
    versions = list_versions(session, request.model)
    known = next((version for version in versions if version.tags.get(JOB_TAG) == request.job), None)
    if known is not None:
        return _describe(request, known, address)
    metrics, content = _read_results(session, request.job, address)
    tags = make_tags(request.job, metrics, content)
    compared = _compare(request, metrics, versions[0]) if request.metric and versions else None
    address = _copy_model(session, request.job, address, content)
    new = register_folder(session, request.model, address=address, tags=tags)
    return _describe(request, new, address) | {"registered": True, "compared": compared}


def _describe(request: _Request, version: Version, address: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "job": request.job,
        "model": request.model,
        "version": version.version,
        "registered": False,
        "compared": None,
        "address": address,
        "tags": version.tags,
    }


def _open_folder(session: Session, address: str) -> tuple[blobs.ContainerClient, dict[str, blobs.Blob]]:
    """Return the container of a folder, and file name to blob."""
    place = blobs.parse_address(address)
    container = blobs.open_container(session, place.datastore)
    return container, {b.name.removeprefix(place.prefix): b for b in blobs.list_blobs(container, place.prefix)}


def _read_results(session: Session, job: str, address: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics and the manifest of a model; the metrics must match the manifest."""
    container, files = _open_folder(session, address)
    for name in (manifest.MANIFEST_FILE, _TRAIN.summary):
        if name not in files:
            raise DataError(f"job {job}: no {name} in its output, so the model is incomplete")
    _, content = blobs.read_manifest(container, files[manifest.MANIFEST_FILE], f"job {job}")
    text = blobs.read_blob(container, files[_TRAIN.summary])
    if content["outputs"].get(_TRAIN.summary, {}).get("sha256") != hashlib.sha256(text).hexdigest():
        raise DataError(
            f"job {job}: {_TRAIN.summary}: does not match the hash in its manifest",
            hint="it was changed after the job; submit the job again",
        )
    return json.loads(text), content


def _copy_model(session: Session, job: str, address: str, content: Mapping[str, Any]) -> str:
    """Copy a model to a path that no job writes to, checking every file, and return its address.

    Pipelines with the same content share their output paths, so that steps can be reused.
    """
    container, files = _open_folder(session, address)
    target = blobs.Address(blobs.parse_address(address).datastore, f"{_MODELS_PATH}/{job}")
    # The manifest last: a folder that has one is complete.
    for name in [*content["outputs"], manifest.MANIFEST_FILE]:
        if name not in files:
            raise DataError(f"job {job}: {name} is in its manifest, but not in its output")
        sha256 = content["outputs"].get(name, {}).get("sha256")
        blobs.copy_blob(container, files[name], target.prefix + name, sha256=sha256)
    return str(target)


def _compare(request: _Request, metrics: Mapping[str, Any], newest: Version) -> dict[str, Any]:
    """Return the comparison with the newest version; fail if the model is not better."""
    metric = str(request.metric)
    tag, new, old = metric_tag(metric), read_metric(metrics, metric), read_tag(newest.tags, metric)
    if old is None:
        raise RemoteError(
            f"model {newest}: tag {tag} is not a number, so there is nothing to compare with",
            hint="choose another metric, or register once without --if-better",
        )
    compared = {"metric": tag.removeprefix("metric_"), "new": new, "old": old, "old_version": newest.version}
    if new is None or not is_better(metric, new, old):
        values = f"its {compared['metric']} is {'unknown' if new is None else repr(new)}, that of {newest} is {old!r}"
        hint = "drop --if-better to register it anyway"
        raise GateNotMet(f"{request.job} is not registered: {values}", hint=hint, **compared)
    return compared


def _describe_gain(compared: Mapping[str, Any] | None) -> str:
    if compared is None:
        return ""
    values = f"{compared['new']!r}, before {compared['old']!r} (version {compared['old_version']})"
    return f": {compared['metric']} {values}"


def list_versions(session: Session, model: str) -> list[Version]:
    """Return the versions of a model that are not archived, newest first; none if it was never registered."""
    from azure.core.exceptions import ResourceNotFoundError

    with azure_errors(f"model {model}"):
        try:
            found = list(session.client.models.list(name=model))
        except ResourceNotFoundError:
            found = []
    found.sort(key=_age, reverse=True)
    return [Version(model, plain(str(one.version)), _read_tags(one)) for one in found]


def register_folder(session: Session, model: str, *, address: str, tags: dict[str, str]) -> Version:
    """Register a folder of a datastore as the next version of a model; its files are not copied."""
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Model

    with azure_errors(f"model {model}"):
        created = session.client.models.create_or_update(
            Model(name=model, path=address, type=AssetTypes.CUSTOM_MODEL, tags=tags)
        )
    return Version(model, str(created.version), tags)


def _read_tags(model: Model) -> dict[str, str]:
    return {plain(key): plain(str(value)) for key, value in (model.tags or {}).items()}


def _age(model: Model) -> tuple[float, int]:
    """Return a sort key: the time of creation, then the number of the version."""
    created = model.creation_context.created_at if model.creation_context else None
    version = str(model.version)
    return created.timestamp() if created else 0.0, int(version) if version.isdecimal() else 0
