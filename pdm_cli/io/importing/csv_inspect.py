"""Find the CSV files of a folder and inspect all of their rows: column types, date formats and time zones."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.columns import (
    begins_as_number,
    check_columns,
    distinct,
    first_where,
    is_integer_value,
    is_missing_value,
    is_numeric_value,
)
from pdm_cli.io.folders import list_files
from pdm_cli.io.importing.csv_reader import Advance, CsvFile, iterate, line_of, open_file, quote
from pdm_cli.io.importing.dates import DateEvidence, Order, Seen, has_zone
from pdm_cli.io.parquet import TableFiles
from pdm_cli.schema import EVENT_COLUMNS, MACHINE, MACHINES, RAW_TABLES, TELEMETRY, TIME, Table
from pdm_cli.settings.model import ColumnsParams
from pdm_cli.text import name_some

_FILE = re.compile(r"(?:pdm_)?([a-z]+)\.csv(?:\.gz)?", re.IGNORECASE)
_FOLDER = re.compile(r"(?:pdm_)?([a-z]+)", re.IGNORECASE)
_STEMS = {**{table.name: table for table in RAW_TABLES}, "maintenance": RAW_TABLES[2]}
_SHORT = ("day-first", "month-first", "undecided")
_DESCRIPTIONS = {trait: trait for trait in ("year-first", "day-first", "month-first")} | {"undecided": "not"}


def find_files(folder: Path) -> tuple[dict[Table, list[Path]], list[str]]:
    """Return the CSV files of each raw table in ``folder``, and the names of those left out.

    Left out are CSV files of no table, and other files in the folder of a table.

    Raises
    ------
    SchemaError
        If there are none, or two of one table.
    """
    found: dict[Table, list[Path]] = {}
    others = []
    for place in sorted(folder.iterdir()):
        match = (_FOLDER if place.is_dir() else _FILE).fullmatch(place.name)
        table = _STEMS.get(match[1].lower()) if match else None
        inside = sorted(filter(_is_visible, place.rglob("*"))) if place.is_dir() else [place]
        files = list(filter(_is_csv, inside))
        if table is None or not files:
            others += [place.name] if _is_csv(place) else []
            continue
        others += [str(path.relative_to(folder)) for path in inside if path not in files]
        if table in found:
            raise SchemaError(
                f"{place.name}: table {table.name} is also in {found[table][0].relative_to(folder)}",
                hint="keep one of the two, or move both into one folder",
            )
        found[table] = files
    if not found:
        raise _no_tables(folder)
    return {table: found[table] for table in RAW_TABLES if table in found}, others


def _no_tables(folder: Path) -> SchemaError:
    tables = [path.name for table in RAW_TABLES for path in list_files(folder, table)]
    if tables:
        return SchemaError(
            f"{folder}: no CSV files, but Parquet tables: {name_some(tables)}",
            hint="Parquet tables need no import: pass the folder to the other commands",
        )
    found = name_some([path.name for path in sorted(folder.iterdir())])
    expected = ", ".join(f"{table.name}.csv" for table in RAW_TABLES)
    problem = f"no CSV file of a table, only {found}" if found else "folder is empty"
    return SchemaError(f"{folder}: {problem}", hint=f"expected {expected}, or names such as PdM_errors.csv")


def _is_visible(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _is_csv(path: Path) -> bool:
    return _is_visible(path) and path.name.lower().endswith((".csv", ".csv.gz"))


@dataclass(frozen=True)
class CsvOptions:
    """The format of the files as given by the user.

    Attributes
    ----------
    separator, encoding : str
        Empty to detect them.
    decimal : str
        Decimal separator.
    formats : mapping of str to str
        Date format per table; the empty name stands for all other tables.
    order : str, optional
        Order of day and month in dates that do not begin with the year.
    """

    separator: str = ""
    encoding: str = ""
    decimal: str = "."
    formats: Mapping[str, str] = field(default_factory=dict)
    order: Literal["day-first", "month-first"] | None = None

    def format_of(self, table: Table) -> str:
        """Return the date format given for a table, or an empty string."""
        return self.formats.get(table.name, self.formats.get("", ""))


@dataclass
class ValueCount:
    """Counts of the values of a column that are numbers and that are not; ``has_digits`` if one begins as a number."""

    numbers: int = 0
    others: int = 0
    first_other: Seen | None = None
    has_digits: bool = False


class TableSurvey:
    """The CSV files of a raw table, and the findings of a pass over all of their rows.

    Parameters
    ----------
    table : Table
        The raw table.
    folder : Path
        Folder of the import.
    paths : sequence of Path
        Its files, in order.
    columns : ColumnsParams
        Names of the columns, which stay unchanged.
    options : CsvOptions
        The format of the files.

    Raises
    ------
    SchemaError
        If a column is missing, or the files have different columns.
    DataError
        If a file is empty or unreadable.
    """

    def __init__(
        self, table: Table, folder: Path, paths: Sequence[Path], columns: ColumnsParams, options: CsvOptions
    ) -> None:
        self.table, self.options = table, options
        self.machine = columns.machine_column
        self.time = columns.datetime_column if table is not MACHINES else ""
        kinds = {"errorID": columns.error_column, "comp": columns.maint_column, "failure": columns.failure_column}
        self.kind = kinds.get(EVENT_COLUMNS.get(table.name, ""), "")
        self._sensors = columns.sensors if table is TELEMETRY else ()
        canonical = {TIME: self.time, MACHINE: self.machine, EVENT_COLUMNS.get(table.name, ""): self.kind}
        self.keys = {name: named for name, named in canonical.items() if named}
        names = [path.relative_to(folder).as_posix() for path in paths]
        form = {"encoding": options.encoding, "separator": options.separator}
        keys = list(self.keys.values())
        self.files = [open_file(path, n, **form, required=keys) for path, n in zip(paths, names, strict=True)]
        self.name = names[0] if len(names) == 1 else f"{names[0].partition('/')[0]}/"
        self._check_header()
        self.columns = self.files[0].columns
        for sensor in self._sensors:
            if sensor not in self.columns:
                raise SchemaError(f"{self.name}: no column {sensor!r}", hint="list existing columns with --sensors")
        self.counts = {name: ValueCount() for name in self.columns if name not in keys}
        self.dates = DateEvidence()
        self.machine_text: Seen | None = None
        self.rows = 0
        self._starts: list[int] = []

    def read(self, advance: Advance) -> None:
        """Inspect all rows.

        Raises
        ------
        DataError
            If a file cannot be read, or a machine, time or event type is missing.
        """
        for file in self.files:
            self._starts.append(self.rows)
            for piece in iterate(file, self.columns, advance):
                self._inspect(piece)
                self.rows += piece.num_rows

    def error(self, row: int, column: str, problem: str, hint: str) -> DataError:
        """Return an error with the file and line of a row, counted over all files."""
        file, line = self._place(row)
        message = f"{file.name}: line {line:,}, column {column}: {problem}"
        return DataError(message, hint=hint, file=file.name, line=line, column=column)

    def place(self, row: int) -> str:
        """Return the file and line of a row for messages."""
        file, line = self._place(row)
        return f"{file.name} line {line:,}"

    def numbers(self) -> list[str]:
        """Return the columns of numbers.

        Raises
        ------
        DataError
            If telemetry has a string among mostly numeric values, or in a sensor listed in the settings.
        """
        found = []
        for name, count in self.counts.items():
            other = count.first_other
            comma = other is not None and self.options.decimal == "." and _has_decimal_comma(other.text)
            if self.table is TELEMETRY and other and (comma or count.numbers > count.others or name in self._sensors):
                hint = "try --decimal ," if comma else "fix it, or leave missing values empty"
                raise self.error(other.row, name, f"{quote(other.text)} is not a number", hint)
            if not count.others:
                found.append(name)
        return found

    def mixed(self) -> dict[str, ValueCount]:
        """Return the string columns with some numbers; in telemetry, also those with values that begin as numbers."""
        is_doubtful = self.table is TELEMETRY
        strings = {name: count for name, count in self.counts.items() if count.others}
        return {name: count for name, count in strings.items() if count.numbers or (is_doubtful and count.has_digits)}

    def _place(self, row: int) -> tuple[CsvFile, int]:
        number = bisect_right(self._starts, row) - 1
        return self.files[number], line_of(self.files[number], row - self._starts[number])

    def _check_header(self) -> None:
        first = self.files[0]
        for file in self.files:
            schema = pa.schema([(name, pa.string()) for name in file.columns])
            kinds = [(canonical, name, "text") for canonical, name in self.keys.items()]
            check_columns(TableFiles(file.name, (file.path,), schema), kinds)
            for name in sorted(set(file.columns) ^ set(first.columns)):
                here, there = (file, first) if name in file.columns else (first, file)
                raise SchemaError(
                    f"{there.name}: no column {name!r}, unlike {here.name}",
                    hint="use the same columns in all parts of a table",
                )

    def _inspect(self, piece: pa.Table) -> None:
        for name in self.keys.values():
            if (row := first_where(pc.equal(piece[name], ""))) >= 0:
                raise self.error(self.rows + row, name, "missing value", "fill it in or delete the line")
            if (row := first_where(pc.match_substring(piece[name], "\n"))) >= 0:
                raise self.error(self.rows + row, name, "line break in a value", "look for an unclosed quote")
        if self.time and not self.options.format_of(self.table):
            texts, first, _ = distinct(piece[self.time])
            self.dates.add(texts, first + self.rows)
        self._inspect_machines(piece[self.machine])
        for name, count in self.counts.items():
            self._count(piece[name], count)

    def _inspect_machines(self, column: pa.ChunkedArray) -> None:
        row = first_where(pc.invert(is_integer_value(column))) if self.machine_text is None else -1
        if row >= 0:
            self.machine_text = Seen(column[row].as_py(), self.rows + row)

    def _count(self, column: pa.ChunkedArray, count: ValueCount) -> None:
        is_numeric = is_numeric_value(column, self.options.decimal)
        is_other = pc.invert(pc.or_(is_numeric, is_missing_value(column)))
        count.numbers += pc.sum(is_numeric).as_py() or 0
        others = pc.sum(is_other).as_py() or 0
        if others and count.first_other is None:
            row = first_where(is_other)
            count.first_other = Seen(column[row].as_py(), self.rows + row)
        if others and self.table is TELEMETRY and not count.has_digits:
            count.has_digits = bool(pc.any(begins_as_number(column)).as_py())
        count.others += others


def find_order(survey: TableSurvey, others: Sequence[TableSurvey]) -> Order:
    """Return the order of year, month and day in the dates of a table, from all rows.

    Parameters
    ----------
    survey : TableSurvey
        The table, after :meth:`TableSurvey.read`.
    others : sequence of TableSurvey
        All tables; an unambiguous one is mentioned in the hint if this one is ambiguous.

    Raises
    ------
    DataError
        If no order fits all rows, or both day-first and month-first do.
    """
    seen, fitting = survey.dates.seen, survey.dates.orders()
    given = survey.options.order
    if "unknown" in seen:
        date = seen["unknown"]
        raise survey.error(
            date.row,
            survey.time,
            f"{quote(date.text)} is not in a known date format",
            "specify it with --date-format, such as '%d.%m.%y %H:%M', epoch-s or epoch-ms",
        )
    if not fitting:
        raise _mixed_orders(survey)
    if len(fitting) == 2:
        if given is None:
            raise _undecided(survey, others)
        return given
    if given is not None and fitting[0] in _SHORT and fitting[0] != given:
        date = seen[fitting[0]]
        hint = f"drop --{given}, or specify --date-format {survey.table.name}=… for this table"
        raise survey.error(date.row, survey.time, f"{quote(date.text)} cannot be {given}", hint)
    return fitting[0]


def find_zone(survey: TableSurvey) -> bool:
    """Return whether the timestamps of a table have a time zone.

    Raises
    ------
    DataError
        If some do and some do not.
    """
    form = survey.options.format_of(survey.table)
    if form:
        return has_zone(form)
    zone, plain = (survey.dates.seen.get(trait) for trait in ("zone", "no zone"))
    if zone and plain:
        raise survey.error(
            plain.row,
            survey.time,
            f"{quote(plain.text)} has no time zone, while {quote(zone.text)} ({survey.place(zone.row)}) has one",
            "write all timestamps of a table with a zone, or all without",
        )
    return zone is not None


def _mixed_orders(survey: TableSurvey) -> DataError:
    seen, doubtful = survey.dates.seen, survey.dates.doubtful()
    if doubtful is not None:
        date, decided = doubtful
        return survey.error(
            date.row,
            survey.time,
            f"{quote(date.text)} may be day-first or month-first; {quote(decided.text)} ({survey.place(decided.row)}) "
            "has another separator and does not decide it",
            "use one date format per table",
        )
    one, other = [(trait, seen[trait]) for trait in _DESCRIPTIONS if trait in seen][:2]
    return survey.error(
        other[1].row,
        survey.time,
        f"{quote(other[1].text)} is {_DESCRIPTIONS[other[0]]}, while {quote(one[1].text)} "
        f"({survey.place(one[1].row)}) is {_DESCRIPTIONS[one[0]]}",
        "use one date format per table",
    )


def _undecided(survey: TableSurvey, others: Sequence[TableSurvey]) -> DataError:
    undecided = survey.dates.seen["undecided"]
    hint = "choose --day-first or --month-first"
    for other in others:
        orders = other.dates.orders()
        if len(orders) == 1 and orders[0] in _SHORT:
            date = other.dates.seen[orders[0]]
            line = other.place(date.row).rsplit(" ")[-1]
            hint += f" ({other.name} is {orders[0]}: {quote(date.text)} in line {line})"
            break
    return survey.error(
        undecided.row,
        survey.time,
        f"{quote(undecided.text)} may be day-first or month-first, like all {survey.rows:,} rows",
        hint,
    )


def _has_decimal_comma(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+,\d+", text.strip()) is not None
