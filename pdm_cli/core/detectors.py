"""Detectors: from one series to its anomalies. One registry line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.core.cleaning import same_machine_as_above, sensors_of, to_microseconds
from pdm_cli.core.events import US_PER_HOUR
from pdm_cli.core.rolling import trailing_mean
from pdm_cli.core.sesd import Anomalies, seasonal_hybrid_esd
from pdm_cli.errors import DataError
from pdm_cli.params import DetectParams
from pdm_cli.schema import ANOMALIES, MACHINE, TIME

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Detector:
    """A detector and what may be done with its anomalies.

    Attributes
    ----------
    find : callable
        (n,) equally spaced readings, readings a day, settings -> anomalies.
    is_causal : bool
        Whether a point is judged from readings up to its own stamp only; else its anomalies see the future and may
        not become features.
    """

    find: Callable[[FloatArray, float, DetectParams], Anomalies]
    is_causal: bool


@dataclass(frozen=True)
class Series:
    """What became of one machine's sensor.

    Attributes
    ----------
    machine : object
        The machine.
    sensor : str
        The sensor.
    readings : int
        Readings judged.
    anomalies : int
        Anomalies found.
    reason : str or None
        Why the series was not judged.
    """

    machine: Any
    sensor: str
    readings: int
    anomalies: int
    reason: str | None = None


def find_anomalies(telemetry: pd.DataFrame, *, step_us: int, params: DetectParams) -> tuple[pd.DataFrame, list[Series]]:
    """Find the anomalies of every machine and sensor.

    Parameters
    ----------
    telemetry : DataFrame
        Prepared telemetry of whole machines.
    step_us : int
        Its step in microseconds.
    params : DetectParams
        Detector and its settings.

    Returns
    -------
    anomalies : DataFrame
        Columns of :data:`pdm_cli.schema.ANOMALIES`, sorted by machine, sensor in the table's order, and time.
    series : list of Series
        One a machine and sensor, also where there is no anomaly or the series cannot be judged.
    """
    found, outcomes = [_no_anomalies(telemetry)], []
    steps_a_day = 24 * US_PER_HOUR / step_us
    starts = np.flatnonzero(~same_machine_as_above(telemetry))
    for start, stop in zip(starts, [*starts[1:], len(telemetry)], strict=True):
        machine = telemetry.iloc[start:stop]
        name = machine[MACHINE].tolist()[0]
        reason = _why_irregular(machine, step_us)
        for sensor in sensors_of(telemetry):
            values = machine[sensor].to_numpy()
            if params.smooth_hours:
                values = trailing_mean(values, max(1, round(params.smooth_hours * US_PER_HOUR / step_us)))
            try:
                if reason is not None:
                    raise DataError(reason)
                anomalies = DETECTORS[params.detector].find(values, steps_a_day, params)
            except DataError as error:
                outcomes.append(Series(name, sensor, 0, 0, error.message))
                continue
            found.append(_as_frame(machine, sensor, values, anomalies))
            outcomes.append(Series(name, sensor, int(np.isfinite(values).sum()), len(anomalies.index)))
    return pd.concat(found, ignore_index=True), outcomes


def _why_irregular(machine: pd.DataFrame, step_us: int) -> str | None:
    apart = np.diff(to_microseconds(machine[TIME]))
    if np.all(apart == step_us):
        return None
    return f"a gap of {apart.max() / US_PER_HOUR:g} h splits the series"


def _as_frame(machine: pd.DataFrame, sensor: str, values: FloatArray, anomalies: Anomalies) -> pd.DataFrame:
    rows = machine.iloc[anomalies.index]
    return pd.DataFrame(
        {
            MACHINE: rows[MACHINE].array,
            "sensor": sensor,
            TIME: rows[TIME].to_numpy(),
            "value": values[anomalies.index],
            "expected": anomalies.expected,
            "score": anomalies.score,
            "direction": np.where(anomalies.direction > 0, "pos", "neg"),
        }
    ).astype({"sensor": "str", "direction": "str"})


def _no_anomalies(telemetry: pd.DataFrame) -> pd.DataFrame:
    kinds = {"machine": telemetry[MACHINE].dtype, "time": telemetry[TIME].dtype, "text": "str", "number": "float64"}
    return pd.DataFrame({c.name: pd.Series(dtype=kinds[c.kind]) for c in ANOMALIES.columns})


def _batch_seasonal_hybrid_esd(values: FloatArray, steps_a_day: float, params: DetectParams) -> Anomalies:
    steps_an_hour = steps_a_day / 24
    period = round(params.period_hours * steps_an_hour)
    if period < 2 or abs(period - params.period_hours * steps_an_hour) > 1e-9:
        raise DataError(f"a period of {params.period_hours:g} h is not two or more whole steps of the telemetry")
    return seasonal_hybrid_esd(
        values,
        period=period,
        max_anoms=params.max_anoms,
        alpha=params.alpha,
        direction=params.direction,
        longterm_rows=round(params.longterm_days * steps_a_day) or None,
    )


DETECTORS: dict[str, Detector] = {"seasonal-hybrid-esd": Detector(_batch_seasonal_hybrid_esd, is_causal=False)}
