"""Curves of failures caught against false alarms, counted on held-out folds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from pdm_cli.evaluation.alarm_budget import AlarmCurve, AlarmPoint
from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.training.alert_rules import NEVER, Margins, log_odds, pool_known
from pdm_cli.training.rule_outcomes import AlertTerms, HeldOut, count_outcomes

# Rules alert on this many rows, as multiples of the rows before a failure.
_LEVELS = np.geomspace(1 / 64, 8, 75)
_MOST_POINTS = 50


def trace_curve(
    pieces: Sequence[HeldOut], failures: pd.DataFrame, rule: AlertRule, terms: AlertTerms, *, is_silent: bool = False
) -> AlarmCurve:
    """Return the curve of a component: the chosen rule, and those that alert earlier or later.

    Both thresholds are moved by the same log-odds. Of rules with the same counts, the middle one is kept; others that
    do not catch more failures with more false alarms are left out, and so are those with fewer false alarms and more
    failures caught than the chosen rule, which has other merits.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One per fold.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    rule : AlertRule
        The chosen rule.
    terms : AlertTerms
        Terms of counting alerts.
    is_silent : bool
        Whether the component must not alert: no other rule is tried.
    """
    rules = [rule] if is_silent else [rule, NEVER, *_shift(rule, pieces)]
    outcomes = count_outcomes(pieces, failures, rules, terms)
    counts = zip(rules, outcomes.false_alarms.sum(axis=1), outcomes.caught.sum(axis=1), strict=True)
    points = [AlarmPoint(each.on, each.off, int(false), int(caught)) for each, false, caught in counts]
    kept = _thin(_select(points[0], points[1:]), points[0])
    return AlarmCurve(float(outcomes.alarm_months.sum()), int(outcomes.failures.sum()), kept.index(points[0]), kept)


def silent_curve() -> AlarmCurve:
    """Return the curve of a component that was not learned."""
    return AlarmCurve(0.0, 0, 0, [AlarmPoint(NEVER.on, NEVER.off, 0, 0)])


def _shift(rule: AlertRule, pieces: Sequence[HeldOut]) -> Iterator[AlertRule]:
    """Yield rules that turn on at other probabilities, and off as far below them, in log-odds, as the given one."""
    labels, probabilities = pool_known(pieces)
    rows = np.clip(np.round((labels == 1).sum() * _LEVELS).astype(np.int64), 1, len(probabilities))
    margins, below = Margins(pieces), 0.0 if rule == NEVER else log_odds(rule.on) - log_odds(rule.off)
    for level in np.unique(np.sort(probabilities)[-rows]).tolist():
        on = margins.widen(level)
        yield AlertRule(on, min(on, 1 / (1 + math.exp(below - log_odds(on)))) if below else on)


def _select(chosen: AlarmPoint, others: Sequence[AlarmPoint]) -> list[AlarmPoint]:
    """Return the chosen point and those of others that make a curve with it."""
    return [
        *_best(point for point in others if point.false_alarms < chosen.false_alarms and point.caught <= chosen.caught),
        chosen,
        *_best(point for point in others if point.false_alarms > chosen.false_alarms and point.caught > chosen.caught),
    ]


def _best(points: Iterable[AlarmPoint]) -> list[AlarmPoint]:
    """Return the points that catch more than any with fewer false alarms; of those with the same counts, the middle."""
    alike: dict[tuple[int, int], list[AlarmPoint]] = {}
    for point in sorted(points, key=lambda point: (point.false_alarms, -point.caught, point.on)):
        alike.setdefault((point.false_alarms, point.caught), []).append(point)
    best: list[AlarmPoint] = []
    for group in alike.values():
        if not best or group[0].caught > best[-1].caught:
            best.append(group[len(group) // 2])
    return best


def _thin(points: list[AlarmPoint], chosen: AlarmPoint) -> list[AlarmPoint]:
    """Return at most as many points as a curve needs, among them the first, the chosen and the last."""
    if len(points) <= _MOST_POINTS:
        return points
    kept = np.linspace(0, len(points) - 1, _MOST_POINTS - 1).round().astype(int).tolist()
    return [points[position] for position in sorted({*kept, points.index(chosen)})]
