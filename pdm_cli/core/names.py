"""Lists of names as messages tell them."""

from __future__ import annotations

from collections.abc import Sequence

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
