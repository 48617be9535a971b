"""Times that cannot be right: before 1990, or far after the rest of the log ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.settings.cycles import convert_time
from pdm_cli.settings.time_range import parse_time_range
from pdm_cli.timestamps import microseconds
from pdm_cli.units import current, show_time

DAY_US = 86_400_000_000
YEAR_US = 365 * DAY_US
_FIRST_TIME = microseconds(datetime(1990, 1, 1))
# A few readings of one machine: up to this number, and this share of all readings.
_FEW, _FEW_SHARE = 5, 0.05
# After a gap of more than a year, this share of all readings is few, of whatever machines.
_FEW_SHARE_YEARS_LATER = 0.001
# A shorter gap may be that of a log with a reading per day or week.
_LEAST_STEPS = 10
# One of this number of machines may have a wrong clock; of two, neither is known to be right.
_LEAST_MACHINES = 3

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TimeRange:
    """The first and last time of the rows to use, in microseconds since 1970; ``None`` without a bound."""

    first: int | None = None
    last: int | None = None

    def describe(self) -> str:
        """Return ``outside 1990-01-01 00:00 to 2015-06-01 06:00``, or ``before`` or ``after`` a single end."""
        ends = [show_time(end) for end in (self.first, self.last) if end is not None]
        if len(ends) == 1:
            return f"before {ends[0]}" if self.last is None else f"after {ends[0]}"
        return f"outside {' to '.join(ends)}"

    def covers(self, times: IntArray) -> NDArray[np.bool_]:
        """Return which times are in the range, whose ends belong to it."""
        is_inside = np.ones(len(times), np.bool_)
        if self.first is not None:
            is_inside &= times >= self.first
        if self.last is not None:
            is_inside &= times <= self.last
        return is_inside


@dataclass
class _Day:
    """The rows of a day: first and last time, number, and the machine if it is only one."""

    first: int
    last: int
    rows: int
    machine: Any
    is_single: bool


class TimeSurvey:
    """The days on which a log has rows; bounded by their number, not by the time between them."""

    def __init__(self) -> None:
        self._days: dict[int, _Day] = {}
        self._machines: set[Any] = set()

    def copy(self) -> TimeSurvey:
        """Return a copy that further rows may be added to."""
        other = TimeSurvey()
        other._days = {day: _Day(**vars(found)) for day, found in self._days.items()}
        other._machines = set(self._machines)
        return other

    def add(self, names: list[Any], codes: NDArray[np.signedinteger], times: IntArray) -> None:
        """Add rows: their times, and the position of each row's machine in ``names``."""
        if not len(times):
            return
        self._machines.update(names)
        days = times // DAY_US
        if np.any(np.diff(days) < 0):
            order = np.argsort(days, kind="stable")
            days, codes, times = days[order], codes[order], times[order]
        starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        rows = np.diff(starts, append=len(days))
        spans = (np.minimum.reduceat(times, starts), np.maximum.reduceat(times, starts))
        machines = (np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts))
        columns = (days[starts], *spans, rows, *machines)
        for day, first, last, count, low, high in zip(*(column.tolist() for column in columns), strict=True):
            self._add_day(day, _Day(first, last, count, names[low], low == high))

    def add_day(self, number: int, first: int, last: int, *, rows: int, machine: Any, is_single: bool) -> None:
        """Add the rows of a day, counted since 1970, which are all of a machine if it is a single one."""
        self._machines.add(machine)
        self._add_day(number, _Day(first, last, rows, machine, is_single))

    def _add_day(self, number: int, new: _Day) -> None:
        day = self._days.get(number)
        if day is None:
            self._days[number] = new
            return
        day.first, day.last = min(day.first, new.first), max(day.last, new.last)
        day.rows += new.rows
        day.is_single &= new.is_single and new.machine == day.machine

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last time."""
        return min(day.first for day in self._days.values()), max(day.last for day in self._days.values())

    def is_within(self, allowed: TimeRange) -> bool:
        """Return whether all rows are in a range."""
        ends = np.array([end for day in self._days.values() for end in (day.first, day.last)], np.int64)
        return bool(allowed.covers(ends).all())

    def find_range(self, given: str = "", least_gap_us: int = DAY_US) -> TimeRange:
        """Return the range given by the user, or else that of the times that can be right.

        By default, rows before 1990 are outside, unless at least half of the log is. So are the last rows after a gap
        of more than ``least_gap_us``, ten usual steps and twice any gap before it: a few rows of one machine; or after
        more than a year, those of one machine of many, or a small share of all.
        """
        if given:
            ends = [end and convert_time(end, current(), "--time-range") for end in parse_time_range(given)]
            first, last = (None if end is None else microseconds(end) for end in ends)
            return TimeRange(first, last)
        days = [self._days[number] for number in sorted(self._days)]
        total = sum(day.rows for day in days)
        early = sum(day.rows for day in days if day.last < _FIRST_TIME)
        lower = _FIRST_TIME if early < total / 2 else None
        days = [day for day in days if lower is None or day.last >= lower]
        end = self._find_end(days, least_gap_us)
        # A day of margin: only times further away cannot be right.
        return TimeRange(lower, None if end is None else end + DAY_US)

    def _find_end(self, days: list[_Day], least_gap_us: int) -> int | None:
        """Return the last time before the stray rows at the end; ``None`` if there are none."""
        total = sum(day.rows for day in days)
        gaps = [after.first - before.last for before, after in pairwise(days)]
        usual = float(np.median(gaps)) if gaps else 0.0
        longest = np.maximum.accumulate([max(least_gap_us, _LEAST_STEPS * usual) / 2, *gaps])
        end, rows, machine, is_single = None, 0, days[-1].machine if days else None, True
        for at in range(len(gaps) - 1, -1, -1):
            tail = days[at + 1]
            rows += tail.rows
            is_single &= tail.is_single and tail.machine == machine
            if gaps[at] > 2 * longest[at] and self._is_stray(rows, total, gaps[at], is_single=is_single):
                end = days[at].last
        return end

    def _is_stray(self, rows: int, total: int, gap: int, *, is_single: bool) -> bool:
        is_few = rows <= min(_FEW, _FEW_SHARE * total)
        if is_single and is_few:
            return True
        is_one_of_many = is_single and len(self._machines) >= _LEAST_MACHINES and rows < total / 2
        return gap > YEAR_US and (is_one_of_many or is_few or rows <= _FEW_SHARE_YEARS_LATER * total)
