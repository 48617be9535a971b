"""Curves of failures caught against false alarms, and the alert rules within a budget of false alarms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pdm_cli.evaluation.alerts import AlertRule

# Rates that differ by less are equal.
_TIE = 1e-9


@dataclass(frozen=True)
class AlarmPoint:
    """An alert rule, and its false alarms and caught failures."""

    on: float
    off: float
    false_alarms: int
    caught: int

    @property
    def rule(self) -> AlertRule:
        """The rule."""
        return AlertRule(self.on, self.off)


@dataclass(frozen=True)
class AlarmCurve:
    """Alert rules of one component, from few false alarms to many, as counted on held-out folds.

    Raises ValueError unless false alarms increase, caught failures do not decrease, and all parts match.

    Attributes
    ----------
    months : float
        Machine-months in which false alarms are counted.
    failures : int
        Failures that could be caught.
    chosen : int
        Position of the rule in use.
    points : list of AlarmPoint
        The rules, one or more.
    """

    months: float
    failures: int
    chosen: int
    points: list[AlarmPoint]

    def __post_init__(self) -> None:
        if not 0 <= self.chosen < len(self.points):
            raise ValueError(f"curve of alarms: no point {self.chosen}")
        if not self.months >= 0:
            raise ValueError(f"curve of alarms: {self.months} months")
        for before, after in itertools.pairwise(self.points):
            if after.false_alarms <= before.false_alarms or after.caught < before.caught:
                raise ValueError("curve of alarms: not increasing")
        first, last = self.points[0], self.points[-1]
        if first.false_alarms < 0 or first.caught < 0 or last.caught > self.failures:
            raise ValueError("curve of alarms: impossible counts")

    @property
    def current(self) -> AlarmPoint:
        """The rule in use."""
        return self.points[self.chosen]

    def rate(self, position: int) -> float:
        """Return the false alarms per machine-month of a point; infinite if no month was evaluated."""
        count = self.points[position].false_alarms
        if not count:
            return 0.0
        return count / self.months if self.months else math.inf


def expected_rate(curves: Sequence[AlarmCurve], positions: Sequence[int] | None = None) -> float:
    """Return the false alarms per machine-month of all components together, by default of the rules in use."""
    if positions is None:
        positions = [curve.chosen for curve in curves]
    return sum(curve.rate(position) for curve, position in zip(curves, positions, strict=True))


def fit_budget(curves: Sequence[AlarmCurve], budget: float) -> list[int]:
    """Return the position on each curve such that all components together stay within a budget of false alarms.

    The rules in use are moved one point at a time. If they exceed the budget, the component that loses the fewest
    failures per false alarm avoided moves first, until they fit. Otherwise it is the one that gains the most failures
    per false alarm added, until the next move would exceed the budget. So the budget of the rules in use leaves them as
    they are, and with a larger budget no rule alerts later. All failures count alike, as they cost the same.

    Parameters
    ----------
    curves : sequence of AlarmCurve
        One per component; each starts with a rule without false alarms.
    budget : float
        Maximum false alarms per machine-month, 0 or more.
    """
    places, limit = [curve.chosen for curve in curves], budget + _TIE
    if expected_rate(curves, places) > limit:
        return _lower(curves, places, limit)
    return _raise(curves, places, limit)


def _lower(curves: Sequence[AlarmCurve], places: list[int], limit: float) -> list[int]:
    losses = [_losses(curve) for curve in curves]
    while expected_rate(curves, places) > limit:
        movable = [column for column, place in enumerate(places) if place > 0]
        if not movable:
            return places
        places[min(movable, key=lambda column: losses[column][places[column]])] -= 1
    return places


def _raise(curves: Sequence[AlarmCurve], places: list[int], limit: float) -> list[int]:
    gains = [_gains(curve) for curve in curves]
    while True:
        movable = [column for column, place in enumerate(places) if gains[column][place] > 0]
        if not movable:
            return places
        column = max(movable, key=lambda column: gains[column][places[column]])
        further = [place + (number == column) for number, place in enumerate(places)]
        if expected_rate(curves, further) > limit:
            return places
        places = further


def _gains(curve: AlarmCurve) -> list[float]:
    """Return the most failures gained per false alarm added, from each point to any later one; 0 if none is."""
    points = curve.points
    return [
        max((_slope(here, later) for later in points[position + 1 :]), default=0.0)
        for position, here in enumerate(points)
    ]


def _losses(curve: AlarmCurve) -> list[float]:
    """Return the fewest failures lost per false alarm avoided, from each point to any earlier one."""
    points = curve.points
    return [
        min((_slope(earlier, here) for earlier in points[:position]), default=math.inf)
        for position, here in enumerate(points)
    ]


def _slope(before: AlarmPoint, after: AlarmPoint) -> float:
    return (after.caught - before.caught) / (after.false_alarms - before.false_alarms)
