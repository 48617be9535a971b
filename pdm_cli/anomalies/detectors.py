"""Anomaly detectors: telemetry of whole machines in, anomalies out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.anomalies.causal_esd import causal_esd
from pdm_cli.anomalies.causal_grid import CausalRules, fewest_readings, make_rules
from pdm_cli.anomalies.contiguous import Pieces, cut_at_gaps, reason_of_series, reasons_too_short, reasons_untested
from pdm_cli.anomalies.fleet_profile import FleetProfiles, FleetScores, score_by_fleet
from pdm_cli.anomalies.seasonal_esd import Anomalies, merge_anomalies, seasonal_hybrid_esd
from pdm_cli.anomalies.skip_reasons import reason_no_window, reason_without_signal, span_reasons
from pdm_cli.anomalies.stl import Decompose, periodic_robust_stl
from pdm_cli.anomalies.stl_statsmodels import statsmodels_stl_batch
from pdm_cli.anomalies.windows import DetectWindows, choose_windows
from pdm_cli.errors import DataError
from pdm_cli.preparation.cleaning import same_machine_as_above, sensors_of, to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import DetectParams

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

STL_METHODS: dict[str, Decompose] = {"batch": periodic_robust_stl, "statsmodels": statsmodels_stl_batch}

_SPANS_US = {"day": 86_400_000_000, "hour": 3_600_000_000}
_THRESHOLD_SHARES = {"med_max": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Series:
    """One sensor of one machine."""

    machine: Any
    sensor: str
    times: NDArray[np.int64]
    values: FloatArray


@dataclass(frozen=True)
class SeriesResult:
    """Anomalies of one sensor of one machine, and what was not tested.

    Attributes
    ----------
    machine, sensor
        The series.
    judged : int
        Number of readings tested.
    times : (a,) int array
        Times of the anomalies, increasing, in microseconds since 1970.
    value, expected, score : (a,) arrays
        As in :data:`pdm_cli.schema.ANOMALIES`.
    is_above : (a,) bool array
        Whether the anomaly is above its expected value.
    is_by_fleet : (a,) bool array
        Whether the expected value is that of the other machines.
    unjudged : (u, 3) int array
        Spans of readings not tested: first time, last time, number of readings.
    span_reasons : tuple of str
        The reason, one per span.
    reason : str or None
        Why no reading was tested, except against the other machines.
    is_capped : bool
        Whether the number of anomalies reached ``max_anoms``, so that there may be more.
    judged_by_fleet : int
        Number of readings tested against the other machines.
    untested_pieces : int
        Pieces between gaps that could not be tested, in batch mode, where others were.
    """

    machine: Any
    sensor: str
    judged: int
    times: NDArray[np.int64]
    value: FloatArray
    expected: FloatArray
    score: FloatArray
    is_above: BoolArray
    is_by_fleet: BoolArray
    unjudged: NDArray[np.int64]
    span_reasons: tuple[str, ...]
    reason: str | None = None
    is_capped: bool = False
    judged_by_fleet: int = 0
    untested_pieces: int = 0


@dataclass(frozen=True)
class Detector:
    """A detector.

    Attributes
    ----------
    find : callable
        (series of some machines, grouped by machine; windows; settings; profiles of the fleet or None) -> one
        :class:`SeriesResult` per series.
    is_causal : bool
        Whether each reading is tested on earlier readings only; otherwise its anomalies see the future and may not
        become features.
    """

    find: Callable[[list[list[Series]], DetectWindows, DetectParams, FleetProfiles | None], Iterator[SeriesResult]]
    is_causal: bool


def find_anomalies(
    telemetry: pd.DataFrame, *, step_us: int, params: DetectParams, fleet: FleetProfiles | None = None
) -> tuple[pd.DataFrame, list[SeriesResult]]:
    """Find the anomalies of every machine and sensor.

    Parameters
    ----------
    telemetry : DataFrame
        Prepared telemetry of whole machines.
    step_us : int
        Its step in microseconds.
    params : DetectParams
        Mode and settings.
    fleet : FleetProfiles, optional
        Causal mode tests readings of machines without history against it.

    Returns
    -------
    anomalies : DataFrame
        Columns of :data:`pdm_cli.schema.ANOMALIES`, sorted by machine, sensor in the table's order, and time.
    results : list of SeriesResult
        One per machine and sensor, including those without anomalies or not tested.
    """
    windows = choose_windows(step_us, params)
    results = list(DETECTORS[params.mode].find(group_series(telemetry), windows, params, fleet))
    return _join(results, telemetry[MACHINE].dtype), results


def group_series(telemetry: pd.DataFrame) -> list[list[Series]]:
    """Return the series of each machine of prepared telemetry."""
    starts = np.flatnonzero(~same_machine_as_above(telemetry)).tolist()
    machines = []
    for start, stop in zip(starts, [*starts[1:], len(telemetry)], strict=True):
        machine = telemetry.iloc[start:stop]
        name, times = machine[MACHINE].tolist()[0], to_microseconds(machine[TIME])
        machines.append([Series(name, s, times, machine[s].to_numpy()) for s in sensors_of(telemetry)])
    return machines


def causal_rules(windows: DetectWindows, params: DetectParams) -> CausalRules:
    """Return the settings of causal tests."""
    return make_rules(
        windows,
        refit_hours=params.refit_hours,
        min_share=params.window_share,
        alpha=params.alpha,
        direction=params.direction,
    )


def _find_causally(
    machines: list[list[Series]], windows: DetectWindows, params: DetectParams, fleet: FleetProfiles | None
) -> Iterator[SeriesResult]:
    score = partial(
        causal_esd,
        windows=windows,
        refit_hours=params.refit_hours,
        min_share=params.window_share,
        alpha=params.alpha,
        direction=params.direction,
    )
    rules = causal_rules(windows, params)
    for machine in machines:
        batch, times = np.stack([series.values for series in machine]), machine[0].times
        own = score(batch, times)
        tested = _CausalTest(own.value, own.expected, own.score, np.zeros(batch.shape, np.bool_))
        if fleet is not None:
            tested = _add_fleet(tested, score_by_fleet(batch, times, machine[0].machine, fleet, rules))
        for number, series in enumerate(machine):
            yield _result_of_test(series, tested.take(number), windows, params)


@dataclass(frozen=True, eq=False)
class _CausalTest:
    """Tested values, expected values and scores, of one shape, and whether each is against the fleet."""

    value: FloatArray
    expected: FloatArray
    score: FloatArray
    is_by_fleet: BoolArray

    def take(self, number: int) -> _CausalTest:
        """Return those of one series of a batch."""
        return _CausalTest(self.value[number], self.expected[number], self.score[number], self.is_by_fleet[number])


def _add_fleet(own: _CausalTest, fleet: FleetScores) -> _CausalTest:
    is_by_fleet = np.isnan(own.score) & ~np.isnan(fleet.score)
    return _CausalTest(
        np.where(is_by_fleet, fleet.value, own.value),
        np.where(is_by_fleet, fleet.expected, own.expected),
        np.where(is_by_fleet, fleet.score, own.score),
        is_by_fleet,
    )


def _result_of_test(series: Series, test: _CausalTest, windows: DetectWindows, params: DetectParams) -> SeriesResult:
    is_tested = ~np.isnan(test.score)
    rows = np.flatnonzero(test.score > 1)
    value, expected = test.value[rows], test.expected[rows]
    anomalies = _Anomalous(rows, value, expected, test.score[rows], value > expected)
    result = _tested(series, windows, is_tested, anomalies)
    if not (is_tested & ~test.is_by_fleet).any():
        # Readings that the fleet tested stay so: at their time, nobody knew that the series would not vary.
        fewest = fewest_readings(windows.window, params.window_share)
        reason = reason_without_signal(series.values) or reason_no_window(series.values, windows, fewest=fewest)
        result = replace(result, reason=reason, span_reasons=(reason,) * len(result.unjudged))
    return replace(result, is_by_fleet=test.is_by_fleet[rows], judged_by_fleet=int(test.is_by_fleet.sum()))


def _find_in_batch(
    machines: list[list[Series]], windows: DetectWindows, params: DetectParams, _fleet: FleetProfiles | None
) -> Iterator[SeriesResult]:
    every = [series for machine in machines for series in machine]
    cut = [cut_at_gaps(series.values, series.times, windows) for series in every]
    short = [reasons_too_short(pieces, series.times, windows) for series, pieces in zip(every, cut, strict=True)]
    long_enough = [
        pieces.smoothed[rows]
        for pieces, reasons in zip(cut, short, strict=True)
        for rows, reason in zip(pieces.rows, reasons, strict=True)
        if reason is None
    ]
    outcomes = iter(
        seasonal_hybrid_esd(
            long_enough,
            period=windows.period,
            max_anoms=params.max_anoms,
            alpha=params.alpha,
            direction=params.direction,
            longterm_rows=windows.piece or None,
            decompose=STL_METHODS[params.stl],
        )
    )
    for series, pieces, too_short in zip(every, cut, short, strict=True):
        own = [None if reason else next(outcomes) for reason in too_short]
        yield _join_pieces(series, pieces, own, reasons_untested(own, too_short), windows, params)


def _join_pieces(
    series: Series,
    pieces: Pieces,
    outcomes: list[Anomalies | DataError | None],
    reasons: list[str | None],
    windows: DetectWindows,
    params: DetectParams,
) -> SeriesResult:
    reason = reason_without_signal(series.values) or reason_of_series(reasons, windows)
    if reason is not None:
        return _not_tested(series, reason)
    tested = [
        (rows.start, outcome)
        for rows, outcome, why in zip(pieces.rows, outcomes, reasons, strict=True)
        if why is None and isinstance(outcome, Anomalies)
    ]
    joined = merge_anomalies(tested)
    # A mean of few readings bridges a gap for the decomposition, but is not tested itself.
    number = pieces.number_rows()
    is_tested = pieces.has_whole_window & np.array([why is None for why in reasons])[number]
    kept = joined.keep(is_tested[joined.index] & _is_reported(joined, pieces.smoothed, series.times, params))
    anomalies = _Anomalous(kept.index, pieces.smoothed[kept.index], kept.expected, kept.score, kept.direction > 0)

    def explain(times: NDArray[np.int64], first: NDArray[np.intp]) -> list[str]:
        usual = span_reasons(times, first, step_us=windows.step_us, reach=windows.reach)
        of_piece = number[np.searchsorted(series.times, times[first])].tolist()
        return [reasons[piece] or why for piece, why in zip(of_piece, usual, strict=True)]

    result = _result(series, is_tested, anomalies, explain, parts=number)
    return replace(result, is_capped=joined.is_capped, untested_pieces=len(reasons) - len(tested))


def _is_reported(outcome: Anomalies, values: FloatArray, times: NDArray[np.int64], params: DetectParams) -> BoolArray:
    is_reported = np.ones(len(outcome.index), np.bool_)
    if params.only_last != "all":
        is_reported &= keep_last(outcome.index, times, span=params.only_last)
    if params.anomaly_threshold != "none":
        is_reported &= keep_high(outcome.index, values, times, threshold=params.anomaly_threshold)
    return is_reported


@dataclass(frozen=True)
class _Anomalous:
    """The anomalous rows of a series, with value, expected value, score and side of each."""

    rows: NDArray[np.intp]
    value: FloatArray
    expected: FloatArray
    score: FloatArray
    is_above: BoolArray


_EMPTY = np.array([], np.float64)
_NO_ANOMALIES = _Anomalous(np.array([], np.intp), _EMPTY, _EMPTY, _EMPTY, np.array([], np.bool_))


def _not_tested(series: Series, reason: str) -> SeriesResult:
    result = _result(
        series, np.zeros(len(series.values), np.bool_), _NO_ANOMALIES, lambda _, first: [reason] * len(first)
    )
    return replace(result, reason=reason)


def _tested(series: Series, windows: DetectWindows, is_tested: BoolArray, anomalies: _Anomalous) -> SeriesResult:
    return _result(series, is_tested, anomalies, partial(span_reasons, step_us=windows.step_us, reach=windows.reach))


def _result(
    series: Series,
    is_tested: BoolArray,
    anomalies: _Anomalous,
    explain: Callable[[NDArray[np.int64], NDArray[np.intp]], list[str]],
    parts: NDArray[np.int64] | None = None,
) -> SeriesResult:
    times, first, stop = _spans(series, is_tested, parts)
    return SeriesResult(
        machine=series.machine,
        sensor=series.sensor,
        judged=int(is_tested.sum()),
        times=series.times[anomalies.rows],
        value=anomalies.value,
        expected=anomalies.expected,
        score=anomalies.score,
        is_above=anomalies.is_above,
        is_by_fleet=np.zeros(len(anomalies.rows), np.bool_),
        unjudged=np.stack([times[first], times[stop - 1], stop - first], axis=1),
        span_reasons=tuple(explain(times, first)),
    )


def _spans(
    series: Series, is_tested: BoolArray, parts: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    """Return the times of the readings, and between which of them (first, stop) each span was not tested.

    A span ends where another of the ``parts`` (n,) begins.
    """
    readings = np.flatnonzero(np.isfinite(series.values))
    untested = ~is_tested[readings]
    part = np.zeros(len(readings)) if parts is None else parts[readings]
    is_new = np.diff(part, prepend=part[:1]) != 0
    # A reading that is not tested begins a span after one that is, or in a new part.
    first = np.flatnonzero(untested & (is_new | ~np.append(False, untested[:-1])[: len(untested)]))
    stop = np.flatnonzero(untested & ~np.append(untested[1:] & ~is_new[1:], False)[: len(untested)]) + 1
    return series.times[readings], first, stop


def list_unjudged(results: list[SeriesResult], machine_type: Any) -> pd.DataFrame:
    """Return the spans of readings that were not tested, one per row, with the columns of the schema.

    Parameters
    ----------
    results : list of SeriesResult
        From :func:`find_anomalies`.
    machine_type : dtype
        Type of the telemetry's ``machineID``.
    """
    spans = np.concatenate([item.unjudged for item in results])
    table = _label(results, [len(item.unjudged) for item in results], machine_type)
    table["start"], table["end"] = (spans[:, column].astype("datetime64[us]") for column in (0, 1))
    table["readings"] = spans[:, 2]
    reasons = [reason for item in results for reason in item.span_reasons]
    table["reason"] = pd.Series(reasons, dtype="str")
    return table


def _join(results: list[SeriesResult], machine_type: Any) -> pd.DataFrame:
    """Return one table of all anomalies, with the column types of the schema even if it is empty."""
    table = _label(results, [len(item.times) for item in results], machine_type)
    table[TIME] = np.concatenate([item.times for item in results]).astype("datetime64[us]")
    for column in ("value", "expected", "score"):
        table[column] = np.concatenate([getattr(item, column) for item in results])
    is_above = np.concatenate([item.is_above for item in results])
    table["direction"] = pd.Series(np.where(is_above, "pos", "neg"), dtype="str")
    is_by_fleet = np.concatenate([item.is_by_fleet for item in results])
    table["by"] = pd.Series(np.where(is_by_fleet, "fleet", "machine"), dtype="str")
    return table


def _label(results: list[SeriesResult], counts: list[int], machine_type: Any) -> pd.DataFrame:
    """Return a table with the machine and the sensor of each series, repeated ``counts`` times."""
    repeated = np.repeat(np.arange(len(results)), counts)
    names = pd.Series([item.machine for item in results], dtype=machine_type)
    sensors = pd.Series([item.sensor for item in results], dtype="str")
    return pd.DataFrame({MACHINE: names.iloc[repeated].array, "sensor": sensors.iloc[repeated].array})


DETECTORS: dict[str, Detector] = {
    "causal": Detector(_find_causally, is_causal=True),
    "batch": Detector(_find_in_batch, is_causal=False),
}


def keep_last(
    index: npt.NDArray[np.intp], times: npt.NDArray[np.int64], *, span: Literal["day", "hour"]
) -> npt.NDArray[np.bool_]:
    """Return which anomalies (rows ``index``) are later than the last row time minus a day or an hour."""
    return np.asarray(times[index] > times.max() - _SPANS_US[span])


def keep_high(
    index: npt.NDArray[np.intp],
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.int64],
    *,
    threshold: Literal["med_max", "p95", "p99"],
) -> npt.NDArray[np.bool_]:
    """Return which anomalies reach the median, or a percentile, of the daily maxima (calendar days, UTC).

    ``index`` (m,) are the rows of the anomalies, ``values`` (n,) the readings (NaN where missing), ``times`` (n,) their
    microseconds since 1970 UTC. Percentiles are linear between ranks.
    """
    days, of_row = np.unique(times // _SPANS_US["day"], return_inverse=True)
    maxima = np.full(len(days), -np.inf)
    np.maximum.at(maxima, of_row, np.where(np.isnan(values), -np.inf, values))
    limit = np.quantile(maxima[np.isfinite(maxima)], _THRESHOLD_SHARES[threshold])
    return np.asarray(values[index] >= limit)
