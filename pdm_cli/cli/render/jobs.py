"""Jobs on Azure ML, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from pdm_cli.azure.job_status import JobState


# In a list of the latest jobs it is the same in nearly all of them.
_YEAR = slice(len("2026-"), None)
_STAMPS = ("created", "started", "ended")


def describe_job(state: JobState) -> dict[str, Any]:
    """Return a job in JSON types."""
    return {
        "name": state.name,
        "command": state.command,
        "status": state.status,
        **{name: stamp.isoformat() if (stamp := getattr(state, name)) else None for name in _STAMPS},
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
    """Draw a list of jobs, the latest first."""
    if not states:
        return ["no jobs of pdm in this workspace"]
    table = _table("job", "status", "sent (UTC)", "ran")
    table.pad_edge, table.collapse_padding = False, True
    # A name holds the command, unless the user gave it; only one too long for the terminal is broken.
    for column in table.columns[1:]:
        column.no_wrap = True
    for state in states:
        table.add_row(state.name, state.status, _show_time(state.created)[_YEAR], _show_duration(state))
    return [table]


def draw_job(state: JobState) -> list[RenderableType]:
    """Draw one job with its steps and outputs."""
    facts = _table("job", state.name)
    rows = {
        "command": state.command or "none of pdm",
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
    # An address stays whole, so that it can be opened.
    drawn: list[RenderableType] = [facts, *([state.studio_url] if state.studio_url else [])]
    if not state.steps:
        return drawn
    steps = _table("step", "status", "job")
    for step in state.steps:
        steps.add_row(step.name, f"{step.status}, reused" if step.is_reused else step.status, step.job)
    return [*drawn, steps]


def _show_time(stamp: datetime | None) -> str:
    return f"{stamp:%Y-%m-%d %H:%M}" if stamp else ""


def _show_duration(state: JobState) -> str:
    """Return how long a job ran, or has been running, as ``0:12:30``."""
    if state.started is None or (state.ended is None and state.is_finished):
        return ""
    span = (state.ended or datetime.now(UTC)) - state.started
    return str(timedelta(seconds=round(span.total_seconds())))


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
