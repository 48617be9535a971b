"""How good are the warnings: per row (AUC, average precision, Brier, F1) and per failure (episodes, warning time)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.core.events import US_PER_HOUR, EventLog, Instants
from pdm_cli.params import LabelsParams
from pdm_cli.schema import MACHINE, TIME

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

HOURS_PER_MONTH = 365.25 * 24 / 12
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


def row_metrics(labels: FloatArray, probabilities: FloatArray, *, threshold: float) -> dict[str, float | None]:
    """Return ROC AUC, average precision, Brier score and F1 at the threshold.

    Parameters
    ----------
    labels : (m,) array
        0 or 1.
    probabilities : (m,) array
        Predictions.
    threshold : float
        Alert where the probability reaches it.

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
        "f1": float(f1_score(labels, probabilities >= threshold)),
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
    """

    warning_hours: FloatArray
    false_alarms: int


def find_episodes(codes: IntArray, times: IntArray, *, merge_hours: float) -> tuple[IntArray, IntArray]:
    """Join alerts of one component into episodes.

    Parameters
    ----------
    codes, times : (a,) int arrays
        Machine and microsecond stamp of each alert, sorted by machine, then time.
    merge_hours : float
        Alerts of a machine no further apart than this belong together.

    Returns
    -------
    first, last : (e,) int arrays
        Positions of the first and the last alert of each episode.
    """
    if not len(codes):
        return np.array([], np.int64), np.array([], np.int64)
    is_new = (np.diff(codes) != 0) | (np.diff(times) > merge_hours * US_PER_HOUR)
    first = np.concatenate([[0], np.flatnonzero(is_new) + 1])
    last = np.concatenate([first[1:] - 1, [len(codes) - 1]])
    return first, last


def judge_events(
    alerts: Instants,
    failures: pd.DataFrame,
    *,
    start_us: int,
    ends_us: IntArray,
    labels: LabelsParams,
    merge_hours: float,
) -> EventOutcome:
    """Judge the alerts of one component against its failures.

    A failure is judged if its whole warning time, from horizon to lead time ahead of it, lies in the test span and in
    the data of its machine. It is caught if an alert lies in that time. An episode is a false alarm if the component
    does not fail from its first alert until its last alert + horizon; if the machine's data end before that, nobody
    knows and it is none.

    Parameters
    ----------
    alerts : Instants
        Machine and time of each alert, sorted by machine, then time; ``machines`` are all machines tested.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    start_us : int
        First instant of the test, microseconds since 1970.
    ends_us : (machines,) int array
        Last instant at which each machine is known, in the order of ``alerts.machines``.
    labels : LabelsParams
        Lead time and horizon.
    merge_hours : float
        See :func:`find_episodes`.
    """
    lead, horizon = (round(hours * US_PER_HOUR) for hours in (labels.lead_time_hours, labels.horizon_hours))
    failed = EventLog(failures, alerts.machines)
    is_judged = (failed.times - horizon >= start_us) & (failed.times - lead <= ends_us[failed.codes])
    codes, times = failed.codes[is_judged], failed.times[is_judged]
    alert_log = EventLog(_as_events(alerts), alerts.machines)
    first_alert = alert_log.next_from(codes, times - horizon)
    is_caught = first_alert <= times - lead
    warning = np.where(is_caught, (times - first_alert) / US_PER_HOUR, np.nan)
    first, last = find_episodes(alerts.codes, alerts.times, merge_hours=merge_hours)
    until = alerts.times[last] + horizon
    next_failure = failed.next_from(alerts.codes[first], alerts.times[first])
    is_false = ~(next_failure <= until) & (until <= ends_us[alerts.codes[first]])
    return EventOutcome(warning, int(is_false.sum()))


def summarise_events(outcomes: list[EventOutcome], *, machine_months: float) -> dict[str, Any]:
    """Return failures, caught, warning time and false alarms of one or more components together.

    Parameters
    ----------
    outcomes : list of EventOutcome
        One a component.
    machine_months : float
        Machines times months of the test span.
    """
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    caught = warning[~np.isnan(warning)]
    quartiles = np.quantile(caught, (0.25, 0.5, 0.75)).tolist() if len(caught) else [None] * 3
    false_alarms = sum(outcome.false_alarms for outcome in outcomes)
    return {
        "failures": len(warning),
        "caught": len(caught),
        "caught_24h": int((caught >= LONG_WARNING_HOURS).sum()),
        "warning_hours": dict(zip(("q25", "median", "q75"), quartiles, strict=True)),
        "false_alarms": false_alarms,
        "false_alarms_per_machine_month": false_alarms / machine_months if machine_months else None,
    }


def _as_events(instants: Instants) -> pd.DataFrame:
    return pd.DataFrame({MACHINE: instants.machines[instants.codes], TIME: instants.times.astype("datetime64[us]")})
