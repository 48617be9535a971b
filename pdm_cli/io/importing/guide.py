"""Guess the options of an import from the names and first rows of the files; questions are what stays open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.importing.date_shapes import Shape, shape_of
from pdm_cli.io.importing.options import MISSING
from pdm_cli.io.importing.sources import SourceFile, find_files, open_source, sql_column
from pdm_cli.io.importing.survey import WORDS
from pdm_cli.io.importing.text_files import TextFormat, find_bad_byte
from pdm_cli.schema import ERRORS, EVENT_COLUMNS, FAILURES, MACHINE, MACHINES, MAINT, TELEMETRY, TIME, Table
from pdm_cli.settings.field import option_name
from pdm_cli.settings.model import ImportParams
from pdm_cli.text import name_some

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine

_ROWS = 500
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_CYCLE = re.compile(r"cycle|zyklus|hours?$|step|index", re.IGNORECASE)
_FLAG = re.compile(r"fail|fault|broken|defect|ausfall|stoer|störung", re.IGNORECASE)
_STATE = re.compile(r"status|state|zustand|mode", re.IGNORECASE)
_FAILED = re.compile(r"fail|broken|fault|defe[ck]t|down|trip|ausfall|stör|stoer", re.IGNORECASE)
_BREAKDOWN = re.compile(r"breakdown|corrective|failure|störung|stoerung|M2\b|unplanned", re.IGNORECASE)
# Words in the names of files, by table.
_FILE_WORDS: dict[Table, re.Pattern[str]] = {
    FAILURES: re.compile(r"fail|order|auftr|workorder|breakdown|stoer|störung|ticket", re.IGNORECASE),
    ERRORS: re.compile(r"error|alarm|event|fault|meld", re.IGNORECASE),
    MAINT: re.compile(r"maint|service|wartung|repair|replac", re.IGNORECASE),
    MACHINES: re.compile(r"machine|equip|asset|master|anlage|device", re.IGNORECASE),
}
_TAG_SIGNS = (".", ":", "/", "|")


@dataclass
class Guess:
    """The options that seem to fit, and the questions that stay open.

    Attributes
    ----------
    options : list of (str, str)
        Option and value, in the order of the command.
    questions : list of str
        Decisions that only the user can take; each names its option.
    """

    options: list[tuple[str, str]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """The first rows of a file by column."""

    source: SourceFile
    values: Mapping[str, Sequence[str]]

    def times(self) -> list[str]:
        """Return the columns of dates, those with a name such as timestamp first."""
        dates = [name for name, values in self.values.items() if _are_all(values, _is_date)]
        return sorted(dates, key=lambda name: WORDS[TIME].search(name) is None)

    def numbers(self) -> list[str]:
        """Return the columns of numbers."""
        return [name for name, values in self.values.items() if _are_all(values, _is_number)]

    def words(self) -> list[str]:
        """Return the columns of strings that are not dates."""
        return [name for name in self.values if name not in self.numbers() and name not in self.times()]


def guess_options(folder: Path, engine: Engine) -> Guess:
    """Read the first rows of the files in a folder and guess how to import them.

    Parameters
    ----------
    folder : Path
        The folder of the import.
    engine : Engine
        Reads the first rows.

    Raises
    ------
    DataError, SchemaError
        If there are no files of logs, or one cannot be read.
    """
    guess = Guess()
    found = find_files(folder)
    files = {path: table for table, paths in found.files.items() for path in paths}
    is_named = not found.assumed
    looks: dict[Path, Look] = {}
    for path in files:
        try:
            looks[path] = _look(path, folder, engine, guess)
        except SchemaError as error:
            guess.questions.append(f"{error.message}: {error.hint}")
    files = {path: files[path] for path in looks}
    if not looks:
        return guess
    tables = _assign(looks, files, is_named=is_named)
    if not is_named and len(set(tables.values())) > 1:
        for path, table in tables.items():
            guess.options.append(("--files", f"{table.name}={path.relative_to(folder).as_posix()}"))
    decimals = [value for look in looks.values() for values in look.values.values() for value in values]
    if sum(bool(_COMMA.fullmatch(value)) for value in decimals) > len(decimals) / 20:
        guess.options.append(("--decimal", ","))
    for table in dict.fromkeys(tables.values()):
        own = [looks[path] for path, its in tables.items() if its is table]
        _guess_table(guess, table, own, has_failures=FAILURES in tables.values())
    return guess


def _look(path: Path, folder: Path, engine: Engine, guess: Guess) -> Look:
    encoding = dict(guess.options).get("--encoding", "")
    try:
        source = open_source(path, folder, TextFormat(encoding), engine, ())
        is_valid = source.text is None or find_bad_byte(source.text) is None
    except SchemaError:
        raise
    except DataError:
        is_valid = False
    if not is_valid and not encoding:
        # Windows programs in Western Europe use it; almost any bytes are valid in it.
        source = open_source(path, folder, TextFormat("cp1252"), engine, ())
        guess.options.append(("--encoding", "cp1252"))
        guess.questions.append("are umlauts and signs right in the result? --encoding cp1252 is a guess")
    return Look(source, _first_rows(source, engine))


def _first_rows(source: SourceFile, engine: Engine) -> dict[str, list[str]]:
    names = list(source.columns)
    selected = ", ".join(f"coalesce(trim({source.columns[name]}), '') AS {sql_column(name)}" for name in names)
    rows = list(engine.rows(f"SELECT {selected} FROM {source.relation} LIMIT {_ROWS}"))
    return {name: [row[number] for row in rows] for number, name in enumerate(names)}


def _assign(looks: Mapping[Path, Look], files: Mapping[Path, Table], *, is_named: bool) -> dict[Path, Table]:
    """Return the table of each file: as named, or else by its name, its columns and its size."""
    if is_named or len(files) == 1 or len({tuple(look.values) for look in looks.values()}) == 1:
        return dict(files)
    largest = max(looks, key=lambda path: path.stat().st_size)
    tables = {largest: TELEMETRY}
    for path, look in looks.items():
        if path == largest or list(look.values) == list(looks[largest].values):
            tables[path] = TELEMETRY
            continue
        named = next((table for table, words in _FILE_WORDS.items() if words.search(path.name)), None)
        tables[path] = named or (FAILURES if look.times() else MACHINES)
    return tables


def _guess_table(guess: Guess, table: Table, looks: Sequence[Look], *, has_failures: bool) -> None:
    look, named = looks[0], set(looks[0].values)
    if all(_NUMBER.fullmatch(name) for name in named):
        guess.questions.append(f"what are the columns of {look.source.name}? name them with --names")
        return
    long = _guess_long(guess, look) if table is TELEMETRY else None
    time = None if table is MACHINES else _guess_time(guess, table, look)
    if long is None or "{machine}" not in long[2]:
        _guess_machine(guess, table, looks, skip={time} | set(long or ()))
    kind = EVENT_COLUMNS.get(table.name)
    if kind is not None and kind not in named:
        texts = [name for name in look.words() if WORDS[MACHINE].search(name) is None]
        if len(texts) == 1:
            guess.options.append(("--columns", f"{table.name}.{kind}={texts[0]}"))
        else:
            guess.questions.append(
                f"which column of {look.source.name} has the {table.columns[-1].meaning}? "
                f"--columns {table.name}.{kind}=COLUMN, one of {name_some(texts)}"
            )
    if table is TELEMETRY and not has_failures:
        _guess_failures(guess, look)
    if table is FAILURES:
        _guess_breakdowns(guess, look)


def _guess_long(guess: Guess, look: Look) -> tuple[str, str, str] | None:
    """Return the columns of tags and values and the pattern of the tags, if there is a row per reading."""
    names = [name for name in look.values if name not in look.times()]
    numbers = [name for name in names if name in look.numbers() and WORDS[MACHINE].search(name) is None]
    texts = [name for name in names if name in look.words()]
    tags = [name for name in texts if WORDS[MACHINE].search(name) is None and _STATE.search(name) is None]
    if len(numbers) != 1 or len(tags) != 1 or len(names) > 3:
        return None
    tag = tags[0]
    sign = next((one for one in _TAG_SIGNS if all(one in value for value in look.values[tag])), "")
    pattern = f"{{machine}}{sign}{{sensor}}" if sign and len(names) == 2 else ""
    # The option takes two values.
    guess.options.append(("--long", f"{tag}\0{numbers[0]}"))
    if pattern:
        guess.options.append(("--tags", pattern))
    return tag, numbers[0], pattern


def _guess_time(guess: Guess, table: Table, look: Look) -> str | None:
    if TIME in look.values:
        return TIME
    if dates := look.times():
        guess.options.append(("--columns", f"{table.name}.{TIME}={dates[0]}"))
        if len(dates) > 1:
            guess.questions.append(
                f"which column of {look.source.name} has the time? {dates[0]} is a guess, there are also "
                f"{name_some(dates[1:])}"
            )
        return dates[0]
    cycles = [name for name in look.numbers() if _CYCLE.search(name)]
    if cycles:
        guess.options += [("--columns", f"{table.name}.{TIME}={cycles[0]}"), ("--cycles", "1h")]
        guess.questions.append(f"how long is one of {cycles[0]}? --cycles 1h is a guess")
        return cycles[0]
    guess.questions.append(f"which column of {look.source.name} has the time? --columns {table.name}.{TIME}=COLUMN")
    return None


def _guess_machine(guess: Guess, table: Table, looks: Sequence[Look], *, skip: set[str | None]) -> None:
    look = looks[0]
    if MACHINE in look.values:
        return
    named = [name for name in look.values if name not in skip and WORDS[MACHINE].search(name)]
    if named:
        guess.options.append(("--columns", f"{table.name}.{MACHINE}={named[0]}"))
    elif table is TELEMETRY and len(looks) > 1:
        guess.options.append(("--machine-from-file", "{machine}" + Path(look.source.name).suffix))
    elif table is TELEMETRY:
        guess.options.append(("--machine", "machine1"))
        guess.questions.append("is the log about one machine only? --machine gives its name")
    else:
        guess.questions.append(
            f"which column of {look.source.name} has the machine? --columns {table.name}.{MACHINE}=COLUMN"
        )


def _guess_failures(guess: Guess, look: Look) -> None:
    for name, values in look.values.items():
        if _FLAG.search(name) and _are_all(values, lambda value: value in ("0", "1", "0.0", "1.0")):
            guess.options.append(("--failure-flag", name))
            return
    for name in look.words():
        if _STATE.search(name):
            states = sorted(set(look.values[name]))
            failed = next((state for state in states if _FAILED.search(state)), "")
            guess.options += [("--status", name), *([("--failed", failed)] if failed else [])]
            guess.questions.append(
                f"which states of {name} are failures? --failed, one of {name_some(states)} or others"
            )
            return
    guess.questions.append(
        "where are the failures? a table of their own (--files failures=FILE), a column (--failure-flag, --status), or "
        "the end of each machine's telemetry (--end-is-failure NAME)"
    )


def _guess_breakdowns(guess: Guess, look: Look) -> None:
    for name in look.words():
        found = sorted({value for value in look.values[name] if _BREAKDOWN.search(value)})
        if found and len(found) < len(set(look.values[name])) <= 20:
            guess.options.append(("--failures-where", f"{name} = {found[0]}"))
            return


def words_of(guess: Guess) -> Iterator[str]:
    """Yield the words of the options, as the command line takes them."""
    for option, value in guess.options:
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


def _are_all(values: Sequence[str], fits: Callable[[str], bool]) -> bool:
    """Return whether there are values, and all that are not missing fit."""
    present = [value for value in values if value and value.lower() not in MISSING]
    return bool(present) and all(map(fits, present))


def _is_date(value: str) -> bool:
    return Shape(shape_of(value), rows=1, undecided=1).is_known


def _is_number(value: str) -> bool:
    return _NUMBER.fullmatch(value) is not None
