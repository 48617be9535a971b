"""Files of logs: which belong to which raw table, and how DuckDB reads their columns as strings."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.folders import folder_values, list_files, list_visible
from pdm_cli.io.importing.json_files import find_fault, number_lines
from pdm_cli.io.importing.options import ImportOptions, compile_pattern
from pdm_cli.io.importing.text_files import (
    TextFile,
    TextFormat,
    find_header,
    iterate_rows,
    make_readable,
    open_text,
    unpack_zip,
)
from pdm_cli.io.sensor_names import split_unit, split_units
from pdm_cli.schema import MACHINE, RAW_TABLES, TELEMETRY, Table
from pdm_cli.text import name_some

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine

_STEM = re.compile(r"(?:pdm_)?([a-z]+)", re.IGNORECASE)
_STEMS = {**{table.name: table for table in RAW_TABLES}, "maintenance": RAW_TABLES[2]}
_TEXT = (".csv", ".txt", ".tsv", ".dat")
_JSON = (".jsonl", ".ndjson", ".json")
_EXCEL = (".xlsx", ".xls", ".xlsm")
_PARQUET = (".parquet", ".pq")
_PACKED = (".gz", ".zip")


@dataclass(frozen=True)
class SourceFile:
    """A file of logs as a relation of strings.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Its path below the folder of the import, for messages.
    columns : dict of str to str
        Column to the SQL expression of its strings.
    reader : str
        SQL of its rows, with ``{files}`` for the file.
    readable : str
        The file that DuckDB reads: the file itself, or a copy.
    origins : dict of str to str
        Column to its name in the header of a text file; constants have none.
    text : TextFile, optional
        Format of a text file; None for files that count rows instead of lines.
    units : dict of str to str
        Sensor to the unit in its name in the file, which is not part of its name here.
    is_json : bool
        Whether it is JSON, whose rows have lines if there is one object per line.
    sheets : tuple of str
        Sheets of a workbook; the first one is read.
    """

    path: Path
    name: str
    columns: Mapping[str, str]
    reader: str
    readable: str
    origins: Mapping[str, str] = field(default_factory=dict)
    text: TextFile | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    is_json: bool = False
    sheets: tuple[str, ...] = ()

    @property
    def format(self) -> str:
        """The format of the file in messages; empty for text, and for rows of queries."""
        if self.sheets:
            return f"Excel workbook, sheet {self.sheets[0]}"
        if self.is_json:
            return "JSON" if kind_of(self.path) == ".json" else "JSON lines"
        return "Parquet" if kind_of(self.path) in _PARQUET else ""

    @property
    def relation(self) -> str:
        """SQL of the rows."""
        return self.reader.replace("{files}", sql_path(self.readable))

    def rename(self, names: Mapping[str, str]) -> SourceFile:
        """Return the file with other names for some columns."""
        columns = {names.get(name, name): sql for name, sql in self.columns.items()}
        origins = {names.get(name, name): origin for name, origin in self.origins.items()}
        return replace(self, columns=columns, origins=origins)

    def with_constants(self, values: Mapping[str, str]) -> SourceFile:
        """Return the file with more columns of one value each."""
        more = {name: sql_text(value) for name, value in values.items()}
        return replace(self, columns={**self.columns, **more})


@dataclass
class Found:
    """Files of each raw table, and the names of those left out."""

    files: dict[Table, list[Path]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    # Telemetry files that are not named so.
    assumed: list[str] = field(default_factory=list)


def find_files(
    folder: Path, given: Mapping[str, Sequence[str]] | None = None, excluded: Collection[str | Path] = ()
) -> Found:
    """Find the files of each raw table in ``folder``.

    Parameters
    ----------
    folder : Path
        The folder of the import.
    given : mapping of str to sequence of str, optional
        Table to patterns of its files' paths below ``folder``; other files belong to the table that they are named
        after. If none is named telemetry, all that are left are.
    excluded : collection of str or Path, optional
        Files that belong to no table.

    Raises
    ------
    SchemaError
        If there are none, or two of one table.
    DataError
        If a link is broken, or a folder cannot be read.
    """
    others = {Path(path).resolve() for path in excluded}
    paths = [path for path in sorted(list_visible(folder)) if kind_of(path)]
    paths = [path for path in paths if not others or path.resolve() not in others]
    found = Found()
    for name, patterns in (given or {}).items():
        table = _STEMS[name]
        chosen = [path for one in patterns for path in _matching(one, paths, folder)]
        if not chosen:
            there = name_some([path.relative_to(folder).as_posix() for path in paths]) or "nothing"
            raise SchemaError(f"{folder}: no file {' or '.join(patterns)}, only {there}", hint="correct --files")
        found.files[table] = list(dict.fromkeys(chosen))
    taken = {path for files in found.files.values() for path in files}
    rest: list[Path] = []
    for path in paths:
        if path in taken:
            continue
        top = path.relative_to(folder).parts[0]
        table_of = _table_of(top)
        if table_of is None:
            rest.append(path)
        elif table_of.name in (given or {}):
            found.others.append(path.relative_to(folder).as_posix())
        else:
            _add(found, table_of, path, folder)
    if TELEMETRY not in found.files and rest:
        found.files[TELEMETRY] = rest
        found.assumed = [path.relative_to(folder).as_posix() for path in rest]
        rest = []
    found.others += [path.relative_to(folder).as_posix() for path in rest]
    if not found.files:
        raise _no_tables(folder)
    found.files = {table: found.files[table] for table in RAW_TABLES if table in found.files}
    return found


def _matching(pattern: str, paths: Sequence[Path], folder: Path) -> list[Path]:
    """Return the file of this name, or else those that fit the pattern: names may have its signs."""
    named = [path for path in paths if path.relative_to(folder).as_posix() == pattern]
    return named or [path for path in paths if fnmatch(path.relative_to(folder).as_posix(), pattern)]


def kind_of(path: Path) -> str:
    """Return the ending of a file's format: ``.csv`` of ``a.csv.gz``; empty if it is not known."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if last in _PACKED:
        inner = suffixes[-2] if len(suffixes) > 1 else ""
        return inner if inner in (*_TEXT, *_JSON) else ".csv" if last == ".zip" else ""
    return last if last in (*_TEXT, *_JSON, *_EXCEL, *_PARQUET) else ""


def is_text(path: Path) -> bool:
    """Return whether a file has lines of text with a separator, by its name."""
    return kind_of(path) in _TEXT


def _table_of(name: str) -> Table | None:
    match = _STEM.fullmatch(name.split(".")[0])
    return _STEMS.get(match[1].lower()) if match else None


def _add(found: Found, table: Table, path: Path, folder: Path) -> None:
    files = found.files.setdefault(table, [])
    top = path.relative_to(folder).parts[0]
    if files and files[0].relative_to(folder).parts[0] != top:
        raise SchemaError(
            f"{top}: table {table.name} is also in {files[0].relative_to(folder)}",
            hint="keep one of the two, move both into one folder, or name them with --files",
        )
    files.append(path)


def _no_tables(folder: Path) -> SchemaError:
    tables = [path.name for table in RAW_TABLES for path in list_files(folder, table)]
    found = name_some([path.name for path in sorted(folder.iterdir())])
    expected = ", ".join(f"{table.name}.csv" for table in RAW_TABLES)
    problem = f"no file of logs, only {name_some(tables) or found}" if found else "folder is empty"
    return SchemaError(f"{folder}: {problem}", hint=f"expected {expected}, or names such as PdM_errors.csv")


def open_source(path: Path, folder: Path, form: TextFormat, engine: Engine, required: Sequence[str]) -> SourceFile:
    """Return a file as a relation of strings, with the columns that its folders name.

    Parameters
    ----------
    path, folder : Path
        The file, and the folder of the import.
    form : TextFormat
        Known parts of the format of text files.
    engine : Engine
        Reads the columns of other formats.
    required : sequence of str
        Columns that the table needs.

    Raises
    ------
    DataError, SchemaError
        If the file cannot be read as what its ending says.
    """
    name = path.relative_to(folder).as_posix()
    kind = kind_of(path)
    # The rows of queries are in files without an ending, which are not found otherwise.
    if kind in _PARQUET or not kind:
        if not _is_parquet(path):
            raise DataError(f"{name}: not a readable Parquet file", hint="copy or export it again")
        source = _open_typed(path, name, f"read_parquet({sql_path(str(path))})", engine)
    elif kind in _JSON:
        source = _open_json(path, name, engine)
    elif kind in _EXCEL:
        copy, sheets = _copy_sheet(path, name, engine.scratch)
        text = _open_text(copy, name, TextFormat(separator=",", names=form.names), engine, ())
        source = replace(text, path=path, sheets=sheets)
    else:
        source = _open_text(path, name, form, engine, required)
    return source.with_constants({key: value or "" for key, value in folder_values(folder, path).items()})


def name_columns(file: SourceFile, table: Table, keys: Mapping[str, str], options: ImportOptions) -> SourceFile:
    """Return a file with its columns by their names in the raw table, and a machine from an option or its name.

    Parameters
    ----------
    file : SourceFile
        The file.
    table : Table
        Its raw table.
    keys : mapping of str to str
        Key column of the schema to its name in the raw table.
    options : ImportOptions
        Names of the columns, and the machine.

    Raises
    ------
    SchemaError
        If a named column is missing, or the file's name does not fit the pattern.
    """
    named = file
    units: dict[str, str] = {}
    for name, given in options.columns.get(table.name, {}).items():
        column = _find_column(given, named.columns)
        if column not in named.columns:
            there = name_some(list(named.columns))
            raise SchemaError(f"{file.name}: no column {given!r}", hint=f"--columns names one of {there}")
        new = keys.get(name, name)
        named = named.rename({column: new})
        units |= {new: split_unit(column)[1]}
    if table is TELEMETRY and options.long is None:
        named = _take_units(named, {*keys.values(), *options.failures.flags, options.failures.status}, units)
    machine = keys[MACHINE]
    given = "--machine-from-file" if options.machine_pattern else "--machine" if options.machine else ""
    if given and table is TELEMETRY and machine in named.columns:
        raise SchemaError(f"{file.name}: the column {machine!r} conflicts with {given}", hint=f"drop {given}")
    if options.machine_pattern and table is TELEMETRY:
        return named.with_constants({machine: _machine_of(file, options.machine_pattern)})
    if options.machine and machine not in named.columns:
        return named.with_constants({machine: options.machine})
    return named


def _find_column(name: str, columns: Mapping[str, str]) -> str:
    """Return the column of this name, or else the only one that has it with a unit."""
    if name in columns:
        return name
    with_unit = [column for column in columns if split_unit(column)[0] == name]
    return with_unit[0] if len(with_unit) == 1 else name


def _take_units(file: SourceFile, others: Collection[str], known: Mapping[str, str]) -> SourceFile:
    """Return telemetry whose sensors are named without their units; ``known`` are units of renamed columns."""
    found = split_units([name for name in file.columns if name not in others], others)
    units = {short: unit for short, unit in found.values() if unit}
    units |= {name: unit for name, unit in known.items() if unit and name in found}
    return replace(file.rename({name: short for name, (short, _) in found.items()}), units=units)


def _machine_of(file: SourceFile, pattern: str) -> str:
    """Return the machine that a file is named after."""
    compiled = compile_pattern("--machine-from-file", pattern, ["machine"])
    base = Path(file.name).name
    for name in (file.name, base, base.split(".")[0], base.rsplit(".", 1)[0]):
        if match := compiled.fullmatch(name):
            return match["machine"]
    raise SchemaError(
        f"{file.name}: does not fit {pattern}", hint="correct --machine-from-file, or choose with --files"
    )


def _open_text(path: Path, name: str, form: TextFormat, engine: Engine, required: Sequence[str]) -> SourceFile:
    text = open_text(path, name, form, required)
    readable = make_readable(text, engine.scratch)
    names = [f"c{number}" for number in range(len(text.header))]
    columns = {name: names[text.header.index(name)] for name in text.columns}
    separator = "\t" if text.separator == " " else text.separator
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    reader = (
        "read_csv({files}, "
        f"auto_detect = false, header = false, skip = {text.header_lines}, "
        f"delim = {sql_text(separator)}, quote = '\"', escape = '\"', strict_mode = true, null_padding = false, "
        f"max_line_size = {_LONGEST_LINE}, buffer_size = {2 * _LONGEST_LINE}, "
        f"columns = {{{types}}}, store_rejects = true, rejects_limit = 1)"
    )
    return SourceFile(path, name, columns, reader, str(readable), {name: name for name in columns}, text)


# A line may contain long strings, but a stray quote must not take the whole file into memory.
_LONGEST_LINE = 8 << 20


def _is_parquet(path: Path) -> bool:
    """Return whether a file is complete: the mark of the format is at its beginning and its end."""
    with path.open("rb") as stream:
        begin = stream.read(4)
        stream.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return begin == stream.read(4) == b"PAR1"


def _open_json(path: Path, name: str, engine: Engine) -> SourceFile:
    readable = unpack_zip(path, name, engine.scratch) if path.suffix.lower() == ".zip" else path
    try:
        source = _open_typed(path, name, f"read_json({sql_path(str(readable))}, sample_size = -1)", engine)
    except DataError as error:
        raise find_fault(path, name) or error from error
    # DuckDB's name of the only column if rows are not objects.
    if tuple(source.columns) == ("json",) and (fault := find_fault(path, name)) is not None:
        raise fault
    return replace(source, is_json=True)


def _open_typed(path: Path, name: str, reader: str, engine: Engine) -> SourceFile:
    """Return a file whose columns have types, which may differ between files; they are read as strings."""
    columns = {}
    for column, kind in engine.describe(reader, name):
        if kind.startswith(("STRUCT", "MAP", "UNION")) or kind.endswith("]"):
            raise DataError(f"{name}: column {column} holds {kind}", hint="write one value per column")
        quoted = column.replace('"', '""')
        # Columns of several types in JSON: strings without their quotes.
        columns[column] = f"(\"{quoted}\" ->> '$')" if kind == "JSON" else f'CAST("{quoted}" AS VARCHAR)'
    return SourceFile(path, name, columns, reader, str(path))


def _copy_sheet(path: Path, name: str, scratch: Path) -> tuple[Path, tuple[str, ...]]:
    """Write the first sheet of a workbook as CSV with the same lines, and return it with the names of all sheets."""
    import csv

    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        workbook = CalamineWorkbook.from_path(str(path))
        rows = workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except PasswordError as exc:
        raise DataError(f"{name}: protected by a password", hint="save it without one") from exc
    except (CalamineError, OSError, IndexError) as exc:
        raise DataError(f"{name}: not a readable workbook", hint="save it as .xlsx or CSV") from exc
    copy = scratch / f"{len(list(scratch.iterdir()))}.csv"
    with copy.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows([_cell_text(cell) for cell in row] for row in rows)
    return copy, tuple(workbook.sheet_names)


def explain_header(source: SourceFile) -> str:
    """Return where the columns of a file seem to be: below other lines, or on another sheet; empty if not known."""
    line = None if source.text is None else find_header(source.text)
    if line is not None:
        return f"the header seems to be in line {line}; delete the lines above it"
    if len(source.sheets) > 1:
        others = name_some([repr(sheet) for sheet in source.sheets[1:]])
        return f"sheet {source.sheets[0]!r} was read; the workbook also has {others}: move the table to the first sheet"
    return ""


def _cell_text(cell: object) -> str:
    """Return a cell as text: workbooks hold whole numbers as floats, too."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def sql_rows(files: Sequence[SourceFile], columns: Mapping[str, str]) -> str:
    """Return the SQL of some columns of files, in their order.

    Neighbours of one format are read as one: each relation has buffers of its own.

    Parameters
    ----------
    files : sequence of SourceFile
        The files.
    columns : mapping of str to str
        Column to the SQL expression of its value, with ``{}`` for the string in the file.
    """
    parts = []
    for _, group in groupby(files, key=lambda file: (file.reader, tuple(file.columns.items()))):
        same = list(group)
        names = ", ".join(
            f"{template.replace('{}', same[0].columns[name])} AS {sql_column(name)}"
            for name, template in columns.items()
        )
        paths = ", ".join(sql_path(file.readable) for file in same)
        parts.append(f"SELECT {names} FROM {same[0].reader.replace('{files}', f'[{paths}]')}")
    return " UNION ALL ".join(parts)


def rows_of(source: SourceFile, engine: Engine) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the place of each row, such as ``line 7``, and its values by column: slow, to locate errors."""
    if source.text is not None:
        positions = {name: source.text.header.index(origin) for name, origin in source.origins.items()}
        constants = {
            name: sql[1:-1].replace("''", "'") for name, sql in source.columns.items() if name not in positions
        }
        for line, values in iterate_rows(source.text):
            yield f"line {line:,}", {name: values[position] for name, position in positions.items()} | constants
        return
    names = list(source.columns)
    selected = ", ".join(f"coalesce(trim({source.columns[name]}), '')" for name in names)
    lines = number_lines(source.path) if source.is_json else iter(())
    for number, row in enumerate(engine.rows(f"SELECT {selected} FROM {source.relation}")):
        own_line = next(lines, None)
        place = f"row {number:,}" if own_line is None else f"line {own_line:,}"
        yield place, dict(zip(names, row, strict=True))


def sql_column(name: str) -> str:
    """Return the name of a column in views: in hexadecimal, because DuckDB takes ``temp`` and ``Temp`` for the same."""
    return f'"{name.encode().hex()}"'


def sql_text(text: str) -> str:
    """Return a string quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def sql_path(path: str) -> str:
    """Return a path quoted for SQL, in which DuckDB takes ``*``, ``?`` and ``[`` for patterns."""
    return sql_text(re.sub(r"[*?[]", r"[\g<0>]", path))
