"""Episodes: anomalous readings of a sensor that follow each other, and those of several sensors at the same time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# Readings and anomalies around an episode, in JSON types.
Course = dict[str, Any]

# Share of the time of two episodes that both must cover to be one line.
_COMMON = 0.5
# A picture shows at least so many steps before an episode and half of them after it, in at most so many points.
_CONTEXT_STEPS, _MOST_POINTS = 96, 240


def find_episodes(anomalies: pd.DataFrame, *, reach_us: int, step_us: int) -> pd.DataFrame:
    """Merge anomalous readings into episodes, one row per machine, sensor and episode.

    Readings of a sensor belong to one episode if they are at most ``reach_us`` apart and were tested against the same
    profile. Episodes of several sensors of a machine get the same number if they are at the same time: from the most
    severe one down, each takes those without a number that share at least half of the time that the two cover
    together.

    Parameters
    ----------
    anomalies : DataFrame
        Columns of :data:`pdm_cli.schema.ANOMALIES`, sorted by machine, sensor and time.
    reach_us : int
        Longest time between consecutive anomalous readings of an episode, in microseconds: the smoothing window, or a
        step.
    step_us : int
        Time between readings in microseconds, which the last reading of an episode lasts.

    Returns
    -------
    DataFrame
        Columns of :data:`pdm_cli.schema.EPISODES`, sorted by machine, number and sensor. The score of an episode is
        its highest; its severity is the root of the sum of squares of its scores, which grows with both score and
        number of readings, and is the score for one reading.

    Examples
    --------
    >>> hours = pd.Timestamp("2015-01-01") + pd.to_timedelta([5, 6, 20], unit="h")
    >>> found = pd.DataFrame({"machineID": 1, "sensor": "volt", "datetime": hours, "value": [9.0, 8, 1]})
    >>> found = found.assign(expected=5.0, score=[4.0, 3.0, 2.0], direction=["pos", "pos", "neg"], by="machine")
    >>> hour = 3_600_000_000
    >>> find_episodes(found, reach_us=hour, step_us=hour)[["episode", "readings", "score", "severity"]].values.tolist()
    [[1.0, 2.0, 4.0, 5.0], [2.0, 1.0, 2.0, 2.0]]
    """
    times, score = to_microseconds(anomalies[TIME]), anomalies["score"].to_numpy(np.float64)
    is_first = _starts_of_episodes(anomalies, times, reach_us)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(anomalies))[: len(first)] - 1
    number_of_row = np.cumsum(is_first) - 1
    readings = np.diff(np.append(first, len(anomalies)))[: len(first)]
    # The first reading with the highest score of each episode.
    by_score = np.lexsort((-score, number_of_row))
    peak = by_score[first]
    is_above = (anomalies["direction"] == "pos").to_numpy()
    above = np.bincount(number_of_row[is_above], minlength=len(first))
    at_peak = anomalies.iloc[peak].reset_index(drop=True)
    table = at_peak[[MACHINE, "sensor"]].copy()
    table["start"], table["end"] = (times[rows].astype("datetime64[us]") for rows in (first, last))
    table["readings"] = readings.astype(np.int64)
    direction = np.where(above == readings, "pos", np.where(above == 0, "neg", "both"))
    table["direction"] = pd.Series(direction, dtype="str")
    table["peak"] = at_peak[TIME]
    table[["value", "expected", "score"]] = at_peak[["value", "expected", "score"]]
    table["severity"] = np.sqrt(np.bincount(number_of_row, weights=score**2, minlength=len(first)))
    table["by"] = at_peak["by"]
    return _number(table, step_us)


def _starts_of_episodes(anomalies: pd.DataFrame, times: IntArray, reach_us: int) -> NDArray[np.bool_]:
    is_first = np.diff(times, prepend=times[:1]) > reach_us
    for column in (MACHINE, "sensor", "by"):
        values = anomalies[column]
        is_first |= (values != values.shift()).to_numpy(np.bool_)
    return np.asarray(is_first)


def _number(table: pd.DataFrame, step_us: int) -> pd.DataFrame:
    """Give the episodes of each machine numbers from 1 by start, those at the same time the same, and sort them."""
    spans = np.stack([to_microseconds(table["start"]), to_microseconds(table["end"]) + step_us], axis=1)
    severity = table["severity"].to_numpy(np.float64)
    machine = (table[MACHINE] != table[MACHINE].shift()).cumsum().to_numpy(np.int64)
    bounds = np.searchsorted(machine, np.arange(1, machine[-1] + 2 if len(machine) else 1))
    number = np.zeros(len(table), np.int64)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        number[start:stop] = _number_by_time(spans[start:stop], severity[start:stop])
    table.insert(1, "episode", number)
    order = np.lexsort((np.arange(len(table)), number, machine))
    return table.iloc[order].reset_index(drop=True)


def _number_by_time(spans: IntArray, severity: FloatArray) -> IntArray:
    """Return the number from 1 of each episode of a machine; ``spans`` (n, 2) are start and end."""
    leader = np.full(len(spans), -1)
    length = spans[:, 1] - spans[:, 0]
    for row in np.argsort(-severity, kind="stable").tolist():
        if leader[row] >= 0:
            continue
        common = np.minimum(spans[:, 1], spans[row, 1]) - np.maximum(spans[:, 0], spans[row, 0])
        joins = (leader < 0) & (common >= _COMMON * (length + length[row] - common))
        leader[joins] = row
    _, group = np.unique(leader, return_inverse=True)
    starts = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(starts, group, spans[:, 0])
    rank = np.empty(len(starts), np.int64)
    rank[np.argsort(starts, kind="stable")] = np.arange(1, len(starts) + 1)
    return np.asarray(rank[group])


def list_episodes(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the episodes of :func:`find_episodes` in JSON types, the sensors of one number as one entry.

    An entry has the span, the highest score, the severity and the number of readings of all its sensors, which are in
    order of severity.
    """
    entries: list[dict[str, Any]] = []
    key = None
    for row in table.to_dict("records"):
        if (row[MACHINE], row["episode"]) != key:
            key = (row[MACHINE], row["episode"])
            entries.append({MACHINE: row[MACHINE], "sensors": []})
        entries[-1]["sensors"].append(row)
    return [_summarize(entry[MACHINE], entry["sensors"]) for entry in entries]


def _summarize(machine: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    rows = sorted(rows, key=lambda row: -row["severity"])
    sensors = [
        {
            "sensor": row["sensor"],
            "direction": row["direction"],
            "start": row["start"].isoformat(),
            "end": row["end"].isoformat(),
            "readings": int(row["readings"]),
            "score": float(row["score"]),
            "by": row["by"],
        }
        for row in rows
    ]
    return {
        MACHINE: machine,
        "start": min(row["start"] for row in rows).isoformat(),
        "end": max(row["end"] for row in rows).isoformat(),
        "readings": sum(int(row["readings"]) for row in rows),
        "score": max(float(row["score"]) for row in rows),
        "severity": float(np.sqrt(sum(row["severity"] ** 2 for row in rows))),
        "sensors": sensors,
    }


def keep_top(entries: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return the most severe entries of :func:`list_episodes`, in order; of equal ones the first."""
    return heapq.nlargest(most, entries, key=lambda entry: entry["severity"])


def cut_course(telemetry: pd.DataFrame, anomalies: pd.DataFrame, span_us: tuple[int, int], step_us: int) -> Course:
    """Return the course of a sensor around an episode, with few enough points for a picture.

    Parameters
    ----------
    telemetry : DataFrame
        Times and readings of the sensor, two columns, of one machine.
    anomalies : DataFrame
        Its anomalies, as in :data:`pdm_cli.schema.ANOMALIES`.
    span_us : tuple of int
        First and last anomalous reading, in microseconds since 1970.
    step_us : int
        Time between readings in microseconds.

    Returns
    -------
    dict
        ``hours`` from the first anomalous reading, and ``readings`` (None where missing); ``length_hours`` of the
        episode; ``anomalies`` with ``hours``, tested ``values`` and ``expected`` values.
    """
    start, end = span_us
    before = max(end - start, _CONTEXT_STEPS * step_us)
    after = before // 2
    times = to_microseconds(telemetry.iloc[:, 0])
    rows = slice(*np.searchsorted(times, [start - before, end + after + 1]).tolist())
    bucket = max(1, -(-(end - start + before + after) // (_MOST_POINTS * step_us))) * step_us
    hours, readings = _average(times[rows], telemetry.iloc[rows, 1], bucket)
    tested = [_average(to_microseconds(anomalies[TIME]), anomalies[name], bucket) for name in ("value", "expected")]
    at, value = tested[0]
    is_shown = (at >= start - before) & (at <= end + after) & ~np.isnan(value)
    return {
        "hours": _hours_since(start, hours),
        "readings": [None if np.isnan(reading) else reading for reading in readings.tolist()],
        "length_hours": (end - start + step_us) / US_PER_HOUR,
        "anomalies": {
            "hours": _hours_since(start, at[is_shown]),
            "values": value[is_shown].tolist(),
            "expected": tested[1][1][is_shown].tolist(),
        },
    }


def _average(times: IntArray, values: pd.Series, bucket_us: int) -> tuple[IntArray, FloatArray]:
    """Return the start and the mean of each bucket from the first time to the last; NaN without values."""
    if not len(times):
        return np.empty(0, np.int64), np.empty(0)
    own = times // bucket_us - times[0] // bucket_us
    readings = values.to_numpy(np.float64)
    there = np.isfinite(readings)
    total, count = (
        np.bincount(own[there], weights=weights, minlength=own[-1] + 1) for weights in (readings[there], None)
    )
    starts = (times[0] // bucket_us + np.arange(own[-1] + 1)) * bucket_us
    return starts, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _hours_since(start: int, times: IntArray) -> list[float]:
    hours: list[float] = ((times - start) / US_PER_HOUR).tolist()
    return hours
