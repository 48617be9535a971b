from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.anomalies.skip_reasons import (
    AFTER_GAP,
    AT_START,
    BAD_WINDOW,
    why_bare,
    why_holed,
    why_short,
    why_spans,
    why_split,
    why_windowless,
)
from pdm_cli.anomalies.windows import Lengths

MINUTE = 60_000_000
HOUR = 60 * MINUTE


def hourly(rows: int) -> np.ndarray:
    start = np.datetime64("2015-01-04T06:00", "us").astype(np.int64)
    return np.asarray(start + np.arange(rows) * HOUR)


def test_a_series_without_change_is_told() -> None:
    assert why_bare(np.array([np.nan, np.inf])) == "the series holds no reading"
    assert why_bare(np.array([2.0, np.nan, 2.0])) == "the series is constant"
    assert why_bare(np.array([2.0, 3.0])) is None


def test_the_longest_gap_is_told_by_what_is_missing_and_where_it_ends() -> None:
    assert why_split(hourly(9), HOUR) is None
    assert why_split(hourly(9)[[0, 1, 3, 7, 8]], HOUR) == "a gap of 3 h until 2015-01-04 13:00 splits the series"
    seconds = hourly(1)[0] + np.array([0, 1, 5]) * 10_000_000
    assert why_split(seconds, 10_000_000) == "a gap of 0.00833 h until 2015-01-04 06:00:50 splits the series"


@pytest.mark.parametrize(
    ("smooth", "told"),
    [
        (1, "3 missing readings between others, the first at 2015-01-04 08:00"),
        (2, "2 missing readings between"),
        (3, ""),
    ],
)
def test_only_holes_that_smoothing_leaves_are_told(smooth: int, told: str) -> None:
    values = np.arange(12.0)
    values[[0, 2, 6, 7, 11]] = np.nan
    reason = why_holed(values, hourly(12), smooth)
    assert reason is None if not told else str(reason).startswith(told)


def test_one_missing_reading_is_told_in_the_singular() -> None:
    assert str(why_holed(np.array([1.0, np.nan, 2.0]), hourly(3), 1)).startswith("1 missing reading between others")


def test_a_short_series_or_piece_is_told() -> None:
    whole = Lengths(HOUR, 1, 4)
    assert why_short(np.arange(9.0), hourly(9), whole) is None
    assert why_short(np.arange(8.0), hourly(8), whole) == "8 readings, more than 8 (two seasons) are needed"
    values = np.arange(30.0)
    values[:5] = np.nan
    assert why_short(values, hourly(30), Lengths(HOUR, 1, 4, piece=10)) == (
        "the piece from 2015-01-04 06:00 to 2015-01-04 15:00 holds 5 readings, more than 8 (two seasons) are needed"
    )


def test_a_series_without_a_window_is_told() -> None:
    lengths = Lengths(HOUR, 1, 24, window=672)
    assert why_windowless(np.arange(40.0), lengths, fewest=336) == "40 readings, a window needs 336"
    assert why_windowless(np.arange(400.0), lengths, fewest=336).startswith("no window of 28 days has 336 readings")


def test_spans_are_told_apart_by_what_comes_before_them() -> None:
    # Readings 0 .. 9, a gap, 10 .. 19.
    times = np.concatenate([hourly(10), hourly(30)[20:]])
    first = np.array([0, 3, 10, 12, 13])
    assert why_spans(times, first, step_us=HOUR, reach=3) == [AT_START, BAD_WINDOW, AFTER_GAP, AFTER_GAP, BAD_WINDOW]
    assert why_spans(times[:0], first[:0], step_us=HOUR, reach=3) == []
