"""Columns of raw tables: which are there, of which kind, and how they become the types of the contract."""

from __future__ import annotations

import re
from datetime import datetime
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.parquet import TableFiles
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import ColumnsParams

_OPTIONS = {
    MACHINE: "--machine-column",
    TIME: "--datetime-column",
    "errorID": "--error-column",
    "comp": "--maint-column",
    "failure": "--failure-column",
}
_WANTED = {"machine": "an integer or a text", "time": "a timestamp", "text": "a text or an integer"}


class ColumnReader:
    """Turns raw columns into typed ones; its errors name file, column and row.

    Parameters
    ----------
    file : str
        Name of the table's file, for messages.
    timezone : str
        IANA name of the zone of stamps that carry none.
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
            raise DataError(f"{self._file}: column {name}: {exc}", hint="name such machines by a text") from exc

    def text(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return a column of kinds as string; a blank kind is refused."""
        column = _plain(self._complete(piece, name)).cast(pa.string())
        is_blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
        if pc.any(is_blank).as_py():
            first = self._first_row + int(np.flatnonzero(is_blank.to_numpy())[0])
            raise DataError(
                f"{self._file}: column {name}: a text is blank, first in row {first:,}", hint=f"fill in the {name}"
            )
        return column

    def category(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return a column of texts that may be missing as string."""
        return _plain(piece[name]).cast(pa.string())

    def time(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        """Return the stamps in UTC, microseconds, without a zone."""
        column = self._complete(piece, name)
        if pa.types.is_null(column.type):
            return column.cast(pa.timestamp("us"))
        if column.type.tz is None and self._timezone != "UTC":
            try:
                column = pc.assume_timezone(column, self._timezone)
            except pa.ArrowInvalid as exc:
                stamp = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", str(exc))
                raise DataError(
                    f"{self._file}: column {name}: {stamp[0] if stamp else 'a stamp'} is not one instant "
                    f"in {self._timezone}: clocks were changed",
                    hint=f"--timezone {_winter_time(self._timezone)} for a log that keeps winter time all year; "
                    "else give stamps in UTC, or with their zone",
                ) from exc
        return column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.timestamp("us"))

    def _complete(self, piece: pa.Table, name: str) -> pa.ChunkedArray:
        column = piece[name]
        if column.null_count:
            first = self._first_row + int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise DataError(
                f"{self._file}: column {name}: a value is missing, first in row {first:,}",
                hint=f"drop the rows without {name}",
            )
        return column


def check_columns(files: TableFiles, wanted: list[tuple[str, str, str]]) -> None:
    """Refuse a table that lacks a column or has it in another kind.

    Parameters
    ----------
    files : TableFiles
        The table.
    wanted : list of (canonical name, name in the table, kind)
        Kinds as in :class:`pdm_cli.schema.Column`.
    """
    for canonical, name, kind in wanted:
        if name not in files.schema.names:
            raise _missing_column(files, canonical, name)
        found = files.schema.field(name).type
        # A log without a row has no type to tell.
        if not (_is_kind(found, kind) or pa.types.is_null(found)):
            raise SchemaError(
                f"{files.name}: column {name} is {found}, wanted {_WANTED[kind]}",
                hint="convert it, e.g. pandas.to_datetime(…)" if kind == "time" else f"convert it to {_WANTED[kind]}",
            )


def has_zone(files: TableFiles, name: str) -> bool:
    """Return whether the stamps of a column carry a time zone."""
    kind = files.schema.field(name).type
    return pa.types.is_timestamp(kind) and kind.tz is not None


def _missing_column(files: TableFiles, canonical: str, name: str) -> SchemaError:
    close = get_close_matches(name, files.schema.names, n=1, cutoff=0.5)
    near = f"the nearest is {close[0]!r}" if close else f"it has {', '.join(files.schema.names[:8])}"
    option = _OPTIONS.get(canonical, "--sensors")
    return SchemaError(f"{files.name}: no column {name!r}", hint=f"{near}; {option} names the column to use")


def find_sensors(files: TableFiles, columns: ColumnsParams) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sensors of a telemetry table and the columns that are none.

    Raises
    ------
    SchemaError
        If a named sensor is not a numeric column, or there is no sensor at all.
    """
    keys = {columns.machine_column, columns.datetime_column}
    others = [field.name for field in files.schema if field.name not in keys and not is_index(field.name)]
    # A column that bears the name of the contract while another one is mapped to it is no reading.
    numeric = tuple(name for name in others if is_number(files.schema.field(name).type) and name not in (MACHINE, TIME))
    for name in columns.sensors:
        if name in keys:
            raise SchemaError(f"{files.name}: column {name} is the machine or the time, no sensor", hint="--sensors")
        if name not in others:
            raise _missing_column(files, "sensor", name)
        if name not in numeric:
            raise SchemaError(
                f"{files.name}: column {name} is {files.schema.field(name).type}, wanted a number",
                hint="--sensors names numeric columns",
            )
    sensors = tuple(dict.fromkeys(columns.sensors)) or numeric
    if not sensors:
        raise SchemaError(f"{files.name}: no sensor: no numeric column beside machine and time", hint="add readings")
    return sensors, tuple(name for name in others if name not in sensors)


def _is_kind(found: pa.DataType, kind: str) -> bool:
    if kind == "time":
        return bool(pa.types.is_timestamp(found))
    if pa.types.is_dictionary(found):
        found = found.value_type
    return is_text(found) or bool(pa.types.is_integer(found))


def is_text(found: pa.DataType) -> bool:
    """Return whether an Arrow type holds texts, plain or as categories."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def is_number(found: pa.DataType) -> bool:
    """Return whether an Arrow type holds numbers; truth values are none."""
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found))


def is_index(name: str) -> bool:
    """Return whether pandas wrote the column for an index without a name: a number, but no reading."""
    return name.startswith("__index_level_")


def to_float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers as double, the nearest one where an integer is too long."""
    return column.cast(pa.float64(), safe=False)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _winter_time(timezone: str) -> str:
    """Return how far a zone is from UTC while its clocks are not put forward, such as ``+01:00``."""
    local = pa.array([datetime(2015, month, 1) for month in (1, 7)], pa.timestamp("s"))
    utc = pc.assume_timezone(local, timezone).cast(pa.timestamp("s"))
    minutes = pc.min(pc.subtract(local.cast(pa.int64()), utc.cast(pa.int64()))).as_py() // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
