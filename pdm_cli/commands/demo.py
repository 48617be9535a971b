"""``pdm demo``: a simulated fleet taken through all stages; needs no data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdm_cli.commands.options import DATA_PANEL, with_settings
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    from pdm_cli.core.simulate import Fleet

Machines = Annotated[int, typer.Option("--machines", min=10, help="Machines to simulate.", rich_help_panel=DATA_PANEL)]
Days = Annotated[int, typer.Option("--days", min=90, help="Days of telemetry.", rich_help_panel=DATA_PANEL)]
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
    fleet_seed: Seed = 1,
    out: DemoOut = "pdm-demo",
    settings: Settings,
    screen: Screen,
) -> None:
    """Simulate a small fleet, run all stages on it, and show how good the warnings are.

    Example: pdm demo
    """
    from pdm_cli.commands.run import run_stages
    from pdm_cli.core.simulate import simulate_fleet
    from pdm_cli.report.results import draw_metrics

    screen.say(f"demo: simulating {machines} machines for {days} days")
    data = Path(out) / "data"
    write_fleet(simulate_fleet(machines=machines, days=days, seed=fleet_seed), data)
    metrics = run_stages(str(data), out, settings=settings, screen=screen)
    model = str(Path(out) / "model")
    screen.result({**metrics, "out": model}, lambda: [*draw_metrics(metrics), model])


def write_fleet(fleet: Fleet, folder: Path) -> None:
    """Write a fleet as the raw tables of a data folder."""
    from pdm_cli.tables import write_frame

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("telemetry", "errors", "maint", "failures", "machines"):
        write_frame(folder / f"{name}.parquet", getattr(fleet, name))
