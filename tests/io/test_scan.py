from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pdm_cli.errors import DataError
from pdm_cli.features.rolling import rolling_features
from pdm_cli.io.scan import Scanner
from pdm_cli.preparation.cleaning import clean_telemetry
from pdm_cli.preparation.quality import new_findings
from pdm_cli.settings.model import FeaturesParams, PreprocessParams

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000


def look_at(stamps: pd.DatetimeIndex, machines: int = 2) -> Scanner:
    look = Scanner()
    for machine in range(machines):
        names = pa.chunked_array([pa.array(np.full(len(stamps), machine))])
        look.add(names, pa.chunked_array([pa.array(stamps.astype("datetime64[us]"))]))
    return look


def jitter(stamps: pd.DatetimeIndex, seconds: float) -> pd.DatetimeIndex:
    rng = np.random.default_rng(0)
    return stamps + pd.to_timedelta(np.round(rng.uniform(-seconds, seconds, len(stamps)), 3), unit="s")


@pytest.mark.parametrize(
    ("start", "every", "step", "phase"),
    [
        ("2015-01-01 06:00", "1h", HOUR_US, 0),
        ("2015-01-01 06:30", "1h", HOUR_US, 30 * MINUTE_US),
        ("2015-01-01 06:00", "24h", 24 * HOUR_US, 6 * HOUR_US),
        ("2015-01-01 06:03", "10min", 10 * MINUTE_US, 3 * MINUTE_US),
    ],
)
def test_step_and_phase_of_a_regular_log_are_found(start: str, every: str, step: int, phase: int) -> None:
    look = look_at(pd.date_range(start, periods=200, freq=every))
    assert look.step("telemetry.parquet") == step
    assert look.phase(step) == phase


def test_step_of_a_log_in_any_order_is_found() -> None:
    stamps = pd.date_range("2015-01-01", periods=500, freq="h")
    for order in (np.random.default_rng(0).permutation(500), np.arange(500)[::-1]):
        assert look_at(stamps[order]).step("telemetry.parquet") == HOUR_US


@pytest.mark.parametrize(("quick", "slow", "step"), [(1500, 4000, HOUR_US), (4000, 1500, 10 * MINUTE_US)])
def test_the_step_of_most_readings_counts_whatever_the_first_ones_have(quick: int, slow: int, step: int) -> None:
    minutes = np.r_[np.full(quick, 10), np.full(slow, 60)].cumsum()
    stamps = pd.DatetimeIndex(np.datetime64("2015-01-01") + minutes * np.timedelta64(1, "m"))
    assert look_at(stamps, machines=1).step("telemetry.parquet") == step


def test_a_jittering_clock_keeps_its_step_and_gets_no_phase_that_a_later_reading_could_move() -> None:
    stamps = jitter(pd.date_range("2015-01-01", periods=999, freq="h"), seconds=2)
    for seen in (stamps, stamps[:300]):
        look = look_at(seen)
        assert look.step("telemetry.parquet") == HOUR_US
        assert look.phase(HOUR_US) == 0


def test_a_jittering_log_keeps_one_row_an_hour_with_a_phase_given() -> None:
    stamps = jitter(pd.date_range("2015-01-01", periods=999, freq="h"), seconds=2)
    phase = 2_000_000
    frame = pd.DataFrame({"machineID": 1, "datetime": stamps.astype("datetime64[us]"), "volt": np.arange(999.0)})
    clean = clean_telemetry(frame, new_findings(), step_us=HOUR_US, phase_us=phase, params=PreprocessParams())
    assert clean["volt"].tolist() == frame["volt"].tolist()
    assert (clean["datetime"].to_numpy() >= frame["datetime"].to_numpy()).all()


def test_many_readings_put_into_one_step_stand_on_the_clock() -> None:
    look = look_at(pd.date_range("2015-01-01 00:01", periods=3000, freq="min"))
    assert look.phase(HOUR_US) == 0


def test_an_irregular_log_is_refused_with_the_way_out() -> None:
    rng = np.random.default_rng(0)
    stamps = pd.Timestamp("2015-01-01") + pd.to_timedelta(np.cumsum(rng.exponential(3600, 500)), unit="s")
    with pytest.raises(DataError, match="no regular time step") as caught:
        look_at(pd.DatetimeIndex(stamps)).step("telemetry.parquet")
    assert "--step-minutes" in str(caught.value.hint)


def test_features_of_a_log_between_the_hours_see_the_readings_up_to_their_own_time() -> None:
    stamps = pd.date_range("2015-01-01 00:30", periods=48, freq="h")
    frame = pd.DataFrame({"machineID": 1, "datetime": stamps.astype("datetime64[us]"), "volt": np.arange(48.0) ** 2})
    params = FeaturesParams(windows_hours=(3.0, 12.0), statistics=("mean",), min_share=0.3)
    features = rolling_features(frame, step_us=HOUR_US, params=params).set_index("datetime")
    volt = frame.set_index("datetime")["volt"]
    for stamp, row in features.iterrows():
        for hours in (3, 12):
            window = volt[(volt.index > stamp - pd.Timedelta(hours=hours)) & (volt.index <= stamp)]
            wanted = window.mean() if len(window) >= np.ceil(0.3 * hours) else np.nan
            np.testing.assert_allclose(row[f"volt_mean_{hours}h"], wanted, rtol=1e-12)
    assert features.index[0] == pd.Timestamp("2015-01-01 03:00")
    assert features.index[-1] == pd.Timestamp("2015-01-03 00:00")
