"""Detectors: from the telemetry of whole machines to their anomalies. One registry line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.anomalies.causal_esd import causal_esd, fewest_readings
from pdm_cli.anomalies.seasonal_esd import Anomalies, seasonal_hybrid_esd_batch
from pdm_cli.anomalies.skip_reasons import (
    NO_SPREAD,
    why_bare,
    why_holed,
    why_short,
    why_spans,
    why_split,
    why_windowless,
)
from pdm_cli.anomalies.stl import periodic_robust_stl_batch
from pdm_cli.anomalies.stl_statsmodels import Decompose, one_by_one
from pdm_cli.anomalies.windows import Lengths, find_lengths
from pdm_cli.errors import DataError
from pdm_cli.features.rolling import has_whole_window, trailing_mean
from pdm_cli.preparation.cleaning import same_machine_as_above, sensors_of, to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import DetectParams

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Series:
    """One machine's sensor on its own."""

    machine: Any
    sensor: str
    times: NDArray[np.int64]
    values: FloatArray


@dataclass(frozen=True)
class Found:
    """What became of one machine's sensor.

    Attributes
    ----------
    machine, sensor
        Whose readings.
    judged : int
        Readings that were judged.
    times : (a,) int array
        Stamps of its anomalies, rising, in microseconds since 1970.
    value, expected, score : (a,) arrays
        As in :data:`pdm_cli.schema.ANOMALIES`.
    is_above : (a,) bool array
        Whether the anomaly lies above what is expected.
    unjudged : (u, 3) int array
        Spans of readings that were not judged: first stamp, last stamp, readings.
    span_reasons : tuple of str
        Why, one a span.
    reason : str or None
        Why nothing was judged.
    is_capped : bool
        Whether there are as many anomalies as ``max_anoms`` allows, so that there may be more.
    """

    machine: Any
    sensor: str
    judged: int
    times: NDArray[np.int64]
    value: FloatArray
    expected: FloatArray
    score: FloatArray
    is_above: BoolArray
    unjudged: NDArray[np.int64]
    span_reasons: tuple[str, ...]
    reason: str | None = None
    is_capped: bool = False


@dataclass(frozen=True)
class Detector:
    """A detector and what may be done with its anomalies.

    Attributes
    ----------
    find : callable
        All series of some machines, those of one machine side by side; lengths; settings -> one :class:`Found` a
        series, in the same order.
    is_causal : bool
        Whether a point is judged from readings up to its own stamp only; else its anomalies see the future and may
        not become features.
    """

    find: Callable[[list[list[Series]], Lengths, DetectParams], Iterator[Found]]
    is_causal: bool


def find_anomalies(telemetry: pd.DataFrame, *, step_us: int, params: DetectParams) -> tuple[pd.DataFrame, list[Found]]:
    """Find the anomalies of every machine and sensor.

    Parameters
    ----------
    telemetry : DataFrame
        Prepared telemetry of whole machines.
    step_us : int
        Its step in microseconds.
    params : DetectParams
        Mode and settings.

    Returns
    -------
    anomalies : DataFrame
        Columns of :data:`pdm_cli.schema.ANOMALIES`, sorted by machine, sensor in the table's order, and time.
    found : list of Found
        One a machine and sensor, also where there is no anomaly or the series cannot be judged.
    """
    starts = np.flatnonzero(~same_machine_as_above(telemetry)).tolist()
    machines = []
    for start, stop in zip(starts, [*starts[1:], len(telemetry)], strict=True):
        machine = telemetry.iloc[start:stop]
        name, times = machine[MACHINE].tolist()[0], to_microseconds(machine[TIME])
        machines.append([Series(name, s, times, machine[s].to_numpy()) for s in sensors_of(telemetry)])
    found = list(DETECTORS[params.mode].find(machines, find_lengths(step_us, params), params))
    return _join(found, telemetry[MACHINE].dtype), found


def _find_causally(machines: list[list[Series]], lengths: Lengths, params: DetectParams) -> Iterator[Found]:
    judge = partial(
        causal_esd,
        step_us=lengths.step_us,
        period_hours=lengths.period_hours,
        window_days=lengths.window_days,
        refit_hours=params.refit_hours,
        smooth_hours=lengths.smooth_hours,
        settle_hours=params.settle_hours,
        min_share=params.window_share,
        alpha=params.alpha,
        direction=params.direction,
    )
    fewest = fewest_readings(lengths.window, params.window_share)
    for machine in machines:
        judged = judge(np.stack([series.values for series in machine]), machine[0].times)
        for series, value, expected, score in zip(machine, judged.value, judged.expected, judged.score, strict=True):
            if np.isnan(score).all():
                reason = why_bare(series.values) or why_windowless(series.values, lengths, fewest=fewest)
                yield _not_judged(series, reason)
                continue
            rows = np.flatnonzero(score > 1)
            is_above = value[rows] > expected[rows]
            is_judged = ~np.isnan(score)
            yield _found(series, lengths, is_judged, rows, value, expected[rows], score[rows], is_above)


def _find_in_batch(machines: list[list[Series]], lengths: Lengths, params: DetectParams) -> Iterator[Found]:
    every = [series for machine in machines for series in machine]
    smoothed = [trailing_mean(series.values, lengths.smooth) for series in every]
    outcomes = seasonal_hybrid_esd_batch(
        smoothed,
        period=lengths.period,
        max_anoms=params.max_anoms,
        alpha=params.alpha,
        direction=params.direction,
        longterm_rows=lengths.piece or None,
        decompose=STL_ROADS[params.stl],
    )
    for series, values, outcome in zip(every, smoothed, outcomes, strict=True):
        reason = _why_not_in_batch(series, values, outcome, lengths)
        if reason is not None or isinstance(outcome, DataError):
            yield _not_judged(series, reason or str(outcome))
            continue
        # A mean of few readings helps to bridge a gap for the decomposition, but is not judged itself.
        is_judged = has_whole_window(series.values, lengths.smooth)
        kept = outcome.keep(is_judged[outcome.index] & _is_reported(outcome, values, series.times, params))
        is_above = kept.direction > 0
        found = _found(series, lengths, is_judged, kept.index, values, kept.expected, kept.score, is_above)
        yield replace(found, is_capped=kept.is_capped)


def _why_not_in_batch(
    series: Series, smoothed: FloatArray, outcome: Anomalies | DataError, lengths: Lengths
) -> str | None:
    return (
        why_split(series.times, lengths.step_us)
        or why_bare(series.values)
        or why_holed(series.values, series.times, lengths.smooth)
        or why_short(smoothed, series.times, lengths)
        or (None if isinstance(outcome, DataError) or outcome.has_spread else NO_SPREAD)
    )


def _is_reported(outcome: Anomalies, values: FloatArray, times: NDArray[np.int64], params: DetectParams) -> BoolArray:
    is_reported = np.ones(len(outcome.index), np.bool_)
    if params.only_last != "all":
        is_reported &= keep_last(outcome.index, times, span=params.only_last)
    if params.threshold != "none":
        is_reported &= keep_high(outcome.index, values, times, threshold=params.threshold)
    return is_reported


def _not_judged(series: Series, reason: str) -> Found:
    none = np.array([])
    times, first, stop = _spans(series, np.zeros(len(series.values), np.bool_))
    return Found(
        series.machine,
        series.sensor,
        0,
        none.astype(np.int64),
        none,
        none,
        none,
        none > 0,
        np.stack([times[first], times[stop - 1], stop - first], axis=1),
        (reason,) * len(first),
        reason,
    )


def _found(
    series: Series,
    lengths: Lengths,
    is_judged: BoolArray,
    rows: NDArray[np.intp],
    values: FloatArray,
    expected: FloatArray,
    score: FloatArray,
    is_above: BoolArray,
) -> Found:
    times, first, stop = _spans(series, is_judged)
    return Found(
        series.machine,
        series.sensor,
        int(is_judged.sum()),
        series.times[rows],
        values[rows],
        expected,
        score,
        is_above,
        np.stack([times[first], times[stop - 1], stop - first], axis=1),
        tuple(why_spans(times, first, step_us=lengths.step_us, reach=lengths.reach)),
    )


def _spans(series: Series, is_judged: BoolArray) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    """Return the stamps of the readings, and between which of them (first, stop) each span was not judged."""
    readings = np.flatnonzero(np.isfinite(series.values))
    edges = np.flatnonzero(np.diff(is_judged[readings], prepend=True, append=True))
    return series.times[readings], edges[::2], edges[1::2]


def list_unjudged(found: list[Found], machine_type: Any) -> pd.DataFrame:
    """Return the spans of readings that were not judged, one a row, with the columns of the schema.

    Parameters
    ----------
    found : list of Found
        From :func:`find_anomalies`.
    machine_type : dtype
        Type of the telemetry's ``machineID``.
    """
    spans = np.concatenate([item.unjudged for item in found])
    table = _label(found, [len(item.unjudged) for item in found], machine_type)
    table["start"], table["end"] = (spans[:, column].astype("datetime64[us]") for column in (0, 1))
    table["readings"] = spans[:, 2]
    reasons = [reason for item in found for reason in item.span_reasons]
    table["reason"] = pd.Series(reasons, dtype="str")
    return table


def _join(found: list[Found], machine_type: Any) -> pd.DataFrame:
    """Return one table of all anomalies, with the types of the schema also where there is none."""
    table = _label(found, [len(item.times) for item in found], machine_type)
    table[TIME] = np.concatenate([item.times for item in found]).astype("datetime64[us]")
    for column in ("value", "expected", "score"):
        table[column] = np.concatenate([getattr(item, column) for item in found])
    is_above = np.concatenate([item.is_above for item in found])
    table["direction"] = pd.Series(np.where(is_above, "pos", "neg"), dtype="str")
    return table


def _label(found: list[Found], counts: list[int], machine_type: Any) -> pd.DataFrame:
    """Return a table with the machine and the sensor of each series, so many times as counted."""
    repeated = np.repeat(np.arange(len(found)), counts)
    names = pd.Series([item.machine for item in found], dtype=machine_type)
    sensors = pd.Series([item.sensor for item in found], dtype="str")
    return pd.DataFrame({MACHINE: names.iloc[repeated].array, "sensor": sensors.iloc[repeated].array})


STL_ROADS: dict[str, Decompose] = {"batch": periodic_robust_stl_batch, "statsmodels": one_by_one}

DETECTORS: dict[str, Detector] = {
    "causal": Detector(_find_causally, is_causal=True),
    "batch": Detector(_find_in_batch, is_causal=False),
}


_SPANS_US = {"day": 86_400_000_000, "hour": 3_600_000_000}


_THRESHOLD_SHARES = {"med_max": 0.5, "p95": 0.95, "p99": 0.99}


def keep_last(
    index: npt.NDArray[np.intp], times: npt.NDArray[np.int64], *, span: Literal["day", "hour"]
) -> npt.NDArray[np.bool_]:
    """Return which anomalies lie in the last day or hour of the series.

    Parameters
    ----------
    index : numpy.ndarray of int, shape (m,)
        Rows of the anomalies.
    times : numpy.ndarray of int, shape (n,)
        Stamps of all rows, microseconds.
    span : {"day", "hour"}
        Kept is what comes later than the last stamp less this.
    """
    return np.asarray(times[index] > times.max() - _SPANS_US[span])


def keep_high(
    index: npt.NDArray[np.intp],
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.int64],
    *,
    threshold: Literal["med_max", "p95", "p99"],
) -> npt.NDArray[np.bool_]:
    """Return which anomalies reach the median, or a percentile, of the maxima of the calendar days (UTC).

    Parameters
    ----------
    index : numpy.ndarray of int, shape (m,)
        Rows of the anomalies.
    values : numpy.ndarray of float64, shape (n,)
        Readings, any unit; NaN where missing.
    times : numpy.ndarray of int, shape (n,)
        Stamps of all rows, microseconds since 1970 UTC.
    threshold : {"med_max", "p95", "p99"}
        Median, 95th or 99th percentile (linear between ranks) of the daily maxima.
    """
    days, of_row = np.unique(times // _SPANS_US["day"], return_inverse=True)
    maxima = np.full(len(days), -np.inf)
    np.maximum.at(maxima, of_row, np.where(np.isnan(values), -np.inf, values))
    limit = np.quantile(maxima[np.isfinite(maxima)], _THRESHOLD_SHARES[threshold])
    return np.asarray(values[index] >= limit)
