"""Keep the course of sensors around the most severe episodes of anomalies, which the report draws."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pdm_cli.pipeline.stages import EVIDENCE_FILE
from pdm_cli.timestamps import microseconds

if TYPE_CHECKING:
    from pdm_cli.pipeline.execute import Task

SCHEMA = "pdm.anomalies-report/1"


def write_courses(task: Task, episodes: list[dict[str, Any]]) -> None:
    """Write the data of the report of anomalies: the course of the first sensor of some episodes of the summary."""
    from pdm_cli.io import parquet
    from pdm_cli.schema import ANOMALIES, MACHINE, TELEMETRY, TIME

    telemetry, anomalies = task.inputs["prepared"] / TELEMETRY.file, task.out / ANOMALIES.file
    courses: dict[int, dict[str, Any]] = {}
    for group in range(parquet.count_row_groups(telemetry) if episodes else 0):
        machines = set(parquet.read_row_group(telemetry, group, [MACHINE])[MACHINE].tolist())
        own = [entry for entry in episodes if entry[MACHINE] in machines]
        if not own:
            continue
        # Both tables have the same machines in their row groups.
        readings, found = parquet.read_row_group(telemetry, group), parquet.read_row_group(anomalies, group)
        step_us = parquet.read_step(telemetry)
        for entry in own:
            sensor = entry["sensors"][0]["sensor"]
            of_machine = readings.loc[readings[MACHINE] == entry[MACHINE], [TIME, sensor]]
            of_sensor = found[(found[MACHINE] == entry[MACHINE]) & (found["sensor"] == sensor)]
            courses[entry["rank"]] = _cut(entry["sensors"][0], of_machine, of_sensor, step_us)
    text = json.dumps({"schema": SCHEMA, "courses": [courses[entry["rank"]] for entry in episodes]}, allow_nan=False)
    (task.out / EVIDENCE_FILE).write_text(text + "\n", encoding="utf-8")


def _cut(part: dict[str, Any], readings: Any, found: Any, step_us: int) -> dict[str, Any]:
    from pdm_cli.anomalies.episodes import cut_course

    start, end = (microseconds(datetime.fromisoformat(part[name])) for name in ("start", "end"))
    return cut_course(readings, found, (start, end), step_us)
