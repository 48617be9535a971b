"""Profiles of simulated fleets: the ground truth agrees with the tables, and every sign is where it says."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from pdm_cli.schema import TRUTH
from pdm_cli.simulation import plant
from pdm_cli.simulation.fleet import simulate_fleet, simulate_machines
from pdm_cli.simulation.operation import SENSORS
from pdm_cli.simulation.profiles import PROFILES, Profile
from pdm_cli.simulation.tables import Fleet

MACHINES, DAYS = 20, 150
START = pd.Timestamp("2015-01-01 06:00")
END = START + pd.Timedelta(days=DAYS)
EVENTS = ("errors", "maint", "failures")


@pytest.fixture(scope="module", params=PROFILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fleet(name: str) -> Fleet:
    return simulate_fleet(machines=MACHINES, days=DAYS, seed=0, profile=name)


def tables_of(fleet: Fleet) -> dict[str, pd.DataFrame]:
    return {table.name: getattr(fleet, table.name) for table in fields(Fleet)}


def without_effects(profile: Profile) -> Profile:
    """Return the profile with the same lives, and no trace of them in the sensors."""
    modes = (replace(mode, effects=tuple((sensor, 0.0) for sensor, _ in mode.effects)) for mode in profile.modes)
    return replace(profile, modes=tuple(modes))


def affected_sensors(profile: Profile, component: str) -> list[str]:
    return [sensor for mode in profile.modes if mode.component == component for sensor, _ in mode.effects]


def test_profile_same_seed_gives_the_same_tables(name: str, fleet: Fleet) -> None:
    again = tables_of(simulate_fleet(machines=MACHINES, days=DAYS, seed=0, profile=name))
    for table, frame in tables_of(fleet).items():
        assert_frame_equal(frame, again[table], check_exact=True)


def test_profile_another_seed_or_profile_gives_other_readings(name: str, fleet: Fleet) -> None:
    other_name = next(other for other in PROFILES if other != name)
    for seed, profile in ((1, name), (0, other_name)):
        other = simulate_fleet(machines=2, days=5, seed=seed, profile=profile)
        assert other.telemetry["current"][0] != fleet.telemetry["current"][0]


@pytest.mark.parametrize("size", [1, 7])
def test_profile_blocks_of_machines_join_to_the_fleet(name: str, fleet: Fleet, size: int) -> None:
    numbers = range(1, MACHINES + 1)
    blocks = [
        simulate_machines(numbers[i : i + size], days=DAYS, seed=0, profile=name) for i in range(0, MACHINES, size)
    ]
    for table, frame in tables_of(fleet).items():
        joined = pd.concat([getattr(block, table) for block in blocks], ignore_index=True)
        assert_frame_equal(joined, frame, check_exact=True)


def test_profile_longer_telemetry_begins_with_the_shorter_one(name: str, fleet: Fleet) -> None:
    longer = simulate_fleet(machines=MACHINES, days=DAYS + 40, seed=0, profile=name)
    for table in ("telemetry", *EVENTS):
        known = getattr(longer, table)
        known = known[known["datetime"] <= END].reset_index(drop=True)
        assert_frame_equal(known, getattr(fleet, table), check_exact=True)


def test_profile_ground_truth_of_pending_damage_agrees_with_longer_telemetry(name: str, fleet: Fleet) -> None:
    longer = simulate_fleet(machines=MACHINES, days=DAYS + 100, seed=0, profile=name)
    known = longer.truth[longer.truth["datetime"] <= END].reset_index(drop=True)
    assert_frame_equal(known, fleet.truth, check_exact=True)


def test_profile_tables_have_the_columns_and_types_of_the_raw_form(fleet: Fleet) -> None:
    event_types = {"datetime": "datetime64[us]", "machineID": "int32"}
    text = str(pd.array(["x"], dtype="str").dtype)
    expected = {
        "telemetry": event_types | {sensor.name: "float64" for sensor in SENSORS},
        "errors": event_types | {"errorID": text},
        "maint": event_types | {"comp": text},
        "failures": event_types | {"failure": text},
        "machines": {"machineID": "int32", "model": text, "site": text, "age": "int32"},
        "truth": event_types
        | {"until": "datetime64[us]", "component": text, "sensor": text, "step": "float64", "fails": "bool"},
    }
    assert list(expected["truth"]) == [column.name for column in TRUTH.columns]
    for table, frame in tables_of(fleet).items():
        assert {column: str(kind) for column, kind in frame.dtypes.items()} == expected[table], table


def test_profile_types_hold_where_a_table_is_empty(name: str, fleet: Fleet) -> None:
    tiny = simulate_fleet(machines=1, days=1, seed=0, profile=name)
    assert len(tiny.telemetry) >= 1
    for table, frame in tables_of(tiny).items():
        assert frame.dtypes.equals(getattr(fleet, table).dtypes), table


def test_profile_tables_are_sorted_without_duplicates(fleet: Fleet) -> None:
    for table, frame in tables_of(fleet).items():
        keys = [column for column in ("machineID", "datetime") if column in frame]
        assert_frame_equal(frame, frame.sort_values(keys, kind="stable", ignore_index=True))
        assert not frame.duplicated().any(), table


def test_profile_ground_truth_holds_every_failure_and_no_other(fleet: Fleet) -> None:
    order = ["machineID", "datetime", "failure"]
    real = fleet.truth[fleet.truth["fails"] & (fleet.truth["until"] <= END)]
    failed = real[["until", "machineID", "component"]].set_axis(["datetime", "machineID", "failure"], axis=1)
    expected = fleet.failures.sort_values(order, ignore_index=True)
    assert_frame_equal(failed.sort_values(order, ignore_index=True), expected)


def test_profile_every_component_fails(name: str) -> None:
    fleet = simulate_fleet(machines=60, days=365, seed=0, profile=name)
    counts = fleet.failures["failure"].value_counts()
    components = {mode.component for mode in PROFILES[name].modes}
    assert set(counts.index) == components
    assert counts.drop("gearbox", errors="ignore").min() >= 25
    assert counts.get("gearbox", 5) <= 30


def test_profile_failed_component_is_replaced_after_a_standstill(fleet: Fleet) -> None:
    telemetry = {number: frame["datetime"] for number, frame in fleet.telemetry.groupby("machineID")}
    settled = fleet.failures[fleet.failures["datetime"] <= END - pd.Timedelta(hours=48)]
    for failure in settled.itertuples():
        own = fleet.maint[(fleet.maint["machineID"] == failure.machineID) & (fleet.maint["comp"] == failure.failure)]
        replaced = own["datetime"][own["datetime"] > failure.datetime].min()
        assert pd.Timedelta(hours=4) <= replaced - failure.datetime <= pd.Timedelta(hours=30)
        times = telemetry[failure.machineID]
        assert not ((times > failure.datetime) & (times < replaced)).any()


def test_profile_damage_that_does_not_fail_ends_before_its_replacement_or_was_a_decoy(fleet: Fleet) -> None:
    overlapping = fleet.truth.merge(fleet.failures, on="machineID", suffixes=("", "_failure"))
    own = overlapping[(overlapping["component"] == overlapping["failure"]) & ~overlapping["fails"]]
    full = own["step"].abs() == own.groupby("component")["step"].transform(lambda step: step.abs().max())
    inside = (own["datetime_failure"] >= own["datetime"]) & (own["datetime_failure"] <= own["until"])
    # Of the same component: a decoy may run on through its failure, damage cannot.
    assert not (full & inside).any()


def test_profile_no_sign_lies_outside_the_spans_of_the_ground_truth(
    name: str, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plant, "PROFILES", {**PROFILES, name: without_effects(PROFILES[name])})
    sound = simulate_fleet(machines=MACHINES, days=DAYS, seed=0, profile=name)
    keys = ["datetime", "machineID"]
    assert_frame_equal(sound.telemetry[keys], fleet.telemetry[keys])
    for sensor in SENSORS:
        differs = ~np.isclose(
            fleet.telemetry[sensor.name], sound.telemetry[sensor.name], rtol=0, atol=0, equal_nan=True
        )
        is_claimed = np.zeros(len(differs), bool)
        for row in fleet.truth.itertuples():
            if sensor.name in affected_sensors(PROFILES[name], row.component):
                times = fleet.telemetry["datetime"].between(row.datetime, row.until)
                is_claimed |= ((fleet.telemetry["machineID"] == row.machineID) & times).to_numpy()
        assert not (differs & ~is_claimed).any()


@pytest.mark.parametrize(("name", "component", "days"), [("step", "valve", (4, 9)), ("ramp", "seal", (10, 24))])
def test_profile_damage_lasts_as_long_as_its_mode_says(name: str, component: str, days: tuple[int, int]) -> None:
    truth = simulate_fleet(machines=MACHINES, days=DAYS, seed=1, profile=name).truth
    failed = truth[(truth["component"] == component) & truth["fails"]]
    lasted = (failed["until"] - failed["datetime"]) / pd.Timedelta(days=1)
    assert len(failed) > 5
    assert lasted.between(days[0], days[1] + 1 / 24).all()


@pytest.mark.parametrize(
    ("name", "component", "least"), [("step", "valve", 1.0), ("ramp", "bearing", 1.0), ("spikes", "rotor", 0.2)]
)
def test_profile_sensor_of_a_failing_component_moves_in_the_direction_of_its_step(
    name: str, component: str, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = simulate_fleet(machines=MACHINES, days=DAYS, seed=0, profile=name)
    monkeypatch.setattr(plant, "PROFILES", {**PROFILES, name: without_effects(PROFILES[name])})
    sound = simulate_fleet(machines=MACHINES, days=DAYS, seed=0, profile=name)
    noise = {sensor.name: sensor.noise for sensor in SENSORS}
    moved = []
    for row in fleet.truth[(fleet.truth["component"] == component) & fleet.truth["fails"]].itertuples():
        last_day = fleet.telemetry["datetime"].between(row.until - pd.Timedelta(hours=24), row.until)
        own = last_day & (fleet.telemetry["machineID"] == row.machineID)
        change = (fleet.telemetry[row.sensor] - sound.telemetry[row.sensor])[own].mean()
        moved.append(np.sign(row.step) * change / noise[row.sensor])
    assert np.nanmedian(moved) > least


def test_profile_component_without_a_sign_has_none_in_the_ground_truth() -> None:
    truth = simulate_fleet(machines=MACHINES, days=DAYS, seed=0, profile="silent").truth
    assert truth["fails"].all()
    assert truth["sensor"].isna().all()
    assert (truth["step"] == 0).all()
    assert (truth["datetime"] == truth["until"]).all()


def test_wear_profile_failures_of_worn_parts_are_late_in_their_lives() -> None:
    fleet = simulate_fleet(machines=60, days=365, seed=0, profile="wear")
    ages = {}
    for component in ("belt", "filter"):
        own = fleet.failures[fleet.failures["failure"] == component]
        replaced = fleet.maint[fleet.maint["comp"] == component].assign(since=lambda frame: frame["datetime"])
        known = pd.merge_asof(
            own.sort_values("datetime"), replaced.sort_values("datetime"), on="datetime", by="machineID"
        )
        ages[component] = (known["datetime"] - known["since"]) / pd.Timedelta(days=1)
        # Exponential lives have a standard deviation as large as their mean, and half of them end before .7 of it.
        assert ages[component].std() < 0.5 * ages[component].mean()


def test_profile_readings_are_missing_in_bursts(fleet: Fleet) -> None:
    share = len(fleet.telemetry) / (MACHINES * (DAYS * 24 + 1))
    assert 0.90 < share < 0.995
    missing = fleet.telemetry["flow"].isna()
    assert 0.001 < missing.mean() < 0.05
    # Each missing reading mostly has a neighbour that is missing too.
    assert (missing & missing.shift(fill_value=False)).sum() > 0.7 * missing.sum()


def test_profile_planned_visits_are_irregular(fleet: Fleet) -> None:
    gaps = fleet.maint.groupby("machineID")["datetime"].diff().dropna() / pd.Timedelta(days=1)
    assert gaps.std() > 0.4 * gaps.mean()
    assert (fleet.maint["datetime"] < START).any()
    assert fleet.maint["datetime"].max() <= END


def test_profile_load_follows_the_week_and_temperature_the_season() -> None:
    telemetry = simulate_fleet(machines=MACHINES, days=365, seed=0, profile="silent").telemetry
    day = telemetry["datetime"].dt.day_of_week
    assert telemetry["current"][day >= 5].mean() < 0.8 * telemetry["current"][day < 5].mean()
    by_month = telemetry["temperature"].groupby(telemetry["datetime"].dt.month).mean()
    assert by_month[7] - by_month[1] > 8


@pytest.mark.parametrize("profile", ["", "steps", "STEP"])
def test_unknown_profile_fails(profile: str) -> None:
    with pytest.raises(ValueError, match="profile must be one of step, ramp, wear, spikes, mixed, silent"):
        simulate_fleet(machines=1, days=1, seed=0, profile=profile)
