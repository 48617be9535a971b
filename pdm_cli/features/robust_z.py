"""Robust z of every sensor: distance of a reading from its machine's own history, in robust standard deviations.

Median and median absolute deviation (MAD) come from a trailing window that ends where the current block of the clock
began, so a shift remains visible for the length of a window before it becomes the new normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.preparation.cleaning import sensors_of
from pdm_cli.timestamps import US_PER_HOUR

# Scales the median absolute deviation of normal values to their standard deviation; same rounding as R's mad().
MAD_TO_SIGMA = 1.4826

# Readings of all windows processed at once (2 MB): the work stays in the cache and memory bounded.
_BATCH = 1 << 18

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ZScores:
    """Robust z of every sensor at every prepared telemetry row.

    Attributes
    ----------
    machines : Index
        The distinct machines, sorted; codes are positions in it.
    codes : (n,) int array
        Machine of each row, ascending.
    times : (n,) int array
        Microseconds since 1970, UTC; ascending within a machine.
    sensors : list of str
        The s sensors.
    z : (n, s) array
        Robust standard deviations from the median, clipped; 0 until there is enough history, NaN where the reading is
        missing.
    """

    machines: pd.Index
    codes: IntArray
    times: IntArray
    sensors: list[str]
    z: FloatArray

    def only(self, machines: pd.Index) -> ZScores:
        """Return the scores of some of the machines."""
        is_wanted = self.machines.isin(machines)
        rows = is_wanted[self.codes]
        codes = (np.cumsum(is_wanted) - 1)[self.codes[rows]]
        return ZScores(self.machines[is_wanted], codes, self.times[rows], self.sensors, self.z[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Bounds of k windows, both inclusive, in sorted values, shape (k,) each; ``from_above`` is for the ESD test."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    from_above: NDArray[np.bool_]


@dataclass(frozen=True)
class _Blocks:
    """Blocks of clock time of one machine; the window of each covers the rows from low to high, high excluded."""

    of_row: IntArray
    low: IntArray
    high: IntArray
    has_history: NDArray[np.bool_]

    @property
    def width(self) -> int:
        """Rows of the longest window, at least 1."""
        return max(int((self.high - self.low).max()), 1)


def standardise(
    telemetry: pd.DataFrame,
    *,
    step_us: int,
    window_hours: float = 720,
    refresh_hours: float = 24,
    least_hours: float = 48,
    clip: float = 6,
) -> ZScores:
    """Return the robust z of all readings, (x - median) / (1.4826 MAD), per machine and sensor.

    A block begins at each multiple b of the refresh on the clock; its median and MAD are those of the readings in
    [b - window, b), so a reading is never compared with itself or with later ones.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and float sensors; sorted by machine, then time; times are distinct.
    step_us : int
        Step of the telemetry in microseconds.
    window_hours : float
        Length of the window.
    refresh_hours : float
        Length of a block.
    least_hours : float
        Shortest history before the block; the window must hold half as many readings as fit in it.
    clip : float
        Largest |z|, which limits the effect of a glitch.

    Returns
    -------
    ZScores
        One row per telemetry row. z is 0 without enough history and where the MAD is 0.
    """
    instants, sensors = Instants.of(telemetry), sensors_of(telemetry)
    readings = telemetry[sensors].to_numpy(np.float64)
    z = np.empty(readings.shape)
    fewest = math.ceil(least_hours * US_PER_HOUR / step_us / 2)
    bounds = np.searchsorted(instants.codes, np.arange(len(instants.machines) + 1))
    for first, stop in pairwise(bounds.tolist()):
        blocks = _find_blocks(
            instants.times[first:stop],
            window_us=round(window_hours * US_PER_HOUR),
            refresh_us=round(refresh_hours * US_PER_HOUR),
            least_us=round(least_hours * US_PER_HOUR),
        )
        for sensor in range(len(sensors)):
            z[first:stop, sensor] = _standardise_series(readings[first:stop, sensor], blocks, fewest)
    return ZScores(instants.machines, instants.codes, instants.times, sensors, np.clip(z, -clip, clip, out=z))


def _find_blocks(times: IntArray, *, window_us: int, refresh_us: int, least_us: int) -> _Blocks:
    starts, of_row = np.unique(times // refresh_us * refresh_us, return_inverse=True)
    return _Blocks(
        of_row=of_row,
        low=np.searchsorted(times, starts - window_us),
        high=np.searchsorted(times, starts),
        has_history=starts - times[0] >= least_us,
    )


def _standardise_series(readings: FloatArray, blocks: _Blocks, fewest: int) -> FloatArray:
    seen = np.concatenate([[0], np.cumsum(~np.isnan(readings))])
    counts = seen[blocks.high] - seen[blocks.low]
    medians, mads = _window_spreads(readings, blocks, counts)
    is_known = blocks.has_history & (counts >= fewest) & (mads > 0)
    # An infinite sigma turns every reading into 0, while missing ones stay missing.
    sigmas = np.where(is_known, MAD_TO_SIGMA * mads, np.inf)
    # With a vanishing spread z may be infinite; it is clipped later.
    with np.errstate(over="ignore"):
        z = (readings - np.where(is_known, medians, 0.0)[blocks.of_row]) / sigmas[blocks.of_row]
    # The median of 0.0 and -0.0 may be either: remove the sign of zero.
    return z + 0.0


def _window_spreads(readings: FloatArray, blocks: _Blocks, counts: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return median and MAD of each window, given its number of readings; NaN where none.

    The windows of a series overlap, so the series is sorted once, and each window sorts the ranks in it: small
    integers, which takes a third of the time.
    """
    n, width = len(readings), blocks.width
    rising = np.argsort(readings)
    # Missing readings come last; the extra one represents rows outside the window.
    ordered = np.append(readings[rising], np.nan)
    ranks = np.full(width + n, n, np.min_scalar_type(n))
    ranks[width + rising] = np.arange(n)
    ending_at = sliding_window_view(ranks, width)
    medians, mads = np.empty((2, len(counts)))
    at_once = max(1, _BATCH // width)
    for first in range(0, len(counts), at_once):
        batch = slice(first, first + at_once)
        own = ending_at[blocks.high[batch]]
        outside = width - (blocks.high - blocks.low)[batch]
        own[np.arange(width) < outside[:, None]] = n
        own.sort(axis=1)
        values = ordered[own.ravel()]
        low = np.arange(len(own)) * width
        windows = Windows(low=low, high=low + np.maximum(counts[batch], 1) - 1, from_above=np.empty(0, np.bool_))
        medians[batch] = window_medians(values, windows)
        mads[batch] = window_mads(values, windows, medians[batch])
    return medians, mads


def window_medians(ordered: NDArray[np.float64], windows: Windows) -> NDArray[np.float64]:
    """Return the median of every window of the sorted values, shape (k,)."""
    return medians_between(ordered, windows.low + windows.high)


def medians_between(ordered: NDArray[np.float64], sums: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the medians of windows, given the sums of their bounds."""
    return np.asarray((ordered[sums // 2] + ordered[(sums + 1) // 2]) / 2)


def window_mads(ordered: NDArray[np.float64], windows: Windows, medians: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median absolute deviation of every window at once.

    From the centre of a window, the distances to its median form two ascending runs. The nearest half of the values
    takes ``a`` from the run below and ``half - a`` from the run above; bisection finds ``a`` bit by bit.
    """
    size = windows.high - windows.low + 1
    half = size // 2
    centre = windows.low + half
    end = centre + half
    a = np.zeros_like(half)
    for bit in reversed(range(int(half.max(initial=0)).bit_length())):
        more = a + (1 << bit)
        # Beyond half the rows may not exist: take() then reads from the other end, and the result is unused.
        enough = medians - ordered.take(centre - more) >= ordered.take(end - more) - medians
        a = np.where(enough | (more > half), a, more)
    b = half - a
    taken = np.maximum(
        np.where(a > 0, medians - ordered[centre - a], 0.0),
        np.where(b > 0, ordered[centre + b - 1] - medians, 0.0),
    )
    left = np.minimum(
        np.where(a < half, medians - ordered[np.maximum(centre - 1 - a, 0)], np.inf),
        np.where(b < size - half, ordered[np.minimum(centre + b, ordered.size - 1)] - medians, np.inf),
    )
    return np.where(size % 2 == 1, left, (taken + left) / 2)
