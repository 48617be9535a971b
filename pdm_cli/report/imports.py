"""What an import read and wrote, drawn from its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm_cli.report.page import show_count
from pdm_cli.report.results import make_table

if TYPE_CHECKING:
    from rich.console import RenderableType

_SEPARATORS = {"\t": "tab", " ": "blank"}


def draw_import(summary: dict[str, Any]) -> list[RenderableType]:
    """Draw a line for each table: rows, span, machines, and how its files are written."""
    right = ("rows", "machines")
    names = ("rows", "machines", "first", "last", "separator", "encoding", "dates", "zone")
    table = make_table("from", *((name, "right" if name in right else "left") for name in names))
    for name, facts in summary["tables"].items():
        table.add_row(
            _source(name, facts["files"]),
            f"{facts['rows']:,}",
            f"{facts['machines']:,}",
            facts["start"] or "-",
            facts["end"] or "-",
            ", ".join(_SEPARATORS.get(sign, sign) for sign in facts["separators"]),
            ", ".join(facts["encodings"]),
            facts["dates"] or "-",
            facts["zone"] or "-",
        )
    lines = [f"{name}: {_columns(facts['columns'])}" for name, facts in summary["tables"].items()]
    return [table, "\n".join(lines), *_tell_appended(summary["tables"])]


def _source(name: str, files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"{name}, {len(files):,} files"


def _columns(kinds: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


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
