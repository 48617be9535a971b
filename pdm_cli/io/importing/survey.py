"""Survey the files of a raw table: the types of all columns, the format of all dates, in one pass over all rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.importing.component_words import OTHER, sql_component, sql_is_ambiguous
from pdm_cli.io.importing.date_shapes import (
    Order,
    Shape,
    find_epoch,
    order_of,
    shape_of,
    sql_parts,
    sql_pattern,
    sql_shape,
)
from pdm_cli.io.importing.engine import Engine, Unreadable
from pdm_cli.io.importing.faults import check_rejected, find_fault
from pdm_cli.io.importing.file_columns import check_header, hint_of_other_table, join_units
from pdm_cli.io.importing.long_form import TagRow, split_tags
from pdm_cli.io.importing.options import ImportOptions, LongForm
from pdm_cli.io.importing.sources import (
    SourceFile,
    name_columns,
    open_source,
    rows_of,
    sql_column,
    sql_rows,
    sql_text,
)
from pdm_cli.io.importing.text_files import quote
from pdm_cli.io.importing.values import BEGINS_AS_NUMBER, INTEGER, NUMBER, THOUSANDS, plain, sql_number, sql_plain
from pdm_cli.io.sensor_names import find_sensor, propose_sensor, split_units
from pdm_cli.schema import EVENT_COLUMNS, FAILURES, MACHINE, MACHINES, TELEMETRY, TIME, Table
from pdm_cli.settings.model import ColumnsParams
from pdm_cli.text import name_some
from pdm_cli.units import DATES, Units

if TYPE_CHECKING:
    from pdm_cli.io.importing.draft import Draft

_SAMPLE_ROWS, _MOST_SHAPES = 20_000, 200
# Column of the view of failures: whether a text has words of several components.
_IS_AMBIGUOUS = "pdm_is_ambiguous"
# Columns of the view of long telemetry.
_SENSOR, _VALUE = "pdm_sensor", "pdm_value"
_LAST_MONTH = 12


@dataclass(frozen=True)
class Place:
    """A value and where it is: a file and its line or row."""

    text: str
    file: SourceFile
    where: str

    def __str__(self) -> str:
        return f"{self.file.name} {self.where}"


@dataclass(frozen=True)
class ValueCount:
    """Counts of the values of a column that are numbers and that are not; ``digits`` of the latter begin as numbers."""

    numbers: int = 0
    others: int = 0
    digits: int = 0


class TableSurvey:
    """The files of a raw table, and the findings of a pass over all of their rows.

    Parameters
    ----------
    table : Table
        The raw table.
    folder : Path
        Folder of the import.
    paths : sequence of Path
        Its files, in order.
    columns : ColumnsParams
        Names of the columns, which stay unchanged.
    options : ImportOptions
        The format of the files.
    engine : Engine
        Reads the files.

    Raises
    ------
    SchemaError
        If a column is missing, or the files have different columns.
    DataError
        If a file is empty or unreadable.
    """

    def __init__(
        self,
        table: Table,
        folder: Path,
        paths: Sequence[Path],
        columns: ColumnsParams,
        options: ImportOptions,
        engine: Engine,
    ) -> None:
        self.table, self.options, self._engine = table, options, engine
        self.machine = columns.machine_column
        self.time = columns.datetime_column if table is not MACHINES else ""
        kinds = {"errorID": columns.error_column, "comp": columns.maint_column, "failure": columns.failure_column}
        self.kind = kinds.get(EVENT_COLUMNS.get(table.name, ""), "")
        self._asked = columns.sensors if table is TELEMETRY else ()
        self._sensors: tuple[str, ...] = ()
        canonical = {TIME: self.time, MACHINE: self.machine, EVENT_COLUMNS.get(table.name, ""): self.kind}
        self.keys = {name: named for name, named in canonical.items() if named}
        self.long = options.long if table is TELEMETRY else None
        files = [open_source(path, folder, options.text, engine, self._expected()) for path in paths]
        self.files = self._name_columns(files)
        first = self.files[0].name
        self.name = first if len(self.files) == 1 else f"{first.partition('/')[0]}/" if "/" in first else table.name
        self._units = join_units(self.files)
        self.columns = tuple(self.files[0].columns)
        self.view = f"raw_{table.name}"
        # The same rows with strings as they are in the files.
        self.unread = f"{self.view}_unread"
        self.rows, self._has_text_machines = 0, False
        self.tags: dict[str, tuple[str, str]] = {}
        self.tag_rows: Sequence[TagRow] = []
        self.other_tags: list[str] = []
        self.counts: Mapping[str, ValueCount] = {}
        self.shapes: Sequence[Shape] = []
        self.draft: Draft | None = None

    def _name_columns(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        """Return the files with the columns of the table; an error names a file that seems to be of another table."""
        try:
            named = [name_columns(file, self.table, self.keys, self.options) for file in files]
            check_header(named, self.table, self.keys, self.long, self._engine)
        except SchemaError as error:
            if self.table is TELEMETRY and (hint := hint_of_other_table(files)):
                raise SchemaError(error.message, hint=hint) from error
            raise
        return named

    def prepare(self, tag_rows: Sequence[TagRow] | None = None) -> None:
        """Create the views of the rows.

        Parameters
        ----------
        tag_rows : sequence, optional
            Tags of long telemetry; all of its files are read to find them if they are not given.

        Raises
        ------
        DataError, SchemaError
            If a column is missing, or a file cannot be read.
        """
        self.columns = tuple(self.files[0].columns)
        self._make_view()
        if self.long is not None:
            self._make_long_view(self.long, self._read_tags(self.long) if tag_rows is None else tag_rows)
        self._sensors = tuple(find_sensor(sensor, self.columns, self._units) for sensor in self._asked)
        for sensor in self._sensors:
            if sensor not in self.columns:
                raise SchemaError(f"{self.name}: no column {sensor!r}", hint=propose_sensor(sensor, self.values))

    def read(self) -> None:
        """Inspect all rows.

        Raises
        ------
        DataError
            If a file cannot be read, or a machine, time or event type is missing.
        """
        shapes = self.sample_shapes()
        found = self._count(shapes, self.view)
        if found["other_shapes"]:
            shapes += self._other_shapes(shapes)
            found = self._count(shapes, self.view)
        check_rejected(self._engine, self.files, self.name)
        self.rows = found["rows"]
        for name in self.keys.values():
            if found[f"empty {name}"]:
                raise self.error(
                    self.first(name, lambda text: not text), name, "missing value", "fill it in or delete the line"
                )
            if found[f"break {name}"]:
                place = self.first(name, lambda text: "\n" in text)
                raise self.error(place, name, "line break in a value", self._hint_of_break(name))
        self._has_text_machines = found["text_machines"] > 0
        self.counts = self._value_counts(found)
        found_shapes = [self._shape(shape, number, found) for number, shape in enumerate(shapes)]
        self.shapes = [shape for shape in found_shapes if shape.rows]

    def sample(self) -> tuple[dict[str, ValueCount], bool]:
        """Return the counts of the values in the first rows of wide telemetry, and whether any machine is text."""
        found = self._count([], f"(SELECT * FROM {self.view} LIMIT {_SAMPLE_ROWS})")
        return self._value_counts(found), found["text_machines"] > 0

    def accept(self, draft: Draft) -> None:
        """Take the findings of a draft instead of inspecting all rows."""
        self.draft, self.rows = draft, draft.facts.rows
        self.counts, self.shapes = draft.counts, draft.shapes
        self._has_text_machines = draft.reading.is_machine_text

    def _value_counts(self, found: Mapping[str, int]) -> dict[str, ValueCount]:
        kinds = ("numbers", "others", "digits")
        return {name: ValueCount(*(found[f"{kind} {name}"] for kind in kinds)) for name in self.values}

    @property
    def text_machine(self) -> Place | None:
        """The first machine that is not an integer."""
        if not self._has_text_machines:
            return None
        return self.first(self.machine, lambda text: re.fullmatch(INTEGER, text, re.ASCII) is None)

    @property
    def date_format(self) -> str:
        """The format of the times if they are not dates of a known order: given, found, or ``cycles``."""
        if self.options.cycle_seconds:
            return "cycles"
        return self.options.format_of(self.table) or find_epoch(self.shapes) or ""

    @property
    def units(self) -> Units:
        """Units of the table's times and sensors."""
        return Units(self.options.cycle_seconds / 3600, self._units) if self.table is TELEMETRY else DATES

    @property
    def has_dates(self) -> bool:
        """Whether the order of year, month and day has to be found."""
        return bool(self.time) and not self.date_format

    @property
    def has_text_machines(self) -> bool:
        """Whether a machine is not an integer."""
        return self._has_text_machines

    def count_without_words(self) -> int:
        """Return the number of failures whose text has none of the words of components."""
        if self.table is not FAILURES or not self.options.failures.words:
            return 0
        sql = f"SELECT count(*) FROM {self.view} WHERE {sql_column(self.kind)} = {sql_text(OTHER)}"
        return int(self._query(sql)[0][0])

    def count_ambiguous(self) -> int:
        """Return the number of failures whose text has words of several components."""
        if self.table is not FAILURES or not self.options.failures.words:
            return 0
        return int(self._query(f"SELECT count(*) FROM {self.view} WHERE {_IS_AMBIGUOUS}")[0][0])

    def first(self, column: str, fits: Callable[[str], bool]) -> Place:
        """Return the first value of a column that fits a condition: slow, for messages only."""
        for file in self.files:
            for where, values in rows_of(file, self._engine):
                text = self._value(values, column)
                if text is not None and fits(text):
                    return Place(text, file, where)
        raise AssertionError(f"no such value in {column}")

    def nth(self, row: int, column: str) -> Place:
        """Return the place of a row, counted from 0 over all files: slow, for messages only."""
        for file in self.files:
            for where, values in rows_of(file, self._engine):
                if row == 0:
                    return Place(self._value(values, column) or "", file, where)
                row -= 1
        raise AssertionError("no such row")

    def first_reading(self, sensor: str, machine: str | int, times: Collection[str]) -> Place:
        """Return the first reading of a machine's sensor at some times, as they are in the files: slow, as above."""
        for file in self.files:
            for where, values in rows_of(file, self._engine):
                text, own = self._value(values, sensor), self._value(values, self.machine)
                is_own = own is not None and (own if isinstance(machine, str) else int(own)) == machine
                if text is not None and is_own and self._value(values, self.time) in times:
                    return Place(text, file, where)
        raise AssertionError(f"no such reading of {sensor}")

    def view_of(self, column: str) -> str:
        """Return the SQL relation of times, machines and one other column."""
        if self.long is None:
            return self.view
        time, machine = sql_column(self.time), sql_column(self.machine)
        where = f"WHERE {_SENSOR} = {sql_text(column)}"
        return f"(SELECT {time}, {machine}, {_VALUE} AS {sql_column(column)} FROM {self.view} {where})"

    def first_other(self, column: str) -> Place:
        """Return the first value of a column that is neither a number nor missing."""
        return self.first(column, self.is_other)

    def is_other(self, text: str) -> bool:
        """Return whether a string is neither a number nor missing."""
        number = NUMBER.replace("{0}", re.escape(self.options.decimal))
        is_missing = not text or text.lower() in self.options.missing
        return not is_missing and re.fullmatch(number, text, re.ASCII) is None

    def first_of(self, shapes: Sequence[Shape], order: Order | None = None) -> Place:
        """Return the first timestamp of some shapes, or of those that fit an order of day and month only."""
        names = {shape.text for shape in shapes}
        return self.first(
            self.time, lambda text: shape_of(text) in names and (order is None or order_of(text) == order)
        )

    def _hint_of_break(self, column: str) -> str:
        """Return how to import a text with a line break, which only the names of events must not have."""
        hint = "look for an unclosed quote"
        if column != self.kind:
            return hint
        other = f"--columns {self.table.name}.{EVENT_COLUMNS[self.table.name]}=COLUMN"
        words = ", name the component by words of the text with --component-words" if self.table is FAILURES else ""
        return f"choose another column with {other}{words}, or {hint}"

    def error(self, place: Place, column: str, problem: str, hint: str) -> DataError:
        """Return an error about a value."""
        message = f"{place.file.name}: {place.where}, column {column}: {problem}"
        number = int(re.sub(r"\D", "", place.where))
        return DataError(message, hint=hint, file=place.file.name, line=number, column=column)

    def numbers(self) -> list[str]:
        """Return the columns of numbers.

        Raises
        ------
        DataError
            If telemetry has a string among mostly numeric values, or in a sensor listed in the settings.
        """
        found = []
        for name, count in self.counts.items():
            if self.table is TELEMETRY and count.others:
                self._check_sensor(name, count)
            if not count.others:
                found.append(name)
        return found

    def check_sensors(self, numbers: Collection[str]) -> None:
        """Reject telemetry without a sensor.

        Raises
        ------
        DataError, SchemaError
            With the first value that is not a number, if a column has digits.
        """
        if any(name not in self.left_out() for name in numbers):
            return
        doubtful = next(iter(self.mixed()), None)
        if doubtful is None:
            raise SchemaError(f"{self.name}: no column of numbers", hint="telemetry needs at least one sensor")
        other = self.first_other(doubtful)
        hint = "fix it, set --decimal, or list such words with --na-values"
        if THOUSANDS.fullmatch(other.text):
            hint = "write numbers without thousands separators"
        raise self.error(other, doubtful, f"{quote(other.text)} is not a number, and there is no other sensor", hint)

    def left_out(self) -> list[str]:
        """Return the columns of failures, which a model must not see, and those that --sensors leaves out."""
        if self.table is not TELEMETRY:
            return []
        source = self.options.failures
        failures = (*source.flags, source.status)
        return [name for name in self.values if name in failures or (self._sensors and name not in self._sensors)]

    def mixed(self) -> dict[str, ValueCount]:
        """Return the string columns with some numbers; in telemetry, also those with values that begin as numbers."""
        is_doubtful = self.table is TELEMETRY
        strings = {name: count for name, count in self.counts.items() if count.others and name not in self.left_out()}
        return {name: count for name, count in strings.items() if count.numbers or (is_doubtful and count.digits)}

    def sql_number(self, column: str) -> str:
        """Return the SQL expression of a column's numbers; NULL for missing values and other strings."""
        return self.without_sentinels(sql_number(sql_column(column), self.options.decimal))

    def sql_value(self) -> str:
        """Return the SQL expression of the numbers in long telemetry."""
        return self.without_sentinels(sql_number(_VALUE, self.options.decimal))

    def without_sentinels(self, number: str) -> str:
        """Return the SQL expression of a number, NULL if it means a missing value."""
        for value in self.options.sentinels:
            number = f"nullif({number}, {value!r}::DOUBLE)"
        return number

    def _check_sensor(self, name: str, count: ValueCount) -> None:
        """Reject strings in a column that is meant as a sensor."""
        if name in self.left_out():
            return
        is_sensor = count.numbers > count.others or name in self._sensors
        if not is_sensor and (self.options.decimal != "." or not count.digits):
            return
        other = self.first_other(name)
        comma = self.options.decimal == "." and re.fullmatch(r"[+-]?\d+,\d+", other.text) is not None
        if comma or is_sensor:
            hint = "try --decimal ," if comma else "fix it, leave it empty, or list such words with --na-values"
            if THOUSANDS.fullmatch(other.text):
                hint = "write numbers without thousands separators"
            raise self.error(other, name, f"{quote(other.text)} is not a number", hint)

    def _make_view(self) -> None:
        self._engine.run(
            f"CREATE OR REPLACE VIEW {self.unread} AS {sql_rows(self.files, dict.fromkeys(self.columns, '{}'))}"
        )
        columns = ", ".join(f"{sql_plain(column)} AS {column}" for column in map(sql_column, self.columns))
        rows = f"SELECT {columns} FROM {self.unread}"
        source = self.options.failures
        if self.table is FAILURES and source.words:
            text = sql_column(self.kind)
            component, is_ambiguous = sql_component(text, source.words), sql_is_ambiguous(text, source.words)
            rows = f"SELECT * REPLACE ({component} AS {text}), {is_ambiguous} AS {_IS_AMBIGUOUS} FROM ({rows})"
        if self.table is FAILURES and source.where is not None:
            column, value = self._current_name(source.where[0]), source.where[1]
            if column not in self.columns:
                hint = f"--failures-where names one of {name_some(list(self.columns))}"
                raise SchemaError(f"{self.name}: no column {column!r}", hint=hint)
            rows = f"SELECT * FROM ({rows}) WHERE {sql_column(column)} GLOB {sql_text(_escape(value))}"
        self._engine.run(f"CREATE OR REPLACE VIEW {self.base} AS {rows}")

    @property
    def base(self) -> str:
        """The rows with the columns of the files."""
        return self.view if self.long is None else f"{self.view}_long"

    def _current_name(self, column: str) -> str:
        """Return the name of a column that the user may know by its name in the files."""
        renamed = {
            old: self.keys.get(name, name) for name, old in self.options.columns.get(self.table.name, {}).items()
        }
        return column if column in self.columns else renamed.get(column, column)

    def _read_tags(self, long: LongForm) -> list[TagRow]:
        tag, value = sql_column(long.tag), sql_column(long.value)
        first = f"SELECT {tag} AS tag, min({value}) AS value FROM {self.unread} GROUP BY {tag}"
        return self._query(f"SELECT tag, {sql_plain('tag')}, {sql_plain('value')} FROM ({first})")

    def _make_long_view(self, long: LongForm, tag_rows: Sequence[TagRow]) -> None:
        """Name machine and sensor of each tag, and the sensors as columns."""
        tag, value = sql_column(long.tag), sql_column(long.value)
        self.tag_rows = tag_rows
        self.tags, self.other_tags = split_tags({tag for _, tag, _ in self.tag_rows}, long, self.name)
        named = split_units({sensor for _, sensor in self.tags.values()}, (self.time, self.machine))
        self.tags = {tag: (machine, named[sensor][0]) for tag, (machine, sensor) in self.tags.items()}
        self._units = {sensor: unit for sensor, unit in named.values() if unit}
        has_machine = self.machine in self.columns
        if not has_machine and not all(machine for machine, _ in self.tags.values()):
            raise SchemaError(
                f"{self.name}: no column {self.machine!r}, and the tags name no machine",
                hint="--tags '{machine}.{sensor}', --machine NAME, or --columns telemetry.machineID=COLUMN",
            )
        rows = ", ".join(
            f"({sql_text(text)}, {sql_text(machine)}, {sql_text(sensor)})"
            for text, (machine, sensor) in self.tags.items()
        )
        table = f"{self.view}_tags"
        self._engine.run(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM (VALUES {rows}) AS t(tag, machine, sensor)")
        machine = f"coalesce(nullif(t.machine, ''), b.{sql_column(self.machine)})" if has_machine else "t.machine"
        columns = f"b.{sql_column(self.time)}, {machine} AS {sql_column(self.machine)}"
        self._engine.run(
            f"CREATE OR REPLACE VIEW {self.view} AS SELECT {columns}, "
            f"t.sensor AS {_SENSOR}, b.{value} AS {_VALUE} FROM {self.base} AS b JOIN {table} AS t ON b.{tag} = t.tag"
        )
        sensors = sorted({sensor for _, sensor in self.tags.values()})
        self.columns = (self.time, self.machine, *sensors)

    def sample_shapes(self) -> list[str]:
        """Return the shapes of the first times; none if their format is given."""
        if not self.time or self.options.format_of(self.table) or self.options.cycle_seconds:
            return []
        shape = sql_shape(sql_column(self.time))
        # Not those of the view: the first rows may have none of its tags.
        sample = f"(SELECT {shape} AS shape FROM {self.base} LIMIT {_SAMPLE_ROWS})"
        return [
            text for (text,) in self._query(f"SELECT DISTINCT shape FROM {sample} ORDER BY shape LIMIT {_MOST_SHAPES}")
        ]

    def _other_shapes(self, shapes: Sequence[str]) -> list[str]:
        time = sql_column(self.time)
        where = f"NOT regexp_full_match({time}, {sql_text(sql_pattern(shapes))})"
        sql = f"SELECT DISTINCT {sql_shape(time)} AS shape FROM {self.view} WHERE {where} ORDER BY shape"
        return [text for (text,) in self._query(f"{sql} LIMIT {_MOST_SHAPES}")]

    def _count(self, shapes: Sequence[str], relation: str) -> dict[str, int]:
        """Count the rows, the values of each type in each column, and the rows of each shape."""
        values = {name: sql_column(name) for name in self.values} if self.long is None else {"": _VALUE}
        counted = {"rows": "count(*)"} | dict(
            [*self._count_keys(), *self._count_values(values), *self._count_shapes(shapes)]
        )
        typed = [f"{sql_number(column, self.options.decimal)} AS {_number(name)}" for name, column in values.items()]
        time, patterns = sql_column(self.time), [sql_text(sql_pattern([shape])) for shape in shapes]
        whens = [f"WHEN regexp_full_match({time}, {pattern}) THEN {n}" for n, pattern in enumerate(patterns)]
        typed.append(f"{'CASE ' + ' '.join(whens) + ' ELSE -1 END' if whens else 0} AS shape_number")
        rows = f"(SELECT *, {', '.join(typed)} FROM {relation})"
        sums = ", ".join(counted.values())
        if self.long is None:
            (counts,) = self._query(f"SELECT {sums} FROM {rows}")
            return dict(zip(counted, counts, strict=True))
        found: dict[str, int] = {}
        for sensor, *sensor_counts in self._query(f"SELECT {_SENSOR}, {sums} FROM {rows} GROUP BY {_SENSOR}"):
            for name, count in zip(counted, sensor_counts, strict=True):
                # The counts of values are those of a sensor; the others are added up.
                key = f"{name}{sensor}" if name.endswith(" ") else name
                found[key] = found.get(key, 0) + count
        return dict.fromkeys(counted, 0) | found

    @property
    def values(self) -> list[str]:
        """The columns except for the keys."""
        return [name for name in self.columns if name not in self.keys.values()]

    def _count_keys(self) -> Iterator[tuple[str, str]]:
        for name in self.keys.values():
            column = sql_column(name)
            yield f"empty {name}", f"count(*) FILTER ({column} = '')"
            yield f"break {name}", f"count(*) FILTER (contains({column}, chr(10)))"
        is_integer = f"regexp_full_match({sql_column(self.machine)}, '{INTEGER}')"
        yield "text_machines", f"count(*) FILTER (NOT {is_integer})"

    def _count_values(self, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        missing = ", ".join(map(sql_text, ("", *self.options.missing)))
        for name, column in values.items():
            number = _number(name)
            is_other = f"{number} IS NULL AND lower({column}) NOT IN ({missing})"
            yield f"numbers {name}", f"count({self.without_sentinels(number)})"
            yield f"others {name}", f"count(*) FILTER ({is_other})"
            digits = f"{is_other} AND regexp_matches({column}, '^{BEGINS_AS_NUMBER}')"
            yield f"digits {name}", f"count(*) FILTER ({digits})"

    def _count_shapes(self, shapes: Sequence[str]) -> Iterator[tuple[str, str]]:
        for number, shape in enumerate(shapes):
            has_shape = f"shape_number = {number}"
            yield f"rows_{number}", f"count(*) FILTER ({has_shape})"
            parts = sql_parts(shape, sql_column(self.time))
            if parts is None:
                continue
            is_day, is_month = (f"{part} > {_LAST_MONTH}" for part in parts)
            yield f"day_{number}", f"count(*) FILTER ({has_shape} AND {is_day} AND NOT {is_month})"
            yield f"month_{number}", f"count(*) FILTER ({has_shape} AND {is_month} AND NOT {is_day})"
            yield f"both_{number}", f"count(*) FILTER ({has_shape} AND NOT {is_day} AND NOT {is_month})"
        yield "other_shapes", "count(*) FILTER (shape_number = -1)"

    def _shape(self, shape: str, number: int, found: Mapping[str, int]) -> Shape:
        counts = (found.get(f"{kind}_{number}", 0) for kind in ("rows", "day", "month", "both"))
        return Shape(shape, *counts)

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a result; an error names the line that cannot be read."""
        try:
            return self._engine.fetch(sql)
        except Unreadable as error:
            raise (find_fault(self.files) or error.of(self.name)) from error

    def _expected(self) -> list[str]:
        """Return the columns that the files must have, by their names there."""
        given = self.options.columns.get(self.table.name, {})
        long = [self.long.tag, self.long.value] if self.long is not None else []
        return [*(given.get(name, given.get(named, named)) for name, named in self.keys.items()), *long]

    def _value(self, values: Mapping[str, str], column: str) -> str | None:
        """Return the value of a column in a row of a file; None if the row does not count for it."""
        source = self.options.failures
        if self.table is FAILURES and source.where is not None:
            name, pattern = source.where
            if not fnmatchcase(values[self._current_name(name)], _escape(pattern)):
                return None
        if self.long is None:
            return plain(values[column])
        tag = self.tags.get(plain(values[self.long.tag]))
        if tag is None:
            return None
        if column == self.machine:
            return tag[0] or plain(values[column])
        if column == self.time:
            return plain(values[column])
        return plain(values[self.long.value]) if column == tag[1] else None


def _escape(pattern: str) -> str:
    """Return a pattern in which only ``*`` has a meaning."""
    return re.sub(r"[?[]", r"[\g<0>]", pattern)


def _number(name: str) -> str:
    """Return the name of the column of the numbers in a column."""
    return sql_column(f"number {name}")
