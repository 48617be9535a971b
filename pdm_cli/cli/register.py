"""``pdm jobs register``: the model of a finished job as a version of a registered model."""

from __future__ import annotations

from typing import Annotated

import typer

from pdm_cli.cli.options import with_settings
from pdm_cli.cli.panels import OUTPUT_PANEL
from pdm_cli.cli.screen import Screen
from pdm_cli.settings.model import Settings


@with_settings("azure", is_submitting=False)
def register(
    *,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A finished job of train or run.", rich_help_panel=None)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.", rich_help_panel=None)],
    if_better: Annotated[
        str | None,
        typer.Option(
            "--if-better",
            help="Only if better than the newest version by ap, auc, f1 or brier; else exit code 10.",
            metavar="METRIC",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    settings: Settings,
    screen: Screen,
) -> None:
    """Register the model that a job made, with tags of its metrics, data, versions and job.

    The same job is registered once under a name. The first version needs no --if-better to hold.

    Example: pdm jobs register pdm-run-20261123-101500-a1b2c3 pumps --if-better ap
    """
    from pdm_cli.azure.model_tags import check_name, find_metric

    # Before anything is asked of Azure.
    check_name(name)
    if if_better:
        find_metric(if_better)
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.register import register_job

    done = register_job(connect(settings.azure), job, name, if_better=if_better, screen=screen)
    screen.result(done, lambda: [f"{done['model']}:{done['version']}"])
