"""Small pictures over time for cells of tables, as SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from pdm_cli.report.page import Picture
from pdm_cli.text import show_count, show_number

_HEIGHT, _WIDTH = 20, 10
# Shares of readings that exist, from which on a bucket is complete, or good.
COMPLETE, GOOD = 0.995, 0.9


def average_runs(values: Sequence[float | None], most: int) -> list[float | None]:
    """Return at most ``most`` means of neighbouring values, of about as many each; ``None`` are left out.

    Examples
    --------
    >>> average_runs([1.0, 0.5, None, None], 2)
    [0.75, None]
    """
    count = min(len(values), max(most, 1))
    edges = [place * len(values) // count for place in range(count + 1)] if count else [0]
    runs = [[value for value in values[start:stop] if value is not None] for start, stop in pairwise(edges)]
    return [sum(run) / len(run) if run else None for run in runs]


def draw_presence(shares: Sequence[float | None]) -> Picture:
    """Return the share of readings that exist over time: a bar per bucket, orange and red where some are missing."""
    bars = []
    place = 0
    for shape, run in groupby(map(_shape, shares)):
        length = len(list(run))
        if shape is not None:
            bars.append(_bar(place, length, *shape))
        place += length
    return Picture(_frame(bars, len(shares), is_tinted=True), _describe_presence(shares))


def draw_counts(counts: Sequence[int], noun: str) -> Picture:
    """Return numbers of events over time: a bar per bucket."""
    most = max([*counts, 1])
    bars = [
        _bar(place, 1, max(3.0, round(count / most * _HEIGHT, 1)), "red") for place, count in enumerate(counts) if count
    ]
    text = f"{show_count(sum(counts), noun)}, at most {max(counts, default=0):,} in a bar"
    return Picture(_frame(bars, len(counts), is_tinted=True), text)


def draw_level(levels: Sequence[float | None]) -> Picture:
    """Return the mean reading over time: a line with gaps without readings."""
    known = [level for level in levels if level is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    lines: list[str] = []
    points: list[tuple[float, float]] = []
    for place, level in enumerate([*levels, None]):
        if level is None:
            if points:
                lines.append(_line(points))
            points = []
        else:
            height = (level - low) / (high - low) if high > low else 0.5
            points.append((_WIDTH * (place + 0.5), 2 + (_HEIGHT - 4) * (1 - height)))
    text = f"means from {show_number(low)} to {show_number(high)}" if known else "no readings"
    return Picture(_frame(lines, len(levels)), text)


def _shape(share: float | None) -> tuple[float, str] | None:
    """Return height and colour of a bar; None without readings."""
    if not share:
        return None
    if share >= COMPLETE:
        return _HEIGHT, "blue"
    # Few readings are not none.
    return max(2.0, round(share * (_HEIGHT - 3), 1)), "orange" if share >= GOOD else "red"


def _bar(place: int, length: int, height: float, colour: str) -> str:
    # Without gaps between bars of the same height.
    return (
        f'<rect x="{_WIDTH * place}" y="{_HEIGHT - height:g}" width="{_WIDTH * length}" height="{height:g}" '
        f'fill="var(--{colour})"/>'
    )


def _line(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        ((x, y),) = points
        points = [(x - _WIDTH / 2, y), (x + _WIDTH / 2, y)]
    drawn = " ".join(f"{x:g},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{drawn}" fill="none" stroke="var(--blue)" stroke-width="1.6" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _frame(drawn: Sequence[str], buckets: int, *, is_tinted: bool = False) -> str:
    width = _WIDTH * max(buckets, 1)
    # Bars side by side have no seams.
    rendering = "crispEdges" if is_tinted else "auto"
    ground = f'<rect width="{width}" height="{_HEIGHT}" fill="var(--tint)"/>' if is_tinted else ""
    size = f'viewBox="0 0 {width} {_HEIGHT}" preserveAspectRatio="none"'
    return f'{size} shape-rendering="{rendering}">{ground}{"".join(drawn)}'


def _describe_presence(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None]
    if not known:
        return "no readings expected"
    worst = min(known)
    return "all readings exist" if worst >= COMPLETE else f"at the worst, {worst:.0%} of the readings exist"
