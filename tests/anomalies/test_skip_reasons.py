from __future__ import annotations

import numpy as np

from pdm_cli.anomalies.skip_reasons import (
    AFTER_GAP,
    AT_START,
    BAD_WINDOW,
    reason_no_window,
    reason_too_short,
    reason_without_signal,
    span_reasons,
)
from pdm_cli.anomalies.windows import DetectWindows

MINUTE = 60_000_000
HOUR = 60 * MINUTE


def hourly(rows: int) -> np.ndarray:
    start = np.datetime64("2015-01-04T06:00", "us").astype(np.int64)
    return np.asarray(start + np.arange(rows) * HOUR)


def test_reason_without_signal_empty_or_constant_series() -> None:
    assert reason_without_signal(np.array([np.nan, np.inf])) == "no readings"
    assert reason_without_signal(np.array([2.0, np.nan, 2.0])) == "the series is constant"
    assert reason_without_signal(np.array([2.0, 3.0])) is None


def test_reason_too_short_series_or_piece() -> None:
    whole = DetectWindows(HOUR, 1, 4)
    assert reason_too_short(np.arange(9.0), hourly(9), whole) is None
    assert reason_too_short(np.arange(8.0), hourly(8), whole) == "8 readings; more than 8 (two seasons) are needed"
    values = np.arange(30.0)
    values[:5] = np.nan
    assert reason_too_short(values, hourly(30), DetectWindows(HOUR, 1, 4, piece=10)) == (
        "the piece from 2015-01-04 06:00 to 2015-01-04 15:00 has 5 readings; more than 8 (two seasons) are needed"
    )


def test_reason_no_window() -> None:
    windows = DetectWindows(HOUR, 1, 24, window=672)
    assert reason_no_window(np.arange(40.0), windows, fewest=336) == "40 readings; a window needs at least 336"
    assert reason_no_window(np.arange(400.0), windows, fewest=336).startswith(
        "no window of 28 days has at least 336 readings"
    )


def test_span_reasons_depend_on_what_precedes_the_span() -> None:
    # Readings 0 .. 9, a gap, 10 .. 19.
    times = np.concatenate([hourly(10), hourly(30)[20:]])
    first = np.array([0, 3, 10, 12, 13])
    assert span_reasons(times, first, step_us=HOUR, reach=3) == [AT_START, BAD_WINDOW, AFTER_GAP, AFTER_GAP, BAD_WINDOW]
    assert span_reasons(times[:0], first[:0], step_us=HOUR, reach=3) == []
