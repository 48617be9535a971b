"""Shapes of timestamps, such as ``00.00.0000 00:00``: the format of a whole column, and how to parse it.

A single row cannot distinguish 1 March from 3 January. A column often can: one row with a number above 12 decides for
all of them. If no row decides, the user has to; nothing is guessed. The digits of all strings of a shape are at the
same places, so that the rows of a column are checked and parsed in SQL, and only its few shapes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

Order = Literal["year-first", "day-first", "month-first"]

# Formats of numbers instead of dates, and microseconds per unit.
EPOCHS = {"epoch-s": 1_000_000, "epoch-ms": 1_000}
_TIMESTAMP = re.compile(
    r"(?:(?P<y1>0000)(?P<s1>[-/.])(?P<m1>00?)(?P=s1)(?P<d1>00?)"
    r"|(?P<a>00?)(?P<s2>[-/.])(?P<b>00?)(?P=s2)(?P<y2>0000))"
    r"(?:(?P<join>T|,? +)(?P<hour>00?):(?P<minute>00)(?::(?P<second>00)(?:(?P<point>[.,])(?P<fraction>0{1,9}))?)?"
    r"(?: *(?P<half>[AaPp])\.?[Mm]\.?)?"
    r" *(?P<zone>[Zz]|UTC|GMT|[+-]00(?::?00)?)?)?"
)
# Shapes of numbers only, all of which strptime reads, and their digits that are not next to white space.
_NUMBERS = re.compile(r"(?!.*0{7})[0./:T-]+(?: [0.:]+)?")
_INNER = re.compile(r"(?<=[0./:T-])0(?=[0./:T-])")
# Seconds have 10 digits from 2001 to 2286, milliseconds 13.
_EPOCH_SHAPES = {"epoch-s": re.compile(r"0{10}(?:[.,]0+)?"), "epoch-ms": re.compile(r"0{13}(?:[.,]0+)?")}
# Numbers that may have a leading zero.
_PADDED = ("m1", "d1", "a", "b", "hour")
_LAST_OFFSET_HOURS = 14
_MICROSECOND_DIGITS = 6
_LAST_MONTH = 12


@dataclass(frozen=True)
class Shape:
    """A shape of timestamps and the rows that have it.

    Attributes
    ----------
    text : str
        A timestamp with every digit replaced by 0.
    rows : int
        Number of rows.
    day_first, month_first, undecided : int
        Rows of a shape that does not begin with the year: those that fit this order only, and those that fit both.
    """

    text: str
    rows: int
    day_first: int = 0
    month_first: int = 0
    undecided: int = 0

    @property
    def is_known(self) -> bool:
        """Whether it is the shape of a date, and every row fits an order."""
        parts = _parts(self.text)
        if parts is None:
            return False
        return parts["y1"] is not None or self.day_first + self.month_first + self.undecided == self.rows

    @property
    def is_year_first(self) -> bool:
        """Whether the date begins with the year."""
        parts = _parts(self.text)
        return parts is not None and parts["y1"] is not None

    @property
    def has_zone(self) -> bool:
        """Whether it ends with a time zone."""
        parts = _parts(self.text)
        return parts is not None and parts["zone"] is not None

    @property
    def sign(self) -> str:
        """The separator of the date; empty if the year is first or the shape is unknown."""
        parts = _parts(self.text)
        return (parts["s2"] or "") if parts is not None else ""


def shape_of(text: str) -> str:
    """Return a string with every ASCII digit replaced by 0."""
    return re.sub(r"\d", "0", text, flags=re.ASCII)


def sql_shape(column: str) -> str:
    """Return the SQL expression of the shapes of a column."""
    return f"translate({column}, '123456789', '000000000')"


def sql_pattern(shapes: Iterable[str]) -> str:
    """Return the regular expression of the strings of some shapes."""
    return "|".join(re.sub("0+", lambda run: rf"\d{{{len(run[0])}}}", _escape(shape)) for shape in shapes)


def sql_parts(shape: str, column: str) -> tuple[str, str] | None:
    """Return the SQL expressions of the first two numbers of a shape that does not begin with the year, or None."""
    found = _TIMESTAMP.fullmatch(shape)
    if found is None or found["a"] is None:
        return None
    first, second = (
        # Rows of other shapes have no numbers there.
        f"TRY_CAST(substr({column}, {found.start(name) + 1}, {len(found[name])}) AS INTEGER)"
        for name in "ab"
    )
    return first, second


def sql_decides_order(column: str) -> str:
    """Return the SQL condition that one of the first two numbers of a date is above 12."""
    above = "(?:1[3-9]|[2-9][0-9])"
    return f"regexp_matches({column}, '^ *(?:{above}[-/.]|[0-9]{{1,2}}[-/.]{above}[-/.])')"


def order_of(text: str) -> Order | None:
    """Return the only order that fits a date, or None."""
    numbers = _first_numbers(text)
    if numbers is None or (numbers[0] > _LAST_MONTH) == (numbers[1] > _LAST_MONTH):
        return None
    return "day-first" if numbers[0] > _LAST_MONTH else "month-first"


def is_date(text: str) -> bool:
    """Return whether a string of a shape with wrong rows is right itself."""
    numbers = _first_numbers(text)
    return numbers is not None and min(numbers) <= _LAST_MONTH and Shape(shape_of(text), 1, 1).is_known


def find_format(text: str) -> str:
    """Return the format of a date whose order of year, month and day is certain; empty for other strings."""
    found = _TIMESTAMP.fullmatch(shape_of(text))
    if found is None or found["half"] or found["zone"]:
        return ""
    order = "year-first" if found["y1"] else order_of(text)
    return _format(found, order) if order else ""


def find_epoch(shapes: Sequence[Shape]) -> str | None:
    """Return ``epoch-s`` or ``epoch-ms`` if all rows are such numbers, else None."""
    for form, pattern in _EPOCH_SHAPES.items():
        if shapes and all(pattern.fullmatch(shape.text) for shape in shapes):
            return form
    return None


def fitting_orders(shapes: Sequence[Shape]) -> tuple[Order, ...]:
    """Return the orders that fit all rows: none, one, or two if day and month may come first.

    All three fit a column without values.
    """
    if not shapes:
        return ("year-first", "day-first", "month-first")
    short = [shape for shape in shapes if not shape.is_year_first]
    if not all(shape.is_known for shape in shapes) or (short and len(short) < len(shapes)) or find_doubtful(shapes):
        return ()
    if not short:
        return ("year-first",)
    orders: list[Order] = []
    if not any(shape.month_first for shape in short):
        orders.append("day-first")
    if not any(shape.day_first for shape in short):
        orders.append("month-first")
    return tuple(orders)


def find_doubtful(shapes: Sequence[Shape]) -> tuple[str, str] | None:
    """Return the separators of undecided dates and of decided ones that differ from them, or None.

    Another separator means that another program wrote the date: ``1/13/2015`` does not decide ``01.02.2015``.
    """
    decided = {shape.sign for shape in shapes if shape.sign and (shape.day_first or shape.month_first)}
    undecided = {shape.sign for shape in shapes if shape.sign and shape.undecided}
    for sign in sorted(undecided - decided):
        if decided:
            return sign, sorted(decided)[0]
    return None


def sql_time(shapes: Sequence[Shape], order: Order, column: str) -> str:
    """Return the SQL expression of the times in a column: in UTC if they have a zone, else unchanged.

    It is NULL for a date, a time or a zone that does not exist. Digits of a second beyond the sixth are cut off.

    Parameters
    ----------
    shapes : sequence of Shape
        All shapes of the column.
    order : str
        Order of year, month and day.
    column : str
        SQL expression of the strings.
    """
    fitting = [shape.text for shape in shapes if shape.is_known and shape.is_year_first == (order == "year-first")]
    if not fitting:
        return "CAST(NULL AS TIMESTAMP)"
    return _sql_time(fitting[0], order, column) if len(shapes) == 1 else sql_checked_time(fitting, order, column)


def sql_checked_time(shapes: Sequence[str], order: Order, column: str, *, has_year_zero: bool = False) -> str:
    """Return the SQL of :func:`sql_time` for some known shapes that is NULL for strings of other shapes, too.

    With ``has_year_zero``, which takes half the time, times in the year 0 are not NULL, although they do not exist.
    """
    times: dict[str, list[str]] = {}
    for shape in shapes:
        times.setdefault(_sql_time(shape, order, column, has_year_zero=has_year_zero), []).append(shape)
    whens = " ".join(f"WHEN {_sql_may_have_shape(same, column)} THEN {time}" for time, same in times.items())
    return f"CASE {whens} END"


def _sql_may_have_shape(shapes: Sequence[str], column: str) -> str:
    """Return the SQL condition that a string with a time has one of some known shapes; it may hold for others."""
    if len(shapes) > 1 or not _NUMBERS.fullmatch(shapes[0]):
        return sql_has_shape(shapes, column)
    # A third of the time: strptime skips white space around a string and around a space of the format, but requires
    # digits in all other places.
    return f"{column} GLOB '{_INNER.sub('?', shapes[0]).replace('0', '[0-9]')}'"


def sql_has_shape(shapes: Sequence[str], column: str) -> str:
    """Return the SQL condition that a string has one of some known shapes."""
    if len(shapes) == 1:
        # Half the time of a regular expression.
        return f"{column} GLOB '{shapes[0].replace('0', '[0-9]')}'"
    return f"regexp_full_match({column}, '{sql_pattern(shapes)}')"


def similar_shapes(shapes: Iterable[str]) -> list[str]:
    """Return known shapes, and those that differ from one of them in leading zeros or AM and PM.

    Leading zeros differ only if a shape lacks one.
    """
    similar: dict[str, None] = {}
    matches = [found for shape in shapes if (found := _TIMESTAMP.fullmatch(shape))]
    is_padded = not any(found[name] == "0" for found in matches for name in _PADDED)
    for found in matches:
        choices = {} if is_padded else {found.start(name): ("0", "00") for name in _PADDED if found[name]}
        if found["half"]:
            choices[found.start("half")] = ("A", "P") if found["half"].isupper() else ("a", "p")
        ends = [found.end(name) for name in (*_PADDED, "half") if found[name] and found.start(name) in choices]
        starts = sorted(choices)
        between = [found.string[a:b] for a, b in zip([0, *sorted(ends)], [*starts, len(found.string)], strict=True)]
        for chosen in product(*(choices[start] for start in starts)):
            similar["".join(map("".join, zip(between, (*chosen, ""), strict=True)))] = None
    return list(similar)


def sql_format(form: str, column: str) -> str:
    """Return the SQL expression of the times in a column of a given format; NULL where a string does not match it.

    Parameters
    ----------
    form : str
        ``epoch-s``, ``epoch-ms``, or a ``strptime`` format.
    column : str
        SQL expression of the strings.
    """
    if form in EPOCHS:
        number = f"TRY_CAST(replace({column}, ',', '.') AS DOUBLE)"
        micros = f"TRY_CAST(round({number} * {EPOCHS[form]}) AS BIGINT)"
        # A double holds microseconds exactly up to 2**53; infinity and NaN do not fit a BIGINT.
        return f"CASE WHEN abs({micros}) < {2**53} THEN make_timestamp({micros}) END"
    # DuckDB takes 24 for the year 24 of %Y.
    return _within(f"try_strptime({column}, '{_quote(form)}')", first_year=1000 if "%Y" in form else 1)


def has_zone(form: str) -> bool:
    """Return whether timestamps of a given format have a time zone."""
    return form in EPOCHS or "%z" in form or "%Z" in form


def _parts(shape: str) -> re.Match[str] | None:
    return _TIMESTAMP.fullmatch(shape)


def _sql_time(shape: str, order: Order, column: str, *, has_year_zero: bool = False) -> str:
    found = _TIMESTAMP.fullmatch(shape)
    assert found is not None
    # Of the digits of a second, six; the rest is added again.
    last = next(name for name in ("fraction", "second", "minute", "d1", "y2") if found[name])
    end = min(found.end(last), found.start("fraction") + _MICROSECOND_DIGITS) if last == "fraction" else found.end(last)
    text, half = f"substr({column}, 1, {end})", "%p" if found["half"] else ""
    if end == len(shape):
        text = column
    elif shape[end:].strip().upper() in ("AM", "PM"):
        # The same SQL whatever digits and spaces come before.
        text, half = column, f"{shape[end : found.start('half')]}%p"
    elif half:
        text += f" || substr({column}, {found.start('half') + 1}, 1) || 'M'"
    time = f"try_strptime({text}, '{_format(found, order)}{half}')"
    if not has_year_zero:
        # There is no year 0, but strptime knows one.
        time = f"CASE WHEN {time} >= TIMESTAMP '0001-01-01' THEN {time} END"
    zone = found["zone"] or ""
    return f"({time} - {_sql_offset(found, column)})" if zone[:1] in ("+", "-") else time


def _format(found: re.Match[str], order: Order) -> str:
    """Return the ``strptime`` format of a shape without AM and zone."""
    sign = found["s1"] or found["s2"]
    dates = {"year-first": "%Y{0}%m{0}%d", "day-first": "%d{0}%m{0}%Y", "month-first": "%m{0}%d{0}%Y"}
    date = dates[order].format(sign)
    if not found["hour"]:
        return date
    time = f"{'%I' if found['half'] else '%H'}:%M"
    time += ":%S" if found["second"] else ""
    time += f"{found['point']}%f" if found["fraction"] else ""
    return f"{date}{found['join']}{time}"


def _sql_offset(found: re.Match[str], column: str) -> str:
    """Return the SQL expression of the offset from UTC of a zone such as ``+02:00``; NULL if there is none such."""
    start, digits = found.start("zone"), re.sub(r"\D", "", found["zone"])
    hours = f"CAST(substr({column}, {start + 2}, 2) AS INTEGER)"
    minutes = f"CAST(right({column}, 2) AS INTEGER)" if len(digits) == 4 else "0"
    total = f"({hours} * 60 + {minutes})"
    sign = f"CASE WHEN substr({column}, {start + 1}, 1) = '-' THEN -1 ELSE 1 END"
    valid = f"{minutes} < 60 AND {total} <= {_LAST_OFFSET_HOURS * 60}"
    return f"CASE WHEN {valid} THEN to_minutes({total} * {sign}) END"


def _within(time: str, *, first_year: int) -> str:
    """Return NULL for times before a year, and after 9999."""
    return f"CASE WHEN {time} >= TIMESTAMP '{first_year:04}-01-01' AND {time} < TIMESTAMP '10000-01-01' THEN {time} END"


def _escape(shape: str) -> str:
    return re.sub(r"[.+*?(){}\[\]^$|\\]", r"\\\g<0>", shape)


def _quote(text: str) -> str:
    return text.replace("'", "''")


def _first_numbers(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d{1,2})[-/.](\d{1,2})[-/.]\d{4}", text, re.ASCII)
    return (int(found[1]), int(found[2])) if found else None
