"""``pdm demo``: a simulated fleet taken through all stages; needs no data."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from pdm_cli.cli.options import DATA_PANEL, OUTPUT_PANEL, number, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import NotEnoughData
from pdm_cli.settings.model import ColumnsParams, PredictParams, PreprocessParams, Settings

Machines = Annotated[int, number("--machines", min=24, text="Machines to simulate.", panel=DATA_PANEL)]
Days = Annotated[int, number("--days", min=150, text="Days of telemetry.", panel=DATA_PANEL)]
Seed = Annotated[int, number("--fleet-seed", min=0, text="Random seed of the fleet.", panel=DATA_PANEL)]
DemoOut = Annotated[
    str,
    typer.Option("--out", help="Folder for the data and all outputs.", metavar="FOLDER", rich_help_panel=OUTPUT_PANEL),
]


@with_settings()
def demo(
    *,
    machines: Machines = 40,
    days: Days = 180,
    fleet_seed: Seed = 2,
    out: DemoOut = "pdm-demo",
    settings: Settings,
    screen: Screen,
) -> None:
    """Simulate a small fleet, run all stages on it, and show the latest work list and how it turned out.

    Example: pdm demo
    """
    from pdm_cli.cli.render.forecast import draw_forecast
    from pdm_cli.cli.render.outcomes import draw_outcomes
    from pdm_cli.cli.render.results import draw_metrics
    from pdm_cli.pipeline.run import check_parent

    check_parent(out)
    folder = Path(out)
    data = folder / "data"
    # The fleet is in the form of the contract: what a config here says of other raw tables is not about it.
    settings = replace(
        settings, columns=ColumnsParams(), preprocess=PreprocessParams(), train=replace(settings.train, fast=True)
    )
    make_data(data, machines=machines, days=days, seed=fleet_seed, screen=screen)
    metrics, forecast = _learn_and_foretell(folder, settings=settings, screen=screen)
    outcomes = _look_up_outcomes(data, forecast)
    payload = {**metrics, "out": str(folder / "model"), "predictions": forecast, "outcomes": outcomes}
    drawn = (draw_metrics(metrics), draw_forecast(forecast), draw_outcomes(outcomes), _list_places(folder))
    screen.result(payload, lambda: [*chain.from_iterable(drawn)])


def _learn_and_foretell(folder: Path, *, settings: Settings, screen: Screen) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run all stages on ``folder/data`` and return the summaries of ``train`` and ``predict``."""
    from pdm_cli.pipeline.run import run_stage, run_stages
    from pdm_cli.pipeline.runner import read_summary
    from pdm_cli.pipeline.stages import STAGES

    data, model, predictions = (str(folder / name) for name in ("data", "model", "predictions"))
    try:
        metrics = run_stages(data, str(folder), settings=settings, progress=screen)
    except NotEnoughData as error:
        # Few failures fell on this fleet: another one is easier to come by than other settings.
        error.hint = "give more --machines or --days, or another --fleet-seed"
        raise
    # What the model has learned from is left out: it would look too good.
    since = datetime.fromisoformat(metrics["split"]["test_start"])
    settings = replace(settings, predict=PredictParams(since=since))
    stage = STAGES["predict"]
    run_stage(stage, {"data": data, "model": model}, predictions, settings=settings, progress=screen)
    return metrics, read_summary(stage, Path(predictions))


def _look_up_outcomes(data: Path, forecast: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what came of the work list in the two days after the last reading."""
    import pandas as pd

    from pdm_cli.io.parquet import read_frame
    from pdm_cli.schema import MACHINE, TRUTH
    from pdm_cli.simulation.outcomes import match_outcomes
    from pdm_cli.text import as_records

    types = {"rank": "int64", MACHINE: "int64", "component": "str", "since": "datetime64[us]"}
    worklist = pd.DataFrame(forecast["worklist"], columns=list(types)).astype(types)
    return as_records(match_outcomes(worklist, read_frame(data / TRUTH.file), end=pd.Timestamp(forecast["end"])))


def _list_places(folder: Path) -> list[str]:
    """Return a line for each thing worth a look."""
    places = {
        "model/report.html": "how good the model is",
        "model/leaderboard.csv": "what was tried",
        "predictions/report.html": "what is to be done",
        "predictions/worklist.csv": "the same, for a spreadsheet",
        "data": "raw tables, in the form that pdm run --data takes",
    }
    there = {folder / name: text for name, text in places.items() if (folder / name).exists()}
    width = max(len(str(place)) for place in there)
    return ["", "look at", *(f"{str(place).ljust(width)}  {text}" for place, text in there.items())]


def make_data(folder: Path, *, machines: int, days: int, seed: int, screen: Screen) -> None:
    """Simulate a fleet into ``folder``, unless the same one is there already.

    Raises
    ------
    UsageError
        If the folder holds files that pdm did not write.
    """
    from pdm_cli.io import manifest, output_folder
    from pdm_cli.pipeline.simulate import fleet_recipe, simulate_into

    if not manifest.reasons_to_redo(folder, fleet_recipe(machines=machines, days=days, seed=seed)):
        screen.info(f"simulate: unchanged, kept {folder}")
        return
    output_folder.check_free(folder, overwrite=True, by="simulate")
    simulate_into(folder, machines=machines, days=days, seed=seed, progress=screen)
