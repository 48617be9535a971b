"""Alert rules within a budget of false alarms."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation.alarm_budget import AlarmCurve, AlarmPoint, expected_rate, fit_budget
from pdm_cli.evaluation.alerts import AlertRule

MONTHS = 10.0


def make_curve(*counts: tuple[int, int], chosen: int = 0, months: float = MONTHS) -> AlarmCurve:
    """Return a curve of (false alarms, caught failures)."""
    points = [AlarmPoint(1 / (1 + step), 1 / (2 + step), *pair) for step, pair in enumerate(counts)]
    return AlarmCurve(months, counts[-1][1] + 1, chosen, points)


@st.composite
def curves(draw: st.DrawFn) -> list[AlarmCurve]:
    months = draw(st.sampled_from([0.7, 10.0, 78.03]))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), max_size=8))
        counts = list(itertools.accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 3)))
        found.append(make_curve(*counts, chosen=draw(st.integers(0, len(counts) - 1)), months=months))
    return found


def caught(curves: list[AlarmCurve], places: list[int]) -> int:
    return sum(curve.points[place].caught for curve, place in zip(curves, places, strict=True))


budgets = st.floats(0, 50) | st.sampled_from([0.0, 0.1, 1e9])


@given(curves(), budgets)
def test_fit_budget_keeps_expected_false_alarms_within_it(curves: list[AlarmCurve], budget: float) -> None:
    assert expected_rate(curves, fit_budget(curves, budget)) <= budget + 1e-8


@given(curves(), budgets, budgets)
def test_fit_budget_of_a_larger_budget_catches_no_fewer_and_raises_no_threshold(
    curves: list[AlarmCurve], first: float, second: float
) -> None:
    small, large = (fit_budget(curves, budget) for budget in sorted((first, second)))
    assert caught(curves, small) <= caught(curves, large)
    assert all(before <= after for before, after in zip(small, large, strict=True))


@given(curves())
def test_fit_budget_of_the_rules_in_use_leaves_them(curves: list[AlarmCurve]) -> None:
    assert fit_budget(curves, expected_rate(curves)) == [curve.chosen for curve in curves]


@given(curves())
def test_fit_budget_without_a_limit_catches_all_that_can_be_caught(curves: list[AlarmCurve]) -> None:
    places = fit_budget(curves, 1e9)
    assert caught(curves, places) == sum(curve.points[-1].caught for curve in curves)


@given(curves(), budgets)
def test_fit_budget_of_rules_moved_before_is_within_it(curves: list[AlarmCurve], budget: float) -> None:
    places = fit_budget(curves, budget)
    moved = [replace(curve, chosen=place) for curve, place in zip(curves, places, strict=True)]
    assert fit_budget(moved, expected_rate(moved)) == places


def test_fit_budget_lowers_first_where_the_fewest_failures_are_lost() -> None:
    # The first loses a failure for one false alarm avoided, the second one for ten.
    sharp, flat = make_curve((0, 3), (1, 4), (2, 5), chosen=2), make_curve((0, 3), (10, 4), (20, 5), chosen=2)
    assert fit_budget([sharp, flat], 1.5) == [2, 1]
    assert fit_budget([sharp, flat], 0.2) == [2, 0]
    assert fit_budget([sharp, flat], 0.1) == [1, 0]


def test_fit_budget_raises_first_where_most_failures_are_gained() -> None:
    sharp, flat = make_curve((0, 3), (1, 4), (2, 5)), make_curve((0, 3), (10, 4), (20, 5))
    assert fit_budget([sharp, flat], 0.25) == [2, 0]
    assert fit_budget([sharp, flat], 1.2) == [2, 1]


def test_fit_budget_passes_a_step_without_gain_to_reach_a_large_one() -> None:
    assert fit_budget([make_curve((0, 3), (1, 3), (2, 9)), make_curve((0, 3), (1, 4))], 0.25) == [2, 0]


def test_fit_budget_of_a_component_that_never_alerts_leaves_it() -> None:
    silent = AlarmCurve(0.0, 7, 0, [AlarmPoint(2.0, 2.0, 0, 0)])
    assert fit_budget([silent, make_curve((0, 3), (1, 4))], 5.0) == [0, 1]


def test_current_is_the_rule_in_use() -> None:
    assert make_curve((0, 3), (1, 4), chosen=1).current.rule == AlertRule(1 / 2, 1 / 3)


def test_rate_without_months_is_infinite_unless_there_is_no_false_alarm() -> None:
    curve = make_curve((0, 3), (1, 4), months=0.0)
    assert [curve.rate(0), curve.rate(1)] == [0.0, math.inf]


@pytest.mark.parametrize(
    ("counts", "chosen", "months"),
    [
        ([(0, 3), (0, 4)], 0, 1.0),
        ([(0, 3), (1, 2)], 0, 1.0),
        ([(-1, 3)], 0, 1.0),
        ([(0, -1)], 0, 1.0),
        ([(0, 3)], 1, 1.0),
        ([(0, 3)], -1, 1.0),
        ([(0, 3)], 0, -1.0),
        ([(0, 3)], 0, math.nan),
    ],
)
def test_alarm_curve_that_is_impossible_is_rejected(counts: list[tuple[int, int]], chosen: int, months: float) -> None:
    with pytest.raises(ValueError, match="curve of alarms"):
        make_curve(*counts, chosen=chosen, months=months)


def test_alarm_curve_with_more_caught_than_failures_is_rejected() -> None:
    with pytest.raises(ValueError, match="impossible counts"):
        AlarmCurve(1.0, 2, 0, [AlarmPoint(0.5, 0.5, 0, 3)])
