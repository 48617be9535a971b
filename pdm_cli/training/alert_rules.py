"""Choice of alert rules on held-out folds: on at a high probability, off at a low one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pdm_cli.evaluation.alerts import (
    LONGEST_HORIZONS,
    RESET_HOURS,
    AlertRule,
    BoolArray,
    FloatArray,
    find_resets,
    switch_from_reset,
)
from pdm_cli.evaluation.costs import alert_cost
from pdm_cli.evaluation.events import LONG_WARNING_HOURS, EventEvaluator, EventOutcome
from pdm_cli.evaluation.exposure import Exposure, machine_months, measure_exposure
from pdm_cli.evaluation.metrics import f1_threshold
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import TIME
from pdm_cli.settings.alert_rule import Threshold
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.training.splits import Split

# A rule may lose this much F1 compared with the best single threshold, for fewer false alarms.
_F1_SLACK = 0.01
# Candidate thresholds alert on this many rows, as multiples of the rows before a failure.
_LEVELS = np.geomspace(1 / 4, 8, 60)
# Never alerts.
NEVER = AlertRule(2.0, 2.0)


@dataclass(frozen=True)
class HeldOut:
    """Held-out predictions of one fold for one component.

    Attributes
    ----------
    rows : Instants
        The m rows of the fold's test span, labelled or not, sorted by machine, then time.
    labels : (m,) array
        0, 1, or NaN where unknown within the fold.
    probabilities : (m,) array
        In [0, 1], or NaN.
    split : Split
        The fold; failures after its ``label_end`` are ignored.
    known : FollowUp
        Until when the outcome of each machine is known, in the order of ``rows.machines``.
    """

    rows: Instants
    labels: FloatArray
    probabilities: FloatArray
    split: Split
    known: FollowUp


def choose_rule(
    pieces: Sequence[HeldOut],
    failures: pd.DataFrame,
    threshold: Threshold,
    *,
    labels: LabelsParams,
    costs: CostsParams,
    merge_hours: float,
    reset_hours: float = RESET_HOURS,
) -> AlertRule:
    """Choose the rule of one component on held-out folds.

    ``f1``: the single threshold with the best F1 of rows. ``recall``: the highest single threshold that reaches the
    recall of rows. ``hysteresis``: the rule with the fewest false alarms among those that lose at most .01 of that F1,
    and neither a caught failure nor one caught a day ahead, compared with the ``f1`` threshold. ``cost``: the rule with
    the lowest cost of failures, repairs and false alarms, within the limit on alarms. Ties are broken by F1.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One per fold, with at least one label of 1 among them.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    threshold : Threshold
        Method of choice.
    labels : LabelsParams
        Lead time and horizon.
    costs : CostsParams
        Used by ``cost`` only.
    merge_hours : float
        See :func:`pdm_cli.evaluation.events.find_episodes`.
    reset_hours : float
        See :func:`pdm_cli.evaluation.alerts.switch_alerts`.

    Raises
    ------
    ValueError
        If no held-out row with a probability lies before a failure.
    """
    known_labels, known = _pool(pieces)
    if not np.any(known_labels == 1):
        raise ValueError("cannot choose an alert rule: no held-out row lies before a failure")
    if threshold.how == "recall":
        level = _recall_threshold(known[known_labels == 1], threshold.recall)
        return AlertRule(level, level)
    level = f1_threshold(known_labels, known)
    single = AlertRule(level, level)
    if threshold.how == "f1":
        return single
    rules = list(_candidates(known, int((known_labels == 1).sum()), level))
    lowest = min(rule.off for rule in rules)
    folds = _Folds(
        [
            _Fold(piece, failures, lowest, labels=labels, merge_hours=merge_hours, reset_hours=reset_hours)
            for piece in pieces
        ]
    )
    if threshold.how == "hysteresis":
        return _fewest_false_alarms(folds, rules, single)
    return _lowest_cost(folds, rules, costs, sum(float(machine_months(piece.rows).sum()) for piece in pieces))


def _pool(pieces: Sequence[HeldOut]) -> tuple[FloatArray, FloatArray]:
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


class _Fold:
    """One fold to evaluate rules on, none of which turns off below ``lowest``.

    All of them are off where the probability is below ``lowest``, which is almost everywhere: only the first row of
    each such run is kept.
    """

    def __init__(
        self,
        piece: HeldOut,
        failures: pd.DataFrame,
        lowest: float,
        *,
        labels: LabelsParams,
        merge_hours: float,
        reset_hours: float,
    ) -> None:
        rows = piece.rows
        is_off = piece.probabilities < lowest
        is_kept = ~is_off
        is_kept[:1] = True
        is_kept[1:] |= ~is_off[:-1]
        kept = Instants(rows.machines, rows.codes[is_kept], rows.times[is_kept])
        self._probabilities = piece.probabilities[is_kept]
        self._resets = find_resets(piece.probabilities, rows.codes, rows.times, reset_hours)[is_kept]
        self._failed, self._labelled = piece.labels[is_kept] == 1, ~np.isnan(piece.labels[is_kept])
        self.positives = int((piece.labels == 1).sum())
        start_us = np.maximum(rows.starts(), piece.split.test_start)
        log_end_us = piece.split.label_end
        known = piece.known.cut(log_end_us)
        self.exposure = measure_exposure(rows, start_us=start_us, known=known, log_end_us=log_end_us, labels=labels)
        self.evaluate = EventEvaluator(
            kept,
            failures[to_microseconds(failures[TIME]) <= log_end_us],
            start_us=start_us,
            known=known,
            labels=labels,
            merge_hours=merge_hours,
            longest_hours=LONGEST_HORIZONS * labels.horizon_hours,
        ).evaluate

    def switch(self, rule: AlertRule) -> BoolArray:
        """Return the alerts of the kept rows."""
        return switch_from_reset(self._probabilities, self._resets, rule)

    def count(self, is_alert: BoolArray) -> tuple[int, int]:
        """Return the number of labelled rows with an alert, and of those before a failure."""
        return int(np.count_nonzero(is_alert & self._labelled)), int(np.count_nonzero(is_alert & self._failed))


class _Folds:
    """All folds together."""

    def __init__(self, folds: list[_Fold]) -> None:
        self._folds = folds
        self._positives = sum(fold.positives for fold in folds)
        self.exposure = Exposure.concatenate([fold.exposure for fold in folds])

    def switch(self, rule: AlertRule) -> list[BoolArray]:
        """Return the alerts of each fold."""
        return [fold.switch(rule) for fold in self._folds]

    def f1(self, alerts: list[BoolArray]) -> float:
        """Return the F1 of the labelled rows."""
        counts = [fold.count(is_alert) for fold, is_alert in zip(self._folds, alerts, strict=True)]
        hits = sum(hits for _, hits in counts)
        return 2 * hits / (sum(alerted for alerted, _ in counts) + self._positives)

    def evaluate(self, alerts: list[BoolArray]) -> list[EventOutcome]:
        """Return the outcome of the failures and alerts of each fold."""
        return [fold.evaluate(is_alert) for fold, is_alert in zip(self._folds, alerts, strict=True)]


def _fewest_false_alarms(folds: _Folds, rules: list[AlertRule], single: AlertRule) -> AlertRule:
    """Return the rule with the fewest false alarms among those about as good as the single threshold."""
    alerts = folds.switch(single)
    min_f1, min_caught = folds.f1(alerts) - _F1_SLACK, _count_warned(folds.evaluate(alerts))

    def rank(rule: AlertRule) -> tuple[float, ...] | None:
        alerts = folds.switch(rule)
        f1 = folds.f1(alerts)
        if f1 < min_f1:
            return None
        outcomes = folds.evaluate(alerts)
        if any(n < least for n, least in zip(_count_warned(outcomes), min_caught, strict=True)):
            return None
        return sum(outcome.false_alarms for outcome in outcomes), -f1

    return _best(rules, rank)


def _lowest_cost(folds: _Folds, rules: list[AlertRule], costs: CostsParams, months: float) -> AlertRule:
    """Return the rule with the lowest cost within the limit on alarms; never alerting is a candidate."""
    limit = math.inf if costs.max_alarms_per_machine_month is None else costs.max_alarms_per_machine_month * months

    def rank(rule: AlertRule) -> tuple[float, ...] | None:
        alerts = folds.switch(rule)
        outcomes = folds.evaluate(alerts)
        if sum(len(outcome.episode_codes) for outcome in outcomes) > limit:
            return None
        # Folds too short to evaluate a false alarm have no cost: F1 alone decides.
        return alert_cost(outcomes, costs=costs, exposure=folds.exposure) or 0.0, -folds.f1(alerts)

    return _best([*rules, NEVER], rank)


def _best(rules: list[AlertRule], rank: Callable[[AlertRule], tuple[float, ...] | None]) -> AlertRule:
    """Return the first rule with the lowest rank; ``None`` excludes a rule, but never all."""
    ranks = {rule: place for rule in rules if (place := rank(rule)) is not None}
    return min(ranks, key=ranks.__getitem__)


def _count_warned(outcomes: list[EventOutcome]) -> tuple[int, int]:
    """Return the number of failures caught, and of those with a long warning."""
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    return int((~np.isnan(warning)).sum()), int((warning >= LONG_WARNING_HOURS).sum())
