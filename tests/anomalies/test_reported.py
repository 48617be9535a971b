from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.anomalies.detectors import keep_high, keep_last

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Midnight of 2015-01-01 UTC.
MIDNIGHT = 16_436 * DAY


def hourly(rows: int, *, start: int = MIDNIGHT) -> np.ndarray:
    return start + np.arange(rows) * HOUR


@pytest.mark.parametrize(("span", "kept"), [("day", [26, 48, 49]), ("hour", [49])])
def test_the_last_day_or_hour_begins_just_after_the_last_stamp_less_its_length(span: str, kept: list[int]) -> None:
    # Row 25 stands a day before row 49, row 48 an hour: to the microsecond, so not within.
    index = np.array([0, 25, 26, 48, 49])
    assert index[keep_last(index, hourly(50), span=span)].tolist() == kept
    later = hourly(50)
    later[[25, 48]] += 1
    assert index[keep_last(index, later, span=span)].tolist() == sorted({*kept, 25 if span == "day" else 48})


def test_the_last_day_is_counted_from_the_last_stamp_also_where_rows_are_missing() -> None:
    times = hourly(50)
    times[40:] += 20 * HOUR
    index = np.arange(50)
    assert index[keep_last(index, times, span="day")].tolist() == list(range(40, 50))
    assert keep_last(np.array([], int), times, span="hour").tolist() == []


def test_a_reading_at_the_limit_is_reported_and_one_below_is_not() -> None:
    # Maxima of the three days: 10, 30, 20; their median is 20.
    values = np.zeros(72)
    values[[5, 30, 50]] = 10, 30, 20
    values[51] = np.nextafter(20, 0)
    index = np.array([5, 30, 50, 51])
    assert keep_high(index, values, hourly(72), threshold="med_max").tolist() == [False, True, True, False]


@pytest.mark.parametrize(("threshold", "limit"), [("med_max", 5.0), ("p95", 9.5), ("p99", 9.9)])
def test_percentiles_are_linear_between_the_maxima_of_the_days(threshold: str, limit: float) -> None:
    days = np.repeat(np.arange(11.0), 24)
    for value, is_kept in ((limit - 1e-9, False), (limit + 1e-9, True)):
        # On the day with the maximum 10, so that none of the maxima changes.
        values = days.copy()
        values[-1] = value
        assert keep_high(np.array([263]), values, hourly(264), threshold=threshold).tolist() == [is_kept]


def test_days_end_at_midnight_utc() -> None:
    # From 22:00 on: the days hold 1, 4 and 3, 2; the median of their maxima is 3.5.
    values = np.array([1.0, 4.0, 3.0, 2.0])
    index = np.arange(4)
    late = hourly(4, start=MIDNIGHT - 2 * HOUR)
    assert keep_high(index, values, late, threshold="med_max").tolist() == [False, True, False, False]
    # From 23:00 on they hold 1 and 4, 3, 2: 2.5.
    later = hourly(4, start=MIDNIGHT - HOUR)
    assert keep_high(index, values, later, threshold="med_max").tolist() == [False, True, True, False]
    # The last microsecond of a day belongs to it.
    split = np.array([MIDNIGHT - 2, MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 1])
    assert keep_high(index, values, split, threshold="med_max").tolist() == [False, True, False, False]


def test_days_before_1970_end_at_midnight_too() -> None:
    values, times = np.array([1.0, 4.0, 3.0, 2.0]), np.array([-2, -1, 0, 1])
    assert keep_high(np.arange(4), values, times, threshold="med_max").tolist() == [False, True, False, False]


def test_missing_readings_are_no_maxima_and_days_without_readings_do_not_count() -> None:
    values = np.concatenate([np.full(24, 10.0), np.full(24, np.nan), np.full(24, 20.0), np.full(24, 30.0)])
    values[[3, 50]] = np.nan
    index = np.array([0, 48, 72])
    # Maxima 10, 20, 30.
    assert keep_high(index, values, hourly(96), threshold="med_max").tolist() == [False, True, True]


@given(
    values=st.lists(st.integers(-5, 5) | st.just(None), min_size=1, max_size=120).filter(
        lambda v: any(x is not None for x in v)
    ),
    start=st.integers(-3 * 24, 3 * 24),
    share=st.sampled_from([("med_max", 50), ("p95", 95), ("p99", 99)]),
)
def test_high_readings_equal_those_of_a_loop_over_days(
    values: list[int | None], start: int, share: tuple[str, int]
) -> None:
    times = hourly(len(values), start=MIDNIGHT + start * HOUR)
    days: dict[int, list[int]] = {}
    for value, time in zip(values, times.tolist(), strict=True):
        if value is not None:
            days.setdefault(time // DAY, []).append(value)
    limit = np.percentile([max(day) for day in days.values()], share[1])
    readings = np.array([np.nan if value is None else value for value in values])
    index = np.flatnonzero(np.isfinite(readings))
    kept = keep_high(index, readings, times, threshold=share[0])
    assert kept.tolist() == [bool(readings[row] >= limit) for row in index]
