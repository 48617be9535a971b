from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pdm_cli.errors import DataError
from pdm_cli.preparation.cleaning import check_prepared
from pdm_cli.preparation.quality import Finding
from tests.builders.tables import HOUR_US, START, clean, fleet_telemetry, machine_telemetry, stamps

NAN = float("nan")


def counts(findings: dict[str, Finding]) -> dict[str, int]:
    return {name: finding.count for name, finding in findings.items() if finding.count}


def hours_of(frame: pd.DataFrame) -> list[float]:
    return ((frame["datetime"] - START) / pd.Timedelta(hours=1)).to_list()


def at(hour: float) -> str:
    return stamps([hour])[0].isoformat()


def test_sound_telemetry_stays_as_it_is() -> None:
    raw = fleet_telemetry()
    found, findings = clean(raw)
    assert_frame_equal(found, raw)
    assert counts(findings) == {}


@pytest.mark.parametrize(
    ("policy", "volt", "rotate"),
    [("first", [1, 2, 6], [NAN, 1, 1]), ("mean", [1, 3, 6], [4, 2, 1]), ("refuse", [1, 2, 6], [NAN, 1, 1])],
)
def test_duplicates_become_one_row_by_the_policy(policy: str, volt: list[float], rotate: list[float]) -> None:
    raw = machine_telemetry(1, [0, 0, 1, 1, 1, 2], volt=[1, NAN, 2, 3, 4, 6], rotate=[NAN, 4, 1, 2, 3, 1])
    found, findings = clean(raw, on_duplicate=policy)
    assert hours_of(found) == [0, 1, 2]
    np.testing.assert_array_equal(found["volt"], volt)
    np.testing.assert_array_equal(found["rotate"], rotate)
    assert findings["duplicates"].count == 3
    assert findings["duplicates"].first == [
        {"machineID": 1, "datetime": at(0)},
        {"machineID": 1, "datetime": at(1)},
        {"machineID": 1, "datetime": at(1)},
    ]


@pytest.mark.parametrize("policy", ["refuse", "first"])
def test_copies_of_a_row_are_dropped_without_a_policy(policy: str) -> None:
    raw = machine_telemetry(1, [0, 0, 1, 1, 1, 2], volt=[1, 1, 2, 3, 2, 6], rotate=[NAN, NAN, 1, 2, 1, 1])
    found, findings = clean(raw, on_duplicate=policy)
    np.testing.assert_array_equal(found["volt"], [1, 2, 6])
    assert counts(findings)["copies"] == 2
    assert findings["copies"].first[0] == {"machineID": 1, "datetime": at(0)}
    assert counts(findings)["duplicates"] == 1


def test_copies_of_a_row_do_not_count_twice_in_the_mean() -> None:
    found, _ = clean(machine_telemetry(1, [0, 0, 0, 1], volt=[10, 10, 40, 1]), on_duplicate="mean")
    np.testing.assert_array_equal(found["volt"], [25, 1])


def test_the_mean_of_missing_readings_is_missing() -> None:
    found, _ = clean(machine_telemetry(1, [0, 0, 1], volt=[NAN, NAN, 1]), on_duplicate="mean")
    np.testing.assert_array_equal(found["volt"], [NAN, 1])


def test_the_same_stamp_on_two_machines_is_no_duplicate() -> None:
    raw = pd.concat([machine_telemetry(m, [0], volt=[m]) for m in (1, 2)], ignore_index=True)
    found, findings = clean(raw)
    assert_frame_equal(found, raw)
    assert counts(findings) == {}


@pytest.mark.parametrize("other", [np.inf, -np.inf, 500.0])
def test_an_impossible_reading_has_no_part_in_the_mean_of_duplicates(other: float) -> None:
    raw = machine_telemetry(1, [0, 0, 1], volt=[170, other, 171])
    found, _ = clean(raw, on_duplicate="mean", ranges={"volt": (0.0, 400.0)})
    assert found["volt"].to_list() == [170, 171]


def test_opposite_infinities_at_one_stamp_give_a_missing_reading() -> None:
    found, _ = clean(machine_telemetry(1, [0, 0, 1], volt=[np.inf, -np.inf, 171]), on_duplicate="mean")
    np.testing.assert_array_equal(found["volt"], [NAN, 171])


def test_infinite_readings_become_missing() -> None:
    found, findings = clean(machine_telemetry(1, range(4), volt=[1, np.inf, -np.inf, 2]))
    np.testing.assert_array_equal(found["volt"], [1, NAN, NAN, 2])
    assert counts(findings) == {"not_finite": 2, "missing_values": 2}
    places = [{key: row[key] for key in ("machineID", "datetime", "sensor")} for row in findings["not_finite"].first]
    assert places == [{"machineID": 1, "datetime": at(hour), "sensor": "volt"} for hour in (1, 2)]


def test_readings_outside_their_range_become_missing_and_its_ends_are_inside() -> None:
    raw = machine_telemetry(1, range(5), volt=[0, -0.1, 400, 400.1, np.inf], rotate=[-1, 500, 2, 3, 4])
    found, findings = clean(raw, ranges={"volt": (0.0, 400.0)})
    np.testing.assert_array_equal(found["volt"], [0, NAN, 400, NAN, NAN])
    assert found["rotate"].to_list() == [-1, 500, 2, 3, 4]
    assert counts(findings) == {"out_of_range": 2, "not_finite": 1, "missing_values": 3}
    assert findings["out_of_range"].first == [
        {"machineID": 1, "datetime": at(1), "value": -0.1, "sensor": "volt"},
        {"machineID": 1, "datetime": at(3), "value": 400.1, "sensor": "volt"},
    ]


def test_readings_off_the_grid_move_up_and_never_down() -> None:
    found, findings = clean(machine_telemetry(1, [0, 1.01, 2.99, 4], volt=[1, 2, 3, 4]), max_gap_hours=0)
    assert hours_of(found) == [0, 2, 3, 4]
    assert found["volt"].to_list() == [1, 2, 3, 4]
    assert findings["off_grid"].count == 2
    assert [row["datetime"] for row in findings["off_grid"].first] == [at(1.01), at(2.99)]


def test_readings_in_one_cell_become_their_mean() -> None:
    raw = machine_telemetry(1, [0, 0.25, 0.5, 1, 2], volt=[1, 2, 3, 7, 5], rotate=[1, NAN, NAN, 3, NAN])
    found, findings = clean(raw)
    assert hours_of(found) == [0, 1, 2]
    assert found["volt"].to_list() == [1, 4, 5]
    np.testing.assert_array_equal(found["rotate"], [1, 3, NAN])
    assert findings["off_grid"].count == 2
    assert findings["duplicates"].count == 0


def test_a_cell_is_of_one_machine() -> None:
    raw = pd.concat([machine_telemetry(m, [0.5], volt=[v]) for m, v in ((1, 1), (2, 5))], ignore_index=True)
    found, _ = clean(raw)
    assert found["volt"].to_list() == [1, 5]
    assert hours_of(found) == [1, 1]


@pytest.mark.parametrize(("limit", "rows"), [(2.0, 2), (3.0, 5), (24.0, 5)])
def test_gaps_up_to_the_limit_are_rows_of_missing_readings_and_longer_ones_no_rows(limit: float, rows: int) -> None:
    found, findings = clean(machine_telemetry(1, [0, 4], volt=[1, 2]), max_gap_hours=limit)
    is_filled = rows == 5
    assert hours_of(found) == ([0, 1, 2, 3, 4] if is_filled else [0, 4])
    np.testing.assert_array_equal(found["volt"], [1, NAN, NAN, NAN, 2] if is_filled else [1, 2])
    place = {"machineID": 1, "until": at(4), "hours": 3.0}
    assert findings["gaps" if is_filled else "long_gaps"].first == [place]
    assert counts(findings) == {"gaps" if is_filled else "long_gaps": 1}


def test_no_gap_is_filled_where_the_limit_is_nothing() -> None:
    found, findings = clean(machine_telemetry(1, [0, 2], volt=[1, 2]), max_gap_hours=0)
    assert hours_of(found) == [0, 2]
    assert counts(findings) == {"long_gaps": 1}


def test_there_is_no_gap_between_two_machines() -> None:
    raw = pd.concat([machine_telemetry(1, [0, 1], volt=[1, 2]), machine_telemetry(2, [9, 10], volt=[1, 2])])
    found, findings = clean(raw.reset_index(drop=True))
    assert len(found) == 4
    assert counts(findings) == {}


def test_missing_readings_are_counted_but_not_those_of_gaps() -> None:
    _, findings = clean(machine_telemetry(1, [0, 1, 4], volt=[1, NAN, 3], rotate=[1, 2, 3]))
    assert counts(findings) == {"missing_values": 1, "gaps": 1}
    assert findings["missing_values"].first == [{"machineID": 1, "datetime": at(1), "sensor": "volt"}]


def test_a_frozen_sensor_is_found_with_its_start_and_hours() -> None:
    volt = [1, 2, 5, 5, 5, 5, 3, 4, 4, 4]
    _, findings = clean(machine_telemetry(1, range(10), volt=volt, rotate=range(10)), frozen_hours=4)
    assert findings["frozen_sensors"].count == 1
    assert findings["frozen_sensors"].first == [{"machineID": 1, "datetime": at(2), "sensor": "volt", "hours": 4.0}]


def test_a_sensor_without_readings_is_missing_and_dead_and_not_frozen() -> None:
    _, findings = clean(machine_telemetry(1, range(30), volt=[NAN] * 30, rotate=range(30)), frozen_hours=4)
    assert counts(findings) == {"missing_values": 30, "dead_sensors": 1}


def test_a_sensor_without_readings_at_the_end_is_dead() -> None:
    pumps = [
        machine_telemetry(1, range(10), volt=[*range(6), *[NAN] * 4], rotate=range(10)),
        machine_telemetry(2, range(10), volt=[*range(7), *[NAN] * 3], rotate=[NAN] * 10),
        machine_telemetry(3, range(10), volt=[NAN] * 9 + [1.0], rotate=range(10)),
    ]
    _, findings = clean(pd.concat(pumps, ignore_index=True), frozen_hours=4)
    assert findings["dead_sensors"].count == 2
    assert findings["dead_sensors"].first == [
        {"machineID": 1, "datetime": at(5), "sensor": "volt", "hours": 4.0},
        {"machineID": 2, "datetime": at(0), "sensor": "rotate", "hours": 9.0},
    ]


def test_one_value_on_two_machines_is_not_frozen() -> None:
    raw = pd.concat([machine_telemetry(m, range(3), volt=[5, 5, 5]) for m in (1, 2)], ignore_index=True)
    _, findings = clean(raw, frozen_hours=4)
    assert counts(findings) == {}


def test_two_equal_readings_on_either_side_of_a_long_gap_are_not_frozen() -> None:
    _, findings = clean(machine_telemetry(1, [0, 1, 500, 501], volt=[4, 5, 5, 6]), max_gap_hours=24)
    assert counts(findings) == {"long_gaps": 1}


def test_findings_keep_the_first_five_places_over_several_batches() -> None:
    findings = Finding()
    for batch in range(3):
        findings.add(4, pd.DataFrame({"machineID": [batch] * 4, "value": [0.0, 1.0, 2.0, 3.0]}))
    assert findings.count == 12
    assert [(row["machineID"], row["value"]) for row in findings.first] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]


def test_findings_can_be_written_as_json() -> None:
    raw = machine_telemetry(1, [0, 0, 1.5, 9, 10, 11, 12, 13], volt=[1, 2, NAN, 900, 4, 4, 4, np.inf])
    _, findings = clean(raw, ranges={"volt": (0.0, 400.0)}, frozen_hours=2)
    assert set(counts(findings)) == {
        "duplicates", "not_finite", "out_of_range", "off_grid", "gaps", "missing_values", "frozen_sensors",
    }  # fmt: skip
    assert json.loads(json.dumps({name: finding.first for name, finding in findings.items()}, allow_nan=False))


def test_machines_may_be_texts() -> None:
    raw = pd.concat(
        [machine_telemetry(m, [0, 0, 1.5, 4], volt=[1, 3, 5, 7]) for m in ("press A", "press B")], ignore_index=True
    )
    found, findings = clean(raw, on_duplicate="mean")
    assert found["machineID"].to_list() == ["press A"] * 5 + ["press B"] * 5
    assert hours_of(found) == [0, 1, 2, 3, 4] * 2
    np.testing.assert_array_equal(found["volt"], [2, NAN, 5, NAN, 7] * 2)
    assert findings["duplicates"].first[1] == {"machineID": "press B", "datetime": at(0)}


def test_the_raw_frame_is_left_as_it_was() -> None:
    raw = machine_telemetry(1, [0, 0, 1.5, 4], volt=[1, np.inf, 900, 7])
    kept = raw.copy(deep=True)
    clean(raw, on_duplicate="mean", ranges={"volt": (0.0, 400.0)})
    assert_frame_equal(raw, kept)


@st.composite
def raw_machine(draw: st.DrawFn) -> pd.DataFrame:
    apart = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.0, 1.7, 3.0, 40.0]), min_size=1, max_size=30))
    hours = np.cumsum(apart)
    # Every reading is another number, so a value tells where it came from.
    values = np.arange(len(hours), dtype=float)
    values[draw(st.lists(st.integers(0, len(hours) - 1), max_size=5))] = NAN
    return machine_telemetry(draw(st.sampled_from([7, "m7"])), hours.tolist(), volt=values)


POLICIES = st.fixed_dictionaries(
    {"on_duplicate": st.sampled_from(["first", "mean"]), "max_gap_hours": st.sampled_from([0.0, 2.0, 24.0])}
)


@pytest.mark.slow
@given(raw=raw_machine(), policies=POLICIES)
def test_the_grid_is_regular_and_each_cell_is_the_mean_of_its_own_readings(
    raw: pd.DataFrame, policies: dict[str, Any]
) -> None:
    found, _ = clean(raw, **policies)
    apart = found["datetime"].diff().dropna() // pd.Timedelta(hours=1)
    assert (found["datetime"] == found["datetime"].dt.floor("h")).all()
    assert ((apart == 1) | (apart > policies["max_gap_hours"] + 1)).all()
    once = raw.groupby("datetime")["volt"]
    once = once.mean() if policies["on_duplicate"] == "mean" else once.head(1).set_axis(sorted(set(raw["datetime"])))
    expected = once.groupby(once.index.ceil("h")).mean()
    np.testing.assert_allclose(found.set_index("datetime")["volt"], expected.reindex(found["datetime"]), rtol=1e-12)
    assert set(expected.index) <= set(found["datetime"])


@pytest.mark.slow
@given(raw=raw_machine(), policies=POLICIES)
def test_nothing_is_interpolated_and_no_reading_moved_before_its_time(
    raw: pd.DataFrame, policies: dict[str, Any]
) -> None:
    found, _ = clean(raw, **policies)
    for time, value in zip(found["datetime"], found["volt"], strict=True):
        within = raw[(raw["datetime"] > time - pd.Timedelta(hours=1)) & (raw["datetime"] <= time)]["volt"].dropna()
        if np.isnan(value):
            assert len(within) == 0 or policies["on_duplicate"] == "first"
        else:
            assert within.min() <= value <= within.max()


@given(raw=raw_machine(), policies=POLICIES)
def test_cleaning_clean_telemetry_changes_nothing(raw: pd.DataFrame, policies: dict[str, Any]) -> None:
    once, _ = clean(raw, **policies)
    twice, _ = clean(once, **policies)
    assert_frame_equal(once, twice)


def test_check_prepared_accepts_cleaned_telemetry() -> None:
    holed = machine_telemetry(1, [0, 1, 2, 5, 90, 91], volt=[1, 2, NAN, 4, 5, 6])
    frame = pd.concat([holed, machine_telemetry(2, [0], volt=[1])], ignore_index=True)
    check_prepared(clean(frame)[0], HOUR_US)


def test_check_prepared_times_between_steps_fail() -> None:
    frame = machine_telemetry(3, [0, 1, 2.5, 3], volt=[1, 2, 3, 4])
    with pytest.raises(DataError) as caught:
        check_prepared(frame, HOUR_US)
    assert (
        caught.value.message
        == "telemetry.parquet: machine 3, 2015-01-01 08:30: not a whole number of steps of 1 h after the previous row"
    )
    assert caught.value.hint == "run pdm preprocess to create prepared tables"
