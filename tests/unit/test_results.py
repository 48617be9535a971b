from __future__ import annotations

from typing import Any

import pytest

from pdm_cli.report.results import draw_anomalies, draw_quality

COUNTS = {"series": 2, "judged": 10, "unjudged": 0, "anomalies": 1, "share": 0.1, "skipped": 0, "capped": 0}


def lines_of(**changes: Any) -> list[str]:
    summary = {
        "causal": True,
        "smooth_hours": 24.0,
        "period_hours": 24.0,
        "window_days": 28.0,
        "sensors": {"volt": COUNTS},
        "machines": [],
        "skipped": [],
    }
    return [item for item in draw_anomalies({**summary, **changes}) if isinstance(item, str)]


def skipped(machine: int, sensor: str, reason: str) -> dict[str, Any]:
    return {"machineID": machine, "sensor": sensor, "readings": 1_000, "reason": reason}


def test_how_readings_were_judged_is_one_line() -> None:
    assert lines_of() == ["judged: 24 h trailing means, season of 24 h, by the 28 days before each reading"]
    assert lines_of(smooth_hours=0.0, period_hours=0.0) == [
        "judged: the readings themselves, no season, by the 28 days before each reading"
    ]


def test_series_at_the_cap_are_counted_over_the_sensors() -> None:
    told = lines_of(causal=False, max_anoms=0.1, sensors={"volt": {**COUNTS, "capped": 2}, "rotate": COUNTS})
    assert told[1:] == ["2 series reached --max-anoms 0.1: they may hold more anomalies"]


def test_series_with_the_same_reason_share_a_line_and_a_screen_is_not_flooded() -> None:
    alike = [skipped(machine, sensor, "constant") for machine in (3, 4) for sensor in ("volt", "rotate")]
    assert lines_of(skipped=alike)[1:] == [
        "not judged: volt, rotate of machine 3 and 1 more (4,000 readings): constant"
    ]
    many = [skipped(machine, "volt", f"a gap of {machine} h") for machine in range(1, 31)]
    told = lines_of(skipped=many)[1:]
    assert told[0] == "not judged: volt of machine 1 (1,000 readings): a gap of 1 h"
    assert told[10:] == ["not judged: 20 lines more like these; all stand in summary.json"]


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(10 / 60, "10 s"), (0.01 / 6, "0.1 s"), (1, "1 min"), (60, "60 min"), (1440, "1 d"), (10_080, "7 d")],
)
def test_the_step_is_told_in_its_own_unit(minutes: float, told: str) -> None:
    facts = {
        "readings": 1234,
        "sensors": ["volt"],
        "machines": 1,
        "start": "2015-01-01T06:00:00",
        "end": "2015-02-01T06:00:00",
        "step_minutes": minutes,
    }
    quality = {
        "telemetry": facts,
        "features": {"rows": 5, "columns": 8},
        "events": {},
        "findings": {},
        "ignored_columns": [],
    }
    lines = str(draw_quality(quality)[0]).splitlines()
    assert lines[0] == "1,234 readings of 1 sensor (volt) on 1 machine"
    assert lines[1].endswith(f"UTC, every {told}")
