"""Failures and error events that are columns of the telemetry, or the end of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.importing.continued import Earlier, Ends, check_old_ends, keep_new, make_ends
from pdm_cli.io.importing.convert import Facts, Reading, add_facts, sql_time_of
from pdm_cli.io.importing.options import FailureSource
from pdm_cli.io.importing.sources import sql_column, sql_text
from pdm_cli.io.importing.survey import TableSurvey
from pdm_cli.io.parquet import TableFiles, TableWriter
from pdm_cli.schema import ERRORS, FAILURES
from pdm_cli.text import name_some

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine

_TRUE = ("1", "1.0", "true", "yes", "y", "t")
_FALSE = ("0", "0.0", "false", "no", "n", "f", "")
# In place of the names of machines that still run.
_ALL = "*"
_PIECE_ROWS = 262_144


@dataclass(frozen=True)
class Telemetry:
    """The surveyed telemetry and its types, and the existing tables that it is appended to, if any."""

    survey: TableSurvey
    reading: Reading
    engine: Engine
    earlier: Earlier | None = None


def write_failures(telemetry: Telemetry, source: FailureSource, path: Path, column: str) -> Facts:
    """Write the failures that the telemetry shows, and return their totals.

    A failure of a flag or a state begins in the first row that has it; the rows after it belong to the same failure.

    Parameters
    ----------
    telemetry : Telemetry
        The telemetry.
    source : FailureSource
        Where the failures are.
    path : Path
        The Parquet file.
    column : str
        Name of the column of components.

    Raises
    ------
    DataError
        If a flag is neither 0 nor 1, or there is no failure.
    """
    parts, ends = list(_select_failures(telemetry, source)), find_ends(telemetry, _failed_now(source))
    facts = _write(telemetry, " UNION ALL ".join(parts), path, (FAILURES.name, column), ends)
    # Later logs may well have none.
    if not facts.rows and telemetry.earlier is None and _ALL not in source.running:
        raise DataError(
            f"{telemetry.survey.name}: no failure: {_describe(source)}", hint="check the columns and values of failures"
        )
    return facts


def write_states(telemetry: Telemetry, source: FailureSource, path: Path, column: str) -> Facts:
    """Write the changes to states other than failures and the normal one as error events."""
    state, normal = sql_column(source.status), find_normal(telemetry, source)
    left_out = ", ".join(sql_text(one) for one in (normal, *source.failed, ""))
    is_event = f"{state} NOT IN ({left_out})"
    ends = find_ends(telemetry, [(source.status, is_event, state)])
    changes = _changes(telemetry, source.status, is_event, state)
    return _write(telemetry, changes, path, (ERRORS.name, column), ends)


def find_normal(telemetry: Telemetry, source: FailureSource) -> str:
    """Return the state that is not an event: that of the existing tables, or else the most frequent one."""
    if telemetry.earlier is not None and telemetry.earlier.normal:
        return telemetry.earlier.normal
    others = [(rows, state) for state, rows in _count_states(telemetry, source.status) if state not in source.failed]
    return max(others, default=(0, ""))[1]


def find_similar_states(telemetry: Telemetry, source: FailureSource) -> list[tuple[str, str]]:
    """Return the states that are not failures but may be other spellings of one, and that failure."""
    from pdm_cli.preparation.label_check import find_similar_labels

    rows = dict(_count_states(telemetry, source.status))
    found = []
    for state in rows.keys() - source.failed - {""}:
        for failed in rows.keys() & source.failed:
            pair = sorted((failed, state), key=lambda name: -rows[name])
            if find_similar_labels({name: rows[name] for name in pair}):
                found.append((state, failed))
    return sorted(found)


def check_columns(survey: TableSurvey, source: FailureSource) -> None:
    """Reject columns of failures that the telemetry does not have.

    Raises
    ------
    SchemaError
        Naming the option.
    """
    options = dict.fromkeys(source.flags, "--failure-flag") | ({source.status: "--status"} if source.status else {})
    for name, option in options.items():
        if name not in survey.columns:
            raise SchemaError(
                f"{survey.name}: no column {name!r}", hint=f"{option} names one of {name_some(list(survey.columns))}"
            )


def _select_failures(telemetry: Telemetry, source: FailureSource) -> Iterator[str]:
    survey = telemetry.survey
    for flag in source.flags:
        _check_flag(telemetry, flag)
        yield _changes(telemetry, flag, _is_on(flag), sql_text(flag))
    if source.status:
        if telemetry.earlier is None:
            _check_states(telemetry, source)
        yield _changes(telemetry, source.status, _is_failed(source), sql_column(source.status))
    if source.end:
        time, machine = sql_time_of(survey, telemetry.reading), sql_column(survey.machine)
        known = {text for (text,) in telemetry.engine.rows(f"SELECT DISTINCT {machine} FROM {survey.view}")}
        for name in sorted(set(source.running) - known - {_ALL}):
            raise DataError(f"{survey.name}: --except {name}: no such machine", hint="correct the name")
        running = ", ".join(map(sql_text, sorted(source.running))) or "NULL"
        where = f"WHERE {machine} NOT IN ({running})" if source.running else ""
        where = "WHERE FALSE" if _ALL in source.running else where
        yield (
            f"SELECT max({time}) AS time, {machine} AS machine, {sql_text(source.end)} AS name, FALSE AS is_first "
            f"FROM {survey.view} {where} GROUP BY {machine}"
        )


def _is_on(flag: str) -> str:
    return f"lower({sql_column(flag)}) IN ({', '.join(map(sql_text, _TRUE))})"


def _is_failed(source: FailureSource) -> str:
    return f"{sql_column(source.status)} IN ({', '.join(map(sql_text, source.failed))})"


def _failed_now(source: FailureSource) -> list[tuple[str, str, str]]:
    """Return column, condition and name of each type of failure that may continue after the last row."""
    found = [(flag, _is_on(flag), sql_text(flag)) for flag in source.flags]
    return found + ([(source.status, _is_failed(source), sql_column(source.status))] if source.status else [])


def find_ends(telemetry: Telemetry, conditions: Sequence[tuple[str, str, str]] = ()) -> Ends:
    """Return the last row of each machine, and the events that have not ended in it."""
    survey, raw = telemetry.survey, sql_column(telemetry.survey.machine)
    time = sql_time_of(survey, telemetry.reading)
    # Integers as in the existing tables: 1 for 01.
    machine = raw if telemetry.reading.is_machine_text else f"CAST(CAST({raw} AS BIGINT) AS VARCHAR)"
    rows = telemetry.engine.rows(f"SELECT {machine}, epoch_us(max({time})) FROM {survey.view} GROUP BY ALL")
    ongoing: list[tuple[str, str]] = []
    for column, condition, name in conditions:
        last = f"arg_max(CASE WHEN {condition} THEN {name} ELSE '' END, {time})"
        found = telemetry.engine.rows(f"SELECT {machine}, {last} FROM {survey.view_of(column)} GROUP BY ALL")
        ongoing += [(one, state) for one, state in found if state]
    return make_ends(rows, ongoing)


def check_ends(telemetry: Telemetry, old: TableFiles, component: str, column: str) -> None:
    """Reject failures at the end of telemetry that continues, where ``old`` are the existing failures.

    Raises
    ------
    DataError
        Naming the machines.
    """
    survey = telemetry.survey
    check_old_ends(old, find_ends(telemetry), component, (survey.machine, survey.time, column))


def _changes(telemetry: Telemetry, column: str, condition: str, event: str) -> str:
    """Return the SQL of the rows in which a condition becomes true, or its event changes."""
    survey = telemetry.survey
    time, machine = sql_time_of(survey, telemetry.reading), sql_column(survey.machine)
    rows = (
        f"SELECT {time} AS time, {machine} AS machine, CASE WHEN {condition} THEN {event} END AS name "
        f"FROM {survey.view_of(column)}"
    )
    window = "OVER (PARTITION BY machine ORDER BY time)"
    # Only the first new row may belong to a failure of the existing tables.
    first = "FALSE" if telemetry.earlier is None else f"row_number() {window} = 1"
    before = f"SELECT *, lag(name) {window} AS name_before, {first} AS is_first FROM ({rows})"
    changed = "name IS NOT NULL AND name IS DISTINCT FROM name_before"
    return f"SELECT time, machine, name, is_first FROM ({before}) WHERE {changed}"


def _check_flag(telemetry: Telemetry, flag: str) -> None:
    survey, known = telemetry.survey, (*_TRUE, *_FALSE)
    values = ", ".join(map(sql_text, known))
    wrong = f"SELECT 1 FROM {survey.view_of(flag)} WHERE lower({sql_column(flag)}) NOT IN ({values}) LIMIT 1"
    if telemetry.engine.fetch(wrong):
        place = survey.first(flag, lambda text: text.lower() not in known)
        raise survey.error(place, flag, f"{place.text!r} is neither 0 nor 1", "name a column of flags, or use --status")


def _check_states(telemetry: Telemetry, source: FailureSource) -> None:
    states = [state for state, _ in _count_states(telemetry, source.status)]
    for state in source.failed:
        if state not in states:
            hint = f"--failed names one of {name_some(list(map(repr, states)))}"
            raise DataError(f"{telemetry.survey.name}: column {source.status}: no state {state!r}", hint=hint)


def _count_states(telemetry: Telemetry, column: str) -> list[tuple[str, int]]:
    name = sql_column(column)
    sql = f"SELECT {name}, count(*) FROM {telemetry.survey.view_of(column)} GROUP BY {name} ORDER BY {name}"
    return [(state, rows) for state, rows in telemetry.engine.rows(sql)]


def _write(telemetry: Telemetry, sql: str, path: Path, named: tuple[str, str], ends: Ends) -> Facts:
    """Write events as a table of the given name, whose events have the given column."""
    table, column = named
    earlier = telemetry.earlier or Earlier()
    facts, survey, reading = Facts(), telemetry.survey, telemetry.reading
    machine = "machine" if reading.is_machine_text else "CAST(machine AS BIGINT)"
    schema = pa.schema(
        [
            (survey.time, pa.timestamp("us", tz="UTC" if reading.has_zone else None)),
            (survey.machine, pa.string() if reading.is_machine_text else pa.int64()),
            (column, pa.string()),
        ]
    )
    with TableWriter(path) as writer:
        ordered = f"SELECT time, {machine} AS machine, name, is_first FROM ({sql}) ORDER BY time, machine, name"
        for batch in telemetry.engine.batches(ordered, _PIECE_ROWS):
            *columns, is_first = batch.columns
            typed = [column.cast(item) for column, item in zip(columns, schema.types, strict=True)]
            piece = keep_new(pa.table(typed, schema=schema), is_first, table, earlier)
            writer.write_arrow(piece)
            add_facts(facts, survey, piece)
        if not writer.rows:
            writer.write_arrow(schema.empty_table())
    facts.ongoing = earlier.still_ongoing(table, ends)
    return facts


def _describe(source: FailureSource) -> str:
    if source.status:
        return f"{source.status} is never {' or '.join(source.failed)}"
    return f"{' and '.join(source.flags)} {'is' if len(source.flags) == 1 else 'are'} always 0"
