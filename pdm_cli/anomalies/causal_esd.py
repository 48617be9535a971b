"""Causal ESD: every reading is compared with earlier readings only.

At fixed clock times, medians over a trailing window give the seasonal profile, level and scale of a series. Until the
next refit, each reading is tested against them with the critical value of the ESD test for its first outlier. Windows
are sorted afresh at each refit, so a glitch has no effect once it has left the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from pdm_cli.anomalies.causal_grid import (
    CausalRules,
    Grid,
    check_series,
    fewest_readings,
    lay_out,
    make_rules,
    split_at_gaps,
)
from pdm_cli.anomalies.esd import Direction, critical_values
from pdm_cli.anomalies.seasonal_esd import ROUNDING
from pdm_cli.anomalies.windows import DetectWindows
from pdm_cli.features.robust_z import MAD_TO_SIGMA, Windows, window_mads, window_medians

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Fewest readings per phase for a profile value: the spread of fewer does not estimate its error.
FEWEST_CYCLES = 3

# For normal values: variance of a median over that of a mean, interquartile range over standard deviation.
_MEDIAN_VARIANCE, _IQR_OF_SIGMA = math.pi / 2, 1.349

# Readings of all windows processed at once (2 MB): sorting stays in the cache and memory bounded.
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class CausalScores:
    """Result per reading, shape (B, n) each, or (n,) for one series.

    Attributes
    ----------
    value : numpy.ndarray of float64
        The reading that was tested, smoothed if requested; NaN where missing.
    expected : numpy.ndarray of float64
        Level + seasonal, in the unit of the readings; NaN where not tested.
    score : numpy.ndarray of float64
        Test statistic over critical value; dimensionless. Not negative for direction ``both``; otherwise negative on
        the side that is ignored. NaN where not tested.
    """

    value: FloatArray
    expected: FloatArray
    score: FloatArray

    @property
    def is_scored(self) -> BoolArray:
        """Whether there was enough history to test the reading."""
        return ~np.isnan(self.score)

    @property
    def is_anomaly(self) -> BoolArray:
        """Whether the test statistic exceeds the critical value."""
        return np.asarray(self.score > 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Phases:
    """Of the last readings at each cell's own phase: count, median and spread."""

    count: IntArray
    median: FloatArray
    variance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Fits:
    """Level and sigma (f,), and the seasonal profile (f, p) starting at the end of the window, of f windows."""

    count: IntArray
    level: FloatArray
    sigma: FloatArray
    profile: FloatArray


def causal_esd(
    values: npt.ArrayLike,
    times_us: npt.ArrayLike,
    windows: DetectWindows,
    *,
    refit_hours: float = 24.0,
    min_share: float = 0.5,
    alpha: float = 0.005,
    direction: Direction = "both",
) -> CausalScores:
    """Score every reading of one or several series against the readings before it.

    For the reading at t, profile, level and scale come from the readings in [r - window, r), where r <= t is the latest
    multiple of ``refit_hours`` since 1970 UTC. There is no score for readings that are missing or infinite; where the
    window, or the smoothing span, lacks too many readings (as in the first window of a series); shortly after a gap; at
    a phase missing from the window; or where the window has no spread.

    Parameters
    ----------
    values : array_like of float, shape (n,) or (B, n)
        Readings in time order, any unit; NaN or infinite where missing.
    times_us : array_like of int, shape (n,)
        Times of the rows, microseconds since 1970 UTC, increasing by whole steps. Rows may be absent.
    windows : DetectWindows
        Step, smoothing, season, trailing window and settling time. Smoothed readings are autocorrelated, so ``alpha``
        is then no longer a false-alarm rate.
    refit_hours : float
        Time between refits, > 0. Below one step every row has its own.
    min_share : float
        Share of a window's readings required, in (0, 1]; for the smoothing span it is ``WHOLE_SHARE``.
    alpha : float
        Significance level for one window of readings, in (0, 1).
    direction : {"both", "pos", "neg"}
        Detect outliers on both sides, high ones only, or low ones only.

    Returns
    -------
    CausalScores
        One per reading, of the shape of ``values``.

    Raises
    ------
    ValueError
        If an argument is out of range, or the times do not increase by whole steps.

    Notes
    -----
    The profile is the median of each phase minus their mean, shrunk towards zero by the share of its variance that
    chance explains (James and Stein's rule, [2]_): a series without a season gets little or no profile.

    References
    ----------
    .. [1] B. Rosner (1983), Technometrics 25(2), 165-172.
    .. [2] B. Efron, C. Morris (1973), Stein's Estimation Rule and Its Competitors, JASA 68(341), 117-130.

    Examples
    --------
    >>> readings = np.tile([0.0, 1.0, 5.0, 2.0], 42) + np.sin(np.arange(168.0))
    >>> readings[150] += 30
    >>> hour = 3_600_000_000
    >>> scores = causal_esd(readings, np.arange(168) * hour, DetectWindows(hour, smooth=1, period=4, window=96))
    >>> np.flatnonzero(scores.is_anomaly).tolist(), int(scores.is_scored.argmax())
    ([150], 48)
    """
    readings, times = check_series(values, times_us, windows.step_us)
    rules = make_rules(windows, refit_hours=refit_hours, min_share=min_share, alpha=alpha, direction=direction)
    batch = np.atleast_2d(readings)
    value, expected, score = (np.full(batch.shape, np.nan) for _ in range(3))
    # Sums and differences of readings beyond 1e308 become infinite; such rows get no score.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for rows in split_at_gaps(times, rules):
            grid, is_settled = lay_out(batch[:, rows], times[rows], rules)
            value[:, rows] = grid.readings[:, grid.cells]
            for b, series in enumerate(grid.readings):
                expected[b, rows], score[b, rows] = _score_series(series, is_settled[b], grid, rules)
    return CausalScores(*(array.reshape(readings.shape) for array in (value, expected, score)))


def _score_series(
    series: FloatArray, is_settled: BoolArray, grid: Grid, rules: CausalRules
) -> tuple[FloatArray, FloatArray]:
    """Return expected value and score of each row of one series, shape (n,) each; NaN where not tested."""
    expected, score = np.full((2, len(grid.cells)), np.nan)
    present = np.append(0, np.cumsum(~np.isnan(series)))
    counts = present[grid.ends] - present[grid.ends - rules.window]
    useful = np.flatnonzero(counts >= fewest_readings(rules.window, rules.min_share))
    phases = _phase_statistics(series, grid.ends[useful], rules) if rules.period else None
    first = np.searchsorted(grid.fit_of_row, np.arange(len(grid.ends) + 1))
    at_once = max(1, _BLOCK // rules.window)
    for start in range(0, len(useful), at_once):
        chosen = useful[start : start + at_once]
        fits = _fit(series, counts[chosen], grid.ends[chosen], phases, rules)
        rows = np.arange(first[chosen[0]], first[chosen[-1] + 1])
        own = np.searchsorted(chosen, grid.fit_of_row[rows])
        # Rows between useful windows belong to other windows and stay NaN.
        is_ours = chosen[own] == grid.fit_of_row[rows]
        rows, own = rows[is_ours], own[is_ours]
        cells = grid.cells[rows]
        phase = (cells - grid.ends[chosen[own]]) % max(rules.period, 1)
        expected[rows] = fits.level[own] + fits.profile[own, phase]
        score[rows] = _scores(series[cells] - expected[rows], fits, own, rules)
    is_scored = is_settled & np.isfinite(score)
    return np.where(is_scored, expected, np.nan), np.where(is_scored, score, np.nan)


def _scores(residuals: FloatArray, fits: _Fits, own: IntArray, rules: CausalRules) -> FloatArray:
    lengths, inverse = np.unique(fits.count, return_inverse=True)
    one_tailed = rules.direction != "both"
    limits = [critical_values(n, 1, alpha=rules.alpha, one_tailed=one_tailed)[0] for n in lengths.tolist()]
    deviations = {"both": np.abs(residuals), "pos": residuals, "neg": -residuals}[rules.direction]
    return np.asarray(deviations / fits.sigma[own] / np.array(limits)[inverse][own])


def _phase_statistics(series: FloatArray, ends: IntArray, rules: CausalRules) -> _Phases:
    """Return statistics of the window's readings at the phase of each cell in the last period of a window."""
    span = rules.window - rules.period + 1
    # +1 where the last period of a window begins, -1 where it ends: positive in between.
    begun, ended = (np.bincount(cells, minlength=len(series)) for cells in (ends - rules.period, ends))
    pending = np.flatnonzero(np.cumsum(begun - ended) > 0)
    count, median, variance = np.zeros(len(series), np.int64), *np.full((2, len(series)), np.nan)
    own_phase = sliding_window_view(series, span)[:, :: rules.period]
    at_once = max(1, _BLOCK // own_phase.shape[1])
    for start in range(0, len(pending), at_once):
        cells = pending[start : start + at_once]
        ordered = np.sort(own_phase[cells - span + 1], axis=1)
        there = (~np.isnan(ordered)).sum(axis=1)
        row, quarter = np.arange(len(cells)), np.maximum(there - 1, 0) // 4
        iqr = ordered[row, np.maximum(there - 1, 0) - quarter] - ordered[row, quarter]
        count[cells], median[cells], variance[cells] = there, _middle(ordered, there), (iqr / _IQR_OF_SIGMA) ** 2
    return _Phases(count, median, variance)


def _middle(ordered: FloatArray, count: IntArray) -> FloatArray:
    """Return the median of the first ``count`` values of each sorted row."""
    row = np.arange(len(ordered))
    return np.asarray((ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, count // 2 % ordered.shape[1]]) / 2)


def _fit(series: FloatArray, counts: IntArray, ends: IntArray, phases: _Phases | None, rules: CausalRules) -> _Fits:
    """Return profile, level and scale of some windows, given the number of readings in each."""
    windows = sliding_window_view(series, rules.window)[ends - rules.window]
    profile = np.zeros((len(ends), 1)) if phases is None else _profiles(phases, ends, rules)
    if profile.any():
        windows = (windows.reshape(len(ends), -1, profile.shape[1]) - profile[:, None]).reshape(windows.shape)
    # Missing readings, and those at unknown phases, are sorted last.
    windows.sort(axis=1)
    count = (~np.isnan(windows)).sum(axis=1)
    low = np.arange(len(ends)) * rules.window
    bounds = Windows(low=low, high=low + np.maximum(count, 1) - 1, from_above=np.empty(0, np.bool_))
    level = window_medians(windows.ravel(), bounds)
    sigma = MAD_TO_SIGMA * window_mads(windows.ravel(), bounds, level)
    # Unlike in batch mode, compare with the level and not the largest reading: a glitch must not hide the spread.
    is_spread = sigma > ROUNDING * (np.abs(level) + np.abs(np.nan_to_num(profile)).max(axis=1))
    is_known = is_spread & np.isfinite(sigma) & (count >= fewest_readings(rules.window, rules.min_share))
    return _Fits(np.where(is_known, count, counts), level, np.where(is_known, sigma, np.nan), profile)


def _profiles(phases: _Phases, ends: IntArray, rules: CausalRules) -> FloatArray:
    """Return the seasonal profile of each window, shape (f, p); NaN at phases with too few readings."""
    begins = ends - rules.period
    count = sliding_window_view(phases.count, rules.period)[begins]
    median, variance = (sliding_window_view(a, rules.period)[begins] for a in (phases.median, phases.variance))
    is_known = count >= FEWEST_CYCLES
    known = np.maximum(is_known.sum(axis=1), 1)
    centred = median - (_sum(median, is_known) / known)[:, None]
    within = np.sort(np.where(is_known, variance, np.nan), axis=1)
    noise = _MEDIAN_VARIANCE * _middle(within, is_known.sum(axis=1))[:, None] / np.maximum(count, 1)
    # Between-phase variance in excess of that of the medians by chance; negative without a season.
    season = (_sum(centred**2, is_known) - _sum(noise, is_known)) / known
    season = np.where(is_known.sum(axis=1) >= 2, season, 0.0)[:, None]
    with_season = np.where(is_known, centred * (season / (season + noise)), np.nan)
    return np.where(season > 0, with_season, 0.0)


def _sum(values: FloatArray, where: BoolArray) -> FloatArray:
    return np.asarray(np.where(where, values, 0.0).sum(axis=1))
