"""From predictions to the work list: the components to inspect, most probable failure first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.events import find_episodes
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.schema import FAILURES, MACHINE, MAINT, TIME
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
# A probability is close to an alert from this share of its threshold on.
_CLOSE = 0.5
# Quantiles of 10, 50 and 90 %.
HOURS_TO_FAILURE = ("hours_to_failure_low", "hours_to_failure_median", "hours_to_failure_high")
# Spreadsheets take a string that begins like this for a formula.
_FORMULA = r"^[=+\-@\t\r]"


def list_predictions(
    instants: Instants, probabilities: FloatArray, alerts: BoolArray, components: Sequence[str], *, rows: BoolArray
) -> pd.DataFrame:
    """Return the predictions of some rows, one per machine, time and component, in the order of the rows.

    Parameters
    ----------
    instants : Instants
        The m rows.
    probabilities, alerts : (m, c) arrays
        For each component.
    components : sequence of str
        The c components.
    rows : (m,) bool array
        Rows to return.
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


def add_hours(frame: pd.DataFrame, hours: FloatArray) -> pd.DataFrame:
    """Return predictions or the work list with the columns ``hours_to_failure_low``, ``_median`` and ``_high``.

    Parameters
    ----------
    frame : DataFrame
        The n rows.
    hours : array of n quantiles
        Shape (n, 3), or (m, c, 3) for m rows of c components each.
    """
    columns = hours.reshape(len(frame), len(HOURS_TO_FAILURE)).T
    return frame.assign(**dict(zip(HOURS_TO_FAILURE, columns, strict=True)))


def find_alert_episodes(
    instants: Instants, alerts: BoolArray, components: Sequence[str], *, merge_hours: float
) -> pd.DataFrame:
    """Return the alert episodes of every machine and component.

    Parameters
    ----------
    instants : Instants
        The m rows, in any order.
    alerts : (m, c) bool array
        Whether the alert of each component is on.
    components : sequence of str
        The c components.
    merge_hours : float
        Alerts at most this far apart belong to one episode.

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


@dataclass(frozen=True)
class Predictions:
    """Predictions of the m rows of machines, for c components.

    Attributes
    ----------
    instants : Instants
        Machine and time of the rows, in any order; at least one row of each machine.
    probabilities : (m, c) array
        Probability of a failure within [t + lead time, t + horizon].
    alerts : (m, c) bool array
        Whether the alert is on.
    components : sequence of str
        The components.
    """

    instants: Instants
    probabilities: FloatArray
    alerts: BoolArray
    components: Sequence[str]


def rank_work(
    predictions: Predictions,
    events: Mapping[str, pd.DataFrame],
    *,
    now_us: int,
    ended: BoolArray,
    silent: BoolArray,
    labels: LabelsParams,
) -> pd.DataFrame:
    """Return the work list: machines and components whose alert is on, or was on within the lead time.

    A prediction is about the time after the lead time, so an alert turns off just before the failure. The predicted
    time of a row with an alert is still ahead if the row is within a lead time of the machine's last row. Components
    that failed or were replaced after it, or failed at the machine's last row, are dropped, and machines that have
    failed for good or were taken out.

    Parameters
    ----------
    predictions : Predictions
        Of all rows.
    events : mapping of str to DataFrame
        Logs of replacements (``maint``) and of ``failures``: ``machineID, datetime`` and ``kind``, the component; in
        any order.
    now_us : int
        Newest reading of all machines, in microseconds since 1970; later events are ignored.
    ended : (machines,) bool array
        Machines to leave out; see :func:`~pdm_cli.scoring.data_health.find_ended`.
    silent : (machines,) bool array
        Silent machines; see :func:`~pdm_cli.scoring.data_health.is_silent`.
    labels : LabelsParams
        Lead time and horizon of the predictions.

    Returns
    -------
    DataFrame
        ``rank`` from 1; ``machineID, component``; ``probability`` at ``datetime``, the last row with the alert on;
        ``since``, the first row of that run of alerts; ``expected_from`` and ``expected_until``, the span of the
        predicted failure; ``is_stale`` if the machine is silent, so that this span has passed. Alerts that are on at
        the machine's last row come first; then by descending probability, start of the run, machine, component.
    """
    instants, components = predictions.instants, predictions.components
    order, rows = _sort(instants)
    alerts = predictions.alerts[order]
    lead, horizon = (round(hours * US_PER_HOUR) for hours in (labels.lead_time_hours, labels.horizon_hours))
    row, column = _last_alerts(rows, alerts, lead)
    named = [components[number] for number in column]
    is_open = ~ended[rows.codes[row]] & ~_is_renewed(rows, row, named, events, now_us)
    row, column = row[is_open], column[is_open]
    codes, times, since = rows.codes[row], rows.times[row], rows.times[_run_starts(rows.codes, alerts)[row, column]]
    probability = predictions.probabilities[order[row], column]
    ranked = np.lexsort((column, codes, since, -probability, times < rows.ends()[codes]))
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
            "is_stale": silent[codes],
        }
    )


def find_nearest(
    predictions: Predictions,
    events: Mapping[str, pd.DataFrame],
    *,
    now_us: int,
    thresholds: Sequence[float],
    left_out: BoolArray,
    labels: LabelsParams,
    most: int,
) -> pd.DataFrame:
    """Return the components nearest to their alert threshold, by each machine's last row: at least half of it.

    Components whose alert is on or was on within the lead time are left out: they are on the work list, or have failed
    or been replaced since. So are those that failed or were replaced after the last row, or failed at it, and those
    whose alert never turns on.

    Parameters
    ----------
    predictions, events, now_us, labels
        As for :func:`rank_work`.
    thresholds : sequence of float
        Probability at which each component's alert turns on; above 1 it never does.
    left_out : (machines,) bool array
        Machines to leave out: silent ones, and those that have ended.
    most : int
        Maximum number of rows.

    Returns
    -------
    DataFrame
        ``machineID, component, probability, threshold``, sorted by the ratio of the two, highest first, then machine,
        component.
    """
    components, levels = predictions.components, np.array(thresholds, np.float64)
    order, rows = _sort(predictions.instants)
    lasts = np.flatnonzero(np.diff(rows.codes, append=-1))
    probabilities = predictions.probabilities[order[lasts]]
    # An alert whose threshold is 0 is always on.
    ratios = probabilities / np.where(levels > 0, levels, 1.0)
    is_near = ~left_out[:, None] & (levels <= 1) & (ratios >= _CLOSE)
    row, column = _last_alerts(rows, predictions.alerts[order], round(labels.lead_time_hours * US_PER_HOUR))
    is_near[rows.codes[row], column] = False
    codes, column = np.nonzero(is_near)
    is_open = ~_is_renewed(rows, lasts[codes], [components[number] for number in column.tolist()], events, now_us)
    codes, column = codes[is_open], column[is_open]
    ranked = np.argsort(-ratios[codes, column], kind="stable")[:most]
    codes, column = codes[ranked], column[ranked]
    return pd.DataFrame(
        {
            MACHINE: rows.machines[codes],
            "component": _names(components, column),
            "probability": probabilities[codes, column],
            "threshold": levels[column],
        }
    )


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table for spreadsheets: strings that would be run as a formula are prefixed with an apostrophe."""
    strings = {str(name): column for name, column in frame.items() if pd.api.types.is_string_dtype(column)}
    return frame.assign(
        **{name: column.str.replace(_FORMULA, r"'\g<0>", regex=True) for name, column in strings.items()}
    )


def _sort(instants: Instants) -> tuple[IntArray, Instants]:
    """Return the order of the rows by machine, then time, and the rows in it."""
    order = np.lexsort((instants.times, instants.codes))
    return order, Instants(instants.machines, instants.codes[order], instants.times[order])


def _last_alerts(rows: Instants, alerts: BoolArray, lead_us: int) -> tuple[IntArray, IntArray]:
    """Return the last row with an alert of each machine and component, if recent enough, and the component."""
    lasts = np.flatnonzero(np.diff(rows.codes, append=-1))
    latest = np.maximum.accumulate(np.where(alerts, np.arange(len(alerts))[:, None], -1), axis=0)[lasts]
    is_own = (latest >= 0) & (rows.codes[latest] == rows.codes[lasts][:, None])
    machine, column = np.nonzero(is_own & (rows.times[latest] >= rows.times[lasts][:, None] - lead_us))
    return latest[machine, column], column


def _is_renewed(
    rows: Instants, row: IntArray, components: Sequence[str], events: Mapping[str, pd.DataFrame], now_us: int
) -> BoolArray:
    """Return whether the component of each row was renewed after it, or failed at it with no row since."""
    codes, times = rows.codes[row], rows.times[row]
    is_last, now = times == rows.ends()[codes], np.full(len(row), now_us)
    found, component_of_row = np.zeros(len(row), np.bool_), np.array(components, object)
    for name, component in product((MAINT.name, FAILURES.name), dict.fromkeys(components)):
        if name not in events:
            continue
        log = EventLog(events[name][events[name]["kind"] == component], rows.machines)
        first = log.position(codes, times, "right")
        if name == FAILURES.name:
            first = np.where(is_last, log.position(codes, times, "left"), first)
        found |= (component_of_row == component) & (log.position(codes, now, "right") > first)
    return found


def _run_starts(codes: IntArray, alerts: BoolArray) -> IntArray:
    """Return the first row of the run of alerts for each row and component whose alert is on."""
    continues = np.zeros_like(alerts)
    continues[1:] = alerts[:-1] & (codes[1:] == codes[:-1])[:, None]
    rows = np.arange(len(codes))[:, None]
    return np.maximum.accumulate(np.where(alerts & ~continues, rows, 0), axis=0)


def _names(components: Sequence[str], columns: IntArray) -> pd.Series:
    return pd.Series(np.array(components, object)[columns], dtype="str")


def _stamps(times: IntArray) -> NDArray[np.datetime64]:
    return times.astype("datetime64[us]")
