from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.features.events import EventLog
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, hours, instants_of, log_frame, rows_and_log

Rows = list[tuple[Any, float]]


def hours_since(rows: Rows, events: list[Event]) -> list[float]:
    instants = instants_of(rows)
    return EventLog(log_frame(events), instants.machines).last_until(instants).tolist()


def counts(rows: Rows, events: list[Event], window: float) -> list[float]:
    instants = instants_of(rows)
    return EventLog(log_frame(events), instants.machines).count_within(instants, window).tolist()


def slow_hours_since(rows: Rows, events: list[Event]) -> list[float]:
    found = []
    for machine, hour in rows:
        ago = [hour - event.hour for event in events if event.machine == machine and event.hour <= hour]
        found.append(min(ago, default=math.nan))
    return found


def slow_counts(rows: Rows, events: list[Event], window: float) -> list[float]:
    return [
        float(sum(e.machine == machine and hour - window < e.hour <= hour for e in events)) for machine, hour in rows
    ]


@pytest.mark.slow
@given(rows_and_log())
def test_hours_since_the_last_event_equal_brute_force(case: tuple[Rows, list[Event]]) -> None:
    rows, events = case
    assert_array_equal(hours_since(rows, events), slow_hours_since(rows, events))


@pytest.mark.slow
@given(rows_and_log(), st.sampled_from([0.5, 1.0, 24.0, 36.5, 1000.0]))
def test_counts_in_a_trailing_window_equal_brute_force(case: tuple[Rows, list[Event]], window: float) -> None:
    rows, events = case
    assert counts(rows, events, window) == slow_counts(rows, events, window)


@pytest.mark.slow
@given(rows_and_log())
def test_the_next_event_equals_brute_force(case: tuple[Rows, list[Event]]) -> None:
    rows, events = case
    instants = instants_of(rows)
    found = EventLog(log_frame(events), instants.machines).next_from(instants.codes, instants.times)
    for (machine, hour), stamp in zip(rows, found.tolist(), strict=True):
        later = [event.hour for event in events if event.machine == machine and event.hour >= hour]
        assert later or math.isnan(stamp)
        assert not later or stamp == EPOCH_US + min(later) * HOUR_US


@pytest.mark.slow
@given(rows_and_log(), hours())
def test_cutting_the_future_off_changes_no_past_value(case: tuple[Rows, list[Event]], now: float) -> None:
    rows, events = case
    past_rows = [row for row in rows if row[1] <= now]
    if not past_rows:
        return
    past_events = [event for event in events if event.hour <= now]
    assert_array_equal(hours_since(past_rows, events), hours_since(past_rows, past_events))
    assert counts(past_rows, events, 24.0) == counts(past_rows, past_events, 24.0)


@pytest.mark.slow
@given(rows_and_log())
def test_other_machines_change_nothing(case: tuple[Rows, list[Event]]) -> None:
    rows, events = case
    together = dict(zip(rows, hours_since(rows, events), strict=True))
    for machine in {machine for machine, _ in rows}:
        own_rows = [row for row in rows if row[0] == machine]
        own_events = [event for event in events if event.machine == machine]
        assert_array_equal(hours_since(own_rows, own_events), [together[row] for row in own_rows])


@pytest.mark.parametrize("machine", [4, "4", "pump 4"])
def test_an_event_at_exactly_t_is_known(machine: Any) -> None:
    events = [Event(machine, 10, "x")]
    assert hours_since([(machine, 10)], events) == [0.0]
    assert counts([(machine, 10)], events, 24.0) == [1.0]


def test_an_event_a_microsecond_after_t_is_not_known() -> None:
    events = [Event(1, 10 + 1 / HOUR_US, "x")]
    assert math.isnan(hours_since([(1, 10)], events)[0])
    assert counts([(1, 10)], events, 24.0) == [0.0]


def test_before_the_first_event_the_hours_are_missing_and_the_count_is_zero() -> None:
    assert math.isnan(hours_since([(1, 9)], [Event(1, 10, "x")])[0])
    assert counts([(1, 9)], [Event(1, 10, "x")], 24.0) == [0.0]


def test_a_window_leaves_out_its_far_end() -> None:
    assert counts([(1, 24), (1, 23.5)], [Event(1, 0, "x")], 24.0) == [0.0, 1.0]


def test_events_at_the_same_instant_all_count() -> None:
    assert counts([(1, 10)], [Event(1, 10, "x"), Event(1, 10, "y"), Event(1, 10, "x")], 1.0) == [3.0]


@pytest.mark.parametrize("machines", [(1, 2), ("a", "b")])
def test_without_any_event_all_is_missing(machines: tuple[Any, ...]) -> None:
    rows = [(machine, 10.0) for machine in machines]
    assert np.isnan(hours_since(rows, [])).all()
    assert counts(rows, [], 24.0) == [0.0, 0.0]


def test_events_of_unasked_machines_are_left_out() -> None:
    events = [Event(0, 5, "x"), Event(2, 5, "x"), Event(9, 5, "x")]
    assert np.isnan(hours_since([(1, 10), (3, 10)], events)).all()


def test_history_long_before_the_first_row_counts() -> None:
    assert hours_since([(1, 0)], [Event(1, -9000, "x")]) == [9000.0]


def test_instants_keep_the_order_of_the_rows_and_sort_the_machines() -> None:
    instants = instants_of([("b", 3), ("a", 7), ("b", 1)])
    assert instants.machines.tolist() == ["a", "b"]
    assert instants.codes.tolist() == [1, 0, 1]
    assert ((instants.times - EPOCH_US) // HOUR_US).tolist() == [3, 7, 1]
