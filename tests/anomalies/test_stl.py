from __future__ import annotations

import os
import tracemalloc
from dataclasses import fields
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.anomalies import stl
from pdm_cli.anomalies.stl import Decomposition, periodic_robust_stl
from pdm_cli.anomalies.stl_statsmodels import statsmodels_stl
from pdm_cli.settings.model import DetectParams
from tests.builders.anomalies import single_stl

REFERENCE = os.environ.get("PDM_CLI_REFERENCE")
FOREIGN = Path(REFERENCE) / "golden" / "sesd" if REFERENCE else None
needs_reference = pytest.mark.skipif(
    FOREIGN is None, reason="PDM_CLI_REFERENCE is not set: it names the folder of the reference data"
)

# Share of the range of a series.
TOLERANCE = 1e-8


def noisy(n: int, n_series: int, *, period: int, seed: int) -> np.ndarray:
    """Season, wandering level and heavy-tailed noise, one series a column."""
    rng = np.random.default_rng(seed)
    season = 10 * np.sin(2 * np.pi * np.arange(n) / period)[:, np.newaxis]
    return season + 0.3 * rng.normal(size=(n, n_series)).cumsum(axis=0) + rng.standard_t(2, size=(n, n_series))


def farthest(ours: Decomposition, seasonal: np.ndarray, trend: np.ndarray, values: np.ndarray) -> float:
    """Greatest difference as a share of the range of the values."""
    off = max(np.abs(ours.seasonal - seasonal).max(), np.abs(ours.trend - trend).max())
    return float(off / max(np.ptp(values), np.finfo(float).tiny))


def slow_loess(y: np.ndarray, at: float, *, window: int, degree: int, weights: np.ndarray) -> float | None:
    """Loess at one position (Cleveland et al. 1990), by the book; None if nothing in the window has weight."""
    n = y.size
    width = min(window, n)
    start = int(np.clip(at - (window - 1) // 2, 0, n - width))
    rows = np.arange(start, start + width)
    reach = max(abs(at - rows[0]), abs(at - rows[-1])) + (window - width) // 2
    distance = np.abs(rows - at)
    tricube = np.where(distance <= 0.001 * reach, 1.0, (1 - (distance / reach) ** 3) ** 3)
    w = np.where(distance <= 0.999 * reach, tricube, 0.0) * weights[rows]
    if w.sum() <= 0:
        return None
    w = w / w.sum()
    centre = (w * rows).sum()
    spread = (w * (rows - centre) ** 2).sum()
    if degree and np.sqrt(spread) > 0.001 * (n - 1):
        w = w * (1 + (at - centre) * (rows - centre) / spread)
    return float((w * y[rows]).sum())


def slow_smooth(y: np.ndarray, *, window: int, weights: np.ndarray) -> np.ndarray:
    knots = sorted({*range(0, y.size, min(ceil(window / 10), y.size - 1)), y.size - 1})
    fits = [slow_loess(y, knot, window=window, degree=1, weights=weights) for knot in knots]
    fits = [y[knot] if fit is None else fit for knot, fit in zip(knots, fits, strict=True)]
    return np.interp(np.arange(y.size), knots, fits)


def slow_season(y: np.ndarray, weights: np.ndarray, *, period: int) -> np.ndarray:
    """Smooth each phase as R does for "periodic", with a cycle beyond either end; low-pass it and take that off."""
    n = y.size
    smooth = np.empty(n + 2 * period)
    for phase in range(period):
        own, w = y[phase::period], weights[phase::period]
        last = own.size - 1
        before, start, stop, beyond = (
            slow_loess(own, at, window=10 * n + 1, degree=0, weights=w) for at in (-1, 0, last, last + 1)
        )
        start, stop = (own[0] if start is None else start), (own[-1] if stop is None else stop)
        inside = np.interp(np.arange(own.size), [0, last], [start, stop])
        ends = start if before is None else before, stop if beyond is None else beyond
        smooth[phase::period] = np.concatenate([[ends[0]], inside, [ends[1]]])
    averaged = smooth
    for length in (period, period, 3):
        averaged = np.convolve(averaged, np.full(length, 1 / length), mode="valid")
    return smooth[period:-period] - slow_smooth(averaged, window=period + 1 - period % 2, weights=np.ones(n))


def slow_stl(values: np.ndarray, *, period: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seasonal, trend and the robustness weights of each pass, shape (16, n), point by point."""
    n = values.size
    trend_window = ceil(1.5 * period / (1 - 1.5 / (10 * n + 1)))
    trend_window += 1 - trend_window % 2
    weights, season, trend, used = np.ones(n), np.zeros(n), np.zeros(n), []
    for outer in range(16):
        if outer:
            sizes = np.abs(values - season - trend)
            scale = 6 * np.median(sizes)
            bisquare = np.where(sizes <= 0.999 * scale, (1 - (sizes / scale) ** 2) ** 2, 0.0)
            weights = np.where(sizes <= 0.001 * scale, 1.0, bisquare)
        used.append(weights)
        season = slow_season(values - trend, weights, period=period)
        trend = slow_smooth(values - season, window=trend_window, weights=weights)
    phase = np.arange(n) % period
    return (np.bincount(phase, season) / np.bincount(phase))[phase], trend, np.array(used)


@pytest.mark.parametrize("period", [4, 12, 24, 168])
@pytest.mark.parametrize("extra", [1, 2, 3, 4])
@pytest.mark.parametrize("cycles", [2, 5, 12])
def test_batch_equals_statsmodels_on_odd_and_even_lengths(period: int, cycles: int, extra: int) -> None:
    values = noisy(cycles * period + extra, 3, period=period, seed=cycles)
    ours = periodic_robust_stl(values, period=period)
    for column in range(3):
        wanted = statsmodels_stl(values[:, column], period=period)
        one = Decomposition(seasonal=ours.seasonal[:, column], trend=ours.trend[:, column])
        assert farthest(one, wanted.seasonal, wanted.trend, values[:, column]) < TOLERANCE


@pytest.mark.parametrize(("period", "is_other"), [(15, True), (16, False)])
def test_for_odd_periods_statsmodels_may_give_something_else_as_the_help_says(period: int, is_other: bool) -> None:
    # With two cycles and wild readings weights of a whole phase fall to nothing, and the low pass matters.
    wild = np.random.default_rng(0).exponential(5, size=(2 * period + 1, 20)) ** 2
    parts = [(single_stl(v, period=period), statsmodels_stl(v, period=period), v) for v in wild.T]
    apart = max(farthest(ours, other.seasonal, other.trend, values) for ours, other, values in parts)
    assert (apart > 1e3 * TOLERANCE) == is_other
    assert "for even periods" in {item.name: item.metadata["help"] for item in fields(DetectParams)}["stl"]


@pytest.mark.parametrize("period", [3, 5, 7, 8, 15])
@pytest.mark.parametrize("extra", [1, 2, 7])
def test_batch_equals_stl_by_the_book_for_odd_periods_too(period: int, extra: int) -> None:
    values = noisy(5 * period + extra, 1, period=period, seed=period)[:, 0]
    seasonal, trend, _ = slow_stl(values, period=period)
    assert farthest(single_stl(values, period=period), seasonal, trend, values) < TOLERANCE


@pytest.mark.slow
@given(
    period=st.sampled_from([4, 6, 12, 24]),
    share=st.floats(0.01, 6),
    seed=st.integers(0, 2**32 - 1),
    # Fewer levels make series that are all but periodic: their median residual falls to rounding dust on the way, and
    # from there on both roads are undefined.
    levels=st.sampled_from([0, 1000]),
)
def test_batch_equals_statsmodels_on_any_series(period: int, share: float, seed: int, levels: int) -> None:
    values = noisy(2 * period + ceil(share * period), 1, period=period, seed=seed)[:, 0]
    if levels:
        values = np.round(values * levels / 20)
    wanted = statsmodels_stl(values, period=period)
    residuals = np.abs(values - wanted.seasonal - wanted.trend)
    if np.median(residuals) > 1e-6 * np.ptp(values):
        ours = single_stl(values, period=period)
        assert farthest(ours, wanted.seasonal, wanted.trend, values) < TOLERANCE


def test_phase_without_any_weight_keeps_its_own_readings() -> None:
    period = 6
    values = noisy(4 * period + 1, 1, period=period, seed=5)[:, 0]
    # Far to both sides in turn: no level suits this phase, so each of its readings is an outlier.
    values[2::period] += 500 * np.array([1, -1, 1, -1])
    seasonal, trend, weights = slow_stl(values, period=period)
    assert (weights[-1, 2::period] == 0).all()
    ours = single_stl(values, period=period)
    assert farthest(ours, seasonal, trend, values) < TOLERANCE
    wanted = statsmodels_stl(values, period=period)
    assert farthest(ours, wanted.seasonal, wanted.trend, values) < TOLERANCE


@pytest.mark.slow
def test_stretch_without_any_weight_keeps_its_own_level() -> None:
    period = 4
    values = noisy(40 * period + 1, 1, period=period, seed=6)[:, 0]
    # Wild for longer than the trend looks, to both sides: its first line there fits none of the readings.
    values[80:96] += 1e4 * np.random.default_rng(7).choice([-1, 1], size=16)
    seasonal, trend, weights = slow_stl(values, period=period)
    neighbourhoods = np.lib.stride_tricks.sliding_window_view(weights, 5, axis=1)
    assert (neighbourhoods == 0).all(axis=2).any()
    assert farthest(single_stl(values, period=period), seasonal, trend, values) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("n", [49, 400, 2001])
def test_column_does_not_depend_on_its_neighbours(n: int) -> None:
    values = noisy(n, 70, period=24, seed=8)
    values[:, 1] *= 1e6
    together = periodic_robust_stl(values, period=24)
    for column in (0, 1, 2, 69):
        alone = single_stl(values[:, column], period=24)
        one = Decomposition(seasonal=together.seasonal[:, column], trend=together.trend[:, column])
        assert farthest(one, alone.seasonal, alone.trend, values[:, column]) < 1e-12


def test_blocks_of_any_width_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = noisy(300, 7, period=12, seed=9)
    whole = periodic_robust_stl(values, period=12)
    monkeypatch.setattr(stl, "_BLOCK_READINGS", 600)
    cut = periodic_robust_stl(values, period=12)
    assert farthest(cut, whole.seasonal, whole.trend, values) < 1e-12


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(1e-3, 1e3),
    period=st.sampled_from([4, 7, 12]),
)
def test_parts_move_with_shift_and_scale(seed: int, shift: float, scale: float, period: int) -> None:
    values = noisy(9 * period + 2, 1, period=period, seed=seed)[:, 0]
    plain = single_stl(values, period=period)
    moved = single_stl(scale * values + shift, period=period)
    unit = scale * np.ptp(values) + abs(shift)
    np.testing.assert_allclose(moved.seasonal, scale * plain.seasonal, rtol=0, atol=TOLERANCE * unit)
    np.testing.assert_allclose(moved.trend, scale * plain.trend + shift, rtol=0, atol=TOLERANCE * unit)


@pytest.mark.parametrize("period", [2, 7, 24])
def test_seasonal_part_repeats_exactly(period: int) -> None:
    seasonal = periodic_robust_stl(noisy(10 * period + 1, 2, period=period, seed=10), period=period).seasonal
    assert (seasonal[period:] == seasonal[:-period]).all()


@pytest.mark.parametrize("level", [0.0, -3.0, 1e9])
def test_constant_series_is_all_trend(level: float) -> None:
    parts = single_stl(np.full(101, level), period=24)
    np.testing.assert_allclose(parts.trend, level, rtol=1e-14)
    np.testing.assert_allclose(parts.seasonal, 0, atol=1e-14 * abs(level))


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e308])
def test_reading_that_cannot_be_used_spoils_its_own_column_only(broken: float) -> None:
    values = noisy(200, 3, period=12, seed=11)
    clean = periodic_robust_stl(values, period=12)
    values[50:60, 1] = broken
    parts = periodic_robust_stl(values, period=12)
    np.testing.assert_allclose(parts.trend[:, [0, 2]], clean.trend[:, [0, 2]], rtol=1e-12)
    np.testing.assert_allclose(parts.seasonal[:, [0, 2]], clean.seasonal[:, [0, 2]], atol=1e-12)
    if not np.isfinite(broken):
        assert np.isnan(parts.trend[:, 1]).any()


def test_input_is_left_as_it_was_in_either_order() -> None:
    values = noisy(100, 4, period=7, seed=12)
    before = values.copy()
    rows = periodic_robust_stl(values, period=7)
    columns = periodic_robust_stl(np.asfortranarray(values), period=7)
    assert (values == before).all()
    assert (rows.trend == columns.trend).all()


@pytest.mark.slow
@pytest.mark.parametrize("period", [4, 1440])
def test_operators_take_no_more_memory_while_they_are_made_than_is_said(period: int) -> None:
    stl._operators(100, period=4)  # scipy is imported by now
    stl._operators.cache_clear()
    tracemalloc.start()
    stl._operators(200_000, period)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 400 * 200_000


def test_no_series_give_no_parts() -> None:
    assert periodic_robust_stl(np.empty((100, 0)), period=7).trend.shape == (100, 0)


@pytest.mark.parametrize(
    ("shape", "period", "message"),
    [((48, 2), 24, "more than 48"), ((100, 2), 1, "at least 2"), ((100,), 7, "two-dimensional")],
)
def test_values_it_cannot_decompose_are_refused(shape: tuple[int, ...], period: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        periodic_robust_stl(np.zeros(shape), period=period)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_middle_is_found_whatever_range_is_looked_at_first(n: int) -> None:
    for seed in range(20):
        row = np.abs(np.random.default_rng(seed).normal(size=n)).round(1)
        wanted = np.sort(row)[[(n - 1) // 2, n // 2]].tolist()
        for low, high in [(0, np.inf), (0.5, 0.6), (2, 3), (1, 0), (wanted[0], wanted[0])]:
            assert list(stl._middle_pair(row, low, high)) == wanted


@needs_reference
def test_reference_series_equal_statsmodels() -> None:
    paths = sorted((FOREIGN / "series").glob("azpdm_m1_*.parquet"))
    values = np.column_stack([pd.read_parquet(path)["value"].to_numpy(dtype=float) for path in paths])
    ours = periodic_robust_stl(values, period=24)
    for column in range(0, values.shape[1], 3):
        wanted = statsmodels_stl(values[:, column], period=24)
        one = Decomposition(seasonal=ours.seasonal[:, column], trend=ours.trend[:, column])
        assert farthest(one, wanted.seasonal, wanted.trend, values[:, column]) < TOLERANCE
