"""Metrics per failure: alert episodes, caught failures, warning times and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.exposure import Exposure, usual_steps
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.labels import FollowUp, lead_us
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Warnings at least this long are counted separately: planning a repair takes a day.
LONG_WARNING_HOURS = 24.0


@dataclass(frozen=True)
class EventOutcome:
    """Outcome of the failures and alerts of one component.

    Attributes
    ----------
    warning_hours : (n,) array
        Hours from the first alert in time to each evaluated failure; NaN if it was missed.
    false_alarms : int
        Episodes without a failure within the horizon.
    failure_codes : (n,) int array
        Machine of each evaluated failure.
    episode_codes : (e,) int array
        Machine of each episode: true, false, or not yet known.
    is_false, is_true : (e,) bool arrays
        Which episodes are false alarms, and which were followed by a failure; neither if the outcome is not known until
        a horizon after the last alert.
    failure_times : (n,) int array
        Microsecond timestamp of each evaluated failure.
    """

    warning_hours: FloatArray
    false_alarms: int
    failure_codes: IntArray
    episode_codes: IntArray
    is_false: BoolArray
    is_true: BoolArray
    failure_times: IntArray


def find_episodes(
    codes: IntArray, times: IntArray, *, merge_hours: float, longest_hours: float | None = None
) -> tuple[IntArray, IntArray]:
    """Group alerts into episodes.

    Parameters
    ----------
    codes, times : (a,) int arrays
        Machine and microsecond timestamp of each alert, sorted by machine, then time.
    merge_hours : float
        Alerts of a machine at most this far apart belong to one episode.
    longest_hours : float, optional
        Longer episodes are cut into pieces of this length, counted from their first alert.

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
        starts = np.repeat(times[first], np.diff(first, append=len(codes)))
        piece = (times - starts) // round(longest_hours * US_PER_HOUR)
        first = np.concatenate([[0], np.flatnonzero(is_new | (np.diff(piece) != 0)) + 1])
    last = np.concatenate([first[1:] - 1, [len(codes) - 1]])
    return first, last


class EventEvaluator:
    """Evaluates alerts of one component; work that does not depend on the alerts is done once.

    A failure is evaluated if its whole warning period, from horizon to lead time ahead of it, lies in the test span and
    in the data of its machine, or if the machine's data end with it; and not if all of the period is in a gap. It is
    caught if an alert lies in that period; an alert at the failure itself is too late, even with a lead time of 0. An
    episode is true if the component fails between its first alert and its last alert + horizon, else a false alarm. If
    the outcome is not known until then, it is neither, even if the component has failed.

    Parameters
    ----------
    rows : Instants
        The m machines and times that may have alerts, sorted by machine, then time; ``machines`` are all those tested.
    failures : DataFrame
        ``machineID, datetime`` of the component's failures.
    watched : Instants
        All rows of the test span, of the same machines, sorted in the same way.
    known : FollowUp
        Until when the outcome of each machine is known, in the order of ``rows.machines``.
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
        watched: Instants,
        known: FollowUp,
        labels: LabelsParams,
        merge_hours: float,
        longest_hours: float | None = None,
    ) -> None:
        lead, self._horizon = lead_us(labels), round(labels.horizon_hours * US_PER_HOUR)
        self._rows, self._known_until = rows, known.known_until(rows.codes, rows.times)
        self._merge_hours, self._longest_hours = merge_hours, longest_hours
        failed = EventLog(failures, rows.machines)
        self._next_failure = failed.next_from(rows.codes, rows.times)
        is_seen = failed.times <= known.failures_until(lead)[failed.codes]
        is_evaluated = (failed.times - self._horizon >= watched.starts()[failed.codes]) & is_seen
        is_evaluated &= is_watched(watched, failed, labels)
        self._codes, self._times = failed.codes[is_evaluated], failed.times[is_evaluated]
        # The rows in which an alert would be in time for a failure are contiguous.
        row_log = EventLog(_as_events(rows), rows.machines)
        self._from = row_log.position(self._codes, self._times - self._horizon, "left")
        self._to = row_log.position(self._codes, self._times - lead, "right")

    def evaluate(self, is_alert: BoolArray) -> EventOutcome:
        """Return the outcome of alerts, one boolean per row."""
        alerts = np.flatnonzero(is_alert)
        index = np.searchsorted(alerts, self._from)
        is_caught = index < np.searchsorted(alerts, self._to)
        warning = np.full(len(self._times), np.nan)
        first_alert = self._rows.times[alerts[index[is_caught]]]
        warning[is_caught] = (self._times[is_caught] - first_alert) / US_PER_HOUR
        codes, times = self._rows.codes[alerts], self._rows.times[alerts]
        first, last = find_episodes(codes, times, merge_hours=self._merge_hours, longest_hours=self._longest_hours)
        until = times[last] + self._horizon
        fails = self._next_failure[alerts[first]] <= until
        # Near the end of the data a failure may have come already, but an alarm cannot turn out false yet.
        is_known = until <= self._known_until[alerts[last]]
        is_true, is_false = fails & is_known, ~fails & is_known
        return EventOutcome(warning, int(is_false.sum()), self._codes, codes[first], is_false, is_true, self._times)


def is_watched(watched: Instants, failed: EventLog, labels: LabelsParams) -> BoolArray:
    """Return for each failure whether its machine was watched at some time in the warning period.

    A machine is watched for its usual step after each of its rows.
    """
    earliest = failed.times - round(labels.horizon_hours * US_PER_HOUR) - usual_steps(watched)[failed.codes]
    first, after = find_rows(watched, failed.codes, earliest, failed.times - lead_us(labels))
    return first < after


def find_rows(rows: Instants, codes: IntArray, start_us: IntArray, end_us: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first row of a machine in each time span, ends included, and the one after the last."""
    ends = np.cumsum(np.bincount(rows.codes, minlength=len(rows.machines)))
    starts = np.concatenate([[0], ends[:-1]])
    first, after = starts[codes], starts[codes]
    for index, (begin, end) in enumerate(zip(starts[codes].tolist(), ends[codes].tolist(), strict=True)):
        times = rows.times[begin:end]
        first[index] += np.searchsorted(times, start_us[index], "left")
        after[index] += np.searchsorted(times, end_us[index], "right")
    return first, after


def evaluate_events(
    alerts: Instants,
    failures: pd.DataFrame,
    *,
    watched: Instants,
    known: FollowUp,
    labels: LabelsParams,
    merge_hours: float,
    longest_hours: float | None = None,
) -> EventOutcome:
    """Evaluate the alerts of one component once; parameters as in :class:`EventEvaluator`."""
    evaluator = EventEvaluator(
        alerts,
        failures,
        watched=watched,
        known=known,
        labels=labels,
        merge_hours=merge_hours,
        longest_hours=longest_hours,
    )
    return evaluator.evaluate(np.ones(len(alerts.codes), np.bool_))


def summarise_events(outcomes: list[EventOutcome], *, exposure: Exposure) -> dict[str, Any]:
    """Return failures, caught, warning times and false alarms of one or more components together.

    Rates are ``None`` without any exposure, the precision of episodes without one that is true or false.
    """
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    caught = warning[~np.isnan(warning)]
    quartiles = np.quantile(caught, (0.25, 0.5, 0.75)).tolist() if len(caught) else [None] * 3
    false_alarms = sum(outcome.false_alarms for outcome in outcomes)
    true_alarms = sum(int(outcome.is_true.sum()) for outcome in outcomes)
    decided = true_alarms + false_alarms
    return {
        "failures": len(warning),
        "caught": len(caught),
        "caught_share": len(caught) / len(warning) if len(warning) else None,
        "caught_24h": int((caught >= LONG_WARNING_HOURS).sum()),
        "warning_hours": dict(zip(("q25", "median", "q75"), quartiles, strict=True)),
        "false_alarms": false_alarms,
        "false_alarms_per_machine_month": false_alarms / exposure.alarm_months if exposure.alarm_months else None,
        "episode_precision": true_alarms / decided if decided else None,
        "judged_machine_months": {"false_alarms": exposure.alarm_months, "failures": exposure.failure_months},
    }


def warned_ahead(outcomes: Sequence[EventOutcome], *, hours: Sequence[float]) -> dict[float, float | None]:
    """Return the share of failures with at least this much warning, for each of ``hours``; None without failures."""
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    # The warning of a missed failure is NaN, which compares as False.
    return {ahead: float(np.mean(warning >= ahead)) if len(warning) else None for ahead in hours}


def _as_events(instants: Instants) -> pd.DataFrame:
    return pd.DataFrame({MACHINE: instants.machines[instants.codes], TIME: instants.times.astype("datetime64[us]")})
