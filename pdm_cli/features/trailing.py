"""Means over long trailing windows, per machine and sensor.

Readings are first summed up per interval of the feature grid. A window of 2 k intervals is the sum of its two halves,
so a window of w intervals takes log2 w additions of whole series instead of w. Each sum still consists of the readings
in its window alone: a running sum would keep the rounding errors of a glitch that has left the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.preparation.cleaning import sensors_of

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LongWindow:
    """A trailing window of a number of grid intervals, and the fewest readings for which its mean is known."""

    intervals: int
    fewest: int


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
    sensors, rows = sensors_of(telemetry), Instants.of(telemetry)
    readings = telemetry[sensors].to_numpy(np.float64).T
    bounds = np.searchsorted(rows.codes, np.arange(len(rows.machines) + 1))
    order = np.argsort(instants.codes, kind="stable")
    asked = np.searchsorted(instants.codes[order], np.arange(len(instants.machines) + 1))
    means = [np.full((len(sensors), len(instants.times)), np.nan) for _ in windows]
    longest = max(window.intervals for window in windows)
    for code, source in enumerate(rows.machines.get_indexer(instants.machines)):
        # Machines without telemetry have no readings.
        own = slice(bounds[source], bounds[source + 1]) if source >= 0 else slice(0)
        at = order[asked[code] : asked[code + 1]]
        axis = _Axis(rows.times[own], grid_us, longest)
        places, is_known = axis.locate(instants.times[at])
        if not is_known.any():
            continue
        series = axis.add_up(readings[:, own], length=int(places.max()) + 1)
        sums = _window_sums(series, [window.intervals for window in windows])
        for window, found, total in zip(windows, means, sums, strict=True):
            counts, totals = np.split(total[:, places], 2)
            has_enough = (counts >= window.fewest) & is_known
            found[:, at] = np.where(has_enough, totals / np.maximum(counts, 1), np.nan)
    return means


class _Axis:
    """The intervals of a machine's readings in a row; longer gaps than any window are shortened."""

    def __init__(self, times: IntArray, grid_us: int, longest: int) -> None:
        self._grid_us, self._longest = grid_us, longest
        self._intervals = -(-times // grid_us)
        steps = np.diff(self._intervals, prepend=self._intervals[:1])
        # Readings this far apart share no window.
        self._places = np.cumsum(np.minimum(steps, longest + 1))

    def add_up(self, readings: FloatArray, length: int) -> FloatArray:
        """Return the number of readings of each of s sensors in each interval, then their sums, shape (2 s, L).

        L is at least ``length``.
        """
        sensors, length = len(readings), max(length, int(self._places[-1]) + 1)
        is_there = np.isfinite(readings)
        cells = (self._places + length * np.arange(sensors)[:, None]).ravel()
        parts = (is_there, np.where(is_there, readings, 0.0))
        sums = [np.bincount(cells, part.ravel(), sensors * length).reshape(sensors, length) for part in parts]
        return np.concatenate(sums)

    def locate(self, times: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """Return the last interval that ends at or before each time, and whether a window from there has readings."""
        if not len(self._intervals):
            return np.zeros(len(times), np.int64), np.zeros(len(times), np.bool_)
        intervals = times // self._grid_us
        last = np.searchsorted(self._intervals, intervals, "right") - 1
        passed = intervals - self._intervals[last]
        places = self._places[last] + passed
        is_known = (last >= 0) & (passed < self._longest)
        return np.where(is_known, places, 0), is_known


def _window_sums(series: FloatArray, lengths: Sequence[int]) -> list[FloatArray]:
    """Return the sums over the last intervals, for each length, at every interval; shape (r, L) each.

    The sums over 1, 2, 4 .. intervals are built one from the other, and those that add up to a length are combined.
    """
    sums = [np.zeros(series.shape) for _ in lengths]
    ends = [0] * len(lengths)
    power, run = series, 1
    while run <= max(lengths):
        for number, length in enumerate(lengths):
            if length & run:
                _add_late(sums[number], power, ends[number])
                ends[number] += run
        power = _doubled(power, run)
        run *= 2
    return sums


def _doubled(sums: FloatArray, run: int) -> FloatArray:
    """Return sums over twice as many intervals."""
    doubled = sums.copy()
    _add_late(doubled, sums, run)
    return doubled


def _add_late(total: FloatArray, sums: FloatArray, late: int) -> None:
    """Add sums that end ``late`` intervals earlier."""
    if late < total.shape[1]:
        total[:, late:] += sums[:, : total.shape[1] - late]
