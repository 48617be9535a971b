"""Small tables for tests, each made from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pdm_cli.errors import PdmError
from pdm_cli.preparation.cleaning import clean_telemetry
from pdm_cli.preparation.quality import Finding, new_findings
from pdm_cli.settings.model import PreprocessParams

HOUR_US = 3_600_000_000
START = pd.Timestamp("2015-01-01 06:00")


def stamps(hours: Sequence[float], start: pd.Timestamp = START) -> pd.DatetimeIndex:
    """Return ``start`` plus each of ``hours``, in microseconds."""
    offsets = [round(hour * HOUR_US) for hour in hours]
    return pd.DatetimeIndex(start.to_datetime64() + np.array(offsets, "timedelta64[us]")).as_unit("us")


def machine_telemetry(machine: Any, hours: Sequence[float], **sensors: Sequence[float]) -> pd.DataFrame:
    """Return telemetry of one machine with the given readings."""
    readings = {name: np.array(values, float) for name, values in sensors.items()}
    return pd.DataFrame({"datetime": stamps(hours), "machineID": machine} | readings)[
        ["machineID", "datetime", *sensors]
    ]


def fleet_telemetry(
    machines: Sequence[Any] = (1, 2, 3), rows: int = 60, step_hours: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Return telemetry of volt and rotate without any flaw, sorted by machine, then time."""
    rng = np.random.default_rng(seed)
    hours = (np.arange(rows) * step_hours).tolist()
    return pd.concat(
        [
            machine_telemetry(machine, hours, volt=rng.normal(170, 15, rows), rotate=rng.normal(450, 50, rows))
            for machine in machines
        ],
        ignore_index=True,
    )


def clean(frame: pd.DataFrame, *, step_us: int = HOUR_US, **params: Any) -> tuple[pd.DataFrame, dict[str, Finding]]:
    """Return cleaned telemetry and the findings."""
    findings = new_findings()
    return clean_telemetry(frame, findings, step_us=step_us, params=PreprocessParams(**params)), findings


def refusal(call: Callable[[], object]) -> PdmError | None:
    """Return the error for the user that ``call`` ends in, for claims that allow it to work, too."""
    try:
        call()
    except PdmError as error:
        return error
    return None


def write_parquet(path: Path, content: pd.DataFrame | pa.Table, row_group_size: int | None = None) -> Path:
    """Write a Parquet file as a stranger's program would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = content if isinstance(content, pa.Table) else pa.Table.from_pandas(content, preserve_index=False)
    pq.write_table(table, path, row_group_size=row_group_size)
    return path
