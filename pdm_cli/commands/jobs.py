"""``pdm jobs``: the jobs of a workspace listed, shown, read, cancelled and registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pdm_cli.commands import register
from pdm_cli.commands.helping import HelpfulApp, HelpfulGroup
from pdm_cli.commands.options import OUTPUT_PANEL, with_settings
from pdm_cli.errors import RemoteError, UsageError
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    from pdm_cli.remote.states import JobState

Job = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.", rich_help_panel=None)]

app = HelpfulApp(cls=HelpfulGroup, help="Jobs on Azure ML: list, show, logs, cancel, register.")


@app.callback(invoke_without_command=True)
def _jobs(context: typer.Context) -> None:
    """Show the help where no command follows."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(UsageError.exit_code)


@app.command("list")
@with_settings("azure")
def list_jobs(
    *,
    most: Annotated[
        int, typer.Option("--max", help="Most jobs to list.", min=1, max=1000, rich_help_panel=OUTPUT_PANEL)
    ] = 20,
    are_all: Annotated[
        bool, typer.Option("--all", help="Also jobs that pdm did not submit.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """List the latest jobs that pdm submitted.

    Example: pdm jobs list --max 5
    """
    from pdm_cli.remote.aml import status
    from pdm_cli.remote.aml.session import connect
    from pdm_cli.report.jobs import describe_job, draw_jobs

    states = status.list_jobs(connect(settings.azure), most, are_all=are_all)
    payload = {"schema": "pdm.jobs/1", "jobs": [describe_job(state) for state in states]}
    screen.result(payload, lambda: draw_jobs(states))


@app.command("show")
@with_settings("azure")
def show(*, job: Job, settings: Settings, screen: Screen) -> None:
    """Show one job: how it stands, its steps, and where its outputs are.

    Example: pdm jobs show pdm-run-20261123-101500-a1b2c3
    """
    from pdm_cli.remote.aml.session import connect
    from pdm_cli.remote.aml.status import read_state
    from pdm_cli.report.jobs import describe_job, draw_job

    state = read_state(connect(settings.azure), job)
    screen.result({"schema": "pdm.job/1", **describe_job(state)}, lambda: draw_job(state))


@app.command("logs")
@with_settings("azure")
def logs(
    *,
    job: Job,
    step: Annotated[
        str, typer.Option("--step", help="Only this step of a pipeline.", metavar="NAME", rich_help_panel=OUTPUT_PANEL)
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for the end of the job, too.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Print what a job has printed, step by step.

    Example: pdm jobs logs pdm-run-20261123-101500-a1b2c3 --step train
    """
    from pdm_cli.commands.waiting import wait_for
    from pdm_cli.remote.aml.session import connect
    from pdm_cli.remote.aml.status import read_log, read_state
    from pdm_cli.remote.logs import Tail

    session = connect(settings.azure)
    if follow:
        wait_for(session, job, timeout=None, screen=screen)
    state = read_state(session, job)
    runs = _choose(state, step)
    texts = {name: "\n".join(Tail().feed(read_log(session, run, 0), is_last=True)) for name, run in runs.items()}
    lines = [line for name, text in texts.items() for line in ([f"== {name}"] if len(texts) > 1 else []) + [text]]
    screen.result({"schema": "pdm.logs/1", "name": job, "status": state.status, "logs": texts}, lambda: list(lines))


def _choose(state: JobState, step: str) -> dict[str, str]:
    """Return the steps whose log is wanted; one that was reused has printed nothing."""
    runs = state.runs()
    if step and step not in runs:
        raise RemoteError(f"job {state.name}: no step {step!r}", hint=f"it has {', '.join(runs)}")
    reused = {part.name for part in state.steps if part.is_reused}
    return {name: run for name, run in runs.items() if (name == step if step else name not in reused)}


@app.command("cancel")
@with_settings("azure")
def cancel(
    *,
    job: Job,
    settings: Settings,
    screen: Screen,
) -> None:
    """End a job; one that is finished stays as it is.

    Example: pdm jobs cancel pdm-train-20261123-101500-a1b2c3
    """
    from pdm_cli.remote.aml import status
    from pdm_cli.remote.aml.session import connect

    session = connect(settings.azure)
    before = status.read_state(session, job)
    if not before.is_finished:
        status.cancel(session, job)
    after = before if before.is_finished else status.read_state(session, job)
    told = f"{job}: was {before.status} already" if before.is_finished else f"{job}: {after.status}"
    screen.result({"schema": "pdm.cancel/1", "name": job, "status": after.status}, lambda: [told])


app.command("register")(register.register)
