"""The work list and the drift table of ``pdm predict``, drawn from its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.results import make_table
from pdm_cli.evaluation.drift import LEAST_ROWS
from pdm_cli.text import Prose, show_count, show_probability, show_span, show_stamp

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_WORK = 20
_MOST_DRIFT = 5


def draw_forecast(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw what to see to, and how far the data has moved from the training's."""
    facts = (
        f"{show_count(summary['rows'], 'instant')} of {show_count(summary['machines'], 'machine')} "
        f"{show_span(summary['start'], summary['end'])} UTC; "
        f"{show_count(summary['episodes'], 'episode')} of alerts"
    )
    return [Prose(facts), *_draw_work(summary), *_draw_nearest(summary["nearest"]), *_draw_drift(summary)]


def _draw_work(summary: dict[str, Any]) -> list[RenderableType]:
    work = summary["worklist"]
    if not work:
        return ["work list: no alert is on"]
    columns = (("machine", "left"), ("component", "left"), ("probability", "right"), ("alert since", "left"))
    table = make_table("rank", *columns, ("fails, if it does", "left"))
    for row in work[:_MOST_WORK]:
        window = f"{_day(row['expected_from'])} to {_day(row['expected_until'])}"
        machine = f"{row['machineID']}"
        if row["is_stale"]:
            machine += f" (silent; foretold {show_stamp(row['datetime'])})"
        cells = (machine, row["component"], show_probability(row["probability"]), _day(row["since"]), window)
        table.add_row(str(row["rank"]), *cells)
    more = [f"and {len(work) - _MOST_WORK:,} more in worklist.csv"] if len(work) > _MOST_WORK else []
    note = "probability of failing within the time given (UTC)"
    # Below the table: beside so many columns reasons would have no room.
    reasons = [Prose(f"{row['rank']}: {row['reasons']}") for row in work[:_MOST_WORK]]
    return [table, note, *reasons, *more]


def _draw_nearest(nearest: list[dict[str, Any]]) -> list[RenderableType]:
    if not nearest:
        return []
    table = make_table("machine", ("component", "left"), ("probability", "right"), ("alert on at", "right"))
    for row in nearest:
        levels = (show_probability(row[name]) for name in ("probability", "threshold"))
        table.add_row(f"{row['machineID']}", row["component"], *levels)
    return ["nearest to an alert", table]


def _draw_drift(summary: dict[str, Any]) -> list[RenderableType]:
    drift, rows = summary["drift"], summary["drift_rows"]
    if rows < LEAST_ROWS:
        told = f"{show_count(rows, 'instant')} that the model did not learn from" if rows else "no instant is new to it"
        return [Prose(f"drift cannot be told: {told}, wanted {LEAST_ROWS:,}")]
    if not drift:
        return []
    table = make_table("drifted feature", ("stability index", "right"))
    for row in drift[:_MOST_DRIFT]:
        table.add_row(row["feature"], f"{row['stability_index']:.2f}")
    told = (
        f"{show_count(len(drift), 'feature')} spread otherwise than in the training (population stability index of .25 "
        "or more)"
    )
    return [Prose(f"{told}; all are in drift.csv"), table]


def _day(text: str) -> str:
    """Return a stamp without its year, which stands above."""
    return show_stamp(text)[5:]
