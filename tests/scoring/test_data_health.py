from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.features.labels import follow_up
from pdm_cli.scoring.data_health import find_dead_sensors, find_ended, find_silent
from pdm_cli.settings.model import LabelsParams
from tests.builders.fleets import EPOCH_US, HOUR_US, instants_of, rows_frame

# Machine and hour to a reading of each of two sensors.
Table = dict[tuple[Any, float], tuple[float, float]]

fleets = st.sampled_from([(1, 2, 10), (7,), ("a", "B", "10")])
readings = st.tuples(*[st.sampled_from([1.0, 2.0, math.nan, math.nan])] * 2)
tables = fleets.flatmap(
    lambda fleet: st.dictionaries(
        st.tuples(st.sampled_from(fleet), st.integers(0, 40).map(lambda n: 3.0 * n)), readings, min_size=1, max_size=40
    )
)
horizons = st.sampled_from([3.0, 12.0, 48.0])


def telemetry_of(table: Table) -> pd.DataFrame:
    values = np.array(list(table.values()), float).reshape(-1, 2)
    return rows_frame(list(table)).assign(volt=values[:, 0], oil=values[:, 1])


def hour_of(stamp: pd.Timestamp) -> float:
    return (stamp.value // 1000 - EPOCH_US) / HOUR_US


@given(tables, horizons)
def test_silent_machines_are_those_whose_last_row_is_a_horizon_old(table: Table, horizon: float) -> None:
    instants = instants_of(list(table))
    found = find_silent(instants, instants.machines == "a", horizon_hours=horizon)
    lasts = {machine: max(hour for m, hour in table if m == machine) for machine, _ in table}
    newest = max(lasts.values())
    expected = [(name, last) for name, last in sorted(lasts.items()) if newest - last > horizon and name != "a"]
    assert [(machine, hour_of(last)) for machine, last in found.itertuples(index=False)] == expected


@given(tables)
def test_silent_machines_with_clocks_of_their_own_are_none(table: Table) -> None:
    instants = instants_of(list(table))
    assert find_silent(instants, np.zeros(len(instants.machines), np.bool_), horizon_hours=math.inf).empty


def ended(lasts: dict[int, float], failed: dict[int, float], horizon: float = 48.0) -> list[int]:
    """The machines that have ended, given the hours of the last readings and of the last failures."""
    instants = instants_of(list(lasts.items()))
    failures = rows_frame(list(failed.items()))
    ends = pd.Series(instants.ends().astype("datetime64[us]"), index=instants.machines)
    known = follow_up(ends, failures, instants.machines, params=LabelsParams(3.0, 48.0))
    return instants.machines[find_ended(instants, known, horizon_hours=horizon)].tolist()


def test_find_ended_needs_a_failure_and_then_silence() -> None:
    assert ended({1: 51.0, 2: 100.0}, {1: 51.0}) == [1]
    # A few readings came after the failure.
    assert ended({1: 51.0, 2: 100.0}, {1: 48.0}) == [1]
    # It may be back soon.
    assert ended({1: 52.0, 2: 100.0}, {1: 52.0}) == []
    # Repaired: readings continue.
    assert ended({1: 100.0, 2: 100.0}, {1: 97.0}) == []


def test_find_ended_with_clocks_of_their_own_needs_a_failure_at_the_last_reading() -> None:
    assert ended({1: 51.0, 2: 100.0, 3: 60.0}, {1: 51.0, 3: 50.0}, math.inf) == [1]


def test_find_ended_counts_machines_silent_for_a_month() -> None:
    assert ended({1: 0.0, 2: 720.0, 3: 700.0}, {}) == []
    assert ended({1: 0.0, 2: 721.0, 3: 700.0}, {}) == [1]


@given(tables, horizons)
def test_dead_sensors_equal_a_look_at_the_last_hours_of_each_machine(table: Table, horizon: float) -> None:
    expected = []
    for column, sensor in enumerate(("volt", "oil")):
        dead = {}
        for machine in sorted({machine for machine, _ in table}):
            own = sorted(hour for m, hour in table if m == machine)
            known = [hour for hour in own if not math.isnan(table[machine, hour][column])]
            is_late = own[-1] - own[0] > horizon
            if is_late and all(hour < own[-1] - horizon for hour in known):
                dead[machine] = known[-1] if known else own[0]
        if dead:
            expected.append((sensor, len(dead), *next(iter(dead.items()))))
    found = find_dead_sensors(telemetry_of(table), horizon_hours=horizon)
    assert list(found.columns) == ["sensor", "machines", "first", "since"]
    assert [(*row[:3], hour_of(row[3])) for row in found.itertuples(index=False)] == expected


def test_a_sensor_dies_when_the_horizon_is_over() -> None:
    table = {("b", 48.0): (1.0, math.nan), ("b", 0.0): (1.0, 1.0), ("a", 48.0): (1.0, 1.0), ("a", 0.0): (1.0, 1.0)}
    assert find_dead_sensors(telemetry_of(table), horizon_hours=48).empty
    found = find_dead_sensors(telemetry_of({**table, ("b", 49.0): (1.0, math.nan)}), horizon_hours=48)
    assert found[["sensor", "machines", "first"]].to_numpy().tolist() == [["oil", 1, "b"]]
    assert hour_of(found["since"][0]) == 0
