from __future__ import annotations

from typing import Any

from rich.console import Console

from pdm_cli.cli.render.results import draw_outcomes


def outcome(**changes: Any) -> dict[str, Any]:
    come = {"failed": "2015-07-01T06:00:00", "warning_hours": 45.0, "sensor": "rotate", "step": -80.0}
    return {"rank": 1, "machineID": 8, "component": "comp2", "shifted_since": "2015-06-29T06:00:00"} | come | changes


def shown(*outcomes: dict[str, Any]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        for item in draw_outcomes(list(outcomes)):
            console.print(item)
    return capture.get()


def test_draw_outcomes_shows_warning_and_shift_of_a_failure() -> None:
    text = shown(outcome())
    assert "failed 2015-07-01 06:00, warned 45 h ahead" in text
    assert "rotate shifted by -80 at 2015-06-29 06:00" in text


def test_draw_outcomes_shows_false_alarms_and_missed_failures() -> None:
    nothing = dict.fromkeys(("failed", "warning_hours", "sensor", "step", "shifted_since"))
    assert "no failure: false alarm" in shown(outcome(**nothing))
    assert "failed 2015-07-01 06:00, no alert yet" in shown(outcome(rank=None, warning_hours=None))


def test_draw_outcomes_without_failures_says_so() -> None:
    assert "no failure in the two days" in shown()
