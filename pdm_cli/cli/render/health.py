"""Terminal screen of the health of machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.tables import make_table
from pdm_cli.report.findings import describe_alarm_rate
from pdm_cli.text import Prose, show_count
from pdm_cli.units import in_units_of_summary, show_range, show_time, show_whole_days, utc

if TYPE_CHECKING:
    from rich.console import RenderableType

# More rows than these are in ranking.csv only.
_MOST = 20
_MOST_EPISODES = 5


@in_units_of_summary
def draw_health(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the machines with an alarm, those nearest to one, and the latest alarms."""
    facts = (
        f"health of {show_count(summary['machines'], 'machine')}, "
        f"{show_range(summary['start'], summary['end'])}{utc()}, "
        f"calibrated on the {show_whole_days(summary['reference_days'])} before; "
        f"{show_count(summary['episodes'], 'alarm episode')}"
    )
    note = f"health: 1 as usual, below 0.5 an alarm; {describe_alarm_rate(summary)}"
    machines = [*_draw_ranking(summary["ranking"]), *_draw_nearest(summary["nearest"])]
    return [Prose(facts), *machines, *_draw_episodes(summary), Prose(note)]


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


def _draw_episodes(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the latest alarms, unless they are those that are on."""
    latest = summary["latest_episodes"][:_MOST_EPISODES]
    if summary["episodes"] <= len(summary["ranking"]):
        return []
    table = make_table("machine", ("from", "left"), ("to", "left"), ("health", "right"), ("sensors", "left"))
    for row in latest:
        cells = show_time(row["start"]), show_time(row["end"]), f"{row['health']:.2f}", row["sensors"]
        table.add_row(f"{row['machineID']}", *cells)
    rest = summary["episodes"] - len(latest)
    more = [f"and {rest:,} more in episodes.parquet"] if rest else []
    return ["latest alarms", table, *more]
