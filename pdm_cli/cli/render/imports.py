"""Render the summary of an import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.quality import draw_checks
from pdm_cli.cli.render.tables import make_table
from pdm_cli.pipeline.stages import SHORTAGE
from pdm_cli.text import Prose, show_count
from pdm_cli.units import current, in_units_of_summary, name_sensor, show_time

if TYPE_CHECKING:
    from rich.console import RenderableType

_SEPARATORS = {"\t": "tabs", " ": "spaces"}


@in_units_of_summary
def draw_import(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw a table of rows, machines and time spans, lines on columns and formats, and the quality."""
    table = make_table("from", ("rows", "right"), ("machines", "right"), ("first", "left"), ("last", "left"))
    for name, facts in summary["tables"].items():
        span = (show_time(facts[end]) if facts[end] else "-" for end in ("start", "end"))
        table.add_row(_source(name, facts["files"]), f"{facts['rows']:,}", f"{facts['machines']:,}", *span)
    tables = summary["tables"]
    texts = {name: _text_format(facts) for name, facts in tables.items() if facts["encodings"] or facts["formats"]}
    dates = {name: _date_format(facts) for name, facts in tables.items() if facts["dates"] and facts["start"]}
    lines = [f"{name}: {_columns(facts)}" for name, facts in summary["tables"].items()]
    lines += [*_list_formats(texts), *_list_formats(dates), *_list_left_out(tables), *_list_appended(tables)]
    first = [Prose(f"almost no data: {summary[SHORTAGE]}")] if SHORTAGE in summary else []
    checks = draw_checks(summary["quality"]) if summary["quality"] else []
    return [*first, table, *map(Prose, lines), *checks]


def _list_formats(formats: dict[str, str]) -> list[str]:
    """Return a line per format, with the names of its tables unless all have the same one."""
    tables: dict[str, list[str]] = {}
    for name, text in formats.items():
        tables.setdefault(text, []).append(name)
    return [text if len(tables) == 1 else f"{', '.join(names)}: {text}" for text, names in tables.items()]


def _text_format(facts: dict[str, Any]) -> str:
    if not facts["encodings"]:
        return " and ".join(facts["formats"])
    separators = " and ".join(_SEPARATORS.get(one, repr(one)) for one in facts["separators"])
    encodings = " and ".join(name.removesuffix("-sig") for name in facts["encodings"])
    return " and ".join([*facts["formats"], f"{encodings} text separated by {separators}"])


def _date_format(facts: dict[str, Any]) -> str:
    if facts["dates"] == "cycles":
        return f"times are cycles, of which each counts as {current().cycle_hours:g} h"
    return f"dates {facts['dates']}, {'times in UTC' if facts['zone'] != 'none' else 'times without a zone'}"


def _source(name: str, files: list[str]) -> str:
    if not files:
        return f"{name}, from the telemetry"
    return files[0] if len(files) == 1 else f"{name}, {len(files):,} files"


def _columns(facts: dict[str, Any]) -> str:
    """Return the columns grouped by type."""
    kinds: dict[str, list[str]] = {}
    for name, kind in facts["columns"].items():
        kinds.setdefault(kind, []).append(name_sensor(name) if kind == "number" else name)
    return ", ".join(f"{', '.join(names)} ({kind})" for kind, names in kinds.items())


def _list_left_out(tables: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {show_count(facts['left_out'], 'row')} left out by --failures-where"
        for name, facts in tables.items()
        if facts.get("left_out")
    ]


def _list_appended(tables: dict[str, Any]) -> list[str]:
    lines = []
    for name, facts in tables.items():
        if facts["appended"] is None:
            continue
        appended = facts["appended"]
        line = f"{name}: {show_count(appended['added'], 'row')} appended to {appended['before']:,}"
        if appended["same"]:
            line += f"; {appended['same']:,} already there"
        if appended["differing"]:
            line += f"; {appended['differing']:,} there with other values, {appended['kept']} ones kept"
        lines.append(line)
    return lines
