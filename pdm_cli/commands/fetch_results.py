"""``pdm fetch-results``: what a job on Azure ML made, in a folder of this machine."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from pdm_cli.commands.options import Out, Overwrite, with_settings
from pdm_cli.commands.panels import OUTPUT_PANEL
from pdm_cli.errors import JobCancelled, JobFailed, UsageError
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

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
    from pdm_cli.commands.fetching import draw_fetched, fetch_job
    from pdm_cli.remote.aml.session import connect

    if timeout is not None and not wait:
        raise UsageError("--timeout: nothing is waited for", hint="give --wait too")
    session = connect(settings.azure)
    if wait:
        from pdm_cli.commands.waiting import wait_for

        # How it ended is told again below, with its logs.
        with suppress(JobFailed, JobCancelled):
            wait_for(session, job, timeout=timeout, screen=screen, out=out)
    result = fetch_job(session, job, out, only=output or (), overwrite=overwrite, screen=screen)
    screen.result(result, lambda: draw_fetched(result))
