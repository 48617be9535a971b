"""Means and extremes over long trailing windows, per machine and sensor.

Readings are first summed up per interval of the feature grid. A window of 2 k intervals is the sum of its two halves,
so a window of w intervals takes about log2 w additions of whole series instead of w. Each sum still consists of the
readings in its window alone: a running sum would keep the rounding errors of a glitch that has left the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.preparation.cleaning import sensors_of

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class LongWindow:
    """A trailing window of a number of grid intervals, and the fewest readings for which its mean is known."""

    intervals: int
    fewest: int

    @classmethod
    def of(cls, intervals: int, *, step_us: int, grid_us: int) -> LongWindow:
        """Return a window that needs half of its readings."""
        return cls(intervals, max(round(_LEAST_SHARE * intervals * grid_us / step_us), 1))


def trailing_means(
    telemetry: pd.DataFrame, instants: Instants, windows: Sequence[LongWindow], *, grid_us: int
) -> list[FloatArray]:
    """Return the mean of each sensor over each window at every instant.

    A window consists of the grid intervals that end at or before the instant; the last one ends at the instant if that
    is a multiple of the grid.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and s float sensors; sorted by machine, then time.
    instants : Instants
        The m instants, in any order.
    windows : sequence of LongWindow
        At least one.
    grid_us : int
        Length of an interval in microseconds; the intervals end at its multiples since 1970.

    Returns
    -------
    list of (s, m) arrays
        One per window; NaN where it has too few readings.
    """
    means = [np.full((len(sensors_of(telemetry)), len(instants.times)), np.nan) for _ in windows]
    longest = max(window.intervals for window in windows)
    for part in _parts(telemetry, instants, grid_us=grid_us, longest=longest):
        totals = _combine(part.add_up(), [window.intervals for window in windows], np.add, 0.0)
        for window, found, total in zip(windows, means, totals, strict=True):
            found[:, part.rows] = _mean_of(total[:, part.places], window.fewest)
    return means


def trailing_changes(
    telemetry: pd.DataFrame, instants: Instants, thirds: Sequence[int], *, step_us: int, grid_us: int
) -> list[FloatArray]:
    """Return the change of each sensor over windows of three times numbers of intervals, at every instant.

    It is the mean over the last third of the window minus that over the first one. Where a machine's history is shorter
    than the window, but not than a third of it, the change is that in the history, at the same rate.

    Parameters
    ----------
    telemetry, instants, grid_us
        As for :func:`trailing_means`.
    thirds : sequence of int
        Intervals in a third of each window, at least one.
    step_us : int
        Step of the telemetry in microseconds.

    Returns
    -------
    list of (s, m) arrays
        One per window; NaN where a third has fewer than half of its readings, or the history is too short.
    """
    changes = [np.full((len(sensors_of(telemetry)), len(instants.times)), np.nan) for _ in thirds]
    for part in _parts(telemetry, instants, grid_us=grid_us, longest=3 * max(thirds)):
        added = part.add_up()
        for third, found, total in zip(thirds, changes, _combine(added, thirds, np.add, 0.0), strict=True):
            length = np.minimum(part.places + 1, 3 * third)
            own = length // 3
            fewest = np.maximum(np.round(_LEAST_SHARE * own * grid_us / step_us), 1)
            last, first = total[:, part.places], total[:, np.maximum(part.places - 2 * third, 0)]
            is_short = (length < 3 * third) & (length >= max(third, 3))
            ends, lengths = part.places[is_short] + 1, own[is_short]
            last[:, is_short] = _sum_between(added, ends - lengths, ends)
            first[:, is_short] = _sum_between(added, np.zeros_like(ends), lengths)
            change = (_mean_of(last, fewest) - _mean_of(first, fewest)) * (2 * third / (length - own))
            found[:, part.rows] = np.where(is_short | (length == 3 * third), change, np.nan)
    return changes


def _sum_between(added: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Return the sums of some spans of intervals, shape (r, k), each of its intervals alone."""
    if not len(starts):
        return np.empty((len(added), 0))
    # A span may end at the end of the series, which reduceat does not take for a position.
    padded = np.pad(added, ((0, 0), (0, 1)))
    sums: FloatArray = np.add.reduceat(padded, np.column_stack([starts, ends]).ravel(), axis=1)[:, ::2]
    return sums


def _mean_of(total: FloatArray, fewest: FloatArray | int) -> FloatArray:
    """Return means (s, m) of counts and sums (2 s, m); NaN for counts below ``fewest`` (m)."""
    counts, sums = np.split(total, 2)
    return np.where(counts >= fewest, sums / np.maximum(counts, 1), np.nan)


def trailing_extremes(
    telemetry: pd.DataFrame, instants: Instants, lengths: Sequence[int], *, grid_us: int
) -> list[tuple[FloatArray, FloatArray]]:
    """Return the smallest and the largest reading of each sensor in windows of numbers of intervals, at every instant.

    Parameters and shapes are those of :func:`trailing_means`; NaN where the window has no reading.
    """
    shape = len(sensors_of(telemetry)), len(instants.times)
    extremes = [(np.full(shape, np.nan), np.full(shape, np.nan)) for _ in lengths]
    for part in _parts(telemetry, instants, grid_us=grid_us, longest=max(lengths)):
        totals = _combine(part.lowest(), lengths, np.minimum, np.inf)
        for (low, high), total in zip(extremes, totals, strict=True):
            lowest, negative = np.split(total[:, part.places], 2)
            low[:, part.rows] = np.where(np.isfinite(lowest), lowest, np.nan)
            high[:, part.rows] = np.where(np.isfinite(negative), -negative, np.nan)
    return extremes


@dataclass(frozen=True)
class _Part:
    """A machine's readings (s, n) with the interval of each, and its instants with the last interval of each."""

    readings: FloatArray
    cells: IntArray
    rows: IntArray
    places: IntArray

    @property
    def _length(self) -> int:
        return int(max(self.cells[-1], self.places.max())) + 1

    def add_up(self) -> FloatArray:
        """Return the number of readings of each sensor in each interval, then their sums, shape (2 s, L)."""
        sensors = len(self.readings)
        is_there = np.isfinite(self.readings)
        cells = (self.cells + self._length * np.arange(sensors)[:, None]).ravel()
        added = np.empty((2, sensors * self._length))
        for total, part in zip(added, (is_there, np.where(is_there, self.readings, 0.0)), strict=True):
            total[:] = np.bincount(cells, part.ravel(), sensors * self._length)
        return added.reshape(2 * sensors, self._length)

    def lowest(self) -> FloatArray:
        """Return the smallest reading of each sensor in each interval, then the smallest negative one, (2 s, L)."""
        both = np.concatenate([self.readings, -self.readings])
        both[~np.isfinite(both)] = np.inf
        first = np.flatnonzero(np.diff(self.cells, prepend=-1))
        found = np.full((len(both), self._length), np.inf)
        found[:, self.cells[first]] = np.minimum.reduceat(both, first, axis=1)
        return found


def _parts(telemetry: pd.DataFrame, instants: Instants, *, grid_us: int, longest: int) -> Iterator[_Part]:
    """Yield the machines that have both readings and instants within the longest window after one."""
    rows = Instants.of(telemetry)
    readings = telemetry[sensors_of(telemetry)].to_numpy(np.float64).T
    bounds = np.searchsorted(rows.codes, np.arange(len(rows.machines) + 1))
    order = np.argsort(instants.codes, kind="stable")
    asked = np.searchsorted(instants.codes[order], np.arange(len(instants.machines) + 1))
    for code, source in enumerate(rows.machines.get_indexer(instants.machines)):
        if source < 0:
            continue
        own, at = slice(bounds[source], bounds[source + 1]), order[asked[code] : asked[code + 1]]
        intervals = -(-rows.times[own] // grid_us)
        # Readings this far apart share no window.
        cells = np.cumsum(np.minimum(np.diff(intervals, prepend=intervals[:1]), longest + 1))
        ends = instants.times[at] // grid_us
        last = np.searchsorted(intervals, ends, "right") - 1
        passed = ends - intervals[last]
        is_near = (last >= 0) & (passed < longest)
        if is_near.any():
            yield _Part(readings[:, own], cells, at[is_near], (cells[last] + passed)[is_near])


def _combine(series: FloatArray, lengths: Sequence[int], combine: np.ufunc, empty: float) -> list[FloatArray]:
    """Return the combination of the last intervals, for each length, at every interval; shape (r, L) each.

    Those of 1, 2, 4 .. intervals are built one from the other, and those that make up a length are combined.
    """
    totals = [np.full(series.shape, empty) for _ in lengths]
    ends = [0] * len(lengths)
    power, run = series, 1
    while run <= max(lengths):
        for number, length in enumerate(lengths):
            if length & run:
                _combine_late(totals[number], power, ends[number], combine)
                ends[number] += run
        doubled = power.copy()
        _combine_late(doubled, power, run, combine)
        power, run = doubled, 2 * run
    return totals


def _combine_late(total: FloatArray, power: FloatArray, late: int, combine: np.ufunc) -> None:
    """Combine the total with values that end ``late`` intervals earlier."""
    if late < total.shape[1]:
        ahead = total[:, late:]
        combine(ahead, power[:, : total.shape[1] - late], out=ahead)
