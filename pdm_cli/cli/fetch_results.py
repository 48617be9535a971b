"""``pdm fetch-results``: what a job on Azure ML made, in a folder of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdm_cli.cli.options import Out, Overwrite, with_settings
from pdm_cli.cli.panels import OUTPUT_PANEL
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import JobCancelled, JobFailed, UsageError
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

Job = Annotated[str, typer.Argument(help="The job, as pdm submit names it.", metavar="JOB", rich_help_panel=None)]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--output", help="Only this output; may be given again.", metavar="NAME", rich_help_panel=OUTPUT_PANEL
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job is finished.", rich_help_panel=OUTPUT_PANEL)]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0, help="Longest to wait.", metavar="SECONDS", rich_help_panel=OUTPUT_PANEL),
]


@with_settings("azure", is_submitting=False)
def fetch_results(
    *,
    job: Job,
    out: Out,
    output: Only = None,
    wait: Wait = False,
    timeout: Timeout = None,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Fetch the outputs and the logs of a finished job, and show its result as the command that ran would.

    Files that are here already are not fetched again; all are checked against the manifest that the job wrote.

    Example: pdm fetch-results pdm-train-20261123-101500-a1b2c3 --out model
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.fetch import fetch_job

    if timeout is not None and not wait:
        raise UsageError("--timeout: nothing is waited for", hint="give --wait too")
    session = connect(settings.azure)
    if wait:
        from pdm_cli.azure.wait import wait_for

        # How it ended is told again below, with its logs.
        with suppress(JobFailed, JobCancelled):
            wait_for(session, job, timeout=timeout, screen=screen, out=out)
    result = fetch_job(session, job, out, only=output or (), overwrite=overwrite, screen=screen)
    screen.result(result, lambda: _draw(result))


def _draw(result: Mapping[str, Any]) -> list[RenderableType]:
    """Draw the result as the command that ran would show it."""
    from pdm_cli.cli.render.summary import draw_summary
    from pdm_cli.pipeline.stages import STAGES

    drawn = draw_summary(STAGES[result["command"]], result["summary"]) if result["command"] else []
    return [*drawn, result["out"]]
