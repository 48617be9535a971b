"""Convert the surveyed files of a table to Parquet."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.io.importing.date_shapes import Order, find_format, sql_format, sql_time
from pdm_cli.io.importing.sources import sql_column, sql_text
from pdm_cli.io.importing.survey import Place, TableSurvey
from pdm_cli.io.parquet import TableWriter
from pdm_cli.preparation.sentinels import SentinelSearch
from pdm_cli.schema import TELEMETRY
from pdm_cli.timestamps import microseconds
from pdm_cli.units import FIRST_CYCLE_US

if TYPE_CHECKING:
    from pdm_cli.io.append import Conflict
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.scan import Scanner

PIECE_ROWS = 262_144
_BAD_TIMES = 10_000


# A date with two digits for the year, first or last.
_SHORT_YEAR = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2}(?!\d)", re.ASCII)


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
    # Readings of long telemetry that repeat a sensor and time.
    repeated: int = 0
    # Numbers in all columns.
    values: int = 0
    machines: set[Any] = field(default_factory=set)
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    # Machines and the events that had not ended in their last row.
    ongoing: list[list[str]] = field(default_factory=list)
    sentinels: SentinelSearch = field(default_factory=SentinelSearch)
    # Machines and times of telemetry, if they were scanned while they were converted.
    scanner: Scanner | None = None


def convert(survey: TableSurvey, reading: Reading, path: Path, engine: Engine) -> Facts:
    """Write the rows of a table's files as Parquet, in the same order.

    Parameters
    ----------
    survey : TableSurvey
        The surveyed table.
    reading : Reading
        Its types.
    path : Path
        The Parquet file.
    engine : Engine
        Reads the files.

    Raises
    ------
    DataError
        If a timestamp does not match the format or does not exist.
    """
    if (draft := survey.draft) is not None:
        if draft.reading == reading:
            # Maybe to another disk.
            shutil.move(draft.path, path)
            return draft.facts
        survey.read()
    facts, schema = Facts(), schema_of(survey, reading)
    rows = _select_wide(survey, reading, schema) if survey.long is None else _select_long(survey, reading, schema)
    with TableWriter(path, survey.units.metadata()) as writer:
        for batch in engine.batches(rows, PIECE_ROWS):
            piece = pa.table(
                [column.cast(kind) for column, kind in zip(batch, schema.types, strict=True)], schema=schema
            )
            if survey.time and piece[survey.time].null_count:
                raise _bad_time(survey, reading, engine)
            writer.write_arrow(piece)
            add_facts(facts, survey, piece)
        if not writer.rows:
            writer.write_arrow(schema.empty_table())
    if survey.long is not None:
        readings = sum(survey.counts[name].numbers for name in reading.numbers if name in schema.names)
        facts.repeated = readings - facts.values
    return facts


def _select_wide(survey: TableSurvey, reading: Reading, schema: pa.Schema) -> str:
    values = [f"{_sql_value(survey, reading, name)} AS {sql_column(name)}" for name in schema.names]
    return f"SELECT {', '.join(values)} FROM {survey.view}"


def _select_long(survey: TableSurvey, reading: Reading, schema: pa.Schema) -> str:
    """Return the SQL of a row per machine and time with a column per sensor; of readings of one time, the largest."""
    time, machine = (_sql_value(survey, reading, name) for name in (survey.time, survey.machine))
    is_number = {name: name in reading.numbers for name in schema.names[2:]}
    number = f"{survey.sql_value()} AS number" if any(is_number.values()) else "NULL AS number"
    columns = f"{time} AS time, {machine} AS machine, pdm_sensor AS sensor, {number}, pdm_value AS text"
    rows = f"SELECT {columns} FROM {survey.view}"
    sensors = [
        f"max({'number' if is_number[name] else 'text'}) FILTER (sensor = {sql_text(name)}) AS {sql_column(name)}"
        for name in is_number
    ]
    return f"SELECT time, machine, {', '.join(sensors)} FROM ({rows}) GROUP BY time, machine ORDER BY machine, time"


def schema_of(survey: TableSurvey, reading: Reading) -> pa.Schema:
    """Return the columns of a converted table."""
    names = [name for name in survey.columns if name not in survey.left_out()]
    types = {name: pa.float64() if name in reading.numbers else pa.string() for name in names}
    if survey.time:
        types[survey.time] = pa.timestamp("us", tz="UTC" if reading.has_zone else None)
    types[survey.machine] = pa.string() if reading.is_machine_text else pa.int64()
    return pa.schema(types)


def _sql_value(survey: TableSurvey, reading: Reading, name: str) -> str:
    column = sql_column(name)
    if name == survey.time:
        return sql_time_of(survey, reading)
    if name == survey.machine:
        return column if reading.is_machine_text else f"CAST({column} AS BIGINT)"
    if name in reading.numbers:
        return survey.sql_number(name)
    return column if name == survey.kind else f"nullif({column}, '')"


def sql_time_of(survey: TableSurvey, reading: Reading) -> str:
    """Return the SQL expression of the times of a table; NULL if it is not a time."""
    time, form = sql_column(survey.time), survey.date_format
    if survey.options.cycle_seconds:
        return _sql_cycles(time, survey.options.cycle_seconds)
    if form:
        return sql_format(form, time)
    return sql_time(survey.shapes, reading.order or "year-first", time)


def _sql_cycles(time: str, seconds: float) -> str:
    """Return the SQL expression of the times of cycles, of which each counts as some seconds."""
    micros = f"TRY_CAST(round(TRY_CAST({time} AS DOUBLE) * {seconds * 1e6!r}) AS BIGINT)"
    return f"CASE WHEN abs({micros}) < {2**53} THEN make_timestamp({FIRST_CYCLE_US} + {micros}) END"


def count_shared_times(survey: TableSurvey, reading: Reading, engine: Engine) -> int:
    """Return the number of rows with the machine and time of an earlier row, if a text column may distinguish them.

    It is 0 for telemetry without a text column or with more than one sensor.
    """
    if len(reading.numbers) != 1 or len(survey.counts) != 2:
        return 0
    keys = ", ".join(map(sql_column, survey.keys.values()))
    sql = f"SELECT sum(rows - 1) FROM (SELECT count(*) AS rows FROM {survey.view} GROUP BY {keys})"
    ((shared,),) = engine.fetch(sql)
    return int(shared or 0)


def find_row(survey: TableSurvey, reading: Reading, conflict: Conflict, engine: Engine) -> Place:
    """Return the place of a converted row that conflicts with an existing one: slow, for messages only."""
    if survey.long is None:
        return survey.nth(conflict.row, conflict.column)
    # Long rows are sorted.
    where = f"epoch_us({sql_time_of(survey, reading)}) = {microseconds(conflict.key[survey.time])}"
    texts = f"SELECT DISTINCT {sql_column(survey.time)} FROM {survey.view} WHERE {where}"
    times = {text for (text,) in engine.rows(texts)}
    return survey.first_reading(conflict.column, conflict.key[survey.machine], times)


def _bad_time(survey: TableSurvey, reading: Reading, engine: Engine) -> Exception:
    """Return the error for the first timestamp that is none."""
    time = sql_column(survey.time)
    where = f"{sql_time_of(survey, reading)} IS NULL"
    bad = {
        text for (text,) in engine.rows(f"SELECT DISTINCT {time} FROM {survey.view} WHERE {where} LIMIT {_BAD_TIMES}")
    }
    place = survey.first(survey.time, lambda text: text in bad)
    if survey.options.cycle_seconds:
        return survey.error(
            place, survey.time, f"{place.text!r} is not a number of cycles", "fix it or delete the line"
        )
    form = survey.options.format_of(survey.table)
    problem = f"does not match the format {form}" if form else "is not a valid date, time or zone"
    return survey.error(place, survey.time, f"{place.text!r} {problem}", _hint_format(place.text, form))


def _hint_format(text: str, form: str) -> str:
    """Return how to read a timestamp that does not match a format; no format is given for known dates."""
    if not form:
        return "fix it or delete the line"
    if found := find_format(text):
        return f"{text!r} looks like {found}: correct --date-format, or drop it"
    is_short = "%Y" in form and _SHORT_YEAR.match(text)
    return f"specify the format with --date-format{': two digits of a year are %y' if is_short else ''}"


def add_facts(facts: Facts, survey: TableSurvey, typed: pa.Table) -> None:
    """Add a piece of a table with the key columns of ``survey`` to the totals."""
    machines = typed[survey.machine]
    facts.rows += len(machines)
    facts.values += sum(len(column) - column.null_count for column in typed.columns if column.type == pa.float64())
    facts.machines.update(machines.unique().to_pylist())
    if survey.table is TELEMETRY:
        for name in typed.schema.names:
            if typed.schema.field(name).type == pa.float64():
                # Unlike to_numpy, it does not load pandas.
                for chunk in typed[name].drop_null().chunks:
                    facts.sentinels.add(name, np.asarray(np.from_dlpack(chunk), np.float64))
    if survey.time and len(machines):
        span = pc.min_max(typed[survey.time]).as_py()
        facts.start = span["min"] if facts.start is None else min(facts.start, span["min"])
        facts.end = span["max"] if facts.end is None else max(facts.end, span["max"])
