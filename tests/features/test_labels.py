from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.features.labels import label_failures, last_times
from pdm_cli.settings.model import LabelsParams
from tests.builders.fleets import HOUR_US, Event, instants_of, log_frame, rows_and_log, rows_frame, stamps

Rows = list[tuple[Any, float]]
FAR = 10_000.0


def label(
    rows: Rows,
    events: list[Event],
    components: list[str],
    *,
    ends: dict[Any, float] | None = None,
    params: LabelsParams | None = None,
) -> np.ndarray:
    last = {machine: FAR for machine, _ in rows} | (ends or {})
    series = pd.Series(stamps(list(last.values())).to_numpy(), index=list(last))
    failures = log_frame(events, "failure")
    return label_failures(instants_of(rows), failures, components, ends=series, params=params or LabelsParams())


def slow_label(
    row: tuple[Any, float], events: list[Event], component: str, ends: dict[Any, float], params: LabelsParams
) -> float:
    machine, hour = row
    if hour + params.horizon_hours > ends[machine]:
        return math.nan
    for event in events:
        if event.machine == machine and event.kind == component:
            ahead = event.hour - hour
            if ahead > 0 and params.lead_time_hours <= ahead <= params.horizon_hours:
                return 1.0
    return 0.0


@pytest.mark.slow
@given(
    case=rows_and_log(kinds=("comp1", "comp2", "comp3"), most_events=15),
    lead_and_horizon=st.sampled_from([(3.0, 48.0), (0.0, 24.0), (0.5, 1.5), (6.0, 6.0)]),
    data=st.data(),
)
def test_labels_equal_brute_force(
    case: tuple[Rows, list[Event]], lead_and_horizon: tuple[float, float], data: st.DataObject
) -> None:
    rows, events = case
    params = LabelsParams(*lead_and_horizon)
    components = ["comp2", "comp1", "never"]
    # Telemetry may end later than the last row of the feature grid.
    ends = {machine: max(h for m, h in rows if m == machine) for machine, _ in rows}
    ends = {machine: hour + data.draw(st.integers(0, 120)) / 2 for machine, hour in ends.items()}
    expected = [[slow_label(row, events, name, ends, params) for name in components] for row in rows]
    assert_array_equal(label(rows, events, components, ends=ends, params=params), expected)


@pytest.mark.parametrize(
    ("hours_ahead", "expected"),
    [(0, 0), (2.5, 0), (3 - 1 / HOUR_US, 0), (3, 1), (20, 1), (48, 1), (48 + 1 / HOUR_US, 0), (49, 0), (-1, 0)],
)
def test_both_ends_of_the_label_span_belong_to_it(hours_ahead: float, expected: int) -> None:
    assert label([(1, 100)], [Event(1, 100 + hours_ahead, "comp1")], ["comp1"]).tolist() == [[expected]]


@pytest.mark.parametrize(("hours_ahead", "expected"), [(-1 / HOUR_US, 0), (0, 0), (1 / HOUR_US, 1), (24, 1)])
def test_without_a_lead_time_a_failure_that_features_know_of_is_no_label(hours_ahead: float, expected: int) -> None:
    found = label([(1, 100)], [Event(1, 100 + hours_ahead, "comp1")], ["comp1"], params=LabelsParams(0.0, 24.0))
    assert found.tolist() == [[expected]]


@pytest.mark.parametrize(("end", "is_known"), [(148, True), (147.5, False), (100, False), (500, True)])
def test_rows_are_unlabelled_where_the_span_runs_past_the_machines_last_telemetry(end: float, is_known: bool) -> None:
    found = label([(1, 100), (2, 100)], [], ["comp1", "comp2"], ends={1: end})
    assert np.isnan(found[0]).tolist() == [not is_known] * 2
    assert found[1].tolist() == [0.0, 0.0]


def test_a_failure_already_seen_does_not_label_a_row_whose_span_is_cut_short() -> None:
    assert np.isnan(label([(1, 100)], [Event(1, 110, "comp1")], ["comp1"], ends={1: 120})).all()


def test_a_failure_too_near_does_not_hide_a_later_one_in_the_span() -> None:
    assert label([(1, 100)], [Event(1, 101, "comp1"), Event(1, 140, "comp1")], ["comp1"]).tolist() == [[1.0]]


def test_simultaneous_failures_label_each_component() -> None:
    events = [Event(1, 110, "comp1"), Event(1, 110, "comp2"), Event(1, 110, "comp1")]
    assert label([(1, 100)], events, ["comp1", "comp2", "comp3"]).tolist() == [[1.0, 1.0, 0.0]]


def test_columns_stand_in_the_order_of_the_components_asked_for() -> None:
    events = [Event("a", 110, "z")]
    assert label([("a", 100)], events, ["z", "a"]).tolist() == [[1.0, 0.0]]
    assert label([("a", 100)], events, ["a", "z"]).tolist() == [[0.0, 1.0]]


def test_a_failure_of_another_machine_labels_nothing() -> None:
    assert label([(1, 100), (3, 100)], [Event(2, 110, "comp1")], ["comp1"]).tolist() == [[0.0], [0.0]]


def test_last_times_are_per_machine() -> None:
    telemetry = rows_frame([("a", 1), ("a", 9), ("b", 2), ("b", 5)])
    assert last_times(telemetry).to_dict() == {"a": stamps([9])[0], "b": stamps([5])[0]}
