"""``pdm demo``: a simulated fleet taken through all stages; needs no data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pdm_cli.commands.options import DATA_PANEL, with_settings
from pdm_cli.errors import NotEnoughData
from pdm_cli.params import ColumnsParams, PreprocessParams, Settings
from pdm_cli.report.screen import Screen

Machines = Annotated[int, typer.Option("--machines", min=24, help="Machines to simulate.", rich_help_panel=DATA_PANEL)]
Days = Annotated[int, typer.Option("--days", min=150, help="Days of telemetry.", rich_help_panel=DATA_PANEL)]
Seed = Annotated[
    int, typer.Option("--fleet-seed", min=0, help="Another seed, another fleet.", rich_help_panel=DATA_PANEL)
]
DemoOut = Annotated[
    str,
    typer.Option("--out", help="Folder for the data and all outputs.", metavar="FOLDER", rich_help_panel=DATA_PANEL),
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
    """Simulate a small fleet, run all stages on it, and show how good the warnings are and what is to be done.

    Example: pdm demo
    """
    from pdm_cli.commands.execution import read_summary
    from pdm_cli.commands.run import run_stage, run_stages
    from pdm_cli.commands.stages import STAGES
    from pdm_cli.report.forecasts import draw_forecast
    from pdm_cli.report.results import draw_metrics

    # The fleet is in the form of the contract: what a config here says of other raw tables is not about it.
    settings = replace(
        settings, columns=ColumnsParams(), preprocess=PreprocessParams(), train=replace(settings.train, fast=True)
    )
    data = Path(out) / "data"
    make_data(data, machines=machines, days=days, seed=fleet_seed, screen=screen)
    try:
        metrics = run_stages(str(data), out, settings=settings, screen=screen)
    except NotEnoughData as error:
        # Few failures fell on this fleet: another one is easier to come by than other settings.
        error.hint = "give more --machines or --days, or another --fleet-seed"
        raise
    model, predictions = (str(Path(out) / name) for name in ("model", "predictions"))
    stage = STAGES["predict"]
    run_stage(stage, {"data": str(data), "model": model}, predictions, settings=settings, screen=screen)
    forecast = read_summary(stage, Path(predictions))
    payload = {**metrics, "out": model, "predictions": forecast}
    screen.result(payload, lambda: [*draw_metrics(metrics), *draw_forecast(forecast), model, predictions])


def make_data(folder: Path, *, machines: int, days: int, seed: int, screen: Screen) -> None:
    """Simulate a fleet into ``folder``, unless the same one is there already.

    Raises
    ------
    UsageError
        If the folder holds files that pdm did not write.
    """
    from pdm_cli import manifest, outputs
    from pdm_cli.commands.simulate import fleet_recipe, simulate_into

    if not manifest.reasons_to_redo(folder, fleet_recipe(machines=machines, days=days, seed=seed)):
        screen.say(f"simulate: unchanged, kept {folder}")
        return
    outputs.check_free(folder, overwrite=True)
    simulate_into(folder, machines=machines, days=days, seed=seed, screen=screen)
