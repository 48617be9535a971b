"""Read raw tables: columns mapped and typed, times in UTC; telemetry streamed by whole machines in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.io import parquet
from pdm_cli.io.arrow_types import is_number, is_text, type_name
from pdm_cli.io.columns import (
    ColumnReader,
    check_columns,
    find_sensors,
    first_where,
    has_zone,
    is_missing_value,
    is_numeric_value,
    show_row,
    to_float,
)
from pdm_cli.io.parquet import TableFiles
from pdm_cli.io.part_schemas import is_index
from pdm_cli.io.scan import Scanner, TelemetryScan
from pdm_cli.preparation.quality import FIRST_ROWS, Finding
from pdm_cli.preparation.time_range import TimeRange
from pdm_cli.schema import (
    EVENT_COLUMNS,
    EVENT_TABLES,
    LARGEST_READING,
    MACHINE,
    MACHINES,
    RAW_TABLES,
    TELEMETRY,
    TIME,
    Table,
)
from pdm_cli.settings.model import ColumnsParams, PreprocessParams

# Rows per decoded piece, and per batch of whole machines: large enough to amortise a call, small in memory.
PIECE_ROWS = 262_144
BATCH_ROWS = 100_000


class RawTelemetry:
    """The telemetry table of a raw folder.

    Parameters
    ----------
    folder : Path
        Contains ``telemetry.parquet``, or parts in ``telemetry/``.
    columns : ColumnsParams
        Names of the columns in the raw table.
    params : PreprocessParams
        Time zone of naive timestamps, step if given, rows to keep in memory.

    Raises
    ------
    SchemaError
        If the table or a column is missing or has a wrong type.
    """

    def __init__(self, folder: Path, columns: ColumnsParams, params: PreprocessParams) -> None:
        self._files = parquet.require_table(folder, TELEMETRY, [columns.machine_column])
        self._columns, self._params = columns, params
        self._names = {MACHINE: columns.machine_column, TIME: columns.datetime_column}
        keys = [(MACHINE, self._names[MACHINE], "machine"), (TIME, self._names[TIME], "time")]
        check_columns(self._files, keys, folder)
        self.sensors, self.ignored = find_sensors(self._files, columns)

    def type_of(self, name: str) -> str:
        """Return the type of a column in plain words."""
        return type_name(self._files.schema.field(name).type)

    def check_texts(self) -> None:
        """Reject string columns that are mostly numbers: a sensor would be left out because of a few bad values.

        Raises
        ------
        DataError
            With the column and the first value that is not a number; not if the sensors are listed in the settings.
        """
        for name in self.ignored:
            if is_text(self._files.schema.field(name).type) and not self._columns.sensors:
                self._check_text(name)

    def _check_text(self, name: str) -> None:
        numbers, others, row, first = 0, 0, 0, ""
        for part in self._files.parts:
            for piece in parquet.iterate_part(self._files, part, PIECE_ROWS, [name]):
                strings = piece[name].cast(pa.string())
                is_numeric = is_numeric_value(strings, ".")
                wrong = pc.and_kleene(pc.invert(is_numeric), pc.invert(is_missing_value(strings)))
                if not first and (at := first_where(wrong)) >= 0:
                    first = f"{strings[at].as_py()!r} is not a number, first in {show_row(row + at)}"
                numbers += pc.sum(is_numeric).as_py() or 0
                others += pc.sum(wrong).as_py() or 0
                row += len(piece)
            if others >= numbers:
                return
        if first:
            raise DataError(
                f"{self._files.name}: column {name}: {first}; most values of this text column are numbers",
                hint="fix it and convert the column to numbers, or list the sensor columns with --sensors",
            )

    def scan(self, scanner: Scanner | None = None) -> TelemetryScan:
        """Read machines and timestamps to find their order, rows per machine and time step.

        They are read twice if times that cannot be right have to be left out.

        Parameters
        ----------
        scanner : Scanner, optional
            Scanned all rows before, so that they need not be read.

        Raises
        ------
        NotEnoughData
            If the table has no rows, or none in the time range.
        DataError
            If a machine or timestamp is missing, or no step is given and none is regular enough.
        """
        scanner = scanner or self._survey()
        time_range = scanner.days.find_range(self._params.time_range)
        outside, machines = Finding(), scanner.counts.keys()
        if not scanner.days.is_within(time_range):
            scanner, outside = self._scan_within(time_range)
        step = self._step(scanner)
        given = self._params.phase_minutes
        phase = scanner.phase(step) if given is None else round(given * 60e6) % step
        rows = dict(sorted(scanner.counts.items()))
        return TelemetryScan(
            rows=rows,
            in_order=scanner.in_order,
            step_us=step,
            phase_us=phase,
            out_of_order=scanner.out_of_order,
            first_out_of_order=scanner.first_out_of_order,
            span_us=scanner.span_us,
            time_range=time_range,
            days=scanner.days,
            outside=outside,
            machines_outside=frozenset(machines - scanner.counts.keys()),
            ends_us=scanner.ends_us,
            repeated=scanner.repeated,
            set_back=scanner.set_back,
        )

    def _scan_within(self, time_range: TimeRange) -> tuple[Scanner, Finding]:
        """Scan the rows in a time range, and count the others."""
        scanner, outside = Scanner(), Finding()
        for piece in self._pieces(()):
            is_inside = _is_within(piece, time_range)
            others = piece.filter(pa.array(~is_inside))
            outside.add(len(others), others.slice(0, FIRST_ROWS).to_pandas().assign(table=TELEMETRY.file))
            if is_inside.any():
                kept = piece.filter(pa.array(is_inside))
                scanner.add(kept[MACHINE], kept[TIME])
        if not scanner.counts:
            raise NotEnoughData(
                f"{self._files.name}: no reading in --time-range {self._params.time_range}", hint="change the range"
            )
        return scanner, outside

    def _survey(self) -> Scanner:
        """Scan all rows."""
        scanner = Scanner()
        for piece in self._pieces(()):
            scanner.add(piece[MACHINE], piece[TIME])
        if not scanner.counts:
            raise NotEnoughData(f"{self._files.name}: the table is empty (0 rows)", hint="add readings")
        return scanner

    def _step(self, scanner: Scanner) -> int:
        return round(self._params.step_minutes * 60e6) or scanner.step(self._files.name)

    def batches(self, scan: TelemetryScan, scratch: Path) -> Iterator[pd.DataFrame]:
        """Yield frames of whole machines, sorted by machine and time; equal times keep their order in the file.

        Parameters
        ----------
        scan : TelemetryScan
            The scan of this table.
        scratch : Path
            Folder for temporary files, used if the table is unsorted and larger than the memory allowed.

        Yields
        ------
        DataFrame
            ``machineID``, ``datetime`` (UTC, us), one float column per sensor; about ``BATCH_ROWS`` rows. Batches
            depend on the rows alone, not on the layout of the file.
        """
        if scan.in_order:
            yield from pack_machines(self._machines_in_order(scan), BATCH_ROWS)
        elif sum(scan.rows.values()) <= self._params.rows_in_memory:
            everything = [piece.to_pandas() for piece in self.pieces(scan)]
            yield from pack_machines([_sort(pd.concat(everything, ignore_index=True))], BATCH_ROWS)
        else:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                yield from pack_machines(self._machines_by_disk(scan, Path(folder)), BATCH_ROWS)

    def _pieces(self, sensors: tuple[str, ...]) -> Iterator[pa.Table]:
        names = [*self._names.values(), *sensors]
        for piece, read in _read_pieces(self._files, names, self._params.timezone):
            keys = {MACHINE: read.machine(piece, self._names[MACHINE]), TIME: read.time(piece, self._names[TIME])}
            yield pa.table(keys | {name: to_float(piece[name]) for name in sensors})

    def pieces(self, scan: TelemetryScan) -> Iterator[pa.Table]:
        """Yield the rows in the time range of a scan, in pieces in the order of the file."""
        for piece in self._pieces(self.sensors):
            is_inside = _is_within(piece, scan.time_range)
            kept = piece if is_inside.all() else piece.filter(pa.array(is_inside))
            if len(kept):
                yield kept

    def _machines_in_order(self, scan: TelemetryScan) -> Iterator[pd.DataFrame]:
        held: list[pd.DataFrame] = []
        for piece in self.pieces(scan):
            held.append(piece.to_pandas())
            machines = held[-1][MACHINE]
            last = machines.iloc[-1]
            if held[0][MACHINE].iloc[0] == last:
                continue
            frame = pd.concat(held, ignore_index=True)
            is_last = (frame[MACHINE] == last).to_numpy()
            held = [frame[is_last]]
            yield _sort(frame[~is_last])
        yield _sort(pd.concat(held, ignore_index=True))

    def _machines_by_disk(self, scan: TelemetryScan, scratch: Path) -> Iterator[pd.DataFrame]:
        bucket_of = _buckets(scan.rows, self._params.rows_in_memory)
        paths = [scratch / f"{number}.arrow" for number in range(max(bucket_of.values()) + 1)]
        with ExitStack() as stack:
            writers: dict[int, Any] = {}
            for piece in self.pieces(scan):
                machines = piece[MACHINE].combine_chunks().dictionary_encode()
                numbers = np.array([bucket_of[m] for m in machines.dictionary.to_pylist()])[machines.indices]
                for number in np.unique(numbers).tolist():
                    if number not in writers:
                        sink = stack.enter_context(pa.OSFile(str(paths[number]), "wb"))
                        writers[number] = stack.enter_context(pa.ipc.new_file(sink, piece.schema))
                    writers[number].write_table(piece.filter(pa.array(numbers == number)))
        for path in paths:
            with pa.OSFile(str(path), "rb") as source:
                yield _sort(pa.ipc.open_file(source).read_all().to_pandas())
            path.unlink()


def _is_within(piece: pa.Table, time_range: TimeRange) -> npt.NDArray[np.bool_]:
    return time_range.covers(piece[TIME].cast(pa.int64()).to_numpy())


def _read_pieces(files: TableFiles, names: list[str], timezone: str) -> Iterator[tuple[pa.Table, ColumnReader]]:
    """Yield the rows of all parts in pieces, and the reader of their columns."""
    for part in files.parts:
        row = 0
        for piece in parquet.iterate_part(files, part, PIECE_ROWS, names):
            yield piece, ColumnReader(parquet.part_name(files, part), timezone, row)
            row += len(piece)


def _read_all(
    files: TableFiles, names: list[str], timezone: str, convert: Callable[[pa.Table, ColumnReader], dict[str, Any]]
) -> pd.DataFrame:
    """Return the converted columns of all parts."""
    # A piece without rows gives an empty table its types.
    no_rows = files.schema.empty_table().select(names), ColumnReader(files.name, timezone, 0)
    pieces = [no_rows, *_read_pieces(files, names, timezone)]
    frame: pd.DataFrame = pa.concat_tables(pa.table(convert(piece, read)) for piece, read in pieces).to_pandas()
    return frame


def read_events(folder: Path, table: Table, columns: ColumnsParams, timezone: str) -> pd.DataFrame | None:
    """Read an event table, sorted by machine, time and event type.

    Returns
    -------
    DataFrame or None
        ``datetime`` (UTC, us), ``machineID`` and the event type as string; ``None`` if there is no such table.

    Raises
    ------
    SchemaError
        If a column is missing or has a wrong type.
    DataError
        If a value is missing.
    """
    kind = EVENT_COLUMNS[table.name]
    named = {"errorID": columns.error_column, "comp": columns.maint_column, "failure": columns.failure_column}[kind]
    files = parquet.find_table(folder, table, [columns.machine_column, named])
    if files is None:
        return None
    names = {TIME: columns.datetime_column, MACHINE: columns.machine_column, kind: named}
    expected = [(TIME, names[TIME], "time"), (MACHINE, names[MACHINE], "machine"), (kind, names[kind], "text")]
    check_columns(files, expected, folder)

    def convert(piece: pa.Table, read: ColumnReader) -> dict[str, Any]:
        return {
            TIME: read.time(piece, names[TIME]),
            MACHINE: read.machine(piece, names[MACHINE]),
            kind: read.text(piece, names[kind]),
        }

    frame = _read_all(files, list(names.values()), timezone, convert)
    return frame.sort_values([MACHINE, TIME, kind], kind="stable", ignore_index=True)


def tables_by_zone(folder: Path, columns: ColumnsParams) -> tuple[list[str], list[str]]:
    """Return the files whose timestamps have a time zone, and those whose timestamps have none."""
    zoned: list[str] = []
    naive: list[str] = []
    for table in (TELEMETRY, *EVENT_TABLES):
        files = parquet.find_table(folder, table)
        if files is not None and columns.datetime_column in files.schema.names:
            (zoned if has_zone(files, columns.datetime_column) else naive).append(files.name)
    return zoned, naive


def count_empty_parts(folder: Path) -> dict[str, int]:
    """Return the number of empty parts of each table that has any."""
    found = {table.name: parquet.find_table(folder, table) for table in RAW_TABLES}
    return {name: files.empty for name, files in found.items() if files is not None and files.empty}


def read_machines(folder: Path, columns: ColumnsParams) -> pd.DataFrame | None:
    """Read machine attributes: numbers as float, strings and booleans as string; ``None`` without a table.

    Columns of other types are left out.

    Raises
    ------
    SchemaError
        If the machine column is missing or has a wrong type.
    DataError
        If a machine ID is missing or duplicated, or a number is not finite.
    """
    name = columns.machine_column
    files = parquet.find_table(folder, MACHINES, [name])
    if files is None:
        return None
    check_columns(files, [(MACHINE, name, "machine")], folder)
    attributes = [item for item in files.schema if item.name not in (name, MACHINE) and not is_index(item.name)]
    numbers = [item.name for item in attributes if is_number(item.type)]
    texts = [item.name for item in attributes if is_text(item.type) or pa.types.is_boolean(item.type)]
    kept = [item.name for item in attributes if item.name in {*numbers, *texts}]

    def convert(piece: pa.Table, read: ColumnReader) -> dict[str, Any]:
        found = {item: to_float(piece[item]) if item in numbers else read.category(piece, item) for item in kept}
        return {MACHINE: read.machine(piece, name)} | found

    frame = _read_all(files, [name, *kept], "UTC", convert)
    _check_attributes(files.name, name, frame)
    return frame.sort_values(MACHINE, ignore_index=True)


def _check_attributes(file: str, name: str, frame: pd.DataFrame) -> None:
    """Reject duplicate machines, and attributes that are not finite."""
    twice = frame[MACHINE].duplicated()
    if twice.any():
        first = frame[MACHINE][twice].iloc[0]
        raise DataError(
            f"{file}: duplicate {name} rows: {int(twice.sum())}, first {first}",
            hint="keep one row per machine",
        )
    for attribute, column in frame.select_dtypes("float64").items():
        is_wrong = column.abs() > LARGEST_READING
        if is_wrong.any():
            raise DataError(
                f"{file}: column {attribute}: {column[is_wrong].iloc[0]:g} is not finite, "
                f"first for machine {frame[MACHINE][is_wrong].iloc[0]}",
                hint="leave unknown values empty",
            )


def pack_machines(frames: Iterable[pd.DataFrame], rows: int) -> Iterator[pd.DataFrame]:
    """Regroup frames of whole machines, in order, into batches of at most ``rows`` rows or one machine.

    The batches depend only on the order and sizes of the machines.
    """
    held: list[pd.DataFrame] = []
    size = 0
    for frame in frames:
        starts = machine_starts(frame)
        for start, stop in zip(starts, [*starts[1:], len(frame)], strict=True):
            if held and size + stop - start > rows:
                yield pd.concat(held, ignore_index=True)
                held, size = [], 0
            held.append(frame.iloc[start:stop])
            size += stop - start
    if held:
        yield pd.concat(held, ignore_index=True)


def machine_starts(frame: pd.DataFrame) -> list[int]:
    """Return the position of the first row of each machine."""
    machines = frame[MACHINE]
    changed: list[int] = np.flatnonzero((machines != machines.shift()).to_numpy()).tolist()
    return changed


def _sort(frame: pd.DataFrame) -> pd.DataFrame:
    machines = pd.factorize(frame[MACHINE], sort=True)[0]
    times = frame[TIME].to_numpy()
    same = machines[1:] == machines[:-1]
    if np.all(machines[1:] >= machines[:-1]) and np.all(times[1:][same] >= times[:-1][same]):
        return frame.reset_index(drop=True)
    return frame.iloc[np.lexsort((times, machines))].reset_index(drop=True)


def _buckets(rows: dict[Any, int], limit: int) -> dict[Any, int]:
    """Assign machines in ascending order to numbered buckets of at most ``limit`` rows or one machine."""
    buckets, number, size = {}, 0, 0
    for machine, count in rows.items():
        if size and size + count > limit:
            number, size = number + 1, 0
        buckets[machine] = number
        size += count
    return buckets
