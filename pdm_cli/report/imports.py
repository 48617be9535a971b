"""What an import read and wrote, drawn from its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.report.page import show_count, show_stamp
from pdm_cli.report.results import make_table
from pdm_cli.report.screen import Prose

if TYPE_CHECKING:
    from rich.console import RenderableType

_SEPARATORS = {"\t": "tabs", " ": "blanks"}


def draw_import(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw a line for each table: rows, machines and span; and below, how its files are written and what they hold."""
    table = make_table("from", ("rows", "right"), ("machines", "right"), ("first", "left"), ("last", "left"))
    for name, facts in summary["tables"].items():
        span = (show_stamp(facts[end]) if facts[end] else "-" for end in ("start", "end"))
        table.add_row(_source(name, facts["files"]), f"{facts['rows']:,}", f"{facts['machines']:,}", *span)
    lines = [Prose(f"{name}: {_columns(facts)}; {_form(facts)}") for name, facts in summary["tables"].items()]
    return [table, *lines, *map(Prose, _tell_appended(summary["tables"]))]


def _form(facts: dict[str, Any]) -> str:
    """Return how the files of a table are written."""
    signs = " and ".join(_SEPARATORS.get(sign, repr(sign)) for sign in facts["separators"])
    told = f"{' and '.join(name.removesuffix('-sig') for name in facts['encodings'])} text separated by {signs}"
    if not facts["start"]:
        return told
    zone = "times in UTC" if facts["zone"] != "none" else "times without a zone"
    return f"{told}; dates {facts['dates']}, {zone}"


def _source(name: str, files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"{name}, {len(files):,} files"


def _columns(facts: dict[str, Any]) -> str:
    """Return the columns, those of one kind together."""
    kinds: dict[str, list[str]] = {}
    for name, kind in facts["columns"].items():
        kinds.setdefault(kind, []).append(name)
    return ", ".join(f"{', '.join(names)} ({kind})" for kind, names in kinds.items())


def _tell_appended(tables: dict[str, Any]) -> list[str]:
    lines = []
    for name, facts in tables.items():
        if facts["appended"] is None:
            continue
        told = facts["appended"]
        line = f"{name}: {show_count(told['added'], 'row')} added to {told['before']:,}"
        if told["same"]:
            line += f"; {told['same']:,} were there already"
        if told["differing"]:
            line += f"; {told['differing']:,} were there with other values: kept the {told['kept']} ones"
        lines.append(line)
    return lines
