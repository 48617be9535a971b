"""Read the prepared tables and anomalies that features are built from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.progress import Progress
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from pdm_cli.features.build import Sources


@dataclass(frozen=True)
class Preparation:
    """Settings of the prepared tables and anomalies, with step and offset of the readings in microseconds."""

    settings: Settings
    step_us: int
    phase_us: int


def read_sources(prepared: Path, anomalies: Path | None, progress: Progress) -> tuple[Sources, Preparation]:
    """Read the tables of output folders of ``preprocess`` and ``detect-anomalies``, and how they were computed.

    Raises
    ------
    DataError
        If a table is missing or damaged, or the anomalies belong to other telemetry.
    NotEnoughData
        If there is no row of features.
    """
    from pdm_cli.features.build import Sources
    from pdm_cli.io import parquet
    from pdm_cli.schema import EVENT_COLUMNS, EVENT_TABLES, FEATURES, MACHINES, TELEMETRY
    from pdm_cli.settings import load
    from pdm_cli.timestamps import US_PER_HOUR

    telemetry_path = parquet.require_file(prepared, TELEMETRY)
    rolling_path = parquet.require_file(prepared, FEATURES)
    metadata = parquet.read_metadata(telemetry_path)
    sections = json.loads(metadata.get("settings", "{}"))
    events = {
        table.name: parquet.read_frame(prepared / table.file).rename(columns={EVENT_COLUMNS[table.name]: "kind"})
        for table in EVENT_TABLES
        if (prepared / table.file).is_file()
    }
    if anomalies is not None:
        found, detect = _read_anomalies(anomalies, prepared, progress)
        if found is not None:
            events["anomalies"] = found
            sections["detect"] = detect
    machines = parquet.read_frame(prepared / MACHINES.file) if (prepared / MACHINES.file).is_file() else None
    rolling, telemetry = parquet.read_frame(rolling_path), parquet.read_frame(telemetry_path)
    if rolling.empty:
        raise NotEnoughData(
            f"{TELEMETRY.file}: no feature rows, because no sensor has a finite reading",
            hint="add readings, or check --sensors and --ranges",
        )
    step_us = parquet.read_step(telemetry_path)
    preparation = Preparation(load.restore(sections, "prepared tables"), step_us, int(metadata.get("phase_us", "0")))
    grid_us = round(preparation.settings.features.grid_hours * US_PER_HOUR)
    return Sources(rolling, telemetry, step_us, grid_us, events, machines), preparation


def _read_anomalies(
    folder: Path, prepared: Path, progress: Progress
) -> tuple[Any, dict[str, Any]] | tuple[None, dict[str, Any]]:
    from pdm_cli.io import manifest, parquet
    from pdm_cli.schema import ANOMALIES, TELEMETRY

    path = parquet.require_file(folder, ANOMALIES)
    recorded = (manifest.read(folder) or {"inputs": {}})["inputs"].get("prepared", {}).get(TELEMETRY.file)
    if recorded is not None and recorded != manifest.hash_file(prepared / TELEMETRY.file):
        raise DataError(
            f"{path}: was computed from different telemetry than {prepared / TELEMETRY.file}",
            hint="run pdm detect-anomalies on these prepared tables",
        )
    metadata = parquet.read_metadata(path)
    if metadata.get("causal") != "true":
        progress.info("anomalies.parquet: not used as features: batch mode uses future readings")
        return None, {}
    found = parquet.read_frame(path).rename(columns={"sensor": "kind"})
    if "by" in found:
        # The same with a model and new data, whichever other machines they have.
        found = found[found["by"] == "machine"].drop(columns="by").reset_index(drop=True)
    return found, json.loads(metadata.get("settings", "{}"))
