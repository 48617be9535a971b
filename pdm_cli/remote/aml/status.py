"""How a job stands; placeholder until the branch that waits for jobs brings its own."""

from __future__ import annotations

from dataclasses import dataclass

from pdm_cli.errors import RemoteError
from pdm_cli.remote.aml.session import Session, translated


@dataclass(frozen=True)
class StepState:
    """A step of a pipeline: its name there, its own job, and the service's word for how it stands."""

    name: str
    job: str
    status: str


@dataclass(frozen=True)
class JobState:
    """A job, its status in the service's words, its steps, its tags and the addresses of its outputs."""

    name: str
    status: str
    steps: tuple[StepState, ...]
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
        children = session.client.jobs.list(parent_job_name=name) if job.type == "pipeline" else ()
        steps = tuple(StepState(c.display_name, c.name, c.status) for c in children)
    outputs = {key: getattr(value, "path", None) for key, value in (job.outputs or {}).items()}
    return JobState(name, str(getattr(job.status, "value", job.status)), steps, dict(job.tags or {}), outputs)
