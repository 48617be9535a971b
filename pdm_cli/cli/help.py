"""Commands that are imported when they are called, with their help taken from their docstrings."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from itertools import takewhile
from typing import Annotated, Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from pdm_cli.cli.usage_errors import reject_command
from pdm_cli.errors import UsageError

# The groups in which --help shows options.
DATA_PANEL = "Data"
ANOMALIES_PANEL = "Anomalies"
MODEL_PANEL = "Model"
AZURE_PANEL = "Azure"
OUTPUT_PANEL = "Output"
ADVANCED_PANEL = "Advanced"

_EXAMPLE = "Example: "
# Brackets that Rich takes as markup.
_TAG = re.compile(r"\[(?=[a-z#/@])")


def escape(text: str) -> str:
    """Return a help text in which brackets, as in ``[import]``, are shown, not read as markup."""
    return _TAG.sub(r"\\\g<0>", text)


def flag(*names: str, text: str, panel: str | None = OUTPUT_PANEL, **extra: Any) -> Any:
    """Return the declaration of a flag; Typer would show ``<bool>`` next to it."""
    return typer.Option(*names, help=escape(text), metavar="", rich_help_panel=panel, **extra)


def _show_help(context: typer.Context, is_asked: bool) -> None:
    """Print the help without the advanced options, whose number it gives."""
    if is_asked and not context.resilient_parsing:
        options: list[Any] = context.command.params
        advanced = [one for one in options if one.rich_help_panel == ADVANCED_PANEL and not one.hidden]
        for one in advanced:
            one.hidden = True
        if advanced:
            context.command.epilog = f"{len(advanced)} advanced options: {context.command_path} --help-all"
        typer.echo(context.get_help())
        raise typer.Exit


def _help_flag(panel: str | None) -> Any:
    return flag("--help", "-h", text="Print help.", panel=panel, is_eager=True, callback=_show_help)


# In place of Typer's own, which knows neither panels nor advanced options.
Help = Annotated[bool, _help_flag(OUTPUT_PANEL)]
GroupHelp = Annotated[bool, _help_flag(None)]


def _accept_help_all(parameters: list[Any]) -> None:
    """Add ``--help-all`` as another ``--help``, not listed, to a command without advanced options: hints name it."""
    shown = next((one for one in parameters if "--help" in one.opts), None)
    if shown is not None and not any("--help-all" in one.opts for one in parameters):
        extra = copy.copy(shown)
        extra.opts, extra.hidden = ["--help-all"], True
        parameters.append(extra)


class Command(TyperCommand):
    """A command whose usage line shows arguments as ``JOB``; Typer writes ``{JOB}``."""

    def __init__(self, name: str | None, **extra: Any) -> None:
        super().__init__(name, **extra)
        _accept_help_all(self.params)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Reject an option of several values that is followed by fewer."""
        for option in (one for one in self.params if one.nargs > 1):
            for place in (place for place, word in enumerate(args) if word in option.opts):
                values = list(takewhile(lambda word: not word.startswith("--"), args[place + 1 :]))
                if len(values) < option.nargs:
                    needed = f"needs {option.nargs} values: {option.metavar}"
                    raise UsageError(f"{args[place]}: {needed}", hint=f"see {ctx.command_path} --help")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the words of the usage line."""
        return [piece.translate({ord("{"): None, ord("}"): None}) for piece in super().collect_usage_pieces(ctx)]


class CommandGroup(TyperGroup):
    """A group of commands that suggests the nearest one for an unknown name."""

    def __init__(self, **extra: Any) -> None:
        super().__init__(**extra)
        _accept_help_all(self.params)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:  # type: ignore[override]
        """Return the command that the arguments begin with, and the rest of them."""
        name = args[0]
        # Typer itself reports options in front of the command.
        if name not in self.commands and not name.startswith("-"):
            near = get_close_matches(name, self.commands, n=1)
            raise reject_command(ctx.command_path, name, near[0] if near else None)
        return super().resolve_command(ctx, args)


@dataclass(frozen=True)
class Listed:
    """A command that is imported when it is called.

    Attributes
    ----------
    source : str
        ``module:name`` below :mod:`pdm_cli.cli`, of its function or, for a group of commands, its app.
    line : str
        Its line in the list of commands: the first paragraph of its docstring, or the group's help.
    panel : str
        Group of commands in which it is listed.
    context_settings : dict
        How its arguments are parsed.
    """

    source: str
    line: str
    panel: str
    context_settings: Mapping[str, Any] = field(default_factory=dict)


class LazyGroup(CommandGroup):
    """A group that imports a command only when it is called; its own help needs only a line per command."""

    listed: ClassVar[Mapping[str, Listed]] = {}

    def __init__(self, **extra: Any) -> None:
        super().__init__(**extra)
        for name, one in self.listed.items():
            self.add_command(TyperCommand(name, help=one.line, rich_help_panel=one.panel))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:  # type: ignore[override]
        """Import the command that the arguments begin with."""
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


class App(typer.Typer):
    """Shows the example of a command's docstring, its last paragraph, first."""

    def command(self, name: str | None = None, **extra: Any) -> Callable[[Any], Any]:
        """Return a decorator that registers a command."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            has_help = "_help" in inspect.signature(function).parameters
            about = {**_read_help(function), "add_help_option": not has_help, **extra}
            return typer.Typer.command(self, name, cls=Command, **about)(function)

        return register


def make_command(name: str, function: Callable[..., None], **context_settings: Any) -> Any:
    """Return a function as a command of its own, with all its options."""
    app = App(add_completion=False, rich_markup_mode="rich")
    app.command(name, context_settings=context_settings)(function)
    return typer.main.get_command(app)


def _read_help(function: Callable[..., None]) -> dict[str, str]:
    """Return the help, example first, and the line for the list of commands."""
    paragraphs = [" ".join(text.split()) for text in (inspect.getdoc(function) or "").split("\n\n")]
    examples = [text for text in paragraphs if text.startswith(_EXAMPLE)]
    others = [text for text in paragraphs if text not in examples]
    return {"help": "\n\n".join([*examples, *others]), "short_help": others[0]}
