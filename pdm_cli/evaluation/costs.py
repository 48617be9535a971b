"""What warnings cost, next to running until failure and to replacing at a fixed interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.exposure import HOURS_PER_MONTH, Exposure
from pdm_cli.evaluation.metrics import EventOutcome
from pdm_cli.features.events import EventLog
from pdm_cli.settings.model import CostsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Lives:
    """How long parts lasted, each from one renewal to the next.

    Attributes
    ----------
    hours : (n,) array
        Length of each life, above 0.
    failed : (n,) bool array
        Whether it ended by failure; else the part was replaced, or still ran at the end of the data.
    """

    hours: FloatArray
    failed: BoolArray


@dataclass(frozen=True)
class IntervalPolicy:
    """The cheapest fixed interval of replacement.

    Attributes
    ----------
    interval_hours : float or None
        Replace a part when it is this old, or when it fails; ``None`` where running until failure is cheapest.
    cost_per_month : float
        For one part, in the unit of the costs.
    """

    interval_hours: float | None
    cost_per_month: float


def count_caught(outcomes: Sequence[EventOutcome], costs: CostsParams) -> int:
    """Return how many failures had a warning as long as ``costs`` asks for."""
    least = costs.least_warning_hours or 0.0
    return sum(int((outcome.warning_hours >= least).sum()) for outcome in outcomes)


def alert_cost(outcomes: Sequence[EventOutcome], *, costs: CostsParams, exposure: Exposure) -> float | None:
    """Return what failures and alarms cost per machine-month when alerts are acted on.

    A failure with enough warning costs a planned repair, any other one a missed failure, and every false alarm a
    false alarm. Each is divided by the months in which it could be judged; ``None`` where these are 0.

    Parameters
    ----------
    outcomes : sequence of EventOutcome
        One a component, or a fold; taken together.
    costs : CostsParams
        What each costs, and the least warning of a catch.
    exposure : Exposure
        Of the same spans.
    """
    if not (exposure.alarm_months and exposure.failure_months):
        return None
    failures = sum(len(outcome.warning_hours) for outcome in outcomes)
    caught = count_caught(outcomes, costs)
    false_alarms = sum(outcome.false_alarms for outcome in outcomes)
    repairs = caught * costs.planned_repair + (failures - caught) * costs.missed_failure
    return repairs / exposure.failure_months + false_alarms * costs.false_alarm / exposure.alarm_months


def find_lives(
    failures: pd.DataFrame, replacements: pd.DataFrame | None, machines: pd.Index, *, start_us: int, ends_us: IntArray
) -> Lives:
    """Return the lives of one component's parts, as far as they are known.

    A life starts at a failure or a replacement, since either puts in a new part, and ends at the next one or, cut
    short, at the end of its machine's data. The part that a machine starts with is left out: nobody knows its age.

    Parameters
    ----------
    failures, replacements : DataFrame
        ``machineID, datetime`` of the component; a replacement with the stamp of a failure is its repair.
    machines : Index
        The machines looked at.
    start_us : int
        Lives that start before this instant are left out: failures may not have been logged yet.
    ends_us : (machines,) int array
        Last instant known of each machine, such as the cutoff; nothing after it is looked at.
    """
    logs = [EventLog(events, machines) for events in (failures, replacements) if events is not None]
    open_ends = np.arange(len(machines))
    codes = np.concatenate([*(log.codes for log in logs), open_ends])
    times = np.concatenate([*(log.times for log in logs), ends_us])
    # 0: failure, 1: replacement, 2: end of the data. Of what has the same stamp, the first in this order counts.
    kinds = np.repeat([0, 1, 2] if len(logs) > 1 else [0, 2], [*(len(log.codes) for log in logs), len(machines)])
    is_seen = (times >= start_us) & (times <= ends_us[codes])
    codes, times, kinds = codes[is_seen], times[is_seen], kinds[is_seen]
    order = np.lexsort((kinds, times, codes))
    codes, times, kinds = codes[order], times[order], kinds[order]
    is_new = np.concatenate([[True], (np.diff(codes) != 0) | (np.diff(times) != 0)])[: len(codes)]
    codes, times, kinds = codes[is_new], times[is_new], kinds[is_new]
    same = codes[1:] == codes[:-1]
    return Lives(np.diff(times)[same] / US_PER_HOUR, kinds[1:][same] == 0)


def survival(lives: Lives) -> tuple[FloatArray, FloatArray]:
    """Return the share of parts that outlive each age, by Kaplan and Meier.

    Parameters
    ----------
    lives : Lives
        At least one.

    Returns
    -------
    ages : (k,) array
        The distinct ages in hours at which a life ended, rising.
    share : (k,) array
        Share in [0, 1] that lives on after each age. Of lives that end at the same age, failures come first.

    References
    ----------
    .. [1] E. L. Kaplan, P. Meier (1958), J. Amer. Statist. Assoc. 53(282), 457-481.
    """
    ages, index, ended = np.unique(lives.hours, return_inverse=True, return_counts=True)
    failed = np.bincount(index, lives.failed, minlength=len(ages))
    at_risk = len(lives.hours) - np.concatenate([[0], np.cumsum(ended)[:-1]])
    return ages, np.cumprod(1 - failed / at_risk)


def best_interval(lives: Lives, costs: CostsParams) -> IntervalPolicy | None:
    """Return the age of replacement that costs least in the long run; ``None`` without a life that ended by failure.

    By the renewal-reward theorem replacing at age T costs, per hour, what one life costs on average,
    ``planned S(T) + missed (1 - S(T))``, over how long it lasts, the integral of S from 0 to T. The ages at which lives
    ended are tried; a failure at that very age counts as one, since to come just in time would take foresight.

    Parameters
    ----------
    lives : Lives
        From the training span.
    costs : CostsParams
        ``missed_failure`` and ``planned_repair``.

    References
    ----------
    .. [1] R. E. Barlow, L. C. Hunter (1960), Optimum preventive maintenance policies, Operations Research 8(1), 90-100.
    """
    if not lives.failed.any():
        return None
    ages, share = survival(lives)
    alive_before = np.concatenate([[1.0], share[:-1]])
    lasting = np.cumsum(alive_before * np.diff(ages, prepend=0.0))
    rates = (costs.planned_repair * share + costs.missed_failure * (1 - share)) / lasting
    best = int(np.argmin(rates))
    interval = float(ages[best]) if share[best] > 0 else None
    return IntervalPolicy(interval, float(rates[best]) * HOURS_PER_MONTH)


def compare_costs(
    outcomes: Mapping[str, EventOutcome], lives: Mapping[str, Lives], *, costs: CostsParams, exposure: Exposure
) -> dict[str, Any]:
    """Return the expected cost per machine-month of the alerts and of doing without them.

    Parameters
    ----------
    outcomes : mapping of str to EventOutcome
        Of each component in the test span.
    lives : mapping of str to Lives
        Of each component in the training span, as far as known.
    costs : CostsParams
        What each event costs.
    exposure : Exposure
        Months of the test span in which alarms and failures could be judged; without them a cost is ``None``.

    Returns
    -------
    dict
        ``unit``; ``alerts``: the rule's alerts acted on; ``run_to_failure``: every failure of the test span missed;
        ``fixed_interval``: parts replaced at the best age, ``None`` where a component's lives tell none;
        ``interval_hours``: that age of each component, ``None`` for unknown or until it fails. The failures of
        ``alerts`` and ``run_to_failure`` are those that came in spite of whatever upkeep there was, and the cost of
        that upkeep is in neither; a fixed interval would take its place.
    """
    judged = list(outcomes.values())
    failures = sum(len(outcome.warning_hours) for outcome in judged)
    policies = {name: best_interval(lives[name], costs) if name in lives else None for name in outcomes}
    known = [policy.cost_per_month for policy in policies.values() if policy is not None]
    return {
        "unit": costs.unit,
        "alerts": alert_cost(judged, costs=costs, exposure=exposure),
        "run_to_failure": failures * costs.missed_failure / exposure.failure_months
        if exposure.failure_months
        else None,
        "fixed_interval": sum(known) if len(known) == len(policies) else None,
        "interval_hours": {name: policy and policy.interval_hours for name, policy in policies.items()},
    }
