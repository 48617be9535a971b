"""Level shifts of a sensor: at every row, the most significant step within the last hours.

The generalised likelihood ratio test for a step of unknown size and age: in normal operation the sum of the last n
values of z over sqrt(n) is standard normal for every n, and a step that is n rows old makes it largest for this n.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.features.robust_z import ZScores
from pdm_cli.timestamps import US_PER_HOUR

# Shortest shift; a single reading is not a level.
_SHORTEST_HOURS = 2

# Older rows do not show the current state of their machine.
_STALE_HOURS = 24

# |statistic| of a clear shift; pure noise exceeds it in one row in a thousand.
_CLEAR = 4.0

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Shifts:
    """The most significant shift at every row and sensor; NaN where no stretch of rows is long enough.

    Attributes
    ----------
    statistic : (n, s) array
        Generalised likelihood ratio, with the sign of the shift; in normal operation about the extreme of a standard
        normal.
    age_hours : (n, s) array
        Length of the stretch from the shift to the row, including its own step.
    step : (n, s) array
        Mean z of that stretch, in robust standard deviations.
    """

    statistic: FloatArray
    age_hours: FloatArray
    step: FloatArray


def find_shifts(scores: ZScores, *, step_us: int, longest_hours: float = 72, rows: IntArray | None = None) -> Shifts:
    """Return, at every row and sensor, the stretch up to the row that maximises |sum of z| / sqrt(rows).

    Candidates are (t - a, t] for a = 2, 3 .. ``longest_hours`` hours; the shortest wins a tie. Missing readings add
    nothing to a sum but count as rows. A stretch neither begins before the machine's first row nor crosses missing
    rows. Each sum is computed from its own rows only.

    Parameters
    ----------
    scores : ZScores
        Standardised readings, n rows of s sensors.
    step_us : int
        Step of the telemetry in microseconds.
    longest_hours : float
        Longest shift considered, 2 or more.
    rows : (r,) int array, optional
        Rows to search at, ascending; the others are NaN. Default: all.

    Raises
    ------
    ValueError
        If ``longest_hours`` is below 2.

    References
    ----------
    .. [1] M. Basseville, I. V. Nikiforov (1993), Detection of Abrupt Changes: Theory and Application, section 2.4.
    """
    if longest_hours < _SHORTEST_HOURS:
        raise ValueError(f"longest_hours must be {_SHORTEST_HOURS} or more, got {longest_hours}")
    # Numbers of rows with a time in (t - a, t].
    lengths = {-(-hours * US_PER_HOUR // step_us) for hours in range(_SHORTEST_HOURS, int(longest_hours) + 1)}
    reach = _contiguous_rows(scores, step_us)
    asked = np.arange(len(scores.times)) if rows is None else rows
    signed, lasted = np.full((2, *scores.z.shape), np.nan)
    bounds = np.searchsorted(scores.codes, np.arange(len(scores.machines) + 1))
    # One machine at a time, so that the arrays of the inner loop stay in the cache.
    for (first, stop), (begin, end) in zip(pairwise(bounds), pairwise(np.searchsorted(asked, bounds)), strict=True):
        z = np.ascontiguousarray(np.nan_to_num(scores.z[first:stop], nan=0.0).T)
        own = asked[begin:end]
        total, length = _best_stretch(z, own - first, reach[own], lengths)
        signed[own], lasted[own] = total.T, length.T
    return Shifts(signed / np.sqrt(lasted), lasted * (step_us / US_PER_HOUR), signed / lasted)


def last_rows(scores: ZScores, instants: Instants) -> IntArray:
    """Return the machine's last row at or before each of m instants.

    -1 before the first row, where that row is more than 24 hours old, and for machines without rows.
    """
    codes = scores.machines.get_indexer(instants.machines)[instants.codes]
    # Ranks instead of times keep the joint key of machine and time small, however many machines there are.
    times, ranks = np.unique(scores.times, return_inverse=True)
    keys = scores.codes * (len(times) + 1) + ranks
    sought = codes * (len(times) + 1) + np.searchsorted(times, instants.times, side="right")
    row = np.searchsorted(keys, sought) - 1
    is_known = row >= 0
    is_known[is_known] = scores.codes[row[is_known]] == codes[is_known]
    is_known[is_known] = (instants.times[is_known] - scores.times[row[is_known]]) <= _STALE_HOURS * US_PER_HOUR
    return np.where(is_known, row, -1)


def at_rows(values: FloatArray, rows: IntArray) -> FloatArray:
    """Return the values (n, s) at m rows; NaN where the row is -1."""
    found = np.full((len(rows), values.shape[1]), np.nan)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def shift_hours_to_visit(statistic: FloatArray, age_hours: FloatArray, hours_to_visit: FloatArray) -> FloatArray:
    """Return how long before the next expected visit each shift began, in hours, shape (m, s).

    A failure has a typical lead time; where failures coincide with visits, shifts therefore precede the visit by it.
    NaN where no shift is clear (|statistic| <= 4) or no visit is expected.
    """
    return np.where(np.abs(statistic) > _CLEAR, age_hours + hours_to_visit[:, None], np.nan)


def _contiguous_rows(scores: ZScores, step_us: int) -> IntArray:
    """Return the number of rows without a gap up to each row, including itself; shape (n,)."""
    row = np.arange(len(scores.times))
    is_start = np.ones(len(row), np.bool_)
    is_start[1:] = (np.diff(scores.codes) != 0) | (np.diff(scores.times) > step_us)
    return row - np.maximum.accumulate(np.where(is_start, row, 0)) + 1


def _best_stretch(z: FloatArray, rows: IntArray, reach: IntArray, lengths: set[int]) -> tuple[FloatArray, FloatArray]:
    """Return the sum and the length of the best stretch up to each of r rows, shape (s, r) each; NaN where none fits.

    ``reach`` is the longest stretch that fits. Sums grow by one row of z per iteration, for all rows at once.
    """
    longest = min(max(lengths), z.shape[1])
    padded = np.concatenate([np.zeros((len(z), longest)), z], axis=1)
    shape = (len(z), len(rows))
    total, best = np.zeros(shape), np.full(shape, -1.0)
    best_total, best_length = np.full((2, *shape), np.nan)
    square, is_better = np.empty(shape), np.empty(shape, np.bool_)
    for length in range(1, longest + 1):
        total += padded.take(rows + (longest - length + 1), axis=1)
        if length not in lengths:
            continue
        # Comparing squares of the statistic avoids the root.
        np.multiply(total, total, out=square)
        square *= 1 / length
        np.greater(square, best, out=is_better)
        is_better &= reach >= length
        np.copyto(best, square, where=is_better)
        np.copyto(best_total, total, where=is_better)
        np.copyto(best_length, length, where=is_better)
    return best_total, best_length
