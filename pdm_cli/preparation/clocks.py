"""Clocks that are wrong: daylight saving time, clocks set back or shifted against the others, steps that change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.preparation.overview import Overview
from pdm_cli.preparation.problems import Problem, name_machines, show_day
from pdm_cli.settings.duration import show_length
from pdm_cli.text import name_some, show_count
from pdm_cli.timestamps import US_PER_HOUR, microseconds, show
from pdm_cli.units import current, show_time

IntArray = NDArray[np.int64]

# Hours before and after a change to daylight saving time that must be alike, and their largest difference.
_NEIGHBOURS, _ALIKE = 2, 0.2
# In a log that has more empty hours, one at the change means nothing.
_MOST_EMPTY = 0.01
# A repeated hour has this number of times the rows of its neighbours.
_REPEATED = (1.7, 2.3)
# Most machines start and end at the same time; time zones differ by up to 14 hours from UTC.
_MOST, _LEAST_MACHINES, _LARGEST_ZONE = 0.6, 5, 14 * US_PER_HOUR
# Steps between rows differ by this factor, and each is that of this share of its buckets, within a tolerance.
_STEP_FACTOR, _STABLE_SHARE, _STABLE = 1.8, 0.8, 0.15
_LEAST_BUCKETS, _MOST_CHANGES = 3, 200


@dataclass(frozen=True)
class _Rule:
    """A time zone with daylight saving time: the hours that local time skips in spring and repeats in autumn."""

    zone: str
    # Month, week (-1 is the last one) of the Sunday, and hour.
    skipped: tuple[int, int, int]
    repeated: tuple[int, int, int]


_RULES = (
    _Rule("Europe/Berlin", (3, -1, 2), (10, -1, 2)),
    _Rule("Europe/London", (3, -1, 1), (10, -1, 1)),
    _Rule("Europe/Athens", (3, -1, 3), (10, -1, 3)),
    _Rule("America/New_York", (3, 2, 2), (11, 1, 1)),
    _Rule("Australia/Sydney", (10, 1, 2), (4, 1, 2)),
)


def check_clocks(overview: Overview, *, has_duplicates: bool = False) -> list[Problem]:
    """Return the problems of times that can be seen without the values; duplicate rows do not change the step."""
    changes = [] if has_duplicates else _find_step_changes(overview)
    return [*_find_local_time(overview), *_find_shifted(overview), *changes]


def describe_set_back(count: int, first: tuple[Any, int, int]) -> Problem:
    """Return the problem of rows that go back by at most about a day: machine, time and hours of the first."""
    machine, time, back = first
    text = (
        f"time goes back {show_count(count, 'time')}, first by {show_length(back)} to {show_time(time)} "
        f"(machine {machine})"
    )
    hint = "was a clock set back, or do files overlap? Export in UTC, each time once"
    facts = {"count": count, "first": machine, "at": show(time)}
    return Problem("time_goes_back", text, hint, facts=facts)


def _find_local_time(overview: Overview) -> list[Problem]:
    """Return whether the times are those of a zone with daylight saving time."""
    rows, first = overview.hour_rows, overview.first_hour
    if not len(rows) or not 0 < overview.step_us <= US_PER_HOUR or current().counts_cycles:
        return []
    if float(np.mean(rows == 0)) > _MOST_EMPTY:
        return []
    for rule in _RULES:
        skipped = _compare(rows, _hours(rule.skipped, first, len(rows)))
        repeated = _compare(rows, _hours(rule.repeated, first, len(rows)))
        if not skipped or any(share > 0 for _, share in skipped):
            continue
        days = [_show_day(first + hour) for hour, _ in skipped]
        twice = [hour for hour, share in repeated if _REPEATED[0] <= share <= _REPEATED[1]]
        start, end = rule.skipped[2], rule.skipped[2] + 1
        text = f"times are local: no row from {start:02}:00 to {end:02}:00 on {' and '.join(days[:3])}"
        if twice:
            text += f", and twice as many in the hour repeated on {_show_day(first + twice[0])}"
        hint = f"export in UTC, or set --timezone {rule.zone}"
        if ambiguous := [hour for hour in _hours(rule.repeated, first, len(rows)) if rows[hour]]:
            hint = _resolve_ambiguous(rule, [_show_day(first + hour) for hour in ambiguous])
        return [Problem("local_time", text, hint, facts={"zone": rule.zone, "days": days})]
    return []


def _resolve_ambiguous(rule: _Rule, days: list[str]) -> str:
    """Return the hint for a log with rows in the hours that local time repeats, which no time zone can convert."""
    start = rule.repeated[2]
    return (
        f"export in UTC or with UTC offsets; otherwise delete the rows from {start:02}:00 to {start + 1:02}:00 on "
        f"{name_some(days)}, which are ambiguous, and set --timezone {rule.zone}"
    )


def _show_day(hour: int) -> str:
    """Return the day of an hour since 1970."""
    return show(int(hour * US_PER_HOUR))[:10]


def _compare(rows: IntArray, hours: Sequence[int]) -> list[tuple[int, float]]:
    """Return hours whose neighbours have about the same number of rows, with their rows as a share of these."""
    found = []
    for hour in hours:
        near = [hour + away for away in range(-_NEIGHBOURS, _NEIGHBOURS + 1) if away]
        if near[0] < 0 or near[-1] >= len(rows):
            continue
        around = rows[near]
        usual = float(np.median(around))
        if usual > 0 and np.abs(around - usual).max() <= _ALIKE * usual:
            found.append((hour, float(rows[hour] / usual)))
    return found


def _hours(change: tuple[int, int, int], first_hour: int, count: int) -> list[int]:
    """Return the hours of a change in a span, as positions in it."""
    month, week, hour = change
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=int(first_hour))
    years = range(start.year, (start + timedelta(hours=count - 1)).year + 1)
    found = []
    for year in years:
        if week > 0:
            day = datetime(year, month, 1, tzinfo=UTC)
            day += timedelta(days=(6 - day.weekday()) % 7 + 7 * (week - 1))
        else:
            day = datetime(year, month, 31, tzinfo=UTC)
            day -= timedelta(days=(day.weekday() + 1) % 7)
        found.append(microseconds(day) // US_PER_HOUR + hour - int(first_hour))
    return [place for place in found if 0 <= place < count]


def _find_shifted(overview: Overview) -> list[Problem]:
    """Return the machines that start and end earlier or later than most others, by the same time."""
    total = len(overview.machines)
    if total < _LEAST_MACHINES or not overview.step_us:
        return []
    starts, ends = (_distances(times) for times in (overview.starts_us, overview.ends_us))
    if starts is None or ends is None:
        return []
    least = max(overview.step_us, US_PER_HOUR // 4)
    is_same = np.abs(starts - ends) <= overview.step_us // 2
    found = np.flatnonzero(is_same & (np.abs(starts) >= least))
    if not len(found):
        return []
    machines, shift = [overview.machines[at] for at in found], int(starts[found[0]])
    verb = " starts and ends" if len(machines) == 1 else ": start and end"
    text = (
        f"{name_machines(machines, total)}{verb} {show_length(abs(shift))} {'later' if shift > 0 else 'earlier'} than "
        "most others"
    )
    its, clock, verb = ("its", "clock", "is") if len(machines) == 1 else ("their", "clocks", "are")
    hint = f"correct {its} times if {its} {clock} {verb} wrong"
    if abs(shift) <= _LARGEST_ZONE:
        hint = f"{verb} {its} {clock} in another time zone? Convert {its} times before the import"
    facts = {"machines": len(machines), "first": machines[0], "hours": shift / US_PER_HOUR}
    return [Problem("shifted_clock", text, hint, facts=facts)]


def _distances(times: IntArray) -> IntArray | None:
    """Return the distances from the time that most have; None without such a time."""
    values, counts = np.unique(times, return_counts=True)
    usual = int(np.argmax(counts))
    return times - values[usual] if counts[usual] >= _MOST * len(times) else None


def _find_step_changes(overview: Overview) -> list[Problem]:
    """Return the machines that record at another step from one bucket on."""
    found: dict[tuple[int, int], list[tuple[Any, int]]] = {}
    for machine, bucket, before, after in _changes(overview):
        found.setdefault((before, after), []).append((overview.machines[machine], bucket))
    problems = []
    for (before, after), changes in sorted(found.items()):
        machines = [machine for machine, _ in changes]
        at = int(overview.edges_us[min(bucket for _, bucket in changes)])
        where = name_machines(machines, len(overview.machines))
        problems.append(
            Problem(
                "step_change",
                f"{where}: a row every {show_length(before)} until about {show_day(at)}, then every "
                f"{show_length(after)}",
                f"set --step-minutes {max(before, after) / 60e6:g}, or use only the rows of one step",
                facts={"machines": len(machines), "first": machines[0], "at": show(at)},
            )
        )
    return problems


def _changes(overview: Overview) -> Iterator[tuple[int, int, int, int]]:
    """Yield machine and bucket of each change, and the steps before and after in microseconds."""
    own = slice(0, overview.detailed)
    edges, rows = overview.edges_us, overview.bucket_rows[own]
    starts, ends = overview.starts_us[own, None], overview.ends_us[own, None]
    is_full = (starts <= edges[:-1]) & (ends >= edges[1:]) & (rows > 0)
    low = np.where(is_full, rows, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    high = np.where(is_full, rows, 0).max(axis=1, initial=0)
    checked = np.flatnonzero((is_full.sum(axis=1) >= 2 * _LEAST_BUCKETS) & (high >= _STEP_FACTOR * low))
    for machine in checked[:_MOST_CHANGES].tolist():
        buckets = np.flatnonzero(is_full[machine])
        found = _split(rows[machine, buckets])
        if found is not None:
            at, before, after = found
            yield machine, int(buckets[at]), *(_round_step(overview.width_us / rate) for rate in (before, after))


def _split(rates: IntArray) -> tuple[int, float, float] | None:
    """Return where rates change for good, and the usual ones before and after."""
    best, least = None, np.inf
    for at in range(_LEAST_BUCKETS, len(rates) - _LEAST_BUCKETS + 1):
        before, after = float(np.median(rates[:at])), float(np.median(rates[at:]))
        if not max(before, after) >= _STEP_FACTOR * min(before, after) > 0:
            continue
        apart = np.abs(np.concatenate([rates[:at] / before, rates[at:] / after]) - 1)
        is_stable = min(np.mean(apart[:at] <= _STABLE), np.mean(apart[at:] <= _STABLE)) >= _STABLE_SHARE
        if is_stable and apart.sum() < least:
            best, least = (at, before, after), float(apart.sum())
    return best


def _round_step(step_us: float) -> int:
    """Return a step rounded to about two digits."""
    units = (US_PER_HOUR, 60_000_000, 1_000_000, 1_000)
    unit = next((unit for unit in units if step_us >= 0.95 * unit), 1)
    return round(step_us / unit) * unit
