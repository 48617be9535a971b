"""Sensors that are constant, empty or mostly missing are named; counters and coarse sensors are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdm_cli.preparation.problems import Problem
from pdm_cli.preparation.sensor_check import check_sensors
from tests.builders.overviews import hours_of, overview_of

ROWS, MACHINES = 300, 10


def sensor(seed: int = 0) -> list[NDArray[np.float64]]:
    return [np.random.default_rng(seed + number).normal(50, 5, ROWS) for number in range(MACHINES)]


def check(**sensors: list[NDArray[np.float64]]) -> list[Problem]:
    return check_sensors(overview_of({number: hours_of(ROWS) for number in range(1, MACHINES + 1)}, **sensors))


def test_check_sensors_good_sensors_have_no_problem() -> None:
    assert check(volt=sensor(), rotate=sensor(20)) == []


def test_check_sensors_constant_everywhere_is_a_note() -> None:
    flat = [np.full(ROWS, float(number)) for number in range(MACHINES)]
    (problem,) = check(volt=sensor(), flat=flat)
    assert (problem.type, problem.level) == ("constant", "note")
    assert problem.text == "flat does not change on any machine"
    assert problem.hint.startswith("a model can only distinguish machines by it; ")
    (problem,) = check(volt=sensor(), flat=[np.full(ROWS, 5.0)] * MACHINES)
    assert problem.hint == "it has no information for a model; leave it out with --sensors, or check the sensor"
    (problem,) = check(volt=sensor(), flat=[np.full(ROWS, 5.0)] * MACHINES, level=[np.full(ROWS, 2.0)] * MACHINES)
    assert problem.text == "flat, level do not change on any machine"
    assert problem.hint == "they have no information for a model; leave them out with --sensors, or check the sensors"


def test_check_sensors_constant_on_one_machine_is_named_with_it() -> None:
    volt = sensor()
    volt[3] = np.full(ROWS, 0.0)
    (problem,) = check(volt=volt)
    assert problem.text == "volt does not change on machine 4: 300 readings"
    assert problem.as_dict()["first"] == 4


def test_check_sensors_counters_that_stay_zero_are_right() -> None:
    errors = [np.repeat(np.arange(3.0), ROWS // 3) * (number % 5) for number in range(MACHINES)]
    assert check(errors=errors) == []


def test_check_sensors_empty_and_rare_sensors_are_named() -> None:
    rare = sensor()
    for values in rare:
        values[np.arange(ROWS) % 4 > 0] = np.nan
    partial = sensor()
    partial[9][:] = np.nan
    problems = check(empty=[np.full(ROWS, np.nan)] * MACHINES, rare=rare, partial=partial)
    assert [(problem.text, problem.level) for problem in problems] == [
        ("no readings at all: empty", "warning"),
        ("mostly missing: rare (75%)", "warning"),
        ("partial has no readings on machine 10", "note"),
    ]


def test_check_sensors_few_readings_may_be_constant_by_chance() -> None:
    times = {number: hours_of(9) for number in range(1, 11)}
    assert check_sensors(overview_of(times, volt=[np.ones(9)] * 10)) == []
