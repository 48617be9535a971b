"""``pdm config``: the effective settings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from pdm_cli.cli.help import App, CommandGroup, GroupHelp, flag
from pdm_cli.cli.options import bind, with_settings
from pdm_cli.errors import UsageError

app = App(cls=CommandGroup, help="Show the effective settings.")


@app.callback(invoke_without_command=True, add_help_option=False)
def _config(context: typer.Context, _help: GroupHelp = False) -> None:
    """Print the help if no command follows."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(UsageError.exit_code)


@app.command("show")
@with_settings(is_bound=False)
def show(
    *,
    origin: Annotated[bool, flag("--origin", text="Print the origin of each value.")] = False,
    **values: Any,
) -> None:
    """Print all settings with their values as a config file.

    Example: pdm config show --origin
    """
    from dataclasses import asdict

    from pdm_cli.cli.render.settings import write_settings
    from pdm_cli.settings.field import key_of
    from pdm_cli.settings.load import resolve

    screen = bind((), values)["screen"]
    resolved = resolve({}, config=values["config"])
    sections = {key_of(name): _as_texts(values) for name, values in asdict(resolved.settings).items()}
    origins = {key_of(name): origin for name, origin in resolved.origins.items()}
    file = None if resolved.file is None else str(resolved.file)
    payload = {
        "schema": "pdm.config/1",
        "file": file,
        "settings": {section: _with_former_names(section, values) for section, values in sections.items()},
        "origins": origins,
    }
    screen.result(payload, lambda: [write_settings(sections, origins if origin else {})])


def _with_former_names(section: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings also by their former names: scripts read them."""
    from pdm_cli.settings.field import key_of
    from pdm_cli.settings.load import section_fields
    from pdm_cli.settings.model import SECTIONS

    items = next(section_fields(name) for name in SECTIONS if key_of(name) == section)
    former = {name: values[key_of(item.name)] for item in items for name in item.metadata["old_names"]}
    return {**former, **values}


def _as_texts(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings by their keys, with times and cycles as strings."""
    from pdm_cli.settings.field import key_of

    return {key_of(name): _as_text(value) for name, value in values.items()}


def _as_text(value: Any) -> Any:
    from pdm_cli.settings.cycles import Cycles

    if isinstance(value, tuple):
        return tuple(map(_as_text, value))
    if isinstance(value, Cycles):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value
