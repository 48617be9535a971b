"""Plots as SVG that take their colours from the page, readable in light and in dark mode."""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from pdm_cli.units import current, name_sensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders: matplotlib draws with these colours, which are then replaced by the colour names of the page.
INK, SOFT, LINE, BLUE, ORANGE, RED = "#010101", "#010102", "#010103", "#010104", "#010105", "#010106"
_PAGE_COLOURS = {
    INK: "currentColor",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    RED: "var(--red)",
}
_STYLE: dict[str, Any] = {
    # Keep text as text: it can be read aloud, found and copied, and has the font of the page.
    "svg.fonttype": "none",
    "svg.hashsalt": "pdm",
    # A component may be called $1.
    "text.parse_math": False,
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "lines.solid_capstyle": "round",
}


def draw(
    paint: Callable[[Figure], None], *, name: str, title: str, text: str, size: tuple[float, float] = (3.2, 2.6)
) -> str:
    """Draw a figure and return an ``svg`` element with title and description, to be embedded in a page.

    Parameters
    ----------
    paint : callable
        Draws into an empty figure.
    name : str
        Unique on the page; letters, digits and dashes.
    title, text : str
        Title and description for screen readers.
    size : tuple of float
        Width and height in inches of 72 units.
    """
    # Suppress messages about the font cache.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = io.StringIO()
    # The default style first, so that a user's matplotlibrc has no effect.
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # The browser's fonts draw scripts that the font of matplotlib lacks.
        warnings.simplefilter("ignore")
        figure = Figure(figsize=size)
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        paint(figure)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _fit_into_page(stream.getvalue(), name, title, text)


def _fit_into_page(svg: str, name: str, title: str, text: str) -> str:
    """Return the bare ``svg`` element with page colours, unique ids, title and description."""
    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', body)
    inner = body[body.index(">") + 1 : body.rindex("</svg>")]
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", inner, flags=re.S)
    inner = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', inner)
    inner = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", inner).replace("xlink:href=", "href=")
    inner = inner.replace('href="#', f'href="#{name}-')
    inner = re.sub(r"font: (?:bold )?([\d.]+)px [^;\"]+", r"font-size: \1px", inner)
    for drawn, shown in _PAGE_COLOURS.items():
        inner = inner.replace(drawn, shown)
    inner = re.sub(r"\n\s*", "\n", inner).strip()
    assert box is not None
    head = f'<svg viewBox="{box[1]}" role="img" aria-labelledby="{name}-title {name}-desc">'
    labels = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(text)}</desc>'
    return f"{head}{labels}\n{inner}\n</svg>"


def paint_precision_recall(
    x: Sequence[float], y: Sequence[float], point: tuple[float, float] | None
) -> Callable[[Figure], None]:
    """Return a function that draws precision against recall, with a dot for the alerts."""

    def paint(figure: Figure) -> None:
        axes = _unit_square(figure, "recall", "precision")
        axes.plot(x, y, color=BLUE, linewidth=2)
        if point is not None:
            axes.plot(*point, marker="o", markersize=7, color=ORANGE, clip_on=False, zorder=3)

    return paint


def paint_calibration(
    predicted: Sequence[float], observed: Sequence[float], rows: Sequence[int]
) -> Callable[[Figure], None]:
    """Return a function that draws the share that failed against the prediction; points grow with their rows."""

    def paint(figure: Figure) -> None:
        axes = _unit_square(figure, "predicted probability", "share that failed")
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.2, linestyle="--")
        areas = [20 + 60 * min(count / 500, 1) for count in rows]
        axes.scatter(predicted, observed, s=areas, color=BLUE, clip_on=False, zorder=3, linewidths=0)

    return paint


def paint_alarm_curve(
    rates: Sequence[float], shares: Sequence[float], chosen: int, per: str
) -> Callable[[Figure], None]:
    """Return a function that draws the share of failures caught against false alarms, with a dot for the chosen rule.

    ``per`` is the denominator of the rates.
    """

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = _unit_square(figure, f"false alarms per {per}", "share of failures caught")
        # One false alarm or none has no scale of its own.
        longest = 1.08 * max(rates) or 1.0
        axes.step([*rates, longest], [*shares, shares[-1]], where="post", color=BLUE, linewidth=2)
        axes.plot(rates[chosen], shares[chosen], marker="o", markersize=7, color=ORANGE, clip_on=False, zorder=3)
        axes.set_xlim(0, longest)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:g}")

    return paint


def _unit_square(figure: Figure, across: str, up: str) -> Axes:
    axes: Axes = figure.add_subplot()
    axes.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel=across, ylabel=up)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    labels = ["0", ".25", ".5", ".75", "1"]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    return axes


def paint_warnings(edge_hours: Sequence[float], counts: Sequence[int], lead_hours: float) -> Callable[[Figure], None]:
    """Return a function that draws a histogram of warning times; the shortest useful warning is marked."""

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes: Axes = figure.add_subplot()
        edges, lead = _in_time_unit(edge_hours), current().in_time_unit(lead_hours)
        widths = [high - low for low, high in pairwise(edges)]
        axes.bar(edges[:-1], counts, width=[0.86 * width for width in widths], align="edge", color=BLUE)
        axes.axvline(lead, color=ORANGE, linewidth=1.5, linestyle="--")
        # From left to right, time runs towards the failure.
        axes.set(xlim=(edges[-1], 0), xlabel=f"{current().time_word} before the failure", ylabel="failures")
        axes.set_xticks(_round_ticks(edges[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(visible=False, axis="x")

    return paint


def _in_time_unit(hours: Sequence[float]) -> list[float]:
    return [current().in_time_unit(hour) for hour in hours]


def _round_ticks(longest: float, most: int = 8) -> list[float]:
    """Return ticks from 0 in round steps of hours or cycles."""
    of_hours, of_cycles = (1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 672), (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    steps = of_cycles if current().counts_cycles else of_hours
    step = next((step for step in steps if longest / step <= most), 2000)
    return [float(tick) for tick in range(0, int(longest) + 1, step)]


def paint_timeline(line: Mapping[str, Any], levels: tuple[float, float]) -> Callable[[Figure], None]:
    """Return a function that draws the timeline of a failure: the sensor above, probability and alert thresholds below.

    ``line`` is the output of :func:`pdm_cli.evaluation.timelines.cut_timeline`; ``levels`` are the probabilities at
    which the alert turns on and off.
    """

    def paint(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        readings, anomalies, prediction = line["readings"], line["anomalies"], line["prediction"]
        values = [float("nan") if value is None else value for value in readings["values"]]
        read_at, hours = _in_time_unit(readings["hours"]), _in_time_unit(prediction["hours"])
        above.plot(read_at, values, color=SOFT, linewidth=0.9)
        if anomalies is not None:
            above.plot(
                _in_time_unit(anomalies["hours"]), anomalies["values"], "o", markersize=4, color=RED, linestyle="none"
            )
        above.set_ylabel(name_sensor(line["sensor"]))
        is_on = prediction["alert"]
        below.plot(hours, prediction["probability"], color=BLUE, linewidth=1.8, drawstyle="steps-post")
        _shade(below, hours, is_on)
        for level, style in zip(levels, ("-", ":"), strict=True):
            # A component that never alerts has no thresholds.
            if levels[0] <= 1:
                below.axhline(level, color=ORANGE, linewidth=1.3, linestyle=style)
        below.set(ylim=(0, 1.03), ylabel="probability", xlabel=f"{current().time_word} from the failure")
        below.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        start, end = _ends(read_at, hours)
        below.set_xlim(start, end)
        below.set_xticks([-tick for tick in _round_ticks(-start, 6)][::-1])
        for axes in (above, below):
            axes.axvline(0, color=INK, linewidth=1.6)
        figure.align_ylabels()

    return paint


def _shade(axes: Axes, hours: Sequence[float], is_on: Sequence[bool]) -> None:
    """Shade the time of the alert, which lasts until the row that ends it."""
    lasts = [here or before for here, before in zip(is_on, [False, *is_on], strict=False)]
    axes.fill_between(hours, 0, 1, where=lasts, step="post", color=ORANGE, alpha=0.25, linewidth=0)


def _ends(*spans: Sequence[float]) -> tuple[float, float]:
    hours = [hour for span in spans for hour in span] or [0.0]
    return min(hours), max(*hours, 1.0)


# Longer courses have an axis in days.
_MOST_HOURS = 14 * 24


def paint_health(hours: Sequence[float], health: Sequence[float], is_on: Sequence[bool]) -> Callable[[Figure], None]:
    """Return a function that draws the health over the last months, with the alarm level and the alarms."""
    # Hours are hard to read over weeks.
    in_days = not current().counts_cycles and -min(hours) > _MOST_HOURS
    times, unit = ([hour / 24 for hour in hours], "days") if in_days else (_in_time_unit(hours), current().time_word)

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        _shade(axes, times, is_on)
        axes.plot(times, health, color=BLUE, linewidth=1.8, drawstyle="steps-post")
        axes.axhline(0.5, color=ORANGE, linewidth=1.3)
        axes.set(ylim=(0, 1.03), xlim=_ends(times), xlabel=f"{unit} from the last reading", ylabel="health")
        longest = -min(times)
        weeks = [float(day) for day in range(0, int(longest) + 1, 7 if longest <= 42 else 14)]
        ticks = weeks if in_days else _round_ticks(longest, 5)
        axes.set_xticks([-tick for tick in ticks][::-1])
        axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])

    return paint


def paint_outlook(
    hours: Sequence[float], probability: Sequence[float], is_on: Sequence[bool]
) -> Callable[[Figure], None]:
    """Return a function that draws the probability over the last days, with the time of the alert shaded."""
    hours = _in_time_unit(hours)
    # A prediction is valid until the next one.
    step = hours[-1] - hours[-2]
    hours, probability, is_on = (
        [*values, last]
        for values, last in ((hours, hours[-1] + step), (probability, probability[-1]), (is_on, is_on[-1]))
    )

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        _shade(axes, hours, is_on)
        axes.plot(hours, probability, color=BLUE, linewidth=1.8, drawstyle="steps-post")
        axes.set(
            ylim=(0, 1.03),
            xlim=_ends(hours),
            xlabel=f"{current().time_word} from the last reading",
            ylabel="probability",
        )
        axes.set_xticks([-tick for tick in _round_ticks(-min(hours), 5)][::-1])
        axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])

    return paint


def paint_episode(course: Mapping[str, Any], sensor: str) -> Callable[[Figure], None]:
    """Return a function that draws a sensor around an episode of anomalies.

    ``course`` is the output of :func:`pdm_cli.anomalies.episodes.cut_course`.
    """

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        values = [float("nan") if value is None else value for value in course["readings"]]
        read_at, found = _in_time_unit(course["hours"]), course["anomalies"]
        at = _in_time_unit(found["hours"])
        axes.plot(read_at, values, color=SOFT, linewidth=0.9)
        axes.plot(at, found["expected"], ".", markersize=2, color=ORANGE)
        axes.plot(at, found["values"], "o", markersize=3, color=RED, linestyle="none")
        axes.axvspan(0, current().in_time_unit(course["length_hours"]), color=ORANGE, alpha=0.15, linewidth=0)
        start, end = _ends(read_at)
        axes.set(xlim=(start, end), ylabel=name_sensor(sensor))
        axes.set_xlabel(f"{current().time_word} from the first anomalous reading")
        step = _round_ticks(end - start, 8)[1]
        axes.set_xticks([step * number for number in range(math.ceil(start / step), int(end // step) + 1)])

    return paint
