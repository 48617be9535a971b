"""Render the quality of data: problems, sensors with their readings over time, and findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from pdm_cli.cli.render.tables import make_table
from pdm_cli.report.findings import list_findings, show_share
from pdm_cli.report.strips import COMPLETE, GOOD, average_runs
from pdm_cli.text import Prose, show_count, show_number
from pdm_cli.units import in_units_of_summary, name_sensor

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

# More sensors than these are in the report only.
_MOST_SENSORS = 25
_LEAST_WIDTH = 12
_BLOCKS, _DIGITS = " ▁▂▃▄▅▆▇█", " 12345678#"


class Bar:
    """The share of readings that exist over time, as one line of blocks; ``None`` where none are expected."""

    def __init__(self, shares: Sequence[float | None]) -> None:
        self._shares = shares

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the least and the largest width."""
        most = max(len(self._shares), 1)
        return Measurement(min(_LEAST_WIDTH, most, options.max_width), min(most, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        """Yield a coloured block per bucket, of as many as fit."""
        blocks = _DIGITS if options.ascii_only else _BLOCKS
        for share in average_runs(self._shares, options.max_width):
            yield Segment(_block(share, blocks), None if share is None else Style(color=_colour(share)))


def _block(share: float | None, blocks: str) -> str:
    if share is None:
        return "."
    if share >= COMPLETE:
        return blocks[-1]
    # Few readings are not none, and many are not all.
    inner = len(blocks) - 2
    return blocks[0] if share <= 0 else blocks[min(1 + int(share * inner), inner)]


def _colour(share: float) -> str:
    return "green" if share >= COMPLETE else "yellow" if share >= GOOD else "red"


@in_units_of_summary
def draw_checks(quality: dict[str, Any]) -> list[RenderableType]:
    """Draw problems, sensors over time, and findings; quality written by an earlier version has findings only."""
    drawn: list[RenderableType] = []
    if "problems" in quality:
        drawn += [*_draw_problems(quality["problems"]), *_draw_sensors(quality["overview"])]
    table = make_table("finding", ("count", "right"), ("first", "left"))
    for name, count, first in list_findings(quality):
        table.add_row(name, f"{count:,}", first)
    return [*drawn, table if table.row_count else Prose("no rows dropped or changed")]


def _draw_problems(problems: list[dict[str, Any]]) -> list[RenderableType]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not problems:
        return [Prose("no problems found")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("problem")
    for problem in problems:
        is_warning = problem["level"] == "warning"
        mark = Text("!" if is_warning else "-", style="bold yellow" if is_warning else "dim")
        table.add_row(mark, Text(problem["text"]))
        if problem["hint"]:
            table.add_row("", Text(problem["hint"], style="dim"))
    return [table]


def _draw_sensors(overview: dict[str, Any]) -> list[RenderableType]:
    sensors = overview["sensors"]
    columns = (("missing", "right"), ("lowest", "right"), ("mean", "right"), ("highest", "right"))
    table = make_table("sensor", *columns, ("readings over time", "left"))
    shown = sensors
    if len(sensors) > _MOST_SENSORS:
        worst = sorted(sensors, key=lambda sensor: -sensor["missing_share"])[:_MOST_SENSORS]
        shown = [sensor for sensor in sensors if sensor in worst]
    for sensor in shown:
        values = (show_number(sensor[name]) for name in ("low", "mean", "high"))
        table.add_row(
            name_sensor(sensor["sensor"]), show_share(sensor["missing_share"]), *values, Bar(sensor["present"])
        )
    more = len(sensors) - len(shown)
    rest = [Prose(f"and {show_count(more, 'sensor')} with fewer missing readings, in the report")] if more else []
    return [table, *rest]
