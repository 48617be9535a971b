"""Words that are no command or option here: what was meant, or whose they are."""

from __future__ import annotations

import re

import typer

from pdm_cli.errors import UsageError

# Commands of the package manager PDM, which installs a ``pdm``, too; those that are ours as well do what ours do.
_PACKAGE_MANAGER = re.compile(
    "add|build|cache|export|fix|info|init|install|list|lock|new|outdated|plugin|publish|py|python|remove|search|self|"
    "show|sync|update|use|venv"
)
# Commands of both.
_SHARED = ("pdm run", "pdm config")
# Words that begin like these may be meant for pdm itself.
_OPTIONS_OF_ROOT = ("--vers", "--h", "-h")
_NO_VALUE = re.compile(r"Option '(.+?)' requires an argument\.?")
# Typer tells only in words which commands are near.
_NO_COMMAND = re.compile(r"No such command '(.*?)'(?:\. Did you mean '(.*?)'.*)?\.?")


def explain_usage(error: typer.TyperException) -> UsageError:
    """Turn what Typer says of a command line into a line and a hint with the right word, where one is near.

    Parameters
    ----------
    error : TyperException
        Raised by the parser.
    """
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "pdm"
    command = _NO_COMMAND.fullmatch(error.message)
    if command and path == "pdm" and _PACKAGE_MANAGER.fullmatch(command[1]):
        return _package_manager(command[1])
    option = getattr(error, "option_name", None)
    if bare := _NO_VALUE.fullmatch(error.message):
        return UsageError(f"{bare[1]}: needs a value", hint="is a variable of your script not set?")
    if option and path == "pdm" and (meant := _find_of_root(option)):
        return UsageError(f"no such option: {option}", hint=f"did you mean pdm {meant}?")
    if option and path == "pdm" and not option.startswith(_OPTIONS_OF_ROOT):
        # pdm by itself has hardly any: it is meant for the command.
        return UsageError(f"{option} stands before the command", hint=f"pdm COMMAND {option}")
    if option and path == "pdm submit" and _is_of_a_stage(option):
        return UsageError(f"{option}: options of the command stand behind it", hint=f"pdm submit … COMMAND {option} …")
    near = getattr(error, "possibilities", None)
    if command:
        right = "--help" if command[1] == "help" else command[2]
        message, right = f"no such command {command[1]!r}", right and f"{path} {right}"
    else:
        message = error.message if near else error.format_message()
        message, right = message[:1].lower() + message[1:].rstrip("."), near and near[0]
    # Choices stand on lines of their own.
    message = " ".join(message.split())
    message = message.replace("Value error, ", "").replace("Input should be", "should be") + _tell_given(error)
    hint = f"did you mean {right}?" if right else f"{path} --help shows what it takes"
    if path == "pdm run" and "'--threshold'" in message:
        hint = "here --threshold is of the anomalies; how alerts are chosen is said by --alert-rule"
    if path in _SHARED and (command or message.startswith("missing")):
        hint += f"; the package manager PDM is python -m {path} (this program is also called pdm-cli)"
    return UsageError(message, hint=hint)


def _find_of_root(option: str) -> str | None:
    """Return the option of ``pdm`` itself that is meant, if one is."""
    from difflib import get_close_matches

    near = get_close_matches(option, ("--version", "--help"), n=1, cutoff=0.7)
    return "--version" if option == "-V" else near[0] if near else None


def _is_of_a_stage(option: str) -> bool:
    from pdm_cli.cli.job_command import list_options

    return option in list_options()


def _tell_given(error: typer.TyperException) -> str:
    """Return the value that could not be read, as the validation under the parser knows it."""
    read = getattr(error.__cause__, "errors", None)
    given = repr(read()[0]["input"]) if read else ""
    return f", got {given}" if given and given not in str(error) else ""


def _package_manager(word: str) -> UsageError:
    return UsageError(
        f"no such command {word!r}: this pdm is pdm-cli, which foretells failures of machines",
        hint=f"the package manager PDM is python -m pdm {word} (pdm-project.org); this program is also called pdm-cli",
    )
