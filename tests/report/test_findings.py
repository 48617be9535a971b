"""Data-quality findings in lines of text."""

from __future__ import annotations

import pytest

from pdm_cli.report.findings import describe_findings


@pytest.mark.parametrize(
    ("name", "count", "line"),
    [
        ("gaps", 1, "1 gap, filled with rows of missing readings (first: "),
        ("gaps", 1200, "1,200 gaps, filled with rows of missing readings (first: "),
        ("outside_time_range", 1, "1 reading or event at impossible times, set aside (first: "),
        ("dead_sensors", 1, "1 sensor that stopped before its machine's last row (first: "),
        ("maint_after_telemetry", 1, "1 maintenance event after the machine's telemetry (first: "),
    ],
)
def test_finding_that_occurs_once_is_singular(name: str, count: int, line: str) -> None:
    first = [{"machineID": 1, "datetime": "2015-01-13T07:00:00"}]
    quality = {
        "findings": {name: {"count": count, "first": first}},
        "ignored_columns": [],
        "failures": {},
        "events": {},
    }
    assert describe_findings(quality)[0].startswith(line)
