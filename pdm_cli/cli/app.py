"""The command line: registers the commands, and is the one place that turns errors into a line and an exit code."""

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
from pdm_cli.cli.help import HelpfulApp, LazyGroup, Listed
from pdm_cli.cli.screen import Screen
from pdm_cli.cli.usage_errors import explain_usage
from pdm_cli.errors import EXIT_INTERRUPTED, DataError, PdmError, TryAgain, UsageError
from pdm_cli.text import hide_signatures

EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 141
EXIT_TERMINATED = 128 + signal.SIGTERM
# Variables by which users ask for colours in pipes.
_COLOUR_WANTED = ("FORCE_COLOR", "PY_COLORS")
# What another moment may mend: a full disk or quota, a device or file in use.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.EBUSY)


# One entry a command, in the order of help.
COMMANDS = {
    "demo": Listed(
        "demo:demo",
        "Simulate a small fleet, run all stages on it, show what is to be done on the last day, and what then "
        "happened.",
        "First steps",
    ),
    "import": Listed(
        "import_csv:import_csv", "Convert CSV logs to the raw tables that the other commands read.", "First steps"
    ),
    "simulate": Listed(
        "simulate:simulate",
        "Simulate a fleet: raw tables whose failures announce themselves, and truth.parquet, which tells how.",
        "First steps",
    ),
    "run": Listed("run:run", "Take raw tables through all stages to a trained model.", "From raw tables to a model"),
    "preprocess": Listed(
        "preprocess:preprocess",
        "Clean raw tables, put telemetry on a regular grid, and compute rolling features.",
        "From raw tables to a model",
    ),
    "detect-anomalies": Listed(
        "detect_anomalies:detect_anomalies",
        "Find anomalous readings of every machine and sensor with Seasonal Hybrid ESD.",
        "From raw tables to a model",
    ),
    "train": Listed(
        "train:train",
        "Train a model that tells which component fails within the horizon, and test it on what it has not seen.",
        "From raw tables to a model",
    ),
    "predict": Listed(
        "predict:predict",
        "Foretell failures from new raw tables: probabilities, alerts, and a work list ranked by probability.",
        "With a model",
    ),
    "explain": Listed(
        "explain:explain",
        "Tell which features drove the probability of a failure, beside their usual values and the days before.",
        "With a model",
    ),
    "evaluate": Listed(
        "evaluate:evaluate",
        "Score a model on raw tables with known failures: other machines, or later time.",
        "With a model",
    ),
    "report": Listed(
        "report:report",
        "Make report.html of a model or of predictions anew: one file, for any browser, without a network.",
        "With a model",
    ),
    "submit": Listed(
        "submit:submit",
        "Run a command on Azure Machine Learning: the same options, the same files.",
        "Azure Machine Learning",
        # Options of the job stand before the command that is submitted, and that one's own after it.
        {"allow_interspersed_args": False},
    ),
    "fetch-results": Listed(
        "fetch_results:fetch_results",
        "Fetch the outputs and the logs of a finished job, and show its result as the command that ran would.",
        "Azure Machine Learning",
    ),
    "jobs": Listed("jobs:app", "Jobs on Azure ML: list, show, logs, cancel, register.", "Azure Machine Learning"),
    "doctor": Listed(
        "doctor:doctor",
        "Check the installation, the config, and the workspace of Azure ML if one is set: what is found, and the way "
        "out.",
        "This program",
    ),
    "config": Listed("config:app", "The settings that hold here: show.", "This program"),
    "completion": Listed(
        "completion:completion", "Print the script that lets a shell complete commands and options.", "This program"
    ),
}


class InternalError(PdmError):
    """A bug: something that no message was written for."""

    code = "bug"
    exit_code = 1


class ErrorMappingGroup(LazyGroup):
    """The root command; gives the same exit codes in a process and under a test runner."""

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
        """Run the command line and leave with its exit code."""
        words = list(sys.argv[1:] if args is None else args)
        # Wanted also where the words themselves are wrong and no option has been parsed.
        screen = Screen(as_json="--json" in words, debug="--debug" in words)
        call = functools.partial(super().main, words, prog_name, complete_var, False, windows_expand_args, **extra)
        sys.exit(_exit_code(call, screen))

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the sub-command; a reader of the output that goes away ends it without a word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise typer.Exit(_forget_stdout()) from error


def _forget_stdout() -> int:
    """Let what Python flushes at exit go nowhere, and return the code of a broken pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _exit_code(call: Callable[[], Any], screen: Screen) -> int:
    try:
        result = call()
    except SystemExit as error:
        # Rich ends the process by itself, with 1, if the reader of what it prints has gone.
        if isinstance(error.__context__, BrokenPipeError):
            return _forget_stdout()
        if error.code == EXIT_TERMINATED:
            screen.warn("terminated; unfinished outputs are as they were")
        raise
    except PdmError as error:
        return _fail(screen, error)
    except typer.TyperException as error:
        return _fail(screen, explain_usage(error))
    except MemoryError as error:
        return _fail(screen, _lack_of_memory(error))
    except PermissionError as error:
        problem = DataError(f"{error.filename}: {error.strerror}", hint="check who may read and write it")
        return _fail(screen, problem)
    except OSError as error:
        if error.errno not in _PASSING:
            return _fail(screen, _bug(error))
        place = f"{error.filename}: " if error.filename else ""
        return _fail(screen, TryAgain(f"{place}{error.strerror or error}", hint="make room or access, and run again"))
    except Exception as error:  # noqa: BLE001 - the last resort: a bug still ends in one line
        return _fail(screen, _bug(error))
    if result == EXIT_INTERRUPTED:
        screen.warn("interrupted; unfinished outputs are as they were")
    return result if isinstance(result, int) else 0


app = HelpfulApp(
    name="pdm",
    cls=ErrorMappingGroup,
    help="Predictive maintenance: from machine telemetry and logs to warnings of failures.",
    epilog="pdm demo needs no data and shows everything. pdm COMMAND --help tells about one command.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pdm-cli {__version__}")
        raise typer.Exit


@app.callback(help=app.info.help, invoke_without_command=True)
def _root(
    ctx: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Show the help where no command follows."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(UsageError.exit_code)


def main() -> None:
    """Run ``pdm``."""
    # Our matrix products are small and run side by side: threads inside each of them only get in one another's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of machines, and logs of jobs, may hold letters that the terminal has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    if not sys.stdout.isatty() and not any(map(os.environ.get, _COLOUR_WANTED)):
        # Typer takes a pipe for a terminal in jobs of GitHub, unless told otherwise.
        os.environ.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")
    # As exceptions, so that half-written outputs are cleared away.
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    completion.prepare_completion()
    try:
        app(prog_name="pdm")
    finally:
        # The process ends: one more search of all that the libraries made for rubbish takes a tenth of a second.
        gc.freeze()


class _Interrupted(KeyboardInterrupt):
    """Ctrl-C. Python kills itself at exit if a plain one has passed through an ``exec``, as imports have many."""


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
        # The place for the result takes nothing any more; the lines of the error stand on stderr.
        _forget_stdout()
    return error.exit_code


def _lack_of_memory(error: MemoryError) -> TryAgain:
    told = f"not enough memory: {error}" if str(error) else "not enough memory"
    hint = "give fewer --jobs or --threads, fewer machines at once, or run on a machine with more memory"
    lack = TryAgain(told, hint=hint)
    lack.__cause__ = error
    return lack


def _bug(error: Exception) -> InternalError:
    told = hide_signatures(f"{type(error).__name__}: {error}")
    bug = InternalError(told, hint="a bug in pdm: run with --debug and report it")
    bug.__cause__ = error
    return bug
