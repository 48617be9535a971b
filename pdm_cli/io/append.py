"""Append new rows to a raw table, without those that it already contains, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.io import parquet
from pdm_cli.io.arrow_types import is_number, is_text
from pdm_cli.io.parquet import TableFiles, TableWriter
from pdm_cli.io.part_schemas import is_index

_OLD_ROWS = 262_144
# All old rows are read once per so many new ones.
_NEW_ROWS = 2_000_000


@dataclass(frozen=True)
class Conflict:
    """The first new row with other values than an old row with the same key."""

    row: int
    key: dict[str, Any]
    column: str
    new: Any
    old: Any


@dataclass
class Overlap:
    """Rows that two tables share.

    Attributes
    ----------
    is_same, is_other : array of bool, shape (new rows,)
        New rows that equal an old row, and new rows with the key of an old row but other values.
    is_stale : array of bool, shape (old rows,)
        Old rows with the key of the latter, except those that equal a new row.
    first : Conflict, optional
        The first new row with other values.
    """

    is_same: npt.NDArray[np.bool_]
    is_other: npt.NDArray[np.bool_]
    is_stale: npt.NDArray[np.bool_]
    first: Conflict | None = None


def old_types(old: TableFiles) -> dict[str, pa.DataType]:
    """Return the columns of a raw table and their types after an import; unsupported types are returned unchanged.

    The type of a column without values is null, which fits any new values.
    """
    columns = [item for item in old.schema if not is_index(item.name)]
    return {item.name: _plain_type(item.type) if _has_value(old, item.name) else pa.null() for item in columns}


def find_overlap(old: TableFiles, new: Path, *, key: Sequence[str], time: str) -> Overlap:
    """Find the new rows that the table already contains.

    Parameters
    ----------
    old : TableFiles
        The existing raw table.
    new : Path
        Parquet file with the new rows; its columns have the names and types of :func:`old_types`, except for null.
    key : sequence of str
        Columns that identify a row.
    time : str
        The time column, or empty; old rows outside the time span of the new ones are skipped.
    """
    rows = parquet.count_rows(new)
    old_rows = sum(parquet.count_rows(part) for part in old.parts)
    overlap = Overlap(np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool), np.zeros(old_rows, dtype=bool))
    comparison = _Comparison(old, overlap, np.zeros(old_rows, dtype=bool), key, time)
    begin = 0
    for piece in parquet.iterate(new, _NEW_ROWS, parquet.open_file(new).schema_arrow.names):
        comparison.add(begin, piece)
        begin += len(piece)
    # The equal new rows are not added, so these old rows must stay.
    overlap.is_stale &= ~comparison.is_old_same
    return overlap


def write_appended(old: TableFiles, new: Path, path: Path, overlap: Overlap, *, is_new_kept: bool) -> int:
    """Write the old rows and the new ones not among them, and return the total number of rows.

    Parameters
    ----------
    old, new, overlap
        As in :func:`find_overlap`.
    path : Path
        The Parquet file to write.
    is_new_kept : bool
        Whether the new row is kept, or the old one, if their values differ.
    """
    names = parquet.open_file(new).schema_arrow.names
    left_out = overlap.is_same if is_new_kept else overlap.is_same | overlap.is_other
    units = [parquet.read_units(part) for part in (old.parts[0], new)]
    joined = replace(units[1], sensors={**units[0].sensors, **units[1].sensors})
    with TableWriter(path, joined.metadata()) as writer:
        for begin, piece in _old_pieces(old, parquet.open_file(new).schema_arrow):
            is_stale = overlap.is_stale[begin : begin + len(piece)]
            writer.write_arrow(piece.filter(pa.array(~is_stale)) if is_new_kept else piece)
        begin = 0
        for piece in parquet.iterate(new, _OLD_ROWS, names):
            is_kept = ~left_out[begin : begin + len(piece)]
            begin += len(piece)
            if is_kept.any() or not writer.rows:
                writer.write_arrow(piece.filter(pa.array(is_kept)))
    return writer.rows


@dataclass
class _Comparison:
    """Compares pieces of new rows with all old rows."""

    old: TableFiles
    overlap: Overlap
    is_old_same: npt.NDArray[np.bool_]
    key: Sequence[str]
    time: str

    def add(self, begin: int, piece: pa.Table) -> None:
        """Compare the new rows from number ``begin``."""
        overlap, new = self.overlap, piece.to_pandas()
        found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
        for rows, frame in self._old_near(piece):
            pairs = find_overlaps(new, frame, key=self.key)
            overlap.is_same[begin + pairs.new[pairs.is_same]] = True
            self.is_old_same[rows[pairs.old[pairs.is_same]]] = True
            other = ~pairs.is_same
            found.append((pairs.new[other], rows[pairs.old[other]]))
            if overlap.first is None and other.any():
                overlap.first = _conflict(begin, new, frame, (pairs.new[other][0], pairs.old[other][0]), self.key)
        for numbers, rows in found:
            # A new row that equals an old one is already in the table, even if another old row has the same key.
            is_other = ~overlap.is_same[begin + numbers]
            overlap.is_other[begin + numbers[is_other]] = True
            overlap.is_stale[rows[is_other]] = True

    def _old_near(self, piece: pa.Table) -> Iterator[tuple[npt.NDArray[np.int64], pd.DataFrame]]:
        """Yield numbers and values of the old rows within the time span of ``piece``."""
        span = pc.min_max(piece[self.time]) if self.time else None
        for first, old in _old_pieces(self.old, piece.schema):
            rows = np.arange(first, first + len(old))
            if span is not None:
                is_near = pc.and_(
                    pc.greater_equal(old[self.time], span["min"]), pc.less_equal(old[self.time], span["max"])
                )
                # A row without a time matches none.
                is_near = is_near.fill_null(False).combine_chunks()
                old, rows = old.filter(is_near), rows[is_near.to_numpy(zero_copy_only=False)]
            yield rows, old.to_pandas()


def _conflict(begin: int, new: pd.DataFrame, old: pd.DataFrame, pair: tuple[int, int], key: Sequence[str]) -> Conflict:
    one, other = new.iloc[pair[0]], old.iloc[pair[1]]
    names = [name for name in new.columns if name not in key]
    column = next(n for n in names if not (one[n] == other[n] or (pd.isna(one[n]) and pd.isna(other[n]))))
    return Conflict(begin + int(pair[0]), {name: one[name] for name in key}, column, one[column], other[column])


def _old_pieces(old: TableFiles, schema: pa.Schema) -> Iterator[tuple[int, pa.Table]]:
    """Yield the old rows with the columns of the new table, and the number of the first of them."""
    begin = 0
    for part in old.parts:
        for piece in parquet.iterate_part(old, part, _OLD_ROWS, schema.names):
            columns = [_cast(piece[item.name], item.type) for item in schema]
            yield begin, pa.table(columns, schema=schema.remove_metadata())
            begin += len(piece)


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), target)])
    return column.cast(target, safe=False)


def _has_value(files: TableFiles, name: str) -> bool:
    pieces = (piece for part in files.parts for piece in parquet.iterate_part(files, part, _OLD_ROWS, [name]))
    return any(piece[name].null_count < len(piece) for piece in pieces)


def _plain_type(found: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(found):
        return pa.timestamp("us", tz="UTC" if found.tz else None)
    if is_text(found):
        return pa.string()
    return pa.float64() if is_number(found) else found


@dataclass(frozen=True)
class Pairs:
    """Pairs of a new and an old row with the same key.

    Attributes
    ----------
    new, old : array of int, shape (pairs,)
        Positions of the rows in their frames.
    is_same : array of bool, shape (pairs,)
        Whether all other columns are equal; missing values are equal to each other.
    """

    new: npt.NDArray[np.int64]
    old: npt.NDArray[np.int64]
    is_same: npt.NDArray[np.bool_]


def find_overlaps(new: pd.DataFrame, old: pd.DataFrame, *, key: Sequence[str]) -> Pairs:
    """Find the rows of two frames with the same key.

    Parameters
    ----------
    new, old : DataFrame
        Frames with the same columns and types.
    key : sequence of str
        Columns that identify a row, without missing values.
    """
    names = list(key)
    numbered = [frame[names].assign(__row=np.arange(len(frame))) for frame in (new, old)]
    pairs = numbered[0].merge(numbered[1], on=names, suffixes=("_new", "_old"))
    left, right = (pairs[f"__row_{side}"].to_numpy(dtype=np.int64) for side in ("new", "old"))
    is_same = np.ones(len(pairs), dtype=bool)
    for name in new.columns.difference(names):
        one, other = (frame[name].iloc[rows].reset_index(drop=True) for frame, rows in ((new, left), (old, right)))
        is_same &= ((one == other).fillna(False) | (one.isna() & other.isna())).to_numpy(dtype=bool)
    return Pairs(left, right, is_same)
