"""Durations such as ``10s``, ``15min``, ``3h`` or ``1d``, as text and as values of settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pdm_cli.settings.cycles import Cycles, parse_cycles
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import current, option_hours, show_hours

_SECONDS = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_PART = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Z]+)\s*"
_EXAMPLES = "such as 10s, 15min, 3h or 1d"


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

    Raises
    ------
    ValueError
        If ``text`` is not one or more numbers with a unit.

    Examples
    --------
    >>> parse_duration("15min"), parse_duration("1h 30min")
    (900.0, 5400.0)
    """
    parts = re.findall(_PART, text)
    if not re.fullmatch(f"(?:{_PART})+", text.strip()) or any(unit.lower() not in _SECONDS for _, unit in parts):
        raise ValueError(f"{text!r} is not a duration {_EXAMPLES}")
    return float(sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts))


@dataclass(frozen=True)
class Unit:
    """Marks the type of a setting whose plain numbers are in units of ``seconds``, and which also takes durations."""

    seconds: int

    def read(self, value: object) -> object:
        """Return a duration in this unit; numbers, also as text, stay as they are."""
        if not isinstance(value, str) or _is_number(value):
            return value
        return parse_duration(value) / self.seconds

    def _validate(self, value: object, check: Callable[[object], float]) -> float:
        """Return the checked value; one in cycles, whose length is not known yet, as :class:`Cycles`."""
        count = parse_cycles(value) if isinstance(value, str) else None
        return check(self.read(value)) if count is None else Cycles.of(count, check(count * 3600 / self.seconds))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Return the schema of the marked type, with durations converted before its bounds are checked."""
        # Imported here, because commands load the settings' types before they need pydantic.
        from pydantic_core import core_schema

        return core_schema.no_info_wrap_validator_function(self._validate, handler(source))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def show_duration(microseconds: int) -> str:
    """Return a duration as a setting takes it, in the largest unit that fits, or in cycles.

    Examples
    --------
    >>> show_duration(7_200_000_000), show_duration(90_000_000)
    ('2h', '90s')
    """
    if current().counts_cycles:
        return option_hours(microseconds / US_PER_HOUR)
    for unit in ("d", "h", "min"):
        length = _SECONDS[unit] * 1_000_000
        if microseconds >= length and microseconds % length == 0:
            return f"{microseconds // length:.0f}{unit}"
    return f"{microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"


def show_length(microseconds: int) -> str:
    """Return a duration in a message: as :func:`show_duration`, or ``30 cycles``."""
    return show_hours(microseconds / US_PER_HOUR) if current().counts_cycles else show_duration(microseconds)
