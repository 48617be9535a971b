"""When jobs began and ended, and why they failed: what the run history of a workspace knows, and its list does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import RemoteError
from pdm_cli.remote.aml.session import MANAGEMENT, Session, translated
from pdm_cli.remote.states import JobState
from pdm_cli.remote.texts import hide_signatures, plain

if TYPE_CHECKING:
    from azure.core import PipelineClient

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
