"""Means over long windows, against one loop per window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.features.events import Instants
from pdm_cli.features.trailing import LongWindow, trailing_changes, trailing_extremes, trailing_means
from tests.builders.fleets import EPOCH_US, HOUR_US, rows_frame

GRID_US = 3 * HOUR_US
WINDOWS = [LongWindow(1, 1), LongWindow(5, 4), LongWindow(56, 20), LongWindow(240, 1)]


def telemetry_of(rows: list[tuple[Any, float]], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    readings = rng.normal(50, 10, (len(rows), 2))
    readings[rng.random(readings.shape) < 0.2] = np.nan
    frame = rows_frame(rows)
    frame[["volt", "flow"]] = readings
    return frame


def make_log(gaps: list[float], ahead: list[float], seed: int) -> tuple[pd.DataFrame, Instants]:
    """Return telemetry of two machines with these gaps, and instants after some of its rows."""
    hours = np.cumsum(gaps)
    rows = [(machine, float(hour)) for machine in ("a", "b") for hour in hours[: None if machine == "a" else 9]]
    telemetry = telemetry_of(rows, seed)
    rng = np.random.default_rng(seed)
    asked = [(str(rng.choice(["a", "b", "silent"])), float(rng.choice(hours)) + more) for more in ahead]
    instants = Instants.of(rows_frame(asked))
    return telemetry, instants


def slow(telemetry: pd.DataFrame, instants: Instants, window: LongWindow, statistic: str) -> np.ndarray[Any, Any]:
    """Return a statistic of each window from a selection of its rows."""
    times = telemetry["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64)
    found = np.full((2, len(instants.times)), np.nan)
    for column, (code, time) in enumerate(zip(instants.codes, instants.times, strict=True)):
        end = time // GRID_US * GRID_US
        is_inside = (times <= end) & (times > end - window.intervals * GRID_US)
        own = telemetry[is_inside & (telemetry["machineID"] == instants.machines[code]).to_numpy()]
        for row, sensor in enumerate(("volt", "flow")):
            if own[sensor].count() >= window.fewest:
                found[row, column] = getattr(own[sensor], statistic)()
    return found


@given(
    gaps=st.lists(st.sampled_from([0.5, 1.0, 1.0, 1.0, 7.0, 40.0, 5000.0]), min_size=1, max_size=60),
    ahead=st.lists(st.sampled_from([0.0, 1.0, 3.0, 500.0, -30.0]), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
def test_trailing_statistics_any_log_equal_those_of_a_loop(gaps: list[float], ahead: list[float], seed: int) -> None:
    telemetry, instants = make_log(gaps, ahead, seed)
    found = trailing_means(telemetry, instants, WINDOWS, grid_us=GRID_US)
    for window, means in zip(WINDOWS, found, strict=True):
        assert_allclose(means, slow(telemetry, instants, window, "mean"), rtol=1e-12)
    lengths = [1, 7, 56]
    for length, (low, high) in zip(
        lengths, trailing_extremes(telemetry, instants, lengths, grid_us=GRID_US), strict=True
    ):
        assert_array_equal(low, slow(telemetry, instants, LongWindow(length, 1), "min"))
        assert_array_equal(high, slow(telemetry, instants, LongWindow(length, 1), "max"))


def slow_changes(telemetry: pd.DataFrame, instants: Instants, third: int) -> np.ndarray[Any, Any]:
    """Return the changes over windows, from the means of the intervals of their thirds."""
    times = -(-telemetry["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64) // GRID_US)
    found = np.full((2, len(instants.times)), np.nan)
    for column, (code, time) in enumerate(zip(instants.codes, instants.times, strict=True)):
        is_own, end = (telemetry["machineID"] == instants.machines[code]).to_numpy(), time // GRID_US
        if not is_own.any():
            continue
        start = max(end - 3 * third + 1, times[is_own].min())
        length = end - start + 1
        own = length // 3
        for row, sensor in enumerate(("volt", "flow")):
            parts = [
                telemetry.loc[is_own & (times >= low) & (times < low + own), sensor].dropna()
                for low in (end - own + 1, start)
            ]
            if length >= max(third, 3) and all(len(part) >= max(round(own * 3 / 2), 1) for part in parts):
                found[row, column] = (parts[0].mean() - parts[1].mean()) / (length - own) * 2 * third
    return found


@given(
    gaps=st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.0, 2.0, 40.0]), min_size=1, max_size=80),
    ahead=st.lists(st.sampled_from([0.0, 1.0, 3.0, 500.0, -30.0]), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
def test_trailing_changes_any_log_equal_those_of_a_loop(gaps: list[float], ahead: list[float], seed: int) -> None:
    telemetry, instants = make_log(gaps, ahead, seed)
    for third, found in zip(
        [1, 4, 30], trailing_changes(telemetry, instants, [1, 4, 30], step_us=HOUR_US, grid_us=GRID_US), strict=True
    ):
        assert_allclose(found, slow_changes(telemetry, instants, third), rtol=1e-9, atol=1e-9)


def test_trailing_means_after_a_glitch_keep_no_rounding_error() -> None:
    rows = [("a", float(hour)) for hour in range(600)]
    telemetry = telemetry_of(rows).assign(volt=0.1, flow=7.0)
    telemetry.loc[100, "volt"] = 1e18
    instants = Instants.of(rows_frame([("a", 99.0), ("a", 597.0)]))
    short = trailing_means(telemetry, instants, [LongWindow(8, 1)], grid_us=GRID_US)[0]
    assert_array_equal(short[:, 0], short[:, 1])


@pytest.mark.parametrize("third", [10, 60])
def test_trailing_changes_after_a_glitch_keep_no_rounding_error(third: int) -> None:
    telemetry = telemetry_of([("a", float(hour)) for hour in range(300)]).assign(volt=0.1, flow=7.0)
    # In neither the first nor the last third.
    telemetry.loc[250 if third == 10 else 150, "volt"] = 1e18
    instants = Instants.of(rows_frame([("a", 297.0)]))
    changes = trailing_changes(telemetry, instants, [third], step_us=HOUR_US, grid_us=GRID_US)[0]
    assert_allclose(changes, 0.0, atol=1e-14)


@pytest.mark.parametrize("hour", [299.0, 300.0, 301.0])
def test_trailing_means_future_cut_off_are_bit_identical(hour: float) -> None:
    rows = [("a", float(h)) for h in range(600)]
    telemetry = telemetry_of(rows)
    instants = Instants.of(rows_frame([("a", hour)]))
    past = telemetry[telemetry["datetime"] <= pd.Timestamp(EPOCH_US + round(hour * HOUR_US), unit="us")]
    whole, cut = (trailing_means(t, instants, WINDOWS, grid_us=GRID_US) for t in (telemetry, past))
    assert [a.tobytes() for a in whole] == [b.tobytes() for b in cut]
    lengths = {"step_us": HOUR_US, "grid_us": GRID_US}
    whole, cut = (trailing_changes(t, instants, [1, 5, 60], **lengths) for t in (telemetry, past))
    assert [a.tobytes() for a in whole] == [b.tobytes() for b in cut]
