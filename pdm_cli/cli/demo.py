"""``pdm demo``: a simulated fleet through all stages; needs no data."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from pdm_cli.cli.help import DATA_PANEL, OUTPUT_PANEL
from pdm_cli.cli.options import number, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.settings.model import Settings

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
    from pdm_cli.cli.render.results import draw_forecast, draw_metrics, draw_outcomes
    from pdm_cli.pipeline.demo import run_demo
    from pdm_cli.pipeline.ended_alerts import mark_ended_alerts

    folder = Path(out)
    found = run_demo(folder, machines=machines, days=days, seed=fleet_seed, settings=settings, progress=screen)
    summaries = {"predictions": found.forecast, "outcomes": found.outcomes}
    forecast = mark_ended_alerts(folder / "predictions", found.forecast)
    drawn = (draw_metrics(found.metrics), draw_forecast(forecast), draw_outcomes(found.outcomes))
    screen.result(
        {**found.metrics, "out": str(folder / "model"), **summaries},
        lambda: [*chain.from_iterable(drawn), *_list_files(folder)],
    )


def _list_files(folder: Path) -> list[str]:
    """Return one line per output to open next."""
    files = {
        "model/report.html": "model quality",
        "model/leaderboard.csv": "trials of the search",
        "predictions/report.html": "work list with reasons",
        "predictions/worklist.csv": "the same as a table",
        "data": "raw tables, as input for pdm run --data",
    }
    found = {folder / name: text for name, text in files.items() if (folder / name).exists()}
    width = max(len(str(path)) for path in found)
    return ["", "files", *(f"{str(path).ljust(width)}  {text}" for path, text in found.items())]
