"""The files of an import as the user describes them: their format, their columns, and where the failures are."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pdm_cli.errors import UsageError
from pdm_cli.io.importing.date_shapes import EPOCHS, sql_format
from pdm_cli.io.importing.text_files import TextFormat
from pdm_cli.schema import RAW_TABLES, Table
from pdm_cli.settings.duration import parse_duration
from pdm_cli.text import split_list

# Spellings of a missing value in other programs, in lower case.
MISSING = (
    *("na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none", "-", "--"),
    *("bad", "bad input", "bad data", "i/o timeout", "no data", "no sample", "not connected", "comm fail"),
    *("pt created", "scan off", "scan timeout", "shutdown", "configure", "calc failed", "under range", "over range"),
)
_TABLES = [table.name for table in RAW_TABLES]
_HINT_FORMAT = "for example '%m/%d/%Y %H:%M', epoch-s or epoch-ms"
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_PLACEHOLDER = re.compile(r"\\\{(machine|sensor)\\\}")


@dataclass(frozen=True)
class LongForm:
    """Telemetry with a row per reading: the columns of tags and values, and how a tag names machine and sensor.

    Attributes
    ----------
    tag, value : str
        Column of the tags, and column of the values.
    pattern : str
        Such as ``{machine}.{sensor}``; empty if the tag is the sensor, and the machine has a column of its own.
    mapping : mapping of str to (str, str)
        Tag to machine and sensor, instead of a pattern; tags that are not in it are left out.
    """

    tag: str
    value: str
    pattern: str = ""
    mapping: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class FailureSource:
    """Where failures are, if not in a table of their own.

    Attributes
    ----------
    flags : tuple of str
        Columns of the telemetry that are 1 in rows of a failure, which is named after the column.
    status : str
        Column of the telemetry with the state of the machine; its other states become error events.
    failed : tuple of str
        States that are failures.
    where : tuple of (str, str), optional
        Column of the failures table and the value that its rows must have.
    words : tuple of (str, str)
        Words, in lower case, and the component that a failure with such a text is of; the first one found counts.
    end : str
        Component that fails at the end of each machine's telemetry.
    running : frozenset of str
        Machines whose telemetry does not end with a failure.
    """

    flags: tuple[str, ...] = ()
    status: str = ""
    failed: tuple[str, ...] = ()
    where: tuple[str, str] | None = None
    words: tuple[tuple[str, str], ...] = ()
    end: str = ""
    running: frozenset[str] = frozenset()

    @property
    def filter_option(self) -> str:
        """The first given option that selects or names failures of a table; empty if there is none."""
        return "--failures-where" if self.where else "--component-words" if self.words else ""

    @property
    def is_derived(self) -> bool:
        """Whether failures come from the telemetry."""
        return bool(self.flags or self.status or self.end)


@dataclass(frozen=True)
class ImportOptions:
    """The files as described by the user.

    Attributes
    ----------
    text : TextFormat
        Encoding, separator and column names of text files.
    decimal : str
        Decimal separator.
    formats : mapping of str to str
        Date format per table; the empty name stands for all other tables.
    order : str, optional
        Order of day and month in dates that do not begin with the year.
    missing : tuple of str
        Spellings of a missing value, in lower case.
    sentinels : tuple of float
        Numbers that mean a missing value.
    files : mapping of str to tuple of str
        Table to patterns of its files.
    columns : mapping of str to mapping of str to str
        Table to column name in the raw table to column name in the files.
    machine : str
        The only machine; empty if a column or file name has it.
    machine_pattern : str
        Pattern of the file names, with ``{machine}``.
    long : LongForm, optional
        The telemetry has a row per reading.
    failures : FailureSource
        Where failures are.
    cycle_seconds : float
        Seconds that a cycle counts as, if the times are cycles; else 0.
    """

    text: TextFormat = field(default_factory=TextFormat)
    decimal: str = "."
    formats: Mapping[str, str] = field(default_factory=dict)
    order: Literal["day-first", "month-first"] | None = None
    missing: tuple[str, ...] = MISSING
    sentinels: tuple[float, ...] = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    machine: str = ""
    machine_pattern: str = ""
    long: LongForm | None = None
    failures: FailureSource = field(default_factory=FailureSource)
    cycle_seconds: float = 0.0

    def format_of(self, table: Table) -> str:
        """Return the date format given for a table, or an empty string."""
        return self.formats.get(table.name, self.formats.get("", ""))


def parse_formats(given: Iterable[str]) -> dict[str, str]:
    """Return the formats given with ``--date-format`` by table."""
    import duckdb

    formats: dict[str, str] = {}
    for word in given:
        table, _, form = word.partition("=") if re.match(r"\w+=", word) else ("", "", word)
        if table and table not in _TABLES:
            raise UsageError(f"--date-format {word}: no table {table!r}", hint=f"choose one of {', '.join(_TABLES)}")
        if table in formats:
            raise UsageError(f"--date-format {word}: given twice", hint="give it once, or once per TABLE=")
        if form not in EPOCHS:
            try:
                duckdb.execute("SELECT " + sql_format(form, "'-'"))
            except duckdb.InvalidInputException as exc:
                raise UsageError(f"--date-format {word}: not a date format", hint=_HINT_FORMAT) from exc
            if not any(part in form for part in ("%Y", "%y", "%c", "%x", "%s", "%G")):
                raise UsageError(f"--date-format {word}: has no year", hint=_HINT_FORMAT)
        formats[table] = form
    return formats


def parse_missing(given: Iterable[str] | None) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the words, in lower case, and the numbers for a missing value; only words replace those of historians."""
    values = tuple(given or ())
    words = tuple(word.lower() for word in values if not _NUMBER.fullmatch(word))
    is_default = given is None or (values and not words)
    return MISSING if is_default else words, tuple(float(word) for word in values if _NUMBER.fullmatch(word))


def parse_files(given: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the patterns given with ``--files`` by table."""
    files: dict[str, tuple[str, ...]] = {}
    for word in given:
        table, equals, pattern = word.partition("=")
        if not equals or not pattern or table not in _TABLES:
            hint = f"such as telemetry='export/*.csv'; the tables are {', '.join(_TABLES)}"
            raise UsageError(f"--files {word}: expected TABLE=PATTERN", hint=hint)
        files[table] = (*files.get(table, ()), pattern)
    return files


def parse_columns(given: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the columns given with ``--columns`` by table and name in the raw table."""
    columns: dict[str, dict[str, str]] = {}
    for word in given:
        name, equals, column = word.partition("=")
        table, dot, field_name = name.partition(".")
        if not (equals and dot and field_name and column) or table not in _TABLES:
            hint = f"such as failures.datetime=Start; the tables are {', '.join(_TABLES)}"
            raise UsageError(f"--columns {word}: expected TABLE.FIELD=COLUMN", hint=hint)
        if field_name in columns.setdefault(table, {}):
            raise UsageError(f"--columns {word}: {table}.{field_name} is given twice", hint="give it once")
        columns[table][field_name] = column
    return columns


def parse_condition(text: str) -> tuple[str, str]:
    """Return column and value of a condition such as ``order_type = M2*``, where ``*`` stands for anything."""
    column, equals, value = text.partition("=")
    if not (equals and column.strip() and value.strip()):
        raise UsageError(f"--failures-where {text}: expected COLUMN = VALUE", hint="such as 'order_type = M2*'")
    return column.strip(), value.strip()


def parse_cycle(text: str) -> float:
    """Return the length of a cycle, given with ``--cycles``, in seconds."""
    try:
        seconds = parse_duration(text)
    except ValueError as exc:
        raise UsageError(f"--cycles: {exc}", hint="such as --cycles 1h if a cycle counts as an hour") from exc
    if not seconds:
        raise UsageError(f"--cycles: must be above 0, got {text}", hint="such as --cycles 1h")
    return seconds


def split_names(option: str, text: str) -> tuple[str, ...]:
    """Return the names in a list separated by commas; a name with a comma is in double quotes."""
    names = tuple(split_list(text))
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"{option} {text}: {twice[0]!r} is given twice", hint="give each column a name of its own")
    return names


def read_words(path: Path) -> tuple[tuple[str, str], ...]:
    """Read the words of components from a CSV file with the columns word and component."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            for name in ("word", "component"):
                if name not in (rows.fieldnames or ()):
                    raise UsageError(
                        f"--component-words {path}: no column {name!r}", hint="its columns: word, component"
                    )
            return tuple((row["word"].strip().lower(), row["component"].strip()) for row in rows)
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not UTF-8 text"
        raise UsageError(
            f"--component-words {path}: {reason}", hint="a CSV file with the columns word, component"
        ) from exc


def compile_pattern(option: str, pattern: str, names: Sequence[str]) -> re.Pattern[str]:
    """Return the regular expression of a pattern such as ``{machine}.{sensor}``; ``*`` stands for anything.

    Raises
    ------
    UsageError
        If the pattern lacks one of ``names``.
    """
    for name in names:
        if f"{{{name}}}" not in pattern:
            raise UsageError(f"{option} {pattern}: has no {{{name}}}", hint=f"such as {_example(names)}")
    escaped = _PLACEHOLDER.sub(lambda found: rf"(?P<{found[1]}>.+?)", re.escape(pattern).replace(r"\*", ".*"))
    try:
        return re.compile(escaped)
    except re.error as exc:
        raise UsageError(f"{option} {pattern}: {exc}", hint=f"such as {_example(names)}") from exc


def _example(names: Sequence[str]) -> str:
    return "'{machine}.{sensor}'" if "sensor" in names else "'{machine}.csv'"
