"""Options that commands share: one per setting, made from the settings themselves, and the ones for talking."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from pdm_cli.cli.panels import AZURE_PANEL, DATA_PANEL, MODEL_PANEL, OUTPUT_PANEL
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import ConfigError, UsageError
from pdm_cli.settings.load import option_name, section_fields
from pdm_cli.settings.model import SECTIONS

_ALIASES = {"smooth_hours": "--smooth", "time_budget_seconds": "--time-budget", "alert_rule": "--threshold"}
# A longer default would be cut off in the help.
_LONGEST_DEFAULT = 40
_BOUND_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_PANELS = {
    **dict.fromkeys(("columns", "preprocess"), DATA_PANEL),
    **dict.fromkeys(("predict", "evaluate"), OUTPUT_PANEL),
    "azure": AZURE_PANEL,
}

Out = Annotated[str, typer.Option("--out", help="Output folder.", metavar="FOLDER", rich_help_panel=OUTPUT_PANEL)]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace what pdm wrote to the output folder before.", rich_help_panel=OUTPUT_PANEL
    ),
]


def input_port(name: str, text: str) -> Any:
    """Return the declaration of an input port: a folder as text, so that cloud addresses stay as they are."""
    return typer.Option(f"--{name}", help=text, metavar="FOLDER", rich_help_panel=DATA_PANEL)


def with_settings(
    *sections: str, is_bound: bool = True, is_submitting: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting of ``sections``, ``--config``, and the options for talking.

    The command itself takes ``settings`` and ``screen`` by keyword instead; or, where not ``is_bound``, the values of
    those options as they are, to give them to :func:`bind` itself. Where it is not ``is_submitting``, it has none of
    the settings that only making a job needs.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        items = [
            (section, item)
            for section in sections
            for item in section_fields(section)
            if is_submitting or not item.metadata["for_submitting"]
        ]
        names = {item.name for _, item in items}
        added = [_setting_option(section, item, names) for section, item in items]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            if not is_bound:
                command(**values)
                return
            bound, origins = bind_with_origins(sections, values)
            with blaming(origins):
                command(**bound)

        kept = [p for p in own if p.name not in ("settings", "screen") and p.kind is not p.VAR_KEYWORD]
        first = [p for p in kept if get_args(p.annotation)[-1].rich_help_panel != OUTPUT_PANEL]
        parameters = [*first, *added, *(p for p in kept if p not in first), *_common_options()]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate


def bind(sections: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what the parser of a command gives into what the command takes.

    Parameters
    ----------
    sections : sequence of str
        Sections of settings that the command has options for.
    values : mapping
        Parameter to value.

    Returns
    -------
    dict
        The command's own parameters, ``settings`` and ``screen``.
    """
    return bind_with_origins(sections, values)[0]


def bind_with_origins(sections: Sequence[str], values: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return what :func:`bind` does, and setting to where its value came from, for :func:`blaming`."""
    from pdm_cli.settings.load import resolve

    options = pick_settings(sections, values)
    rest = {name: value for name, value in values.items() if name not in options}
    screen = Screen(**{name: rest.pop(name) for name in _talking_options()})
    resolved = resolve(options, config=rest.pop("config"))
    return {**rest, "settings": resolved.settings, "screen": screen}, resolved.origins


def pick_settings(sections: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return setting to value of what a parser gives, as :func:`pdm_cli.settings.load.resolve` takes them.

    Options that may be given several times become one text, and ``None`` where they were not given.
    """
    names = (item.name for section in sections for item in section_fields(section))
    picked = {name: values[name] for name in names if name in values}
    return {name: (",".join(v) if v else None) if isinstance(v, (list, tuple)) else v for name, v in picked.items()}


@contextmanager
def blaming(origins: Mapping[str, str]) -> Iterator[None]:
    """Turn errors that blame an option into ones of the config file or the environment, where these gave the value.

    Where an error names an option that was given, too, it stays: the two do not go together, and what was given last is
    the first to be mended.

    Parameters
    ----------
    origins : mapping
        Setting to where its value came from.
    """
    try:
        yield
    except UsageError as error:
        named = {option_name(key): key for key in origins} | {alias: key for key, alias in _ALIASES.items()}
        # One setting may have two options.
        found = re.match(r"(--[a-z-]+)( \(or --.*?\))?", error.message)
        mentioned = re.findall(r"--[a-z-]+", f"{error.message} {error.hint or ''}")
        given = {name for name in mentioned if origins.get(named.get(name, "")) == "option"}
        key = named.get(found[1]) if found else None
        if found is None or key is None or given or origins[key] == "default":
            raise
        origin = origins[key]
        place = origin if origin.startswith("environment") else f"{origin}: {key}"
        raise ConfigError(f"{place}{error.message[found.end() :]}", hint=error.hint, **error.details) from error


def _common_options() -> list[inspect.Parameter]:
    config = typer.Option(
        "--config", help="Config file.", metavar="FILE", show_default="pdm-cli.toml here", rich_help_panel=OUTPUT_PANEL
    )
    flags = [_keyword(name, Annotated[bool, option], False) for name, option in _talking_options().items()]
    return [_keyword("config", Annotated[str | None, config], None), *flags]


def _talking_options() -> dict[str, Any]:
    return {
        "as_json": typer.Option(
            "--json", help="Print one JSON object instead of tables.", rich_help_panel=OUTPUT_PANEL
        ),
        "quiet": typer.Option("--quiet", "-q", help="No progress lines.", rich_help_panel=OUTPUT_PANEL),
        "verbose": typer.Option("--verbose", "-v", help="More progress lines.", rich_help_panel=OUTPUT_PANEL),
        "debug": typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT_PANEL),
    }


def _setting_option(section: str, item: Field[Any], names: set[str]) -> inspect.Parameter:
    hint = _hints(section, with_bounds=False)[item.name]
    if set(get_args(hint)) == {float, type(None)}:
        hint = float
    # A short name is left to the setting that has it by right, where a command has both.
    aliases = [alias for alias in [_ALIASES.get(item.name)] if alias and alias not in map(option_name, names)]
    option = typer.Option(
        option_name(item.name),
        *aliases,
        help=item.metadata["help"] + _remarks(section, item),
        rich_help_panel=_PANELS.get(section, MODEL_PANEL),
        metavar=_metavar(hint),
    )
    # Several values may stand in one option, or in the option given again.
    kind = hint if _is_plain(hint) else list[str] if get_origin(hint) is tuple else str
    return _keyword(item.name, Annotated[kind | None, option], None)


@functools.cache
def _hints(section: str, *, with_bounds: bool) -> dict[str, Any]:
    """Return the types of a section's settings; they are text in its source, and slow to read for each one."""
    return get_type_hints(SECTIONS[section], include_extras=with_bounds)


def _is_plain(hint: Any) -> bool:
    return hint in (int, float, str, bool) or get_origin(hint) is Literal


def _metavar(hint: Any) -> str | None:
    if get_origin(hint) is Literal:
        return "CHOICE"
    if _is_plain(hint):
        return None
    if get_origin(hint) is dict:
        return "NAME=LOW:HIGH,…"
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return "NUMBERS" if item in (int, float) else "NAMES"
    return "TIME"


def _remarks(section: str, item: Field[Any]) -> str:
    """Return the bounds and the default of a setting, such as `` (above 0, at most 0.49; default: 0.1)``."""
    hint = _hints(section, with_bounds=True)[item.name]
    # Beside the help: as a column of their own, choices would leave it no room.
    choices = ", ".join(get_args(hint)) if get_origin(hint) is Literal else ""
    remarks = [remark for remark in (choices, _bounds_text(hint), _default_text(item.default)) if remark]
    return f" ({'; '.join(remarks)})" if remarks else ""


def _bounds_text(hint: Any) -> str:
    """Return the bounds of a number, or of the numbers in a list, in words; nothing if it has none."""
    for mark in getattr(hint, "__metadata__", ()):
        bounds = [(word, getattr(mark, name, None)) for name, word in _BOUND_WORDS.items()]
        told = [
            f"{word} {bound if isinstance(bound, int) else f'{bound:g}'}" for word, bound in bounds if bound is not None
        ]
        if told:
            return ", ".join(told)
    return next((text for part in get_args(hint) if (text := _bounds_text(part))), "")


def _default_text(default: Any) -> str:
    if isinstance(default, tuple):
        default = ",".join(f"{part:g}" if isinstance(part, float) else part for part in default)
    if isinstance(default, float):
        default = f"{default:g}"
    if isinstance(default, str) and len(default) > _LONGEST_DEFAULT:
        return "default: in pdm config show"
    return f"default: {default}" if isinstance(default, (str, int)) and default != "" else ""


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
