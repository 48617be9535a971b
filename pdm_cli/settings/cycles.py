"""Durations and times given in cycles, such as ``30 cycles`` and ``cycle 187``: settings before the data are known."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import UsageError
from pdm_cli.settings.field import Section, option_name
from pdm_cli.timestamps import US_PER_HOUR, microseconds
from pdm_cli.units import FIRST_CYCLE_US, Units

if TYPE_CHECKING:
    from pdm_cli.settings.model import Settings

_EPOCH = datetime(1970, 1, 1)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*cycles?", re.IGNORECASE)
_TIME = re.compile(r"cycle\s*([0-9]+(?:\.[0-9]+)?)", re.IGNORECASE)


class Cycles(float):
    """A number of cycles as the value of a setting, which counts them as hours until the data are known."""

    count: float

    @classmethod
    def of(cls, count: float, value: float) -> Cycles:
        """Return the value of a setting for a number of cycles."""
        cycles = cls(value)
        cycles.count = count
        return cycles

    def __str__(self) -> str:
        """Return the text that options take."""
        return f"{self.count:g}cycles"


class CycleTime(datetime):
    """The time of a cycle, which counts as an hour until the data are known."""

    @property
    def cycle(self) -> float:
        """The cycle."""
        return (microseconds(self) - FIRST_CYCLE_US) / US_PER_HOUR

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:  # noqa: ARG002
        """Return the text that options take."""
        return f"cycle {self.cycle:g}"

    __str__ = isoformat


def parse_cycles(text: str) -> float | None:
    """Return the number of cycles in ``30 cycles``; None for anything else."""
    found = _DURATION.fullmatch(text.strip())
    return float(found[1]) if found else None


def parse_time_or_cycle(text: str) -> datetime:
    """Return the time of an ISO timestamp or of ``cycle 187``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return datetime.fromisoformat(text.strip())
    time = _EPOCH + timedelta(microseconds=FIRST_CYCLE_US, hours=float(found[1]))
    return CycleTime(time.year, time.month, time.day, time.hour, time.minute, time.second, time.microsecond)


def convert_cycles(settings: Settings, units: Units) -> Settings:
    """Return settings with cycles of the length that they have in the data.

    Raises
    ------
    UsageError
        If the times of the data are dates.
    """
    changed: dict[str, Any] = {}
    for item in fields(settings):
        section = getattr(settings, item.name)
        values = {
            name: _convert(value, units, option_name(name))
            for name, value in vars(section).items()
            if not name.startswith("_") and _has_cycles(value)
        }
        if values:
            given: Section = replace(section, **values)
            given.note_given(section.given)
            changed[item.name] = given
    return replace(settings, **changed) if changed else settings


def convert_time(time: datetime, units: Units, option: str) -> datetime:
    """Return the time of a cycle in the data; other times are unchanged.

    Raises
    ------
    UsageError
        If the times of the data are dates.
    """
    if not isinstance(time, CycleTime):
        return time
    _check(units, option, time.isoformat())
    return _EPOCH + timedelta(microseconds=units.time_of(time.cycle))


def _has_cycles(value: object) -> bool:
    return any(isinstance(one, (Cycles, CycleTime)) for one in (value if isinstance(value, tuple) else (value,)))


def _convert(value: object, units: Units, option: str) -> object:
    if isinstance(value, tuple):
        return tuple(_convert(one, units, option) for one in value)
    if isinstance(value, CycleTime):
        return convert_time(value, units, option)
    if isinstance(value, Cycles):
        _check(units, option, str(value))
        return float(value) * units.cycle_hours
    return value


def _check(units: Units, option: str, text: str) -> None:
    if not units.counts_cycles:
        raise UsageError(
            f"{option} {text}: the times of the telemetry are dates, not cycles",
            hint="use hours or dates; pdm import --cycles imports logs that count cycles",
        )
