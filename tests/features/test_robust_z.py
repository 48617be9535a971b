from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.features.robust_z import ZScores, standardise
from tests.builders.examples import FEW
from tests.builders.scores import broken_scores, telemetry_of
from tests.builders.tables import HOUR_US, fleet_telemetry, machine_telemetry

# Small enough that windows, blocks and the first hours all show within some dozen rows.
SHORT = {"window_hours": 20.0, "refresh_hours": 5.0, "least_hours": 8.0}


def z_of(telemetry: pd.DataFrame, *, step_hours: float = 1.0, **settings_: Any) -> ZScores:
    return standardise(telemetry, step_us=round(step_hours * HOUR_US), **settings_)


def slow_z(
    telemetry: pd.DataFrame, *, step_hours: float, window_hours: float, refresh_hours: float, least_hours: float
) -> np.ndarray:
    sensors = [name for name in telemetry if name not in ("machineID", "datetime")]
    hours = (telemetry["datetime"] - pd.Timestamp("1970-01-01")) / pd.Timedelta(hours=1)
    expected = np.full((len(telemetry), len(sensors)), np.nan)
    for row in range(len(telemetry)):
        block = np.floor(hours[row] / refresh_hours) * refresh_hours
        own = telemetry["machineID"] == telemetry.loc[row, "machineID"]
        window = telemetry[own & (hours >= block - window_hours) & (hours < block)]
        for column, sensor in enumerate(sensors):
            seen = window[sensor].dropna().to_list()
            reading = telemetry.loc[row, sensor]
            is_enough = block - hours[own].min() >= least_hours and len(seen) * step_hours * 2 >= least_hours
            mad = np.median(np.abs(np.array(seen) - np.median(seen))) if is_enough else 0.0
            if not np.isnan(reading):
                z = (reading - np.median(seen)) / (1.4826 * mad) if mad > 0 else 0.0
                expected[row, column] = min(max(z, -6), 6)
    return expected


def test_a_reading_is_judged_by_median_and_mad_of_the_days_before() -> None:
    # From 06:00 on; the first midnight with 48 hours behind it is 66 hours later. Median 10, MAD 2 until then.
    first = list(islice(cycle([8.0, 12.0]), 66))
    volt = [*first, 16.0, 10.0, 4.0, 1e30, -1e30, np.nan]
    found = z_of(machine_telemetry(1, range(72), volt=volt))
    assert_array_equal(found.z[:66], 0)
    assert_allclose(found.z[66:, 0], [6 / 2.9652, 0, -6 / 2.9652, 6, -6, np.nan])


def test_median_and_mad_are_those_of_the_last_refresh() -> None:
    # On the day after, the 24 readings of 16 count: of 66 at 8 or 12 and 24 at 16 the median is 12, the MAD 4.
    volt = [*islice(cycle([8.0, 12.0]), 66), *[16.0] * 24, 16.0]
    found = z_of(machine_telemetry(1, range(91), volt=volt))
    assert_allclose(found.z[66:90], 6 / 2.9652)
    assert_allclose(found.z[90], 4 / (1.4826 * 4))


def test_rows_sensors_and_machines_are_named() -> None:
    telemetry = fleet_telemetry(machines=("a", "b"), rows=3)
    found = z_of(telemetry)
    assert found.machines.to_list() == ["a", "b"]
    assert found.codes.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.sensors == ["volt", "rotate"]
    assert_array_equal(found.times.astype("datetime64[us]"), telemetry["datetime"].to_numpy())


@pytest.mark.parametrize("volt", [[5.0] * 90, [5.0] * 60 + [7.0] * 30])
def test_where_readings_hardly_ever_move_z_is_zero(volt: list[float]) -> None:
    assert_array_equal(z_of(machine_telemetry(1, range(90), volt=volt)).z, 0)


def test_few_readings_are_no_history() -> None:
    rng = np.random.default_rng(0)
    volt = rng.normal(size=90)
    volt[:43] = np.nan
    assert_array_equal(z_of(machine_telemetry(1, range(90), volt=volt)).z[66:], np.zeros((24, 1)))
    volt[42] = 0.0
    assert (z_of(machine_telemetry(1, range(90), volt=volt)).z[66:] != 0).all()


def test_a_clip_of_ones_own_is_kept() -> None:
    found = z_of(fleet_telemetry(rows=300), clip=0.5)
    assert np.abs(found.z).max() == 0.5


def test_normal_readings_become_standard_normal() -> None:
    z = z_of(fleet_telemetry(machines=(1, 2), rows=3000)).z[1000:]
    assert abs(np.mean(z)) < 0.1
    assert abs(np.std(z) - 1) < 0.05


def test_a_vanishing_spread_makes_no_warning() -> None:
    volt = [*islice(cycle([0.0, 5e-324, 1e-323]), 80), 1e30, -1e30]
    found = z_of(machine_telemetry(1, range(82), volt=volt))
    assert found.z[-2:, 0].tolist() == [6, -6]


def test_no_rows_give_no_scores() -> None:
    found = z_of(fleet_telemetry(rows=3).iloc[:0])
    assert found.z.shape == (0, 2)
    assert found.machines.empty


def test_many_long_windows_equal_slow_ones() -> None:
    # More readings than are in hand at once: 800 windows of 720 readings.
    telemetry = fleet_telemetry(machines=(1,), rows=800)[["machineID", "datetime", "volt"]]
    found = z_of(telemetry, refresh_hours=1)
    volt = telemetry["volt"]
    before = volt.shift(1).rolling(720, min_periods=48)
    mad = before.apply(lambda w: np.nanmedian(np.abs(w - np.nanmedian(w))), raw=True)
    assert_allclose(found.z[48:, 0], ((volt - before.median()) / (1.4826 * mad)).clip(-6, 6)[48:])


@settings(max_examples=FEW)
@given(broken=broken_scores(most_rows=40, steps=[0.5, 1.0, 3.0]))
def test_any_telemetry_gives_the_z_of_slow_loops(broken: tuple[ZScores, float]) -> None:
    telemetry = telemetry_of(broken[0])
    found = z_of(telemetry, step_hours=broken[1], **SHORT)
    assert_allclose(found.z, slow_z(telemetry, step_hours=broken[1], **SHORT), atol=1e-12)


@given(broken=broken_scores(), share=st.floats(0, 1))
def test_cutting_the_future_off_changes_no_past_z(broken: tuple[ZScores, float], share: float) -> None:
    telemetry = telemetry_of(broken[0])
    span = telemetry["datetime"].max() - telemetry["datetime"].min()
    is_past = (telemetry["datetime"] <= telemetry["datetime"].min() + share * span).to_numpy()
    early = z_of(telemetry[is_past].reset_index(drop=True), **SHORT)
    assert early.z.tobytes() == z_of(telemetry, **SHORT).z[is_past].tobytes()


@given(broken=broken_scores())
def test_a_machine_does_not_see_its_neighbours(broken: tuple[ZScores, float]) -> None:
    scores, telemetry = broken[0], telemetry_of(broken[0])
    together = z_of(telemetry, **SHORT)
    for code in range(len(scores.machines)):
        own = scores.codes == code
        assert z_of(telemetry[own].reset_index(drop=True), **SHORT).z.tobytes() == together.z[own].tobytes()
