"""Trailing window statistics per machine and sensor, on the feature grid.

Each window is summed from its own readings, so a missing reading or a glitch has no effect once it has left the window;
a running sum would keep its rounding errors. The sums run over the lags of a window, for all rows of a batch at once,
and visit only the times of the feature grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.preparation.cleaning import same_machine_as_above, sensors_of, to_microseconds
from pdm_cli.preparation.windows import check_windows
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import FeaturesParams
from pdm_cli.timestamps import US_PER_HOUR

# Share of a smoothing window required for its mean to be tested. With a seasonal pattern the mean of part of a day is
# biased: with an amplitude of 10, the mean of half a day is off by 6, that of 22 of 24 hours by 0.9.
WHOLE_SHARE = 0.9

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """A trailing window: hours for the name, steps of the telemetry for the sum."""

    hours: float
    steps: int

    @property
    def label(self) -> str:
        """Name used in features: whole hours as ``12h``, otherwise minutes as ``90min``."""
        minutes = self.hours * 60
        return f"{self.hours:.0f}h" if self.hours == round(self.hours) else f"{minutes:g}min"


class Blocks:
    """Readings of a batch summed up in short blocks, from which every window is combined.

    A block is the longest run of steps that divides the feature grid and every window. The deviations of a block's
    readings from a window's mean follow from the block's own count, mean and sum of squares [1]_.

    Parameters
    ----------
    dense : (S, B, r, m) array
        Readings of S sensors up to each of B feature rows: r blocks of m steps, the last step being the row's own; NaN
        where missing.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque (1983), The American Statistician 37(3), 242-247.
    """

    def __init__(self, dense: FloatArray) -> None:
        self._steps = dense.shape[-1]
        # Lag first and rows last: the blocks at a given lag before every row are one contiguous slice.
        self._readings = [np.ascontiguousarray(dense[..., step].transpose(2, 0, 1)) for step in range(self._steps)]
        there = [np.isfinite(readings) for readings in self._readings]
        zeroed = [np.where(t, readings, 0.0) for t, readings in zip(there, self._readings, strict=True)]
        self._count = _add(t.astype(np.float64) for t in there)
        self._sum = _add(zeroed)
        self._mean = self._sum / np.maximum(self._count, 1)
        self._squares = _add(np.square(z - self._mean) * t for z, t in zip(zeroed, there, strict=True))
        self._totals: dict[int, tuple[FloatArray, FloatArray, FloatArray]] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Sensors and feature rows."""
        return self._sum.shape[1], self._sum.shape[2]

    def prepare(self, windows: Sequence[int]) -> None:
        """Sum up windows of the given numbers of steps; each must be a whole number of blocks."""
        ends = {steps // self._steps: steps for steps in windows}
        total, count, squares = (np.zeros(self.shape) for _ in range(3))
        for lag in range(max(ends)):
            for running, blocks in ((total, self._sum), (count, self._count), (squares, self._squares)):
                before, late = self._at(blocks, lag)
                running[:, late:] += before
            if lag + 1 in ends:
                self._totals[ends[lag + 1]] = total.copy(), count.copy(), squares.copy()

    def count(self, steps: int) -> FloatArray:
        """Return the number of readings in the window, shape (S, B)."""
        return self._totals[steps][1]

    def mean(self, steps: int) -> FloatArray:
        """Return the mean of the window, shape (S, B)."""
        total, count, _ = self._totals[steps]
        return total / count

    def std(self, steps: int) -> FloatArray:
        """Return the sample standard deviation of the window, shape (S, B)."""
        mean = self.mean(steps)
        _, count, within = self._totals[steps]
        squares = within.copy()
        for lag in range(steps // self._steps):
            block_mean, late = self._at(self._mean, lag)
            between = block_mean - mean[:, late:]
            between *= between
            between *= self._at(self._count, lag)[0]
            squares[:, late:] += between
        return np.sqrt(squares / (count - 1))

    def extreme(self, steps: int, pick: Callable[..., FloatArray]) -> FloatArray:
        """Return the smallest or largest reading of the window; ``pick`` is ``np.fmin`` or ``np.fmax``."""
        best = np.full(self.shape, np.nan)
        for lag in range(steps // self._steps):
            for readings in self._readings:
                before, late = self._at(readings, lag)
                pick(best[:, late:], before, out=best[:, late:])
        return best

    def _at(self, blocks: FloatArray, lag: int) -> tuple[FloatArray, int]:
        """Return the blocks that end ``lag`` blocks before each row, and the number of first rows without one."""
        per_row = blocks.shape[0]
        late = lag // per_row
        return blocks[per_row - 1 - lag % per_row, :, : blocks.shape[2] - late], late


def _add(arrays: Iterable[FloatArray]) -> FloatArray:
    return reduce(np.add, arrays)


# Statistic name to its function of blocks and steps, and the fewest readings it is defined for.
STATISTICS: dict[str, tuple[Callable[[Blocks, int], FloatArray], int]] = {
    "mean": (Blocks.mean, 1),
    "std": (Blocks.std, 2),
    "min": (lambda blocks, steps: blocks.extreme(steps, np.fmin), 1),
    "max": (lambda blocks, steps: blocks.extreme(steps, np.fmax), 1),
}


def rolling_features(telemetry: pd.DataFrame, *, step_us: int, params: FeaturesParams) -> pd.DataFrame:
    """Return trailing window statistics of whole machines at the times of the feature grid.

    The window (t - w, t] is defined by time: a feature is missing where fewer than the minimum share of its readings
    exist. There is a row at each multiple t of the grid whose latest telemetry row has a reading, so the existence of a
    row also depends on the past alone.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and float sensors; sorted by machine, then time; times are distinct and a
        whole number of steps apart.
    step_us : int
        Step of the telemetry in microseconds.
    params : FeaturesParams
        Grid, windows, statistics, minimum share.

    Returns
    -------
    DataFrame
        ``machineID``, ``datetime`` and one float column per sensor, window and statistic, such as ``volt_mean_12h``, in
        the unit of the sensor.

    Raises
    ------
    WindowsDoNotFit
        If the grid is finer than the telemetry, or a window is not a whole number of steps.
    """
    windows, statistics = _windows(step_us, params), tuple(dict.fromkeys(params.statistics))
    grid_us = round(params.grid_hours * US_PER_HOUR)
    sensors = sensors_of(telemetry)
    telemetry_times = to_microseconds(telemetry[TIME])
    times, rows = _feature_rows(telemetry, telemetry_times, step_us, grid_us)
    # Rounded up, so that the last cell at or before a time of the feature grid is a multiple of the stride, also where
    # telemetry is between the multiples of its step.
    cells = -(-telemetry_times // step_us)
    # Where the step divides the grid, feature rows are at multiples of the stride; otherwise at any position.
    stride = grid_us // step_us if grid_us % step_us == 0 else 1
    positions, length = _positions(telemetry, cells, stride, max(window.steps for window in windows))
    size = math.gcd(stride, *(window.steps for window in windows))
    # A reading too large to be squared makes its windows missing; suppress the warnings of NumPy.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        blocks = Blocks(_arrange(telemetry[sensors].to_numpy(), positions, length, stride, size))
        values = _evaluate(blocks, windows, statistics, params.min_share, positions[rows] // stride)
    names = [f"{sensor}_{stat}_{w.label}" for sensor in sensors for w in windows for stat in statistics]
    features = pd.DataFrame(values.T, columns=names)
    features.insert(0, MACHINE, telemetry[MACHINE].to_numpy()[rows])
    features.insert(1, TIME, times.astype("datetime64[us]"))
    return features


def _windows(step_us: int, params: FeaturesParams) -> list[Window]:
    check_windows(step_us, params)
    return [Window(hours, round(hours * US_PER_HOUR / step_us)) for hours in dict.fromkeys(params.windows_hours)]


def _feature_rows(telemetry: pd.DataFrame, times: IntArray, step_us: int, grid_us: int) -> tuple[IntArray, IntArray]:
    """Return the times of the feature rows, and for each the latest telemetry row at that time."""
    grid_times = -(-times // grid_us) * grid_us
    rows = np.flatnonzero(grid_times < times + step_us)
    has_reading = np.zeros(len(rows), bool)
    for sensor in sensors_of(telemetry):
        has_reading |= np.isfinite(telemetry[sensor].to_numpy()[rows])
    rows = rows[has_reading]
    return grid_times[rows], rows


def _positions(telemetry: pd.DataFrame, cells: IntArray, stride: int, longest: int) -> tuple[IntArray, int]:
    """Place the rows on one dense axis; machines, and pieces further apart than any window, never share a window.

    Feature rows are at the last of every ``stride`` positions.
    """
    is_start = ~same_machine_as_above(telemetry)
    is_start[1:] |= np.diff(cells) > longest
    starts = np.flatnonzero(is_start)
    stops = np.append(starts[1:], len(cells)) - 1
    # Leave one window free before each piece, and begin it just after a time of the grid.
    pad = -(-longest // stride) * stride
    first = (cells[starts] - 1) // stride * stride + 1
    rows = (cells[stops] - first) // stride + 1
    offsets = np.concatenate([[0], np.cumsum(rows * stride + pad)])
    piece = np.cumsum(is_start) - 1
    return offsets[piece] + cells - first[piece], int(offsets[-1])


def _arrange(values: FloatArray, positions: IntArray, length: int, stride: int, size: int) -> FloatArray:
    dense = np.full((values.shape[1], length), np.nan)
    for row, column in zip(dense, values.T, strict=True):
        row[positions] = column
    return dense.reshape(len(dense), -1, stride // size, size)


def _evaluate(
    blocks: Blocks, windows: list[Window], statistics: Sequence[str], min_share: float, rows: IntArray
) -> FloatArray:
    """Return the features of the given rows, shape (sensors * windows * statistics, rows)."""
    blocks.prepare([window.steps for window in windows])
    shape = (blocks.shape[0], len(windows), len(statistics), len(rows))
    features = np.empty(shape)
    for w, window in enumerate(windows):
        count = blocks.count(window.steps)
        for s, statistic in enumerate(statistics):
            compute, fewest = STATISTICS[statistic]
            needed = max(fewest, required_readings(window.steps, min_share))
            values = compute(blocks, window.steps)
            values[(count < needed) | ~np.isfinite(values)] = np.nan
            np.take(values, rows, axis=1, out=features[:, w, s], mode="clip")
    return features.reshape(math.prod(shape[:3]), len(rows))


def trailing_mean(values: FloatArray, steps: int) -> FloatArray:
    """Return the mean of the existing readings in each window of ``steps``, shape (n,).

    At the start of a series the window is shorter. NaN where the window has no reading. Each window has its own sum.

    Parameters
    ----------
    values : (n,) array
        Equally spaced readings, NaN where missing.
    steps : int
        Readings per window, 1 or more.
    """
    there = np.isfinite(values)
    zeroed = np.where(there, values, 0.0)
    total, count = np.zeros(len(values)), np.zeros(len(values))
    for lag in range(min(steps, len(values))):
        total[lag:] += zeroed[: len(values) - lag]
        count[lag:] += there[: len(values) - lag]
    with np.errstate(invalid="ignore"):
        return total / count


def has_whole_window(values: FloatArray, steps: int) -> BoolArray:
    """Return which readings exist along with :data:`WHOLE_SHARE` of their trailing window, shape (n,).

    Elsewhere the trailing mean covers another part of the season than its neighbours. The window must be within the
    series, so the first ``steps - 1`` readings have none.
    """
    there = np.isfinite(values)
    until = np.concatenate([np.zeros(steps, np.int64), np.cumsum(there)])
    is_whole = there & (until[steps:] - until[:-steps] >= required_readings(steps, WHOLE_SHARE))
    is_whole[: steps - 1] = False
    return np.asarray(is_whole)


def required_readings(steps: int, share: float) -> int:
    """Return the number of readings in a share of a window, allowing for rounding just above a whole number."""
    return math.ceil(share * steps - 1e-9)
