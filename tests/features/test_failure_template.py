"""What goes ahead of failures: learned and matched."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.features.failure_template import FleetTemplate, match_template, template_hours
from tests.builders.fleets import Event, instants_of, log_frame
from tests.builders.template_reference import slow_base_share, slow_columns, slow_mu, slow_shares
from tests.builders.templates import (
    COMPONENTS,
    KINDS,
    SENSORS,
    Fleet,
    Reading,
    fleets,
    half_hours,
    learn,
    match,
    rows_asked,
    scores_of,
    template_of,
    templates,
)

NO_EVENTS: list[Event] = []


@pytest.mark.slow
@given(fleets(), templates(), rows_asked, st.integers(1, 3), st.data())
def test_matches_equal_plain_loops(
    fleet: Fleet, template: FleetTemplate, rows: list[tuple[int, float]], step: int, data: st.DataObject
) -> None:
    visits = [data.draw(st.sampled_from([math.nan, 0.5, 3.0, 4.5, 7.0, 11.0, 30.0])) for _ in rows]
    ahead = [r for r in range(step, 8, step) if r < template.hours]
    found = match(template, fleet, rows, visits, reach_hours=7.5, step_hours=step)
    assert list(found) == [f"{c}_match{end}" for c in COMPONENTS for end in ("", "_hours", "_visit", "_lag")]
    for i, (row, visit) in enumerate(zip(rows, visits, strict=True)):
        for component, name in enumerate(COMPONENTS):
            expected = slow_columns(template, fleet, row, component, visit, ahead)
            columns = [values[i] for key, values in found.items() if key.startswith(name)]
            assert_allclose(columns, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@given(fleets(), st.integers(1, 9))
def test_what_is_learned_equals_plain_loops(fleet: Fleet, hours: int) -> None:
    learned = learn(fleet, hours=hours)
    assert_allclose(learned.base_share, [slow_base_share(fleet, kind, hours) for kind in KINDS])
    for c, component in enumerate(COMPONENTS):
        for s in range(len(SENSORS)):
            expected = [slow_mu(fleet, component, lag, s, hours) for lag in range(hours)]
            assert_allclose(learned.mean_z[c, :, s], expected, atol=1e-12)
        for k, kind in enumerate(KINDS):
            assert_allclose(learned.error_share[c, :, k], slow_shares(fleet, component, kind, hours))


@pytest.mark.slow
@given(fleets(), half_hours)
def test_learning_looks_at_nothing_later(fleet: Fleet, now: float) -> None:
    past = fleet.until(now)
    if not past.readings:
        return
    with_future, without = learn(fleet, hours=6, until=now), learn(past, hours=6, until=now)
    assert with_future.to_json() == without.to_json()


@pytest.mark.slow
@given(fleets(), templates(), rows_asked, half_hours)
def test_cutting_the_future_off_changes_no_past_match(
    fleet: Fleet, template: FleetTemplate, rows: list[tuple[int, float]], now: float
) -> None:
    past_rows = [row for row in rows if row[1] <= now]
    if not past_rows:
        return
    found = match(template, fleet, rows, [5.0] * len(rows))
    is_past = [row[1] <= now for row in rows]
    for name, values in match(template, fleet.until(now), past_rows, [5.0] * len(past_rows)).items():
        assert_array_equal(values, found[name][is_past])


# --- a year as long as those in practice, so that the matrices have their usual size


def announced_fleet(seed: int = 0, days: int = 80) -> Fleet:
    """Failures of the pump every 20 days, after 48 h of a higher volt and an error a day ahead."""
    rng = np.random.default_rng(seed)
    readings, errors, failures = [], [], []
    for machine in range(8):
        z = rng.normal(size=(days * 24, 2))
        for failure in range(300 + 10 * machine, days * 24, 480):
            z[failure - 47 : failure + 1, 0] += 2
            failures.append(Event(machine, failure, "pump"))
            errors.append(Event(machine, failure - 24 + int(rng.integers(-2, 3)), "hot"))
        readings += [Reading(machine, hour, tuple(row)) for hour, row in enumerate(z.tolist())]
        errors += [Event(machine, float(hour), "loud") for hour in rng.integers(0, days * 24, 20)]
    return Fleet(readings, errors, failures, 1.0)


@pytest.fixture(scope="module")
def announced() -> Fleet:
    return announced_fleet()


@pytest.fixture(scope="module")
def template(announced: Fleet) -> FleetTemplate:
    return learn(announced, hours=72)


@pytest.mark.slow
def test_what_goes_ahead_of_failures_is_learned_and_nothing_else(template: FleetTemplate) -> None:
    assert_allclose(template.mean_z[0, 2:46, 0], 2, atol=0.4)
    assert not template.mean_z[0, 50:, 0].any()
    assert not template.mean_z[0, :, 1].any()
    hot, loud = template.error_share[0].T
    assert hot[24] > 0.1
    assert_array_equal(hot[:19], template.base_share[0])
    assert_array_equal(loud, template.base_share[1])
    assert template.base_share[1] == pytest.approx(20 / (80 * 24), rel=0.2)


def test_a_component_that_has_not_failed_matches_nothing(template: FleetTemplate, announced: Fleet) -> None:
    assert not template.mean_z[1].any()
    found = match(template, announced, [(0, hour) for hour in range(0, 400, 3)])
    assert not found["motor_match"].any()


def test_matches_are_high_ahead_of_a_failure_of_unseen_machines_and_tell_its_time(template: FleetTemplate) -> None:
    fleet = announced_fleet(seed=1)
    rows = [(event.machine, event.hour - r) for event in fleet.failures for r in (3, 12, 24, 36)]
    ahead = match(template, fleet, rows)
    quiet = match(template, fleet, [(event.machine, event.hour - 150) for event in fleet.failures])
    assert ahead["pump_match"].min() > quiet["pump_match"].max()
    errors = ahead["pump_match_hours"].reshape(-1, 4) - [3, 12, 24, 36]
    assert np.abs(errors).mean() < 3


def test_the_match_of_a_row_is_the_same_alone_as_in_company(template: FleetTemplate, announced: Fleet) -> None:
    rows = [(machine, hour) for machine in (0, 3) for hour in range(0, 1500, 3)]
    together = match(template, announced, rows, [30.0] * len(rows))
    for i in (0, 1, 77, 499, 500, 640, 999):
        for name, values in match(template, announced.until(rows[i][1]), [rows[i]], [30.0]).items():
            assert_array_equal(values, together[name][[i]])


# --- worked by hand

ONE = {"components": ["pump"], "sensors": ["volt"], "kinds": ["hot"]}
# Lags 3 to 5 say volt is 1 high, lag 4 has an error of five times its base share.
SIMPLE = template_of([[[0], [0], [0], [1], [1], [1]]], [[[0.1], [0.1], [0.1], [0.1], [0.5], [0.1]]], [0.1], **ONE)


def volts(*values: float) -> list[Reading]:
    return [Reading(1, hour, (value,)) for hour, value in enumerate(values)]


def simple_match(readings: list[Reading], errors: list[Event], hour: float, machine: int = 1) -> float:
    return float(match(SIMPLE, Fleet(readings, errors, [], 1.0), [(machine, hour)])["pump_match"][0])


def test_three_hours_of_z_two_against_a_template_of_one() -> None:
    no_error = math.log(0.5 / 0.9)
    assert simple_match(volts(2, 2, 2), [], 2) == pytest.approx(3 * (2 - 0.5) + no_error)


def test_an_error_at_its_lag_counts_and_at_another_does_not() -> None:
    quiet = volts(0.5, 0.5, 0.5)
    assert simple_match(quiet, [Event(1, 0.2, "hot")], 2) == pytest.approx(math.log(5))
    assert simple_match(quiet, [Event(1, 1.2, "hot")], 2) == pytest.approx(math.log(0.5 / 0.9))
    assert simple_match(quiet, [Event(1, 0.2, "cold"), Event(2, 0.2, "hot")], 2) == pytest.approx(math.log(0.5 / 0.9))


def test_missing_readings_and_hours_before_the_first_count_for_nothing() -> None:
    no_error = math.log(0.5 / 0.9)
    assert simple_match(volts(2, math.nan, 2), [], 2) == pytest.approx(2 * 1.5 + no_error)
    assert simple_match(volts(2), [Event(1, -1, "hot")], 0) == pytest.approx(1.5)
    assert simple_match(volts(2), [Event(7, -1, "hot")], 0, machine=7) == 0


def test_a_match_is_clipped() -> None:
    tall = template_of([[[0], [0], [0], [9], [9], [9]]], [[[0.1]] * 6], [0.1], **ONE)
    fleet = Fleet(volts(20, 20, 20, -20, -20, -20), [], [], 1.0)
    assert match(tall, fleet, [(1, 2), (1, 5)])["pump_match"].tolist() == [80, -50]


def test_visit_and_lag_follow_the_hours_to_the_visit() -> None:
    # L(3) = 3 (2 - 1/2) and L(6) = 2 - 1/2, from the one lag that is left.
    flat = template_of([[[1]] * 7], [[[0.1]] * 7], [0.1], **ONE)
    fleet = Fleet([Reading(1, hour, (2.0,)) for hour in (-2, -1, 0)], [], [], 1.0)
    visits = [1.0, 4.4, 4.5, 9.0, 9.1, math.nan]
    found = match(flat, fleet, [(1, 0)] * len(visits), visits)
    assert_allclose(found["pump_match_visit"], [4.5 + 0, 4.5, 1.5, 1.5, math.nan, math.nan])
    expected = (3 * math.exp(4.5) + 6 * math.exp(1.5)) / (math.exp(4.5) + math.exp(1.5))
    assert_allclose(found["pump_match_hours"], expected)
    assert_allclose(found["pump_match_lag"], expected - np.array(visits))


def test_a_mean_within_four_standard_errors_is_noise() -> None:
    # Twenty failures; 60 readings stand behind the first and last lag, 80 behind those between.
    readings = [Reading(machine, hour, (0.46, math.nan)) for machine in range(20) for hour in range(4)]
    failures = [Event(machine, 3, "pump") for machine in range(20)]
    learned = learn(Fleet(readings, [], failures, 1.0), hours=4)
    assert 4 / math.sqrt(80) < 0.46 < 4 / math.sqrt(60)
    assert_allclose(learned.mean_z[0, :, 0], [0, 0.46, 0.46, 0])
    assert not learned.mean_z[0, :, 1].any()


def test_errors_of_a_kind_that_comes_at_any_time_do_not_matter() -> None:
    readings = [Reading(machine, hour, (0.0, 0.0)) for machine in range(5) for hour in range(100)]
    failures = [Event(machine, 90, "pump") for machine in range(5)]
    errors = [Event(machine, 88, "hot") for machine in range(5)] + [Event(0, hour, "loud") for hour in range(0, 100, 9)]
    learned = learn(Fleet(readings, errors, failures, 1.0), hours=6)
    base = 1 / (5 * 94 + 2)
    assert learned.base_share[0] == pytest.approx(base)
    assert_allclose(learned.error_share[0, 2:4, 0], 5 / (25 + 5))
    assert_array_equal(learned.error_share[0, :, 1], learned.base_share[1])
    assert_array_equal(learned.error_share[1], np.tile(learned.base_share, (6, 1)))


@pytest.mark.parametrize(("horizon", "hours"), [(24, 36), (48, 72), (36.5, 55), (112, 168), (168, 168)])
def test_a_template_is_half_as_long_again_as_the_horizon_and_at_most_a_week(horizon: float, hours: int) -> None:
    assert template_hours(horizon) == hours


@pytest.mark.parametrize(("reach", "hours"), [(24, 36), (168, 168)])
def test_other_horizons(announced: Fleet, reach: float, hours: int) -> None:
    learned = learn(announced, hours=hours)
    found = match(learned, announced, [(0, 279.0), (0, 100.0)], reach_hours=reach)
    assert found["pump_match"][0] > 10 > found["pump_match"][1]


def test_a_template_survives_json(template: FleetTemplate, announced: Fleet) -> None:
    again = FleetTemplate.from_json(json.loads(json.dumps(template.to_json())))
    assert again.to_json() == template.to_json()
    rows = [(0, float(hour)) for hour in range(0, 400, 3)]
    found = match(again, announced, rows)
    for name, values in match(template, announced, rows).items():
        assert_array_equal(values, found[name])


def test_without_any_kind_of_error_readings_alone_count(announced: Fleet) -> None:
    fleet = Fleet(announced.readings, NO_EVENTS, announced.failures, 1.0)
    learned = FleetTemplate.from_json(json.loads(json.dumps(learn(fleet, hours=72, kinds=[]).to_json())))
    found = match(learned, fleet, [(0, 290.0), (0, 100.0)])
    assert found["pump_match"][0] > 10 > found["pump_match"][1]
    assert list(found) == ["pump_match", "pump_match_hours", "motor_match", "motor_match_hours"]


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("base_share", [0.1], "shapes"),
        ("mean_z", [], "shapes"),
        ("components", ["pump"], "shapes"),
        ("base_share", [0.1, 1.0], "share"),
        ("base_share", [0.1, math.nan], "share"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    template: FleetTemplate, part: str, value: object, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        FleetTemplate.from_json(template.to_json() | {part: value})


def test_another_fleets_sensors_are_refused(template: FleetTemplate) -> None:
    scores = scores_of(volts(1, 2), ["volt"])
    with pytest.raises(ValueError, match="sensors"):
        list(match_template(template, scores, log_frame([]), instants_of([(1, 1)]), None))


def test_a_reach_shorter_than_the_step_is_refused(template: FleetTemplate, announced: Fleet) -> None:
    with pytest.raises(ValueError, match="no multiple of 3 h"):
        match(template, announced, [(0, 100.0)], reach_hours=2)
