"""What an import read and wrote, drawn from its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.cli.render.results import make_table
from pdm_cli.text import Prose, show_count, show_stamp

if TYPE_CHECKING:
    from rich.console import RenderableType

_SEPARATORS = {"\t": "tabs", " ": "blanks"}


def draw_import(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw a line for each table: rows, machines and span; and below, what they hold and how they are written."""
    table = make_table("from", ("rows", "right"), ("machines", "right"), ("first", "left"), ("last", "left"))
    for name, facts in summary["tables"].items():
        span = (show_stamp(facts[end]) if facts[end] else "-" for end in ("start", "end"))
        table.add_row(_source(name, facts["files"]), f"{facts['rows']:,}", f"{facts['machines']:,}", *span)
    texts = {name: _text_form(facts) for name, facts in summary["tables"].items()}
    dates = {name: _date_form(facts) for name, facts in summary["tables"].items() if facts["start"]}
    lines = [f"{name}: {_columns(facts)}" for name, facts in summary["tables"].items()]
    lines += [*_tell_forms(texts), *_tell_forms(dates), *_tell_appended(summary["tables"])]
    return [table, *map(Prose, lines)]


def _tell_forms(forms: dict[str, str]) -> list[str]:
    """Return a line for each way in which tables are written, and which they are where not all are written alike."""
    tables: dict[str, list[str]] = {}
    for name, form in forms.items():
        tables.setdefault(form, []).append(name)
    return [form if len(tables) == 1 else f"{', '.join(names)}: {form}" for form, names in tables.items()]


def _text_form(facts: dict[str, Any]) -> str:
    signs = " and ".join(_SEPARATORS.get(sign, repr(sign)) for sign in facts["separators"])
    return f"{' and '.join(name.removesuffix('-sig') for name in facts['encodings'])} text separated by {signs}"


def _date_form(facts: dict[str, Any]) -> str:
    return f"dates {facts['dates']}, {'times in UTC' if facts['zone'] != 'none' else 'times without a zone'}"


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
