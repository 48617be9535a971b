"""Columns of raw tables: their types, their conversion to the types of the schema, and numbers stored as text."""

from __future__ import annotations

import re
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.arrow_types import INTEGER_PATTERN, is_number, is_text, is_time, plain_type, type_name
from pdm_cli.io.parquet import TableFiles, find_table, iterate_part, open_file, part_name, read_units
from pdm_cli.io.part_schemas import is_index
from pdm_cli.io.sensor_names import find_sensor, propose_sensor
from pdm_cli.schema import MACHINE, RAW_TABLES, TIME
from pdm_cli.settings.model import ColumnsParams

_OPTIONS = {
    MACHINE: "--machine-column",
    TIME: "--datetime-column",
    "errorID": "--error-column",
    "comp": "--maint-column",
    "failure": "--failure-column",
}
# Options that name the same column in several tables.
_SHARED = (MACHINE, TIME)
_EXPECTED = {"machine": "whole numbers or text", "time": "timestamps", "text": "text or whole numbers"}
# Days of 0001-01-01 and 9999-12-31, counted from 1970.
_FIRST_DAY, _LAST_DAY = (date(*day).toordinal() - date(1970, 1, 1).toordinal() for day in ((1, 1, 1), (9999, 12, 31)))
# Rows read at once, and the share of strings that are not times above which the column has another format.
_PIECE_ROWS, _MOST_BAD_TIMES = 262_144, 0.5
# Spellings of a missing reading in other programs.
_MISSING_NUMBERS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
_NUMBER = r"^[+-]?(?:\d+{point}?\d*|{point}\d+)(?:[eE][+-]?\d+)?$|^[+-]?[iI]nf(?:inity)?$"


class ColumnReader:
    """Converts raw columns to the types of the schema; its errors name file, column and row.

    Parameters
    ----------
    file : str
        Name of the table's file, for messages.
    timezone : str
        IANA name of the zone of timestamps without one.
    first_row : int
        Row of the file at which the next piece begins.
    """

    def __init__(self, file: str, timezone: str, first_row: int) -> None:
        self._file = file
        self._timezone = timezone
        self._first_row = first_row

    def machine(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return the machine column as int64 or string."""
        column = _plain(self._complete(piece, name))
        try:
            return column.cast(pa.int64() if pa.types.is_integer(column.type) else pa.string())
        except pa.ArrowInvalid as exc:
            raise DataError(f"{self._file}: column {name}: {exc}", hint="store such machine IDs as strings") from exc

    def text(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return a column of event types as string; blank ones are rejected."""
        column = _plain(self._complete(piece, name)).cast(pa.string())
        is_blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
        if pc.any(is_blank).as_py():
            raise DataError(
                f"{self._file}: column {name}: blank value, first in {show_row(self._first(is_blank))}",
                hint=f"fill in the {name}",
            )
        return column

    def category(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return a column of strings, which may be missing, as string."""
        return _plain(piece[name]).cast(pa.string())

    def time(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return timestamps in UTC, microseconds, without a zone."""
        column = self._complete(piece, name)
        if pa.types.is_null(column.type):
            return column.cast(pa.timestamp("us"))
        self._check_years(column, name)
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("us"))
        if column.type.tz is None and self._timezone != "UTC":
            try:
                column = pc.assume_timezone(column, self._timezone)
            except pa.ArrowInvalid as exc:
                found = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", str(exc))
                raise DataError(
                    f"{self._file}: column {name}: {found[0] if found else 'a timestamp'} is ambiguous or does not "
                    f"exist in {self._timezone} (clock change)",
                    hint="export the times in UTC or with UTC offsets, or drop such rows; only for clocks that do not "
                    f"observe DST set --timezone {_standard_offset(self._timezone)}",
                ) from exc
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.timestamp("us"))
        # The time zone may move a time on the last day into the year 10000.
        self._check_years(column, name)
        return column

    def _check_years(self, column: pa.ChunkedArray, name: str) -> None:
        """Reject times outside the years 1 to 9999, which would wrap to another century or cannot be displayed."""
        per_day = _units_per_day(column.type)
        if per_day is None:
            return
        days = (column.cast(pa.int32()) if pa.types.is_date32(column.type) else column).cast(pa.int64())
        is_outside = pc.or_(pc.less(days, _FIRST_DAY * per_day), pc.greater_equal(days, (_LAST_DAY + 1) * per_day))
        if pc.any(is_outside).as_py():
            raise DataError(
                f"{self._file}: column {name}: time outside the years 1 to 9999, first in "
                f"{show_row(self._first(is_outside))}",
                hint="correct it, or drop the row",
            )

    def _complete(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        column = piece[name]
        if column.null_count:
            raise DataError(
                f"{self._file}: column {name}: missing value, first in {show_row(self._first(column.is_null()))}",
                hint=f"drop the rows without {name}",
            )
        return column

    def _first(self, mask: pa.ChunkedArray) -> int:
        return self._first_row + first_where(mask)


def _units_per_day(found: pa.DataType) -> int | None:
    """Return the units of a time type per day; ``None`` for nanoseconds, which cover the years 1677 to 2262 only."""
    if pa.types.is_date32(found):
        return 1
    unit = "ms" if pa.types.is_date64(found) else found.unit
    return {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}.get(unit)


def show_row(row: int) -> str:
    """Return the number of a row as messages name it."""
    return f"row {row:,} (counted from 0)"


def check_columns(files: TableFiles, expected: list[tuple[str, str, str]], folder: Path | None = None) -> None:
    """Check that a table has its key columns, with their types.

    Parameters
    ----------
    files : TableFiles
        The table.
    expected : list of (canonical name, name in the table, type)
        Types as in :class:`pdm_cli.schema.Column`.
    folder : Path, optional
        The folder of raw tables, whose other tables should have the same names of machine and time.
    """
    for canonical, name, kind in expected:
        if name not in files.schema.names:
            raise _missing_column(
                files, canonical, name, is_elsewhere=folder is not None and _is_in_others(folder, files, name)
            )
        found = files.schema.field(name).type
        # An empty log may have columns without a type.
        if not (_fits(found, kind) or pa.types.is_null(found)):
            raise _wrong_type(files, name, kind)


def has_zone(files: TableFiles, name: str) -> bool:
    """Return whether the timestamps of a column have a time zone."""
    found = files.schema.field(name).type
    return pa.types.is_timestamp(found) and found.tz is not None


def _wrong_type(files: TableFiles, name: str, kind: str) -> DataError:
    """Return the error for a column of a wrong type; a single bad value may have changed the type of the others."""
    place, found = _find_misfit(files, name, kind)
    problem = f"column {name} contains {type_name(found)}, expected {_EXPECTED[kind]}"
    if kind == "time":
        hint = "convert it, e.g. pandas.to_datetime(…)"
        if is_text(found) and (bad := _first_bad_time(files, name)):
            problem, hint = f"{problem}; {bad} is not a time", f"fix such values, then {hint}"
        return SchemaError(f"{place}: {problem}", hint=hint)
    missing = _first_missing(files, name)
    if missing is None:
        return SchemaError(f"{place}: {problem}", hint=f"convert it to {_EXPECTED[kind]}")
    return SchemaError(
        f"{place}: column {name}: missing value, first in {missing}; the column contains {type_name(found)}, "
        f"expected {_EXPECTED[kind]}",
        hint=f"drop the rows without {name}, then convert it to {_EXPECTED[kind]}",
    )


def _find_misfit(files: TableFiles, name: str, kind: str) -> tuple[str, pa.DataType]:
    """Return the name of the first part in which a column has a wrong type, and that type."""
    if len(files.parts) > 1:
        for part in files.parts:
            schema = open_file(part).schema_arrow
            if name in schema.names and not (
                _fits(schema.field(name).type, kind) or pa.types.is_null(schema.field(name).type)
            ):
                return part_name(files, part), schema.field(name).type
    return files.name, files.schema.field(name).type


def _first_missing(files: TableFiles, name: str) -> str | None:
    """Return the place of the first missing value of a column."""
    for part in files.parts:
        row = 0
        for piece in iterate_part(files, part, _PIECE_ROWS, [name]):
            at = first_where(piece[name].is_null(nan_is_null=True))
            if at >= 0:
                return _place(files, part, row + at)
            row += len(piece)
    return None


def _first_bad_time(files: TableFiles, name: str) -> str | None:
    """Return the first string that is not an ISO time, and its place, if most strings of its piece are."""
    # An import of logs, which needs no pandas, checks other columns.
    import pandas as pd

    for part in files.parts:
        row = 0
        for piece in iterate_part(files, part, _PIECE_ROWS, [name]):
            strings = piece[name].cast(pa.string())
            times = pd.to_datetime(strings.to_pandas(), format="ISO8601", errors="coerce", utc=True)
            is_bad = times.isna().to_numpy() & ~strings.is_null().to_numpy()
            if is_bad.any() and is_bad.mean() < _MOST_BAD_TIMES:
                at = int(is_bad.argmax())
                return f"{strings[at].as_py()!r} in {_place(files, part, row + at)}"
            row += len(piece)
    return None


def _place(files: TableFiles, part: Path, row: int) -> str:
    place = f" of {part_name(files, part)}" if len(files.parts) > 1 else ""
    return f"{show_row(row)}{place}"


def _is_in_others(folder: Path, files: TableFiles, name: str) -> bool:
    """Return whether another raw table has a column of this name."""
    for table in RAW_TABLES:
        try:
            other = find_table(folder, table, [name])
        except DataError:
            continue
        if other is not None and other.name != files.name and name in other.schema.names:
            return True
    return False


def _missing_column(files: TableFiles, canonical: str, name: str, *, is_elsewhere: bool = False) -> SchemaError:
    in_folders = dict.fromkeys(key for values in files.folder_values.values() for key in values)
    close = get_close_matches(name, [*files.schema.names, *in_folders], n=1, cutoff=0.5)
    if is_elsewhere and canonical in _SHARED:
        rename = f"rename {close[0]!r} to {name!r}" if close else "rename the column"
        hint = f"{rename} in {files.name}: {_OPTIONS[canonical]} applies to every table"
        return SchemaError(f"{files.name}: no column {name!r}", hint=hint)
    near = f"did you mean {close[0]!r}? select it" if close else f"select one of {', '.join(files.schema.names[:8])}"
    return SchemaError(f"{files.name}: no column {name!r}", hint=f"{near} with {_OPTIONS[canonical]}")


def find_sensors(files: TableFiles, columns: ColumnsParams) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sensors of a telemetry table, and its other columns except for the keys.

    Raises
    ------
    SchemaError
        If a named sensor is not a numeric column, or there is no sensor at all.
    """
    keys = {columns.machine_column, columns.datetime_column}
    others = [field.name for field in files.schema if field.name not in keys and not is_index(field.name)]
    # A column with the schema's name of a key, while another one is mapped to that key, contains no readings.
    numeric = tuple(name for name in others if is_number(files.schema.field(name).type) and name not in (MACHINE, TIME))
    units = read_units(files.parts[0]).sensors
    chosen = tuple(find_sensor(name, others, units) for name in columns.sensors)
    for name in chosen:
        if name in keys:
            raise SchemaError(
                f"{files.name}: column {name} is the machine or time column, not a sensor",
                hint="remove it from --sensors",
            )
        if name not in others:
            raise SchemaError(f"{files.name}: no column {name!r}", hint=propose_sensor(name, numeric))
        if name not in numeric:
            raise SchemaError(
                f"{files.name}: column {name} contains {type_name(files.schema.field(name).type)}, expected numbers",
                hint="list only numeric columns in --sensors",
            )
    sensors = tuple(dict.fromkeys(chosen)) or numeric
    if not sensors:
        raise SchemaError(f"{files.name}: no sensors: no numeric column besides machine and time", hint="add readings")
    return sensors, tuple(name for name in others if name not in sensors)


def _fits(found: pa.DataType, kind: str) -> bool:
    if kind == "time":
        return is_time(found)
    return is_text(found) or bool(pa.types.is_integer(plain_type(found)))


def to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers as double, rounded where an integer has too many digits."""
    return column.cast(pa.float64(), safe=False)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _standard_offset(timezone: str) -> str:
    """Return the UTC offset of a zone outside DST, such as ``+01:00``."""
    local = pa.array([datetime(2015, month, 1) for month in (1, 7)], pa.timestamp("s"))
    utc = pc.assume_timezone(local, timezone).cast(pa.timestamp("s"))
    minutes = pc.min(pc.subtract(local.cast(pa.int64()), utc.cast(pa.int64()))).as_py() // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def is_missing_value(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where a string stands for a missing number."""
    return pc.is_in(column, pa.array(_MISSING_NUMBERS))


def is_numeric_value(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return where a string is a number with this decimal separator and without thousands separators."""
    return pc.match_substring_regex(column, _NUMBER.format(point=f"[{decimal}]"))


def is_integer_value(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where a string is an integer that converts back to the same string."""
    return pc.match_substring_regex(column, INTEGER_PATTERN)


def begins_as_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where a string begins with a digit, optionally after a sign."""
    return pc.match_substring_regex(column, r"^[+-]?[.,]?\d")


def to_number(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return strings that are numbers or missing as double."""
    if decimal != ".":
        column = pc.replace_substring(column, decimal, ".")
    return pc.if_else(is_missing_value(column), pa.scalar(None, pa.string()), column).cast(pa.float64())


def first_where(mask: pa.ChunkedArray) -> int:
    """Return the first row where ``mask`` is true, or -1."""
    return int(pc.index(mask, True).as_py())


def distinct(
    column: pa.ChunkedArray,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct strings of a column, the first row of each, and for each row the position of its string."""
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    strings = np.array(coded.dictionary.to_pylist(), dtype=object)
    positions = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # Arrow numbers strings in the order of their first row.
    first = np.full(len(strings), len(positions))
    np.minimum.at(first, positions, np.arange(len(positions)))
    return strings, first, positions
