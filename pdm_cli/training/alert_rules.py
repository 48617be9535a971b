"""Choice of alert rules on held-out folds: on at a high probability, off at a low one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from pdm_cli.evaluation.alerts import AlertRule, FloatArray
from pdm_cli.evaluation.metrics import f1_threshold
from pdm_cli.settings.alert_rule import Threshold
from pdm_cli.settings.model import CostsParams
from pdm_cli.training.rule_outcomes import AlertTerms, HeldOut, RuleOutcomes, count_outcomes, resample_machines

# A rule may lose this much F1 compared with the best single threshold, for a lower cost.
_F1_SLACK = 0.01
# Candidate thresholds alert on this many rows, as multiples of the rows before a failure.
_LEVELS = np.geomspace(1 / 4, 8, 60)
Rank = Callable[..., FloatArray]
# Never alerts.
NEVER = AlertRule(2.0, 2.0)
_RESAMPLES = 200
# The break-even of the costs weighs as much as this many failures. On 6 machines of the reference set, 1 made cost
# rules 11 % cheaper on later data than no pull; on all 100, a difference cannot be seen.
_BREAK_EVEN_FAILURES = 1.0
# Costs and counts that differ by less are equal.
_TIE = 1e-9
# Log-odds are finite from here on.
_LEAST_PROBABILITY = 1e-6


def choose_rule(
    pieces: Sequence[HeldOut], failures: pd.DataFrame, threshold: Threshold, terms: AlertTerms
) -> AlertRule:
    """Choose the rule of one component on held-out folds.

    ``f1``: the single threshold with the best F1 of rows. ``recall``: the highest single threshold that reaches the
    recall of rows. The others compare pairs of thresholds by the cost of failures, repairs and false alarms:
    ``hysteresis`` those that lose at most .01 of that F1, which bounds how many rows are alerted late or for too long;
    ``cost`` all within the limit on alarms.

    Usually many pairs are equally good: a whole range of probabilities separates failures from quiet rows. The alert
    then turns on in the middle of the range, on the scale of log-odds, so that slightly lower peaks before the next
    failures are not missed. The middle is the median over resampled machines, pulled towards the break-even of the
    costs with the weight of one failure; among pairs that turn on there, the best one is chosen, ties by F1.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One per fold, with at least one label of 1 among them.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    threshold : Threshold
        Method of choice.
    terms : AlertTerms
        Terms of counting alerts; ``cost`` alone uses the limit on alarms.

    Raises
    ------
    ValueError
        If no held-out row with a probability lies before a failure.
    """
    known_labels, known = pool_known(pieces)
    if not np.any(known_labels == 1):
        raise ValueError("cannot choose an alert rule: no held-out row lies before a failure")
    if threshold.how == "recall":
        level = _recall_threshold(known[known_labels == 1], threshold.recall)
        return AlertRule(level, level)
    level = f1_threshold(known_labels, known)
    if threshold.how == "f1":
        return AlertRule(level, level)
    rules = list(_candidates(known, int((known_labels == 1).sum()), level))
    if threshold.how == "cost":
        rules.append(NEVER)
    outcomes = count_outcomes(pieces, failures, rules, terms)
    single = rules.index(AlertRule(level, level))
    if threshold.how == "cost":
        rank: Rank = partial(rank_by_cost, outcomes, costs=terms.costs)
    else:
        rank = partial(rank_by_cost_near_f1, outcomes, costs=terms.costs, single=single)
    return _Choice(rules, rank, outcomes, single).choose(Margins(pieces), terms.costs)


def rank_by_cost_near_f1(outcomes: RuleOutcomes, weights: FloatArray, costs: CostsParams, single: int) -> FloatArray:
    """Return the cost of rules with about the F1 of the single threshold, else infinity; (r, w).

    Parameters
    ----------
    outcomes : RuleOutcomes
        Of r rules.
    weights : (machines, w) array
        How often each machine counts.
    costs : CostsParams
        Cost of each event.
    single : int
        Position of the rule of the single threshold.
    """
    f1 = outcomes.f1(weights)
    return np.where(f1 >= f1[single] - _F1_SLACK, outcomes.cost(weights, costs), np.inf)


def rank_by_cost(outcomes: RuleOutcomes, weights: FloatArray, costs: CostsParams) -> FloatArray:
    """Return the cost of rules within the limit on alarms, else infinity; (r, w).

    Parameters
    ----------
    outcomes : RuleOutcomes
        Of r rules.
    weights : (machines, w) array
        How often each machine counts.
    costs : CostsParams
        Cost of each event, and the limit.
    """
    cost = outcomes.cost(weights, costs)
    if costs.max_alarms_per_machine_month is None:
        return cost
    limit = costs.max_alarms_per_machine_month * (outcomes.months @ weights)
    return np.where(outcomes.episodes @ weights <= limit + _TIE, cost, np.inf)


@dataclass(frozen=True)
class _Choice:
    """Rules to choose from, how they are ranked, and the position of the single threshold, which bounds the rank."""

    rules: Sequence[AlertRule]
    rank: Rank
    outcomes: RuleOutcomes
    single: int

    def choose(self, margins: Margins, costs: CostsParams) -> AlertRule:
        """Return the best rule that turns on in the middle of the range of those with the lowest rank.

        The middle may be a little worse on the folds than the best rule, but not worse than the single threshold.
        """
        on = np.array([log_odds(margins.widen(rule.on)) for rule in self.rules])
        middle = self._find_middle(on)
        if math.isinf(middle):
            return NEVER
        middle = _pull(middle, float(self.outcomes.failures.sum()), costs)
        everyone = np.ones((len(self.outcomes.failures), 1))
        overall, f1 = self.rank(weights=everyone)[:, 0], self.outcomes.f1(everyone)[:, 0]
        is_allowed = np.isfinite(overall) & (overall <= overall[self.single] + _TIE)
        distance = np.where(is_allowed, np.abs(on - middle), np.inf)
        chosen = self.rules[np.lexsort((-f1, overall, distance))[0]]
        return AlertRule(margins.widen(chosen.on), margins.widen(chosen.off))

    def _find_middle(self, on: FloatArray) -> float:
        """Return the median, over resampled machines, of the middles of the best rules' levels."""
        ranks = self.rank(weights=resample_machines(self.outcomes, _RESAMPLES))
        is_best = ranks <= ranks.min(axis=0) + _TIE
        return float(np.median([np.median(np.unique(on[own])) for own in is_best.T]))


def _pull(level: float, failures: float, costs: CostsParams) -> float:
    """Pull log-odds towards the probability at which an alert pays."""
    saved = costs.missed_failure - costs.planned_repair
    if saved <= 0:
        return level
    break_even = log_odds(costs.false_alarm / (costs.false_alarm + saved))
    return (failures * level + _BREAK_EVEN_FAILURES * break_even) / (failures + _BREAK_EVEN_FAILURES)


class Margins:
    """The gaps between the held-out probabilities, on the scale of log-odds."""

    def __init__(self, pieces: Sequence[HeldOut]) -> None:
        probabilities = np.concatenate([piece.probabilities for piece in pieces])
        self._observed = np.unique(probabilities[~np.isnan(probabilities)])

    def widen(self, level: float) -> float:
        """Return a threshold halfway down to the next lower probability, which alerts in the same rows."""
        place = int(np.searchsorted(self._observed, level))
        if not 0 < place < len(self._observed):
            return level
        lower = float(self._observed[place - 1])
        between = 1 / (1 + math.exp(-(log_odds(lower) + log_odds(level)) / 2))
        return between if lower < between <= level else level


def log_odds(probability: float) -> float:
    """Return the log-odds of a probability, within those of one in a million; infinite above 1."""
    if probability > 1:
        return math.inf
    probability = min(max(probability, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)
    return math.log(probability / (1 - probability))


def pool_known(pieces: Sequence[HeldOut]) -> tuple[FloatArray, FloatArray]:
    """Return labels and probabilities of all rows that have both."""
    labels = np.concatenate([piece.labels for piece in pieces])
    probabilities = np.concatenate([piece.probabilities for piece in pieces])
    is_known = ~np.isnan(labels) & ~np.isnan(probabilities)
    return labels[is_known], probabilities[is_known]


def _recall_threshold(positives: FloatArray, recall: float) -> float:
    # The tolerance keeps .95 of 20 rows at 19 despite rounding.
    count = max(1, math.ceil(recall * len(positives) - 1e-9))
    return float(np.sort(positives)[-count])


def _candidates(probabilities: FloatArray, positives: int, level: float) -> Iterator[AlertRule]:
    """Yield pairs of held-out quantiles, spaced by the number of rows above them."""
    rows = np.clip(np.round(positives * _LEVELS).astype(np.int64), 1, len(probabilities))
    levels = np.unique([*np.sort(probabilities)[-rows], level])[::-1].tolist()
    for position, on in enumerate(levels):
        yield from (AlertRule(on, off) for off in levels[position:])
