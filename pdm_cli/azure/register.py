"""From a finished job to a registered model: once, and, where that is asked, only if it is better than the last one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from pdm_cli.azure import blobs as storage
from pdm_cli.azure import models
from pdm_cli.azure.client import Session
from pdm_cli.azure.job_spec import COMMAND_TAG, OUTPUT
from pdm_cli.azure.job_status import COMPLETED, JobState
from pdm_cli.azure.jobs import read_state
from pdm_cli.azure.model_tags import JOB_TAG, check_name, find_metric, is_better, make_tags, read_tag, tag_of
from pdm_cli.azure.retry import insist
from pdm_cli.azure.wait import describe_end
from pdm_cli.errors import DataError, GateNotMet, JobNotFinished, RemoteError, UsageError
from pdm_cli.evaluation.gates import read_metric
from pdm_cli.io import manifest
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.progress import Progress

SCHEMA = "pdm.registration/1"
_TRAIN = STAGES["train"]
# Command of a job to its output with the model.
_MODEL_OUTPUTS = {_TRAIN.command: OUTPUT, "run": _TRAIN.folder}
# Where registered models are kept.
_KEPT = "pdm/models"


def register_job(
    session: Session, job: str, name: str, *, if_better: str | None = None, screen: Progress
) -> dict[str, Any]:
    """Register the model that a finished job made; a job's model is registered once under a name.

    Parameters
    ----------
    session : Session
        The workspace.
    job : str
        A job of ``train`` or ``run``.
    name : str
        Name of the model.
    if_better : str, optional
        Metric by which it must be better than the newest version; the first version need not be.
    screen : Progress
        Told what is done.

    Returns
    -------
    dict
        For ``--json``.

    Raises
    ------
    JobNotFinished, JobFailed, JobCancelled
        As the job stands.
    GateNotMet
        If it is not better.
    UsageError
        If the job makes no model, or a name is none.
    RemoteError
        If there is no such job, or the newest version does not tell the metric.
    DataError
        If the job's output is no whole model.
    """
    check_name(name)
    metric = find_metric(if_better) if if_better else None
    state: JobState = insist(partial(read_state, session, job), warn=screen.warn)
    address = find_model(state)
    # What is done twice finds the version that was made at first.
    wish = _Wish(job, name, metric)
    registration = insist(partial(_register, session, wish, address), warn=screen.warn)
    version = f"{name}:{registration['version']}"
    if registration["registered"]:
        screen.info(f"register: {job} is registered as {version}{_tell(registration['compared'])}")
    else:
        screen.info(f"register: {job} is registered already, as {version}: nothing is done")
    return registration


@dataclass(frozen=True)
class _Wish:
    """What is to be registered, under which name, and by which metric it must be better."""

    job: str
    model: str
    metric: str | None


def find_model(state: JobState) -> str:
    """Return the address of the model that a job made.

    Raises
    ------
    JobNotFinished, JobFailed, JobCancelled
        As the job stands.
    UsageError
        If it makes no model.
    """
    command = state.tags.get(COMMAND_TAG)
    if command not in _MODEL_OUTPUTS:
        made = f"is pdm {command}, which makes no model" if command else "was not submitted by pdm"
        raise UsageError(f"job {state.name}: {made}", hint=f"give a job of {' or '.join(_MODEL_OUTPUTS)}")
    if not state.is_finished:
        raise JobNotFinished(
            f"job {state.name}: {state.status}, not finished",
            hint=f"pdm fetch-results {state.name} --out FOLDER --wait waits for it",
            job=state.name,
        )
    if state.status != COMPLETED:
        raise describe_end(state, {})
    output = _MODEL_OUTPUTS[command]
    address = state.outputs.get(output)
    if not address:
        raise RemoteError(f"job {state.name}: no output {output}; it has: {', '.join(state.outputs) or 'none'}")
    return address


def _register(session: Session, wish: _Wish, address: str) -> dict[str, Any]:
    versions = models.list_versions(session, wish.model)
    known = next((version for version in versions if version.tags.get(JOB_TAG) == wish.job), None)
    if known is not None:
        return _describe(wish, known, address)
    metrics, made = _read_results(session, wish.job, address)
    tags = make_tags(wish.job, metrics, made)
    compared = _compare(wish, metrics, versions[0]) if wish.metric and versions else None
    address = _keep_copy(session, wish.job, address, made)
    new = models.register_folder(session, wish.model, address=address, tags=tags)
    return _describe(wish, new, address) | {"registered": True, "compared": compared}


def _describe(wish: _Wish, version: models.Version, address: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "job": wish.job,
        "model": wish.model,
        "version": version.version,
        "registered": False,
        "compared": None,
        "address": address,
        "tags": version.tags,
    }


def _read_results(session: Session, job: str, address: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics and the manifest of a model; the metrics must be those that the manifest lists."""
    place = storage.parse_address(address)
    container = storage.open_container(session, place.datastore)
    blobs = {blob.name.removeprefix(place.prefix): blob for blob in storage.list_blobs(container, place.prefix)}
    for name in (manifest.MANIFEST_FILE, _TRAIN.summary):
        if name not in blobs:
            raise DataError(f"job {job}: no {name} in its output, so no whole model")
    _, made = storage.read_manifest(container, blobs[manifest.MANIFEST_FILE], f"job {job}")
    text = storage.read_blob(container, blobs[_TRAIN.summary])
    if made["outputs"].get(_TRAIN.summary, {}).get("sha256") != sha256(text).hexdigest():
        raise DataError(
            f"job {job}: {_TRAIN.summary}: not the file that its manifest lists", hint="it was changed after the job"
        )
    return json.loads(text), made


def _keep_copy(session: Session, job: str, address: str, made: Mapping[str, Any]) -> str:
    """Copy a model to a place that no job writes to, and return its address; every file is checked on the way.

    The steps of pipelines that are made from the same write to the same place, so that they can be reused.
    """
    place = storage.parse_address(address)
    container = storage.open_container(session, place.datastore)
    target = storage.Address(place.datastore, f"{_KEPT}/{job}")
    blobs = {blob.name.removeprefix(place.prefix): blob for blob in storage.list_blobs(container, place.prefix)}
    # The manifest last: a folder with one is whole.
    for name in [*made["outputs"], manifest.MANIFEST_FILE]:
        if name not in blobs:
            raise DataError(f"job {job}: {name} is not in its output, though its manifest lists it")
        wanted = made["outputs"].get(name, {}).get("sha256")
        storage.copy_blob(container, blobs[name], target.prefix + name, sha256=wanted)
    return str(target)


def _compare(wish: _Wish, metrics: Mapping[str, Any], newest: models.Version) -> dict[str, Any]:
    """Return how the model compares with the newest version, if it is better.

    Raises
    ------
    GateNotMet
        If not.
    RemoteError
        If the newest version does not tell.
    """
    metric = str(wish.metric)
    full, new, old = tag_of(metric), read_metric(metrics, metric), read_tag(newest.tags, metric)
    if old is None:
        raise RemoteError(
            f"model {newest}: has no number in tag {full}: nothing to compare with",
            hint="another metric, or once without --if-better",
        )
    compared = {"metric": full.removeprefix("metric_"), "new": new, "old": old, "old_version": newest.version}
    if new is None or not is_better(metric, new, old):
        told = f"{wish.job} is not registered: its {_tell_numbers(compared, newest)}"
        raise GateNotMet(told, hint="without --if-better it is registered all the same", **compared)
    return compared


def _tell_numbers(compared: Mapping[str, Any], newest: models.Version) -> str:
    new = "cannot be told" if compared["new"] is None else f"is {compared['new']!r}"
    return f"{compared['metric']} {new}, that of {newest} is {compared['old']!r}"


def _tell(compared: Mapping[str, Any] | None) -> str:
    if compared is None:
        return ""
    numbers = f"{compared['new']!r}, before {compared['old']!r} (version {compared['old_version']})"
    return f": {compared['metric']} {numbers}"
