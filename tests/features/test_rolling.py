from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pdm_cli.errors import DataError
from pdm_cli.features.rolling import has_whole_window, rolling_features
from pdm_cli.settings.duration import show_duration
from pdm_cli.settings.model import FeaturesParams
from tests.builders.rolling_reference import assert_same_features, slow_features
from tests.builders.tables import HOUR_US, clean, fleet_telemetry, machine_telemetry

ALL = FeaturesParams(statistics=("mean", "std", "min", "max"))


def features_of(telemetry: pd.DataFrame, *, step_hours: float = 1.0, params: FeaturesParams = ALL) -> pd.DataFrame:
    return rolling_features(telemetry, step_us=round(step_hours * HOUR_US), params=params)


def flawed_telemetry(*, step_hours: float = 1.0, rows: int = 150, seed: int = 0) -> pd.DataFrame:
    """Raw telemetry of three machines with missing readings, missing rows (also long ones) and doubled rows."""
    rng = np.random.default_rng(seed)
    frame = fleet_telemetry(rows=rows, step_hours=step_hours, seed=seed)
    for sensor in ("volt", "rotate"):
        frame.loc[rng.random(len(frame)) < 0.15, sensor] = np.nan
    frame = frame[rng.random(len(frame)) > 0.1]
    is_outage = frame["machineID"].eq(2) & frame["datetime"].between("2015-01-03 00:00", "2015-01-05 03:00")
    frame = frame[~is_outage]
    doubled = frame.sample(20, random_state=seed)
    frame = pd.concat([frame, doubled.assign(volt=doubled["volt"] + 4)])
    return frame.sort_values(["machineID", "datetime"], kind="stable", ignore_index=True)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("min_share", [0.01, 0.5, 0.8, 1.0])
def test_features_of_flawed_series_equal_slow_pandas(seed: int, min_share: float) -> None:
    telemetry, _ = clean(flawed_telemetry(seed=seed), on_duplicate="mean", max_gap_hours=6)
    params = replace(ALL, min_share=min_share)
    found = features_of(telemetry, params=params)
    assert_same_features(found, slow_features(telemetry, step_hours=1, params=params))
    assert len(found) > 80
    assert found["volt_mean_12h"].notna().any()


@pytest.mark.parametrize(
    ("step_hours", "grid_hours", "windows"),
    [
        (1.0, 3.0, (4.0,)),
        (1.0, 3.0, (1.0, 2.0, 5.0, 7.0, 48.0)),
        (0.5, 3.0, (1.5, 0.5, 24.0)),
        (0.5, 1.5, (1.5, 2.5)),
        (2.0, 3.0, (2.0, 4.0, 12.0)),
        (2.0, 5.0, (6.0, 10.0)),
        (3.0, 3.0, (3.0, 12.0)),
        (0.25, 3.0, (0.75, 3.0)),
        (1 / 3, 1.0, (1.0, 2 / 3)),
        (1.0, 24.0, (3.0, 24.0, 36.0)),
        (1.0, 2.5, (3.0, 12.0)),
    ],
)
def test_odd_steps_grids_and_windows_equal_slow_pandas(
    step_hours: float, grid_hours: float, windows: tuple[float, ...]
) -> None:
    step_us = round(step_hours * HOUR_US)
    telemetry, _ = clean(
        flawed_telemetry(step_hours=step_hours), step_us=step_us, on_duplicate="first", max_gap_hours=6
    )
    params = replace(ALL, grid_hours=grid_hours, windows_hours=windows)
    found = features_of(telemetry, step_hours=step_hours, params=params)
    assert_same_features(found, slow_features(telemetry, step_hours=step_hours, params=params))
    assert len(found) > 0


def test_a_window_reaches_over_a_gap_by_time_and_not_by_rows() -> None:
    telemetry, _ = clean(machine_telemetry(1, [0, 1, 2, 11, 12], volt=[1, 2, 3, 40, 50]), max_gap_hours=2)
    found = features_of(telemetry, params=FeaturesParams(windows_hours=(12.0,), statistics=("mean",), min_share=0.01))
    assert found["volt_mean_12h"].to_list() == [1.0, (2 + 3 + 40 + 50) / 4]


def test_names_carry_sensor_statistic_and_window() -> None:
    params = FeaturesParams(windows_hours=(1.5, 12.0), statistics=("mean", "std"))
    found = features_of(
        fleet_telemetry(step_hours=0.5)[["machineID", "datetime", "volt"]], step_hours=0.5, params=params
    )
    assert list(found) == [
        "machineID",
        "datetime",
        "volt_mean_90min",
        "volt_std_90min",
        "volt_mean_12h",
        "volt_std_12h",
    ]


def test_a_row_stands_at_every_grid_stamp_that_has_a_reading() -> None:
    found = features_of(fleet_telemetry(machines=("b", "a"), rows=7))
    assert found["machineID"].to_list() == ["b"] * 3 + ["a"] * 3
    assert found["datetime"].dt.hour.to_list() == [6, 9, 12] * 2
    assert found["datetime"].dtype == "datetime64[us]"


def test_a_row_without_any_reading_is_left_out() -> None:
    telemetry = machine_telemetry(1, range(7), volt=[1, 1, 1, np.nan, 1, 1, 1], rotate=[1, 1, 1, np.nan, 1, 1, np.nan])
    assert features_of(telemetry)["datetime"].dt.hour.to_list() == [6, 12]


def test_telemetry_between_two_grid_stamps_gives_no_row() -> None:
    found = features_of(machine_telemetry(1, [1, 2], volt=[1, 2]))
    assert len(found) == 0
    assert "volt_mean_12h" in found


def test_stamps_before_1970_are_on_the_same_grid() -> None:
    telemetry = fleet_telemetry(machines=(1,), rows=48)
    early = telemetry.assign(datetime=telemetry["datetime"] - pd.Timedelta(days=365 * 60))
    late, found = features_of(telemetry), features_of(early)
    assert_frame_equal(found.drop(columns="datetime"), late.drop(columns="datetime"))


@pytest.mark.parametrize("glitch", [1e8, -1e8, 1e15, np.nan, 1e200, 1.7e308, np.inf])
def test_a_glitch_spoils_no_row_beyond_its_window(glitch: float) -> None:
    sound = fleet_telemetry(rows=120)
    spoiled = sound.copy()
    spoiled.loc[[70, 190, 191], "volt"] = glitch
    before, after = features_of(sound), features_of(spoiled)
    assert_frame_equal(before[["machineID", "datetime"]], after[["machineID", "datetime"]])
    assert_frame_equal(before.filter(like="rotate"), after.filter(like="rotate"), check_exact=True)
    for hours in (3, 12, 24):
        is_touched = np.zeros(len(before), bool)
        for row in (70, 190, 191):
            machine, at = spoiled.loc[row, ["machineID", "datetime"]]
            late = before["datetime"] - at
            is_touched |= (
                before["machineID"].eq(machine) & (late >= pd.Timedelta(0)) & (late < pd.Timedelta(hours=hours))
            )
        names = [name for name in before if name.startswith("volt") and name.endswith(f"_{hours}h")]
        assert_frame_equal(before.loc[~is_touched, names], after.loc[~is_touched, names], check_exact=True)


def test_a_large_level_costs_no_digits_of_the_spread() -> None:
    sound = fleet_telemetry(machines=(1,), rows=120)
    raised = sound.assign(volt=np.round(sound["volt"]) + 2.0**20)
    found = features_of(raised)["volt_std_24h"]
    expected = features_of(sound.assign(volt=np.round(sound["volt"])))["volt_std_24h"]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.1, 170.777736, 1e8 / 3])
def test_a_constant_series_has_no_spread(level: float) -> None:
    telemetry = machine_telemetry(1, range(48), volt=[level] * 48)
    found = features_of(telemetry)
    for hours in (3, 12, 24):
        spread = found[f"volt_std_{hours}h"].dropna()
        assert len(spread) > 0
        assert (spread <= 1e-12 * max(level, 1)).all()


def test_order_and_names_of_machines_do_not_matter() -> None:
    telemetry, _ = clean(flawed_telemetry(), on_duplicate="first", max_gap_hours=6)
    expected = features_of(telemetry)
    blocks = dict(list(telemetry.groupby("machineID")))
    shuffled = pd.concat([blocks[machine].assign(machineID=name) for machine, name in ((3, "a"), (1, "b"), (2, "c"))])
    found = features_of(shuffled.reset_index(drop=True))
    for machine, name in ((3, "a"), (1, "b"), (2, "c")):
        own = found[found["machineID"] == name].drop(columns="machineID").reset_index(drop=True)
        wanted = expected[expected["machineID"] == machine].drop(columns="machineID").reset_index(drop=True)
        assert_frame_equal(own, wanted, check_exact=True)


def test_a_machine_does_not_see_its_neighbours() -> None:
    telemetry, _ = clean(flawed_telemetry(), on_duplicate="first", max_gap_hours=6)
    alone = telemetry[telemetry["machineID"] == 2].reset_index(drop=True)
    together = features_of(telemetry)
    assert_frame_equal(
        features_of(alone),
        together[together["machineID"] == 2].reset_index(drop=True),
        check_exact=True,
    )


@st.composite
def raw_series(draw: st.DrawFn) -> tuple[pd.DataFrame, float]:
    """Draw raw telemetry of two machines with jitter, doubled stamps, gaps of all lengths and missing readings."""
    step_hours = draw(st.sampled_from([0.5, 1.0, 2.0]))
    frames = []
    for machine in (1, 2):
        apart = draw(st.lists(st.sampled_from([0.0, 0.3, 1.0, 1.0, 1.0, 1.0, 2.0, 5.0, 30.0]), min_size=3, max_size=40))
        hours = np.cumsum(apart) * step_hours
        seed = draw(st.integers(0, 2**16))
        rng = np.random.default_rng(seed)
        readings = rng.normal(170, 15, (2, len(hours)))
        readings[rng.random(readings.shape) < 0.15] = np.nan
        readings[rng.random(readings.shape) < 0.03] = 1e8
        frames.append(machine_telemetry(machine, hours.tolist(), volt=readings[0], rotate=readings[1]))
    return pd.concat(frames, ignore_index=True), step_hours


@pytest.mark.slow
@given(
    series=raw_series(),
    share=st.floats(0.0, 1.0),
    grid_hours=st.sampled_from([2.0, 3.0, 5.0]),
    policies=st.fixed_dictionaries(
        {
            "on_duplicate": st.sampled_from(["first", "mean"]),
            "max_gap_hours": st.sampled_from([0.0, 4.0, 24.0]),
            "ranges": st.sampled_from([{}, {"volt": (100.0, 200.0)}]),
        }
    ),
)
def test_cutting_the_future_off_changes_no_past_row(
    series: tuple[pd.DataFrame, float], share: float, grid_hours: float, policies: dict[str, Any]
) -> None:
    raw, step_hours = series
    span = raw["datetime"].max() - raw["datetime"].min()
    cut = raw["datetime"].min() + share * span
    params = replace(ALL, grid_hours=grid_hours, windows_hours=(2.0, 4.0, 12.0), min_share=0.3)

    def features(frame: pd.DataFrame) -> pd.DataFrame:
        telemetry, _ = clean(frame, step_us=round(step_hours * HOUR_US), **policies)
        found = features_of(telemetry, step_hours=step_hours, params=params)
        return found[found["datetime"] <= cut].reset_index(drop=True)

    assert_frame_equal(features(raw[raw["datetime"] <= cut].reset_index(drop=True)), features(raw), check_exact=True)


@pytest.mark.slow
@given(
    series=raw_series(), grid_hours=st.sampled_from([2.0, 3.0, 5.0, 24.0]), min_share=st.sampled_from([0.1, 0.5, 1.0])
)
def test_any_cleaned_series_equals_slow_pandas(
    series: tuple[pd.DataFrame, float], grid_hours: float, min_share: float
) -> None:
    raw, step_hours = series
    ranges = {"volt": (0.0, 400.0), "rotate": (0.0, 400.0)}
    telemetry, _ = clean(raw, step_us=round(step_hours * HOUR_US), on_duplicate="mean", max_gap_hours=8, ranges=ranges)
    params = replace(ALL, grid_hours=grid_hours, windows_hours=(2.0, 6.0, 24.0), min_share=min_share)
    found = features_of(telemetry, step_hours=step_hours, params=params)
    assert_same_features(found, slow_features(telemetry, step_hours=step_hours, params=params))


@pytest.mark.parametrize(("step_hours", "window"), [(1.0, 1.5), (2.0, 3.0), (3.0, 1.0), (0.5, 0.75)])
def test_a_window_of_no_whole_number_of_steps_is_refused(step_hours: float, window: float) -> None:
    with pytest.raises(
        DataError, match=f"--windows-hours {show_duration(round(window * HOUR_US))} is not a whole number of steps"
    ) as caught:
        features_of(
            fleet_telemetry(step_hours=step_hours),
            step_hours=step_hours,
            params=FeaturesParams(windows_hours=(12.0, window)),
        )
    assert "--windows-hours" in str(caught.value.hint)
    assert caught.value.exit_code == 4


def test_a_grid_finer_than_the_readings_fails() -> None:
    with pytest.raises(DataError, match="do not fit the step of 6h: --grid-hours 3h is shorter") as caught:
        features_of(fleet_telemetry(step_hours=6), step_hours=6, params=FeaturesParams(windows_hours=(12.0,)))
    assert "--grid-hours 6h" in str(caught.value.hint)


def test_the_telemetry_is_left_as_it_was() -> None:
    telemetry = fleet_telemetry()
    kept = telemetry.copy(deep=True)
    features_of(telemetry)
    assert_frame_equal(telemetry, kept)


def test_a_window_named_twice_gives_each_feature_once() -> None:
    found = features_of(fleet_telemetry(), params=FeaturesParams(windows_hours=(3.0, 3.0), statistics=("mean", "mean")))
    assert found.columns.is_unique


@pytest.mark.parametrize(("steps", "first", "after"), [(1, 0, 60), (10, 9, 68), (12, 11, 70), (24, 23, 81)])
def test_a_whole_window_misses_a_tenth_of_its_readings_at_most(steps: int, first: int, after: int) -> None:
    values = np.zeros(100)
    values[50:60] = np.nan
    whole = np.flatnonzero(has_whole_window(values, steps))
    # Before the gap every reading has one; behind it comes the first that sees one or two of the missing.
    assert whole.tolist() == [*range(first, 50), *range(after, 100)]


def test_a_series_shorter_than_its_window_has_no_whole_one() -> None:
    assert not has_whole_window(np.zeros(5), 6).any()
