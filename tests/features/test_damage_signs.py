"""Signs of slow and irregular damage, against pandas and plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.features.damage_signs import excursion_columns, extreme_columns, trend_columns, usage_columns
from pdm_cli.features.events import EventLog
from pdm_cli.features.machine_levels import LevelWindows, find_levels
from pdm_cli.features.robust_z import standardise
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, instants_of, log_frame, rows_frame

HOURS = 24 * 60
GRID_US = 3 * HOUR_US
WINDOWS = LevelWindows.of(48.0, 720.0)
ROWS = slice(3, HOURS, 96)
INSTANTS = instants_of([("m", float(hour)) for hour in range(HOURS)[ROWS]])
LENGTHS = {"step_us": HOUR_US, "grid_us": GRID_US}


@pytest.fixture(scope="module")
def readings() -> pd.Series:
    rng = np.random.default_rng(3)
    values = rng.normal(20, 2, HOURS)
    values[rng.random(HOURS) < 0.1] = np.nan
    return pd.Series(values)


@pytest.fixture(scope="module")
def telemetry(readings: pd.Series) -> pd.DataFrame:
    return rows_frame([("m", float(hour)) for hour in range(HOURS)]).assign(volt=readings.to_numpy())


def test_trends_are_the_last_third_minus_the_first(telemetry: pd.DataFrame, readings: pd.Series) -> None:
    found = dict(trend_columns(telemetry, INSTANTS, WINDOWS, **LENGTHS))
    assert list(found) == ["volt_trend_72h", "volt_trend_504h"]
    for hours, values in zip((24, 168), found.values(), strict=True):
        means = readings.rolling(hours, min_periods=hours // 2).mean()
        is_whole = INSTANTS.times >= EPOCH_US + 3 * hours * HOUR_US
        assert_allclose(values[is_whole], (means - means.shift(2 * hours))[ROWS][is_whole], rtol=1e-9)


def test_trends_of_a_straight_line_are_its_slope_from_a_third_of_the_window_on() -> None:
    line = rows_frame([("m", float(hour)) for hour in range(HOURS)]).assign(volt=0.5 * np.arange(HOURS))
    found = dict(trend_columns(line, INSTANTS, WINDOWS, **LENGTHS))
    for hours in (72, 504):
        # The first interval has one reading, not three.
        is_known = INSTANTS.times >= EPOCH_US + hours / 3 * HOUR_US
        assert_allclose(found[f"volt_trend_{hours}h"][is_known], 0.5 * hours * 2 / 3, rtol=0.02)
        assert np.isnan(found[f"volt_trend_{hours}h"][~is_known]).all()


def test_extremes_are_those_of_the_window_minus_the_usual_level(telemetry: pd.DataFrame, readings: pd.Series) -> None:
    levels = find_levels(telemetry, INSTANTS, WINDOWS, **LENGTHS)
    found = dict(extreme_columns(telemetry, INSTANTS, WINDOWS, levels, grid_us=GRID_US))
    assert list(found) == [f"volt_{side}_{hours}h" for hours in (24, 168) for side in ("lowest", "highest")]
    for hours in (24, 168):
        rolling = readings.rolling(hours, min_periods=1)
        assert_allclose(found[f"volt_lowest_{hours}h"], rolling.min()[ROWS] - levels.usual[0])
        assert_allclose(found[f"volt_highest_{hours}h"], rolling.max()[ROWS] - levels.usual[0])


def test_excursions_are_shares_of_readings_beyond_three_deviations(telemetry: pd.DataFrame) -> None:
    scores = standardise(telemetry, step_us=HOUR_US)
    z = scores.z.copy()
    z[::37] = 4.0
    z[::41] = -3.5
    far = replace(scores, z=z)
    found = dict(excursion_columns(telemetry, far, INSTANTS, WINDOWS, **LENGTHS))
    expected = pd.Series(z[:, 0]).rolling(24, min_periods=12).mean()
    assert_allclose(found["volt_z_24h"], expected[ROWS], atol=1e-12)
    for name, is_far in (("above", z[:, 0] > 3), ("below", z[:, 0] < -3)):
        shares = pd.Series(np.where(np.isnan(z[:, 0]), np.nan, is_far)).rolling(24, min_periods=12).mean()
        assert_allclose(found[f"volt_{name}_24h"], shares[ROWS], atol=1e-12)


def test_usage_adds_up_readings_since_the_last_replacement() -> None:
    rows = [("m", float(hour)) for hour in range(10)] + [("other", 5.0)]
    telemetry = rows_frame(rows).assign(load=[1, 2, np.nan, 4, 5, 6, 7, 8, 9, 10, 3.0])
    instants = instants_of([("m", 0.0), ("m", 4.0), ("m", 6.5), ("m", 9.0), ("other", 5.0), ("other", 4.0)])
    log = log_frame([Event("m", 3.0, "pump"), Event("m", 7.5, "pump")])
    replaced = {"pump": EventLog(log, instants.machines)}
    found = dict(usage_columns(telemetry, replaced, instants, step_us=2 * HOUR_US))
    assert_array_equal(found["hours_since_start"], [0, 4, 6.5, 9, 0, np.nan])
    assert_array_equal(found["load_sum_since_pump"], [2, 10, 36, 38, 6, np.nan])
