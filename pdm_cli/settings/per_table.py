"""Settings of an import that differ between the raw tables: files, columns, date formats and queries.

An option has one word per value, such as ``failures.datetime=Start``; the config file has a table of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pdm_cli.schema import RAW_TABLES
from pdm_cli.text import split_list

TABLES = tuple(table.name for table in RAW_TABLES)
_NAMES = ", ".join(TABLES)


def read_words(value: object) -> object:
    """Return the values of an option; those of a variable are separated by commas."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    return split_list(value) if isinstance(value, str) else value


def read_files(value: object) -> object:
    """Return the patterns of each table's files, from ``telemetry=export/*.csv``.

    Raises
    ------
    ValueError
        If a word has another form, or there is no such table.
    """
    if isinstance(value, Mapping):
        return _check_tables({table: [own] if isinstance(own, str) else own for table, own in value.items()})
    files: dict[str, list[str]] = {}
    for word in _words(value):
        table, equals, pattern = word.partition("=")
        if not equals or not pattern or table not in TABLES:
            raise ValueError(
                f"{word}: expected TABLE=PATTERN, such as telemetry='export/*.csv'; the tables are {_NAMES}"
            )
        files.setdefault(table, []).append(pattern)
    return files


def read_columns(value: object) -> object:
    """Return the columns of each table by their names in the raw table, from ``failures.datetime=Start``.

    Raises
    ------
    ValueError
        If a word has another form, there is no such table, or a column is given twice.
    """
    if isinstance(value, Mapping):
        return _check_tables(value)
    columns: dict[str, dict[str, str]] = {}
    for word in _words(value):
        name, equals, column = word.partition("=")
        table, dot, key = name.partition(".")
        if not (equals and dot and key and column) or table not in TABLES:
            raise ValueError(
                f"{word}: expected TABLE.FIELD=COLUMN, such as failures.datetime=Start; the tables are {_NAMES}"
            )
        if key in columns.setdefault(table, {}):
            raise ValueError(f"{word}: {table}.{key} is given twice")
        columns[table][key] = column
    return columns


def read_formats(value: object) -> object:
    """Return the date format of each table, from ``errors=%d.%m.%y``; the empty name is that of all other tables.

    Raises
    ------
    ValueError
        If there is no such table, or a format is given twice.
    """
    if isinstance(value, Mapping):
        return _check_tables(value, others=("",))
    formats: dict[str, str] = {}
    # Formats have commas: a variable has one.
    for word in _words([value] if isinstance(value, str) else value):
        table, _, form = word.partition("=") if re.match(r"\w+=", word) else ("", "", word)
        if table and table not in TABLES:
            raise ValueError(f"{word}: no table {table!r}, choose one of {_NAMES}")
        if table in formats:
            raise ValueError(f"{word}: given twice; give it once, or once per TABLE=")
        formats[table] = form
    return formats


def read_queries(value: object) -> object:
    """Return the SQL of each table's rows, from ``telemetry=select …``.

    Raises
    ------
    ValueError
        If a word has another form, there is no such table, or a query is given twice.
    """
    if isinstance(value, Mapping):
        return _check_tables(value)
    queries: dict[str, str] = {}
    # SQL has commas: a variable has one query.
    for word in _words([value] if isinstance(value, str) else value):
        table, equals, text = word.partition("=")
        if not equals or table not in TABLES or not text.strip():
            raise ValueError(f"{word}: expected TABLE=SQL, such as telemetry='select …'; the tables are {_NAMES}")
        if table in queries:
            raise ValueError(f"{table}=…: given twice; combine them with union all")
        queries[table] = text
    return queries


def _words(value: object) -> Iterator[str]:
    words = read_words(value)
    if not isinstance(words, list):
        raise ValueError(f"{value!r} is not a table such as {{ telemetry = … }}")
    if not all(str(word).strip() for word in words):
        raise ValueError("is empty")
    yield from map(str, words)


def _check_tables(value: Mapping[str, object], others: tuple[str, ...] = ()) -> Mapping[str, object]:
    for table in value:
        if table not in (*TABLES, *others):
            raise ValueError(f"no table {table!r}, choose one of {_NAMES}")
    return value
