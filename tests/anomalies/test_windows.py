from __future__ import annotations

from typing import Any

import pytest

from pdm_cli.anomalies.windows import DetectWindows, choose_windows
from pdm_cli.errors import DataError, UsageError
from pdm_cli.settings.model import DetectParams

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def windows(step_us: int, **settings: Any) -> DetectWindows:
    return choose_windows(step_us, DetectParams(**settings))


@pytest.mark.parametrize(
    ("step", "period_hours", "window_days"),
    [
        (10 * MINUTE, 24, 28),
        (HOUR, 24, 28),
        (12 * HOUR, 24, 28),
        # A week of daily readings; twelve of them make the window.
        (DAY, 168, 84),
    ],
)
def test_season_and_window_follow_from_the_step(step: int, period_hours: float, window_days: float) -> None:
    found = windows(step)
    assert (found.period_hours, found.window_days) == (period_hours, window_days)
    assert found.smooth_hours == (24 if step < DAY else 0)


def test_the_window_is_twelve_seasons_where_these_are_longer() -> None:
    assert windows(HOUR, period_hours=168.0).window_days == 84
    assert windows(HOUR, period_hours=168.0, window_days=30.0).window_days == 28


def test_the_window_of_weekly_readings_has_the_fewest_that_are_needed() -> None:
    assert windows(7 * DAY).window_days == 168


@pytest.mark.parametrize(
    ("step", "settings", "message", "hint"),
    [
        (
            7 * DAY,
            {"window_days": 28.0},
            "a window of 28 days has 4 readings; at least 24",
            "--window-days 168 or more",
        ),
        (HOUR, {"window_days": 0.5}, "a window of 0.5 days has less than 3 seasons of 24 h", "--window-days 3 or"),
        (HOUR, {"window_days": 20.0, "period_hours": 168.0}, "has less than 3 seasons of 168 h", "--window-days 21"),
        (12 * HOUR, {"window_days": 7.0}, "a window of 7 days has 14 readings; at least 24", "--window-days 12 or"),
        (30 * DAY, {}, "has 0 readings; at least 24 are needed", "--mode batch"),
    ],
)
def test_a_window_too_short_to_judge_by_fails(step: int, settings: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        windows(step, **settings)
    assert message in caught.value.message
    assert caught.value.message.startswith("telemetry: ")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_the_shortest_window_in_the_hint_is_accepted() -> None:
    assert windows(7 * DAY, window_days=168.0).window == 24
    assert windows(HOUR, window_days=3.0).window == 72


def test_readings_less_often_than_daily_have_no_season_for_causal() -> None:
    assert windows(2 * DAY, window_days=60.0).period == 0
    assert windows(2 * DAY, window_days=60.0, period_hours=96.0).period == 2


@pytest.mark.parametrize(
    ("step", "hours"),
    [
        (5 * MINUTE, 24.0),
        (7 * MINUTE, 168.0),
        (HOUR, 24.0),
        (7 * HOUR, 168.0),
        (12 * HOUR, 24.0),
        (DAY, 168.0),
        (3 * DAY + DAY // 2, 168.0),
        (50 * MINUTE, 0.0),
        (5 * HOUR, 0.0),
        (16 * HOUR, 0.0),
        (4 * DAY, 0.0),
        (7 * DAY, 0.0),
    ],
)
def test_the_usual_season_is_a_day_or_a_week_of_whole_steps_or_none(step: int, hours: float) -> None:
    assert windows(step, mode="causal", window_days=366.0).period_hours == hours


def test_batch_needs_the_season_of_steps_that_divide_neither_day_nor_week() -> None:
    with pytest.raises(DataError, match="neither a day nor a week is two or more whole steps of 96 h") as caught:
        windows(4 * DAY, mode="batch")
    assert caught.value.hint == "set the season (two or more steps) with --period-hours, or use --mode causal"
    assert windows(4 * DAY, mode="batch", period_hours=8 * 24.0).period == 2


def test_batch_has_pieces_and_no_window() -> None:
    found = windows(HOUR, mode="batch", longterm_days=14.0)
    assert (found.smooth, found.piece, found.window) == (12, 336, 0)
    assert windows(HOUR, mode="batch").piece == 0
    with pytest.raises(UsageError, match="longer than two periods"):
        windows(HOUR, mode="batch", longterm_days=2.0)
