"""Screen of ``pdm explain``: the reasons for a probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.tables import make_table
from pdm_cli.features.describe import format_value
from pdm_cli.report.lifetimes import show_part_age, show_risk
from pdm_cli.text import Prose, show_count, show_number, show_probability
from pdm_cli.units import (
    in_units_of_summary,
    show_days,
    show_hours,
    show_hours_to_failure,
    show_reading,
    show_short_time,
    show_time,
    show_two_hours,
    utc,
)

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement

_BLOCKS = "▁▂▃▄▅▆▇█"
# Fewer columns would show no trend.
_LEAST_WIDTH = 14
# Eight heights for terminals without block characters: the more ink, the higher.
_LETTERS = "_.-:=+*#"


class Sparkline:
    """Numbers as a line of blocks of different heights, or of letters where the output has no blocks.

    ``None`` leaves a blank; ``low`` and ``high`` are drawn at the lowest and highest, by default the extremes of the
    values.
    """

    def __init__(self, values: Sequence[float | None], low: float | None = None, high: float | None = None) -> None:
        known = [value for value in values if value is not None]
        self._values = values
        self._low = min(known, default=0.0) if low is None else low
        self._high = max(known, default=0.0) if high is None else high

    def draw(self, heights: str) -> str:
        """Return the line in the characters given, lowest first."""
        reach, top = self._high - self._low, len(heights) - 1
        return "".join(
            " " if value is None else heights[round(top * (value - self._low) / reach) if reach > 0 else 0]
            for value in self._values
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the line."""
        from rich.text import Text

        line = Sparkline(self._pooled(options.max_width), self._low, self._high)
        yield Text(line.draw(_LETTERS if options.ascii_only else _BLOCKS), no_wrap=True, overflow="crop")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width: one character per number."""
        from rich.measure import Measurement

        return Measurement(min(_LEAST_WIDTH, len(self._values)), len(self._values))

    def _pooled(self, width: int) -> Sequence[float | None]:
        """Return as many means as fit, the last one of the latest values."""
        share = max(-(-len(self._values) // max(width, 1)), 1)
        ends = range(len(self._values), 0, -share)
        pieces = [[v for v in self._values[max(end - share, 0) : end] if v is not None] for end in reversed(ends)]
        return [fmean(piece) if piece else None for piece in pieces]


@in_units_of_summary
def draw_explanation(found: dict[str, Any]) -> list[RenderableType]:
    """Draw the state of the components, the reasons for one of them, and the sensors of the days before."""
    span = show_two_hours(found["lead_time_hours"], found["horizon_hours"])
    head = f"machine {found['machineID']} at {show_time(found['datetime'])}{utc()}: probability of failure in {span}"
    drawn = [Prose(head), _draw_components(found), *_draw_by_age(found), *_draw_reasons(found)]
    return [*drawn, *_draw_sensors(found["before"])]


def _draw_components(found: dict[str, Any]) -> RenderableType:
    has_hours = any(show_hours_to_failure(row) for row in found["components"].values())
    fails = [("fails", "left")] if has_hours else []
    names = (("probability", "right"), *fails, ("alert", "left"), (_days(found["before"]), "left"))
    table = make_table("component", *names)
    for name, row in found["components"].items():
        alert = f"since {show_short_time(row['since'])}" if row["alert"] else "off"
        line = Sparkline(found["before"]["probabilities"][name], 0.0, 1.0)
        expected = [show_hours_to_failure(row) or "-"] if has_hours else []
        table.add_row(name, show_probability(row["probability"]), *expected, alert, line)
    return table


def _draw_by_age(found: dict[str, Any]) -> list[RenderableType]:
    """Draw the probability by age of components that never alert."""
    within = f"within {show_hours(found['horizon_hours'])}"
    parts = {name: row["by_age"] for name, row in found["components"].items() if row["by_age"] is not None}
    return [
        Prose(f"{name} never alerts; at its age of {show_part_age(part)}, {show_risk(part)} fail {within}")
        for name, part in parts.items()
    ]


def _draw_reasons(found: dict[str, Any]) -> list[RenderableType]:
    name, others = found["component"], found["others"]
    if not found["reasons"]:
        return [f"no feature changes the probability of {name}"]
    table = make_table("log-odds", (f"for (+) and against (-) a failure of {name}", "left"), ("typical", "left"))
    table.columns[0].justify = "right"
    for reason in found["reasons"]:
        table.add_row(f"{reason['log_odds']:+.2f}", reason["words"], _show_typical(reason["feature"], reason["usual"]))
    if others["count"]:
        table.add_row(f"{others['log_odds']:+.2f}", f"{others['count']:,} other features combined", "")
    note = "log-odds before calibration: the further from 0, the larger the effect"
    return [table, note, "typical: median in training (first to ninth decile)"]


def _draw_sensors(before: dict[str, Any]) -> list[RenderableType]:
    """Draw the sensors that changed in the days before, and the number of the others."""
    names = (f"{name} mean" for name in ("lowest", "highest", "last"))
    table = make_table("sensor", *((name, "right") for name in names), (_days(before), "left"))
    constant = 0
    for name, values in before["sensors"].items():
        known = [value for value in values if value is not None]
        # Means of equal readings differ by rounding.
        if known and math.isclose(min(known), max(known), rel_tol=1e-9):
            constant += 1
            continue
        shown = (min(known), max(known), known[-1]) if known else ()
        facts = [show_reading(name, show_number(value)) for value in shown] or ["-"] * 3
        table.add_row(name, *facts, Sparkline(values))
    others = [Prose(f"{show_count(constant, 'constant sensor')} left out")] if constant else []
    return [*([table] if table.row_count else []), *others]


def _show_typical(name: str, typical: dict[str, Any]) -> str:
    if typical["middle"] is None or typical["missing_share"] > 0.5:
        return "-"
    low, middle, high = (format_value(name, typical[key]) for key in ("low", "middle", "high"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _days(before: dict[str, Any]) -> str:
    spans = len(next(iter(before["sensors"].values())))
    return f"{show_days(spans * before['span_hours'] / 24)} before, {show_hours(before['span_hours'])} a bar"
