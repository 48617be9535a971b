"""Sensors that stop or freeze are named with their machine and day; counters, states and gaps are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdm_cli.preparation.stopped_sensors import find_stopped
from tests.builders.overviews import hours_of, overview_of

ROWS, MACHINES = 2880, 6


def sensor() -> list[NDArray[np.float64]]:
    return [np.random.default_rng(number).normal(50, 5, ROWS) for number in range(MACHINES)]


def texts(volt: list[NDArray[np.float64]]) -> list[str]:
    found = overview_of({number: hours_of(len(own)) for number, own in enumerate(volt, 1)}, volt=volt)
    return [problem.text for problem in find_stopped(found)]


def test_find_stopped_good_sensor_has_no_problem() -> None:
    assert texts(sensor()) == []


def test_find_stopped_sensor_without_later_readings_stops() -> None:
    volt = sensor()
    volt[2][-41 * 24 :] = np.nan
    assert texts(volt) == ["volt stops around 2023-03-22 on machine 3, 40d before the last row"]


def test_find_stopped_sensor_with_one_value_for_long_freezes() -> None:
    volt = sensor()
    volt[4][960 : 960 + 240] = volt[4][960]
    assert texts(volt) == ["volt does not change on machine 5 for about 10d from 2023-02-10 on"]


def test_find_stopped_gaps_and_rare_readings_do_not_stop() -> None:
    gap, rare = sensor(), sensor()
    gap[1][500:1500] = np.nan
    for values in rare:
        values[np.arange(ROWS) % 10 > 0] = np.nan
    rare[0][1000:] = np.nan
    assert texts(gap) == texts(rare) == []


def test_find_stopped_counters_and_constants_do_not_freeze() -> None:
    counter = [np.floor(np.arange(ROWS) / (100.0 + 20 * number)) for number in range(MACHINES)]
    constant = sensor()
    constant[3][:] = 7.0
    assert texts(counter) == texts(constant) == []
