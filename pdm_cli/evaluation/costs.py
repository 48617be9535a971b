"""Cost of acting on alerts, compared with run-to-failure and fixed-interval replacement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.exposure import Exposure
from pdm_cli.features.events import EventLog
from pdm_cli.settings.model import CostsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Lives:
    """Lifetimes of parts (hours), whether each ended by failure (the others are censored), and their machines."""

    hours: FloatArray
    failed: BoolArray
    codes: IntArray


@dataclass(frozen=True)
class IntervalPolicy:
    """The cheapest replacement interval (``None``: run to failure), and its cost divided by that of all lives."""

    interval_hours: float | None
    relative_cost: float


def count_caught(outcomes: Sequence[EventOutcome], costs: CostsParams) -> int:
    """Return the number of failures with at least ``costs.least_warning_hours`` of warning."""
    least = costs.least_warning_hours or 0.0
    return sum(int((outcome.warning_hours >= least).sum()) for outcome in outcomes)


def alert_cost(outcomes: Sequence[EventOutcome], *, costs: CostsParams, exposure: Exposure) -> float | None:
    """Return the cost of failures and false alarms per machine-month if alerts are acted on.

    A failure with enough warning costs a planned repair, any other one a missed failure. Each is divided by the months
    in which it can be evaluated; ``None`` if these are 0. The outcomes, of components or folds, are pooled.
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
    """Return the known lifetimes of one component's parts.

    A life starts at a failure or a replacement, since both install a new part, and ends at the next one or, censored,
    at the end of the machine's data. The first part of a machine is left out, because its age is unknown.

    Parameters
    ----------
    failures, replacements : DataFrame
        ``machineID, datetime`` of the component; a replacement at the time of a failure is its repair.
    machines : Index
        Machines to include.
    start_us : int
        Lives that start earlier are left out, because failures may not have been logged yet.
    ends_us : (machines,) int array
        End of each machine's data, such as the cutoff; later events are ignored.
    """
    logs = [EventLog(events, machines) for events in (failures, replacements) if events is not None]
    open_ends = np.arange(len(machines))
    codes = np.concatenate([*(log.codes for log in logs), open_ends])
    times = np.concatenate([*(log.times for log in logs), ends_us])
    # 0: failure, 1: replacement, 2: end of the data. Of simultaneous events the first in this order counts.
    events = np.repeat([0, 1, 2] if len(logs) > 1 else [0, 2], [*(len(log.codes) for log in logs), len(machines)])
    is_seen = (times >= start_us) & (times <= ends_us[codes])
    codes, times, events = codes[is_seen], times[is_seen], events[is_seen]
    order = np.lexsort((events, times, codes))
    codes, times, events = codes[order], times[order], events[order]
    is_new = np.concatenate([[True], (np.diff(codes) != 0) | (np.diff(times) != 0)])[: len(codes)]
    codes, times, events = codes[is_new], times[is_new], events[is_new]
    same = codes[1:] == codes[:-1]
    return Lives(np.diff(times)[same] / US_PER_HOUR, events[1:][same] == 0, codes[1:][same])


def survival(lives: Lives) -> tuple[FloatArray, FloatArray]:
    """Return the Kaplan-Meier estimate of the survival function; needs at least one life.

    Returns
    -------
    ages : (k,) array
        The distinct ages in hours at which a life ended, increasing.
    share : (k,) array
        Share in [0, 1] that survives each age. Of lives that end at the same age, failures come first.

    References
    ----------
    .. [1] E. L. Kaplan, P. Meier (1958), J. Amer. Statist. Assoc. 53(282), 457-481.
    """
    ages, index, ended = np.unique(lives.hours, return_inverse=True, return_counts=True)
    failed = np.bincount(index, lives.failed, minlength=len(ages))
    at_risk = len(lives.hours) - np.concatenate([[0], np.cumsum(ended)[:-1]])
    return ages, np.cumprod(1 - failed / at_risk)


def best_interval(lives: Lives, costs: CostsParams) -> IntervalPolicy | None:
    """Return the replacement age with the lowest long-run cost, if one is cheaper than running to failure.

    ``None`` if no life ended by failure.

    By the renewal-reward theorem the cost per hour of replacing at age T is the mean cost of a life,
    ``planned S(T) + missed (1 - S(T))``, divided by its mean length, the integral of S from 0 to T. All ages at which
    lives ended are candidates; a failure at exactly that age counts as a failure. Running to failure costs
    ``missed (1 - S(L)) / integral of S from 0 to L``, with the longest life L: nobody has observed older parts.
    It is the cheapest if parts fail at random. The cost is compared with that of the failures per hour of all lives.

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
    run_to_failure = costs.missed_failure * (1 - share[-1]) / lasting[-1]
    best = int(np.argmin(rates))
    if rates[best] >= run_to_failure or share[best] == 0:
        return IntervalPolicy(None, 1.0)
    # As the failures of the test span, those in the log occurred despite the actual maintenance.
    logged = costs.missed_failure * lives.failed.sum() / lives.hours.sum()
    return IntervalPolicy(float(ages[best]), float(rates[best] / logged))


def compare_costs(
    outcomes: Mapping[str, EventOutcome], lives: Mapping[str, Lives], *, costs: CostsParams, exposure: Exposure
) -> dict[str, Any]:
    """Return the expected cost per machine-month with and without the alerts.

    Parameters
    ----------
    outcomes : mapping of str to EventOutcome
        Outcome of each component in the test span.
    lives : mapping of str to Lives
        Lifetimes of each component in the training span, if known.
    costs : CostsParams
        Cost of each event.
    exposure : Exposure
        Months of the test span in which alarms and failures can be evaluated; without them a cost is ``None``.

    Returns
    -------
    dict
        ``unit``; ``assumed``: whether all costs are the defaults; ``alerts``: cost if the alerts are acted on;
        ``run_to_failure``: if every failure of the test span is missed; ``fixed_interval``: if parts are replaced at
        the best age, as in the training span in relation to ``run_to_failure``, ``None`` if unknown for a component;
        ``interval_hours``: that age of each component, ``None`` if unknown or if running to failure is cheapest.
        The failures in ``alerts`` and ``run_to_failure`` occurred despite the actual maintenance, whose cost is in
        neither; a fixed interval would replace it.
    """
    failures = {name: len(outcome.warning_hours) for name, outcome in outcomes.items()}
    policies = {name: best_interval(lives[name], costs) if name in lives else None for name in outcomes}
    shares = {name: policy.relative_cost for name, policy in policies.items() if policy is not None}
    rate = costs.missed_failure / exposure.failure_months if exposure.failure_months else None
    default = CostsParams()
    prices = ("missed_failure", "false_alarm", "planned_repair", "unit")
    all_known = len(shares) == len(policies)
    return {
        "unit": costs.unit,
        "assumed": all(getattr(costs, name) == getattr(default, name) for name in prices),
        "alerts": alert_cost(list(outcomes.values()), costs=costs, exposure=exposure),
        "run_to_failure": None if rate is None else sum(failures.values()) * rate,
        "fixed_interval": None
        if rate is None or not all_known
        else sum(failures[name] * share for name, share in shares.items()) * rate,
        "interval_hours": {name: policy and policy.interval_hours for name, policy in policies.items()},
    }
