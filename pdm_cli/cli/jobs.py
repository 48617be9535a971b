"""``pdm jobs``: the jobs of a workspace listed, shown, read, cancelled and registered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pdm_cli.azure.retry import insist
from pdm_cli.cli import register
from pdm_cli.cli.help import HelpfulApp, HelpfulGroup
from pdm_cli.cli.options import with_settings
from pdm_cli.cli.panels import OUTPUT_PANEL
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import JobCancelled, JobFailed, PdmError, RemoteError, UsageError
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pdm_cli.azure.client import Session
    from pdm_cli.azure.job_status import JobState

_Result = TypeVar("_Result")

Job = Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.", rich_help_panel=None)]

app = HelpfulApp(cls=HelpfulGroup, help="Jobs on Azure ML: list, show, logs, cancel, register.")


@app.callback(invoke_without_command=True)
def _jobs(context: typer.Context) -> None:
    """Show the help where no command follows."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(UsageError.exit_code)


@app.command("list")
@with_settings("azure", is_submitting=False)
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
    from pdm_cli.azure import jobs
    from pdm_cli.azure.client import connect
    from pdm_cli.cli.render.jobs import describe_job, draw_jobs

    session = connect(settings.azure)
    states = _steady(lambda: jobs.list_jobs(session, most, are_all=are_all), screen)
    states = _with_times(session, states, screen)
    payload = {"schema": "pdm.jobs/1", "jobs": [describe_job(state) for state in states]}
    screen.result(payload, lambda: draw_jobs(states))


@app.command("show")
@with_settings("azure", is_submitting=False)
def show(*, job: Job, settings: Settings, screen: Screen) -> None:
    """Show one job: how it stands, its steps, and where its outputs are.

    Example: pdm jobs show pdm-run-20261123-101500-a1b2c3
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.jobs import read_state
    from pdm_cli.cli.render.jobs import describe_job, draw_job

    session = connect(settings.azure)
    [state] = _with_times(session, [_steady(partial(read_state, session, job), screen)], screen)
    screen.result({"schema": "pdm.job/1", **describe_job(state)}, lambda: draw_job(state))


@app.command("logs")
@with_settings("azure", is_submitting=False)
def logs(
    *,
    job: Job,
    step: Annotated[
        str, typer.Option("--step", help="Only this step of a pipeline.", metavar="NAME", rich_help_panel=OUTPUT_PANEL)
    ] = "",
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Go on until the end of the job, and fail if it does.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Print what a job has printed, step by step.

    Example: pdm jobs logs pdm-run-20261123-101500-a1b2c3 --step train
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.jobs import read_state
    from pdm_cli.azure.wait import wait_for

    session = connect(settings.azure)
    state = _steady(partial(read_state, session, job), screen)
    _check_step(state, step)
    if follow and not screen.as_json:
        wait_for(session, job, timeout=None, screen=screen, tell_line=_print_lines(step, screen))
        return
    if follow:
        state = wait_for(session, job, timeout=None, screen=screen)
    texts = _steady(partial(_read_logs, session, state, step), screen)
    if not any(texts.values()):
        screen.info(f"{job}: {state.status}, nothing printed")
    payload = {"schema": "pdm.logs/1", "name": job, "status": state.status, "logs": texts}
    with_names = bool(state.steps) and not step
    screen.result(payload, lambda: _draw_logs(texts, with_names=with_names))


def _check_step(state: JobState, step: str) -> None:
    names = list(state.runs())
    if step and step not in names:
        raise RemoteError(f"job {state.name}: no step {step!r}", hint=f"it has {', '.join(names)}")


def _read_logs(session: Session, state: JobState, step: str) -> dict[str, str]:
    """Return what each step has printed so far, or the one that is wanted."""
    from pdm_cli.azure.jobs import read_log
    from pdm_cli.azure.log_tail import Tail

    parts = [part for part in state.parts() if (part.name == step if step else part.has_log)]
    return {part.name: "\n".join(Tail().feed(read_log(session, part.job, 0), is_last=True)) for part in parts}


def _draw_logs(texts: dict[str, str], *, with_names: bool) -> list[RenderableType]:
    lines = [line for name, text in texts.items() for line in (f"== {name}" if with_names else "", text)]
    return [line for line in lines if line]


def _print_lines(step: str, screen: Screen) -> Callable[[str, str], None]:
    """Return what prints the lines of all steps, in their name, or of the one that is wanted as they are."""

    def tell(name: str, line: str) -> None:
        if not step or name in (step, ""):
            screen.line(f"{name} | {line}" if name and not step else line)

    return tell


def _with_times(session: Session, states: list[JobState], screen: Screen) -> list[JobState]:
    """Add when the jobs ran, if that can be had."""
    from pdm_cli.azure.jobs import add_history

    try:
        return add_history(session, states) if any(state.started is None for state in states) else states
    except PdmError as error:
        screen.detail(error.message)
        return states


def _steady(call: Callable[[], _Result], screen: Screen) -> _Result:
    return insist(call, warn=screen.warn)


@app.command("cancel")
@with_settings("azure", is_submitting=False)
def cancel(
    *,
    job: Job,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the job has ended.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """End a job; one that is finished stays as it is.

    Example: pdm jobs cancel pdm-train-20261123-101500-a1b2c3
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.jobs import read_state

    session = connect(settings.azure)
    before = _steady(partial(read_state, session, job), screen)
    after = before if before.is_finished else _end(session, job, screen, is_waiting=wait)
    told = f"{job}: was {before.status} already" if before.is_finished else f"{job}: {after.status}"
    screen.result({"schema": "pdm.cancel/1", "name": job, "status": after.status}, lambda: [told])


def _end(session: Session, job: str, screen: Screen, *, is_waiting: bool) -> JobState:
    from pdm_cli.azure import jobs
    from pdm_cli.azure.wait import wait_for

    look = partial(jobs.read_state, session, job)
    try:
        _steady(partial(jobs.cancel, session, job), screen)
    except RemoteError:
        # It may have finished just now.
        if not _steady(look, screen).is_finished:
            raise
    if is_waiting:
        # What it prints, and how it ends, does not matter any more.
        with suppress(JobCancelled, JobFailed):
            wait_for(session, job, timeout=None, screen=screen.merge(Screen(quiet=True)))
    return _steady(look, screen)


app.command("register")(register.register)
