"""Periodic robust STL of many series of equal length at once.

Given the robustness weights, STL is linear, and with a periodic season every window is the same in each pass. The
passes therefore become products of small fixed matrices with a block of series, one series per column:

* the smoothed season of a phase is a straight line over its cycles, given by four numbers (both ends of the line and
  the value one cycle beyond either end): a product of a (4, cycles) matrix with all phases at once;
* its low-pass at the knots of the loess is a fixed map of those lines, with 10 numbers per row whatever the period;
* the trend at its knots is a local straight line in closed form, from weighted sums over windows (moments).

Only the median absolute residual of each series has no such form; the search for it starts near the previous one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

# Inner and outer passes of a robust STL, as R's ``stl(robust = TRUE)`` sets them.
INNER_PASSES = 1
OUTER_PASSES = 15

# Readings decomposed together: few enough for a dozen work arrays to stay in the cache, enough to fill the SIMD lanes
# (the fastest of 70,000 to 560,000, by 10 to 20 %).
_BLOCK_READINGS = 145_000
_MOST_SERIES = 64

# Residuals below or above these shares of six medians count fully or not at all.
_FULL_WEIGHT, _NO_WEIGHT = 0.001, 0.999

# Knots per small matrix product: more of them waste zeros, fewer need more calls.
_KNOTS_TOGETHER = 4


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """Seasonal part (exactly periodic) and trend, shape (n,) or (n, n_series), in the unit of the values."""

    seasonal: Floats
    trend: Floats


class Decompose(Protocol):
    """Any STL implementation; see :func:`statsmodels_stl`."""

    def __call__(self, values: Floats, *, period: int) -> Decomposition:
        """Decompose ``values`` (shape (n,), or (n, n_series) for a batch; finite, n > 2 * period)."""


def periodic_robust_stl(values: Floats, *, period: int) -> Decomposition:
    """Decompose every column with robust STL whose seasonal part is strictly periodic.

    Equal to :func:`pdm_cli.anomalies.stl_statsmodels.statsmodels_stl` up to rounding, and many times faster. For an odd
    period the low-pass window is the period itself, as in R; statsmodels requires two rows more.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n, n_series)
        Equally spaced readings in time order, one series per column, n > 2 * period; any unit. A column with a reading
        that is not finite becomes all NaN; the other columns do not change.
    period : int
        Rows per season, at least 2.

    Returns
    -------
    Decomposition
        ``seasonal`` and ``trend``, each of shape (n, n_series), in the unit of the values. A column does not depend on
        its neighbours (other than by rounding).

    Raises
    ------
    ValueError
        If ``values`` is not two-dimensional, ``period`` is below 2 or there are not more than two periods of rows.

    Notes
    -----
    Work arrays take about 10 MB up to 145,000 rows, and 80 bytes per row beyond. Operators take 200 bytes per row,
    twice that during construction, and are cached for the last four pairs of length and period. Memory does not grow
    with the number of series. Time is linear in rows and series and hardly depends on the period.

    References
    ----------
    .. [1] R. B. Cleveland, W. S. Cleveland, J. E. McRae, I. Terpenning (1990), STL: A Seasonal-Trend Decomposition
       Procedure Based on Loess, Journal of Official Statistics 6(1), 3-73.

    Examples
    --------
    >>> day = np.tile([0.0, 1.0, 5.0, 4.0], 6)
    >>> parts = periodic_robust_stl(np.column_stack([day, 10 - day]), period=4)
    >>> parts.seasonal[:4].round(6).T.tolist()
    [[-2.5, -1.5, 2.5, 1.5], [2.5, 1.5, -2.5, -1.5]]
    """
    if values.ndim != 2:
        raise ValueError(f"values must be two-dimensional, one series per column, got shape {values.shape}")
    if period < 2:
        raise ValueError(f"period must be at least 2 rows, got {period}")
    n, n_series = values.shape
    if n <= 2 * period:
        raise ValueError(f"STL needs more than {2 * period} values (two periods), got {n}")
    operators = _operators(n, period)
    seasonal, trend = np.empty((n, n_series)), np.empty((n, n_series))
    width = min(_MOST_SERIES, max(1, _BLOCK_READINGS // n))
    for start in range(0, n_series, width):
        block = slice(start, start + width)
        series = np.ascontiguousarray(values[:, block], dtype=np.float64)
        # Readings near the greatest float overflow to NaN in their own column, which the caller can see.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            seasonal[:, block], trend[:, block] = _decomposed(series, operators)
    return Decomposition(seasonal=seasonal, trend=trend)


def _decomposed(series: Floats, operators: _Operators) -> tuple[Floats, Floats]:
    """Return seasonal (averaged per phase) and trend of a contiguous block, shape (n, b) each."""
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
    full, none = weights <= _FULL_WEIGHT, weights > _NO_WEIGHT
    np.square(weights, out=weights)
    np.subtract(1.0, weights, out=weights)
    np.square(weights, out=weights)
    np.copyto(weights, 1.0, where=full)
    np.copyto(weights, 0.0, where=none)
    # More than half of the residuals are zero: like statsmodels, weight all equally.
    weights[:, scales == 0] = 1.0


class _Scales:
    """Six times the median absolute residual of each series, found quickly from the second pass on.

    The median hardly moves from pass to pass, so only the residuals near the previous one are sorted, and all of them
    where it moved farther than that. The median is exact either way.
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
    """Return both middle values of a row (equal for odd sizes), searching between ``low`` and ``high`` first."""
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
    """Everything that does not depend on the readings.

    Attributes
    ----------
    n, period : int
        Rows of the series and of one season.
    whole, longer : (4, n // period) and (4, n // period + 1) arrays
        Weights of the cycles of a phase for the season one cycle before the first, at the first, at the last and one
        beyond; ``longer`` for the phases that are in the last, incomplete cycle.
    slopes_to_knots : (knots, period) array
        Low-pass at its knots of straight lines per phase, through zero in the first cycle.
    head_to_knots, tail_to_knots : (few, period) arrays
        The same for the deviation from the line of the cycle before the first and beyond the last; the first and last
        knots only. Tail columns start at the phase of row n.
    to_season : (n, 2 * period + knots) sparse array
        From first values and slopes of all phases and the low-pass at its knots to the season of each row.
    moments : _WindowSums
        Sums over the windows of the trend: weights times 1, offset and squared offset from the knot.
    to_trend : (n, trend knots) sparse array
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
    moments: _WindowSums
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
        # Where the weighted readings lie close together, a line would be unreliable: use the level alone.
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
        """Return weighted sums of (n, b) over the cycles of each phase, shape (4, period, b)."""
        cycles, rest = divmod(self.n, self.period)
        table = rows[: cycles * self.period].reshape(cycles, -1)
        broken = rows[cycles * self.period :].reshape(1, -1)
        sums = np.empty((4, table.shape[1]))
        np.matmul(self.whole, table[:, broken.size :], out=sums[:, broken.size :])
        if rest:
            sums[:, : broken.size] = self.longer[:, :-1] @ table[:, : broken.size] + self.longer[:, -1:] * broken
        return sums.reshape(4, self.period, -1)

    def _last_cycle(self, values: Floats) -> Floats:
        """Return the last value of each phase, shape (period, b)."""
        return np.roll(values[-self.period :], self.n % self.period, axis=0)


@lru_cache(maxsize=4)
def _operators(n: int, period: int) -> _Operators:
    # R's "periodic" is a window of ten times the series with degree 0: a robust mean per phase.
    trend = _loess_at_knots(n, next_odd(ceil(1.5 * period / (1 - 1.5 / (10 * n + 1)))))
    low_pass = _loess_at_knots(n, next_odd(period))
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
        moments=_window_sums(n, trend),
        to_trend=_interpolation(n, trend.knots),
    )


def _cycle_kernels(cycles: int, *, window: int) -> Floats:
    """Return the weights of the cycles for the season at positions -1, 0, cycles - 1 and cycles, shape (4, cycles)."""
    at = np.array([[-1.0], [0.0], [cycles - 1.0], [cycles]])
    distances = np.abs(np.arange(cycles) - at)
    return _tricube(distances, distances.max(axis=1, keepdims=True) + (window - cycles) // 2)


def _season_of_lines(n: int, period: int, low_pass: _Loess) -> csr_array:
    """Return the matrix ``to_season`` of :class:`_Operators`."""
    from scipy.sparse import csr_array, hstack

    row = np.arange(n)
    phases = csr_array((np.ones(n), (row, row % period)), shape=(n, period))
    cycles = csr_array((row // period, (row, row % period)), shape=(n, period))
    return csr_array(hstack([phases, cycles, -_interpolation(n, low_pass.knots)], format="csr"))


def _low_pass_of_lines(n: int, period: int, loess: _Loess) -> tuple[Floats, Floats, Floats]:
    """Apply moving averages (p, p, 3) and loess to lines per phase and outer cycles; see :class:`_Operators`."""
    averages = np.convolve(np.convolve(np.ones(period), np.ones(period)), np.ones(3)) / (3 * period**2)
    # One per distinct window; columns count from one cycle before the first row to one beyond the last.
    kernels = np.array([np.convolve(kernel, averages) for kernel in _line_kernels(n, loess)])
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


def _by_phase(kernels: Floats, loess: _Loess, period: int) -> Floats:
    """Return the sum of each knot's kernel over the cycles of a phase, times the cycle (from -1), (knots, period)."""
    padded = np.pad(kernels, ((0, 0), (0, -kernels.shape[1] % period))).reshape(len(kernels), -1, period)
    plain = padded.sum(axis=1)
    counted = np.arange(padded.shape[1]) @ padded
    # A kernel that starts within a cycle is rotated by that many phases; phases past the end count one more cycle.
    cycles, turn = np.divmod(loess.starts, period)
    of_knot = loess.shapes, period - turn
    slopes: Floats = sliding_window_view(np.hstack([plain, plain]), period, axis=1)[of_knot]
    slopes *= (cycles - 1.0)[:, np.newaxis]
    slopes += sliding_window_view(np.hstack([counted + plain, counted]), period, axis=1)[of_knot]
    return slopes


@dataclass(frozen=True, slots=True, eq=False)
class _Loess:
    """Knots and windows of a loess of degree 1 on equally spaced rows.

    Attributes
    ----------
    knots, starts : (m,) int arrays
        Row of each knot and first row of its window.
    shapes : (m,) int array
        The knot's row in ``offsets`` and ``kernels``: all knots away from the ends share one.
    offsets, kernels : (distinct windows, rows per window) arrays
        Rows from the knot, and tricube weight of that distance in [0, 1].
    jump : int
        Rows from knot to knot.
    """

    knots: Rows
    starts: Rows
    shapes: Rows
    offsets: Floats
    kernels: Floats
    jump: int


@dataclass(frozen=True, slots=True, eq=False)
class _WindowSums:
    """Weighted sums over the windows of a loess; several knots share one product with a dense matrix.

    Attributes
    ----------
    knots : (m,) int array
        Rows at which the loess is computed.
    parts : tuple of (int, int, int, numpy.ndarray)
        First knot, knots per group, first row and the matrix of a group, shape (moments, group, rows). Groups follow
        each other every ``jump`` * group rows.
    counts : tuple of int
        Groups of each part.
    jump : int
        Rows from knot to knot.
    """

    knots: Rows
    parts: tuple[tuple[int, int, int, Floats], ...]
    counts: tuple[int, ...]
    jump: int

    def sums(self, rows: Floats, n_moments: int) -> Floats:
        """Return the first moments of (n, b), shape (n_moments, knots, b)."""
        width = rows.shape[1]
        out = np.empty((n_moments, self.knots.size, width))
        for (knot, group, row, matrix), count in zip(self.parts, self.counts, strict=True):
            step = (self.jump * group * rows.strides[0], *rows.strides)
            windows = np.lib.stride_tricks.as_strided(rows[row:], (count, matrix.shape[2], width), step)
            target = out[:, knot : knot + count * group].reshape(n_moments, count, group, width)
            for moment in range(n_moments):
                np.matmul(matrix[moment], windows, out=target[moment])
        return out


def _loess_at_knots(n: int, window: int) -> _Loess:
    """Place the knots of a loess of ``n`` rows a tenth of the odd ``window`` apart, the last one in the last row.

    Windows are centred on their knots except near the ends, where they stay inside the series. A window longer than
    the series flattens the weights instead (Cleveland et al. 1990).
    """
    jump = min(ceil(window / 10), n - 1)
    width = min(window, n)
    knots = np.arange(0, n, jump)
    if knots[-1] != n - 1:
        knots = np.append(knots, n - 1)
    starts = np.clip(knots - (window - 1) // 2, 0, n - width)
    first, shapes = np.unique(starts - knots, return_inverse=True)
    offsets = first[:, np.newaxis] + np.arange(float(width))
    reach = np.abs(offsets).max(axis=1, keepdims=True) + (window - width) // 2
    return _Loess(knots, starts, shapes, offsets, _tricube(np.abs(offsets), reach), jump)


def _tricube(distances: Floats, reach: Floats) -> Floats:
    """Return the tricube weights of distances; next to 0 and to the reach they are exactly 1 and 0."""
    weights = (1 - (distances / reach) ** 3) ** 3
    return np.where(distances <= 0.001 * reach, 1.0, np.where(distances <= 0.999 * reach, weights, 0.0))


def _interpolation(n: int, knots: Rows) -> csr_array:
    """Return linear interpolation from knots (the first in row 0, the last in row n - 1) to all rows."""
    from scipy.sparse import csr_array

    row = np.arange(n)
    left = np.minimum(np.searchsorted(knots, row, side="right") - 1, knots.size - 2)
    share = (row - knots[left]) / np.diff(knots)[left]
    data, column = np.stack([1 - share, share], axis=1), np.stack([left, left + 1], axis=1)
    return csr_array((data.ravel(), column.ravel(), np.arange(0, 2 * n + 1, 2)), shape=(n, knots.size))


def _line_kernels(n: int, loess: _Loess) -> Floats:
    """Return the weights of a local straight line that uses distance weights only, of the shape of the kernels."""
    shares = loess.kernels / loess.kernels.sum(axis=1, keepdims=True)
    centre = (shares * loess.offsets).sum(axis=1, keepdims=True)
    from_centre = loess.offsets - centre
    spread = (shares * from_centre**2).sum(axis=1, keepdims=True)
    wide = np.sqrt(spread) > 0.001 * (n - 1)
    lines: Floats = shares * np.where(wide, 1 - centre * from_centre / np.where(wide, spread, 1.0), 1.0)
    return lines


def _window_sums(n: int, loess: _Loess) -> _WindowSums:
    """Group the knots: those at either end share one window, those between share a matrix that moves along."""
    moments = np.stack([loess.kernels, loess.kernels * loess.offsets, loess.kernels * loess.offsets**2])
    m, width = loess.knots.size, loess.kernels.shape[1]
    inner = np.flatnonzero((loess.starts > 0) & (loess.starts < n - width))
    head, tail = (int(inner[0]), int(inner[-1]) + 1) if inner.size else (m, m)
    parts, counts = [], []
    for first, stop, moves in ((0, head, False), (head, tail, True), (tail, m, False)):
        while first < stop:
            group = min(_KNOTS_TOGETHER, stop - first) if moves else stop - first
            count = (stop - first) // group
            start = int(loess.starts[first])
            matrix = np.zeros((3, group, int(loess.starts[first + group - 1]) - start + width))
            for knot in range(group):
                shift = int(loess.starts[first + knot]) - start
                matrix[:, knot, shift : shift + width] = moments[:, loess.shapes[first + knot]]
            parts.append((first, group, start, matrix))
            counts.append(count)
            first += count * group
    return _WindowSums(loess.knots, tuple(parts), tuple(counts), loess.jump)


def next_odd(window: int) -> int:
    """Return the window, or one more if it is even: loess windows need a middle row."""
    return window if window % 2 else window + 1
