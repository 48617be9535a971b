"""Jobs on Azure ML, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from pdm_cli.remote.states import JobState


def describe_job(state: JobState) -> dict[str, Any]:
    """Return a job in JSON types."""
    return {
        "name": state.name,
        "command": state.command,
        "status": state.status,
        "created": state.created.isoformat() if state.created else None,
        "experiment": state.experiment,
        "display_name": state.display_name,
        "studio_url": state.studio_url,
        "tags": state.tags,
        "outputs": state.outputs,
        "steps": [
            {"name": step.name, "job": step.job, "status": step.status, "is_reused": step.is_reused}
            for step in state.steps
        ],
    }


def draw_jobs(states: Sequence[JobState]) -> list[RenderableType]:
    """Draw a list of jobs, the latest first."""
    if not states:
        return ["no jobs of pdm in this workspace"]
    table = _table("job", "command", "status", "submitted (UTC)", "experiment")
    for state in states:
        table.add_row(state.name, state.command or "", state.status, _time_of(state), state.experiment)
    return [table]


def draw_job(state: JobState) -> list[RenderableType]:
    """Draw one job with its steps and outputs."""
    facts = _table("job", state.name)
    rows = {
        "command": state.command or "none of pdm",
        "status": state.status,
        "submitted (UTC)": _time_of(state),
        "experiment": state.experiment,
        "studio": state.studio_url,
        **{f"tag {key}": value for key, value in sorted(state.tags.items())},
        **{f"output {name}": address or "" for name, address in state.outputs.items()},
    }
    for name, value in rows.items():
        facts.add_row(name, value)
    if not state.steps:
        return [facts]
    steps = _table("step", "status", "job")
    for step in state.steps:
        steps.add_row(step.name, f"{step.status}, reused" if step.is_reused else step.status, step.job)
    return [facts, steps]


def _time_of(state: JobState) -> str:
    return f"{state.created:%Y-%m-%d %H:%M}" if state.created else ""


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
