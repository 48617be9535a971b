"""Raw telemetry written and read, and what is said where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pdm_cli.errors import PdmError
from pdm_cli.io.raw import RawTelemetry
from pdm_cli.io.scan import TelemetryScan
from pdm_cli.settings.model import ColumnsParams, PreprocessParams
from tests.builders.tables import write_parquet

MACHINES = tuple(range(1, 8))
ROWS = 60


def telemetry_of(folder: Path, columns: ColumnsParams | None = None, **params: Any) -> RawTelemetry:
    return RawTelemetry(folder, columns or ColumnsParams(), PreprocessParams(**params))


def read(folder: Path, columns: ColumnsParams | None = None, **params: Any) -> tuple[TelemetryScan, list[pd.DataFrame]]:
    telemetry = telemetry_of(folder, columns, **params)
    scan = telemetry.scan()
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    batches = list(telemetry.batches(scan, scratch))
    assert list(scratch.iterdir()) == []
    return scan, batches


def assert_says(caught: pytest.ExceptionInfo[PdmError], kind: type[PdmError], *words: str, hint: str) -> None:
    error = caught.value
    assert type(error) is kind
    assert error.exit_code == 4
    assert "\n" not in error.message
    for word in words:
        assert word in error.message
    assert hint in str(error.hint)


def write_whole(folder: Path, frame: pd.DataFrame) -> None:
    write_parquet(folder / "telemetry.parquet", frame)


def write_parts_by_machine(folder: Path, frame: pd.DataFrame) -> None:
    for machine, own in frame.groupby("machineID"):
        write_parquet(folder / "telemetry" / f"part-{machine}.parquet", own)
