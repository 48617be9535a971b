"""CSV logs of a few rows, and the raw tables made of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.cli.conftest import Pdm

HEAD = "datetime,machineID,volt\n"
ROWS = HEAD + "2015-01-13 07:00:00,1,170.5\n2015-01-13 08:00:00,1,\n2015-01-13 07:00:00,2,168\n"


def write(logs: Path, **contents: str | bytes) -> Path:
    for name, content in contents.items():
        (logs / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return logs


def telemetry(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "telemetry.parquet")


def read(pdm: Pdm, logs: Path, *words: object) -> pd.DataFrame:
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == 0, outcome.stderr
    return telemetry(logs.parent / "raw")


PLAIN = ROWS.encode()
