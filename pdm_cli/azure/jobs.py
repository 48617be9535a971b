"""Jobs of a workspace: how they stand, what they print, and ending them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any

from pdm_cli.azure import blobs
from pdm_cli.azure.client import MANAGEMENT, Session, status_of, translated
from pdm_cli.azure.job_status import FAILED, JobState, StepState
from pdm_cli.errors import PdmError, RemoteError
from pdm_cli.text import hide_signatures, plain

if TYPE_CHECKING:
    from azure.core import PipelineClient

_REUSED = "azureml.isreused"


def read_state(session: Session, name: str) -> JobState:
    """Return how a job stands, and why it failed if it did.

    Raises
    ------
    RemoteError
        If there is no such job.
    """
    with _found(session, name):
        job = session.client.jobs.get(name)
        is_pipeline = job.type == "pipeline"
        children = list(session.client.jobs.list(parent_job_name=name)) if is_pipeline else []
    state = _read(job, tuple(map(_read_step, children)))
    if state.status == FAILED:
        # Best effort: mostly the job's own words are there, and say more.
        with suppress(PdmError):
            return add_history(session, [state])[0]
    return state


def list_jobs(session: Session, most: int, *, are_all: bool) -> list[JobState]:
    """Return the latest jobs, those of pdm alone if not ``are_all``; without their steps."""
    with translated("list of jobs"):
        states = map(_read, session.client.jobs.list())
        return list(islice((state for state in states if are_all or state.command), most))


def cancel(session: Session, name: str) -> None:
    """Ask for the end of a job; its status tells when it has ended."""
    with _found(session, name):
        session.client.jobs.begin_cancel(name, polling=False)


def read_log(session: Session, run: str, offset: int) -> bytes:
    """Return what a command job or a step has printed from a byte on; nothing if there is no log yet."""
    container = blobs.open_container(session, blobs.ARTIFACT_STORE)
    blob = container.get_blob_client(blobs.log_address(run))
    try:
        with translated(f"log of {run}"):
            haste = session.haste.options()
            if blob.get_blob_properties(**haste).size <= offset:
                return b""
            return bytes(blob.download_blob(offset, **haste).readall())
    except RemoteError as error:
        if status_of(error) == HTTPStatus.NOT_FOUND:
            return b""
        raise


@contextmanager
def _found(session: Session, name: str) -> Iterator[None]:
    from azure.core.exceptions import ResourceNotFoundError

    with translated(f"job {name}"):
        try:
            yield
        except ResourceNotFoundError as exc:
            place = session.azure.workspace
            raise RemoteError(f"job {name}: not found in workspace {place}", hint="pdm jobs list") from exc


def _read(job: Any, steps: tuple[StepState, ...] = ()) -> JobState:
    context = getattr(job, "creation_context", None)
    created = getattr(context, "created_at", None)
    return JobState(
        name=plain(job.name),
        status=tell_status(job),
        steps=steps,
        tags={plain(key): plain(str(value)) for key, value in (job.tags or {}).items()},
        outputs={plain(key): _read_path(value) for key, value in (getattr(job, "outputs", None) or {}).items()},
        experiment=plain(str(job.experiment_name or "")),
        display_name=plain(str(job.display_name or "")),
        studio_url=plain(str(getattr(job, "studio_url", None) or "")),
        created=created.astimezone(UTC) if created else None,
    )


def _read_step(job: Any) -> StepState:
    is_reused = str((job.properties or {}).get(_REUSED, "")).lower() == "true"
    return StepState(plain(str(job.display_name or job.name)), plain(job.name), tell_status(job), is_reused)


def _read_path(output: Any) -> str | None:
    path = getattr(output, "path", None)
    return None if path is None else plain(str(path))


def tell_status(job: Any) -> str:
    """Return how a job of the client stands, in the service's word."""
    return plain(str(getattr(job.status, "value", job.status)))


# One request a job: the history has no list of several.
_THREADS = 8


def add_history(session: Session, states: Sequence[JobState]) -> list[JobState]:
    """Return jobs with their start and end, and with the service's own word on why they failed.

    Raises
    ------
    PdmError
        If the history cannot be read.
    """
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy

    with translated("run history"), _understood():
        place = session.client.workspaces.get(session.azure.workspace)
        # Where the services of a workspace are is told to anyone.
        with _open(place.discovery_url) as client:
            base = _get(client, place.discovery_url)["api"]
        runs = f"{base}/history/v1.0{place.id}/runs"
        sign_in = BearerTokenCredentialPolicy(session.credential, MANAGEMENT)
        with _open(base, sign_in) as client, ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda state: _add(state, client, runs), states))


@contextmanager
def _understood() -> Iterator[None]:
    """Take an answer of another form for what it is: something else in the service's place, such as a proxy's page."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise RemoteError("run history: an answer that is none of its own") from exc


def _open(base: str, *policies: Any) -> PipelineClient[Any, Any]:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import RetryPolicy

    return PipelineClient(base, policies=[RetryPolicy(), *policies])


def _add(state: JobState, client: PipelineClient[Any, Any], runs: str) -> JobState:
    run = _get(client, f"{runs}/{state.name}")
    times = [_read_time(run.get(key)) for key in ("startTimeUtc", "endTimeUtc")]
    # What went wrong in a pipeline is told of its step.
    failed = next((step.job for step in state.steps if step.has_failed), state.name)
    told = run if failed == state.name else _get(client, f"{runs}/{failed}")
    return replace(state, started=times[0], ended=times[1], error=_read_error(told))


def _get(client: PipelineClient[Any, Any], address: str) -> dict[str, Any]:
    from azure.core.rest import HttpRequest

    response = client.send_request(HttpRequest("GET", address))
    response.raise_for_status()
    return dict(response.json())


def _read_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _read_error(run: dict[str, Any]) -> str:
    error = (run.get("error") or {}).get("error") or {}
    lines = hide_signatures(str(error.get("message") or "")).strip().splitlines()
    return plain(lines[0]) if lines else ""
