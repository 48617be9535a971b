from __future__ import annotations

from typing import Any

import numpy as np

from pdm_cli.evaluation.cold_start import compare_cold_start
from pdm_cli.evaluation.events import EventOutcome
from tests.builders.fleets import EPOCH_US, HOUR_US, instants_of

DAY = 24.0
# Rows of two machines at these days; the telemetry of machine 2 begins on day 10.
ROWS = [(1, 1), (1, 29), (1, 30), (1, 60), (2, 11), (2, 39), (2, 41), (2, 80)]
BEGAN = np.array([EPOCH_US, EPOCH_US + 10 * 24 * HOUR_US])


def outcome(failures: list[tuple[int, float, float]]) -> EventOutcome:
    """Failures of (machine code, day, warning)."""
    codes, days, warnings = (np.array([failure[column] for failure in failures]) for column in range(3))
    times = EPOCH_US + np.round(days * 24 * HOUR_US).astype(np.int64)
    none, no_episode = np.array([], np.int64), np.array([], np.bool_)
    return EventOutcome(warnings, 0, codes.astype(np.int64), none, no_episode, no_episode, times)


def compare(labels: list[list[float]], probabilities: list[list[float]], **changes: Any) -> dict[str, Any]:
    failures = [outcome([(0, 30.5, 24.0), (1, 39.9, np.nan)]), outcome([(1, 12.0, 30.0), (1, 80.5, 10.0)])]
    rows = instants_of([(machine, day * DAY) for machine, day in ROWS])
    given = {"outcomes": failures, "began_us": BEGAN, **changes}
    return compare_cold_start(rows, np.array(labels).T, np.array(probabilities).T, **given)


def test_cold_start_by_hand() -> None:
    # The fifth and the last row have no known outcome. After 30 days, comp2 has no row before a failure.
    labels = [[0, 1, 1, 0, np.nan, 1, 0, np.nan], [1, 0, 0, 0, np.nan, 0, 0, np.nan]]
    levels = [[0.6, 0.9, 0.8, 0.1, 1, 0.3, 0.9, 1], [0.5, 0.2, 0.9, 0.9, 1, 0.1, 0.9, 1]]
    found = compare(labels, levels)
    first = {"rows": 3, "average_precision": ((1 / 2 + 1 / 2 * 2 / 3) + 1) / 2, "failures": 2, "caught": 1}
    after = {"rows": 3, "average_precision": 1 / 2, "failures": 2, "caught": 2}
    assert found == {"days": 30, "first": first, "after": after}


def test_cold_start_of_a_later_test_is_empty() -> None:
    zeros = [[0.0] * len(ROWS)] * 2
    found = compare(zeros, zeros, began_us=BEGAN - 365 * 24 * HOUR_US)
    assert found["first"] == {"rows": 0, "average_precision": None, "failures": 0, "caught": 0}
    assert found["after"] == {"rows": 8, "average_precision": None, "failures": 4, "caught": 3}
