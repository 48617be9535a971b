"""What jobs print: the part that is new, and what they say went wrong."""

from __future__ import annotations

import codecs
from itertools import pairwise

from pdm_cli.text import plain

_ERROR = "error: "
_HINT = "hint: "


class Tail:
    """The lines of a log that grows, each given once."""

    def __init__(self) -> None:
        self.offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, new: bytes, *, is_last: bool = False) -> list[str]:
        """Take the bytes from ``offset`` on, and return the lines that are whole now.

        Parameters
        ----------
        new : bytes
            May end within a line, or within a character.
        is_last : bool
            Whether nothing comes after, so that what is left is a line, too.
        """
        self.offset += len(new)
        text = self._rest + self._decoder.decode(new, is_last)
        *lines, self._rest = text.replace("\r\n", "\n").split("\n")
        if is_last and self._rest:
            lines, self._rest = [*lines, self._rest], ""
        return [clean(line) for line in lines]


def clean(line: str) -> str:
    """Return a line as it stood on the terminal at last: what a progress bar wrote over is gone."""
    return plain(line.rstrip("\r").rpartition("\r")[2]).rstrip()


def last_error(text: str) -> tuple[str, str | None] | None:
    r"""Return the last error that pdm told in a log, and its hint if it gave one.

    Examples
    --------
    >>> last_error("train: …\nerror: telemetry.parquet: empty\nhint: give another\n")
    ('telemetry.parquet: empty', 'give another')
    """
    lines = [clean(line) for line in text.splitlines()]
    for line, after in reversed(list(pairwise([*lines, ""]))):
        if line.startswith(_ERROR):
            return line.removeprefix(_ERROR), after.removeprefix(_HINT) if after.startswith(_HINT) else None
    return None
