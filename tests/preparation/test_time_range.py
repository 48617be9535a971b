"""Times that cannot be right are found at the ends of a log, and nothing else is."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.preparation.time_range import DAY_US, YEAR_US, TimeRange, TimeSurvey
from pdm_cli.timestamps import microseconds

HOUR_US = 3_600_000_000
START = 1_420_092_000_000_000  # 2015-01-01 06:00


def survey_of(*machines: np.ndarray) -> TimeSurvey:
    survey = TimeSurvey()
    for machine, times in enumerate(machines):
        survey.add([machine], np.zeros(len(times), np.int32), np.asarray(times, np.int64))
    return survey


def hourly(hours: int, start: int = START) -> np.ndarray:
    return start + HOUR_US * np.arange(hours)


def us(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))


@given(
    gaps=st.lists(st.integers(1, DAY_US), min_size=1, max_size=60),
    owners=st.lists(st.integers(0, 3), min_size=61, max_size=61),
    start=st.sampled_from([0, START]),
)
def test_find_range_log_without_long_gap_keeps_all_rows(gaps: list[int], owners: list[int], start: int) -> None:
    times = start + np.cumsum([0, *gaps])
    survey = TimeSurvey()
    survey.add([0, 1, 2, 3], np.array(owners[: len(times)]), times)
    found = survey.find_range()
    assert found.last is None
    assert survey.is_within(found)


@pytest.mark.parametrize("text", ["2015-01-07 07:00", "2016-01-01", "2106-02-07", "9999-12-31"])
def test_find_range_stray_reading_ends_a_day_after_the_others(text: str) -> None:
    for machines in ([hourly(100)], [hourly(100)] * 4):
        found = survey_of(np.append(machines[0], us(text)), *machines[1:]).find_range()
        assert found == TimeRange(us("1990-01-01"), START + 99 * HOUR_US + DAY_US)
        assert found.covers(np.array([us(text)])).tolist() == [False]


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31", "1989-12-31 23:59"])
def test_find_range_reading_before_1990_is_outside(text: str) -> None:
    early = us(text)
    found = survey_of(np.append(early, hourly(100))).find_range()
    assert found == TimeRange(us("1990-01-01"), None)
    assert found.describe() == "before 1990-01-01 00:00"


def test_find_range_log_before_1990_keeps_its_rows() -> None:
    assert survey_of(hourly(100, 0), hourly(100, 0)).find_range() == TimeRange()


def test_find_range_machine_years_ahead_is_outside() -> None:
    ahead = hourly(100, us("2036-01-01"))
    assert survey_of(hourly(100), hourly(100), ahead).find_range().last == START + 99 * HOUR_US + DAY_US
    # Of two machines, neither is known to be right.
    assert survey_of(hourly(100), ahead).find_range().last is None


def test_find_range_stray_readings_of_two_machines_do_not_support_each_other() -> None:
    strays = us("2106-02-07"), us("2080-01-06")
    machines = [np.append(hourly(100), stray) for stray in strays]
    assert survey_of(*machines).find_range().last == START + 99 * HOUR_US + DAY_US


@pytest.mark.parametrize(
    "machines",
    [
        [hourly(100), hourly(400)],
        [hourly(100), np.append(hourly(100), hourly(100, START + 60 * DAY_US))],
        [START + 7 * DAY_US * np.arange(30)],
        [START + 7 * DAY_US * np.append(np.arange(30), 36)],
        [hourly(24), hourly(24, START + YEAR_US // 2), hourly(24, START + YEAR_US)],
        [hourly(2), START + np.array([0, 5 * DAY_US])],
    ],
    ids=["runs longer", "resumes", "weekly", "weekly with a pause", "one after the other", "too short to judge"],
)
def test_find_range_plausible_end_keeps_all_rows(machines: list[np.ndarray]) -> None:
    survey = survey_of(*machines)
    assert survey.is_within(survey.find_range())


def test_find_range_given_is_exactly_that_range() -> None:
    survey = survey_of(hourly(100))
    assert survey.find_range("2015-01-01T06:00Z, 2106-01-01") == TimeRange(START, us("2106-01-01"))
    assert survey.find_range(",2015-01-02").describe() == "after 2015-01-02 00:00"
    assert survey.find_range("1960-01-01,").first == us("1960-01-01")
    assert not survey.is_within(TimeRange(START + 1, None))
    assert survey.is_within(TimeRange(START, START + 99 * HOUR_US))


def test_copy_is_independent() -> None:
    survey = survey_of(hourly(100))
    copy = survey.copy()
    copy.add([9], np.zeros(1, np.int32), np.array([START + HOUR_US // 2 - 1000 * DAY_US]))
    copy.add([9], np.zeros(1, np.int32), hourly(1))
    assert survey.is_within(TimeRange(START, None))
    assert not copy.is_within(TimeRange(START, None))
