"""Periodic robust STL of many equally long series at once.

Given the robustness weights, STL is linear, and with a periodic season every window is the same in each pass. So the
passes become products of small fixed matrices with a block of series, one series a column:

* the smooth season of a phase is a straight line over its cycles, known by four numbers (both ends of the line and
  the value one cycle beyond either end): a product of a (4, cycles) matrix with all phases at once;
* its low-pass at the knots of the loess is a fixed map of those lines, with 10 numbers a row whatever the period;
* the trend at its knots is a local straight line in closed form, from weighted sums over windows (moments).

Only the median absolute residual of each series has no such form; it is looked for near the one of the pass before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from pdm_cli.anomalies.loess import Loess, WindowSums, interpolation, line_kernels, loess_at_knots, tricube, window_sums
from pdm_cli.anomalies.stl_statsmodels import INNER_PASSES, OUTER_PASSES, Decomposition, next_odd

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]

# Readings decomposed together: few enough that a dozen work arrays stay near the processor, enough to fill its lanes
# (measured from 70,000 to 560,000: the best, by a tenth or two).
BLOCK_READINGS = 145_000
MOST_SERIES = 64

# Residuals below or above these shares of six medians count fully or not at all.
FULL_WEIGHT, NO_WEIGHT = 0.001, 0.999


def periodic_robust_stl_batch(values: Floats, *, period: int) -> Decomposition:
    """Decompose every column with robust STL whose seasonal part is strictly periodic.

    Same numbers as :func:`pdm_cli.anomalies.stl_statsmodels.periodic_robust_stl` up to rounding, many times faster.
    For an odd period the low-pass window is the period itself, as in R, where that function has to take two rows more.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n, n_series)
        Equally spaced readings in time order, one series a column, n > 2 * period; any unit. A column with a reading
        that is not finite becomes NaN altogether; the other columns do not change.
    period : int
        Rows in one season, at least 2.

    Returns
    -------
    Decomposition
        ``seasonal`` and ``trend``, each of shape (n, n_series), in the unit of the values. A column does not depend
        on the columns beside it (other than by rounding).

    Raises
    ------
    ValueError
        If ``values`` is not two-dimensional, ``period`` is below 2 or there are not more than two periods of rows.

    Notes
    -----
    Work arrays take about 10 MB up to 145,000 rows, 80 bytes a row beyond. Operators take 200 bytes a row, up to
    twice that while they are made, and are kept for the last four pairs of length and period. None of it grows with the
    number of series. Time is linear in rows and series and hardly depends on the period: no period is too large.

    References
    ----------
    .. [1] R. B. Cleveland, W. S. Cleveland, J. E. McRae, I. Terpenning (1990), STL: A Seasonal-Trend Decomposition
       Procedure Based on Loess, Journal of Official Statistics 6(1), 3-73.

    Examples
    --------
    >>> day = np.tile([0.0, 1.0, 5.0, 4.0], 6)
    >>> parts = periodic_robust_stl_batch(np.column_stack([day, 10 - day]), period=4)
    >>> parts.seasonal[:4].round(6).T.tolist()
    [[-2.5, -1.5, 2.5, 1.5], [2.5, 1.5, -2.5, -1.5]]
    """
    if values.ndim != 2:
        raise ValueError(f"values must be two-dimensional, one series a column, got shape {values.shape}")
    if period < 2:
        raise ValueError(f"period must be at least 2 rows, got {period}")
    n, n_series = values.shape
    if n <= 2 * period:
        raise ValueError(f"STL needs more than {2 * period} values (two periods), got {n}")
    operators = _operators(n, period)
    seasonal, trend = np.empty((n, n_series)), np.empty((n, n_series))
    width = min(MOST_SERIES, max(1, BLOCK_READINGS // n))
    for start in range(0, n_series, width):
        block = slice(start, start + width)
        series = np.ascontiguousarray(values[:, block], dtype=np.float64)
        # Readings near the greatest float overflow to NaN in their own column, which the caller can see.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            seasonal[:, block], trend[:, block] = _decomposed(series, operators)
    return Decomposition(seasonal=seasonal, trend=trend)


def periodic_robust_stl_of_one(values: Floats, *, period: int) -> Decomposition:
    """Decompose one series, shape (n,), as a batch of one; see :func:`periodic_robust_stl_batch`.

    Returns
    -------
    Decomposition
        ``seasonal`` and ``trend``, each of shape (n,), in the unit of the values.
    """
    parts = periodic_robust_stl_batch(values[:, np.newaxis], period=period)
    return Decomposition(seasonal=parts.seasonal[:, 0], trend=parts.trend[:, 0])


def _decomposed(series: Floats, operators: _Operators) -> tuple[Floats, Floats]:
    """Seasonal (averaged per phase) and trend of a contiguous block, shape (n, b) each."""
    weights, trend = np.ones_like(series), np.zeros_like(series)
    rest, weighted = np.empty_like(series), np.empty_like(series)
    scales = _Scales(series.shape[1])
    for outer in range(OUTER_PASSES + 1):
        if outer:
            np.abs(np.subtract(rest, trend, out=rest), out=rest)
            _set_robustness_weights(weights, rest, scales.of(rest))
        for _ in range(INNER_PASSES):
            np.subtract(series, trend, out=rest)
            np.multiply(weights, rest, out=weighted)
            seasonal = operators.season(weights, weighted, rest)
            np.subtract(series, seasonal, out=rest)
            np.multiply(weights, rest, out=weighted)
            trend = operators.trend(weights, weighted, rest)
    return operators.mean_by_phase(seasonal), trend


def _set_robustness_weights(weights: Floats, sizes: Floats, scales: Floats) -> None:
    """Fill ``weights`` with the bisquare of the residual sizes over their scales, (n, b) each, scales (b,)."""
    np.divide(sizes, scales, out=weights)
    full, none = weights <= FULL_WEIGHT, weights > NO_WEIGHT
    np.square(weights, out=weights)
    np.subtract(1.0, weights, out=weights)
    np.square(weights, out=weights)
    np.copyto(weights, 1.0, where=full)
    np.copyto(weights, 0.0, where=none)
    # More than half of the residuals are zero: nothing to weigh by, so statsmodels weighs all alike.
    weights[:, scales == 0] = 1.0


class _Scales:
    """Six times the median absolute residual of each series, found fast from the second pass on.

    From pass to pass the median hardly moves. So only the few residuals near the last one are put in order, and all
    of them where it moved farther than it did before. The median is exact either way.
    """

    def __init__(self, n_series: int) -> None:
        self._medians = np.full(n_series, np.inf)
        self._low = np.zeros(n_series)
        self._high = np.full(n_series, np.inf)

    def of(self, sizes: Floats) -> Floats:
        """Return the scales, shape (b,), of residual sizes of shape (n, b)."""
        rows = np.ascontiguousarray(sizes.T)
        pairs: Floats = np.array([_middle_pair(*each) for each in zip(rows, self._low, self._high, strict=True)])
        medians = pairs.mean(axis=1)
        moved = np.minimum(2 * np.abs(medians - self._medians), 0.05 * medians) + 0.001 * medians
        self._medians, self._low, self._high = medians, medians - moved, medians + moved
        scales: Floats = 3 * (pairs[:, 0] + pairs[:, 1])
        return scales


def _middle_pair(row: Floats, low: float, high: float) -> tuple[float, float]:
    """Both middle values of a row (equal for an odd number), looked for between ``low`` and ``high`` first."""
    near = row >= low
    below = row.size - np.count_nonzero(near)
    near &= row <= high
    candidates = row[near]
    first, last = (row.size - 1) // 2 - below, row.size // 2 - below
    if first < 0 or last >= candidates.size:
        candidates, first, last = row.copy(), first + below, last + below
    candidates.partition((first, last))
    return candidates[first], candidates[last]


@dataclass(frozen=True, slots=True, eq=False)
class _Operators:
    """All that does not depend on the readings.

    Attributes
    ----------
    n, period : int
        Rows of the series and of one season.
    whole, longer : numpy.ndarray of float64, shape (4, n // period) and (4, n // period + 1)
        Weights of the cycles of a phase for the season one cycle before the first, at the first, at the last and one
        beyond; ``longer`` for the phases that the last, broken cycle still has.
    slopes_to_knots : numpy.ndarray of float64, shape (knots, period)
        Low-pass at its knots of straight lines per phase, through zero in the first cycle.
    head_to_knots, tail_to_knots : numpy.ndarray of float64, shape (few, period)
        The same for what the cycle before the first and beyond the last differ from the line; the first and last
        knots only. Tail columns start at the phase of row n.
    to_season : scipy.sparse.csr_array, shape (n, 2 * period + knots)
        From first values and slopes of all phases and the low-pass at its knots to the season of each row.
    moments : WindowSums
        Sums over the windows of the trend: weights times 1, offset and squared offset from the knot.
    to_trend : scipy.sparse.csr_array, shape (n, trend knots)
        Interpolation.
    """

    n: int
    period: int
    whole: Floats
    longer: Floats
    slopes_to_knots: Floats
    head_to_knots: Floats
    tail_to_knots: Floats
    to_season: csr_array
    moments: WindowSums
    to_trend: csr_array

    def season(self, weights: Floats, weighted: Floats, values: Floats) -> Floats:
        """Return the season, shape (n, b), given weights, weights * values and the values without trend."""
        totals = self._at_ends(weights)
        ends = self._at_ends(weighted) / totals
        first, last = values[: self.period], self._last_cycle(values)
        # A phase whose readings all have weight zero keeps its own first and last reading.
        empty = totals[1] == 0
        before, start, stop, beyond = (
            np.where(empty, own, end) for end, own in zip(ends, (first, first, last, last), strict=True)
        )
        steps = (self.n - 1 - np.arange(self.period)) // self.period
        slopes = (stop - start) / steps[:, np.newaxis]
        knots = self.slopes_to_knots @ slopes + start.mean(axis=0)
        knots[: len(self.head_to_knots)] += self.head_to_knots @ (before - (start - slopes))
        tail = np.roll(beyond - (stop + slopes), -self.n, axis=0)
        knots[len(knots) - len(self.tail_to_knots) :] += self.tail_to_knots @ tail
        return np.asarray(self.to_season @ np.concatenate([start, slopes, knots]))

    def trend(self, weights: Floats, weighted: Floats, values: Floats) -> Floats:
        """Return the trend, shape (n, b), given weights, weights * values and the values without season."""
        total, first, second = self.moments.sums(weights, 3)
        level, tilt = self.moments.sums(weighted, 2) / total
        centre = first / total
        spread = second / total - centre**2
        # Where the readings that count lie close together, a line would be rash: the level alone.
        wide = spread > (0.001 * (self.n - 1)) ** 2
        knots = np.where(wide, level - centre * (tilt - centre * level) / spread, level)
        knots = np.where(total > 0, knots, values[self.moments.knots])
        return np.asarray(self.to_trend @ knots)

    def mean_by_phase(self, season: Floats) -> Floats:
        """Return the season, shape (n, b), with the mean of its phase in each row."""
        cycles, rest = divmod(self.n, self.period)
        sums = season[: cycles * self.period].reshape(cycles, self.period, -1).sum(axis=0)
        sums[:rest] += season[cycles * self.period :]
        sums[:rest] /= cycles + 1
        sums[rest:] /= cycles
        return np.asarray(np.resize(sums, season.shape))

    def _at_ends(self, rows: Floats) -> Floats:
        """Weighted sums of (n, b) over the cycles of each phase, shape (4, period, b)."""
        cycles, rest = divmod(self.n, self.period)
        table = rows[: cycles * self.period].reshape(cycles, -1)
        broken = rows[cycles * self.period :].reshape(1, -1)
        sums = np.empty((4, table.shape[1]))
        np.matmul(self.whole, table[:, broken.size :], out=sums[:, broken.size :])
        if rest:
            sums[:, : broken.size] = self.longer[:, :-1] @ table[:, : broken.size] + self.longer[:, -1:] * broken
        return sums.reshape(4, self.period, -1)

    def _last_cycle(self, values: Floats) -> Floats:
        """Last value of each phase, shape (period, b)."""
        return np.roll(values[-self.period :], self.n % self.period, axis=0)


@lru_cache(maxsize=4)
def _operators(n: int, period: int) -> _Operators:
    # A window of ten times the series with degree 0 is R's "periodic": a robust mean of each phase.
    trend = loess_at_knots(n, next_odd(ceil(1.5 * period / (1 - 1.5 / (10 * n + 1)))))
    low_pass = loess_at_knots(n, next_odd(period))
    to_season = _season_of_lines(n, period, low_pass)
    slopes, head, tail = _low_pass_of_lines(n, period, low_pass)
    return _Operators(
        n=n,
        period=period,
        whole=_cycle_kernels(n // period, window=10 * n + 1),
        longer=_cycle_kernels(n // period + 1, window=10 * n + 1),
        slopes_to_knots=slopes,
        head_to_knots=head,
        tail_to_knots=tail,
        to_season=to_season,
        moments=window_sums(n, trend),
        to_trend=interpolation(n, trend.knots),
    )


def _cycle_kernels(cycles: int, *, window: int) -> Floats:
    """Weights of the cycles for the season at positions -1, 0, cycles - 1 and cycles, shape (4, cycles)."""
    at = np.array([[-1.0], [0.0], [cycles - 1.0], [cycles]])
    distances = np.abs(np.arange(cycles) - at)
    return tricube(distances, distances.max(axis=1, keepdims=True) + (window - cycles) // 2)


def _season_of_lines(n: int, period: int, low_pass: Loess) -> csr_array:
    """Join what makes the season of each row; see _Operators."""
    from scipy.sparse import csr_array, hstack

    row = np.arange(n)
    phases = csr_array((np.ones(n), (row, row % period)), shape=(n, period))
    cycles = csr_array((row // period, (row, row % period)), shape=(n, period))
    return csr_array(hstack([phases, cycles, -interpolation(n, low_pass.knots)], format="csr"))


def _low_pass_of_lines(n: int, period: int, loess: Loess) -> tuple[Floats, Floats, Floats]:
    """Put lines per phase, and cycles outside, through moving averages (p, p, 3) and loess; see _Operators."""
    averages = np.convolve(np.convolve(np.ones(period), np.ones(period)), np.ones(3)) / (3 * period**2)
    # One a distinct window; columns count from one cycle before the first row to one beyond the last.
    kernels = np.array([np.convolve(kernel, averages) for kernel in line_kernels(n, loess)])
    beyond = n + period
    in_head = np.flatnonzero(loess.starts < period)
    in_tail = np.flatnonzero(loess.starts + kernels.shape[1] > beyond)
    head, tail = np.zeros((in_head.size, period)), np.zeros((in_tail.size, period))
    for row, start, shape in zip(head, loess.starts[in_head], loess.shapes[in_head], strict=True):
        row[start:] = kernels[shape, : period - start]
    for row, start, shape in zip(tail, loess.starts[in_tail], loess.shapes[in_tail], strict=True):
        inside = kernels[shape, beyond - start :]
        row[: inside.size] = inside
    return _by_phase(kernels, loess, period), head, tail


def _by_phase(kernels: Floats, loess: Loess, period: int) -> Floats:
    """Sum of each knot's kernel over the cycles of a phase, times the cycle (from -1), shape (knots, period)."""
    padded = np.pad(kernels, ((0, 0), (0, -kernels.shape[1] % period))).reshape(len(kernels), -1, period)
    plain = padded.sum(axis=1)
    counted = np.arange(padded.shape[1]) @ padded
    # A kernel that starts within a cycle is one turned by so many phases; those turned over the end count a cycle more.
    cycles, turn = np.divmod(loess.starts, period)
    of_knot = loess.shapes, period - turn
    slopes: Floats = sliding_window_view(np.hstack([plain, plain]), period, axis=1)[of_knot]
    slopes *= (cycles - 1.0)[:, np.newaxis]
    slopes += sliding_window_view(np.hstack([counted + plain, counted]), period, axis=1)[of_knot]
    return slopes
