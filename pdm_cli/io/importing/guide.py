"""Guess the options of an import from the names and first rows of the files; questions are what stays open."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.io.importing.build_options import build_options
from pdm_cli.io.importing.file_columns import WORDS, find_table_named
from pdm_cli.io.importing.first_look import Look, has_thousands, is_number, is_row_of_data, take_look
from pdm_cli.io.importing.options import compile_pattern
from pdm_cli.io.importing.sources import explain_header, find_files, is_text, open_source
from pdm_cli.io.importing.tag_patterns import find_pattern, has_structure
from pdm_cli.io.importing.text_files import TextFormat, find_bad_byte, read_first_row
from pdm_cli.schema import (
    EVENT_COLUMNS,
    FAILURES,
    MACHINE,
    MACHINES,
    RAW_TABLES,
    TELEMETRY,
    TIME,
    Table,
)
from pdm_cli.settings.field import option_name
from pdm_cli.settings.import_params import ImportParams
from pdm_cli.text import name_some, split_list

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine

_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_CYCLE = re.compile(r"cycle|zyklus|hours?$|step|index", re.IGNORECASE)
_FLAG = re.compile(r"fail|fault|broken|defect|ausfall|stoer|störung", re.IGNORECASE)
_STATE = re.compile(r"status|state|zustand|mode", re.IGNORECASE)
_FAILED = re.compile(r"fail|broken|fault|defe[ck]t|down|trip|ausfall|stör|stoer", re.IGNORECASE)
_BREAKDOWN = re.compile(
    r"breakdown|corrective|failure|reactive|unplanned|emergency|repair|reparatur|instandsetz|st(ö|oe)rung|"
    r"\b(M2|CM|BD|EM)\b",
    re.IGNORECASE,
)
_TAG = re.compile(r"tag|sensor|signal|channel|kanal|messst|variable|parameter|point", re.IGNORECASE)
# In the name of a column, or in front of the numbers of machines: Pump A, Pump B.
_EQUIPMENT = re.compile(
    r"machine|asset|equipment|pump|motor|engine|compressor|kompressor|turbine|robot|press(?!ure)|chiller|boiler|"
    r"conveyor|generator|maschine|anlage|linie|ofen|lüfter",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[\s_#-]*(\d+|[A-Z])$")
# Names of columns that do not say what is measured.
_ANY_VALUE = re.compile(r".|val(ue)?|(mess)?wert|readings?|measure(ment|d)?|data|result|numeric|number", re.IGNORECASE)
_TYPE = re.compile(r"type|typ\b|typ$|art$|class|category|kategorie|code|priori", re.IGNORECASE)
_MOST_STATES, _MOST_TYPES, _LONG_TEXT, _FEW_ROWS = 12, 20, 25, 10
_MOST_MISSING = 3
# A row per reading has a time, a tag and a value, and at most as many others.
_MOST_LONG_COLUMNS = 5
# The medians of one sensor on several machines differ by less than this factor.
_SAME_UNIT = 3


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


def guess_options(folder: Path, engine: Engine, given: Sequence[tuple[str, str]] = ()) -> Guess:
    """Read the first rows of the files in a folder and guess how to import them.

    Parameters
    ----------
    folder : Path
        The folder of the import.
    engine : Engine
        Reads the first rows.
    given : sequence of (str, str)
        Options and values that are known: of the format of text files, and the names of the columns.

    Raises
    ------
    DataError, SchemaError
        If there are no files of logs, or one cannot be read.
    """
    guess = Guess(list(given))
    found = find_files(folder)
    files = {path: table for table, paths in found.files.items() for path in paths}
    # As an import does, which fails only if all files of a table are empty.
    files = {path: table for path, table in files.items() if path.stat().st_size} or files
    is_named = not found.assumed
    if "--names" not in dict(guess.options):
        _guess_names(list(files), folder, guess)
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
    _ask_of_spellings(tables, looks, guess)
    if not is_named and len(set(tables.values())) > 1:
        for path, table in tables.items():
            guess.options.append(("--files", f"{table.name}={path.relative_to(folder).as_posix()}"))
    if "--decimal" not in dict(guess.options):
        _guess_decimal(looks.values(), guess)
    machines: Collection[str] = ()
    # Telemetry is first: its machines are in the other tables, too.
    for table in RAW_TABLES:
        if own := [looks[path] for path, its in tables.items() if its is table]:
            machines = _TableGuess(guess, table, own, machines).run(has_failures=FAILURES in tables.values())
    return guess


def _guess_names(paths: Sequence[Path], folder: Path, guess: Guess) -> None:
    """Propose placeholders for the names of columns if no file has a header, and all have as many columns."""
    rows = []
    for path in paths:
        if not is_text(path):
            return
        try:
            rows.append(read_first_row(path, path.relative_to(folder).as_posix(), _format_of(guess)))
        except DataError:
            # Errors of files are reported when they are opened.
            return
    if all(map(is_row_of_data, rows)) and len(set(map(len, rows))) == 1:
        guess.options.append(("--names", ",".join(f"c{number}" for number in range(1, len(rows[0]) + 1))))
        name = paths[0].relative_to(folder).as_posix()
        guess.questions.append(
            f"what are the columns of {name}? it seems to have no header; run --guide again with your names in --names"
        )


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


def _assign(looks: Mapping[Path, Look], files: Mapping[Path, Table], *, is_named: bool) -> dict[Path, Table]:
    """Return the table of each file: as named, or else by its name, its columns and its size."""
    if is_named or len(files) == 1 or len(set(map(_same_columns, looks.values()))) == 1:
        return dict(files)
    largest = max(looks, key=lambda path: path.stat().st_size)
    tables = {largest: TELEMETRY}
    for path, look in looks.items():
        if path == largest or _same_columns(look) == _same_columns(looks[largest]):
            tables[path] = TELEMETRY
            continue
        named = find_table_named(path)
        tables[path] = named or (FAILURES if look.times else MACHINES)
    return tables


class _TableGuess:
    """Guesses the options of one table; ``machines`` are those of the telemetry, as far as they are known."""

    def __init__(self, guess: Guess, table: Table, looks: Sequence[Look], machines: Collection[str]) -> None:
        self._guess, self._table, self._looks, self._machines = guess, table, looks, machines
        self._look = looks[0]
        self._name = self._look.source.name
        # Columns whose meaning is known.
        self._taken: set[str] = set()
        # A column that names machines rather than sensors.
        self._fleet: str | None = None

    def run(self, *, has_failures: bool) -> Collection[str]:
        """Add the options and questions, and return the machines."""
        if all(map(is_number, self._look.values)):
            self._ask(f"what are the columns of {self._name}? name them with --names")
            return self._machines
        if self._table is not MACHINES and self._has_no_times() and (place := explain_header(self._look.source)):
            self._ask(f"{self._name}: {place}")
            return self._machines
        time = None if self._table is MACHINES else self._guess_time()
        if time is not None:
            self._taken.add(time)
        machines = self._guess_machines(time)
        kind = EVENT_COLUMNS.get(self._table.name)
        if self._table is FAILURES:
            self._guess_breakdowns()
        if kind is not None and kind not in self._look.values:
            self._guess_kind(kind)
        if self._table is TELEMETRY:
            self._guess_missing()
            self._ask_of_thousands()
        if self._table is TELEMETRY and not has_failures:
            self._guess_failures()
        return machines

    def _has_no_times(self) -> bool:
        return not self._look.times and not self._look.counters and TIME not in self._look.values

    def _guess_missing(self) -> None:
        """Propose numbers, and words among numbers, that may mean a missing reading."""
        look, long = self._look, dict(self._guess.options).get("--long", "").split("\0")
        tag, values = (long[0], long[1:]) if long[1:] else ("", [])
        names = values or [name for name in look.readings if name not in (*self._taken, *look.binaries)]
        words = [] if values else [word for word in look.find_words(names) if "," not in word]
        # Many words are states rather than spellings of a missing value.
        if found := look.find_sentinels(names, tag) + (words if len(words) <= _MOST_MISSING else []):
            # As one word: a number below 0 alone would look like an option.
            self._option("--na-values", ",".join(found))
            meaning = "a missing value" if len(found) == 1 else "missing values"
            verb = "does" if len(found) == 1 else "do"
            self._ask(f"{verb} {name_some(found)} in {self._name} mean {meaning}? --na-values is a guess")

    def _ask_of_thousands(self) -> None:
        for name in self._look.readings:
            if example := next(filter(has_thousands, self._look.values[name]), ""):
                self._ask(
                    f"can the numbers of {name} in {self._name} be exported without thousands separators? with them, "
                    f"as in {example}, they are text"
                )

    def _guess_machines(self, time: str | None) -> Collection[str]:
        long = self._guess_long(time) if self._table is TELEMETRY and time is not None else None
        if long is not None and "{machine}" in long[1]:
            pattern = compile_pattern("--tags", long[1], ["machine", "sensor"])
            return {match["machine"] for tag in self._look.distinct(long[0]) if (match := pattern.fullmatch(tag))}
        name = self._guess_machine(time)
        if name is None:
            return self._machines
        self._taken.add(name)
        return self._look.distinct(name) if self._table is TELEMETRY else self._machines

    def _option(self, option: str, value: str) -> None:
        self._guess.options.append((option, value))

    def _ask(self, question: str) -> None:
        self._guess.questions.append(question)

    def _guess_time(self) -> str | None:
        times = self._look.times
        chosen = next((column for column in times if column.name == TIME), times[0] if times else None)
        if chosen is None and TIME not in self._look.values:
            return self._guess_cycles()
        if chosen is None:
            return TIME
        if chosen.name != TIME:
            self._option("--columns", f"{self._table.name}.{TIME}={chosen.name}")
        if chosen.name != TIME and len(times) > 1:
            others = name_some([column.name for column in times if column is not chosen])
            self._ask(f"which column of {self._name} has the time? {chosen.name} is a guess, there are also {others}")
        if chosen.formats:
            self._option("--date-format", f"{self._table.name}={chosen.formats[0]}")
            example = next(filter(None, self._look.values[chosen.name]))
            others = f", it may also be {' or '.join(chosen.formats[1:3])}" if len(chosen.formats) > 1 else ""
            self._ask(f"is {example} in {self._name} of the format {chosen.formats[0]}? it is a guess{others}")
        elif chosen.is_undecided:
            example = next(filter(None, self._look.values[chosen.name]))
            self._ask(f"does {example} in {self._name} begin with the day? --day-first or --month-first")
        elif impossible := self._look.find_impossible_time(chosen.name):
            self._ask(
                f"what is {impossible} in {self._name}? it is not a valid date or time: fix it or delete its line"
            )
        return chosen.name

    def _guess_cycles(self) -> str | None:
        counters = self._look.counters
        named = [name for name in self._look.numbers if _CYCLE.search(name)]
        cycles = [*(name for name in named if name in counters), *named, *counters]
        if cycles:
            self._option("--columns", f"{self._table.name}.{TIME}={cycles[0]}")
            self._option("--cycles", "1h")
            self._ask(f"how long is one of {cycles[0]}? --cycles 1h is a guess")
            return cycles[0]
        self._ask(f"which column of {self._name} has the time? --columns {self._table.name}.{TIME}=COLUMN")
        return None

    def _guess_long(self, time: str | None) -> tuple[str, str] | None:
        """Return the column of tags and their pattern, if there is a row per reading."""
        look = self._look
        free = [name for name in look.values if name not in self._taken]
        flags = look.flags
        values = [name for name in look.numbers if name in free and name not in (*flags, MACHINE)]
        values = [name for name in values if WORDS[MACHINE].search(name) is None]
        if len(values) > 1:
            # A quality of the readings is mostly the same number.
            values = [name for name in values if len(set(look.values[name])) > 1]
        texts = [name for name in look.words if name in free and _STATE.search(name) is None]
        if not values and time is not None:
            values, texts = self._find_mixed(texts)
        texts = [name for name in texts if name not in look.readings]
        if len(values) != 1 or time is None:
            return None
        tags = {name: look.distinct(name) for name in texts}
        structured = [
            name
            for name, own in tags.items()
            if has_structure(own, may_be_machines=WORDS[MACHINE].search(name) is not None)
        ]
        plain = [name for name in texts if WORDS[MACHINE].search(name) is None and len(free) <= _MOST_LONG_COLUMNS]
        others = [name for name in free if WORDS[MACHINE].search(name) is not None]
        is_repeated = [
            name for name in plain if name not in structured and self._distinguishes_readings(name, [time, *others])
        ]
        chosen = [*structured, *is_repeated, *filter(_TAG.search, plain)]
        if not chosen:
            return None
        tag = chosen[0]
        if tag in is_repeated and not others and self._is_fleet(tag, values[0], time):
            self._fleet = tag
            long = f"--long {shlex.quote(tag)} {shlex.quote(values[0])}"
            self._ask(f"does {tag} name machines? --columns is a guess; if it names sensors, {long}")
            return None
        has_machine = any(name != tag for name in others)
        pattern = "" if has_machine else find_pattern(tags[tag])
        # The option takes two values.
        self._option("--long", f"{tag}\0{values[0]}")
        self._taken |= {tag, values[0]}
        if tag not in structured and _TAG.search(tag) is None:
            column = f"--columns telemetry.{MACHINE}={shlex.quote(tag)}"
            self._ask(f"does {tag} name sensors? --long is a guess; if it names machines, {column}")
        if pattern:
            self._option("--tags", pattern)
            self._ask(f"does the tag {tags[tag][0]} name a machine and a sensor as in {pattern}? --tags is a guess")
        return tag, pattern

    def _is_fleet(self, name: str, value: str, time: str) -> bool:
        """Return whether a column that may name machines or sensors seems to name machines, with one sensor each."""
        look = self._look
        if _TAG.search(name) is not None or look.count(time, name) < look.count():
            return False
        stems = {_NUMBER.sub("", one) for one in look.distinct(name) if one}
        are_numbered = len(stems) == 1
        if _EQUIPMENT.search(name) or (are_numbered and _EQUIPMENT.search(next(iter(stems)))):
            return True
        medians = look.medians(value, name)
        has_one_unit = 0 < max(medians, default=0) <= _SAME_UNIT * min(medians, default=0)
        return are_numbered and has_one_unit and _ANY_VALUE.fullmatch(value) is None

    def _find_mixed(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return a column of numbers and of states, depending on the tag, and the columns of tags; else no column."""
        look = self._look
        for value in names:
            tags = [tag for tag in names if tag != value and look.is_long(tag, value)]
            if tags := [tag for tag in tags if look.count(tag) <= look.count() / 2]:
                return [value], tags
        return [], []

    def _distinguishes_readings(self, name: str, others: Sequence[str]) -> bool:
        """Return whether rows that agree in all other keys differ in a column with few values."""
        rows, kinds = self._look.count(), self._look.count(name)
        return 1 < kinds <= rows / 2 and self._look.count(*others) <= rows / 2

    def _guess_machine(self, time: str | None) -> str | None:
        """Return the column of the machines; None if the user has to name it."""
        look = self._look
        if MACHINE in look.values:
            return MACHINE
        free = [name for name in look.values if name not in self._taken]
        named = [name for name in free if WORDS[MACHINE].search(name)]
        known = [name for name in free if self._has_machines(name)]
        found = next(iter([*known, *named]), None) or self._fleet or self._find_machines(free, time)
        if found is not None:
            self._option("--columns", f"{self._table.name}.{MACHINE}={found}")
        elif self._table is TELEMETRY and len(self._looks) > 1:
            self._option("--machine-from-file", "{machine}" + Path(self._name).suffix)
        elif self._table is TELEMETRY:
            self._option("--machine", "machine1")
            self._ask("is the log about one machine only? --machine gives its name")
        elif "--machine" not in dict(self._guess.options):
            self._ask(f"which column of {self._name} has the machine? --columns {self._table.name}.{MACHINE}=COLUMN")
        return found

    def _has_machines(self, name: str) -> bool:
        """Return whether most values of a column are machines of the telemetry."""
        own = set(self._look.distinct(name)) - {""}
        return bool(own) and len(own & set(self._machines)) > len(own) / 2 and self._table is not TELEMETRY

    def _find_machines(self, free: Sequence[str], time: str | None) -> str | None:
        """Return a column of telemetry that distinguishes the rows of a time, as machines do."""
        if self._table is not TELEMETRY or time is None:
            return None
        look, flags = self._look, self._look.flags
        names = [name for name in free if name in look.words or all(map(str.isdigit, look.values[name]))]
        names = [name for name in names if len(set(look.values[name])) <= max(1, len(look.values[name]) / 3)]
        rows, times = look.count(), look.count(time)
        for name in names:
            machines = look.count(name)
            is_fleet = 1 < machines <= rows / 3 and times <= rows * 2 / 3
            if name not in flags and is_fleet and look.count(time, name) == rows:
                self._ask(f"is {name} the machine? --columns telemetry.{MACHINE}={shlex.quote(name)} is a guess")
                return name
        return None

    def _guess_failures(self) -> None:
        look = self._look
        if named := [name for name in look.binaries if _FLAG.search(name)]:
            self._option("--failure-flag", named[0])
            return
        texts = [name for name in look.words if name not in self._taken]
        states = {name: [state for state in look.distinct(name) if state] for name in texts}
        states = {name: own for name, own in states.items() if len(own) <= _MOST_STATES}
        likely = [name for name, own in states.items() if any(map(_FAILED.search, own))]
        for name in [*likely, *(name for name in states if _STATE.search(name))]:
            failed = next((state for state in states[name] if _FAILED.search(state)), "")
            self._option("--status", name)
            if failed:
                self._option("--failed", failed)
            self._ask(f"which states of {name} are failures? --failed, one of {_quote_some(states[name])} or others")
            return
        for name in (name for name in look.flags if name not in self._taken):
            option = f"--failure-flag {shlex.quote(name)}"
            self._ask(f"is {name}, which is 0 or 1, 1 where a machine failed? then add {option}")
        self._ask(
            "where are the failures? a table of their own (--files failures=FILE), a column (--failure-flag, "
            "--status), or the end of each machine's telemetry (--end-is-failure NAME)"
        )

    def _guess_breakdowns(self) -> None:
        """Find the column of work orders that says which of them are failures."""
        look = self._look
        types = {name: [one for one in look.distinct(name) if one] for name in look.words if name not in self._taken}
        rows = look.count()
        types = {name: own for name, own in types.items() if 1 < len(own) <= _MOST_TYPES}
        types = {name: own for name, own in types.items() if max(map(len, own)) <= _LONG_TEXT}
        for name, own in types.items():
            found = [one for one in own if _BREAKDOWN.search(one)]
            if found and len(found) < len(own):
                self._option("--failures-where", f"{name} = {found[0]}")
                self._taken.add(name)
                self._ask(f"which rows of {self._name} are failures? {name} is one of {name_some(own)}")
                return
        for name, own in types.items():
            if _TYPE.search(name) and len(own) <= rows / 2:
                self._taken.add(name)
                where = shlex.quote(f"{name} = VALUE")
                self._ask(
                    f"are all rows of {self._name} failures? if not, --failures-where {where}, one of {name_some(own)}"
                )
                return

    def _guess_kind(self, kind: str) -> None:
        """Find the column of the component or error of an event: not a number of the order, and not a constant."""
        look, rows = self._look, self._look.count()
        free = [name for name in look.words if name not in self._taken and WORDS[MACHINE].search(name) is None]
        repeated = [name for name in free if rows < _FEW_ROWS or 1 < look.count(name) <= rows / 2]
        texts = repeated or free
        if len(texts) == 1:
            self._option("--columns", f"{self._table.name}.{kind}={texts[0]}")
            values = look.values[texts[0]]
            if self._table is FAILURES and sum(" " in value for value in values) > len(values) / 2:
                self._ask(
                    f"does {texts[0]} in {self._name} name the component? it is a text: list words and the component "
                    "of each with --component-words FILE"
                )
            return
        if not texts:
            self._ask(
                f"can you add a column {kind} to {self._name}, with the {self._table.columns[-1].meaning}? no other "
                "column is left for it; if it is not known, write the same name in every row"
            )
            return
        self._ask(
            f"which column of {self._name} has the {self._table.columns[-1].meaning}? "
            f"--columns {self._table.name}.{kind}=COLUMN, one of {_quote_some(texts)}"
        )


def _quote_some(names: Sequence[str]) -> str:
    """Return the first names as a shell takes them."""
    return name_some([shlex.quote(name) for name in names])


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
