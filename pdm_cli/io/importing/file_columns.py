"""The columns of the files of a table: those that it needs, the same in all files, and in the same units."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pdm_cli.errors import SchemaError
from pdm_cli.io.columns import check_columns
from pdm_cli.io.importing.missing_columns import missing_column
from pdm_cli.io.importing.name_words import find_table_named
from pdm_cli.io.importing.options import LongForm
from pdm_cli.io.importing.sources import SourceFile, explain_header
from pdm_cli.io.parquet import TableFiles
from pdm_cli.schema import FAILURES, MACHINE, Table

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine


def hint_of_other_table(files: Sequence[SourceFile]) -> str:
    """Return that a file of telemetry may be another table, if most of its columns are not in the largest file."""
    largest = set(map(str.casefold, max(files, key=lambda file: file.path.stat().st_size).columns))
    for file in files:
        own = set(map(str.casefold, file.columns))
        if len(own & largest) <= len(own | largest) / 2 and not explain_header(file):
            table = find_table_named(file.path) or FAILURES
            option = shlex.quote(f"{table.name}={file.name}")
            return f"{file.name} may be another table, such as --files {option}; --guide proposes the options"
    return ""


def check_header(
    files: Sequence[SourceFile], table: Table, keys: Mapping[str, str], long: LongForm | None, engine: Engine
) -> None:
    """Reject files without a column that the table needs, and those with other columns than the first.

    ``keys`` are the names of the key columns by those of the raw table.
    """
    import pyarrow as pa

    first = files[0]
    for file in files:
        schema = pa.schema([(name, pa.string()) for name in file.columns])
        kinds = [(canonical, name, "text") for canonical, name in keys.items()]
        if long is not None:
            kinds = [kind for kind in kinds if kind[0] != MACHINE]
            kinds += [("", name, "text") for name in (long.tag, long.value)]
        for canonical, name, _ in kinds:
            if name not in file.columns:
                raise missing_column(file, table, (canonical, name), [known for _, known, _ in kinds], engine)
        check_columns(TableFiles(file.name, (file.path,), schema), kinds)
        for name in sorted(set(file.columns) ^ set(first.columns)):
            here, there = (file, first) if name in file.columns else (first, file)
            raise SchemaError(
                f"{there.name}: no column {name!r}, unlike {here.name}",
                hint="use the same columns in all parts of a table, or choose the files with --files",
            )


def join_units(files: Sequence[SourceFile]) -> dict[str, str]:
    """Return the units in the names of the sensors; files may not have different ones for a sensor."""
    units: dict[str, str] = {}
    origin: dict[str, str] = {}
    for file in files:
        for sensor, unit in file.units.items():
            known = units.setdefault(sensor, unit)
            if unit != known:
                raise SchemaError(
                    f"{file.name}: {sensor} is in {unit}, but in {known} in {origin[sensor]}",
                    hint="convert the values of one of them, or choose the files with --files",
                )
            origin.setdefault(sensor, file.name)
    return units
