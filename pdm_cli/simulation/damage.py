"""Damage of simulated components: its beginning, its end, and its course in the sensors.

Times are hours from the start of the telemetry. Random numbers are drawn in order of time, so that longer telemetry
begins with the shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pdm_cli.simulation.operation import HOURS_PER_DAY, HOURS_PER_YEAR, FloatArray, draw_renewals
from pdm_cli.simulation.profiles import FailureMode

REPAIR_HOURS = (4, 30)
"""Shortest and longest standstill after a failure, at whose end the component is replaced."""
ANNOUNCED_HOURS = (4, 30)
"""Shortest and longest time between a component's own error and its failure."""
DECOYS_PER_YEAR = 0.6
"""Signs without a failure, per component and year."""
DECOY_DAYS = (4.0, 18.0)
DECOY_SIZE = (0.4, 0.8)
"""Smallest and largest share of the damage's own effects."""
LEAST_EFFECT = 0.4
"""Share of the effect that remains without load."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A span of damage, or of a decoy.

    ``until`` is the last affected hour. ``due`` is the hour at which the damage would be complete, the same unless it
    is stopped before. ``size`` is a share of the mode's effects, and ``bend`` the power of its growth.
    """

    first: int
    until: int
    due: int
    size: float
    bend: float
    fails: bool


@dataclass(frozen=True, slots=True)
class History:
    """Damage of a component, its replacements, standstills (first hour, end) and own errors."""

    damage: tuple[Damage, ...]
    replaced: tuple[int, ...]
    standstills: tuple[tuple[int, int], ...]
    errors: tuple[int, ...]


class Clock:
    """Time as a component counts it: hours, or hours at full load."""

    def __init__(self, load: FloatArray, first_hour: int, *, by_load: bool) -> None:
        self._first = first_hour
        self._worked = np.cumsum(load) if by_load else None

    def after(self, hour: float, amount: float) -> float:
        """Return the hour at which ``amount`` hours have been counted since ``hour``, or the end of the operation."""
        if self._worked is None:
            return hour + amount
        index = int(np.searchsorted(self._worked, self._worked[int(hour) - self._first] + amount))
        return float(index + self._first)


def draw_history(
    mode: FailureMode, rng: np.random.Generator, *, clock: Clock, visits: NDArray[np.int64], frailty: float, until: int
) -> History:
    """Draw the history of one component up to the hour ``until``.

    Parameters
    ----------
    mode : FailureMode
        How the component fails.
    rng : Generator
        Source of the lives.
    clock : Clock
        Counts the age of the component.
    visits : int array
        Hours of its planned replacements; the first is the beginning of the history.
    frailty : float
        Divides the time before the damage.
    until : int
        Last hour at which damage may begin.
    """
    life_rng, decoy_rng = rng.spawn(2)
    damage: list[Damage] = []
    replaced, standstills, errors = [int(visits[0])], [], []
    for life in _draw_lives(mode, life_rng, clock=clock, visits=visits, frailty=frailty, until=until):
        damage += [life.damage] if life.damage is not None else []
        replaced.append(life.replaced)
        if life.damage is not None and life.damage.fails:
            standstills.append((life.damage.until + 1, life.replaced))
            errors += [life.damage.until - life.announced] if life.announced else []
    decoys = _draw_decoys(mode, decoy_rng, first=int(visits[0]), until=until)
    return History((*damage, *decoys), tuple(replaced), tuple(standstills), tuple(errors))


@dataclass(frozen=True, slots=True)
class _Life:
    """One component from its installation to its replacement; ``announced`` is 0 or the hours of warning."""

    damage: Damage | None
    replaced: int
    announced: int


def _draw_lives(
    mode: FailureMode, rng: np.random.Generator, *, clock: Clock, visits: NDArray[np.int64], frailty: float, until: int
) -> Iterator[_Life]:
    """Yield the lives of a component one after the other, as long as damage begins by ``until``."""
    installed = int(visits[0])
    while True:
        # The same number of draws for each life, whatever happens in it.
        sound = HOURS_PER_DAY * mode.sound_days / frailty * rng.weibull(mode.shape)
        span = HOURS_PER_DAY * rng.uniform(*mode.damage_days)
        bend, is_announced = rng.uniform(1.0, 2.5), rng.random() < mode.announced_share
        announced, standstill = int(rng.integers(*ANNOUNCED_HOURS)), int(rng.integers(*REPAIR_HOURS))
        first = ceil(clock.after(installed, sound))
        visit = next((int(hour) for hour in visits if hour > installed), None)
        if visit is not None and visit <= min(first, until):
            yield _Life(None, visit, 0)
            installed = visit
            continue
        if first > until:
            return
        due = ceil(clock.after(first, span))
        if visit is not None and visit <= due:
            yield _Life(Damage(first, visit - 1, due, 1.0, bend, fails=False), visit, 0)
            installed = visit
            continue
        installed = due + standstill
        yield _Life(Damage(first, due, due, 1.0, bend, fails=True), installed, announced if is_announced else 0)


def _draw_decoys(mode: FailureMode, rng: np.random.Generator, *, first: int, until: int) -> Iterator[Damage]:
    """Yield signs of the mode that come and go without a failure."""
    if not mode.effects:
        return
    time_rng, size_rng = rng.spawn(2)
    mean = HOURS_PER_YEAR / DECOYS_PER_YEAR
    for time in draw_renewals(time_rng, mean, shape=1.0, first=first, until=until):
        span, size = HOURS_PER_DAY * size_rng.uniform(*DECOY_DAYS), size_rng.uniform(*DECOY_SIZE)
        begins = ceil(time)
        yield Damage(begins, ceil(begins + span), ceil(begins + span), size, size_rng.uniform(1.0, 2.5), fails=False)


def trace_damage(mode: FailureMode, damage: tuple[Damage, ...], rng: np.random.Generator, *, hours: int) -> FloatArray:
    """Return the course of the damage, 0 without any and about 1 at a failure; shape (hours,)."""
    course = np.zeros(hours)
    chance, height = rng.random((hours, 2)).T
    for one in damage:
        at = np.arange(max(one.first, 0), min(one.until + 1, hours))
        share = (at - one.first + 1) / (one.due - one.first + 1)
        if mode.sign == "ramp":
            course[at] += one.size * share**one.bend
        elif mode.sign == "step":
            course[at] += one.size
        elif mode.sign == "spikes":
            is_spike = chance[at] < 0.02 + 0.12 * share
            course[at] += one.size * is_spike * (0.5 + 0.5 * share) * (0.6 + 0.8 * height[at])
    return course
