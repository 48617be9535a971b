"""Guess the options of an import from the names and first rows of the files; questions are what stays open."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.importing.build_options import build_options
from pdm_cli.io.importing.first_look import Look, is_number, is_row_of_data, take_look
from pdm_cli.io.importing.name_words import find_table_named
from pdm_cli.io.importing.option_files import find_option_files
from pdm_cli.io.importing.sources import find_files, is_text, open_source
from pdm_cli.io.importing.table_guess import Guess, TableGuess
from pdm_cli.io.importing.text_files import TextFormat, find_bad_byte, read_first_row
from pdm_cli.schema import FAILURES, MACHINES, RAW_TABLES, TELEMETRY, Table
from pdm_cli.settings.field import option_name
from pdm_cli.settings.import_params import ImportParams
from pdm_cli.text import name_some, split_list

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine

_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


def guess_options(folder: Path, engine: Engine, given: Sequence[tuple[str, str]] = ()) -> Guess:
    """Read the first rows of the files in a folder and guess how to import them.

    Parameters
    ----------
    folder : Path
        The folder of the import.
    engine : Engine
        Reads the first rows.
    given : sequence of (str, str)
        Options and values that are known: of the format of text files, the names of the columns, and the files of
        tables.

    Raises
    ------
    DataError, SchemaError
        If there are no files of logs, or one cannot be read.
    """
    guess = Guess(list(given))
    given_files = _given_files(given)
    option_files = find_option_files(folder)
    guess.questions += option_files.problems
    found = find_files(folder, given_files, option_files.paths)
    files = {path: table for table, paths in found.files.items() for path in paths}
    # As an import does, which fails only if all files of a table are empty.
    files = {path: table for path, table in files.items() if path.stat().st_size} or files
    if not _guess_names(list(files), folder, guess):
        return guess
    looks = _take_looks(list(files), folder, engine, guess)
    files = {path: files[path] for path in looks}
    if not looks:
        return guess
    tables = _assign(looks, files, [folder / name for name in found.assumed], given_files)
    _ask_of_spellings(tables, looks, guess)
    place = len(guess.options)
    if "--decimal" not in dict(guess.options):
        _guess_decimal(looks.values(), guess)
    machines: Collection[str] = ()
    # Telemetry is first: its machines are in the other tables, too.
    for table in RAW_TABLES:
        if own := [looks[path] for path, its in tables.items() if its is table]:
            work = TableGuess(guess, table, own, machines, option_files)
            machines = work.run(has_failures=FAILURES in tables.values())
    used = {value for _, value in guess.options}
    guess.questions += [
        f"what is {path.relative_to(folder).as_posix()} for? no column of the {table.name} has any of its {content}"
        for path, table, content in option_files.contents()
        if str(path) not in used
    ]
    # Files that no option uses would be telemetry, as all others that are not named after a table.
    if tables != files or (found.assumed and not {str(path) for path in option_files.paths} <= used):
        guess.options[place:place] = [
            ("--files", f"{table.name}={path.relative_to(folder).as_posix()}")
            for path, table in tables.items()
            if table.name not in given_files
        ]
    return guess


def _given_files(given: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the patterns of the files of each table that options name."""
    files: dict[str, list[str]] = {}
    for table, _, pattern in (value.partition("=") for option, value in given if option == "--files"):
        files.setdefault(table, []).append(pattern)
    return files


def _take_looks(paths: Sequence[Path], folder: Path, engine: Engine, guess: Guess) -> dict[Path, Look]:
    """Return the first rows of the files; errors of their columns become questions."""
    looks: dict[Path, Look] = {}
    for path in paths:
        try:
            looks[path] = _look(path, folder, engine, guess)
        except SchemaError as error:
            guess.questions.append(f"{error.message}: {error.hint}")
    return looks


def _guess_names(paths: Sequence[Path], folder: Path, guess: Guess) -> bool:
    """Propose placeholders for the names of columns if no file has a header, and all have as many columns.

    Return whether the files can be of the same tables: those without a header and with other columns cannot.
    """
    rows = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if not is_text(path):
            return True
        try:
            rows[name] = read_first_row(path, name, _format_of(guess))
        except DataError:
            # Errors of files are reported when they are opened.
            return True
    widths = {name: len(row) for name, row in rows.items()}
    if len(set(widths.values())) > 1 and all(is_row_of_data(row) or all(map(is_number, row)) for row in rows.values()):
        counts = name_some([f"{name} {width}" for name, width in widths.items()])
        largest = max(paths, key=lambda path: path.stat().st_size).relative_to(folder).as_posix()
        guess.questions.append(
            f"which of the files is the telemetry? they seem to have no header, and differ in the number of columns "
            f"({counts}); run --guide again with --files {shlex.quote(f'{TELEMETRY.name}={largest}')} or others"
        )
        return False
    if "--names" not in dict(guess.options) and all(map(is_row_of_data, rows.values())):
        name, width = next(iter(widths.items()))
        guess.options.append(("--names", ",".join(f"c{number}" for number in range(1, width + 1))))
        guess.questions.append(
            f"what are the columns of {name}? it seems to have no header; run --guide again with your names in --names"
        )
    return True


def _format_of(guess: Guess, encoding: str = "") -> TextFormat:
    """Return the format of text files by the options so far."""
    known = dict(guess.options)
    params = ImportParams(
        names=tuple(split_list(known.get("--names", ""))),
        decimal="," if known.get("--decimal") == "," else ".",
        encoding=encoding or known.get("--encoding", ""),
        separator=known.get("--separator", ""),
    )
    return build_options(params).text


def _guess_decimal(looks: Collection[Look], guess: Guess) -> None:
    decimals = [value for look in looks for values in look.values.values() for value in values]
    if sum(bool(_COMMA.fullmatch(value)) for value in decimals) > len(decimals) / 20:
        guess.options.append(("--decimal", ","))


def _look(path: Path, folder: Path, engine: Engine, guess: Guess) -> Look:
    encoding = dict(guess.options).get("--encoding", "")
    try:
        source = open_source(path, folder, _format_of(guess), engine, ())
        is_valid = source.text is None or find_bad_byte(source.text) is None
    except SchemaError:
        raise
    except DataError:
        is_valid = False
    if not is_valid and not encoding:
        # Windows programs in Western Europe use it; almost any bytes are valid in it.
        source = open_source(path, folder, _format_of(guess, encoding="cp1252"), engine, ())
        guess.options.append(("--encoding", "cp1252"))
        guess.questions.append("are accented letters and symbols correct? --encoding cp1252 is a guess")
    return take_look(source, engine)


def _ask_of_spellings(tables: Mapping[Path, Table], looks: Mapping[Path, Look], guess: Guess) -> None:
    """Ask about names of columns that differ only in case between the files of a table, which an import rejects."""
    spellings: dict[tuple[Table, str], tuple[str, str]] = {}
    for path, table in tables.items():
        name = looks[path].source.name
        for column in looks[path].values:
            usual, first = spellings.setdefault((table, column.casefold()), (column, name))
            if usual != column and usual not in looks[path].values:
                guess.questions.append(
                    f"is {column} in {name} the same as {usual} in {first}? if so, give it the same name in both files"
                )


def _same_columns(look: Look) -> frozenset[str]:
    """Return the columns of a file, the same for files whose columns differ in order or case only."""
    return frozenset(map(str.casefold, look.values))


def _assign(
    looks: Mapping[Path, Look], files: Mapping[Path, Table], assumed: Collection[Path], given: Collection[str]
) -> dict[Path, Table]:
    """Return the table of each file: as named, or else by its name, its columns and its size.

    ``assumed`` are files that are not named after a table; those of tables whose files are ``given`` are left out.
    """
    free = {path: look for path, look in looks.items() if path in assumed}
    if len(set(map(_same_columns, free.values()))) <= 1:
        return dict(files)
    largest = max(free, key=lambda path: path.stat().st_size)
    tables = {largest: TELEMETRY}
    for path, look in looks.items():
        if path not in free:
            tables[path] = files[path]
        elif _same_columns(look) == _same_columns(looks[largest]):
            tables[path] = TELEMETRY
        elif (table := find_table_named(path) or (FAILURES if look.times else MACHINES)).name not in given:
            tables[path] = table
    return tables


def words_of(guess: Guess) -> Iterator[str]:
    """Yield the words of the options, as the command line takes them."""
    for option, value in guess.options:
        if value.startswith("-"):
            yield f"{option}={value}"
            continue
        yield option
        yield from value.split("\0")


def settings_of(guess: Guess) -> dict[str, object]:
    """Return the options as settings of the section ``[import]``."""
    given: dict[str, list[str]] = {}
    for option, value in guess.options:
        given.setdefault(option, []).extend(value.split("\0"))
    settings: dict[str, object] = {}
    for item in fields(ImportParams):
        if words := given.get(option_name(item.name)):
            reader = item.metadata["reader"]
            settings[item.name] = reader(words) if reader else words if len(words) > 1 else words[0]
    return settings
