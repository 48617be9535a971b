from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from pdm_cli.evaluation.lifetimes import Lifetime, Weibull
from pdm_cli.scoring.by_age import find_parts, list_by_age
from pdm_cli.units import DATES, FIRST_CYCLE_US, Units
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, log_frame

MACHINES = pd.Index([1, 2, 3])
STARTS = np.full(3, EPOCH_US)
WEAR = Lifetime(40, 1e5, 4e-4, 3e-4, 5e-4, Weibull(4.0, 2000.0, (0.01, 0.0, 0.001), 3000.0, 90, 40))
RANDOM = Lifetime(2, 1e5, 2e-5, 1e-5, 4e-5, None)


def at(hour: float) -> np.ndarray:
    return np.full(3, EPOCH_US + round(hour * HOUR_US))


def test_part_is_as_old_as_its_last_failure_or_replacement() -> None:
    events = {
        "failures": log_frame([Event(1, 30, "pump"), Event(2, 90, "pump"), Event(3, 20, "belt")]),
        "maint": log_frame([Event(1, 50, "pump"), Event(1, 60, "belt"), Event(2, 10, "pump")]),
    }
    parts = find_parts("pump", events, MACHINES, starts_us=STARTS, now_us=at(80), units=DATES)
    # The failure of machine 2 is still to come; the pump of machine 3 is as old as the log, or older.
    assert parts.hours.tolist() == [30, 70, 80]
    assert parts.is_known.tolist() == [True, True, False]


def test_part_installed_before_the_telemetry_has_its_age() -> None:
    events = {"maint": log_frame([Event(1, 10, "pump")])}
    parts = find_parts("pump", events, MACHINES, starts_us=at(50), now_us=at(80), units=DATES)
    assert parts.hours.tolist() == [70, 30, 30]
    assert parts.is_known.tolist() == [True, False, False]


def test_parts_without_logs_are_at_least_as_old_as_the_telemetry() -> None:
    parts = find_parts("pump", {}, MACHINES, starts_us=STARTS, now_us=at(80), units=DATES)
    assert parts.hours.tolist() == [80, 80, 80]
    assert not parts.is_known.any()


def test_parts_of_machines_that_count_their_cycles_from_one_are_new() -> None:
    first, later = FIRST_CYCLE_US + HOUR_US, FIRST_CYCLE_US + 9 * HOUR_US
    starts, now = np.array([first, later]), np.full(2, later)
    parts = find_parts("pump", {}, MACHINES[:2], starts_us=starts, now_us=now, units=Units(cycle_hours=1))
    assert parts.hours.tolist() == [8, 0]
    assert parts.is_known.tolist() == [True, False]


def test_list_by_age_has_the_most_probable_first() -> None:
    events = {"maint": log_frame([Event(1, 1500, "pump"), Event(2, 100, "pump"), Event(3, 1000, "pump")])}
    parts = {
        name: find_parts(name, events, MACHINES, starts_us=STARTS, now_us=at(2000), units=DATES)
        for name in ("pump", "belt")
    }
    found = list_by_age({"pump": WEAR, "belt": RANDOM}, parts, MACHINES, horizon_hours=48)
    assert found["component"].tolist() == ["pump"] * 3 + ["belt"] * 3
    assert found["machineID"].tolist() == [2, 3, 1, 1, 2, 3]
    assert found["age_hours"].tolist() == [1900, 1000, 500, 2000, 2000, 2000]
    assert found["is_minimum"].tolist() == [False] * 3 + [True] * 3
    # By age if the component wears out: the share of those that reached the age.
    age = 1900 / 2000
    assert_allclose(found["probability"][0], 1 - math.exp(age**4 - (age + 48 / 2000) ** 4))
    assert_allclose(found["probability"][3:], 1 - math.exp(-48 * RANDOM.rate))
    assert (found["low"] < found["probability"]).all()
    assert (found["probability"] < found["high"]).all()


def test_list_by_age_without_components_has_the_columns() -> None:
    found = list_by_age({}, {}, MACHINES, horizon_hours=48)
    assert len(found) == 0
    assert list(found) == ["machineID", "component", "age_hours", "is_minimum", "probability", "low", "high"]
