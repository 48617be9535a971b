"""A folder of CSV files: which of them are of which raw table, told by their names alone."""

from __future__ import annotations

import re
from pathlib import Path

from pdm_cli.errors import SchemaError
from pdm_cli.io.folders import list_files
from pdm_cli.schema import RAW_TABLES, Table
from pdm_cli.text import name_some

_FILE = re.compile(r"(?:pdm_)?([a-z]+)\.csv(?:\.gz)?", re.IGNORECASE)
_FOLDER = re.compile(r"(?:pdm_)?([a-z]+)", re.IGNORECASE)
_STEMS = {**{table.name: table for table in RAW_TABLES}, "maintenance": RAW_TABLES[2]}


def find_files(folder: Path) -> tuple[dict[Table, list[Path]], list[str]]:
    """Return the CSV files of each raw table in ``folder``, and the names of those left out.

    Left out are CSV files that are of no table, and files in the folder of a table that are no CSV files.

    Raises
    ------
    SchemaError
        If there is none at all, or two of one table.
    """
    found: dict[Table, list[Path]] = {}
    others = []
    for place in sorted(folder.iterdir()):
        match = (_FOLDER if place.is_dir() else _FILE).fullmatch(place.name)
        table = _STEMS.get(match[1].lower()) if match else None
        inside = sorted(filter(_is_seen, place.rglob("*"))) if place.is_dir() else [place]
        files = list(filter(_is_csv, inside))
        if table is None or not files:
            others += [place.name] if _is_csv(place) else []
            continue
        others += [str(path.relative_to(folder)) for path in inside if path not in files]
        if table in found:
            raise SchemaError(
                f"{place.name}: {found[table][0].relative_to(folder)} is of the table {table.name}, too",
                hint="keep one of the two, or make them parts in one folder",
            )
        found[table] = files
    if not found:
        raise _no_tables(folder)
    return {table: found[table] for table in RAW_TABLES if table in found}, others


def _no_tables(folder: Path) -> SchemaError:
    tables = [path.name for table in RAW_TABLES for path in list_files(folder, table)]
    if tables:
        return SchemaError(
            f"{folder}: {name_some(tables)}: tables in Parquet, no CSV files",
            hint="Parquet needs no import: the other commands read such tables as they are",
        )
    there = name_some([path.name for path in sorted(folder.iterdir())])
    wanted = ", ".join(f"{table.name}.csv" for table in RAW_TABLES)
    told = f"no table among {there}" if there else "is empty"
    return SchemaError(f"{folder}: {told}", hint=f"wanted {wanted}, or names such as PdM_errors.csv")


def _is_seen(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _is_csv(path: Path) -> bool:
    return _is_seen(path) and path.name.lower().endswith((".csv", ".csv.gz"))
