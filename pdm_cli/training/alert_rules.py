"""When to alert: on at a high probability, off at a low one, chosen on held-out folds."""

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
    _fresh_rows,
    _switch,
)
from pdm_cli.evaluation.costs import alert_cost
from pdm_cli.evaluation.exposure import Exposure, machine_months, measure_exposure
from pdm_cli.evaluation.metrics import LONG_WARNING_HOURS, EventJudge, EventOutcome, f1_threshold
from pdm_cli.features.events import Instants
from pdm_cli.schema import TIME
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.training.splits import Split
from pdm_cli.training.threshold_spec import Threshold

# A rule may lose this much F1 against the best single threshold, for fewer false alarms.
_F1_SLACK = 0.01
# Thresholds tried let this many rows through, as multiples of the rows before a failure.
_LEVELS = np.geomspace(1 / 4, 8, 60)


NEVER = AlertRule(2.0, 2.0)


@dataclass(frozen=True)
class HeldOut:
    """What the model of one fold says of one component on rows that it has not seen.

    Attributes
    ----------
    rows : Instants
        The m rows of the fold's test span, labelled or not, sorted by machine, then time.
    labels : (m,) array
        0, 1, or NaN where unknown within the fold.
    probabilities : (m,) array
        In [0, 1]; NaN where there is none.
    split : Split
        The fold; failures after its ``label_end`` are not looked at.
    """

    rows: Instants
    labels: FloatArray
    probabilities: FloatArray
    split: Split


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
    recall of rows. ``hysteresis``: of the rules that lose at most .01 of that F1, and no failure warned of at all or a
    day ahead, against the ``f1`` threshold, the one with the fewest false alarms. ``cost``: the rule whose failures,
    repairs and false alarms cost least, within the limit on alarms. Of equal rules the one with the better F1 wins.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One a fold, with at least one label of 1 among them.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    threshold : Threshold
        How to choose.
    labels : LabelsParams
        Lead time and horizon.
    costs : CostsParams
        Looked at by ``cost`` alone.
    merge_hours : float
        See :func:`pdm_cli.evaluation.metrics.find_episodes`.
    reset_hours : float
        See :func:`switch_alerts`.

    Raises
    ------
    ValueError
        If no held-out row with a probability lies before a failure.
    """
    known_labels, known = _pool(pieces)
    if not np.any(known_labels == 1):
        raise ValueError("no held-out row lies before a failure, so there is nothing to choose the alert rule on")
    if threshold.how == "recall":
        level = _recall_threshold(known[known_labels == 1], threshold.recall)
        return AlertRule(level, level)
    level = f1_threshold(known_labels, known)
    single = AlertRule(level, level)
    if threshold.how == "f1":
        return single
    rules = list(_candidates(known, int((known_labels == 1).sum()), level))
    lowest = min(rule.off for rule in rules)
    trials = _Trials(
        [
            _Trial(piece, failures, lowest, labels=labels, merge_hours=merge_hours, reset_hours=reset_hours)
            for piece in pieces
        ]
    )
    if threshold.how == "hysteresis":
        return _calmest(trials, rules, single)
    return _cheapest(trials, rules, costs, sum(float(machine_months(piece.rows).sum()) for piece in pieces))


def _pool(pieces: Sequence[HeldOut]) -> tuple[FloatArray, FloatArray]:
    """Return labels and probabilities of all rows that have both."""
    labels = np.concatenate([piece.labels for piece in pieces])
    probabilities = np.concatenate([piece.probabilities for piece in pieces])
    is_known = ~np.isnan(labels) & ~np.isnan(probabilities)
    return labels[is_known], probabilities[is_known]


def _recall_threshold(positives: FloatArray, recall: float) -> float:
    # The hair taken off keeps .95 of 20 rows at 19, whatever the binary fraction.
    wanted = max(1, math.ceil(recall * len(positives) - 1e-9))
    return float(np.sort(positives)[-wanted])


def _candidates(probabilities: FloatArray, positives: int, level: float) -> Iterator[AlertRule]:
    """Yield pairs of held-out quantiles, spaced by how many rows they let through."""
    rows = np.clip(np.round(positives * _LEVELS).astype(np.int64), 1, len(probabilities))
    levels = np.unique([*np.sort(probabilities)[-rows], level])[::-1].tolist()
    for position, on in enumerate(levels):
        yield from (AlertRule(on, off) for off in levels[position:])


class _Trial:
    """One fold on which rules are tried, none of which goes off below ``lowest``.

    Such rules are all off where the probability is below ``lowest``, which is nearly everywhere: of each run of these
    rows only the first is kept.
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
        self._fresh = _fresh_rows(piece.probabilities, rows.codes, rows.times, reset_hours)[is_kept]
        self._failed, self._labelled = piece.labels[is_kept] == 1, ~np.isnan(piece.labels[is_kept])
        self.positives = int((piece.labels == 1).sum())
        start_us, ends_us = np.maximum(rows.starts(), piece.split.test_start), rows.ends()
        log_end_us = piece.split.label_end
        self.exposure = measure_exposure(rows, start_us=start_us, ends_us=ends_us, log_end_us=log_end_us, labels=labels)
        self.judge = EventJudge(
            kept,
            failures[failures[TIME] <= pd.Timestamp(log_end_us, unit="us")],
            start_us=start_us,
            ends_us=ends_us,
            labels=labels,
            merge_hours=merge_hours,
            longest_hours=LONGEST_HORIZONS * labels.horizon_hours,
        ).judge

    def switch(self, rule: AlertRule) -> BoolArray:
        """Return the alerts of the kept rows."""
        return _switch(self._probabilities, self._fresh, rule)

    def count(self, is_alert: BoolArray) -> tuple[int, int]:
        """Return how many labelled rows alert, and how many of them lie before a failure."""
        return int(np.count_nonzero(is_alert & self._labelled)), int(np.count_nonzero(is_alert & self._failed))


class _Trials:
    """All folds together."""

    def __init__(self, trials: list[_Trial]) -> None:
        self._trials = trials
        self._positives = sum(trial.positives for trial in trials)
        self.exposure = Exposure.together([trial.exposure for trial in trials])

    def switch(self, rule: AlertRule) -> list[BoolArray]:
        """Return the alerts of each fold."""
        return [trial.switch(rule) for trial in self._trials]

    def f1(self, alerts: list[BoolArray]) -> float:
        """Return the F1 of the labelled rows."""
        counts = [trial.count(is_alert) for trial, is_alert in zip(self._trials, alerts, strict=True)]
        hits = sum(hits for _, hits in counts)
        return 2 * hits / (sum(alerted for alerted, _ in counts) + self._positives)

    def judge(self, alerts: list[BoolArray]) -> list[EventOutcome]:
        """Return what became of the failures and the alerts of each fold."""
        return [trial.judge(is_alert) for trial, is_alert in zip(self._trials, alerts, strict=True)]


def _calmest(trials: _Trials, rules: list[AlertRule], single: AlertRule) -> AlertRule:
    """Return the rule with the fewest false alarms among those about as good as the single threshold."""
    alerts = trials.switch(single)
    least_f1, least_caught = trials.f1(alerts) - _F1_SLACK, _count_warned(trials.judge(alerts))

    def rank(rule: AlertRule) -> tuple[float, ...] | None:
        alerts = trials.switch(rule)
        f1 = trials.f1(alerts)
        if f1 < least_f1:
            return None
        outcomes = trials.judge(alerts)
        if any(n < least for n, least in zip(_count_warned(outcomes), least_caught, strict=True)):
            return None
        return sum(outcome.false_alarms for outcome in outcomes), -f1

    return _best(rules, rank)


def _cheapest(trials: _Trials, rules: list[AlertRule], costs: CostsParams, months: float) -> AlertRule:
    """Return the rule that costs least within the limit on alarms; never to alert is one of them."""
    limit = math.inf if costs.max_alarms_per_machine_month is None else costs.max_alarms_per_machine_month * months

    def rank(rule: AlertRule) -> tuple[float, ...] | None:
        alerts = trials.switch(rule)
        outcomes = trials.judge(alerts)
        if sum(len(outcome.episode_codes) for outcome in outcomes) > limit:
            return None
        # Folds too short to judge a false alarm tell no cost: F1 alone decides.
        return alert_cost(outcomes, costs=costs, exposure=trials.exposure) or 0.0, -trials.f1(alerts)

    return _best([*rules, NEVER], rank)


def _best(rules: list[AlertRule], rank: Callable[[AlertRule], tuple[float, ...] | None]) -> AlertRule:
    """Return the first of the rules that rank lowest; ``None`` means out of the running, never for all."""
    ranks = {rule: place for rule in rules if (place := rank(rule)) is not None}
    return min(ranks, key=ranks.__getitem__)


def _count_warned(outcomes: list[EventOutcome]) -> tuple[int, int]:
    """Return how many failures were caught, and how many of them with a long warning."""
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    return int((~np.isnan(warning)).sum()), int((warning >= LONG_WARNING_HOURS).sum())
