"""Errors for a column that a file does not have, with the column that seems to be meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.importing.first_look import Look, is_number, take_look
from pdm_cli.io.importing.name_words import WORDS
from pdm_cli.io.importing.sources import SourceFile, explain_header, kind_of
from pdm_cli.io.importing.values import NUMBER
from pdm_cli.schema import EVENT_COLUMNS, MACHINE, TIME, Table
from pdm_cli.text import name_some

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine


def missing_column(
    file: SourceFile, table: Table, missing: tuple[str, str], expected: Sequence[str], engine: Engine
) -> SchemaError:
    """Return the error for a column that a file does not have, with the options that name it.

    ``missing`` is its canonical name, empty for those of ``--long``, and its name; ``expected`` are all columns.
    """
    (canonical, name), there = missing, list(file.columns)
    others = [column for column in there if column not in expected]
    likely = ""
    if canonical in WORDS:
        likely = _find_key(_look(file, engine), canonical, others, expected)
    elif canonical:
        likely = next(iter(get_close_matches(name, there, n=1, cutoff=0.5)), "")
    hint = _hint_of_columns(file, f"{table.name}.{canonical}", likely, others) if canonical else ""
    if not canonical:
        hint = _hint_of_long(name, others)
    elif canonical == EVENT_COLUMNS.get(table.name) and not others:
        hint = f"add a column {name!r}; if it is not known, write the same name in every row"
    # The separator of a single name that has another one is given.
    if len(there) == 1 and (other := next((one for one in ",;\t|" if one in there[0]), "")):
        hint = f"the text seems to be separated by {other!r}: drop --separator"
    elif len(others) == len(there) and (not likely or len(there) == 1):
        hint = explain_header(file) or hint
    if file.text is not None and all(re.fullmatch(NUMBER.replace("{0}", "[.,]"), column) for column in there):
        hint = "no header? name the columns with --names"
    return SchemaError(f"{file.name}: no column {name!r}, only {name_some(there)}", hint=hint)


def _hint_of_columns(file: SourceFile, name: str, likely: str, others: Sequence[str]) -> str:
    """Return the options that name a column of a table: ``likely``, or one of the others."""
    hint = f"--columns {name}={shlex.quote(likely) if likely else 'COLUMN'}"
    if not likely and others:
        hint += f", one of {name_some(list(map(shlex.quote, others)))}"
    if name.endswith(f".{MACHINE}"):
        hint += ", or --machine NAME if there is only one"
    # The guide reads files, not the rows of queries.
    return hint if likely or not others or not kind_of(file.path) else f"{hint}; --guide proposes the options"


def _hint_of_long(name: str, others: Sequence[str]) -> str:
    """Return how to correct a column of ``--long``: a similar one of the others, or the only one."""
    likely = others if len(others) == 1 else get_close_matches(name, others, n=1, cutoff=0.5)
    return f"did you mean {likely[0]!r}?" if likely else f"--long names two of {name_some(others)}"


def _look(file: SourceFile, engine: Engine) -> Look:
    try:
        return take_look(file, engine)
    except DataError:
        # Errors of rows are reported once the columns are known.
        return Look(file, {name: [] for name in file.columns}, engine)


def _find_key(look: Look, canonical: str, others: Sequence[str], expected: Sequence[str]) -> str:
    """Return the only one of the ``others`` that seems to have the times or the machines; empty if not certain."""
    fitting = [name for name in others if WORDS[canonical].search(name)]
    if canonical == TIME:
        times = [column.name for column in look.times if column.name in others]
        named = [name for name in times if name in fitting]
        # Without rows, or with dates of a format that is not known.
        unknown = [name for name in fitting if name in look.counters or not _is_numeric(look, name)]
        found = next(filter(None, (named, times, unknown)), [])
    else:
        time = next((column.name for column in look.times if column.name in expected), "")
        keys = [name for name in others if time and look.is_key(name, time)]
        named = [name for name in fitting if name in keys]
        found = next(filter(None, (named, fitting, keys)), [])
    return found[0] if len(found) == 1 else ""


def _is_numeric(look: Look, name: str) -> bool:
    values = look.values[name]
    return bool(values) and all(map(is_number, values))
