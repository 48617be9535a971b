"""How ``--help`` reads: the example first, whole paragraphs, options in named groups, plain words for their values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from pdm_cli.commands.options import OUTPUT_PANEL

_EXAMPLE = "Example: "
# How Typer shows an argument that must be given.
_NEEDED = re.compile(r"\{(.*)\}(\.\.\.)?")
_VALUES = {bool: "", str: "TEXT", int: "NUMBER", float: "NUMBER"}


class HelpfulCommand(TyperCommand):
    """A command whose options are shown in plain words."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters, ``--help`` among the options for output."""
        parameters = _name_values(super().get_params(ctx))
        parameters[-1].rich_help_panel = OUTPUT_PANEL
        return parameters

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the words of the usage line, arguments without signs around them."""
        return [_NEEDED.sub(r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the help, in which second names stand beside the text: in one column they would be cut off."""
        for option in self.params:
            second = [name for name in option.opts[1:] if name.startswith("--")]
            if isinstance(option, TyperOption) and second:
                option.opts = [name for name in option.opts if name not in second]
                option.help = f"{option.help} Also {', '.join(second)}."
        super().format_help(ctx, formatter)


class HelpfulGroup(TyperGroup):
    """A group of commands; alone, it shows its help."""

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters."""
        return _name_values(super().get_params(ctx))


class HelpfulApp(typer.Typer):
    """Takes the help of its commands from their docstrings, the last paragraph of which is an example."""

    def command(self, name: str | None = None, **extra: Any) -> Callable[[Any], Any]:
        """Return a decorator that registers a command."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            return typer.Typer.command(self, name, cls=HelpfulCommand, **{**_read_help(function), **extra})(function)

        return register


def _read_help(function: Callable[..., None]) -> dict[str, str]:
    """Return the help, the example first, and its one line in the list of commands."""
    paragraphs = [" ".join(text.split()) for text in (inspect.getdoc(function) or "").split("\n\n")]
    examples = [text for text in paragraphs if text.startswith(_EXAMPLE)]
    others = [text for text in paragraphs if text not in examples]
    return {"help": "\n\n".join([*examples, *others]), "short_help": others[0]}


def _name_values(parameters: list[Any]) -> list[Any]:
    """Give options words for their values where they have none, and flags nothing; tell defaults as settings do."""
    for option in parameters:
        if isinstance(option, TyperArgument) and not option.type_descriptor.is_choice:
            # Its name says what it is.
            option.display_type_rich = _say_nothing  # type: ignore[assignment, method-assign]
        if not isinstance(option, TyperOption):
            continue
        if option.metavar is None and not option.is_flag:
            option.metavar = _word(option.type_descriptor.annotation)
        elif option.is_flag:
            option.metavar = ""
        _tell_default(option)
    return parameters


def _tell_default(option: TyperOption) -> None:
    default = option.show_default if isinstance(option.show_default, str) else option.default
    if option.show_default and not (option.is_flag or default is None or default == ""):
        option.help = f"{option.help} (default: {default})"
    option.show_default = False


def _say_nothing(ctx: typer.Context) -> None:
    """Take the place of a type's name."""


def _word(annotation: Any) -> str | None:
    if get_origin(annotation) is list:
        annotation = get_args(annotation)[0]
    return _VALUES.get(annotation)
