"""A large compressed log with a malformed row: the process ends at once."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROWS = 400_000
SECONDS = 60


@pytest.mark.ci
@pytest.mark.parametrize(
    ("row", "message"),
    [("2024-01-01 00:00;1;5;6;7", "5 values, expected 4"), ("2024-01-01 00:00;1;five;6", "is not a number")],
)
def test_import_of_a_large_compressed_log_ends_at_a_malformed_row(row: str, message: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = "".join(
        f"2024-01-{1 + n % 28:02} {n // 28 % 24:02}:{n // 672 % 60:02};{n // 40_320};{n % 977 / 8};{n % 631 / 4}\n"
        for n in range(ROWS)
    )
    late = rows.rindex("\n", 0, len(rows) * 9 // 10) + 1
    line = rows.count("\n", 0, late) + 2
    with gzip.open(logs / "telemetry.csv.gz", "wt", compresslevel=1) as log:
        log.write(f"datetime;machineID;volt;flow\n{rows[:late]}{row}\n{rows[late:]}")
    # Many times the chunks in which files are read.
    assert (logs / "telemetry.csv.gz").stat().st_size > 2 * 2**20
    command = [sys.executable, "-m", "pdm_cli", "import", logs, "--out", tmp_path / "raw"]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 4, done.stderr
    assert time.monotonic() - start < SECONDS
    assert f"error: telemetry.csv.gz: line {line:,}" in done.stderr
    assert message in done.stderr
    assert not (tmp_path / "raw").exists()
