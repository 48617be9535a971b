"""Render jobs on Azure ML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from pdm_cli.azure.jobs import JobState

# The year is left out of lists: it is the same in almost all of the latest jobs.
_WITHOUT_YEAR = slice(len("2026-"), None)
_TIMES = ("created", "started", "ended")


def describe_job(state: JobState) -> dict[str, Any]:
    """Return a job as a JSON object."""
    return {
        "name": state.name,
        "command": state.command,
        "status": state.status,
        **{name: time.isoformat() if (time := getattr(state, name)) else None for name in _TIMES},
        "error": state.error or None,
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
    """Draw a list of jobs, latest first."""
    if not states:
        return ["no pdm jobs in this workspace"]
    table = _table("job", "status", "sent (UTC)", "duration")
    table.pad_edge, table.collapse_padding = False, True
    # Names usually contain the command; only a name that is too long for the terminal is wrapped.
    for column in table.columns[1:]:
        column.no_wrap = True
    for state in states:
        table.add_row(state.name, state.status, _show_time(state.created)[_WITHOUT_YEAR], _show_duration(state))
    return [table]


def draw_job(state: JobState) -> list[RenderableType]:
    """Draw one job with its steps and outputs."""
    facts = _table("job", state.name)
    rows = {
        "command": state.command or "not a pdm job",
        "status": state.status,
        "submitted (UTC)": _show_time(state.created),
        "started (UTC)": _show_time(state.started),
        "duration": _show_duration(state),
        **({"error": state.error} if state.error else {}),
        "experiment": state.experiment,
        **{f"tag {key}": value for key, value in sorted(state.tags.items())},
        **{f"output {name}": address or "" for name, address in state.outputs.items()},
    }
    for name, value in rows.items():
        facts.add_row(name, value)
    # Outside the table the address is not wrapped, so that it can be opened.
    drawn: list[RenderableType] = [facts, *([state.studio_url] if state.studio_url else [])]
    if not state.steps:
        return drawn
    steps = _table("step", "status", "job")
    for step in state.steps:
        steps.add_row(step.name, f"{step.status}, reused" if step.is_reused else step.status, step.job)
    return [*drawn, steps]


def _show_time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else ""


def _show_duration(state: JobState) -> str:
    """Return how long a job ran, or has been running, as ``0:12:30``."""
    if state.started is None or (state.ended is None and state.is_finished):
        return ""
    duration = (state.ended or datetime.now(UTC)) - state.started
    return str(timedelta(seconds=round(duration.total_seconds())))


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
