"""Jobs of a workspace: list, read status, times and logs, cancel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any

from pdm_cli.azure import blobs
from pdm_cli.azure.client import MANAGEMENT, Session, azure_errors, status_of
from pdm_cli.azure.job_spec import COMMAND_TAG
from pdm_cli.errors import PdmError, RemoteError
from pdm_cli.text import hide_signatures, plain

if TYPE_CHECKING:
    from azure.core import PipelineClient

# Statuses in the service's spelling.
COMPLETED = "Completed"
CANCELLED = "Canceled"
FAILED = "Failed"
# Final.
FINISHED = frozenset({COMPLETED, CANCELLED, FAILED, "NotResponding"})
# Before a job or step has printed anything.
NOT_STARTED = frozenset({"NotStarted", "Queued", "Provisioning", "Preparing", "Starting"})

_REUSED = "azureml.isreused"
# The run history has no request for several jobs.
_THREADS = 8


@dataclass(frozen=True)
class StepState:
    """A step of a pipeline, and its own job; a reused step took the outputs of an earlier job."""

    name: str
    job: str
    status: str
    is_reused: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether the status is final."""
        return self.status in FINISHED

    @property
    def has_failed(self) -> bool:
        """Whether it ended in an error."""
        return self.status == FAILED

    @property
    def has_log(self) -> bool:
        """Whether it may have printed something."""
        return not self.is_reused and self.status not in NOT_STARTED


@dataclass(frozen=True)
class JobState:
    """The state of a job. Times are UTC; start, end and error are known only from the run history."""

    name: str
    status: str
    steps: tuple[StepState, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    # Name to address.
    outputs: dict[str, str | None] = field(default_factory=dict)
    experiment: str = ""
    display_name: str = ""
    studio_url: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    # The service's reason for a failure.
    error: str = ""

    @property
    def command(self) -> str | None:
        """The command of pdm that it runs; ``None`` if pdm did not submit it."""
        return self.tags.get(COMMAND_TAG)

    @property
    def is_finished(self) -> bool:
        """Whether the status is final."""
        return self.status in FINISHED

    def runs(self) -> dict[str, str]:
        """Return step to job; a single command is its own step."""
        return {part.name: part.job for part in self.parts()}

    def parts(self) -> tuple[StepState, ...]:
        """Return the steps of a pipeline, or the single command itself."""
        return self.steps or (StepState(self.name, self.name, self.status),)


def read_state(session: Session, name: str) -> JobState:
    """Return the state of a job, and the reason if it failed.

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
        # Best effort: usually the job's log has a better message.
        with suppress(PdmError):
            return add_history(session, [state])[0]
    return state


def list_jobs(session: Session, limit: int, *, include_all: bool) -> list[JobState]:
    """Return the latest jobs without their steps: those of pdm, or all."""
    with azure_errors("list of jobs"):
        states = map(_read, session.client.jobs.list())
        return list(islice((state for state in states if include_all or state.command), limit))


def cancel(session: Session, name: str) -> None:
    """Request the cancellation of a job; its status shows when it has ended."""
    with _found(session, name):
        session.client.jobs.begin_cancel(name, polling=False)


def read_log(session: Session, run: str, offset: int) -> bytes:
    """Return the log of a command job or a step from a byte on; empty if there is no log yet."""
    container = blobs.open_container(session, blobs.ARTIFACT_STORE)
    blob = container.get_blob_client(blobs.log_name(run))
    try:
        with azure_errors(f"log of {run}"):
            options = session.limits.options()
            if blob.get_blob_properties(**options).size <= offset:
                return b""
            return bytes(blob.download_blob(offset, **options).readall())
    except RemoteError as error:
        if status_of(error) == HTTPStatus.NOT_FOUND:
            return b""
        raise


def status_text(job: Any) -> str:
    """Return the status of a job of the client, in the service's spelling."""
    return plain(str(getattr(job.status, "value", job.status)))


@contextmanager
def _found(session: Session, name: str) -> Iterator[None]:
    from azure.core.exceptions import ResourceNotFoundError

    with azure_errors(f"job {name}"):
        try:
            yield
        except ResourceNotFoundError as exc:
            workspace = session.azure.workspace
            raise RemoteError(
                f"job {name}: not found in workspace {workspace}", hint="run pdm jobs list to see the jobs"
            ) from exc


def _read(job: Any, steps: tuple[StepState, ...] = ()) -> JobState:
    context = getattr(job, "creation_context", None)
    created = getattr(context, "created_at", None)
    return JobState(
        name=plain(job.name),
        status=status_text(job),
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
    return StepState(plain(str(job.display_name or job.name)), plain(job.name), status_text(job), is_reused)


def _read_path(output: Any) -> str | None:
    path = getattr(output, "path", None)
    return None if path is None else plain(str(path))


def add_history(session: Session, states: Sequence[JobState]) -> list[JobState]:
    """Return jobs with their start, end and reason for failure from the run history.

    Raises
    ------
    PdmError
        If the run history cannot be read.
    """
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy

    with azure_errors("run history"), _parsed():
        workspace = session.client.workspaces.get(session.azure.workspace)
        # The addresses of a workspace's services need no sign-in.
        with _open(workspace.discovery_url) as client:
            base = _get(client, workspace.discovery_url)["api"]
        runs = f"{base}/history/v1.0{workspace.id}/runs"
        sign_in = BearerTokenCredentialPolicy(session.credential, MANAGEMENT)
        with _open(base, sign_in) as client, ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda state: _add(state, client, runs), states))


@contextmanager
def _parsed() -> Iterator[None]:
    """Report a response in another format, such as the error page of a proxy."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise RemoteError("unexpected response from the run history service") from exc


def _open(base: str, *policies: Any) -> PipelineClient[Any, Any]:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import RetryPolicy

    return PipelineClient(base, policies=[RetryPolicy(), *policies])


def _add(state: JobState, client: PipelineClient[Any, Any], runs: str) -> JobState:
    run = _get(client, f"{runs}/{state.name}")
    times = [_read_time(run.get(key)) for key in ("startTimeUtc", "endTimeUtc")]
    # The reason for a pipeline's failure is in the run of its failed step.
    failed = next((step.job for step in state.steps if step.has_failed), state.name)
    failed_run = run if failed == state.name else _get(client, f"{runs}/{failed}")
    return replace(state, started=times[0], ended=times[1], error=_read_error(failed_run))


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
