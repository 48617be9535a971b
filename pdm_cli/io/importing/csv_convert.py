"""Convert the CSV files of an inspected table to Parquet, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.io.columns import distinct, to_number
from pdm_cli.io.importing.csv_inspect import TableSurvey
from pdm_cli.io.importing.csv_reader import Advance, iterate
from pdm_cli.io.importing.dates import Order, Strings, Times, parse_dates, parse_format
from pdm_cli.io.parquet import TableWriter


@dataclass(frozen=True)
class Reading:
    """The types of a table.

    Attributes
    ----------
    order : str, optional
        Order of year, month and day in its dates, if no format is given.
    has_zone : bool
        Whether timestamps have a zone and are converted to UTC.
    numbers : frozenset of str
        Numeric columns; the others are strings.
    is_machine_text : bool
        Whether machines are strings, in all tables or in none.
    """

    order: Order | None
    has_zone: bool
    numbers: frozenset[str]
    is_machine_text: bool


@dataclass
class Facts:
    """Totals of a converted table."""

    rows: int = 0
    machines: set[Any] = field(default_factory=set)
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None


def convert(survey: TableSurvey, reading: Reading, path: Path, advance: Advance) -> Facts:
    """Write the rows of a table's CSV files as Parquet, in the same order.

    Parameters
    ----------
    survey : TableSurvey
        The inspected table.
    reading : Reading
        Its types.
    path : Path
        The Parquet file.
    advance : callable
        Called with the number of bytes read.

    Raises
    ------
    DataError
        If a timestamp does not match the format or does not exist.
    """
    facts = Facts()
    with TableWriter(path) as writer:
        for file in survey.files:
            for piece in iterate(file, survey.columns, advance):
                typed = {name: _typed(survey, reading, name, piece[name], facts.rows) for name in survey.columns}
                writer.write_arrow(pa.table(typed))
                _count(facts, survey, typed)
        if not writer.rows:
            empty = {name: _typed(survey, reading, name, _NOTHING, 0) for name in survey.columns}
            writer.write_arrow(pa.table(empty))
    return facts


_NOTHING = pa.chunked_array([pa.array([], pa.string())])


def _typed(survey: TableSurvey, reading: Reading, name: str, column: pa.ChunkedArray, row: int) -> Any:
    if name == survey.time:
        return _times(survey, reading, column, row)
    if name == survey.machine:
        return column if reading.is_machine_text else column.cast(pa.int64())
    if name in reading.numbers:
        return to_number(column, survey.options.decimal)
    return column if name == survey.kind else pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _times(survey: TableSurvey, reading: Reading, column: pa.ChunkedArray, row: int) -> pa.Array:
    strings, first, positions = distinct(column)
    times = _parse(survey, reading, strings)
    wrong = np.flatnonzero(np.isnat(times))
    if len(wrong):
        at = wrong[np.argmin(first[wrong])]
        form = survey.options.format_of(survey.table)
        problem = f"does not match the format {form}" if form else "is not a valid date, time or zone"
        raise survey.error(
            row + int(first[at]),
            survey.time,
            f"{strings[at]!r} {problem}",
            "specify the format with --date-format" if form else "fix it or delete the line",
        )
    return pa.array(times[positions], pa.timestamp("us")).cast(
        pa.timestamp("us", tz="UTC" if reading.has_zone else None)
    )


def _parse(survey: TableSurvey, reading: Reading, strings: Strings) -> Times:
    form = survey.options.format_of(survey.table)
    if form:
        return parse_format(strings, form)
    return parse_dates(strings, reading.order or "year-first")


def _count(facts: Facts, survey: TableSurvey, typed: dict[str, Any]) -> None:
    machines = typed[survey.machine]
    facts.rows += len(machines)
    facts.machines.update(machines.unique().to_pylist())
    if survey.time:
        span = pc.min_max(typed[survey.time]).as_py()
        start, end = pd.Timestamp(span["min"]), pd.Timestamp(span["max"])
        facts.start = start if facts.start is None else min(facts.start, start)
        facts.end = end if facts.end is None else max(facts.end, end)
