"""Text from outside, made fit to be shown: without orders to the terminal, and without secrets."""

from __future__ import annotations

import re
import unicodedata

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
