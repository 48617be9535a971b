"""From predictions to the work list: which component of which machine to see to first, since when, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.metrics import find_episodes
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.scoring.silent_sensors import is_silent
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
# What a text begins with that spreadsheets take for a formula.
_FORMULA = r"^[=+\-@\t\r]"


def list_predictions(
    instants: Instants, probabilities: FloatArray, alerts: BoolArray, components: Sequence[str], *, rows: BoolArray
) -> pd.DataFrame:
    """Return the predictions of some rows, one a machine, time and component, in the order of the rows.

    Parameters
    ----------
    instants : Instants
        The m rows.
    probabilities, alerts : (m, c) arrays
        Of each component.
    components : sequence of str
        The c components.
    rows : (m,) bool array
        Rows wanted.
    """
    chosen, count = np.flatnonzero(rows), len(components)
    return pd.DataFrame(
        {
            MACHINE: np.repeat(instants.machines[instants.codes[chosen]].to_numpy(), count),
            TIME: np.repeat(_stamps(instants.times[chosen]), count),
            "component": pd.Series(np.tile(np.array(components, object), len(chosen)), dtype="str"),
            "probability": probabilities[chosen].ravel(),
            "alert": alerts[chosen].ravel(),
        }
    )


def find_alert_episodes(
    instants: Instants, alerts: BoolArray, components: Sequence[str], *, merge_hours: float
) -> pd.DataFrame:
    """Return the episodes of alerts of every machine and component.

    Parameters
    ----------
    instants : Instants
        The m rows, in any order.
    alerts : (m, c) bool array
        Whether the alert of each component is on.
    components : sequence of str
        The c components.
    merge_hours : float
        Alerts no further apart than this are one episode.

    Returns
    -------
    DataFrame
        ``machineID, component, start, end, rows``: first and last alert (UTC) and the number of alerts; sorted by
        machine, start, component in the order given.
    """
    order = np.lexsort((instants.times, instants.codes))
    found = []
    for column in range(len(components)):
        rows = order[alerts[order, column]]
        first, last = find_episodes(instants.codes[rows], instants.times[rows], merge_hours=merge_hours)
        found.append((rows[first], rows[last], last - first + 1, np.full(len(first), column)))
    start, end, counts, columns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((columns, instants.times[start], instants.codes[start]))
    return pd.DataFrame(
        {
            MACHINE: instants.machines[instants.codes[start[order]]],
            "component": _names(components, columns[order]),
            "start": _stamps(instants.times[start[order]]),
            "end": _stamps(instants.times[end[order]]),
            "rows": counts[order],
        }
    )


def rank_work(
    instants: Instants,
    probabilities: FloatArray,
    alerts: BoolArray,
    components: Sequence[str],
    *,
    renewals: Sequence[pd.DataFrame],
    lead_time_hours: float,
    horizon_hours: float,
) -> pd.DataFrame:
    """Return what to see to now: each machine and component whose alert is on, or was within the lead time.

    A row says nothing of the lead time that follows it, so an alert goes off just before the failure. What its last row
    foretold is still wholly to come if that row is no older than the lead time before the machine's last row. It falls
    away where the component failed or was replaced after it.

    Parameters
    ----------
    instants : Instants
        The m rows, in any order.
    probabilities : (m, c) array
        Of failing within [t + lead time, t + horizon], 0 to 1.
    alerts : (m, c) bool array
        Whether the alert is on.
    components : sequence of str
        The c components.
    renewals : sequence of DataFrame
        Logs of replacements and of failures: ``machineID, datetime`` and ``kind``, the component; in any order. What
        is later than a machine's last row is not looked at.
    lead_time_hours, horizon_hours : float
        What the probabilities are of.

    Returns
    -------
    DataFrame
        ``rank`` from 1; ``machineID, component``; ``probability`` at ``datetime``, the last row with the alert on;
        ``since``, the first row of the run of alerts that lasts until then; ``expected_from`` and ``expected_until``,
        between which it fails if it does; ``is_stale`` where the machine is silent
        (:func:`~pdm_cli.scoring.silent_sensors.find_silent`), and this over. Highest probability first, then the
        longer run, then by machine, then component in the order given.
    """
    order = np.lexsort((instants.times, instants.codes))
    rows, alerts = Instants(instants.machines, instants.codes[order], instants.times[order]), alerts[order]
    lead, horizon = (round(hours * US_PER_HOUR) for hours in (lead_time_hours, horizon_hours))
    row, column = _last_alerts(rows, alerts, lead)
    is_open = ~_is_renewed(rows, row, [components[number] for number in column], renewals)
    row, column = row[is_open], column[is_open]
    codes, times, since = rows.codes[row], rows.times[row], rows.times[_run_starts(rows.codes, alerts)[row, column]]
    probability = probabilities[order[row], column]
    ranked = np.lexsort((column, codes, since, -probability))
    codes, times = codes[ranked], times[ranked]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(row) + 1),
            MACHINE: instants.machines[codes],
            "component": _names(components, column[ranked]),
            "probability": probability[ranked],
            TIME: _stamps(times),
            "since": _stamps(since[ranked]),
            "expected_from": _stamps(times + lead),
            "expected_until": _stamps(times + horizon),
            "is_stale": is_silent(instants, horizon_hours)[codes],
        }
    )


def find_nearest(
    instants: Instants,
    probabilities: FloatArray,
    components: Sequence[str],
    worklist: pd.DataFrame,
    *,
    thresholds: Sequence[float],
    horizon_hours: float,
    most: int = 3,
) -> pd.DataFrame:
    """Return the machines and components beside the work list that are most probable to fail, by their last rows.

    Silent machines are left out, and components whose alert never goes on.

    Parameters
    ----------
    instants : Instants
        The m rows, in any order; at least one of each machine.
    probabilities : (m, c) array
        Of each component.
    components : sequence of str
        The c components.
    worklist : DataFrame
        Made by :func:`rank_work`.
    thresholds : sequence of float
        Probability at which each component's alert goes on; above 1 it never does.
    horizon_hours : float
        How far ahead predictions look.
    most : int
        Rows wanted.

    Returns
    -------
    DataFrame
        ``machineID, component, probability, threshold``, the highest probability first, then by machine, then
        component in the order given.
    """
    order = np.lexsort((instants.times, instants.codes))
    lasts = order[np.flatnonzero(np.diff(instants.codes[order], append=-1))]
    codes, count = instants.codes[lasts], len(components)
    others = pd.DataFrame(
        {
            MACHINE: np.repeat(instants.machines[codes].to_numpy(), count),
            "component": pd.Series(np.tile(np.array(components, object), len(codes)), dtype="str"),
            "probability": probabilities[lasts].ravel(),
            "threshold": np.tile(thresholds, len(codes)),
        }
    )
    is_heard = np.repeat(~is_silent(instants, horizon_hours)[codes], count)
    pairs, listed = (pd.MultiIndex.from_frame(frame[[MACHINE, "component"]]) for frame in (others, worklist))
    nearest = others[is_heard & (others["threshold"] <= 1) & ~pairs.isin(listed)]
    return nearest.sort_values("probability", ascending=False, kind="stable", ignore_index=True).head(most)


def guard_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table for spreadsheets: texts that these would take for a formula, and run, begin with an apostrophe."""
    texts = {str(name): column for name, column in frame.items() if pd.api.types.is_string_dtype(column)}
    return frame.assign(**{name: column.str.replace(_FORMULA, r"'\g<0>", regex=True) for name, column in texts.items()})


def _last_alerts(rows: Instants, alerts: BoolArray, lead_us: int) -> tuple[IntArray, IntArray]:
    """Return the last row with the alert on of each machine and component, where recent enough, and the component."""
    lasts = np.flatnonzero(np.diff(rows.codes, append=-1))
    latest = np.maximum.accumulate(np.where(alerts, np.arange(len(alerts))[:, None], -1), axis=0)[lasts]
    is_own = (latest >= 0) & (rows.codes[latest] == rows.codes[lasts][:, None])
    machine, column = np.nonzero(is_own & (rows.times[latest] >= rows.times[lasts][:, None] - lead_us))
    return latest[machine, column], column


def _is_renewed(
    rows: Instants, row: IntArray, components: Sequence[str], renewals: Sequence[pd.DataFrame]
) -> BoolArray:
    """Return for some rows, each with a component, whether this was renewed after it and by the machine's last row."""
    codes, ends = rows.codes[row], rows.ends()[rows.codes[row]]
    found, wanted = np.zeros(len(row), np.bool_), np.array(components, object)
    for log, component in product(renewals, dict.fromkeys(components)):
        events = EventLog(log[log["kind"] == component], rows.machines)
        until_row, until_end = (events.position(codes, times, "right") for times in (rows.times[row], ends))
        found |= (wanted == component) & (until_end > until_row)
    return found


def _run_starts(codes: IntArray, alerts: BoolArray) -> IntArray:
    """Return for each row and component the first row of the run of alerts, for rows where the alert is on."""
    goes_on = np.zeros_like(alerts)
    goes_on[1:] = alerts[:-1] & (codes[1:] == codes[:-1])[:, None]
    rows = np.arange(len(codes))[:, None]
    return np.maximum.accumulate(np.where(alerts & ~goes_on, rows, 0), axis=0)


def _names(components: Sequence[str], columns: IntArray) -> pd.Series:
    return pd.Series(np.array(components, object)[columns], dtype="str")


def _stamps(times: IntArray) -> NDArray[np.datetime64]:
    return times.astype("datetime64[us]")


@dataclass(frozen=True)
class Reason:
    """A feature that raises, or lowers, the probability of a failure.

    Attributes
    ----------
    name : str
        The feature.
    value : float, str or None
        Its value, or category; ``None`` if missing.
    contribution : float
        What it adds to the log-odds.
    """

    name: str
    value: float | str | None
    contribution: float


def top_reasons(
    contributions: NDArray[np.floating],
    names: Sequence[str],
    values: NDArray[np.floating],
    *,
    most: int = 3,
    categories: Mapping[str, Sequence[str]] | None = None,
    both_ways: bool = False,
    topic_of: Callable[[str], Hashable] | None = None,
) -> list[list[Reason]]:
    """Return for each row the features with the largest contributions, largest first.

    Parameters
    ----------
    contributions : (r, f) array
        What each feature adds to the log-odds of a failure (SHAP values, without the bias).
    names : sequence of str
        The f features.
    values : (r, f) array
        Their values; NaN where missing.
    most : int
        Most reasons of a row; contributions of 0 or less are none.
    categories : mapping, optional
        Categorical feature to its categories, of which the values are positions.
    both_ways : bool
        Take also those below 0, and the largest whatever their sign.
    topic_of : callable, optional
        From a feature to what it is about; of several about the same, only the largest is taken.
    """
    weights = np.abs(contributions) if both_ways else contributions
    topics = [topic_of(name) if topic_of else name for name in names]
    return [
        [
            Reason(names[column], _value(names[column], row[column], categories or {}), float(added[column]))
            for column in _largest(weight, topics)[:most]
        ]
        for added, weight, row in zip(contributions, weights, values, strict=True)
    ]


def _largest(weight: NDArray[np.floating], topics: Sequence[Hashable]) -> list[int]:
    """Return the columns of positive weight, the largest first, and of each topic only that."""
    order = np.argsort(-weight, kind="stable").tolist()
    first = {topics[column]: column for column in reversed(order)}
    return [column for column in order if weight[column] > 0 and first[topics[column]] == column]


def _value(name: str, value: float, categories: Mapping[str, Sequence[str]]) -> float | str | None:
    if math.isnan(value):
        return None
    return categories[name][int(value)] if name in categories else float(value)
