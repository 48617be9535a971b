"""Guess the options of one table from the first rows of its files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pdm_cli.io.importing.first_look import Look, has_thousands, is_number
from pdm_cli.io.importing.name_words import WORDS
from pdm_cli.io.importing.option_files import OptionFiles
from pdm_cli.io.importing.options import compile_pattern
from pdm_cli.io.importing.sources import explain_header
from pdm_cli.io.importing.tag_patterns import find_pattern, has_structure
from pdm_cli.schema import EVENT_COLUMNS, FAILURES, MACHINE, MACHINES, TELEMETRY, TIME, Table
from pdm_cli.text import name_some

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


class TableGuess:
    """Guesses the options of one table; ``machines`` are those of the telemetry, as far as they are known."""

    def __init__(
        self, guess: Guess, table: Table, looks: Sequence[Look], machines: Collection[str], option_files: OptionFiles
    ) -> None:
        self._guess, self._table, self._looks, self._machines = guess, table, looks, machines
        self._option_files = option_files
        self._look = looks[0]
        self._name = self._look.source.name
        # Columns whose meaning is known.
        self._taken: set[str] = set()
        # A column that names machines rather than sensors.
        self._fleet: str | None = None
        # The columns of cycles and of the machines of telemetry, if they are known.
        self._cycles: str | None = None
        self._machine: str | None = None

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
        if kind is not None and not (self._table is FAILURES and self._guess_words(kind)):
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
        is_telemetry = self._table is TELEMETRY and time is not None
        if is_telemetry and (machines := self._guess_mapped()):
            return machines
        long = self._guess_long(time) if is_telemetry and not self._is_long() else None
        if long is not None and "{machine}" in long[1]:
            pattern = compile_pattern("--tags", long[1], ["machine", "sensor"])
            return {match["machine"] for tag in self._look.distinct(long[0]) if (match := pattern.fullmatch(tag))}
        name = self._guess_machine(time)
        if name is None:
            return self._machines
        self._taken.add(name)
        self._machine = name
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
        keys = [name for name in self._look.values if name == MACHINE or WORDS[MACHINE].search(name)]
        counted = [
            name
            for name in self._look.numbers
            if name not in keys and any(self._look.is_counted(name, key) for key in keys)
        ]
        both = [name for name in named if name in (*counters, *counted)]
        cycles = [*both, *counted, *named, *counters]
        if cycles:
            self._option("--columns", f"{self._table.name}.{TIME}={cycles[0]}")
            self._option("--cycles", "1h")
            self._ask(f"how long is one of {cycles[0]}? --cycles 1h is a guess")
            self._cycles = cycles[0]
            return cycles[0]
        self._ask(f"which column of {self._name} has the time? --columns {self._table.name}.{TIME}=COLUMN")
        return None

    def _is_long(self) -> bool:
        return "--long" in dict(self._guess.options)

    def _guess_mapped(self) -> Collection[str]:
        """Propose the mapping of tags with the column that has them; return its machines, if it names them."""
        mapping, look = self._option_files.tags, self._look
        free = [name for name in look.values if name not in self._taken]
        found = {name: len(mapping.keys() & set(look.distinct(name))) for name in free} if mapping else {}
        tag = max(found, key=lambda name: found[name], default="")
        if not found.get(tag):
            return ()
        others = [name for name in free if name != tag]
        values = self._find_values(others) or self._find_mixed([tag, *others])[0]
        if len(values) != 1:
            return ()
        self._option("--long", f"{tag}\0{values[0]}")
        self._option("--tags", str(self._option_files.tags_path))
        self._taken |= {tag, values[0]}
        return {machine for machine, _ in mapping.values()} - {""}

    def _find_values(self, names: Sequence[str]) -> list[str]:
        """Return the columns that may have the values of a row per reading."""
        look = self._look
        values = [name for name in look.numbers if name in names and name not in (*look.flags, MACHINE)]
        values = [name for name in values if WORDS[MACHINE].search(name) is None]
        # A quality of the readings is mostly the same number.
        return values if len(values) < 2 else [name for name in values if len(set(look.values[name])) > 1]

    def _guess_long(self, time: str | None) -> tuple[str, str] | None:
        """Return the column of tags and their pattern, if there is a row per reading."""
        look = self._look
        free = [name for name in look.values if name not in self._taken]
        values = self._find_values(free)
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
        places = "a table of their own (--files failures=FILE), a column (--failure-flag, --status)"
        machine, cycles = self._machine, self._cycles
        if machine is not None and cycles is not None and look.is_counted(cycles, machine):
            self._ask(
                f"does the telemetry of each {machine} end with its failure? then add --end-is-failure NAME, and "
                f"--except with those that still run; or are the failures in {places}?"
            )
            return
        self._ask(f"where are the failures? {places}, or the end of each machine's telemetry (--end-is-failure NAME)")

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

    def _guess_words(self, kind: str) -> bool:
        """Propose the file of words with the column whose values have most of them; return whether there is one."""
        files, look = self._option_files, self._look
        free = [name for name in look.words if name not in self._taken and WORDS[MACHINE].search(name) is None]
        found = {
            name: sum(any(word in value.lower() for word, _ in files.words) for value in look.values[name])
            for name in free
        }
        text = max(found, key=lambda name: found[name], default="")
        if files.words_path is None or not found.get(text):
            return False
        if text != kind:
            self._option("--columns", f"{self._table.name}.{kind}={text}")
        self._option("--component-words", str(files.words_path))
        return True

    def _guess_kind(self, kind: str) -> None:
        """Find the column of the component or error of an event: not a number of the order, and not a constant."""
        if kind in self._look.values:
            return
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
