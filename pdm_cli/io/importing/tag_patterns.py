"""The pattern of tags such as ``WERK2/P-101/VIB``, by the parts that repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIGNS = "/.:|\\"
# A unit at the end may contain the signs.
_UNIT = re.compile(r"\s*[\[(][^\])]*[\])]$")


def find_pattern(tags: Sequence[str]) -> str:
    """Return the pattern with which tags name machine and sensor; empty if they have no common separator.

    The machine is the last part that belongs to one parent only: ``P-101`` in ``WERK2/P-101/VIB``, but ``P1`` in
    ``P1.VIB.X`` if other machines have ``VIB``, too.

    Examples
    --------
    >>> find_pattern(["W2/P-101/VIB", "W2/P-101/TEMP", "W2/P-102/VIB"])
    'W2/{machine}/{sensor}'
    >>> find_pattern(["P1.VIB.X", "P1.VIB.Y", "P2.VIB.X"])
    '{machine}.{sensor}'
    """
    sign = _find_sign(tags)
    if not sign:
        return ""
    parts = [_UNIT.sub("", tag).split(sign) for tag in tags]
    level = _machine_level(parts)
    prefixes = {sign.join(part[:level]) for part in parts}
    is_even = len({len(part) for part in parts}) == 1
    # Behind prefixes that differ, a pattern only finds the last two parts.
    if not is_even or (len(prefixes) > 1 and level != len(parts[0]) - 2):
        level = 0
    pattern = f"{{machine}}{sign}{{sensor}}"
    if not level:
        return pattern
    prefix = prefixes.pop() if len(prefixes) == 1 else "*"
    return f"{'*' if '*' in prefix or '{' in prefix else prefix}{sign}{pattern}"


def has_structure(tags: Sequence[str], *, may_be_machines: bool) -> bool:
    """Return whether tags have parts of which some repeat, as machines with several sensors do.

    Names that may be those of machines, such as ``W1/P1``, are tags only if their last parts repeat.
    """
    sign = _find_sign(tags)
    if not sign:
        return False
    ends = [_UNIT.sub("", tag).rpartition(sign) for tag in tags]
    is_sensor_repeated = len({last for _, _, last in ends}) < len(ends)
    return is_sensor_repeated or (not may_be_machines and len({first for first, _, _ in ends}) < len(ends))


def _find_sign(tags: Sequence[str]) -> str:
    """Return the separator that all tags have, the last one in them; empty if there is none."""
    names = [_UNIT.sub("", tag) for tag in tags]
    common = [sign for sign in _SIGNS if names and all(sign in name.strip(sign) for name in names)]
    return max(common, key=lambda sign: names[0].rindex(sign), default="")


def _machine_level(parts: Sequence[Sequence[str]]) -> int:
    """Return the place of the last part, but for the sensor, whose values occur under one parent each."""
    level = 0
    for place in range(1, min(map(len, parts)) - 1):
        parents: dict[str, set[tuple[str, ...]]] = {}
        for part in parts:
            parents.setdefault(part[place], set()).add(tuple(part[:place]))
        if any(len(found) > 1 for found in parents.values()):
            break
        level = place
    return level
