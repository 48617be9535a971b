"""The first pass over the CSV files of a table: what their columns hold, judged by all rows, not by the first few."""

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
from pdm_cli.io.columns import check_columns
from pdm_cli.io.importing.csv_reader import Advance, CsvFile, iterate, line_of, open_file, quote
from pdm_cli.io.importing.csv_values import begins_as_number, distinct, first_where, is_integer, is_missing, is_number
from pdm_cli.io.importing.dates import Order, Seen, StampEvidence, carries_zone
from pdm_cli.io.parquet import TableFiles
from pdm_cli.schema import EVENT_COLUMNS, MACHINE, MACHINES, TELEMETRY, TIME, Table
from pdm_cli.settings.model import ColumnsParams

_HINT_MISSING = "fill it in, or leave the line out"
_SHORT = ("day-first", "month-first", "undecided")
_WORDS = {trait: trait for trait in ("year-first", "day-first", "month-first")} | {"undecided": "not"}


@dataclass(frozen=True)
class CsvOptions:
    """How the files are written, as far as the user says so.

    Attributes
    ----------
    separator, encoding : str
        Empty: found out.
    decimal : str
        Sign before the decimals.
    formats : mapping of str to str
        Table to the format of its stamps; the empty name is that of all other tables.
    order : str, optional
        What comes first in dates that do not begin with the year.
    """

    separator: str = ""
    encoding: str = ""
    decimal: str = "."
    formats: Mapping[str, str] = field(default_factory=dict)
    order: Literal["day-first", "month-first"] | None = None

    def format_of(self, table: Table) -> str:
        """Return the format given for a table's stamps, or nothing."""
        return self.formats.get(table.name, self.formats.get("", ""))


@dataclass
class ValueCount:
    """How many values of a column are numbers, how many are not, the first that is not, and whether one looks like one.

    A value looks like a number if it begins as one: ``1,5`` where decimals have points.
    """

    numbers: int = 0
    others: int = 0
    first_other: Seen | None = None
    has_digits: bool = False


class TableSurvey:
    """The CSV files of a raw table, and what a pass over all their rows finds.

    Parameters
    ----------
    table : Table
        The raw table.
    folder : Path
        Folder of the import.
    paths : sequence of Path
        Its files, in order.
    columns : ColumnsParams
        Names of the columns; they are kept as they are.
    options : CsvOptions
        How the files are written.

    Raises
    ------
    SchemaError
        If a column is not there, or the files differ in their columns.
    DataError
        If a file is empty or not readable.
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
        wanted = list(self.keys.values())
        self.files = [open_file(path, n, **form, wanted=wanted) for path, n in zip(paths, names, strict=True)]
        self.name = names[0] if len(names) == 1 else f"{names[0].partition('/')[0]}/"
        self._check_header()
        self.columns = self.files[0].columns
        for sensor in self._sensors:
            if sensor not in self.columns:
                raise SchemaError(f"{self.name}: no column {sensor!r}", hint="--sensors names columns of the telemetry")
        self.counts = {name: ValueCount() for name in self.columns if name not in wanted}
        self.stamps = StampEvidence()
        self.machine_text: Seen | None = None
        self.rows = 0
        self._starts: list[int] = []

    def read(self, advance: Advance) -> None:
        """Go through all rows.

        Raises
        ------
        DataError
            If a file cannot be read, or a machine, stamp or kind of event is missing.
        """
        for file in self.files:
            self._starts.append(self.rows)
            for piece in iterate(file, self.columns, advance):
                self._look(piece)
                self.rows += piece.num_rows

    def refuse(self, row: int, column: str, what: str, hint: str) -> DataError:
        """Return an error that names the file and line of a row, counted over all files."""
        file, line = self._place(row)
        message = f"{file.name}: line {line:,}, column {column}: {what}"
        return DataError(message, hint=hint, file=file.name, line=line, column=column)

    def place(self, row: int) -> str:
        """Return the file and line of a row in words."""
        file, line = self._place(row)
        return f"{file.name} line {line:,}"

    def numbers(self) -> list[str]:
        """Return the columns of numbers.

        Raises
        ------
        DataError
            If a text stands in a column of telemetry whose other values are mostly numbers, or in a named sensor.
        """
        found = []
        for name, count in self.counts.items():
            other = count.first_other
            comma = other is not None and self.options.decimal == "." and _has_decimal_comma(other.text)
            if self.table is TELEMETRY and other and (comma or count.numbers > count.others or name in self._sensors):
                hint = "--decimal , reads decimal commas" if comma else "mend it, or leave it empty where it is missing"
                raise self.refuse(other.row, name, f"{quote(other.text)} is no number", hint)
            if not count.others:
                found.append(name)
        return found

    def mixed(self) -> dict[str, ValueCount]:
        """Return the columns of texts some of which are numbers; in telemetry, also where some only look like it."""
        is_doubtful = self.table is TELEMETRY
        texts = {name: count for name, count in self.counts.items() if count.others}
        return {name: count for name, count in texts.items() if count.numbers or (is_doubtful and count.has_digits)}

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
                    f"{there.name}: no column {name!r}, which {here.name} has",
                    hint="all parts of a table need the same columns",
                )

    def _look(self, piece: pa.Table) -> None:
        for name in self.keys.values():
            if (row := first_where(pc.equal(piece[name], ""))) >= 0:
                raise self.refuse(self.rows + row, name, "a value is missing", _HINT_MISSING)
            if (row := first_where(pc.match_substring(piece[name], "\n"))) >= 0:
                raise self.refuse(
                    self.rows + row, name, "a line break in a value", "is a quote there that is not closed?"
                )
        if self.time and not self.options.format_of(self.table):
            texts, first, _ = distinct(piece[self.time])
            self.stamps.add(texts, first + self.rows)
        self._look_at_machines(piece[self.machine])
        for name, count in self.counts.items():
            self._count(piece[name], count)

    def _look_at_machines(self, column: pa.ChunkedArray) -> None:
        row = first_where(pc.invert(is_integer(column))) if self.machine_text is None else -1
        if row >= 0:
            self.machine_text = Seen(column[row].as_py(), self.rows + row)

    def _count(self, column: pa.ChunkedArray, count: ValueCount) -> None:
        has_number = is_number(column, self.options.decimal)
        is_other = pc.invert(pc.or_(has_number, is_missing(column)))
        count.numbers += pc.sum(has_number).as_py() or 0
        others = pc.sum(is_other).as_py() or 0
        if others and count.first_other is None:
            row = first_where(is_other)
            count.first_other = Seen(column[row].as_py(), self.rows + row)
        if others and self.table is TELEMETRY and not count.has_digits:
            count.has_digits = bool(pc.any(begins_as_number(column)).as_py())
        count.others += others


def find_order(survey: TableSurvey, others: Sequence[TableSurvey]) -> Order:
    """Return what comes first in the dates of a table, as all its rows tell.

    Parameters
    ----------
    survey : TableSurvey
        The table, read.
    others : sequence of TableSurvey
        All tables, for the hint: where this one does not decide, another one may tell.

    Raises
    ------
    DataError
        If no form fits all rows, or both day and month may come first.
    """
    seen, fitting = survey.stamps.seen, survey.stamps.orders()
    given = survey.options.order
    if "unknown" in seen:
        stamp = seen["unknown"]
        raise survey.refuse(
            stamp.row,
            survey.time,
            f"{quote(stamp.text)} is no date of a form that is told by itself",
            "--date-format names it, such as '%d.%m.%y %H:%M', epoch-s or epoch-ms",
        )
    if not fitting:
        raise _mixed_orders(survey)
    if len(fitting) == 2:
        if given is None:
            raise _undecided(survey, others)
        return given
    if given is not None and fitting[0] in _SHORT and fitting[0] != given:
        stamp = seen[fitting[0]]
        hint = f"leave --{given} out, or give --date-format {survey.table.name}=… for this table"
        raise survey.refuse(stamp.row, survey.time, f"{quote(stamp.text)} cannot be {given}", hint)
    return fitting[0]


def find_zone(survey: TableSurvey) -> bool:
    """Return whether the stamps of a table carry a time zone.

    Raises
    ------
    DataError
        If some do and some do not.
    """
    form = survey.options.format_of(survey.table)
    if form:
        return carries_zone(form)
    zone, plain = (survey.stamps.seen.get(trait) for trait in ("zone", "no zone"))
    if zone and plain:
        raise survey.refuse(
            plain.row,
            survey.time,
            f"{quote(plain.text)} has no time zone, while {quote(zone.text)} ({survey.place(zone.row)}) has one",
            "write all stamps of a table with their zone, or none",
        )
    return zone is not None


def _mixed_orders(survey: TableSurvey) -> DataError:
    seen, doubtful = survey.stamps.seen, survey.stamps.doubtful()
    if doubtful is not None:
        date, told = doubtful
        return survey.refuse(
            date.row,
            survey.time,
            f"{quote(date.text)} may be day-first or month-first, and {quote(told.text)} ({survey.place(told.row)}), "
            "which has another sign, does not tell",
            "write all dates of a table in one form",
        )
    one, other = [(trait, seen[trait]) for trait in _WORDS if trait in seen][:2]
    return survey.refuse(
        other[1].row,
        survey.time,
        f"{quote(other[1].text)} is {_WORDS[other[0]]}, while {quote(one[1].text)} "
        f"({survey.place(one[1].row)}) is {_WORDS[one[0]]}",
        "write all dates of a table in one form",
    )


def _undecided(survey: TableSurvey, others: Sequence[TableSurvey]) -> DataError:
    stamp = survey.stamps.seen["undecided"]
    hint = "--day-first or --month-first says which"
    for other in others:
        orders = other.stamps.orders()
        if len(orders) == 1 and orders[0] in _SHORT:
            told = other.stamps.seen[orders[0]]
            hint += (
                f" ({other.name} is {orders[0]}: {quote(told.text)} in line {other.place(told.row).rsplit(' ')[-1]})"
            )
            break
    return survey.refuse(
        stamp.row,
        survey.time,
        f"{quote(stamp.text)} may be day-first or month-first: both fit all {survey.rows:,} rows",
        hint,
    )


def _has_decimal_comma(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+,\d+", text.strip()) is not None
