"""How ``--help`` reads: the example first, whole paragraphs, options in named groups, plain words for their values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, get_args, get_origin

import typer
import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from pdm_cli.cli.panels import OUTPUT_PANEL

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


@dataclass(frozen=True)
class Listed:
    """A command that is imported when it is called.

    Attributes
    ----------
    source : str
        ``module:name`` below :mod:`pdm_cli.cli`, of its function or, for a group of commands, its app.
    line : str
        What the list of commands says of it: the first paragraph of its docstring, or the group's help.
    panel : str
        Group of commands in which it is listed.
    context_settings : dict
        How its words are parsed.
    """

    source: str
    line: str
    panel: str
    context_settings: Mapping[str, Any] = field(default_factory=dict)


class LazyGroup(HelpfulGroup):
    """A group that imports a command when it is called: its own help needs a line a command, and so no import."""

    listed: ClassVar[Mapping[str, Listed]] = {}

    def __init__(self, **extra: Any) -> None:
        super().__init__(**extra)
        for name, one in self.listed.items():
            self.add_command(TyperCommand(name, help=one.line, rich_help_panel=one.panel))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:  # type: ignore[override]
        """Find the command that the words begin with, and import it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and self.load(name), rest

    def load(self, name: str) -> Any:
        """Return a command, or a group of them, with all its options."""
        one = self.listed[name]
        module, _, attribute = one.source.partition(":")
        found = getattr(import_module(f"pdm_cli.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        return make_command(name, found, **one.context_settings)


class HelpfulApp(typer.Typer):
    """Takes the help of its commands from their docstrings, the last paragraph of which is an example."""

    def command(self, name: str | None = None, **extra: Any) -> Callable[[Any], Any]:
        """Return a decorator that registers a command."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            return typer.Typer.command(self, name, cls=HelpfulCommand, **{**_read_help(function), **extra})(function)

        return register


def make_command(name: str, function: Callable[..., None], **context_settings: Any) -> Any:
    """Return a function as a command of its own, with all its options; how its words are parsed can be told."""
    app = HelpfulApp(add_completion=False, rich_markup_mode="rich")
    app.command(name, context_settings=context_settings)(function)
    return typer.main.get_command(app)


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
