"""Usage errors: one line and a hint with the nearest command or option."""

from __future__ import annotations

from difflib import get_close_matches

import typer

from pdm_cli.errors import UsageError

# Commands of the package manager PDM, which installs a ``pdm`` too; those that are also ours are not listed.
_PACKAGE_MANAGER = frozenset(
    (
        *("add", "build", "cache", "export", "fix", "info", "init", "install", "list", "lock", "new", "outdated"),
        *("plugin", "publish", "py", "python", "remove", "search", "self", "show", "sync", "update", "use", "venv"),
    )
)
# Commands of both.
_SHARED = ("pdm run", "pdm config")


def explain_usage(error: typer.TyperException) -> UsageError:
    """Return an error of the parser as a line and a hint."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "pdm"
    option = getattr(error, "option_name", None)
    if option and not hasattr(error, "possibilities"):
        return UsageError(f"{option}: needs a value", hint="unset shell variable?")
    if option:
        return _explain_option(option, path, error)
    shared = _shared_hint(path) if path in _SHARED else ""
    if invalid := _explain_value(error):
        return UsageError(invalid, hint=f"see {path} --help{shared}")
    # The names of choices are on lines of their own.
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    return UsageError(f"{message[:1].lower()}{message[1:].rstrip('.')}", hint=f"see {path} --help{shared}")


def _explain_option(option: str, path: str, error: typer.TyperException) -> UsageError:
    """Return the error for an unknown option, which may belong to the command that follows."""
    message = f"no such option: {option}"
    near = get_close_matches(option, _list_options(error), n=1)
    if path == "pdm":
        near = get_close_matches(option, ("--version", "--help"), n=1, cutoff=0.7)
        if not near and option != "-V":
            return UsageError(f"{option}: put options after the command", hint=f"pdm COMMAND {option}")
        return UsageError(message, hint=f"did you mean pdm {near[0] if near else '--version'}?")
    if path == "pdm submit" and _is_of_a_stage(option):
        return UsageError(f"{option}: put options of the command after it", hint=f"pdm submit … COMMAND {option} …")
    return UsageError(message, hint=f"did you mean {near[0]}?" if near else f"see {path} --help")


def _explain_value(error: typer.TyperException) -> str | None:
    """Return what is wrong with a value that pydantic rejected for Typer; None for other errors."""
    read = getattr(error.__cause__, "errors", None)
    if read is None:
        return None
    from pdm_cli.settings.sources import explain_invalid

    parameter = getattr(error, "param", None)
    name = "" if parameter is None else f"{max(parameter.opts, key=len)}: "
    return f"{name}{explain_invalid(read()[0])}"


def _list_options(error: typer.TyperException) -> list[str]:
    """Return the options of the command, without its hidden ones."""
    context = getattr(error, "ctx", None)
    shown = [] if context is None else [one for one in context.command.params if not getattr(one, "hidden", False)]
    return [name for one in shown for name in one.opts if name.startswith("--")]


def reject_command(path: str, name: str, near: str | None) -> UsageError:
    """Return the error for an unknown command of ``path``, ``near`` being the most similar one."""
    message = f"no such command {name!r}"
    if path == "pdm" and name in _PACKAGE_MANAGER:
        return UsageError(
            f"{message}: this is pdm-cli (predictive maintenance), not the PDM package manager",
            hint=f"use python -m pdm {name} for the package manager (pdm-project.org), and pdm-cli for this program",
        )
    near = "--help" if name == "help" else near
    hint = f"did you mean {path} {near}?" if near else f"see {path} --help"
    return UsageError(message, hint=hint + (_shared_hint(path) if path in _SHARED else ""))


def _shared_hint(path: str) -> str:
    return f"; for the PDM package manager, use python -m {path}"


def _is_of_a_stage(option: str) -> bool:
    from pdm_cli.cli.job_command import list_options

    return option in list_options()
