from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from pdm_cli.azure.jobs import JobState
from pdm_cli.cli.render.jobs import draw_jobs

SUBMITTED = datetime(2026, 11, 28, 0, 31, tzinfo=UTC)


def test_draw_jobs_fits_80_columns() -> None:
    names = [f"pdm-{command}-20261128-003144-c4a3d4" for command in ("preprocess", "detect-anomalies", "run")]
    states = [
        JobState(name, "Completed", experiment="pdm", created=SUBMITTED, started=SUBMITTED, ended=SUBMITTED)
        for name in names
    ]
    out = StringIO()
    Console(file=out, width=80).print(*draw_jobs(states))
    lines = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert lines[0] == ["job", "status", "sent", "(UTC)", "duration"]
    assert lines[2:] == [[name, "Completed", "11-28", "00:31", "0:00:00"] for name in names]
