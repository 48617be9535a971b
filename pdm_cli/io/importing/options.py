"""The files of an import as the user describes them: their format, their columns, and where the failures are."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pdm_cli.errors import UsageError
from pdm_cli.io.importing.text_files import TextFormat
from pdm_cli.schema import Table

# Spellings of a missing value in other programs, in lower case.
MISSING = (
    *("na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none", "-", "--"),
    *("bad", "bad input", "bad data", "i/o timeout", "no data", "no sample", "not connected", "comm fail"),
    *("pt created", "scan off", "scan timeout", "shutdown", "configure", "calc failed", "under range", "over range"),
)
# Of small CSV files that options name.
RECORD_SEPARATORS = ",;\t|"
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
    running : tuple of str
        Machines whose telemetry does not end with a failure.
    """

    flags: tuple[str, ...] = ()
    status: str = ""
    failed: tuple[str, ...] = ()
    where: tuple[str, str] | None = None
    words: tuple[tuple[str, str], ...] = ()
    end: str = ""
    running: tuple[str, ...] = ()

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
    option_files : tuple of str
        Files that other options read, which belong to no table.
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
    option_files: tuple[str, ...] = ()

    def format_of(self, table: Table) -> str:
        """Return the date format given for a table, or an empty string."""
        return self.formats.get(table.name, self.formats.get("", ""))


def parse_condition(text: str) -> tuple[str, str]:
    """Return column and value of a condition such as ``order_type = M2*``, where ``*`` stands for anything."""
    column, equals, value = text.partition("=")
    if not (equals and column.strip() and value.strip()):
        raise UsageError(f"--failures-where {text}: expected COLUMN = VALUE", hint="such as 'order_type = M2*'")
    return column.strip(), value.strip()


def read_records(option: str, path: Path, names: Sequence[str], filled: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a small CSV file, without spaces around the values.

    The header decides the separator: Excel writes semicolons in many countries.

    Parameters
    ----------
    option : str
        The option that names the file, for messages.
    path : Path
        The file.
    names : sequence of str
        Columns that it must have.
    filled : sequence of str
        Columns that must have a value in every row.

    Raises
    ------
    UsageError
        If the file cannot be read, or lacks a column or a value.
    """
    hint = f"a CSV file with the columns {', '.join(names)}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header = lines.readline()
            lines.seek(0)
            rows = csv.DictReader(lines, delimiter=max(RECORD_SEPARATORS, key=header.count))
            if missing := [name for name in names if name not in (rows.fieldnames or ())]:
                raise UsageError(f"{option} {path}: no column {missing[0]!r}", hint=f"its columns: {', '.join(names)}")
            found = []
            for row in rows:
                values = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
                if empty := [name for name in filled if not values[name]]:
                    raise UsageError(f"{option} {path}: line {rows.line_num}: no {empty[0]}", hint="fix the line")
                found.append(values)
            return found
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        reason = getattr(exc, "strerror", None) or ("not CSV" if isinstance(exc, csv.Error) else "not UTF-8 text")
        raise UsageError(f"{option} {path}: {reason}", hint=hint) from exc


def read_words(path: Path) -> tuple[tuple[str, str], ...]:
    """Read the words of components from a CSV file with the columns word and component."""
    columns = ("word", "component")
    rows = read_records("--component-words", path, columns, columns)
    return tuple((row["word"].lower(), row["component"]) for row in rows)


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
