"""Find, read and write tables in Parquet; row groups consist of whole machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.folders import find_below, folder_values, is_half_moved, is_hidden, list_files, list_visible
from pdm_cli.io.part_schemas import add_folder_columns, unify_schemas
from pdm_cli.schema import ANOMALIES, TELEMETRY, Table
from pdm_cli.units import DATES, Units

if TYPE_CHECKING:
    import pandas as pd

_HEAD = b"PAR1"
_CONVERT = "convert it first; for CSV files use pdm import"


@dataclass(frozen=True)
class TableFiles:
    """The files of one table: a single Parquet file, or the sorted parts of a folder.

    Attributes
    ----------
    name : str
        Name of the file or folder, for messages.
    parts : tuple of Path
        The files with rows; if all are empty, one of them.
    schema : Schema
        The columns of all parts, with types that fit the values of all parts.
    folder_values : mapping
        The values in the names of the folders of each part, such as 1 of ``machineID=1/``.
    empty : int
        Number of empty parts, which are left out.
    """

    name: str
    parts: tuple[Path, ...]
    schema: pa.Schema
    folder_values: Mapping[Path, Mapping[str, str | None]] = field(default_factory=dict)
    empty: int = 0


def find_table(folder: Path, table: Table, from_folders: Sequence[str] = ()) -> TableFiles | None:
    """Find ``<table>.parquet`` or the parts in ``<table>/`` and check that they form one readable table.

    Parameters
    ----------
    folder : Path
        The folder of tables.
    table : Table
        The table.
    from_folders : sequence of str
        Columns that parts may lack if the names of their folders contain the value, as in ``machineID=1/``.

    Returns
    -------
    TableFiles or None
        ``None`` if the table is not in ``folder``.

    Raises
    ------
    SchemaError
        If both forms exist, the folder has no parts, or the columns of the parts do not fit together.
    DataError
        If a file is not Parquet or is damaged, or a link is broken.
    """
    places = [place for place in (folder / table.file, folder / table.name) if place.exists() or place.is_symlink()]
    if not places:
        return None
    if len(places) > 1:
        raise SchemaError(f"{folder}: contains both {table.file} and {table.name}/", hint="keep one of the two")
    place = places[0]
    listed = list_files(folder, table)
    if not listed:
        hint = _CONVERT if list_visible(place) else f"add the parts, or {table.file} instead"
        raise SchemaError(f"{place}/: no .parquet file", hint=hint)
    if place.is_file():
        schema = open_file(place).schema_arrow
        return TableFiles(place.name, (place,), unify_schemas([(place.name, schema)]))
    return _join_parts(place, listed, from_folders)


def _join_parts(place: Path, listed: Sequence[Path], from_folders: Sequence[str]) -> TableFiles:
    schemas = _read_schemas(listed)
    values = {part: folder_values(place, part) for part in schemas}
    extended = add_folder_columns(list(schemas.values()), list(values.values()), from_folders)
    names = [part.relative_to(place.parent).as_posix() for part in schemas]
    unified = unify_schemas(list(zip(names, extended, strict=True)))
    return TableFiles(f"{place.name}/", tuple(schemas), unified, values, len(listed) - len(schemas))


def _read_schemas(parts: Sequence[Path]) -> dict[Path, pa.Schema]:
    """Return the columns of each part that has rows, or of one part if all are empty."""
    schemas: dict[Path, pa.Schema] = {}
    empty: dict[Path, pa.Schema] = {}
    for part in parts:
        if part.stat().st_size:
            file = open_file(part)
            (schemas if file.metadata.num_rows else empty)[part] = file.schema_arrow
    if not (schemas or empty):
        raise _unreadable(parts[0], ValueError("empty"))
    return schemas or dict(list(empty.items())[:1])


def part_name(files: TableFiles, part: Path) -> str:
    """Return the name of a part in messages: the table's file, or the path within its folder."""
    if len(files.parts) == 1:
        return files.name
    root = next(parent for parent in part.parents if f"{parent.name}/" == files.name)
    return f"{files.name}{part.relative_to(root).as_posix()}"


def require_table(folder: Path, table: Table, from_folders: Sequence[str] = ()) -> TableFiles:
    """Find a required table; see :func:`find_table`."""
    found = find_table(folder, table, from_folders)
    if found is None:
        if is_half_moved(folder):
            raise SchemaError(
                f"{table.file}: not in {folder}: a killed run left its files half moved",
                hint="rerun the command that was writing to this folder",
            )
        if not _visible(folder):
            hint = f"it needs {table.file}; pdm import converts CSV logs"
            raise SchemaError(f"{folder}: the folder is empty", hint=hint)
        similar = (path for path in sorted(folder.glob(f"*{table.name}.*")) if not is_hidden(path.name))
        other = next((path for path in similar if path.is_file()), None)
        hint = f"found {other.name}: {_CONVERT}" if other else f"the folder contains {_listed(folder)}"
        if table is TELEMETRY and not other:
            hint = f"{hint}; pdm import converts CSV logs"
        raise SchemaError(f"{table.file}: not in {folder}", hint=hint)
    return found


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _listed(folder: Path) -> str:
    there = _visible(folder)
    return ", ".join(there[:8]) + (" …" if len(there) > 8 else "") if there else "nothing"


def require_file(folder: Path, table: Table) -> Path:
    """Return the file of a table that pdm wrote to ``folder``.

    Raises
    ------
    SchemaError
        If it does not exist or lacks a column.
    """
    path = folder / table.file
    expected = f"expected the output of pdm {'detect-anomalies' if table is ANOMALIES else 'preprocess'}"
    if not path.is_file():
        below = find_below(folder, lambda child: (child / table.file).is_file())
        hint = f"did you mean {below}?" if below else f"{expected}; the folder contains {_listed(folder)}"
        raise SchemaError(f"{table.file}: not in {folder}", hint=hint)
    stored = open_file(path).schema_arrow.names
    lacking = [column.name for column in table.columns if column.name not in stored and not column.is_recent]
    if lacking:
        raise SchemaError(f"{table.file}: no column {lacking[0]!r}: {path}", hint=expected)
    return path


def open_file(path: Path) -> pq.ParquetFile:
    """Open a Parquet file; the error distinguishes another format, a truncated and an unreadable file."""
    try:
        # Arrow takes a relative path with a colon for a URI.
        # Nanoseconds, the default for INT96, wrap to another century beyond 2262.
        return pq.ParquetFile(path.absolute(), page_checksum_verification=True, coerce_int96_timestamp_unit="us")
    except (pa.ArrowInvalid, OSError) as exc:
        raise _unreadable(path, exc) from exc


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn decoding errors into a :class:`DataError` that names ``path``."""
    try:
        yield
    except MemoryError:
        # Arrow's own one is an ArrowException too, but does not mean that the file is damaged.
        raise
    except (pa.ArrowException, OSError) as exc:
        raise _unreadable(path, exc) from exc


def iterate_part(files: TableFiles, part: Path, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of a part in pieces of at most ``rows``; columns have the types that the part stores.

    Columns that the part lacks have the value in the name of its folder, or no values.
    """
    file, values = open_file(part), files.folder_values.get(part, {})
    stored = set(file.schema_arrow.names)
    added = {
        name: pa.scalar(values.get(name)).cast(files.schema.field(name).type) for name in columns if name not in stored
    }
    for piece in _iterate(file, part, rows, [name for name in columns if name in stored]):
        yield pa.table({name: pa.repeat(added[name], len(piece)) if name in added else piece[name] for name in columns})


def iterate(path: Path, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of a file in pieces of at most ``rows``."""
    return _iterate(open_file(path), path, rows, columns)


def _iterate(file: pq.ParquetFile, path: Path, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    batches = file.iter_batches(rows, columns=list(columns))
    # One thread decodes a piece while the caller works on the one before.
    with ThreadPoolExecutor(1) as decoder:
        coming = decoder.submit(next, batches, None)
        while True:
            with reading(path):
                batch = coming.result()
            if batch is None:
                return
            coming = decoder.submit(next, batches, None)
            yield pa.table(batch)


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table that pdm wrote."""
    file = open_file(path)
    with reading(path):
        return to_frame(file.read(columns=list(columns) if columns is not None else None))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata that :class:`TableWriter` added to a table's schema."""
    metadata: dict[bytes, bytes] = open_file(path).schema_arrow.metadata or {}
    return {key.decode(): value.decode() for key, value in metadata.items()}


def read_units(path: Path) -> Units:
    """Return the units that a table records: dates if it records none, or cannot be read."""
    try:
        return Units.from_metadata(read_metadata(path))
    except (DataError, ValueError):
        return DATES


def find_units(folder: Path) -> Units:
    """Return the units that the telemetry in a folder records: dates if there is none."""
    try:
        parts = [path for path in list_files(folder, TELEMETRY) if path.stat().st_size]
    except (DataError, OSError):
        # Reported when the telemetry is read.
        return DATES
    return read_units(parts[0]) if parts else DATES


def read_step(path: Path) -> int:
    """Return the time step in microseconds that ``pdm preprocess`` recorded in a prepared table.

    Raises
    ------
    SchemaError
        If ``pdm preprocess`` did not write the table.
    """
    step = read_metadata(path).get("step_us", "")
    if not step.isdecimal() or int(step) < 1:
        raise SchemaError(
            f"{path.name}: not a prepared table: {path}", hint="run pdm preprocess to create prepared tables"
        )
    return int(step)


def count_row_groups(path: Path) -> int:
    """Return the number of row groups; in tables written by pdm each contains whole machines."""
    return int(open_file(path).metadata.num_row_groups)


def count_rows(path: Path) -> int:
    """Return the number of rows of a table."""
    return int(open_file(path).metadata.num_rows)


def read_row_group(path: Path, index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one row group."""
    file = open_file(path)
    with reading(path):
        return to_frame(file.read_row_group(index, columns=list(columns) if columns is not None else None))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Convert an Arrow table to a frame, times in microseconds, without a copy where possible."""
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame


class TableWriter:
    """Writes one Parquet file, one row group per call; equal frames give equal bytes.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    metadata : mapping of str to str, optional
        Stored in the file's schema.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._metadata = dict(metadata or {})
        self._writer: pq.ParquetWriter | None = None
        self._stream: BinaryIO | None = None
        self.rows = 0

    def write(self, frame: pd.DataFrame) -> None:
        """Append ``frame`` as one row group; the first frame determines columns and types."""
        self.write_arrow(pa.Table.from_pandas(frame, preserve_index=False))

    def write_arrow(self, table: pa.Table) -> None:
        """Append an Arrow table as one row group."""
        table = table.replace_schema_metadata(self._metadata)
        if self._writer is None:
            self._writer = self._open(table.schema)
        self._writer.write_table(table.cast(self._writer.schema), row_group_size=max(len(table), 1))
        self.rows += len(table)

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        floats = [field.name for field in schema if pa.types.is_floating(field.type)]
        others = [field.name for field in schema if field.name not in floats]
        # Through a stream of our own, because Arrow takes a path with a colon for a URI.
        self._stream = self._path.open("wb")
        return pq.ParquetWriter(
            self._stream,
            schema,
            compression="zstd",
            use_dictionary=others,
            use_byte_stream_split=floats,
            write_page_checksum=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._stream is not None:
            self._stream.close()


def write_frame(path: Path, frame: pd.DataFrame, metadata: Mapping[str, str] | None = None) -> None:
    """Write a small table as one row group."""
    with TableWriter(path, metadata) as writer:
        writer.write(frame)


def _unreadable(path: Path, exc: Exception) -> DataError:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            is_parquet = stream.read(len(_HEAD)) == _HEAD
            stream.seek(max(size - len(_HEAD), 0))
            is_closed = stream.read() == _HEAD
    except OSError as error:
        return DataError(f"{path.name}: cannot be read: {error.strerror}: {path}", hint="check the file's permissions")
    if size == 0:
        return DataError(f"{path.name}: empty file (0 bytes): {path}", hint="write it again")
    if not is_parquet:
        return DataError(f"{path.name}: not a Parquet file: {path}", hint=_CONVERT)
    if not is_closed:
        return DataError(f"{path.name}: truncated Parquet file ({size:,} bytes): {path}", hint="copy or write it again")
    reason = str(exc).splitlines()[0]
    return DataError(f"{path.name}: damaged Parquet file: {path} ({reason})", hint="copy or write it again")
