from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.evaluation.alerts import AlertRule, switch_alerts
from pdm_cli.settings.alert_rule import Threshold, parse_threshold
from pdm_cli.training.alert_rules import NEVER
from tests.builders.alerts import levels, slow_switch, us

RULE = AlertRule(0.75, 0.25)


def switch(probabilities: list[float], hours: list[float] | None = None, codes: list[int] | None = None) -> list[int]:
    times = np.array([us(hour) for hour in hours or range(len(probabilities))], np.int64)
    machines = np.array(codes or [0] * len(probabilities), np.int64)
    return switch_alerts(np.array(probabilities), machines, times, RULE).astype(int).tolist()


def test_switch_alerts_turns_on_at_upper_and_off_below_lower_limit() -> None:
    assert switch([0.5, 0.75, 0.5, 0.25, 0.24, 0.5, 0.9]) == [0, 1, 1, 1, 0, 0, 1]


def test_switch_alerts_missing_probability_changes_nothing() -> None:
    assert switch([math.nan, 0.9, math.nan, 0.5, 0.0, math.nan]) == [0, 1, 1, 1, 0, 0]


def test_each_machine_starts_without_alert() -> None:
    assert switch([0.9, 0.5, 0.5, 0.9], codes=[0, 0, 1, 1], hours=[0, 1, 0, 1]) == [1, 1, 0, 1]


def test_an_alert_ends_when_there_was_no_probability_for_too_long() -> None:
    assert switch([0.9, 0.5, 0.5], hours=[0, 24, 48.5]) == [1, 1, 0]
    assert switch([0.9, math.nan, math.nan, 0.5], hours=[0, 20, 25, 30]) == [1, 1, 0, 0]


def test_without_rows_there_are_no_alerts() -> None:
    assert switch([]) == []


def test_never_means_never() -> None:
    rows = np.array([1.0, math.nan])
    assert not switch_alerts(rows, np.zeros(2, np.int64), np.arange(2), NEVER).any()


@st.composite
def fleets_of_rows(draw: st.DrawFn) -> tuple[list[float], list[int], list[float]]:
    probabilities, codes, hours = [], [], []
    for code in range(draw(st.integers(1, 3))):
        hour = 0.0
        for step, p in draw(st.lists(st.tuples(st.sampled_from([1, 3, 24, 25]), levels | st.just(math.nan)))):
            hour += step
            probabilities.append(p)
            codes.append(code)
            hours.append(hour)
    return probabilities, codes, hours


@given(fleets_of_rows(), levels, levels, st.sampled_from([0.0, 3.0, 24.0]))
def test_alerts_equal_brute_force(
    rows: tuple[list[float], list[int], list[float]], one: float, other: float, reset_hours: float
) -> None:
    rule = AlertRule(max(one, other), min(one, other))
    probabilities, codes, hours = rows
    times = np.array([us(hour) for hour in hours], np.int64)
    found = switch_alerts(np.array(probabilities), np.array(codes, np.int64), times, rule, reset_hours=reset_hours)
    assert found.tolist() == slow_switch(probabilities, codes, hours, rule, reset_hours)


@given(fleets_of_rows(), st.integers(0, 200))
def test_alerts_never_see_the_future(rows: tuple[list[float], list[int], list[float]], until: int) -> None:
    probabilities, codes = np.array(rows[0]), np.array(rows[1], np.int64)
    times = np.array([us(hour) for hour in rows[2]], np.int64)
    is_past = times <= us(until)
    whole = switch_alerts(probabilities, codes, times, RULE)
    cut = switch_alerts(probabilities[is_past], codes[is_past], times[is_past], RULE)
    assert_array_equal(cut, whole[is_past])


@pytest.mark.parametrize(("on", "off"), [(0.2, 0.3), (math.nan, 0.1), (0.5, math.nan)])
def test_alert_rule_with_off_above_on_is_rejected(on: float, off: float) -> None:
    with pytest.raises(ValueError, match="needs off <= on"):
        AlertRule(on, off)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f1", Threshold("f1")),
        ("hysteresis", Threshold()),
        (" cost ", Threshold("cost")),
        ("recall=0.95", Threshold("recall", 0.95)),
        ("recall=1", Threshold("recall", 1.0)),
    ],
)
def test_a_threshold_is_read(text: str, expected: Threshold) -> None:
    assert parse_threshold(text) == expected


@pytest.mark.parametrize("text", ["", "F2", "f1=0.5", "cost=", "0.5", "=1"])
def test_parse_threshold_unknown_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected hysteresis, f1, cost or recall=0"):
        parse_threshold(text)


@pytest.mark.parametrize("text", ["recall", "recall=", "recall=0", "recall=1.01", "recall=95%", "recall=nan"])
def test_parse_threshold_recall_outside_range_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="recall needs a share above 0 and up to 1"):
        parse_threshold(text)
