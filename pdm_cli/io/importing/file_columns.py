"""The columns of the files of a table: those that it needs, the same in all files, and in the same units."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from pdm_cli.errors import SchemaError
from pdm_cli.io.columns import check_columns
from pdm_cli.io.importing.options import LongForm
from pdm_cli.io.importing.sources import SourceFile, explain_header
from pdm_cli.io.importing.values import NUMBER
from pdm_cli.io.parquet import TableFiles
from pdm_cli.schema import ERRORS, EVENT_COLUMNS, FAILURES, MACHINE, MACHINES, MAINT, TIME, Table
from pdm_cli.text import name_some

# Words in the names that other programs give to key columns.
WORDS = {
    TIME: re.compile(r"time|date|stamp|zeit|datum|beginn|start|fecha|heure", re.IGNORECASE),
    MACHINE: re.compile(
        r"machine|asset|equipment|unit|serial|device|maschine|anlage|pumpe|platz|turbine", re.IGNORECASE
    ),
}

# Words in the names of files, by table.
_FILE_WORDS: dict[Table, re.Pattern[str]] = {
    FAILURES: re.compile(r"fail|order|auftr|workorder|breakdown|stoer|störung|ticket", re.IGNORECASE),
    ERRORS: re.compile(r"error|alarm|event|fault|meld", re.IGNORECASE),
    MAINT: re.compile(r"maint|service|wartung|repair|replac", re.IGNORECASE),
    MACHINES: re.compile(r"machine|equip|asset|master|anlage|device", re.IGNORECASE),
}


def find_table_named(path: Path) -> Table | None:
    """Return the table that the name of a file suggests, in any of the words that other programs use for it."""
    return next((table for table, words in _FILE_WORDS.items() if words.search(path.name)), None)


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


def check_header(files: Sequence[SourceFile], table: Table, keys: Mapping[str, str], long: LongForm | None) -> None:
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
                raise _missing_column(file, table, (canonical, name), [known for _, known, _ in kinds])
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


def _hint_of_long(name: str, others: Sequence[str]) -> str:
    """Return how to correct a column of ``--long``: a similar one of the others, or the only one."""
    likely = others if len(others) == 1 else get_close_matches(name, others, n=1, cutoff=0.5)
    return f"did you mean {likely[0]!r}?" if likely else f"--long names two of {name_some(others)}"


def _missing_column(file: SourceFile, table: Table, missing: tuple[str, str], expected: Sequence[str]) -> SchemaError:
    """Return the error for a column that a file does not have, with the options that name it.

    ``missing`` is its canonical name, empty for those of ``--long``, and its name; ``expected`` are all columns.
    """
    (canonical, name), there = missing, list(file.columns)
    others = [column for column in there if column not in expected]
    close = [column for column in there if WORDS[canonical].search(column)] if canonical in WORDS else []
    close += get_close_matches(name, there, n=1, cutoff=0.5)
    guess = shlex.quote(close[0]) if close else "COLUMN"
    hint = f"--columns {table.name}.{canonical}={guess}" if canonical else _hint_of_long(name, others)
    if canonical and canonical == EVENT_COLUMNS.get(table.name) and not others:
        hint = f"add a column {name!r}; if it is not known, write the same name in every row"
    if canonical == MACHINE:
        hint += ", or --machine NAME if there is only one"
    # The separator of a single name that has another one is given.
    if len(there) == 1 and (other := next((one for one in ",;\t|" if one in there[0]), "")):
        hint = f"the text seems to be separated by {other!r}: drop --separator"
    elif len(others) == len(there) and (not close or len(there) == 1):
        hint = explain_header(file) or hint
    if file.text is not None and all(re.fullmatch(NUMBER.replace("{0}", "[.,]"), column) for column in there):
        hint = "no header? name the columns with --names"
    return SchemaError(f"{file.name}: no column {name!r}, only {name_some(there)}", hint=hint)
