"""``pdm jobs``: list, show, logs, cancel and register jobs of a workspace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pdm_cli.azure.client import retry
from pdm_cli.cli.help import OUTPUT_PANEL, App, CommandGroup, GroupHelp, flag
from pdm_cli.cli.options import number, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import JobCancelled, JobFailed, PdmError, RemoteError, UsageError
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pdm_cli.azure.client import Session
    from pdm_cli.azure.jobs import JobState

_Result = TypeVar("_Result")


def _option(name: str, text: str, **extra: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=OUTPUT_PANEL, **extra)


def _argument(name: str, text: str) -> Any:
    return typer.Argument(metavar=name, help=text, rich_help_panel=None)


Job = Annotated[str, _argument("JOB", "Name of the job.")]

app = App(cls=CommandGroup, help="Manage Azure ML jobs: list, show, logs, cancel, register.")


@app.callback(invoke_without_command=True, add_help_option=False)
def _jobs(context: typer.Context, _help: GroupHelp = False) -> None:
    """Print the help if there is no command."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(UsageError.exit_code)


@app.command("list")
@with_settings("azure", is_submitting=False)
def list_jobs(
    *,
    limit: Annotated[int, number("--max", text="Maximum number of jobs.", min=1, max=1000)] = 20,
    include_all: Annotated[bool, flag("--all", text="Include jobs that pdm did not submit.")] = False,
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
    states = _retry(lambda: jobs.list_jobs(session, limit, include_all=include_all), screen)
    states = _add_times(session, states, screen)
    payload = {"schema": "pdm.jobs/1", "jobs": [describe_job(state) for state in states]}
    screen.result(payload, lambda: draw_jobs(states))


@app.command("show")
@with_settings("azure", is_submitting=False)
def show(*, job: Job, settings: Settings, screen: Screen) -> None:
    """Show the status, steps and outputs of a job.

    Example: pdm jobs show pdm-run-20261123-101500-a1b2c3
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.jobs import read_state
    from pdm_cli.cli.render.jobs import describe_job, draw_job

    session = connect(settings.azure)
    [state] = _add_times(session, [_retry(partial(read_state, session, job), screen)], screen)
    screen.result({"schema": "pdm.job/1", **describe_job(state)}, lambda: draw_job(state))


@app.command("logs")
@with_settings("azure", is_submitting=False)
def logs(
    *,
    job: Job,
    step: Annotated[str, _option("--step", "Only this step of a pipeline.", metavar="NAME")] = "",
    follow: Annotated[
        bool, flag("--follow", text="Follow the job to its end; the exit code reports its result.")
    ] = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Print the log of a job, step by step.

    Example: pdm jobs logs pdm-run-20261123-101500-a1b2c3 --step train
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.jobs import read_state
    from pdm_cli.azure.wait import WaitOptions, wait_for

    session = connect(settings.azure)
    state = _retry(partial(read_state, session, job), screen)
    _check_step(state, step)
    if follow and not screen.as_json:
        wait_for(session, job, screen, WaitOptions(on_line=_print_lines(step, screen)))
        return
    if follow:
        state = wait_for(session, job, screen)
    texts = _retry(partial(_read_logs, session, state, step), screen)
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
    """Return the logs of all steps so far, or of the selected one."""
    from pdm_cli.azure.jobs import read_log
    from pdm_cli.azure.wait import LogTail

    parts = [part for part in state.parts() if (part.name == step if step else part.has_log)]
    return {part.name: "\n".join(LogTail().feed(read_log(session, part.job, 0), is_last=True)) for part in parts}


def _draw_logs(texts: dict[str, str], *, with_names: bool) -> list[RenderableType]:
    lines = [line for name, text in texts.items() for line in (f"== {name}" if with_names else "", text)]
    return [line for line in lines if line]


def _print_lines(step: str, screen: Screen) -> Callable[[str, str], None]:
    """Return a function that prints log lines: all with the names of their steps, or only those of the selected one."""

    def print_line(name: str, line: str) -> None:
        if not step or name in (step, ""):
            screen.line(f"{name} | {line}" if name and not step else line)

    return print_line


def _add_times(session: Session, states: list[JobState], screen: Screen) -> list[JobState]:
    """Add start and end times, if the run history is available."""
    from pdm_cli.azure.jobs import add_history

    try:
        return add_history(session, states) if any(state.started is None for state in states) else states
    except PdmError as error:
        screen.detail(error.message)
        return states


def _retry(call: Callable[[], _Result], screen: Screen) -> _Result:
    return retry(call, warn=screen.warn)


@app.command("cancel")
@with_settings("azure", is_submitting=False)
def cancel(
    *,
    job: Job,
    wait: Annotated[bool, flag("--wait", text="Wait until the job has ended.")] = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Cancel a job; a finished job is not changed.

    Example: pdm jobs cancel pdm-train-20261123-101500-a1b2c3
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.jobs import read_state

    session = connect(settings.azure)
    before = _retry(partial(read_state, session, job), screen)
    after = before if before.is_finished else _cancel(session, job, screen, is_waiting=wait)
    line = f"{job}: {after.status}{' already' if before.is_finished else ''}"
    screen.result({"schema": "pdm.cancel/1", "name": job, "status": after.status}, lambda: [line])


def _cancel(session: Session, job: str, screen: Screen, *, is_waiting: bool) -> JobState:
    from pdm_cli.azure import jobs
    from pdm_cli.azure.wait import wait_for

    read_state = partial(jobs.read_state, session, job)
    try:
        _retry(partial(jobs.cancel, session, job), screen)
    except RemoteError:
        # It may have finished meanwhile.
        if not _retry(read_state, screen).is_finished:
            raise
    if is_waiting:
        # Its log and result are no longer of interest.
        with suppress(JobCancelled, JobFailed):
            wait_for(session, job, screen.merge(Screen(quiet=True)))
    return _retry(read_state, screen)


@app.command("register")
@with_settings("azure", is_submitting=False)
def register(
    *,
    job: Annotated[str, _argument("JOB", "A finished job of train or run.")],
    name: Annotated[str, _argument("NAME", "Name of the model.")],
    if_better: Annotated[
        str | None,
        _option(
            "--if-better",
            "Only if better than the newest version by ap, auc, f1 or brier; else exit code 10.",
            metavar="METRIC",
        ),
    ] = None,
    settings: Settings,
    screen: Screen,
) -> None:
    """Register the model of a job, tagged with its metrics, data, versions and job.

    A job is registered once under a name. The first version is registered regardless of --if-better.

    Example: pdm jobs register pdm-run-20261123-101500-a1b2c3 pumps --if-better ap
    """
    from pdm_cli.azure.client import connect
    from pdm_cli.azure.models import check_model_name, find_metric, register_job

    # Before connecting to Azure.
    check_model_name(name)
    if if_better:
        find_metric(if_better)
    result = register_job(connect(settings.azure), job, name, if_better=if_better, screen=screen)
    screen.result(result, lambda: [f"{result['model']}:{result['version']}"])
