"""``pdm simulate``: raw tables of a fleet of any size, with the ground truth, written in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from pdm_cli.cli.help import DATA_PANEL
from pdm_cli.cli.options import Out, Overwrite, number, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.simulate import simulate_into
from pdm_cli.settings.model import Settings
from pdm_cli.simulation.profiles import ProfileName

if TYPE_CHECKING:
    from rich.console import RenderableType


Machines = Annotated[int, number("--machines", min=1, max=10_000_000, text="Machines to simulate.", panel=DATA_PANEL)]
Days = Annotated[int, number("--days", min=1, max=36_500, text="Days of telemetry.", panel=DATA_PANEL)]
Seed = Annotated[int, number("--seed", min=0, text="Random seed of the fleet.", panel=DATA_PANEL)]
Profile = Annotated[
    ProfileName | None,
    typer.Option(
        "--profile",
        help=f"Type of fleet: {', '.join(get_args(ProfileName))}. Without it, signs last two days.",
        metavar="NAME",
        rich_help_panel=DATA_PANEL,
    ),
]


@with_settings()
def simulate(
    *,
    machines: Machines = 100,
    days: Days = 365,
    seed: Seed = 0,
    profile: Profile = None,
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,  # noqa: ARG001 - a simulated fleet has the default columns
    screen: Screen,
) -> None:
    """Simulate a fleet: synthetic raw tables with predictable failures, plus the ground truth (truth.parquet).

    With the same seed, a machine is the same in a fleet of any size. Profiles have load regimes, seasons, irregular
    maintenance, missing readings, and components that fail without any sign.

    Example: pdm simulate --machines 200 --days 365 --seed 1 --out raw
    """
    from pdm_cli.io import output_folder
    from pdm_cli.pipeline.execute import local_folder

    target = local_folder("out", out)
    output_folder.check_free(target, overwrite=overwrite, by="simulate")
    summary = simulate_into(target, machines=machines, days=days, seed=seed, profile=profile, progress=screen)
    screen.result({**summary, "out": out}, lambda: [*_draw(summary), out])
    screen.suggest("pdm", "run", "--data", out, "--out", "work")


def _draw(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw the rows of each table."""
    from pdm_cli.cli.render.tables import make_table

    rows = summary["rows"]
    table = make_table("table", ("rows", "right"))
    for name, count in rows.items():
        table.add_row(f"{name}.parquet", f"{count:,}")
    return [table, f"{summary['no_failure']:,} of {summary['machines']:,} machines had no failure"]
