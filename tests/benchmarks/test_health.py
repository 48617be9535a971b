from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.health import HOUR_US, Known
from pdm_cli.features.events import Instants

START = pd.Timestamp("2015-01-01")
ROWS = 8 * 100


@pytest.fixture
def known() -> Known:
    """Two machines for a hundred days; the second fails on day 50."""
    times = START.value // 1000 + 3 * HOUR_US * np.arange(ROWS)
    instants = Instants(pd.Index([1, 2]), np.repeat([0, 1], ROWS), np.tile(times, 2))
    return Known(instants, pd.DataFrame({"machineID": [2], "datetime": [START + pd.Timedelta(days=50)]}))


def at(*days: tuple[int, float]) -> np.ndarray:
    """Return alarms at a day of each machine, from 0."""
    alarms = np.zeros(2 * ROWS, bool)
    for code, day in days:
        alarms[code * ROWS + round(8 * day)] = True
    return alarms


def test_labels_are_the_two_days_before_a_failure(known: Known) -> None:
    rows = np.flatnonzero(known.labels) - ROWS
    assert (rows.min(), rows.max()) == (8 * 48, 8 * 50 - 1)


def test_alarms_before_and_after_a_failure_are_not_false(known: Known) -> None:
    outcome = known.count(at((1, 45), (1, 49), (1, 52)))
    assert (outcome.false_alarms, outcome.caught, outcome.warning) == (0, 1, 24)


def test_alarms_far_from_failures_are_false_once_an_episode(known: Known) -> None:
    outcome = known.count(at((0, 10), (0, 10.5), (0, 30), (1, 20)))
    assert outcome.false_alarms == pytest.approx(3 / (200 / 365.25))
    assert outcome.caught == 0
    assert np.isnan(outcome.warning)


def test_threshold_keeps_the_rate_of_false_alarms(known: Known) -> None:
    scores = np.linspace(0, 0.1, 2 * ROWS)
    for code, day, score in ((0, 10, 3.0), (0, 30, 2.0), (1, 49, 2.5)):
        scores[code * ROWS + 8 * day] = score
    outcome = known.count_at_rate(scores, rate=1 / (200 / 365.25))
    assert outcome.false_alarms == pytest.approx(1 / (200 / 365.25))
    assert outcome.caught == 1
