"""The first rows of a file by column: which columns are times, numbers, flags or words, by their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from pdm_cli.io.importing.date_shapes import (
    Order,
    Shape,
    find_epoch,
    order_of,
    shape_of,
    sql_checked_time,
    sql_decides_order,
    sql_format,
    sql_has_shape,
)
from pdm_cli.io.importing.name_words import WORDS
from pdm_cli.io.importing.options import MISSING
from pdm_cli.io.importing.sources import SourceFile, sql_column, sql_text
from pdm_cli.io.importing.values import BEGINS_AS_NUMBER, THOUSANDS, sql_plain
from pdm_cli.preparation.sentinels import SentinelSearch
from pdm_cli.schema import TIME

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine

# Rows of which all values are read, and rows of which values are counted.
_ROWS, _COUNTED_ROWS = 500, 1_000_000
_MOST_NAMES, _BATCH_ROWS = 10_000, 100_000
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_BEGINS_AS_NUMBER = rf"^(?:{BEGINS_AS_NUMBER}|[+-]?[iI]nf)"
_INTEGER = re.compile(r"\d+", re.ASCII)
_ON, _OFF = {"1", "1.0", "true"}, {"0", "0.0", "false"}
# Formats that are not detected in an import: the likelier ones first.
_DATES = (
    *("%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%y-%m-%d", "%d-%m-%y", "%y/%m/%d", "%m-%d-%y", "%m.%d.%y", "%y.%m.%d"),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d %Y", "%b %d, %Y", "%Y%m%d", "%d.%m.%Y", "%Y-%m-%d"),
)
_TIMES = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M:%S", "T%H:%M", " %I:%M %p", " %I:%M:%S %p"),
    *(" %H.%M", " %H.%M.%S", "%H%M", "%H%M%S", " %H%M%S", "_%H%M%S"),
)
_FORMATS = tuple("".join(parts) for parts in product(_DATES, _TIMES))
_FIRST_YEAR, _LAST_YEAR = 1990, 2100
# Of the rows of a counter, so many are one more than the row before.
_SHARE_OF_STEPS = 0.8


@dataclass(frozen=True)
class TimeColumn:
    """A column of times, and the formats that fit all of its first values; none if an import detects the format.

    It is undecided if day and month may be in either order in all of these values.
    """

    name: str
    formats: tuple[str, ...] = ()
    is_undecided: bool = False


@dataclass(frozen=True)
class Look:
    """The first rows of a file by column."""

    source: SourceFile
    values: Mapping[str, Sequence[str]]
    engine: Engine

    @cached_property
    def times(self) -> list[TimeColumn]:
        """Return the columns of times: those with a name such as timestamp first, numbers last."""
        found = [column for name in self.values if (column := self._as_time(name)) is not None]
        numbers = self.numbers
        return sorted(found, key=lambda column: (WORDS[TIME].search(column.name) is None, column.name in numbers))

    @cached_property
    def numbers(self) -> list[str]:
        """Return the columns of numbers."""
        return [name for name, values in self.values.items() if _are_all(values, is_number)]

    @cached_property
    def words(self) -> list[str]:
        """Return the columns of strings that are not dates."""
        others = {*self.numbers, *(column.name for column in self.times)}
        return [name for name in self.values if name not in others]

    @cached_property
    def readings(self) -> list[str]:
        """Return the columns whose values are mostly numbers, with or without thousands separators."""
        found = []
        for name, values in self.values.items():
            present = _present(values)
            if sum(is_number(value) or has_thousands(value) for value in present) > len(present) / 2:
                found.append(name)
        return found

    @cached_property
    def binaries(self) -> list[str]:
        """Return the columns whose first values are 0 or 1."""
        return [name for name, values in self.values.items() if set(map(str.lower, values)) <= {*_ON, *_OFF, ""}]

    @cached_property
    def flags(self) -> list[str]:
        """Return the columns that are 0 or 1 and not always the same."""
        # One pass: telemetry may have hundreds of sensors that are always 0.
        parts = [
            f"bool_or({value} IN ({_sql_list(_ON)})) AND bool_or({value} IN ({_sql_list(_OFF)})) "
            f"AND bool_and({value} IN ({_sql_list({*_ON, *_OFF, ''})}))"
            for value in (f"lower({sql_column(name)})" for name in self.binaries)
        ]
        if not parts:
            return []
        columns = ", ".join(f"{self._sql(name)} AS {sql_column(name)}" for name in self.binaries)
        rows = f"SELECT {columns} FROM {self.source.relation} LIMIT {_COUNTED_ROWS}"
        ((*found,),) = self.engine.rows(f"SELECT {', '.join(parts)} FROM ({rows})")
        return [name for name, is_flag in zip(self.binaries, found, strict=True) if is_flag]

    @cached_property
    def counters(self) -> list[str]:
        """Return the columns of integers that mostly rise by one from row to row, as cycles do."""
        found = []
        for name, values in self.values.items():
            if len(values) > 2 and all(map(_INTEGER.fullmatch, values)):
                steps = [int(after) - int(before) == 1 for before, after in pairwise(values)]
                if sum(steps) >= len(steps) * _SHARE_OF_STEPS:
                    found.append(name)
        return found

    def distinct(self, name: str) -> list[str]:
        """Return the different values of a column."""
        sql = f"SELECT DISTINCT value FROM (SELECT {self._sql(name)} AS value FROM {self.source.relation}"
        rows = self.engine.rows(f"{sql} LIMIT {_COUNTED_ROWS}) ORDER BY value LIMIT {_MOST_NAMES}")
        return [value for (value,) in rows]

    def count(self, *names: str) -> int:
        """Return the number of different combinations of values; of rows, if no column is named."""
        columns = ", ".join(f"{self._sql(name)} AS {sql_column(name)}" for name in names) or "1 AS one"
        keys = ", ".join(sql_column(name) for name in names)
        rows = f"SELECT {columns} FROM {self.source.relation} LIMIT {_COUNTED_ROWS}"
        counted = f"SELECT DISTINCT {keys} FROM ({rows})" if names else rows
        ((number,),) = self.engine.rows(f"SELECT count(*) FROM ({counted})")
        return int(number)

    def is_counted(self, name: str, by: str) -> bool:
        """Return whether integers count the rows of each value of another column from 0 or 1, with few left out."""
        if not all(map(_INTEGER.fullmatch, self.values[name])):
            return False
        number = f"TRY_CAST({self._sql(name)} AS BIGINT)"
        rows = f"SELECT {self._sql(by)} AS key, {number} AS number FROM {self.source.relation} LIMIT {_COUNTED_ROWS}"
        groups = f"SELECT min(number) AS first, max(number) AS last, count(*) AS rows FROM ({rows}) GROUP BY key"
        fits = f"first IN (0, 1) AND rows BETWEEN {_SHARE_OF_STEPS} * (last - first + 1) AND last - first + 1"
        ((groups_there, are_counted, longest),) = self.engine.rows(
            f"SELECT count(*), bool_and({fits}), max(rows) FROM ({groups})"
        )
        return groups_there > 1 and bool(are_counted) and longest > 1

    def is_key(self, name: str, time: str) -> bool:
        """Return whether strings or integers distinguish the rows of each time, and repeat, as machines do."""
        values = self.values[name]
        if name in self.flags or not (name in self.words or all(map(_INTEGER.fullmatch, values))):
            return False
        rows = self.count()
        is_repeated = 1 < self.count(name) <= rows / 2 and self.count(time) < rows
        return is_repeated and self.count(time, name) == rows

    def medians(self, name: str, by: str) -> list[float]:
        """Return the medians of a column of numbers, one for each value of another."""
        number = f"TRY_CAST(replace({self._sql(name)}, ',', '.') AS DOUBLE)"
        rows = f"SELECT {self._sql(by)} AS key, {number} AS number FROM {self.source.relation} LIMIT {_COUNTED_ROWS}"
        found = self.engine.rows(
            f"SELECT median(number) FROM ({rows}) WHERE key != '' GROUP BY key LIMIT {_MOST_NAMES}"
        )
        return [float(median) for (median,) in found if median is not None]

    def _sql(self, name: str) -> str:
        return sql_plain(self.source.columns[name])

    def is_long(self, tag: str, value: str) -> bool:
        """Return whether some tags have numbers only, and all others only words, as those of states have."""
        kinds: dict[str, set[bool]] = {}
        for name, one in zip(self.values[tag], self.values[value], strict=True):
            if one and one.lower() not in MISSING:
                kinds.setdefault(name, set()).add(is_number(one))
        found = list(kinds.values())
        return {True} in found and all(len(kind) == 1 for kind in found)

    def find_sentinels(self, names: Sequence[str], tag: str = "") -> list[str]:
        """Return numbers of some columns that may mean a missing reading; those of a row per reading are per tag."""
        search = SentinelSearch()
        if not names:
            return []
        numbers = [f"TRY_CAST(replace({self._sql(name)}, ',', '.') AS DOUBLE)" for name in names]
        keys = [self._sql(tag)] if tag else []
        selected = ", ".join(f"{sql} AS c{number}" for number, sql in enumerate([*numbers, *keys]))
        for batch in self.engine.batches(
            f"SELECT {selected} FROM {self.source.relation} LIMIT {_COUNTED_ROWS}", _BATCH_ROWS
        ):
            columns = [np.asarray(column.to_numpy(zero_copy_only=False)) for column in batch.columns]
            for number, name in enumerate(names):
                values = columns[number].astype(float)
                tags = columns[-1] if tag else None
                for own in [name] if tags is None else np.unique(tags.astype(str)):
                    search.add(str(own), values if tags is None else values[tags == own])
        return list(dict.fromkeys(f"{sentinel.value:.15g}" for sentinel in search.found()))

    def find_words(self, names: Sequence[str]) -> list[str]:
        """Return words in columns of numbers that may mean a missing reading: at most two of each column."""
        if not names:
            return []
        missing = _sql_list({"", *MISSING})
        parts = []
        for column in map(sql_column, names):
            is_word = f"lower({column}) NOT IN ({missing}) AND NOT regexp_matches({column}, '{_BEGINS_AS_NUMBER}')"
            parts += [f"{function}({column}) FILTER ({is_word})" for function in ("min", "max")]
        columns = ", ".join(f"{self._sql(name)} AS {sql_column(name)}" for name in names)
        rows = f"SELECT {columns} FROM {self.source.relation} LIMIT {_COUNTED_ROWS}"
        ((*found,),) = self.engine.rows(f"SELECT {', '.join(parts)} FROM ({rows})")
        return list(dict.fromkeys(filter(None, found)))

    def find_impossible_time(self, name: str) -> str:
        """Return the first time that looks like those of the first rows, but is none; empty if there is none."""
        values = _present(self.values[name])
        shapes = list(dict.fromkeys(map(shape_of, values)))
        known = [Shape(text, rows=1, undecided=1) for text in shapes]
        order: Order | None = next(filter(None, map(order_of, values)), None)
        if known and all(shape.is_year_first for shape in known):
            order = "year-first"
        if order is None or not all(shape.is_known for shape in known):
            return ""
        value = self._sql(name)
        condition = f"{sql_has_shape(shapes, value)} AND ({sql_checked_time(shapes, order, value)}) IS NULL"
        rows = self.engine.rows(f"SELECT {value} FROM {self.source.relation} WHERE {condition} LIMIT 1")
        return next((text for (text,) in rows), "")

    def _has_row(self, condition: str) -> bool:
        """Return whether any row of the file fits a condition."""
        return bool(list(self.engine.rows(f"SELECT 1 FROM {self.source.relation} WHERE {condition} LIMIT 1")))

    def _as_time(self, name: str) -> TimeColumn | None:
        values = _present(self.values[name])
        if not values:
            return None
        shapes = [Shape(shape_of(value), rows=1, undecided=1) for value in dict.fromkeys(values)]
        if all(shape.is_known for shape in shapes):
            is_decided = any(shape.is_year_first for shape in shapes) or any(map(order_of, values))
            is_decided = is_decided or self._has_row(sql_decides_order(self._sql(name)))
            return TimeColumn(name, is_undecided=not is_decided)
        if find_epoch(shapes) and self._may_be_epochs(name):
            return TimeColumn(name)
        are_numbers = all(map(is_number, values))
        formats = self._find_formats(list(dict.fromkeys(values)))
        if not formats or (are_numbers and WORDS[TIME].search(name) is None):
            return None
        return TimeColumn(name, formats)

    def _may_be_epochs(self, name: str) -> bool:
        """Return whether numbers of that many digits are times: by their name, or because they mostly rise."""
        if WORDS[TIME].search(name):
            return True
        numbers = [float(value.replace(",", ".")) for value in _present(self.values[name])]
        steps = [after >= before for before, after in pairwise(numbers)]
        return bool(steps) and len(set(numbers)) > 1 and sum(steps) >= len(steps) * _SHARE_OF_STEPS

    def _find_formats(self, values: Sequence[str]) -> tuple[str, ...]:
        fitting = [form for form in _FORMATS if _fits(form, values[0])]
        rows = ", ".join(f"({sql_text(value)})" for value in values)
        return tuple(
            form
            for form in fitting
            if self.engine.fetch(
                f"SELECT count(*) FROM (VALUES {rows}) AS t(v) WHERE ({sql_format(form, 'v')}) IS NULL"
            )
            == [(0,)]
        )


def take_look(source: SourceFile, engine: Engine) -> Look:
    """Read the first rows of a file."""
    names = list(source.columns)
    selected = ", ".join(f"{sql_plain(source.columns[name])} AS {sql_column(name)}" for name in names)
    rows = list(engine.rows(f"SELECT {selected} FROM {source.relation} LIMIT {_ROWS}"))
    return Look(source, {name: [row[number] for row in rows] for number, name in enumerate(names)}, engine)


def is_number(text: str) -> bool:
    """Return whether a string is a number, with a decimal point or comma."""
    return _NUMBER.fullmatch(text) is not None


def has_thousands(text: str) -> bool:
    """Return whether a string is a number with thousands separators."""
    return THOUSANDS.fullmatch(text) is not None


def is_row_of_data(values: Sequence[str]) -> bool:
    """Return whether the first row of a file looks like data instead of a header: only numbers, or with a date."""
    present = [value for value in values if value]
    dates = (Shape(shape_of(value), rows=1, undecided=1).is_known for value in present)
    return len(present) > 1 and (all(map(is_number, present)) or any(dates))


def _fits(form: str, text: str) -> bool:
    try:
        return _FIRST_YEAR <= datetime.strptime(text, form).year < _LAST_YEAR
    except ValueError:
        return False


def _sql_list(values: Collection[str]) -> str:
    return ", ".join(map(sql_text, sorted(values)))


def _present(values: Sequence[str]) -> list[str]:
    return [value for value in values if value and value.lower() not in MISSING]


def _are_all(values: Sequence[str], fits: Callable[[str], bool]) -> bool:
    """Return whether there are values, and all that are not missing fit."""
    present = _present(values)
    return bool(present) and all(map(fits, present))
