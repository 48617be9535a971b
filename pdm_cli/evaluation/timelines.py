"""Timelines of single failures: the deviating sensor, its anomalies, and the predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.evaluate import PredictedSpan
from pdm_cli.features.robust_z import ZScores
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Span shown before and after a failure, in horizons.
_BEFORE, _AFTER = 2.5, 0.25
# More readings are averaged, to fit into a plot.
_MAX_POINTS = 400


@dataclass(frozen=True)
class Surroundings:
    """Data that timelines are cut from.

    Attributes
    ----------
    telemetry : DataFrame
        ``machineID, datetime`` and the sensors, sorted by machine, then time.
    scores : ZScores
        Robust z of the telemetry.
    anomalies : DataFrame or None
        ``machineID, datetime, kind`` (the sensor) ``, value, direction``.
    span : PredictedSpan
        Probabilities and alerts.
    components : list of str
        Columns of the span.
    horizon_hours : float
        Horizon of the alerts.
    """

    telemetry: pd.DataFrame
    scores: ZScores
    anomalies: pd.DataFrame | None
    span: PredictedSpan
    components: list[str]
    horizon_hours: float


def choose_failures(warnings: pd.DataFrame) -> dict[str, int]:
    """Return examples of caught and missed failures.

    Parameters
    ----------
    warnings : DataFrame
        ``machineID, datetime, component, warning_hours`` of the evaluated failures, NaN if missed.

    Returns
    -------
    dict
        Positions: ``caught``, the failure whose warning is nearest to the median; ``missed``, a missed one, or else
        ``latest``, another one with the shortest warning. Of equals the earliest; absent if there is none.
    """
    hours = warnings["warning_hours"].to_numpy(np.float64)
    order = np.argsort(to_microseconds(warnings[TIME]), kind="stable")
    caught, missed = (order[known[order]] for known in (~np.isnan(hours), np.isnan(hours)))
    chosen = {}
    if len(caught):
        chosen["caught"] = int(caught[np.argmin(np.abs(hours[caught] - np.median(hours[caught])))])
    if len(missed):
        chosen["missed"] = int(missed[0])
    elif len(caught) and hours[caught].min() < hours[chosen["caught"]]:
        chosen["latest"] = int(caught[np.argmin(hours[caught])])
    return chosen


def cut_timeline(failure: pd.Series, around: Surroundings) -> dict[str, Any]:
    """Return the timeline of a failure as JSON types, in hours relative to the failure.

    Parameters
    ----------
    failure : Series
        ``machineID, datetime, component, warning_hours``.
    around : Surroundings
        Data to cut from.

    Returns
    -------
    dict
        ``machine, component, failed, warning_hours``; ``sensor``, the one that deviated most within the horizon before;
        its ``readings`` and ``anomalies``, and ``prediction``: each with ``hours`` and values.
    """
    machine, failed_us = failure[MACHINE], int(failure[TIME].value // 1000)
    before, after = (round(around.horizon_hours * times * US_PER_HOUR) for times in (_BEFORE, _AFTER))
    first, last = failed_us - before, failed_us + after
    sensor = find_deviating_sensor(around.scores, machine, failed_us, horizon_hours=around.horizon_hours)
    telemetry = around.telemetry
    times = to_microseconds(telemetry[TIME])
    rows = np.flatnonzero((telemetry[MACHINE] == machine).to_numpy() & (first <= times) & (times <= last))
    warning = failure["warning_hours"]
    return {
        "machine": machine if isinstance(machine, str) else int(machine),
        "component": failure["component"],
        "failed": failure[TIME].isoformat(),
        "warning_hours": None if np.isnan(warning) else float(warning),
        "sensor": sensor,
        "readings": _thin(_hours(times[rows], failed_us), telemetry[sensor].to_numpy(np.float64)[rows]),
        "anomalies": _cut_anomalies(around.anomalies, machine, sensor, (first, last), failed_us),
        "prediction": _cut_prediction(around, machine, failure["component"], (first, last), failed_us),
    }


def find_deviating_sensor(scores: ZScores, machine: object, failed_us: int, *, horizon_hours: float) -> str:
    """Return the sensor whose mean deviated most from its usual level within the horizon before a failure.

    Parameters
    ----------
    scores : ZScores
        Robust z of the telemetry.
    machine : object
        One of ``scores.machines``.
    failed_us : int
        Time of the failure.
    horizon_hours : float
        Length of the span before it.
    """
    code = scores.machines.get_loc(machine)
    is_near = (scores.times > failed_us - round(horizon_hours * US_PER_HOUR)) & (scores.times <= failed_us)
    z = scores.z[(scores.codes == code) & is_near]
    known = np.maximum(np.count_nonzero(~np.isnan(z), axis=0), 1)
    # Sums divided by the root of their count, so that a sensor with few readings does not win by chance.
    return scores.sensors[int(np.argmax(np.abs(np.nansum(z, axis=0)) / np.sqrt(known)))]


def _hours(times: IntArray, failed_us: int) -> FloatArray:
    return np.asarray((times - failed_us) / US_PER_HOUR)


def _thin(hours: FloatArray, values: FloatArray) -> dict[str, Any]:
    """Return readings, or means of consecutive ones if there are many; missing ones are ``None``."""
    together = -(-len(hours) // _MAX_POINTS) or 1
    starts = np.arange(0, len(hours), together)
    known = ~np.isnan(values)
    counts = np.add.reduceat(known, starts, dtype=np.int64) if len(hours) else np.array([], np.int64)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts) if len(hours) else np.array([])
    means = [float(total / count) if count else None for total, count in zip(sums, counts, strict=True)]
    return {"hours": hours[starts].tolist(), "values": means, "averaged": together}


def _cut_anomalies(
    anomalies: pd.DataFrame | None, machine: object, sensor: str, ends: tuple[int, int], failed_us: int
) -> dict[str, Any] | None:
    """Return the anomalies of a sensor; ``None`` without anomaly detection."""
    if anomalies is None:
        return None
    times = to_microseconds(anomalies[TIME])
    is_own = (anomalies[MACHINE] == machine).to_numpy() & (anomalies["kind"] == sensor).to_numpy()
    rows = np.flatnonzero(is_own & (ends[0] <= times) & (times <= ends[1]))
    return {
        "hours": _hours(times[rows], failed_us).tolist(),
        "values": anomalies["value"].to_numpy(np.float64)[rows].tolist(),
    }


def _cut_prediction(
    around: Surroundings, machine: object, component: str, ends: tuple[int, int], failed_us: int
) -> dict[str, Any]:
    span, column = around.span, around.components.index(component)
    rows, code = span.rows, span.rows.machines.get_loc(machine)
    near = np.flatnonzero((rows.codes == code) & (ends[0] <= rows.times) & (rows.times <= ends[1]))
    return {
        "hours": _hours(rows.times[near], failed_us).tolist(),
        "probability": span.probabilities[near, column].tolist(),
        "alert": span.alerts[near, column].tolist(),
    }
