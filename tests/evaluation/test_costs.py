from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from pdm_cli.evaluation.costs import (
    IntervalPolicy,
    Lives,
    alert_cost,
    best_interval,
    compare_costs,
    count_caught,
    find_lives,
    survival,
)
from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.exposure import Exposure
from pdm_cli.settings.model import CostsParams
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, hours, log_frame

COSTS = CostsParams(missed_failure=10.0, false_alarm=1.0, planned_repair=2.0)
FLEET = (1, 2, 3)
Ended = tuple[float, bool]


def lives_of(ended: list[Ended]) -> Lives:
    own, failed = [hour for hour, _ in ended], [failed for _, failed in ended]
    return Lives(np.array(own, float), np.array(failed, np.bool_), np.zeros(len(ended), np.int64))


def outcome(warning: list[float], false_alarms: int = 0) -> EventOutcome:
    none, no_episode = np.array([], np.int64), np.array([], np.bool_)
    return EventOutcome(np.array(warning), false_alarms, none, none, no_episode, no_episode, none)


def exposed(alarm_months: float, failure_months: float) -> Exposure:
    # Of two machines.
    return Exposure(np.full(2, alarm_months / 2), np.full(2, failure_months / 2))


def us(hour: float) -> int:
    return EPOCH_US + round(hour * HOUR_US)


def slow_weights(ended: list[Ended]) -> list[tuple[float, float, bool]]:
    """Redistribute to the right: a life cut short hands its weight on to all that lasted longer."""
    # Of lives of one age failures come first.
    order = sorted(ended, key=lambda life: (life[0], not life[1]))
    weights = [1 / len(order)] * len(order)
    for i, (_, failed) in enumerate(order):
        later = len(order) - i - 1
        if not failed and later:
            for j in range(i + 1, len(order)):
                weights[j] += weights[i] / later
            weights[i] = 0.0
    return [(age, weight, failed) for (age, failed), weight in zip(order, weights, strict=True)]


def slow_rate(ended: list[Ended], interval: float, planned: float = COSTS.planned_repair) -> float:
    """Cost over length of a mean life with replacement at the interval."""
    cost = length = 0.0
    for age, weight, failed in slow_weights(ended):
        cost += weight * (COSTS.missed_failure if failed and age <= interval else planned)
        length += weight * min(age, interval)
    return cost / length


ended_lives = st.lists(st.tuples(st.integers(1, 12).map(float), st.booleans()), min_size=1, max_size=12)


def test_alerts_cost_repairs_misses_and_false_alarms() -> None:
    found = [outcome([24.0, math.nan, 3.0], 2), outcome([48.0], 1)]
    assert alert_cost(found, costs=COSTS, exposure=exposed(2.0, 4.0)) == (3 * 2 + 1 * 10) / 4 + 3 * 1 / 2
    picky = CostsParams(least_warning_hours=24.0)
    assert count_caught(found, picky) == 2
    assert alert_cost(found, costs=picky, exposure=exposed(2.0, 4.0)) == (2 * 2 + 2 * 10) / 4 + 3 * 1 / 2


def test_alert_cost_without_exposure_is_none() -> None:
    found = {"comp1": outcome([24.0, math.nan], 1)}
    told = compare_costs(found, {}, costs=COSTS, exposure=exposed(0.0, 2.0))
    assert (told["alerts"], told["run_to_failure"]) == (None, 2 * 10 / 2)
    told = compare_costs(found, {}, costs=COSTS, exposure=exposed(0.0, 0.0))
    assert (told["alerts"], told["run_to_failure"]) == (None, None)


def test_survival_by_hand() -> None:
    # Of 5 at risk one fails at 2; one is lost at 3; of 3 one fails at 5, where another is lost after it.
    ages, share = survival(lives_of([(2, True), (3, False), (5, True), (5, False), (9, False)]))
    assert ages.tolist() == [2, 3, 5, 9]
    assert_allclose(share, [4 / 5, 4 / 5, 4 / 5 * 2 / 3, 4 / 5 * 2 / 3])


@given(ended_lives)
def test_survival_equals_redistribution_to_the_right(ended: list[Ended]) -> None:
    ages, share = survival(lives_of(ended))
    for age, alive in zip(ages, share, strict=True):
        failed = sum(weight for end, weight, is_failure in slow_weights(ended) if is_failure and end <= age)
        assert alive == pytest.approx(1 - failed, abs=1e-12)


@given(ended_lives)
def test_no_interval_is_cheaper(ended: list[Ended]) -> None:
    policy = best_interval(lives_of(ended), COSTS)
    if not any(failed for _, failed in ended):
        assert policy is None
        return
    assert policy is not None
    longest = max(age for age, _ in ended)
    run_to_failure = slow_rate(ended, longest, planned=0.0)
    best = min(slow_rate(ended, age) for age, _ in ended)
    if policy.interval_hours is None:
        assert policy.relative_cost == 1
        assert best >= run_to_failure - 1e-12 or best == pytest.approx(slow_rate(ended, longest))
        return
    logged = COSTS.missed_failure * sum(failed for _, failed in ended) / sum(age for age, _ in ended)
    assert policy.relative_cost == pytest.approx(best / logged)
    assert slow_rate(ended, policy.interval_hours) == pytest.approx(best)
    assert best <= run_to_failure


def test_parts_that_wear_out_are_replaced_before() -> None:
    # At 90 h all still run, so that each life costs 2 and lasts 90 h; the rest fails by 110 h, at 10 a life.
    policy = best_interval(lives_of([(90, False), (100, True), (104, True), (110, True)]), COSTS)
    assert policy is not None
    assert policy.interval_hours == 90
    # Three failures in 404 h.
    assert policy.relative_cost == pytest.approx((2 / 90) / (3 * 10 / 404))


def test_parts_that_fail_young_are_left_to_fail() -> None:
    policy = best_interval(lives_of([(1, True), (1, True), (100, True)]), COSTS)
    assert policy is not None
    assert policy == IntervalPolicy(None, 1.0)


def test_parts_that_fail_at_random_are_left_to_fail() -> None:
    # Watched for 6,000 h at most, far shorter than a mean life.
    random = np.random.default_rng(0)
    hours = random.exponential(10_000.0, 400)
    policy = best_interval(lives_of([(min(hour, 6000.0), bool(hour < 6000)) for hour in hours]), COSTS)
    assert policy == IntervalPolicy(None, 1.0)


def test_lives_by_hand() -> None:
    failures = log_frame([Event(1, 50, "comp1"), Event(2, 30, "comp1"), Event(99, 60, "comp1")])
    replaced = log_frame([Event(1, 20, "comp1"), Event(1, 50, "comp1"), Event(2, 90, "comp1"), Event(3, 5, "comp1")])
    found = find_lives(failures, replaced, pd.Index(FLEET), start_us=us(10), ends_us=np.array([us(80), us(90), us(70)]))
    # Machine 1: 20 to its failure at 50, then to the end at 80; machine 2: 30 to its end; machine 3: before the start.
    assert found.hours.tolist() == [30, 30, 60]
    assert found.failed.tolist() == [True, False, False]
    assert found.codes.tolist() == [0, 0, 1]


def slow_lives(
    failures: list[Event], replaced: list[Event], start: float, ends: dict[Any, float]
) -> list[tuple[float, bool]]:
    found = []
    for machine, end in ends.items():
        fails = {e.hour for e in failures if e.machine == machine and start <= e.hour <= end}
        renewals = sorted(fails | {e.hour for e in replaced if e.machine == machine and start <= e.hour <= end})
        for begin in renewals:
            following = min([hour for hour in renewals if hour > begin], default=end)
            if following > begin:
                found.append((following - begin, following in fails))
    return found


event_lists = st.lists(st.builds(Event, st.sampled_from([*FLEET, 99]), hours(0, 20), st.just("comp1")), max_size=12)


@given(event_lists, st.none() | event_lists, hours(0, 6), st.tuples(*[hours(0, 24)] * len(FLEET)))
def test_lives_equal_brute_force(
    failures: list[Event], replaced: list[Event] | None, start: float, ends: tuple[float, ...]
) -> None:
    found = find_lives(
        log_frame(failures),
        None if replaced is None else log_frame(replaced),
        pd.Index(FLEET),
        start_us=us(start),
        ends_us=np.array([us(end) for end in ends]),
    )
    expected = slow_lives(failures, replaced or [], start, dict(zip(FLEET, ends, strict=True)))
    assert list(zip(found.hours.tolist(), found.failed.tolist(), strict=True)) == expected


def test_lives_do_not_look_past_the_end() -> None:
    events = [Event(1, hour, "comp1") for hour in (5.0, 30.0, 61.0)]
    cut = [event for event in events if event.hour <= 40]
    first, second = (
        find_lives(log_frame(log), None, pd.Index([1]), start_us=us(0), ends_us=np.array([us(40)]))
        for log in (events, cut)
    )
    assert first.hours.tolist() == second.hours.tolist() == [25, 10]
    assert first.failed.tolist() == second.failed.tolist() == [True, False]


def test_the_comparison_puts_all_three_side_by_side() -> None:
    outcomes = {"comp1": outcome([24.0, math.nan], 1), "comp2": outcome([30.0])}
    lives = {"comp1": lives_of([(90, False), (100, True)]), "comp2": lives_of([(1, True), (1, True), (100, True)])}
    costs = CostsParams(10.0, 1.0, 2.0, unit="EUR")
    found = compare_costs(outcomes, lives, costs=costs, exposure=exposed(1.0, 2.0))
    # In the training span comp1, which wears out, had one failure in 190 h; comp2 is left to fail.
    assert found.pop("fixed_interval") == pytest.approx((2 * (2 / 90) / (10 / 190) + 1) * 10 / 2)
    assert found == {
        "unit": "EUR",
        "assumed": False,
        "alerts": (2 + 10 + 2) / 2 + 1,
        "run_to_failure": 3 * 10 / 2,
        "interval_hours": {"comp1": 90.0, "comp2": None},
    }


def test_without_a_life_that_ended_there_is_no_fixed_interval() -> None:
    found = compare_costs({"comp1": outcome([])}, {"comp1": lives_of([])}, costs=COSTS, exposure=exposed(1.0, 1.0))
    assert (found["fixed_interval"], found["interval_hours"]) == (None, {"comp1": None})
    assert (found["alerts"], found["run_to_failure"]) == (0, 0)
    assert found["assumed"]


def test_policies_are_plain_values() -> None:
    assert best_interval(lives_of([(4, True)]), CostsParams(1.0, 1.0, 1.0)) == IntervalPolicy(None, 1.0)
