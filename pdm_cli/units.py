"""Units in which people read a log: dates or cycles for its times, and the units of its sensors.

They travel with the data: in the metadata of its Parquet tables, in summaries and in the model. While a stage runs or a
result is shown, they are in effect in a context, like those of :mod:`decimal`, so that every message uses them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pdm_cli.text import show_number, show_probability
from pdm_cli.timestamps import HOURS_PER_MONTH, US_PER_HOUR, microseconds, show

# Cycle 0 is the midnight of 2000-01-01.
FIRST_CYCLE_US = 946_684_800_000_000
# Of the keys in metadata, which other programs may share.
_PREFIX = "pdm."
# Cycles of a machine that a rate is given for.
_RATE_CYCLES = 1000


@dataclass(frozen=True)
class Units:
    """The units of a log.

    Attributes
    ----------
    cycle_hours : float
        Hours that a cycle counts as, if times are cycles; 0 if they are dates.
    sensors : mapping of str to str
        Sensor to its unit, such as ``mm/s``; sensors of unknown unit are not in it.
    """

    cycle_hours: float = 0.0
    sensors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Units:
        """Return the units that the metadata of a Parquet table contains.

        Raises
        ------
        ValueError
            If it is not what :meth:`metadata` returns.
        """
        cycle_hours = float(metadata.get(f"{_PREFIX}cycle_hours", "0"))
        sensors = json.loads(metadata.get(f"{_PREFIX}units", "{}"))
        is_text = isinstance(sensors, dict) and all(isinstance(unit, str) for unit in sensors.values())
        if not (0 <= cycle_hours < float("inf") and is_text):
            raise ValueError("cycle_hours or units are not valid")
        return cls(cycle_hours, sensors)

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Units:
        """Return the units that a summary contains."""
        return cls(float(summary.get("cycle_hours", 0)), dict(summary.get("units", {})))

    def metadata(self) -> dict[str, str]:
        """Return the units as metadata of a Parquet table; empty without any."""
        return {f"{_PREFIX}{key}": json.dumps(value, ensure_ascii=False) for key, value in self.summary().items()}

    def summary(self) -> dict[str, Any]:
        """Return the units as keys of a summary: ``cycle_hours`` if times are cycles, ``units`` if any are known."""
        found: dict[str, Any] = {"cycle_hours": self.cycle_hours, "units": dict(self.sensors)}
        return {key: value for key, value in found.items() if value}

    @property
    def counts_cycles(self) -> bool:
        """Whether times are cycles."""
        return self.cycle_hours > 0

    @property
    def time_word(self) -> str:
        """The unit of durations on axes and in headings: ``hours`` or ``cycles``."""
        return "cycles" if self.counts_cycles else "hours"

    def in_time_unit(self, hours: float) -> float:
        """Return a duration in hours or cycles."""
        return hours / self.cycle_hours if self.counts_cycles else hours

    def cycle_of(self, time_us: int) -> float:
        """Return the cycle of a time in microseconds."""
        return (time_us - FIRST_CYCLE_US) / US_PER_HOUR / self.cycle_hours

    def time_of(self, cycle: float) -> int:
        """Return the time of a cycle in microseconds."""
        return FIRST_CYCLE_US + round(cycle * self.cycle_hours * US_PER_HOUR)


_Summary = TypeVar("_Summary", bound=Mapping[str, Any])
_Shown = TypeVar("_Shown")
DATES = Units()
_IN_EFFECT: ContextVar[Units] = ContextVar("units", default=DATES)


@contextmanager
def using(units: Units) -> Iterator[None]:
    """Show times, durations and readings in these units within a ``with`` block."""
    token = _IN_EFFECT.set(units)
    try:
        yield
    finally:
        _IN_EFFECT.reset(token)


def in_units_of_summary(show: Callable[[_Summary], _Shown]) -> Callable[[_Summary], _Shown]:
    """Decorate a function that shows a summary, so that it does so in the units of the summary."""

    @functools.wraps(show)
    def show_in_units(summary: _Summary) -> _Shown:
        with using(Units.from_summary(summary)):
            return show(summary)

    return show_in_units


def current() -> Units:
    """Return the units in effect: dates outside of :func:`using`."""
    return _IN_EFFECT.get()


def show_time(time: str | int) -> str:
    """Return a time, an ISO timestamp or microseconds since 1970, as ``2015-10-01 06:00`` or ``cycle 187``.

    Examples
    --------
    >>> show_time("2015-10-01T06:00:00")
    '2015-10-01 06:00'
    >>> with using(Units(cycle_hours=1)):
    ...     show_time("2000-01-08T19:00:00")
    'cycle 187'
    """
    units = current()
    if units.counts_cycles:
        time_us = time if isinstance(time, int) else microseconds(datetime.fromisoformat(time))
        return f"cycle {_number(units.cycle_of(time_us))}"
    text = time if isinstance(time, str) else show(time)
    return text.replace("T", " ")[:16]


def show_short_time(time: str) -> str:
    """Return a time without its year: ``10-01 06:00``; a cycle as :func:`show_time`."""
    shown = show_time(time)
    return shown if current().counts_cycles else shown[len("2015-") :]


def exact_time(time_us: int) -> str:
    """Return a time in full, as ``2015-10-01 06:00`` or ``cycle 187``."""
    return show_time(time_us) if current().counts_cycles else show(time_us).replace("T", " ")


def option_time(time_us: int) -> str:
    """Return a time to paste after an option: ``2015-10-01T06:00`` or ``cycle187``."""
    return show_time(time_us).replace(" ", "") if current().counts_cycles else show(time_us)


def show_span(start: str, end: str) -> str:
    """Return a time span, or a single time if both are equal.

    Examples
    --------
    >>> with using(Units(cycle_hours=1)):
    ...     show_span("2000-01-01T01:00", "2000-01-08T19:00")
    'from cycle 1 to 187'
    """
    first, last = show_time(start), show_time(end)
    return f"at {last}" if first == last else f"from {show_range(start, end)}"


def show_range(start: str, end: str) -> str:
    """Return two times as ``2015-10-01 06:00 to 2015-10-02 09:00`` or ``cycle 1 to 187``."""
    return f"{show_time(start)} to {_end_of_range(show_time(end))}"


def show_window(row: Mapping[str, Any], *, has_year: bool = True) -> str:
    """Return when the failure of a row of the work list is expected."""
    start, end = row["expected_from"], row["expected_until"]
    return show_range(start, end) if has_year else f"{show_short_time(start)} to {_end_of_range(show_short_time(end))}"


def _end_of_range(shown: str) -> str:
    return shown.removeprefix("cycle ")


def utc() -> str:
    """Return the time zone to add to dates, ``UTC`` after a blank; nothing for cycles."""
    return "" if current().counts_cycles else " UTC"


def show_hours(hours: float, form: str = "g") -> str:
    """Return a duration as ``30 h`` or ``30 cycles``.

    Parameters
    ----------
    hours : float
        The duration.
    form : str
        Format of the number.

    Examples
    --------
    >>> show_hours(30), show_hours(112.4, ".2g")
    ('30 h', '110 h')
    >>> with using(Units(cycle_hours=2)):
    ...     show_hours(30), show_hours(2)
    ('15 cycles', '1 cycle')
    """
    units = current()
    number = show_number(units.in_time_unit(hours), form)
    if not units.counts_cycles:
        return f"{number} h"
    return f"{number} {'cycle' if number == '1' else 'cycles'}"


def show_two_hours(low: float, high: float, joint: str = "to", *, unit: str = "h") -> str:
    """Return two durations as ``3 to 48 h`` or ``3 to 48 cycles``; the unit is that of hours."""
    units = current()
    word = units.time_word if units.counts_cycles else unit
    return f"{units.in_time_unit(low):g} {joint} {units.in_time_unit(high):g} {word}"


def show_step(minutes: float) -> str:
    """Return the time between readings as ``60 min`` or ``1 cycle``."""
    return show_hours(minutes / 60) if current().counts_cycles else f"{minutes:g} min"


def option_hours(hours: float) -> str:
    """Return a duration in hours as options take it: ``30`` or ``30cycles``."""
    units = current()
    number = f"{units.in_time_unit(hours):g}"
    if not units.counts_cycles:
        return number
    return f"{number}{'cycle' if number == '1' else 'cycles'}"


def show_days(days: float, form: str = "g") -> str:
    """Return a duration as ``7 days`` or ``168 cycles``."""
    if current().counts_cycles:
        return show_hours(24 * days, form)
    number = show_number(days, form)
    return f"{number} {'day' if number == '1' else 'days'}"


def show_whole_days(days: float) -> str:
    """Return a duration as ``22 days``, with a decimal if it is short, or in cycles.

    Examples
    --------
    >>> show_whole_days(22.47)
    '22 days'
    >>> show_whole_days(1.75)
    '1.8 days'
    """
    return show_days(days, ".0f" if current().counts_cycles or days >= 3 else ".2g")


def show_age(hours: float) -> str:
    """Return how long ago something was, in hours or, from three days on, in days; or in cycles."""
    if current().counts_cycles or abs(hours) < 72:
        return show_hours(hours, ".3g")
    return f"{hours / 24:.0f} days"


def per_machine_time() -> str:
    """Return the denominator of rates: ``machine and month`` or ``machine and 1,000 cycles``."""
    return f"machine and {_RATE_CYCLES:,} cycles" if current().counts_cycles else "machine and month"


def in_rate_unit(per_month: float) -> float:
    """Return a monthly rate with the denominator of :func:`per_machine_time`."""
    units = current()
    return per_month * _RATE_CYCLES * units.cycle_hours / HOURS_PER_MONTH if units.counts_cycles else per_month


def name_sensor(sensor: str) -> str:
    """Return a sensor with its unit, if known: ``VIB_X [mm/s]``."""
    unit = current().sensors.get(sensor)
    return f"{sensor} [{unit}]" if unit else sensor


def show_reading(sensor: str, number: str) -> str:
    """Return a reading with the unit of its sensor, if known: ``4.2 mm/s``."""
    unit = current().sensors.get(sensor)
    return f"{number} {unit}" if unit else number


def show_alert(row: Mapping[str, Any], *, has_year: bool = True) -> str:
    """Return since when the alert of a row of the work list is on, and that it is off, if it is.

    Examples
    --------
    >>> show_alert({"since": "2015-12-31T18:00:00"})
    '2015-12-31 18:00'
    >>> ended = {"since": "2016-01-01T06:00:00", "probability": 0.21}
    >>> show_alert({"since": "2016-01-01T03:00:00", "ended": ended}, has_year=False)
    '01-01 03:00; off since 01-01 06:00, now 21%'
    """
    show_one = show_time if has_year else show_short_time
    text, ended = show_one(row["since"]), row.get("ended")
    if ended is None:
        return text
    since = f" since {show_one(ended['since'])}" if ended["since"] else ""
    return f"{text}; off{since}, now {show_probability(ended['probability'])}"


def show_hours_to_failure(row: Mapping[str, Any]) -> str:
    """Return when a failure is expected; an empty string without the columns of an older model, or if unknown.

    Examples
    --------
    >>> row = {"hours_to_failure_low": 20.4, "hours_to_failure_median": 33.0, "hours_to_failure_high": 60.2}
    >>> show_hours_to_failure(row)
    'in 20 to 60 h'
    >>> show_hours_to_failure({**row, "hours_to_failure_high": None})
    'in 20 h or more'
    """
    low, high = (row.get(f"hours_to_failure_{name}") for name in ("low", "high"))
    if low is None:
        return ""
    if high is None:
        return f"in {show_hours(_round_hours(low))} or more"
    return f"in {show_two_hours(_round_hours(low), _round_hours(high))}"


def _round_hours(hours: float) -> float:
    """Return hours that are shown as whole hours or cycles, or with one decimal below 10."""
    units = current()
    shown = units.in_time_unit(hours)
    return round(shown, 0 if shown >= 10 else 1) * (units.cycle_hours or 1)


def _number(value: float) -> str:
    """Return a number without an exponent, to three decimals at most."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
