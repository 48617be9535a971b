"""Format text for people: names without terminal escapes, URLs without secrets, counts and probabilities."""

from __future__ import annotations

import csv
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Terminal escapes: strings (OSC, DCS, SOS, PM, APC) up to their end, control sequences (CSI), and all others. Of an
# unterminated string only the introducer matches.
_ESCAPES = re.compile(
    r"(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
# Control characters, and format characters that reverse or hide adjacent letters.
_INVISIBLE = ("Cc", "Cf")
# Errors of the Azure packages contain request URLs, including signatures.
_SIGNATURE = re.compile(r"(\bsig=)[^&\s'\")]+")


def plain(text: str) -> str:
    r"""Return one line of text without terminal escapes and invisible characters.

    Examples
    --------
    >>> plain("\x1b[31mpump\x1b[0m \u202e1\t2\n")
    'pump 1\t2'
    """
    # Fast path for most lines.
    if text.isprintable():
        return text
    cut = _ESCAPES.sub("", text)
    return "".join(letter for letter in cut if letter == "\t" or unicodedata.category(letter) not in _INVISIBLE)


def plain_lines(text: str) -> str:
    r"""Apply :func:`plain` to each line.

    Examples
    --------
    >>> plain_lines("pump \x1b[31m1\nvalve\n")
    'pump 1\nvalve\n'
    """
    return "\n".join(map(plain, text.split("\n")))


def hide_signatures(text: str) -> str:
    """Return text without the shared access signatures in its URLs.

    Examples
    --------
    >>> hide_signatures("GET https://store/c?sv=1&sig=SeCrEt%3D&se=2")
    'GET https://store/c?sv=1&sig=…&se=2'
    """
    return _SIGNATURE.sub(r"\1…", text)


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one record per row in JSON types: times as ISO strings, missing values as ``None``."""
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso", date_unit="s"))
    return records


# Lines with more names are hard to read.
MAX_NAMES = 8


def name_some(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others.

    Examples
    --------
    >>> name_some(["a", "b"])
    'a, b'
    >>> name_some(list("abcdefghij"))
    'a, b, c, d, e, f, g, h and 2 more'
    """
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def join_list(values: Iterable[object]) -> str:
    """Return values as one option takes them: separated by commas, in double quotes where one has a comma or a quote.

    Examples
    --------
    >>> join_list(["A, b", "C"])
    '"A, b",C'
    """
    return ",".join(_quote(str(value)) for value in values)


def split_list(text: str) -> list[str]:
    """Return the values of an option, stripped and without empty ones; the inverse of :func:`join_list`.

    Examples
    --------
    >>> split_list('"A, b", C,')
    ['A, b', 'C']
    """
    rows = csv.reader([text.replace("\n", " ")], skipinitialspace=True)
    return [part.strip() for row in rows for part in row if part.strip()]


def _quote(value: str) -> str:
    if "," not in value and '"' not in value:
        return value
    return '"' + value.replace('"', '""') + '"'


# Of probabilities in percent; closer ones count as equal.
_MOST_DECIMALS = 4


def show_probability(probability: float) -> str:
    """Return a probability in whole percent, never 0% or 100%.

    Examples
    --------
    >>> [show_probability(each) for each in (0.0, 0.005, 0.42, 0.994, 0.9999)]
    ['<1%', '1%', '42%', '99%', '>99%']
    """
    if probability < 0.005:
        return "<1%"
    return ">99%" if probability >= 0.995 else f"{max(probability, 0.01):.0%}"


def show_two_probabilities(first: float, second: float) -> tuple[str, str]:
    """Return two probabilities in percent, with decimals if they would look the same without.

    Examples
    --------
    >>> show_two_probabilities(0.21, 0.42), show_two_probabilities(0.4182, 0.4246), show_two_probabilities(0.42, 0.42)
    (('21%', '42%'), ('41.8%', '42.5%'), ('42%', '42%'))
    """
    whole = shown = show_probability(first), show_probability(second)
    decimals = 0
    while shown[0] == shown[1] and decimals < _MOST_DECIMALS:
        decimals += 1
        shown = f"{first:.{decimals}%}", f"{second:.{decimals}%}"
    return shown if shown[0] != shown[1] else whole


# Thresholds below would show as .000, and above as 1.000.
_LEAST_THRESHOLD, _MOST_THRESHOLD = 0.001, 0.9995


def show_threshold(value: float) -> str:
    """Return the probability at which an alert turns on or off; one above 1 is never reached."""
    if value > 1:
        return "never"
    if value > _MOST_THRESHOLD:
        return f"{math.floor(value * 1e5) / 1e5:.5f}"
    return f"{value:.3f}" if value >= _LEAST_THRESHOLD else f"{value:.2g}"


def show_number(value: float | None, form: str = "") -> str:
    """Return a number in ordinary digits; with an exponent only below 0.0001 and from 1e15 on.

    Parameters
    ----------
    value : float or None
        The number; ``None`` is unknown.
    form : str
        General format, such as ``.2g``; by default four digits, or all digits of whole numbers from 10,000 on.

    Examples
    --------
    >>> [show_number(value) for value in (1234567.0, 9999.7, 170.4567, 0.00012, None)]
    ['1,234,567', '10,000', '170.5', '0.00012', '-']
    >>> [show_number(value, "+.2g") for value in (512.0, 2.04, -12345.0)]
    ['+510', '+2', '-12,000']
    """
    if value is None:
        return "-"
    if not form:
        form = ",.0f" if 1e4 <= abs(value) < 1e15 else ".4g"
    shown = f"{value:{form}}"
    if "e+" not in shown or abs(value) >= 1e15:
        return shown
    rounded, sign = float(shown), "+" if form.startswith("+") else ""
    return f"{rounded:{sign},.0f}" if abs(rounded) >= 1e4 else f"{rounded:{sign}.0f}"


def show_count(number: int, noun: str) -> str:
    """Return a number and a noun: ``1 machine``, ``1,000 machines``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class Prose(str):
    """Prose, which is wrapped on a terminal; other strings, for scripts, are not."""

    __slots__ = ()
