"""``pdm fetch-results``: fetch the outputs and logs of a job on Azure ML into a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdm_cli.cli.help import OUTPUT_PANEL, flag
from pdm_cli.cli.options import Out, Overwrite, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import JobCancelled, JobFailed, UsageError
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

Job = Annotated[
    str, typer.Argument(help="Name of the job, as pdm submit prints it.", metavar="JOB", rich_help_panel=None)
]
Only = Annotated[
    list[str] | None,
    typer.Option("--output", help="Only this output; repeatable.", metavar="NAME", rich_help_panel=OUTPUT_PANEL),
]
Wait = Annotated[bool, flag("--wait", text="Wait until the job has finished.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=0,
        help="Seconds to wait before exiting with code 9; the job continues.",
        metavar="SECONDS",
        rich_help_panel=OUTPUT_PANEL,
    ),
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
    """Download the outputs and logs of a finished job, and print its result.

    Files that exist locally are not fetched again; all are verified against the manifest that the job wrote.

    Example: pdm fetch-results pdm-train-20261123-101500-a1b2c3 --out model
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.fetch import fetch_job

    if timeout is not None and not wait:
        raise UsageError("--timeout: has no effect without --wait", hint="add --wait")
    session = connect(settings.azure)
    if wait:
        from pdm_cli.azure.wait import WaitOptions, wait_for

        # fetch_job raises these again after fetching the logs.
        with suppress(JobFailed, JobCancelled):
            wait_for(session, job, screen, WaitOptions(timeout, out=out))
    result = fetch_job(session, job, out, only=output or (), overwrite=overwrite, screen=screen)
    screen.result(result, lambda: _draw(result))


def _draw(result: Mapping[str, Any]) -> list[RenderableType]:
    """Draw the result as the command itself would."""
    from pdm_cli.cli.render.results import draw_summary
    from pdm_cli.pipeline.ended_alerts import mark_ended_alerts
    from pdm_cli.pipeline.stages import STAGES

    command, summary = result["command"], result["summary"]
    if command == "predict":
        # Only a command alone predicts, so its output is the folder itself.
        summary = mark_ended_alerts(Path(result["out"]), summary)
    drawn = draw_summary(STAGES[command], summary) if command else []
    return [*drawn, result["out"]]
