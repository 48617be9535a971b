"""Telemetry converted in one pass over its rows, which is enough for most logs.

The format of the times and the types of the columns are assumed from the first rows, and checked in every row while it
is converted: a row that does not fit has no time. If there is one, there is no draft, and the survey decides from all
rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pdm_cli.errors import DataError
from pdm_cli.io.importing.checked_rows import select_long, select_wide
from pdm_cli.io.importing.convert import PIECE_ROWS, Facts, Reading, add_facts, schema_of, sql_time_of
from pdm_cli.io.importing.date_shapes import (
    Order,
    Shape,
    find_epoch,
    has_zone,
    order_of,
    similar_shapes,
    sql_checked_time,
    sql_decides_order,
    sql_format,
    sql_has_shape,
)
from pdm_cli.io.importing.engine import Unreadable
from pdm_cli.io.importing.long_form import sample_tags
from pdm_cli.io.importing.sources import sql_column
from pdm_cli.io.importing.survey import TableSurvey, ValueCount
from pdm_cli.io.importing.values import INTEGER
from pdm_cli.io.parquet import TableWriter
from pdm_cli.timestamps import microseconds

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine


_FIRST_MACHINES = 100
# In microseconds since 1970, UTC; earlier times may be in the year 0, whatever their zone.
_FIRST_TIME = microseconds(datetime(1, 1, 2))


@dataclass(frozen=True)
class Draft:
    """A converted table, and the findings that a survey of its rows would have.

    Of the counts and rows of shapes, only those that are 0 are exact.
    """

    path: Path
    reading: Reading
    facts: Facts
    counts: Mapping[str, ValueCount]
    shapes: Sequence[Shape]


@dataclass(frozen=True)
class _Times:
    """The assumed format of the times, and the SQL of a time: NULL if its string has another format."""

    sql: str
    shapes: Sequence[str] = ()
    order: Order | None = None
    # Whether a row decides the order of day and month.
    is_decided: bool = True
    has_zone: bool = False

    def found(self, rows: int) -> list[Shape]:
        """Return the shapes as found in a number of rows."""
        if self.order in (None, "year-first"):
            return [Shape(text, rows) for text in self.shapes]
        day, month = (rows * (self.is_decided and self.order == order) for order in ("day-first", "month-first"))
        first = Shape(self.shapes[0], rows, day, month, rows - day - month)
        return [first, *(Shape(text, 0) for text in self.shapes[1:])]


def write_draft(survey: TableSurvey, engine: Engine) -> Draft | None:
    """Prepare the survey, and convert the telemetry in one pass; None if a row does not fit the assumptions.

    Parameters
    ----------
    survey : TableSurvey
        The telemetry.
    engine : Engine
        Reads the files; its scratch folder gets the table.

    Raises
    ------
    DataError, SchemaError
        As of :meth:`TableSurvey.prepare`.
    """
    sampled = sample_tags(survey.files, survey.long) if survey.long is not None else []
    if sampled:
        with suppress(DataError):
            survey.prepare(sampled)
            if (draft := _write_checked(survey, engine)) is not None:
                return draft
    survey.prepare()
    if sampled and {tag for tag, *_ in survey.tag_rows} == {tag for tag, *_ in sampled}:
        # Something else than the tags did not fit.
        return None
    return _write_checked(survey, engine)


def _write_checked(survey: TableSurvey, engine: Engine) -> Draft | None:
    """Convert the telemetry of a prepared survey; None if a row does not fit the assumptions."""
    try:
        draft = _try_draft(survey, engine)
    except Unreadable:
        return None
    # Rows with an error are left out of the result.
    return draft if draft is not None and draft.facts.rows and not engine.rejected() else None


def _try_draft(survey: TableSurvey, engine: Engine) -> Draft | None:
    """Convert the rows that can be read; None if one does not fit the assumptions."""
    times = _assume_times(survey, engine)
    if times is None:
        return None
    found = _assume_wide(survey) if survey.long is None else _assume_long(survey, engine)
    if found is None:
        return None
    counts, has_text_machines = found
    numbers = frozenset(name for name, count in counts.items() if not count.others)
    reading = Reading(times.order, times.has_zone, numbers, has_text_machines)
    path = engine.scratch / survey.table.file
    select = select_wide if survey.long is None else select_long
    facts = _write(survey, reading, select(survey, reading, times.sql), path, engine)
    return None if facts is None else Draft(path, reading, facts, counts, times.found(facts.rows))


def _write(survey: TableSurvey, reading: Reading, rows: str, path: Path, engine: Engine) -> Facts | None:
    """Write the table and return its totals; None if a row does not fit."""
    # It loads pandas.
    from pdm_cli.io.scan import Scanner

    facts, readings = Facts(scanner=(scanner := Scanner())), 0
    # One thread encodes a piece while the next one is read.
    with (
        closing(engine.batches(rows, PIECE_ROWS)) as batches,
        TableWriter(path, survey.units.metadata()) as writer,
        ThreadPoolExecutor(1) as encoder,
    ):
        written: Future[None] | None = None
        for batch in batches:
            piece = _type_piece(survey, reading, batch)
            if piece is None:
                return None
            if written is not None:
                written.result()
            written = encoder.submit(writer.write_arrow, piece)
            add_facts(facts, survey, piece)
            scanner.add(piece[survey.machine], piece[survey.time])
            readings += pc.sum(batch[len(piece.schema)]).as_py() if survey.long is not None else 0
        if written is not None:
            written.result()
    facts.repeated = readings - facts.values if survey.long is not None else 0
    return facts


def _type_piece(survey: TableSurvey, reading: Reading, batch: pa.RecordBatch) -> pa.Table | None:
    """Return rows with the assumed types; None if one does not fit."""
    schema = schema_of(survey, reading)
    time, machine = (batch[schema.names.index(name)] for name in (survey.time, survey.machine))
    if time.null_count or pc.min(time.cast(pa.int64())).as_py() < _FIRST_TIME or not _fits(machine, reading):
        return None
    columns = zip(batch.columns[: len(schema)], schema.types, strict=True)
    return pa.table([column.cast(kind) for column, kind in columns], schema=schema)


def _fits(machines: pa.Array, reading: Reading) -> bool:
    """Return whether all machines are as assumed."""
    names = machines.unique().to_pylist()
    if reading.is_machine_text:
        return all(name and "\n" not in name for name in names)
    return all(name is not None and re.fullmatch(INTEGER, name, re.ASCII) for name in names)


def _assume_wide(survey: TableSurvey) -> tuple[dict[str, ValueCount], bool] | None:
    """Return the values of each column and whether machines are strings."""
    counts, has_text_machines = survey.sample()
    if any(count.others and (count.numbers or count.digits) for count in counts.values()):
        return None
    return counts, has_text_machines


def _assume_long(survey: TableSurvey, engine: Engine) -> tuple[dict[str, ValueCount], bool] | None:
    """Return the values of each sensor and whether machines are strings."""
    if survey.left_out() or any(not tag for _, tag, _ in survey.tag_rows):
        return None
    counts = dict.fromkeys(survey.values, ValueCount())
    for _, tag, value in survey.tag_rows:
        if tag in survey.tags and survey.is_other(value):
            counts[survey.tags[tag][1]] = ValueCount(others=1)
    machines = {machine for machine, _ in survey.tags.values()}
    if "" in machines:
        first = f"SELECT DISTINCT {sql_column(survey.machine)} FROM {survey.base} LIMIT {_FIRST_MACHINES}"
        machines |= {name for (name,) in engine.fetch(first)}
    has_text = any(name and not re.fullmatch(INTEGER, name, re.ASCII) for name in machines)
    return counts, has_text


def _assume_times(survey: TableSurvey, engine: Engine) -> _Times | None:
    """Return the format of the first times."""
    column = sql_column(survey.time)
    if survey.options.cycle_seconds or (form := survey.options.format_of(survey.table)):
        is_zoned = not survey.options.cycle_seconds and has_zone(form)
        time = sql_time_of(survey, Reading(None, is_zoned, frozenset(), False))
        return _Times(f"CASE WHEN NOT contains({column}, chr(10)) THEN {time} END", has_zone=is_zoned)
    shapes = survey.sample_shapes()
    if epoch := find_epoch([Shape(text, 1) for text in shapes]):
        time = f"CASE WHEN {sql_has_shape(shapes, column)} THEN {sql_format(epoch, column)} END"
        return _Times(time, shapes, has_zone=True)
    known = [Shape(text, 0) for text in shapes]
    signs, zones = ({getattr(shape, name) for shape in known} for name in ("sign", "has_zone"))
    if not shapes or not all(shape.is_known for shape in known) or len(signs) > 1 or len(zones) > 1:
        return None
    order: Order | None = "year-first"
    is_decided = known[0].is_year_first
    if not is_decided:
        sql = f"SELECT {column} FROM {survey.unread} WHERE {sql_decides_order(column)} LIMIT 1"
        decided = next((order_of(text.strip()) for (text,) in engine.fetch(sql)), None)
        order, is_decided = decided or survey.options.order, decided is not None
    if order is None or (survey.options.order not in (None, order) and order != "year-first"):
        return None
    shapes = similar_shapes(shapes)
    return _Times(sql_checked_time(shapes, order, column, has_year_zero=True), shapes, order, is_decided, zones.pop())
