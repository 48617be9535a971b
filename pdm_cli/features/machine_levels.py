"""Levels of a machine compared with its own past, and with the relation between its sensors.

Slow damage moves the mean of days or weeks away from the level that the machine had before, by less than machines
differ from each other. Load and season move it, too, but all sensors together: what the other sensors explain, as they
did on healthy machines, is subtracted in the residual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.robust_z import MAD_TO_SIGMA
from pdm_cli.features.rolling import Window
from pdm_cli.features.trailing import LongWindow, trailing_means
from pdm_cli.preparation.cleaning import sensors_of, to_microseconds
from pdm_cli.schema import TIME
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Windows of the levels, and the shortest window of a machine's usual level, in horizons.
_HORIZONS = (0.5, 3.5)
_HORIZONS_OF_USUAL = 15
# A machine is healthy if it is this many horizons before its next failure, or in the first half of its life.
_HEALTHY_HORIZONS = 7
# Levels are clipped to this many robust standard deviations where they explain others, which limits a glitch.
_CLIP = 6.0
# Relative rounding error of a mean.
_ROUNDING = 1e-12
# Predictors are rounded to multiples of this, which is far below their noise; a power of 2.
_RESOLUTION = 2.0**-20
# Largest integers that float64 adds up exactly.
_EXACT_BITS = 53
# Instants of which the residuals are computed at a time.
_BLOCK = 4096
# Added to the diagonal of the correlations, as sensors may be copies of each other.
_RIDGE = 1e-3


@dataclass(frozen=True)
class MachineLevels:
    """Mean over trailing windows minus the machine's usual level, for m instants.

    Attributes
    ----------
    sensors : list of str
        The s sensors.
    labels : list of str
        Label of each window, such as ``24h``.
    values : list of (s, m) arrays
        One per window, in the unit of the sensor; NaN with too few readings.
    usual : (s, m) array
        The usual level; NaN where the history is too short.
    """

    sensors: list[str]
    labels: list[str]
    values: list[FloatArray]
    usual: FloatArray


@dataclass(frozen=True)
class LevelWindows:
    """Lengths in hours of the windows of the levels, and of the usual level."""

    hours: tuple[float, ...]
    usual_hours: float

    @classmethod
    def of(cls, horizon_hours: float, usual_hours: float) -> LevelWindows:
        """Return the windows for a horizon; the usual level covers ``usual_hours``, or 15 horizons if longer."""
        hours = tuple(share * horizon_hours for share in _HORIZONS)
        return cls(hours, max(usual_hours, _HORIZONS_OF_USUAL * horizon_hours))

    def intervals(self, grid_us: int) -> list[int]:
        """Return the windows in whole intervals of the grid, at least 1; those that round to the same are one."""
        return list(dict.fromkeys(max(round(hours * US_PER_HOUR / grid_us), 1) for hours in self.hours))

    def labels(self, grid_us: int) -> list[str]:
        """Return the label of each window in whole intervals."""
        return [Window(count * grid_us / US_PER_HOUR, count).label for count in self.intervals(grid_us)]


def find_levels(
    telemetry: pd.DataFrame, instants: Instants, windows: LevelWindows, *, step_us: int, grid_us: int
) -> MachineLevels:
    """Return how far the mean of the last days is from the machine's usual level.

    The usual level is the mean over its window, or over the machine's history if shorter.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and s float sensors; sorted by machine, then time.
    instants : Instants
        The m instants.
    windows : LevelWindows
        Rounded to whole intervals of the grid. The usual level needs as many readings as a horizon's window.
    step_us, grid_us : int
        Step of the telemetry and of the feature grid in microseconds.
    """
    intervals = windows.intervals(grid_us)
    usual = max(round(windows.usual_hours * US_PER_HOUR / grid_us), intervals[-1] + 1)
    asked = [LongWindow.of(count, step_us=step_us, grid_us=grid_us) for count in intervals]
    fewest = LongWindow.of(2 * intervals[0], step_us=step_us, grid_us=grid_us).fewest
    asked.append(LongWindow(usual, fewest))
    *means, level = trailing_means(telemetry, instants, asked, grid_us=grid_us)
    labels = windows.labels(grid_us)
    return MachineLevels(sensors_of(telemetry), labels, [_difference(mean, level) for mean in means], level)


def _difference(means: FloatArray, level: FloatArray) -> FloatArray:
    """Return means minus the level; 0 within rounding errors, which a constant sensor would otherwise consist of."""
    difference = means - level
    difference[np.abs(difference) <= _ROUNDING * np.abs(level)] = 0.0
    return difference


@dataclass(frozen=True)
class SensorRelation:
    """Linear prediction of the level of each sensor from those of the others, on healthy machines.

    Attributes
    ----------
    sensors : list of str
        The s sensors.
    scales : (s,) array
        Robust standard deviation of the level of each sensor, positive.
    weights : (s, s) array
        Row j predicts sensor j from the others; both in units of their scales. The diagonal is 0.
    """

    sensors: list[str]
    scales: FloatArray
    weights: FloatArray

    def to_json(self) -> dict[str, Any]:
        """Return names and nested lists of numbers for :meth:`from_json`."""
        return {"sensors": self.sensors, "scales": self.scales.tolist(), "weights": self.weights.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> SensorRelation:
        """Read the output of :meth:`to_json`.

        Raises
        ------
        KeyError
            If a part is missing.
        ValueError
            If the shapes do not match, a number is not finite, or a scale is not positive.
        """
        sensors = list(content["sensors"])
        scales, weights = (np.array(content[name], np.float64) for name in ("scales", "weights"))
        if scales.shape != (len(sensors),) or weights.shape != (len(sensors), len(sensors)):
            raise ValueError(f"a relation of {len(sensors)} sensors has shapes {scales.shape} and {weights.shape}")
        if not (np.isfinite(weights).all() and np.isfinite(scales).all() and (scales > 0).all()):
            raise ValueError("a relation of sensors has a number that is not finite, or a scale that is not positive")
        return cls(sensors, scales, weights)

    def residuals(self, levels: FloatArray) -> FloatArray:
        """Return levels (s, m) minus their prediction, in units of the scale; a missing level of another counts as 0.

        NaN where the sensor's own level is missing.
        """
        weights = _round_rows(self.weights)
        residuals = levels / self.scales[:, None]
        for start in range(0, residuals.shape[1], _BLOCK):
            block = residuals[:, start : start + _BLOCK]
            predictors = np.clip(np.nan_to_num(block, nan=0.0), -_CLIP, _CLIP)
            block -= weights @ (np.rint(predictors / _RESOLUTION) * _RESOLUTION)
        return residuals


def _round_rows(weights: FloatArray) -> FloatArray:
    """Return the weights rounded so that their products with predictors are added up without rounding errors.

    A matrix product adds in an order that depends on the number of columns and threads, but the residual of an instant
    must not depend on other instants. Multiples of a power of 2 have exact sums up to 2^53 times that power.
    """
    largest = _CLIP * np.abs(weights).sum(axis=1, keepdims=True)
    # One bit is left for the rounding of the weights themselves.
    units = np.ldexp(1.0, np.frexp(largest)[1] - _EXACT_BITS + 1) / _RESOLUTION
    rounded: FloatArray = np.rint(weights / units) * units
    return rounded


def learn_relation(levels: MachineLevels, is_healthy: NDArray[np.bool_]) -> SensorRelation:
    """Fit each sensor's level on those of the others by ridge regression, at healthy instants.

    Parameters
    ----------
    levels : MachineLevels
        The first window is used.
    is_healthy : (m,) bool array
        Instants to train on. Without any, no sensor explains another.
    """
    values = levels.values[0][:, is_healthy]
    scales = np.array([_spread(row) for row in values])
    scaled = np.clip(np.nan_to_num(values / scales[:, None], nan=0.0), -_CLIP, _CLIP)
    products = scaled @ scaled.T
    powers = np.sqrt(np.diag(products))
    powers[powers == 0] = 1.0
    correlations = products / np.outer(powers, powers)
    # One inverse gives all regressions: the weights of a sensor are its row, divided by minus the diagonal element.
    inverse = np.linalg.inv(correlations + _RIDGE * np.eye(len(correlations)))
    weights = -inverse / np.diag(inverse)[:, None]
    np.fill_diagonal(weights, 0.0)
    return SensorRelation(levels.sensors, scales, weights * powers[:, None] / powers)


def _spread(values: FloatArray) -> float:
    """Return the robust standard deviation about 0, 1 where it is 0 or unknown."""
    known = np.abs(values[np.isfinite(values)])
    spread = MAD_TO_SIGMA * float(np.median(known)) if len(known) else 0.0
    return spread if 0 < spread < np.inf else 1.0


def find_healthy(
    instants: Instants, failures: pd.DataFrame, *, until_us: int, horizon_hours: float
) -> NDArray[np.bool_]:
    """Return the instants up to ``until_us`` of machines in normal operation; later failures are not used.

    Normal operation ends seven horizons before a failure of any component, or at half of the median time to failure if
    that is shorter, and begins a horizon after it.
    """
    past = EventLog(failures[to_microseconds(failures[TIME]) <= until_us], instants.machines)
    ahead = past.next_from(instants.codes, instants.times) - instants.times
    horizon = horizon_hours * US_PER_HOUR
    is_known = instants.times <= until_us
    waits = ahead[is_known & np.isfinite(ahead)]
    damaged = min(_HEALTHY_HORIZONS * horizon, float(np.median(waits)) if len(waits) else np.inf)
    since = past.last_until(instants) * US_PER_HOUR
    return np.asarray(is_known & ~(ahead < damaged) & ~(since < horizon))


def level_columns(levels: MachineLevels) -> Iterator[tuple[str, FloatArray]]:
    """Yield the levels of each sensor, such as ``volt_level_24h``."""
    for row, sensor in enumerate(levels.sensors):
        for label, values in zip(levels.labels, levels.values, strict=True):
            yield f"{sensor}_level_{label}", values[row]


def residual_columns(
    levels: MachineLevels, relation: SensorRelation
) -> Iterator[tuple[str, NDArray[np.floating[Any]]]]:
    """Yield the residuals of each sensor, such as ``volt_residual_24h``; none for a single sensor."""
    if len(levels.sensors) < 2:
        return
    # Half of the memory: they are needed no more exactly.
    with np.errstate(over="ignore"):
        residuals = [relation.residuals(values).astype(np.float32) for values in levels.values]
    for row, sensor in enumerate(levels.sensors):
        for label, values in zip(levels.labels, residuals, strict=True):
            yield f"{sensor}_residual_{label}", values[row]
