from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.anomalies.stl_statsmodels import statsmodels_stl


def wave(n: int, period: int) -> np.ndarray:
    row = np.arange(n)
    return 10 * np.sin(2 * np.pi * row / period)


@pytest.mark.parametrize("period", [2, 3, 7, 24])
def test_seasonal_part_repeats_exactly(period: int) -> None:
    values = wave(10 * period + 3, period) + np.random.default_rng(1).normal(size=10 * period + 3)
    seasonal = statsmodels_stl(values, period=period).seasonal
    assert (seasonal[period:] == seasonal[:-period]).all()


@pytest.mark.parametrize("period", [7, 24])
def test_season_and_straight_trend_are_told_apart(period: int) -> None:
    n = 20 * period
    line = 50 + 0.05 * np.arange(n)
    parts = statsmodels_stl(wave(n, period) + line, period=period)
    np.testing.assert_allclose(parts.seasonal, wave(n, period), atol=0.05)
    np.testing.assert_allclose(parts.trend, line, atol=0.05)


def test_single_spike_leaves_the_parts_alone() -> None:
    values = wave(240, 24) + np.random.default_rng(2).normal(scale=0.1, size=240)
    spiked = values.copy()
    spiked[100] += 1000
    plain, robust = statsmodels_stl(values, period=24), statsmodels_stl(spiked, period=24)
    np.testing.assert_allclose(robust.seasonal, plain.seasonal, atol=0.2)
    np.testing.assert_allclose(robust.trend, plain.trend, atol=0.2)


def test_input_is_left_as_it_was() -> None:
    values = wave(100, 7)
    before = values.copy()
    statsmodels_stl(values, period=7)
    assert (values == before).all()


@pytest.mark.parametrize(("n", "period", "message"), [(48, 24, "more than 48"), (100, 1, "at least 2")])
def test_series_it_cannot_decompose_is_refused(n: int, period: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        statsmodels_stl(np.zeros(n), period=period)
