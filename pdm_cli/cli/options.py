"""Options that commands share: one per setting, generated from the settings, and those for output and help."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, fields
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from pdm_cli.cli.help import (
    ADVANCED_PANEL,
    ANOMALIES_PANEL,
    AZURE_PANEL,
    DATA_PANEL,
    MODEL_PANEL,
    OUTPUT_PANEL,
    Help,
    escape,
    flag,
)
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import ConfigError, UsageError
from pdm_cli.settings.field import default_of, key_of, option_name, quote_choice
from pdm_cli.settings.load import section_fields, section_of
from pdm_cli.settings.model import SECTIONS, takes_durations, types_of

_PANELS = {
    **dict.fromkeys(("columns", "preprocess", "features"), DATA_PANEL),
    **dict.fromkeys(("labels", "train", "costs"), MODEL_PANEL),
    **dict.fromkeys(("predict", "alerts", "evaluate"), OUTPUT_PANEL),
    "import_": DATA_PANEL,
    **dict.fromkeys(("detect", "health"), ANOMALIES_PANEL),
    "azure": AZURE_PANEL,
}
# Longer defaults would make the help unreadable.
_LONGEST_DEFAULT = 40
# An option with two values.
_PAIR = tuple[str, str]
# The rest of the message about two options that exclude each other.
_CONFLICT = re.compile(r" and (--[a-z-]+) cannot be combined")
_BOUND_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def number(name: str, *, text: str, panel: str = OUTPUT_PANEL, **bounds: float) -> Any:
    """Return the declaration of an option for a number."""
    return typer.Option(name, help=text, metavar="NUMBER", rich_help_panel=panel, **bounds)  # type: ignore[arg-type]


Out = Annotated[str, typer.Option("--out", help="Output folder.", metavar="FOLDER", rich_help_panel=OUTPUT_PANEL)]
Overwrite = Annotated[bool, flag("--overwrite", text="Replace existing pdm output.")]


def input_port(name: str, text: str) -> Any:
    """Return the declaration of an input port: a string, because ``Path`` would break cloud addresses."""
    return typer.Option(f"--{name}", help=text, metavar="FOLDER", rich_help_panel=DATA_PANEL)


def with_settings(
    *sections: str, is_bound: bool = True, is_submitting: bool = True, has_model: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting of ``sections``, and the options for config, output and help.

    The command itself takes ``settings`` and ``screen`` by keyword instead; or, if not ``is_bound``, the values of
    those options, to pass them to :func:`bind` itself. If not ``is_submitting``, settings that only commands that
    submit jobs need are left out. A command that ``has_model`` takes the model's settings where none are given.
    """
    items = [
        (section, item)
        for section in sections
        for item in section_fields(section)
        if is_submitting or not item.metadata["for_submitting"]
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(_help: bool = False, _help_all: bool = False, **values: Any) -> None:
            if not is_bound:
                command(**values)
                return
            bound, origins = bind_with_origins(sections, values)
            with naming_origins(origins):
                command(**bound)

        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [p for p in own if p.name not in ("settings", "screen") and p.kind is not p.VAR_KEYWORD]
        first = [p for p in kept if get_args(p.annotation)[-1].rich_help_panel != OUTPUT_PANEL]
        last = [p for p in kept if p not in first]
        options = [(item, _setting_option(section, item, has_model=has_model)) for section, item in items]
        everyday = [option for item, option in options if not item.metadata["advanced"]]
        advanced = [option for item, option in options if item.metadata["advanced"]]
        parameters = [
            *first,
            *everyday,
            *last,
            *_common_options(),
            *_help_options(items, has_model),
            *advanced,
            *_former(items),
        ]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate


def bind(sections: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command, ``settings`` and ``screen`` among them, from its parsed options.

    Parameters
    ----------
    sections : sequence of str
        Sections of settings that the command has options for.
    values : mapping
        Parameter to value.
    """
    return bind_with_origins(sections, values)[0]


def bind_with_origins(sections: Sequence[str], values: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return the result of :func:`bind` and the origin of each setting, for :func:`naming_origins`."""
    from pdm_cli.settings.load import resolve

    options = pick_settings(sections, values)
    names = {name for _, item in _items(sections) for name in (item.name, *item.metadata["old_names"])}
    names |= {"_help", "_help_all"}
    rest = {name: value for name, value in values.items() if name not in names}
    screen = Screen(**{item.name: rest.pop(item.name) for item in fields(Screen)})
    resolved = resolve(options, config=rest.pop("config"))
    return {**rest, "settings": resolved.settings, "screen": screen}, resolved.origins


def pick_settings(sections: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were given by their current names, as :func:`pdm_cli.settings.load.resolve` takes them.

    Options that may be repeated become one string.
    """
    from pdm_cli.settings.load import use_current_names

    items = {name: item for _, item in _items(sections) for name in (item.name, *item.metadata["old_names"])}
    given = {name: found for name, item in items.items() if (found := _given(item, values.get(name))) is not None}
    return use_current_names(given, sections)


def _items(sections: Sequence[str]) -> list[tuple[str, Field[Any]]]:
    return [(section, item) for section in sections for item in section_fields(section)]


def _given(item: Field[Any], value: Any) -> Any:
    """Return the value of an option as the settings take it; None if it was not given."""
    if not isinstance(value, (list, tuple)):
        return value
    if not value:
        return None
    return list(value) if item.metadata["reader"] or isinstance(value, tuple) else ",".join(value)


@contextmanager
def naming_origins(origins: Mapping[str, str]) -> Iterator[None]:
    """Turn errors about an option into ones about the config file or the environment, if these gave the value.

    An error that also mentions an option that was given stays: the two conflict, and the option is the first to change.

    Parameters
    ----------
    origins : mapping
        Setting to origin.
    """
    try:
        yield
    except UsageError as error:
        named = {option_name(key): key for key in origins}
        found = re.match(r"--[a-z-]+", error.message)
        mentioned = re.findall(r"--[a-z-]+", f"{error.message} {error.hint or ''}")
        given = {name for name in mentioned if origins.get(named.get(name, "")) == "option"}
        key = named.get(found[0]) if found else None
        if found is None or key is None or given or origins[key] == "default":
            raise
        message, hint = error.message[found.end() :], error.hint
        if conflict := _CONFLICT.fullmatch(message):
            message, hint = _explain_conflict(named[conflict[1]], key, origins, hint or "")
        raise ConfigError(f"{_place_of(key, origins)}{message}", hint=hint, **error.details) from error


def _place_of(key: str, origins: Mapping[str, str]) -> str:
    """Return the variable, or the file and the key, that gave a setting."""
    origin = origins[key]
    home = key_of(section_of(key_of(key)) or "")
    return origin if origin.startswith("environment") else f"{origin}: [{home}] {key_of(key)}"


def _explain_conflict(other: str, key: str, origins: Mapping[str, str], hint: str) -> tuple[str, str]:
    """Return the rest of the message, and the hint, for two settings of which neither is an option."""
    shown = key_of(other) if origins[other] == origins[key] else _place_of(other, origins)
    dropped = next((name for name in (key, other) if hint == f"drop {option_name(name)}"), None)
    removed = key_of(dropped) if dropped else f"{key_of(key)} or {key_of(other)}"
    return f" and {shown} cannot be combined", f"remove {removed}"


def _common_options() -> list[inspect.Parameter]:
    config = typer.Option(
        "--config",
        help=f"Config file. {_dim('default: pdm-cli.toml')}",
        metavar="FILE",
        rich_help_panel=OUTPUT_PANEL,
    )
    flags = {
        "as_json": flag("--json", text="Print the result as one JSON object."),
        "quiet": flag("--quiet", "-q", text="Hide progress."),
        "verbose": flag("--verbose", "-v", text="Print more progress."),
        "debug": flag("--debug", text="Print the traceback if there is an error."),
    }
    return [
        _keyword("config", Annotated[str | None, config], None),
        *(_keyword(name, Annotated[bool, option], False) for name, option in flags.items()),
    ]


def _help_options(items: Sequence[tuple[str, Field[Any]]], has_model: bool) -> list[inspect.Parameter]:
    """Return ``--help`` and, if there are advanced options, ``--help-all``."""

    def show_all(context: typer.Context, is_asked: bool) -> None:
        if is_asked and not context.resilient_parsing:
            full = {
                item.name: _help_text(section, item, with_bounds=True, has_model=has_model) for section, item in items
            }
            for option in context.command.params:
                option.help = full.get(option.name or "", option.help)  # type: ignore[attr-defined]
            typer.echo(context.get_help())
            raise typer.Exit

    shown = _keyword("_help", Help, False)
    if not any(item.metadata["advanced"] for _, item in items):
        return [shown]
    every = flag("--help-all", text="Print help for all options.", is_eager=True, callback=show_all)
    return [shown, _keyword("_help_all", Annotated[bool, every], False)]


def _setting_option(section: str, item: Field[Any], name: str = "", *, has_model: bool = False) -> inspect.Parameter:
    """Return the option of a setting, or a hidden one for a former name."""
    hint = types_of(section)[item.name]
    if set(get_args(hint)) in ({float, type(None)}, {_PAIR, type(None)}):
        hint = next(part for part in get_args(hint) if part is not type(None))
    option = typer.Option(
        option_name(name or item.name),
        help=_help_text(section, item, has_model=has_model),
        hidden=bool(name),
        rich_help_panel=ADVANCED_PANEL if item.metadata["advanced"] else item.metadata["panel"] or _PANELS[section],
        metavar=item.metadata["metavar"] or _metavar(hint),
    )
    # Several values may be in one option, or the option be repeated. Durations are read with the settings.
    is_text = takes_durations(section, item.name) or not _is_plain(hint)
    is_repeatable = (get_origin(hint) is tuple and hint != _PAIR) or item.metadata["reader"] is not None
    kind = list[str] if is_repeatable else hint if hint == _PAIR or not is_text else str
    return _keyword(name or item.name, Annotated[kind | None, option], None)


def _former(items: Sequence[tuple[str, Field[Any]]]) -> list[inspect.Parameter]:
    """Return hidden options for the former names that no setting of the command has now."""
    current = {item.name for _, item in items}
    names = [(section, item, name) for section, item in items for name in item.metadata["old_names"]]
    return [_setting_option(section, item, name) for section, item, name in names if name not in current]


def _is_plain(hint: Any) -> bool:
    return hint in (int, float, str, bool) or get_origin(hint) is Literal


def _metavar(hint: Any) -> str | None:
    if get_origin(hint) is Literal:
        return "CHOICE"
    if _is_plain(hint):
        return {int: "NUMBER", float: "NUMBER", str: "TEXT", bool: ""}[hint]
    if get_origin(hint) is dict:
        return "RANGES"
    if get_origin(hint) is tuple:
        return "NUMBERS" if get_args(hint)[0] in (int, float) else "NAMES"
    return "TIME"


def _help_text(section: str, item: Field[Any], *, with_bounds: bool = False, has_model: bool = False) -> str:
    """Return the help of a setting with its choices, bounds and default: ``… [>0; <=0.49; default: 0.1]``."""
    hint = types_of(section, with_bounds=True)[item.name]
    # Choices in the column of types would leave no room for the text.
    choices = ", ".join(map(quote_choice, get_args(hint))) if get_origin(hint) is Literal else ""
    bounds = _bounds_text(hint) if with_bounds else ""
    is_as_trained = has_model and SECTIONS[section].is_as_trained and item.metadata["kept_if_empty"]
    default = "default: as trained" if is_as_trained else _default_text(default_of(item), is_choice=bool(choices))
    remarks = "; ".join(remark for remark in (choices, bounds, default) if remark)
    text = escape(item.metadata["help"])
    return f"{text} {_dim(remarks)}" if remarks else text


def _dim(remark: str) -> str:
    """Return a remark in the form in which Typer shows defaults; a bracket alone would be read as markup."""
    return f"[dim]\\[{remark}][/dim]"


def _bounds_text(hint: Any) -> str:
    """Return the bounds of a number, or of the numbers in a list; empty if it has none."""
    for mark in getattr(hint, "__metadata__", ()):
        bounds = [(sign, getattr(mark, name, None)) for name, sign in _BOUND_SIGNS.items()]
        shown = [
            f"{sign}{bound if isinstance(bound, int) else f'{bound:g}'}" for sign, bound in bounds if bound is not None
        ]
        if shown:
            return " ".join(shown)
    return next((text for part in get_args(hint) if (text := _bounds_text(part))), "")


def _default_text(default: object, *, is_choice: bool = False) -> str:
    if (default in (None, False, "", (), {}) and default != 0.0) or isinstance(default, bool):
        return ""
    if isinstance(default, tuple):
        default = ",".join(f"{part:g}" if isinstance(part, float) else part for part in default)
    if isinstance(default, float):
        default = f"{default:g}"
    if isinstance(default, str) and len(default) > _LONGEST_DEFAULT:
        return "default: see pdm config show"
    return f"default: {quote_choice(default) if is_choice else default}"


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
