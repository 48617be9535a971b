"""How good are the warnings: per row (AUC, average precision, Brier, F1) and per failure (episodes, warning time)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.exposure import Exposure
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.labels import lead_us
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Shorter warnings than this are reported apart: a day is what planning a repair takes.
LONG_WARNING_HOURS = 24.0


def f1_threshold(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the probability at which alerting gives the best F1.

    Parameters
    ----------
    labels : (m,) array
        0 or 1, with at least one 1.
    probabilities : (m,) array
        Held-out predictions.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    return float(thresholds[int(np.nanargmax(f1[:-1]))])


def row_metrics(labels: FloatArray, probabilities: FloatArray, *, is_alert: BoolArray) -> dict[str, float | None]:
    """Return ROC AUC, average precision, Brier score, and F1 of the alerts.

    Parameters
    ----------
    labels : (m,) array
        0 or 1.
    probabilities : (m,) array
        Predictions.
    is_alert : (m,) bool array
        Where the alert is on.

    Returns
    -------
    dict
        AUC, average precision and F1 are ``None`` where there is no row of one of the two classes.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

    brier = float(brier_score_loss(labels, probabilities))
    if labels.min() == labels.max():
        return {"roc_auc": None, "average_precision": None, "brier": brier, "f1": None}
    return {
        "roc_auc": float(roc_auc_score(labels, probabilities)),
        "average_precision": float(average_precision_score(labels, probabilities)),
        "brier": brier,
        "f1": float(f1_score(labels, is_alert)),
    }


def macro_mean(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean over components of each metric that is known for at least one."""
    means: dict[str, float | None] = {}
    for name in rows[0]:
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


@dataclass(frozen=True)
class EventOutcome:
    """What became of the failures and of the alerts of one component.

    Attributes
    ----------
    warning_hours : (n,) array
        For each judged failure the hours from its first alert in time to the failure; NaN if there was none.
    false_alarms : int
        Episodes that no failure followed within the horizon.
    failure_codes : (n,) int array
        Machine of each judged failure.
    episode_codes : (e,) int array
        Machine of each episode, true, false, or not yet known to be either.
    is_false : (e,) bool array
        Which episodes are false alarms.
    failure_times : (n,) int array
        Microsecond stamp of each judged failure.
    """

    warning_hours: FloatArray
    false_alarms: int
    failure_codes: IntArray
    episode_codes: IntArray
    is_false: BoolArray
    failure_times: IntArray


def find_episodes(
    codes: IntArray, times: IntArray, *, merge_hours: float, longest_hours: float | None = None
) -> tuple[IntArray, IntArray]:
    """Join alerts of one component into episodes.

    Parameters
    ----------
    codes, times : (a,) int arrays
        Machine and microsecond stamp of each alert, sorted by machine, then time.
    merge_hours : float
        Alerts of a machine no further apart than this belong together.
    longest_hours : float, optional
        Episodes are cut into pieces of this length, counted from their first alert; else they may last for ever.

    Returns
    -------
    first, last : (e,) int arrays
        Positions of the first and the last alert of each episode.
    """
    if not len(codes):
        return np.array([], np.int64), np.array([], np.int64)
    is_new = (np.diff(codes) != 0) | (np.diff(times) > merge_hours * US_PER_HOUR)
    first = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    if longest_hours is not None:
        began = np.repeat(times[first], np.diff(first, append=len(codes)))
        piece = (times - began) // round(longest_hours * US_PER_HOUR)
        first = np.concatenate([[0], np.flatnonzero(is_new | (np.diff(piece) != 0)) + 1])
    last = np.concatenate([first[1:] - 1, [len(codes) - 1]])
    return first, last


class EventJudge:
    """Judges alerts of one component on the same rows as often as wanted; what does not depend on them is found once.

    A failure is judged if its whole warning time, from horizon to lead time ahead of it, lies in the test span and in
    the data of its machine. It is caught if an alert lies in that time; one at the failure itself is too late, also
    with a lead time of 0. An episode is a false alarm if the component does not fail from its first alert until its
    last alert + horizon; if the machine's data end before that, nobody knows and it is none.

    Parameters
    ----------
    rows : Instants
        The m machines and times that may be alerts, sorted by machine, then time; ``machines`` are all those tested.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    start_us : int or (machines,) int array
        First instant of the test, of all machines or of each, microseconds since 1970.
    ends_us : (machines,) int array
        Last instant at which each machine is known, in the order of ``rows.machines``.
    labels : LabelsParams
        Lead time and horizon.
    merge_hours, longest_hours : float
        See :func:`find_episodes`.
    """

    def __init__(
        self,
        rows: Instants,
        failures: pd.DataFrame,
        *,
        start_us: int | IntArray,
        ends_us: IntArray,
        labels: LabelsParams,
        merge_hours: float,
        longest_hours: float | None = None,
    ) -> None:
        lead, self._horizon = lead_us(labels), round(labels.horizon_hours * US_PER_HOUR)
        self._rows, self._ends = rows, ends_us[rows.codes]
        self._merge_hours, self._longest_hours = merge_hours, longest_hours
        failed = EventLog(failures, rows.machines)
        self._next_failure = failed.next_from(rows.codes, rows.times)
        starts = np.broadcast_to(start_us, len(rows.machines))[failed.codes]
        is_judged = (failed.times - self._horizon >= starts) & (failed.times - lead <= ends_us[failed.codes])
        self._codes, self._times = failed.codes[is_judged], failed.times[is_judged]
        # The rows from which an alert would be in time for each failure stand side by side.
        row_log = EventLog(_as_events(rows), rows.machines)
        self._from = row_log.position(self._codes, self._times - self._horizon, "left")
        self._to = row_log.position(self._codes, self._times - lead, "right")

    def judge(self, is_alert: BoolArray) -> EventOutcome:
        """Return what the alerts, one truth value a row, are worth."""
        alerts = np.flatnonzero(is_alert)
        index = np.searchsorted(alerts, self._from)
        is_caught = index < np.searchsorted(alerts, self._to)
        warning = np.full(len(self._times), np.nan)
        first_alert = self._rows.times[alerts[index[is_caught]]]
        warning[is_caught] = (self._times[is_caught] - first_alert) / US_PER_HOUR
        codes, times = self._rows.codes[alerts], self._rows.times[alerts]
        first, last = find_episodes(codes, times, merge_hours=self._merge_hours, longest_hours=self._longest_hours)
        until = times[last] + self._horizon
        is_false = ~(self._next_failure[alerts[first]] <= until) & (until <= self._ends[alerts[first]])
        return EventOutcome(warning, int(is_false.sum()), self._codes, codes[first], is_false, self._times)


def judge_events(
    alerts: Instants,
    failures: pd.DataFrame,
    *,
    start_us: int | IntArray,
    ends_us: IntArray,
    labels: LabelsParams,
    merge_hours: float,
    longest_hours: float | None = None,
) -> EventOutcome:
    """Judge the alerts of one component against its failures, as :class:`EventJudge` says.

    Parameters
    ----------
    alerts : Instants
        Machine and time of each alert, sorted by machine, then time; ``machines`` are all machines tested.
    failures, start_us, ends_us, labels, merge_hours, longest_hours
        See :class:`EventJudge`.
    """
    judge = EventJudge(
        alerts,
        failures,
        start_us=start_us,
        ends_us=ends_us,
        labels=labels,
        merge_hours=merge_hours,
        longest_hours=longest_hours,
    )
    return judge.judge(np.ones(len(alerts.codes), np.bool_))


def summarise_events(outcomes: list[EventOutcome], *, exposure: Exposure) -> dict[str, Any]:
    """Return failures, caught, warning time and false alarms of one or more components together.

    Parameters
    ----------
    outcomes : list of EventOutcome
        One a component.
    exposure : Exposure
        Months in which alarms and failures could be judged. Without a month no rate can be told: it is ``None``.
    """
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    caught = warning[~np.isnan(warning)]
    quartiles = np.quantile(caught, (0.25, 0.5, 0.75)).tolist() if len(caught) else [None] * 3
    false_alarms = sum(outcome.false_alarms for outcome in outcomes)
    return {
        "failures": len(warning),
        "caught": len(caught),
        "caught_share": len(caught) / len(warning) if len(warning) else None,
        "caught_24h": int((caught >= LONG_WARNING_HOURS).sum()),
        "warning_hours": dict(zip(("q25", "median", "q75"), quartiles, strict=True)),
        "false_alarms": false_alarms,
        "false_alarms_per_machine_month": false_alarms / exposure.alarm_months if exposure.alarm_months else None,
        "judged_machine_months": {"false_alarms": exposure.alarm_months, "failures": exposure.failure_months},
    }


def warned_ahead(outcomes: Sequence[EventOutcome], *, hours: Sequence[float]) -> dict[float, float | None]:
    """Return the share of failures that were warned of at least so many hours ahead, for each of ``hours``.

    Parameters
    ----------
    outcomes : sequence of EventOutcome
        One a component; taken together.
    hours : sequence of float
        Warning times asked for. Those beyond the horizon are never reached.

    Returns
    -------
    dict
        Shares in [0, 1], never rising with the hours; ``None`` where no failure was judged.
    """
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    # A missed failure has a warning time of NaN, which no comparison reaches.
    return {ahead: float(np.mean(warning >= ahead)) if len(warning) else None for ahead in hours}


def _as_events(instants: Instants) -> pd.DataFrame:
    return pd.DataFrame({MACHINE: instants.machines[instants.codes], TIME: instants.times.astype("datetime64[us]")})
