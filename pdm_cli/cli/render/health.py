"""Terminal screen of the health of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.tables import make_table
from pdm_cli.report.findings import describe_alarm_rate
from pdm_cli.text import Prose, show_count
from pdm_cli.units import in_units_of_summary, show_days, show_range, show_time, utc

if TYPE_CHECKING:
    from rich.console import RenderableType

# More rows than these are in ranking.csv only.
_MOST = 20


@in_units_of_summary
def draw_health(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the machines with an alarm, and those nearest to one."""
    facts = (
        f"health of {show_count(summary['machines'], 'machine')}, "
        f"{show_range(summary['start'], summary['end'])}{utc()}, "
        f"calibrated on the {show_days(summary['reference_days'], '.4g')} before; "
        f"{show_count(summary['episodes'], 'alarm episode')}"
    )
    note = f"health: 1 as usual, below 0.5 an alarm; {describe_alarm_rate(summary)}"
    return [Prose(facts), *_draw_ranking(summary["ranking"]), *_draw_nearest(summary["nearest"]), Prose(note)]


def _draw_ranking(ranking: list[dict[str, Any]]) -> list[RenderableType]:
    if not ranking:
        return ["machines to inspect: no alarm is on"]
    columns = (("machine", "left"), ("health", "right"), ("alarm since", "left"), ("sensors", "left"))
    table = make_table("rank", *columns)
    for row in ranking[:_MOST]:
        silent = f" (silent since {show_time(row['datetime'])})" if row["is_stale"] else ""
        cells = f"{row['machineID']}{silent}", f"{row['health']:.2f}", show_time(row["since"]), row["sensors"]
        table.add_row(str(row["rank"]), *cells)
    more = [f"and {len(ranking) - _MOST:,} more in ranking.csv"] if len(ranking) > _MOST else []
    return [table, *more]


def _draw_nearest(nearest: list[dict[str, Any]]) -> list[RenderableType]:
    if not nearest:
        return []
    table = make_table("machine", ("health", "right"), ("sensors", "left"))
    for row in nearest:
        table.add_row(f"{row['machineID']}", f"{row['health']:.2f}", row["sensors"])
    return ["closest to an alarm", table]
