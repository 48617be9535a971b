"""Outcomes of many alert rules on held-out folds, counted by machine so that machines can be resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.alerts import (
    LONGEST_HORIZONS,
    RESET_HOURS,
    AlertRule,
    BoolArray,
    FloatArray,
    find_resets,
    switch_from_reset,
)
from pdm_cli.evaluation.events import EventEvaluator
from pdm_cli.evaluation.exposure import machine_months, measure_exposure
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import TIME
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.training.splits import Split

if TYPE_CHECKING:
    from scipy.sparse import csr_array


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


@dataclass(frozen=True)
class AlertTerms:
    """Terms of counting alerts: lead time and horizon, costs, merging of alerts, and when an alert is reset."""

    labels: LabelsParams
    costs: CostsParams
    merge_hours: float
    reset_hours: float = RESET_HOURS

    @property
    def least_warning_hours(self) -> float:
        """Shortest warning that counts as caught."""
        return self.costs.least_warning_hours or 0.0


@dataclass(frozen=True)
class RuleOutcomes:
    """Counts of r rules, summed over the folds; those of a rule are sparse (r, machines) arrays.

    Attributes
    ----------
    alerted, hits : csr_array
        Labelled rows with an alert, and those of them before a failure.
    caught : csr_array
        Failures with enough warning to count as caught.
    false_alarms, episodes : csr_array
        Alert episodes that are false, and all of them.
    positives, failures : (machines,) arrays
        Labelled rows before a failure, and evaluated failures.
    alarm_months, failure_months, months : (machines,) arrays
        Exposure to alarms and to failures, and the span of the rows.
    """

    alerted: csr_array
    hits: csr_array
    caught: csr_array
    false_alarms: csr_array
    episodes: csr_array
    positives: FloatArray
    failures: FloatArray
    alarm_months: FloatArray
    failure_months: FloatArray
    months: FloatArray

    def f1(self, weights: FloatArray) -> FloatArray:
        """Return the F1 of the labelled rows, (r, w), for (machines, w) weights; 0 where nothing is positive."""
        total = self.alerted @ weights + self.positives @ weights
        return np.asarray(np.divide(2 * (self.hits @ weights), total, out=np.zeros_like(total), where=total > 0))

    def cost(self, weights: FloatArray, costs: CostsParams) -> FloatArray:
        """Return the cost per machine-month, (r, w), as :func:`pdm_cli.evaluation.costs.alert_cost` does.

        0 where no month can be evaluated, so that F1 alone decides there.
        """
        alarm_months, failure_months = self.alarm_months @ weights, self.failure_months @ weights
        has_months = (alarm_months > 0) & (failure_months > 0)
        caught = self.caught @ weights
        repairs = caught * costs.planned_repair + (self.failures @ weights - caught) * costs.missed_failure
        alarms = self.false_alarms @ weights * costs.false_alarm
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(has_months, repairs / failure_months + alarms / alarm_months, 0.0)


_BY_RULE = ("alerted", "hits", "caught", "false_alarms", "episodes")


def count_outcomes(
    pieces: Sequence[HeldOut], failures: pd.DataFrame, rules: Sequence[AlertRule], terms: AlertTerms
) -> RuleOutcomes:
    """Count the outcomes of rules on folds.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One per fold, of the same machines.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    rules : sequence of AlertRule
        The r rules.
    terms : AlertTerms
        Terms of counting alerts.
    """
    lowest = min(rule.off for rule in rules)
    folds = [_Fold(piece, failures, lowest, terms) for piece in pieces]
    machines = len(pieces[0].rows.machines)
    counts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in _BY_RULE}
    for rule in rules:
        found = [fold.count(rule) for fold in folds]
        for name in _BY_RULE:
            counts[name].append(np.concatenate([of_fold[name] for of_fold in found]))

    def total(parts: Sequence[NDArray[Any]]) -> FloatArray:
        return np.asarray(np.sum(parts, axis=0), np.float64)

    return RuleOutcomes(
        **{name: _count_by_rule(codes, machines) for name, codes in counts.items()},
        positives=total([fold.positives for fold in folds]),
        failures=total([fold.failures for fold in folds]),
        alarm_months=total([fold.exposure.alarms for fold in folds]),
        failure_months=total([fold.exposure.failures for fold in folds]),
        months=total([machine_months(piece.rows) for piece in pieces]),
    )


def _count_by_rule(codes: list[NDArray[np.int64]], machines: int) -> Any:
    """Return how often each machine occurs for each rule, as a sparse array."""
    from scipy.sparse import coo_array

    rules = np.repeat(np.arange(len(codes)), [len(own) for own in codes])
    counts = coo_array((np.ones(len(rules)), (rules, np.concatenate(codes))), (len(codes), machines))
    return counts.tocsr()


class _Fold:
    """One fold to evaluate rules on, none of which turns off below ``lowest``.

    All of them are off where the probability is below ``lowest``, which is almost everywhere: only the first row of
    each such run is kept.
    """

    def __init__(self, piece: HeldOut, failures: pd.DataFrame, lowest: float, terms: AlertTerms) -> None:
        rows, machines = piece.rows, len(piece.rows.machines)
        is_off = piece.probabilities < lowest
        is_kept = ~is_off
        is_kept[:1] = True
        is_kept[1:] |= ~is_off[:-1]
        kept = Instants(rows.machines, rows.codes[is_kept], rows.times[is_kept])
        self._codes, self._probabilities = kept.codes, piece.probabilities[is_kept]
        self._resets = find_resets(piece.probabilities, rows.codes, rows.times, terms.reset_hours)[is_kept]
        self._failed, self._labelled = piece.labels[is_kept] == 1, ~np.isnan(piece.labels[is_kept])
        self._least_hours = terms.least_warning_hours
        end_us, labels = piece.split.label_end, terms.labels
        known = piece.known.cut(end_us)
        self.exposure = measure_exposure(rows, known=known, log_end_us=end_us, labels=labels)
        self._evaluator = EventEvaluator(
            kept,
            failures[to_microseconds(failures[TIME]) <= end_us],
            watched=rows,
            known=known,
            labels=labels,
            merge_hours=terms.merge_hours,
            longest_hours=LONGEST_HORIZONS * labels.horizon_hours,
        )
        outcome = self._evaluator.evaluate(np.zeros(len(kept.codes), np.bool_))
        self.positives = np.bincount(rows.codes[piece.labels == 1], minlength=machines)
        self.failures = np.bincount(outcome.failure_codes, minlength=machines)

    def count(self, rule: AlertRule) -> dict[str, NDArray[np.int64]]:
        """Return the machine of each row, failure or episode that is counted."""
        is_alert = switch_from_reset(self._probabilities, self._resets, rule)
        outcome = self._evaluator.evaluate(is_alert)
        # The warning of a missed failure is NaN, which compares as False.
        is_caught = outcome.warning_hours >= self._least_hours
        return {
            "alerted": self._codes[is_alert & self._labelled],
            "hits": self._codes[is_alert & self._failed],
            "caught": outcome.failure_codes[is_caught],
            "false_alarms": outcome.episode_codes[outcome.is_false],
            "episodes": outcome.episode_codes,
        }


def resample_machines(outcomes: RuleOutcomes, count: int, *, seed: int = 0) -> FloatArray:
    """Return how often each machine is drawn in each resample, (machines, count); only tested machines are drawn."""
    is_tested: BoolArray = (outcomes.alarm_months > 0) | (outcomes.failure_months > 0) | (outcomes.positives > 0)
    tested = int(is_tested.sum())
    draws = np.random.default_rng(seed).multinomial(tested, is_tested / max(tested, 1), size=count)
    return np.asarray(draws.T, np.float64)
