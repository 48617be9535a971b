"""The command line: registers the commands, and turns errors into a line and an exit code."""

from __future__ import annotations

import errno
import functools
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from pdm_cli import __version__
from pdm_cli.cli import completion
from pdm_cli.cli.help import App, GroupHelp, LazyGroup, Listed
from pdm_cli.cli.screen import Screen
from pdm_cli.cli.usage_errors import explain_usage
from pdm_cli.errors import EXIT_INTERRUPTED, DataError, PdmError, TryAgain, UsageError
from pdm_cli.text import hide_signatures

EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 141
EXIT_TERMINATED = 128 + signal.SIGTERM
# Variables that request colours in pipes.
_COLOUR_VARIABLES = ("FORCE_COLOR", "PY_COLORS")
# Errors that may pass: a full disk or quota, a device or file in use.
_TEMPORARY = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.EBUSY)


# One entry per command, in the order of the help.
COMMANDS = {
    "demo": Listed(
        "demo:demo",
        "Simulate a small fleet, run all stages on it, and show the latest work list and how it turned out.",
        "First steps",
    ),
    "import": Listed(
        "import_logs:import_logs", "Convert logs to the raw tables that the other commands read.", "First steps"
    ),
    "simulate": Listed(
        "simulate:simulate",
        "Simulate a fleet: synthetic raw tables with predictable failures, plus the ground truth (truth.parquet).",
        "First steps",
    ),
    "run": Listed(
        "run:run",
        "Run all stages from raw tables to a trained model (without failures: health).",
        "From raw tables to a model",
    ),
    "preprocess": Listed(
        "preprocess:preprocess",
        "Clean raw tables, put telemetry on a regular time grid, and compute rolling features.",
        "From raw tables to a model",
    ),
    "detect-anomalies": Listed(
        "detect_anomalies:detect_anomalies",
        "Detect anomalous readings per machine and sensor with Seasonal Hybrid ESD.",
        "From raw tables to a model",
    ),
    "health": Listed(
        "health:health",
        "Measure the health of machines without a log of failures, and rank those with an alarm.",
        "From raw tables to a model",
    ),
    "train": Listed(
        "train:train",
        "Train a model that predicts component failures, and evaluate it on held-out data.",
        "From raw tables to a model",
    ),
    "predict": Listed(
        "predict:predict",
        "Predict failures from new raw tables: probabilities, alerts, and a ranked work list.",
        "With a model",
    ),
    "explain": Listed(
        "explain:explain",
        "Explain a prediction: top features, their typical values, and the preceding days.",
        "With a model",
    ),
    "evaluate": Listed(
        "evaluate:evaluate",
        "Evaluate a model on raw tables with known failures: other machines, or later data.",
        "With a model",
    ),
    "report": Listed(
        "report:report",
        "Rebuild report.html of data, anomalies, health, a model or predictions (self-contained HTML).",
        "With a model",
    ),
    "submit": Listed(
        "submit:submit",
        "Run a command on Azure Machine Learning with the same options and output files.",
        "Azure Machine Learning",
        # Options after the submitted command are its own.
        {"allow_interspersed_args": False},
    ),
    "fetch-results": Listed(
        "fetch_results:fetch_results",
        "Download the outputs and logs of a finished job, and print its result.",
        "Azure Machine Learning",
    ),
    "jobs": Listed("jobs:app", "Manage Azure ML jobs: list, show, logs, cancel, register.", "Azure Machine Learning"),
    "doctor": Listed(
        "doctor:doctor",
        "Check the installation, the config and, if configured, the Azure ML workspace.",
        "Setup",
    ),
    "config": Listed("config:app", "Show the effective settings.", "Setup"),
    "completion": Listed("completion:completion", "Print a shell completion script.", "Setup"),
}


class InternalError(PdmError):
    """A bug: an error without a message of its own."""

    code = "bug"
    exit_code = 1


class ErrorMappingGroup(LazyGroup):
    """The root command; it exits with the same code in a process and in a test runner."""

    listed = COMMANDS

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002 - the only mode there is
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit with its code."""
        words = list(sys.argv[1:] if args is None else args)
        # Errors in the arguments themselves are reported before options are parsed.
        screen = Screen(as_json="--json" in words, debug="--debug" in words)
        call = functools.partial(super().main, words, prog_name, complete_var, False, windows_expand_args, **extra)
        sys.exit(_exit_code(call, screen))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the sub-command; a closed pipe ends it silently."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise typer.Exit(_forget_stdout()) from error


def _forget_stdout() -> int:
    """Discard what Python flushes at exit, and return the exit code of a broken pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _exit_code(call: Callable[[], Any], screen: Screen) -> int:
    try:
        result = call()
    except SystemExit as error:
        # Rich exits with 1 if the pipe that it prints to is closed.
        if isinstance(error.__context__, BrokenPipeError):
            return _forget_stdout()
        if error.code == EXIT_TERMINATED:
            screen.warn("terminated; existing outputs were not changed")
        raise
    except PdmError as error:
        return _fail(screen, error)
    except typer.TyperException as error:
        return _fail(screen, explain_usage(error))
    except MemoryError as error:
        return _fail(screen, _lack_of_memory(error))
    except PermissionError as error:
        problem = DataError(f"{error.filename}: {error.strerror}", hint="check its permissions")
        return _fail(screen, problem)
    except OSError as error:
        if error.errno not in _TEMPORARY:
            return _fail(screen, _bug(error))
        place = f"{error.filename}: " if error.filename else ""
        return _fail(
            screen,
            TryAgain(f"{place}{error.strerror or error}", hint="free disk space or release the file, then run again"),
        )
    except Exception as error:  # noqa: BLE001 - a bug still ends in one line
        return _fail(screen, _bug(error))
    if result == EXIT_INTERRUPTED:
        screen.warn("interrupted; existing outputs were not changed")
    return result if isinstance(result, int) else 0


app = App(
    name="pdm",
    cls=ErrorMappingGroup,
    help="Predictive maintenance: from machine telemetry and logs to warnings of failures.",
    epilog="Try pdm demo: it needs no data. See pdm COMMAND --help for the options of a command.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"pdm-cli {__version__}")
        raise typer.Exit


@app.callback(help=app.info.help, invoke_without_command=True, add_help_option=False)
def _root(
    ctx: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", metavar="", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
    _help: GroupHelp = False,
) -> None:
    """Print the help if no command follows."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(UsageError.exit_code)


def main() -> None:
    """Run ``pdm``."""
    # Our matrix products are small and run in parallel: threads within each would compete.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Machine names and job logs may contain characters that the terminal cannot encode.
        sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.stdout.isatty() and not any(map(os.environ.get, _COLOUR_VARIABLES)):
        # Typer would treat a pipe as a terminal in GitHub Actions.
        os.environ.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")
    # Raise exceptions, so that partial outputs are removed.
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    completion.prepare_completion()
    try:
        app(prog_name="pdm")
    finally:
        # A last garbage collection before exit would take a tenth of a second.
        gc.freeze()


class _Interrupted(KeyboardInterrupt):
    """Ctrl-C; a plain KeyboardInterrupt that passed through an import's ``exec`` kills Python at exit."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def _terminate(*_: object) -> None:
    sys.exit(EXIT_TERMINATED)


def _fail(screen: Screen, error: PdmError) -> int:
    if screen.debug:
        import traceback

        text = "".join(traceback.format_exception(error))
        sys.stderr.write(hide_signatures(text))
    try:
        screen.fail(error)
    except OSError:
        # stdout is closed; the error is on stderr.
        _forget_stdout()
    return error.exit_code


def _lack_of_memory(error: MemoryError) -> TryAgain:
    message = f"not enough memory: {error}" if str(error) else "not enough memory"
    hint = "reduce --jobs or --threads, process fewer machines at a time, or use a computer with more memory"
    lack = TryAgain(message, hint=hint)
    lack.__cause__ = error
    return lack


def _bug(error: Exception) -> InternalError:
    message = hide_signatures(f"{type(error).__name__}: {error}")
    bug = InternalError(message, hint="this is a bug in pdm: run with --debug and report it")
    bug.__cause__ = error
    return bug
