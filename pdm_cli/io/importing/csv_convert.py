"""The second pass over CSV files: texts become the types of the contract, written piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.io.importing.csv_inspect import TableSurvey
from pdm_cli.io.importing.csv_reader import Advance, iterate
from pdm_cli.io.importing.csv_values import distinct, to_number
from pdm_cli.io.importing.dates import Order, Stamps, Texts, parse_format, parse_stamps
from pdm_cli.io.parquet import TableWriter


@dataclass(frozen=True)
class Reading:
    """How the texts of a table are to be read.

    Attributes
    ----------
    order : str, optional
        What comes first in its dates, where no format is given.
    has_zone : bool
        Whether stamps become UTC, and say so in their type.
    numbers : frozenset of str
        Columns of numbers; the others are texts.
    is_machine_text : bool
        Whether machines are texts; they are in all tables or in none.
    """

    order: Order | None
    has_zone: bool
    numbers: frozenset[str]
    is_machine_text: bool


@dataclass
class Facts:
    """What has been read of a table."""

    rows: int = 0
    machines: set[Any] = field(default_factory=set)
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None


def convert(survey: TableSurvey, reading: Reading, path: Path, advance: Advance) -> Facts:
    """Write the rows of a table's CSV files as Parquet, in the order in which they stand.

    Parameters
    ----------
    survey : TableSurvey
        The table, read once.
    reading : Reading
        What the first pass came to.
    path : Path
        The Parquet file.
    advance : callable
        Told of the bytes that have been read.

    Raises
    ------
    DataError
        If a stamp does not fit the format, or there is no such day or time.
    """
    facts = Facts()
    with TableWriter(path) as writer:
        for file in survey.files:
            for piece in iterate(file, survey.columns, advance):
                typed = {name: _typed(survey, reading, name, piece[name], facts.rows) for name in survey.columns}
                writer.write_arrow(pa.table(typed))
                _note(facts, survey, typed)
        if not writer.rows:
            empty = {name: _typed(survey, reading, name, _NOTHING, 0) for name in survey.columns}
            writer.write_arrow(pa.table(empty))
    return facts


_NOTHING = pa.chunked_array([pa.array([], pa.string())])


def _typed(survey: TableSurvey, reading: Reading, name: str, column: pa.ChunkedArray, row: int) -> Any:
    if name == survey.time:
        return _stamps(survey, reading, column, row)
    if name == survey.machine:
        return column if reading.is_machine_text else column.cast(pa.int64())
    if name in reading.numbers:
        return to_number(column, survey.options.decimal)
    return column if name == survey.kind else pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _stamps(survey: TableSurvey, reading: Reading, column: pa.ChunkedArray, row: int) -> pa.Array:
    texts, first, positions = distinct(column)
    stamps = _parse(survey, reading, texts)
    wrong = np.flatnonzero(np.isnat(stamps))
    if len(wrong):
        at = wrong[np.argmin(first[wrong])]
        form = survey.options.format_of(survey.table)
        told = f" is not of the form {form}" if form else ": there is no such day, time or zone"
        raise survey.refuse(
            row + int(first[at]),
            survey.time,
            f"{texts[at]!r}{told}",
            "--date-format names the form" if form else "mend it, or leave the line out",
        )
    return pa.array(stamps[positions], pa.timestamp("us")).cast(
        pa.timestamp("us", tz="UTC" if reading.has_zone else None)
    )


def _parse(survey: TableSurvey, reading: Reading, texts: Texts) -> Stamps:
    form = survey.options.format_of(survey.table)
    if form:
        return parse_format(texts, form)
    return parse_stamps(texts, reading.order or "year-first")


def _note(facts: Facts, survey: TableSurvey, typed: dict[str, Any]) -> None:
    machines = typed[survey.machine]
    facts.rows += len(machines)
    facts.machines.update(machines.unique().to_pylist())
    if survey.time:
        span = pc.min_max(typed[survey.time]).as_py()
        start, end = pd.Timestamp(span["min"]), pd.Timestamp(span["max"])
        facts.start = start if facts.start is None else min(facts.start, start)
        facts.end = end if facts.end is None else max(facts.end, end)
