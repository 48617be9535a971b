"""The demo: a simulated fleet through all stages, and how its work list turned out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pdm_cli.errors import NotEnoughData
from pdm_cli.pipeline.run import check_parent, run_stage, run_stages
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.progress import Progress
from pdm_cli.settings.model import ColumnsParams, PredictParams, PreprocessParams, Settings


@dataclass(frozen=True)
class Demo:
    """Metrics of the model, predictions for the last day, and their outcomes."""

    metrics: dict[str, Any]
    forecast: dict[str, Any]
    outcomes: list[dict[str, Any]]


def run_demo(folder: Path, *, machines: int, days: int, seed: int, settings: Settings, progress: Progress) -> Demo:
    """Simulate a fleet into ``folder/data`` and run all stages on it.

    Raises
    ------
    UsageError
        If the folder has files that pdm did not write.
    """
    check_parent(str(folder))
    # The fleet has the default columns: settings for the user's own raw tables do not apply.
    settings = replace(
        settings, columns=ColumnsParams(), preprocess=PreprocessParams(), train=replace(settings.train, fast=True)
    )
    data = folder / "data"
    _simulate(data, machines=machines, days=days, seed=seed, progress=progress)
    metrics, forecast = _train_and_predict(folder, settings, progress)
    return Demo(metrics, forecast, _match_outcomes(data, forecast))


def _simulate(data: Path, *, machines: int, days: int, seed: int, progress: Progress) -> None:
    """Simulate a fleet, unless the same one exists."""
    from pdm_cli.io import manifest, output_folder
    from pdm_cli.pipeline.simulate import fleet_provenance, simulate_into

    if not manifest.reasons_to_redo(data, fleet_provenance(machines=machines, days=days, seed=seed)):
        progress.info(f"simulate: unchanged, reusing {data}")
        return
    output_folder.check_free(data, overwrite=True, by="simulate")
    simulate_into(data, machines=machines, days=days, seed=seed, progress=progress)


def _train_and_predict(folder: Path, settings: Settings, progress: Progress) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the summaries of ``train`` and ``predict``."""
    from pdm_cli.pipeline.execute import read_summary

    data, model, predictions = (str(folder / name) for name in ("data", "model", "predictions"))
    try:
        metrics = run_stages(data, str(folder), settings=settings, progress=progress)
    except NotEnoughData as error:
        # The fleet has too few failures: another fleet helps more than other settings.
        error.hint = "try more --machines or --days, or another --fleet-seed"
        raise
    # Rows that the model was trained on would look too good.
    since = datetime.fromisoformat(metrics["split"]["test_start"])
    settings, stage = replace(settings, predict=PredictParams(since=since)), STAGES["predict"]
    run_stage(stage, {"data": data, "model": model}, predictions, settings=settings, progress=progress)
    return metrics, read_summary(stage, Path(predictions))


def _match_outcomes(data: Path, forecast: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how the work list turned out in the two days after the last reading."""
    import pandas as pd

    from pdm_cli.io.parquet import read_frame
    from pdm_cli.schema import MACHINE, TRUTH
    from pdm_cli.simulation.outcomes import match_outcomes
    from pdm_cli.text import as_records

    types = {"rank": "int64", MACHINE: "int64", "component": "str", "since": "datetime64[us]"}
    worklist = pd.DataFrame(forecast["worklist"], columns=list(types)).astype(types)
    return as_records(match_outcomes(worklist, read_frame(data / TRUTH.file), end=pd.Timestamp(forecast["end"])))
