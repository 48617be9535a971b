from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from pdm_cli.schema import TRUTH
from pdm_cli.simulation.fleet import Fleet, simulate_fleet, simulate_machines

MACHINES, DAYS = 20, 120
SENSORS = ["volt", "rotate", "pressure", "vibration"]
START = pd.Timestamp("2015-01-01 06:00")
# component: its sensor, the direction of its shift, its own errors
SIGNS = {
    "comp1": ("volt", 1.0, ["error1"]),
    "comp2": ("rotate", -1.0, ["error2", "error3"]),
    "comp3": ("pressure", 1.0, ["error4"]),
    "comp4": ("vibration", 1.0, ["error5"]),
}


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return simulate_fleet(machines=MACHINES, days=DAYS, seed=0)


@pytest.fixture(scope="module")
def deviations(fleet: Fleet) -> dict[str, np.ndarray]:
    """Readings of each sensor as (machine, hour), in robust standard deviations above the usual level."""
    found = {}
    for sensor in SENSORS:
        readings = fleet.telemetry[sensor].to_numpy().reshape(MACHINES, -1)
        above = readings - np.median(readings)
        found[sensor] = above / (1.4826 * np.median(np.abs(above)))
    return found


def hours_of(events: pd.DataFrame) -> np.ndarray:
    return ((events["datetime"] - START) // pd.Timedelta(hours=1)).to_numpy()


def tables_of(fleet: Fleet) -> dict[str, pd.DataFrame]:
    return {table.name: getattr(fleet, table.name) for table in fields(Fleet)}


def rows_of_machine(fleet: Fleet, machine_id: int) -> dict[str, pd.DataFrame]:
    return {
        name: table[table["machineID"] == machine_id].reset_index(drop=True) for name, table in tables_of(fleet).items()
    }


def failure_hours(fleet: Fleet, component: str) -> np.ndarray:
    """Return (machine, hour) of the component's failures."""
    own = fleet.failures[fleet.failures["failure"] == component]
    return np.column_stack([own["machineID"].to_numpy() - 1, hours_of(own)])


def test_same_seed_gives_the_same_tables(fleet: Fleet) -> None:
    again = tables_of(simulate_fleet(machines=MACHINES, days=DAYS, seed=0))
    for name, table in tables_of(fleet).items():
        assert_frame_equal(table, again[name], check_exact=True)


def test_another_seed_gives_other_readings_and_failures(fleet: Fleet) -> None:
    other = simulate_fleet(machines=MACHINES, days=DAYS, seed=1)
    assert not np.array_equal(other.telemetry["volt"], fleet.telemetry["volt"])
    assert not other.failures.equals(fleet.failures)


@pytest.mark.parametrize("machine_id", [1, 2, 7])
def test_a_machine_is_the_same_in_a_fleet_of_any_size(fleet: Fleet, machine_id: int) -> None:
    small = rows_of_machine(simulate_fleet(machines=7, days=DAYS, seed=0), machine_id)
    alone = tables_of(simulate_machines([machine_id], days=DAYS, seed=0))
    for name, table in rows_of_machine(fleet, machine_id).items():
        assert_frame_equal(small[name], table, check_exact=True)
        assert_frame_equal(alone[name], table, check_exact=True)


def test_machines_of_a_fleet_differ(fleet: Fleet) -> None:
    readings = fleet.telemetry["volt"].to_numpy().reshape(MACHINES, -1)
    assert len(np.unique(readings[:, 0])) == MACHINES


def test_simulation_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the claim is about the global state
    simulate_fleet(machines=1, days=2, seed=3)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_tables_have_the_columns_and_types_of_the_raw_form(fleet: Fleet) -> None:
    event_types = {"datetime": "datetime64[us]", "machineID": "int32"}
    text = str(pd.array(["x"], dtype="str").dtype)
    expected = {
        "telemetry": event_types | dict.fromkeys(SENSORS, "float64"),
        "errors": event_types | {"errorID": text},
        "maint": event_types | {"comp": text},
        "failures": event_types | {"failure": text},
        "machines": {"machineID": "int32", "model": text, "age": "int32"},
        "truth": event_types
        | {"until": "datetime64[us]", "component": text, "sensor": text, "step": "float64", "fails": "bool"},
    }
    for name, table in tables_of(fleet).items():
        assert {column: str(kind) for column, kind in table.dtypes.items()} == expected[name], name
        assert not table.isna().any(axis=None), name


def test_types_hold_where_a_table_is_empty(fleet: Fleet) -> None:
    tiny = simulate_fleet(machines=1, days=1, seed=0)
    assert tiny.failures.empty
    for name, table in tables_of(tiny).items():
        assert table.dtypes.equals(getattr(fleet, name).dtypes), name


def test_every_table_is_sorted_by_machine_then_time_and_has_no_row_twice(fleet: Fleet) -> None:
    for name, table in tables_of(fleet).items():
        keys = [column for column in ("machineID", "datetime") if column in table]
        assert_frame_equal(table, table.sort_values(keys, kind="stable", ignore_index=True))
        assert not table.duplicated().any(), name


def test_telemetry_is_hourly_without_gaps_and_ends_inclusively(fleet: Fleet) -> None:
    stamps = pd.date_range(START, periods=DAYS * 24 + 1, freq="h")
    assert len(fleet.telemetry) == MACHINES * len(stamps)
    for _, rows in fleet.telemetry.groupby("machineID"):
        assert np.array_equal(rows["datetime"].to_numpy(), stamps.to_numpy())


def test_machines_are_numbered_from_one_with_a_known_model_and_age(fleet: Fleet) -> None:
    assert fleet.machines["machineID"].tolist() == list(range(1, MACHINES + 1))
    assert set(fleet.machines["model"]) <= {"model1", "model2", "model3", "model4"}
    assert fleet.machines["age"].between(0, 20).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_demo_fleet_has_failures_of_every_component_at_the_usual_rate(seed: int) -> None:
    failures = simulate_fleet(machines=MACHINES, days=DAYS, seed=seed).failures
    assert 40 <= len(failures) <= 80
    assert failures["failure"].value_counts().reindex(list(SIGNS), fill_value=0).min() >= 4


def test_a_few_machines_never_fail() -> None:
    fleet = simulate_fleet(machines=100, days=365, seed=0)
    assert 0 <= 100 - fleet.failures["machineID"].nunique() <= 6
    assert 650 <= len(fleet.failures) <= 950


@pytest.mark.parametrize("component", SIGNS)
def test_sensor_of_a_failing_component_is_shifted_for_two_days_and_back_right_after(
    fleet: Fleet, deviations: dict[str, np.ndarray], component: str
) -> None:
    sensor, sign, _ = SIGNS[component]
    machine, hour = failure_hours(fleet, component).T
    before, during, after = (
        sign * np.mean([deviations[sensor][machine, np.clip(hour + lag, 0, DAYS * 24)] for lag in lags])
        for lags in (range(-72, -48), range(-48, 0), range(1, 13))
    )
    assert during > 1.0
    assert abs(before) < 0.4
    assert abs(after) < 0.4


def test_shift_is_a_step_not_a_ramp(fleet: Fleet, deviations: dict[str, np.ndarray]) -> None:
    early, late = [], []
    for component, (sensor, sign, _) in SIGNS.items():
        for machine, hour in failure_hours(fleet, component):
            shifted = sign * deviations[sensor][machine, hour - 48 : hour]
            early.append(shifted[:12].mean())
            late.append(shifted[-12:].mean())
    assert np.mean(early) == pytest.approx(np.mean(late), abs=0.2)


def test_longer_telemetry_only_adds_failures_at_the_end(fleet: Fleet) -> None:
    longer = simulate_fleet(machines=MACHINES, days=DAYS + 60, seed=0).failures
    known = longer[longer["datetime"] <= START + pd.Timedelta(days=DAYS)].reset_index(drop=True)
    assert len(longer) > len(known)
    assert_frame_equal(known, fleet.failures)


def test_a_machine_about_to_fail_shows_it_when_the_telemetry_ends() -> None:
    end = START + pd.Timedelta(days=30)
    now, later = (simulate_fleet(machines=100, days=days, seed=0) for days in (30, 31))
    pending = later.failures[later.failures["datetime"] > end]
    last = now.telemetry.groupby("machineID").tail(24).groupby("machineID")[SENSORS].mean()
    spread = now.telemetry[SENSORS].std()
    shown = []
    for machine_id, component in zip(pending["machineID"], pending["failure"], strict=True):
        sensor, sign, _ = SIGNS[component]
        shown.append(sign * (last[sensor][machine_id] - last[sensor].median()) / spread[sensor])
    assert shown
    assert min(shown) > 0.7


@pytest.mark.parametrize("table", ["errors", "maint", "failures"])
def test_no_event_lies_beyond_the_telemetry(fleet: Fleet, table: str) -> None:
    assert getattr(fleet, table)["datetime"].max() <= START + pd.Timedelta(days=DAYS)


def test_failures_coincide_with_the_replacement_of_the_component(fleet: Fleet) -> None:
    replaced = fleet.maint.rename(columns={"comp": "failure"})
    assert len(fleet.failures.merge(replaced)) == len(fleet.failures)


def test_visits_lie_on_a_grid_of_fifteen_days_and_start_half_a_year_before(fleet: Fleet) -> None:
    assert (fleet.maint["datetime"].dt.hour == 6).all()
    for _, visits in fleet.maint.groupby("machineID")["datetime"]:
        days = (visits.drop_duplicates() - visits.min()).dt.days
        assert (days % 15 == 0).all()
        assert 190 <= (START - visits.min()).days <= 210


def test_most_replacements_are_not_failures(fleet: Fleet) -> None:
    assert (fleet.maint["datetime"] >= START).sum() > 2 * len(fleet.failures)


def test_own_errors_precede_most_failures_by_about_a_day(fleet: Fleet) -> None:
    announced = 0
    for component, (_, _, own_errors) in SIGNS.items():
        for machine, hour in failure_hours(fleet, component):
            near = fleet.errors[(fleet.errors["machineID"] == machine + 1) & fleet.errors["errorID"].isin(own_errors)]
            lead = hour - hours_of(near)
            announced += bool(((lead >= 24) & (lead <= 30)).any())
    assert announced >= 0.9 * len(fleet.failures)


def test_errors_of_every_kind_also_come_without_a_failure(fleet: Fleet) -> None:
    failing = fleet.failures.groupby("machineID")["datetime"].apply(list)
    stray = [
        row.errorID
        for row in fleet.errors.itertuples()
        if not any(
            pd.Timedelta(0) <= failure - row.datetime <= pd.Timedelta(hours=48)
            for failure in failing.get(row.machineID, [])
        )
    ]
    assert set(stray) == {"error1", "error2", "error3", "error4", "error5"}


@pytest.mark.parametrize("component", SIGNS)
def test_equal_shifts_also_come_without_a_failure(
    fleet: Fleet, deviations: dict[str, np.ndarray], component: str
) -> None:
    sensor, sign, _ = SIGNS[component]
    quiet = np.ones((MACHINES, DAYS * 24 + 1), dtype=bool)
    for machine, hour in failure_hours(fleet, component):
        quiet[machine, max(0, hour - 60) : hour + 60] = False
    # Two days at rest, a mean of 48 readings with noise 1, lie within .15 of zero; a shift is at least 1.2.
    window = np.ones(48) / 48
    means = np.array([np.convolve(sign * row, window, mode="same") for row in deviations[sensor]])
    # The hours near a failure are left out, as are the last two days, where a failure may be yet to come.
    decoys = (means > 1.0) & quiet & (np.arange(DAYS * 24 + 1) < DAYS * 24 - 72)
    assert 10 <= decoys.any(axis=1).sum() <= MACHINES


@pytest.mark.parametrize(("name", "value"), [("machines", 0), ("machines", -3), ("days", 0), ("seed", -1)])
def test_an_argument_out_of_range_fails(name: str, value: int) -> None:
    arguments = {"machines": 1, "days": 1, "seed": 0} | {name: value}
    with pytest.raises(ValueError, match=f"^{name} must be at least"):
        simulate_fleet(**arguments)


def test_machine_number_out_of_range_fails() -> None:
    with pytest.raises(ValueError, match="machine_id"):
        simulate_machines([0], days=1, seed=0)


def test_the_answer_key_has_the_columns_that_the_schema_documents(fleet: Fleet) -> None:
    assert fleet.truth.columns.tolist() == [column.name for column in TRUTH.columns]


def test_the_answer_key_holds_every_failure_and_those_to_come(fleet: Fleet) -> None:
    real = fleet.truth[fleet.truth["fails"]]
    end = START + pd.Timedelta(days=DAYS)
    come = real[real["until"] <= end].rename(columns={"component": "failure"})
    actual = come[["until", "machineID", "failure"]].rename(columns={"until": "datetime"})
    order = ["machineID", "datetime", "failure"]
    assert_frame_equal(
        actual.sort_values(order, ignore_index=True), fleet.failures.sort_values(order, ignore_index=True)
    )
    later = simulate_fleet(machines=MACHINES, days=DAYS + 2, seed=0).failures
    assert len(real) - len(come) == (later["datetime"] > end).sum()


def test_the_answer_key_undoes_every_shift(fleet: Fleet) -> None:
    left = {sensor: fleet.telemetry[sensor].to_numpy().reshape(MACHINES, -1).copy() for sensor in SENSORS}
    last = DAYS * 24
    for row in fleet.truth.itertuples():
        first, until = ((stamp - START) // pd.Timedelta(hours=1) for stamp in (row.datetime, row.until))
        assert until - first == 48
        left[row.sensor][row.machineID - 1, max(first, 0) : min(until, last) + 1] -= row.step
    for sensor in SENSORS:
        # With nothing but noise left, daily means spread by a 24th of its variance; shifts would add to that.
        days = left[sensor][:, :last].reshape(MACHINES, -1, 24)
        assert days.mean(axis=2).std() * 24**0.5 == pytest.approx(days.std(), rel=0.05)


@pytest.mark.parametrize("size", [1, 3, 20])
def test_blocks_of_machines_join_to_the_fleet(fleet: Fleet, size: int) -> None:
    numbers = range(1, MACHINES + 1)
    blocks = [simulate_machines(numbers[i : i + size], days=DAYS, seed=0) for i in range(0, MACHINES, size)]
    for name, table in tables_of(fleet).items():
        joined = pd.concat([getattr(block, name) for block in blocks], ignore_index=True)
        assert_frame_equal(joined, table, check_exact=True)
