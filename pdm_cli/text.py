"""Text from outside, made fit to be shown: without orders to the terminal, and without secrets."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Strings (OSC, DCS, SOS, PM, APC) to their end, control sequences (CSI), and all other escapes of a terminal; a string
# that is not ended loses its head alone.
_ORDERS = re.compile(
    r"(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
# Controls, and what turns or hides the letters beside it.
_UNSEEN = ("Cc", "Cf")
# Azure's packages put the addresses of requests into their errors, signatures and all.
_SIGNATURE = re.compile(r"(\bsig=)[^&\s'\")]+")


def plain(text: str) -> str:
    r"""Return one line of text without orders to a terminal and without characters that are not seen.

    Examples
    --------
    >>> plain("\x1b[31mpump\x1b[0m \u202e1\t2\n")
    'pump 1\t2'
    """
    # Nothing of the kind is in most lines, and this is the quick way to see it.
    if text.isprintable():
        return text
    cut = _ORDERS.sub("", text)
    return "".join(letter for letter in cut if letter == "\t" or unicodedata.category(letter) not in _UNSEEN)


def plain_lines(text: str) -> str:
    r"""Return text as :func:`plain`, line by line.

    Examples
    --------
    >>> plain_lines("pump \x1b[31m1\nvalve\n")
    'pump 1\nvalve\n'
    """
    return "\n".join(map(plain, text.split("\n")))


def hide_signatures(text: str) -> str:
    """Return text with the shared access signatures left out of its addresses.

    Examples
    --------
    >>> hide_signatures("GET https://store/c?sv=1&sig=SeCrEt%3D&se=2")
    'GET https://store/c?sv=1&sig=…&se=2'
    """
    return _SIGNATURE.sub(r"\1…", text)


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a record, in JSON types: stamps as text, missing values as ``None``."""
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso", date_unit="s"))
    return records


# A line that names more is not read.
MOST_NAMES = 8


def name_some(names: Sequence[str]) -> str:
    """Return the first names in a line, and how many more there are.

    Examples
    --------
    >>> name_some(["a", "b"])
    'a, b'
    >>> name_some(list("abcdefghij"))
    'a, b, c, d, e, f, g, h and 2 more'
    """
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def show_stamp(text: str) -> str:
    """Return a stamp as people write it: ``2015-10-01 06:00``."""
    return text.replace("T", " ")[:16]


def show_span(start: str, end: str) -> str:
    """Return two stamps as a span, or as the one instant that they are."""
    first, last = show_stamp(start), show_stamp(end)
    return f"at {last}" if first == last else f"from {first} to {last}"


def show_probability(probability: float) -> str:
    """Return a probability in whole percent, none of them certain.

    Examples
    --------
    >>> [show_probability(each) for each in (0.0, 0.005, 0.42, 0.994, 0.9999)]
    ['<1%', '1%', '42%', '99%', '>99%']
    """
    if probability < 0.005:
        return "<1%"
    return ">99%" if probability >= 0.995 else f"{max(probability, 0.01):.0%}"


def show_count(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 machine``, ``1,000 machines``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class Prose(str):
    """Text for reading, whose lines break between words on a terminal; other text is for scripts and stays whole."""

    __slots__ = ()
