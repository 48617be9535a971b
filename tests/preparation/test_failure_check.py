"""Failures without readings before them, and components with too few failures, are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdm_cli.preparation.failure_check import (
    FailureCoverage,
    Spans,
    check_failures,
    count_failures,
    find_spans,
    is_split_by_machine,
)
from pdm_cli.preparation.overview import Overview
from tests.builders.overviews import HOUR_US, START_US, hours_of, overview_of

TWO_DAYS = 48 * HOUR_US


def failures_of(*rows: tuple[object, float, str]) -> pd.DataFrame:
    times = [START_US + round(hour * HOUR_US) for _, hour, _ in rows]
    return pd.DataFrame(
        {
            "machineID": [machine for machine, _, _ in rows],
            "datetime": np.array(times, "datetime64[us]"),
            "failure": [component for _, _, component in rows],
        }
    )


def spans_of(first_fold: float, cutoff: float, test_start: float) -> Spans:
    return Spans(*(START_US + round(hour * HOUR_US) for hour in (first_fold, cutoff, test_start)))


def coverage_of(failures: pd.DataFrame, *, reverse: bool = False) -> list[bool]:
    """Return which failures have readings; machine 1 has a gap from 100 to 300, machine 2 ends at 200."""
    times = {1: np.delete(hours_of(600), np.arange(100, 300)), 2: hours_of(200)}
    overview = overview_of(times, volt=[np.ones(len(own)) for own in times.values()])
    found = FailureCoverage(failures, overview)
    order = slice(None, None, -1) if reverse else slice(None)
    for place, own in enumerate(times.values()):
        found.add(np.full(len(own), place), own[order])
    return found.is_covered(TWO_DAYS).tolist()


@pytest.mark.parametrize("reverse", [False, True])
def test_is_covered_needs_a_reading_in_the_horizon(reverse: bool) -> None:
    rows = [
        *((1, 50, "a"), (1, 50, "b"), (1, 120, "a"), (1, 180, "a"), (1, 310, "a"), (1, -30, "a"), (1, 700, "a")),
        *((2, 199.5, "a"), (2, 230, "a"), (2, 248, "a"), (3, 50, "a"), (1, 610, "a"), (1, 610.5, "b")),
    ]
    expected = [True, True, True, False, True, False, False, True, True, False, False, True, True]
    assert coverage_of(failures_of(*rows), reverse=reverse) == expected


def test_is_covered_without_known_machine_is_false() -> None:
    assert coverage_of(failures_of((9, 50, "a"))) == [False]


def test_check_failures_uncovered_ones_are_named_with_the_first() -> None:
    failures = failures_of((1, 50, "a"), (2, 180, "b"), (2, 190, "b"))
    problems = check_failures(failures, np.array([True, False, False]), spans_of(600, 600, 700), TWO_DAYS)
    assert problems[0].text == (
        "2 of 3 failures have no readings of the machine in the 2d before, first b of machine 2, 2023-01-08 12:00"
    )


def test_check_failures_enough_of_each_in_every_span_is_right() -> None:
    rows = [(1, hour, component) for hour in range(0, 600, 25) for component in "ab"]
    failures = failures_of(*rows)
    assert check_failures(failures, np.ones(len(failures), bool), spans_of(200, 450, 480), TWO_DAYS) == []


def test_check_failures_names_each_shortage_once() -> None:
    often = [(1, hour, "often") for hour in range(0, 600, 25)]
    rows = [*often, (1, 100, "few"), (1, 500, "few"), (1, 500, "late"), (1, 300, "middle")]
    failures = failures_of(*rows)
    problems = check_failures(failures, np.ones(len(failures), bool), spans_of(200, 450, 480), TWO_DAYS)
    assert [(problem.type, problem.facts["components"]) for problem in problems] == [
        ("no_failure_to_train_on", ["late"]),
        ("few_failures", ["few", "middle"]),
        ("no_failure_in_first_fold", ["middle"]),
        ("no_failure_to_test_on", ["middle"]),
    ]
    assert "few (2), middle (1): fewer than 10 failures" in problems[1].text
    # Of one failure, a longer test would leave none to train on.
    assert problems[3].hint == "provide a longer log"


def test_count_failures_counts_by_span() -> None:
    failures = failures_of((1, 100, "a"), (1, 300, "a"), (1, 460, "a"), (1, 500, "a"), (1, 500, "b"))
    counts = count_failures(failures, np.array([True, True, True, True, False]), spans_of(200, 450, 480))
    assert counts["a"] == {"failures": 4, "with_readings": 4, "first_fold": 1, "training": 2, "test": 1}
    assert counts["b"]["failures"] == 1
    assert counts["b"]["with_readings"] == 0


def test_check_failures_split_by_machine_has_no_spans() -> None:
    failures = failures_of((1, 500, "late"))
    (problem,) = check_failures(failures, np.array([True]), None, TWO_DAYS)
    assert problem.type == "few_failures"
    assert count_failures(failures, np.array([True]), None) == {"late": {"failures": 1, "with_readings": 1}}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Most machines end with a failure, or fail again and again; or there is none to test on.
        ([(number, 299, "a") for number in range(1, 6)], True),
        ([(number, 288, "a") for number in range(1, 6)], True),
        ([(number, 310, "a") for number in range(1, 6)], True),
        ([(number, hour, "a") for number in range(1, 6) for hour in (50, 100, 150, 260)], False),
        ([(number, 100, "a") for number in range(1, 6)], True),
        ([(number, 299, "a") for number in range(1, 3)], False),
    ],
    ids=["run to failure", "dates only", "after the telemetry", "repaired", "early", "few machines"],
)
def test_is_split_by_machine_follows_the_failures(rows: list[tuple[object, float, str]], expected: bool) -> None:
    overview = overview_of({number: hours_of(300) for number in range(1, 9)}, volt=[np.ones(300)] * 8)
    coverage = FailureCoverage(failures_of(*rows), overview)
    assert is_split_by_machine(coverage, np.ones(len(rows), bool), spans_of(110, 225, 250), TWO_DAYS) is expected


def test_find_spans_cuts_by_rows_on_the_grid() -> None:
    overview: Overview = overview_of({1: hours_of(600), 2: hours_of(600)}, volt=[np.ones(600)] * 2)
    spans = find_spans(overview, (0.375, 0.75), TWO_DAYS)
    assert spans == spans_of(225, 450, 498)
