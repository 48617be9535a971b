"""What came of the work list of ``pdm demo``, drawn from its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.results import make_table
from pdm_cli.text import show_stamp

if TYPE_CHECKING:
    from rich.console import RenderableType


def draw_outcomes(outcomes: list[dict[str, Any]]) -> list[RenderableType]:
    """Draw which lines of the work list came true, which did not, and which failures it lacks."""
    if not outcomes:
        return ["what then happened: no failure came in the two days after the last reading"]
    table = make_table("rank", ("machine", "left"), ("component", "left"), ("what then happened", "left"))
    table.add_column("by the answer key")
    for row in outcomes:
        rank = "-" if row["rank"] is None else str(row["rank"])
        table.add_row(rank, f"{row['machineID']}", row["component"], _tell_outcome(row), _tell_shift(row))
    return [table, "the answer key of the simulation is data/truth.parquet, which no stage reads"]


def _tell_outcome(row: dict[str, Any]) -> str:
    if row["failed"] is None:
        return "did not fail: a false alarm"
    warning = "not foretold yet" if row["rank"] is None else f"warned {row['warning_hours']:.0f} h ahead"
    return f"failed {show_stamp(row['failed'])}, {warning}"


def _tell_shift(row: dict[str, Any]) -> str:
    if row["failed"] is None:
        return ""
    return f"{row['sensor']} off by {row['step']:+g} since {show_stamp(row['shifted_since'])}"
