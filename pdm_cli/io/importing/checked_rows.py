"""SQL of telemetry that is converted and checked in one pass: a row that does not fit the assumed types has no time."""

from __future__ import annotations

from collections.abc import Sequence

from pdm_cli.io.importing.convert import Reading, schema_of
from pdm_cli.io.importing.sources import sql_column, sql_text
from pdm_cli.io.importing.survey import TableSurvey
from pdm_cli.io.importing.values import BEGINS_AS_NUMBER, sql_cast, sql_is_odd, sql_number, sql_plain


def select_wide(survey: TableSurvey, reading: Reading, time: str) -> str:
    """Return the SQL of the rows of a table with a column per sensor.

    Parameters
    ----------
    survey : TableSurvey
        The table.
    reading : Reading
        The assumed types.
    time : str
        SQL expression of the time in a row as it is in the files; NULL if it does not fit.
    """
    decimal, names = survey.options.decimal, [name for name in survey.values if name in reading.numbers]
    casts = [f"{sql_cast(sql_column(name), decimal)} AS {_number(name)}" for name in names]
    rows = f"SELECT {', '.join(['*', *casts])} FROM {survey.unread}"
    values, misfits = {}, []
    for name in survey.values:
        column = sql_column(name)
        if name in reading.numbers:
            values[name] = _sql_number(survey, column, _number(name))
            misfits.append(_sql_is_other(survey, column, _number(name)))
        else:
            values[name] = f"nullif({sql_plain(column)}, '')"
            misfits.append(_sql_is_number(survey, column))
    values[survey.time] = f"CASE WHEN NOT ({' OR '.join(misfits) or 'false'}) THEN {time} END"
    values[survey.machine] = sql_plain(sql_column(survey.machine))
    selected = ", ".join(f"{values[name]} AS {sql_column(name)}" for name in schema_of(survey, reading).names)
    return f"SELECT {selected} FROM ({rows})"


def select_long(survey: TableSurvey, reading: Reading, time: str) -> str:
    """Return the SQL of a row per machine and time with a column per sensor, and the number of its readings.

    Rows are sorted. Of readings of one time, the largest counts. The parameters are those of :func:`select_wide`.
    """
    # Sensors of numbers first, so that their places are below a limit.
    names = sorted(schema_of(survey, reading).names[2:], key=lambda name: name not in reading.numbers)
    numeric = sum(name in reading.numbers for name in names)
    sensors = {
        name: f"max({'number' if place < numeric else 'text'}) FILTER (sensor = {place}) AS {sql_column(name)}"
        for place, name in enumerate(names)
    }
    ordered = ", ".join(sensors[name] for name in schema_of(survey, reading).names[2:])
    machines = _sort_machines(survey, reading)
    if machines:
        # Numbers take less time to group and to sort than names.
        machine, order = f"([{', '.join(map(sql_text, machines))}])[readings.machine]", "readings.machine"
    else:
        machine, order = "machine", "machine" if reading.is_machine_text else "TRY_CAST(machine AS BIGINT)"
    return (
        f"SELECT time, {machine} AS name, {ordered}, count(number) AS readings "
        f"FROM ({_select_readings(survey, machines, names, numeric, time)}) AS readings "
        f"GROUP BY time, readings.machine ORDER BY {order}, time"
    )


def _sort_machines(survey: TableSurvey, reading: Reading) -> list[str]:
    """Return the machines in the order of the rows, if the tags name all of them."""
    machines = {machine for machine, _ in survey.tags.values()}
    if "" in machines:
        return []
    return sorted(machines) if reading.is_machine_text else sorted(machines, key=int)


def _select_readings(
    survey: TableSurvey, machines: Sequence[str], names: Sequence[str], numeric: int, time: str
) -> str:
    """Return the SQL of the readings.

    The machine is its place in ``machines``, from 1, if there are any; the sensor is its place in ``names``, from 0.
    The first ``numeric`` sensors have numbers.
    """
    assert survey.long is not None
    tag, text = sql_column(survey.long.tag), sql_column(survey.long.value)
    known = [spelling or "" for spelling, name, _ in survey.tag_rows if name in survey.tags]
    others = [spelling or "" for spelling, name, _ in survey.tag_rows if name not in survey.tags]
    # A cast to a type of all tags takes less time than a join.
    tags = f"ENUM({', '.join(map(sql_text, (*known, *others)))})"
    place = f"CAST(enum_code(CAST({tag} AS {tags})) AS INTEGER) + 1"
    cast = sql_cast(text, survey.options.decimal)
    rows = f"SELECT *, {place} AS tag, {cast} AS number FROM {survey.unread}"
    sensor, number = _sql_sensor(survey, names), _sql_number(survey, text, "number")
    is_misfit = _sql_is_other(survey, text, "number")
    if numeric < len(names):
        is_numeric = f"{sensor} < {numeric}"
        number = f"CASE WHEN {is_numeric} THEN {number} END"
        is_misfit = f"CASE WHEN {is_numeric} THEN {is_misfit} ELSE {_sql_is_number(survey, text)} END"
    columns = (
        f"CASE WHEN NOT ({is_misfit}) THEN {time} END AS time, {_sql_machine(survey, machines)} AS machine, "
        f"{sensor} AS sensor, {number} AS number{f', {sql_plain(text)} AS text' if numeric < len(names) else ''}"
    )
    where = f" WHERE tag <= {len(known)}" if others else ""
    return f"SELECT {columns} FROM ({rows}){where}"


def _sql_machine(survey: TableSurvey, machines: Sequence[str]) -> str:
    """Return the SQL of the machine of a reading: its place in ``machines`` or, without any, its name."""
    tagged = [survey.tags[name][0] for _, name, _ in survey.tag_rows if name in survey.tags]
    if machines:
        places = {machine: str(place) for place, machine in enumerate(machines, start=1)}
        return f"(CAST([{', '.join(places[machine] for machine in tagged)}] AS UINTEGER[]))[tag]"
    column = sql_plain(sql_column(survey.machine))
    if not any(tagged):
        return column
    named = f"([{', '.join(map(sql_text, tagged))}])[tag]"
    return f"coalesce(nullif({named}, ''), {column})"


def _sql_sensor(survey: TableSurvey, names: Sequence[str]) -> str:
    """Return the SQL of the place of a reading's sensor in ``names``, given the place of its tag."""
    places = {name: str(place) for place, name in enumerate(names)}
    sensors = [places[survey.tags[name][1]] for _, name, _ in survey.tag_rows if name in survey.tags]
    return f"(CAST([{', '.join(sensors)}] AS USMALLINT[]))[tag]"


def _sql_number(survey: TableSurvey, text: str, number: str) -> str:
    """Return the SQL of the number in a string, given the fast cast of it."""
    exact = sql_number(sql_plain(text), survey.options.decimal)
    is_odd = sql_is_odd(text, number, survey.options.decimal)
    return survey.without_sentinels(f"CASE WHEN {is_odd} THEN {exact} ELSE {number} END")


def _sql_is_other(survey: TableSurvey, text: str, number: str) -> str:
    """Return the SQL condition that a string is neither a number nor missing, given the fast cast of it."""
    plain, is_odd = sql_plain(text), sql_is_odd(text, number, survey.options.decimal)
    exact = sql_number(plain, survey.options.decimal)
    missing = ", ".join(map(sql_text, ("", *survey.options.missing)))
    return f"CASE WHEN {is_odd} THEN {exact} IS NULL AND lower({plain}) NOT IN ({missing}) ELSE false END"


def _sql_is_number(survey: TableSurvey, text: str) -> str:
    """Return the SQL condition that a string is, or begins as, a number."""
    plain = sql_plain(text)
    number = f"{sql_number(plain, survey.options.decimal)} IS NOT NULL"
    digits = f"regexp_matches({plain}, '^{BEGINS_AS_NUMBER}')"
    return f"CASE WHEN {text} IS NOT NULL THEN {number} OR {digits} ELSE false END"


def _number(name: str) -> str:
    """Return the name of the column of the fast casts of a column."""
    # Names of other columns have no underscore: they are hexadecimal.
    return f'"number_{name.encode().hex()}"'
