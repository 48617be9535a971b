"""How a job stands; placeholder until the branch that waits for jobs brings its own."""

from __future__ import annotations

from dataclasses import dataclass

from pdm_cli.errors import RemoteError
from pdm_cli.remote.aml.session import Session, translated


@dataclass(frozen=True)
class JobState:
    """A job, its status in the service's words, its tags and the addresses of its outputs."""

    name: str
    status: str
    tags: dict[str, str]
    outputs: dict[str, str | None]


def read_state(session: Session, name: str) -> JobState:
    """Return how a job stands."""
    from azure.core.exceptions import ResourceNotFoundError

    with translated(f"job {name}"):
        try:
            job = session.client.jobs.get(name)
        except ResourceNotFoundError as exc:
            raise RemoteError(
                f"job {name}: not found in workspace {session.azure.workspace}", hint="pdm jobs list"
            ) from exc
    outputs = {key: getattr(value, "path", None) for key, value in (job.outputs or {}).items()}
    return JobState(name, str(getattr(job.status, "value", job.status)), dict(job.tags or {}), outputs)
