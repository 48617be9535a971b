"""Operation of a simulated machine: load regimes, seasons, and the readings of a sound machine that follow from them.

Every series is drawn in order of time, so that a longer one begins with the shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

FloatArray = NDArray[np.float64]

HOURS_PER_DAY, HOURS_PER_YEAR = 24, 365 * 24

LOAD_LEVELS = (0.35, 0.65, 0.95)
REGIME_HOURS = 45.0
"""Mean hours before the load moves to another level."""
WEEKEND_LOAD = 0.6
NIGHT_DIP = 0.2
YEARLY_SWING, DAILY_SWING = 9.0, 4.0
"""Amplitudes of the ambient temperature, in degrees Celsius."""

_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor of a sound machine; all but ``lag_hours`` and ``persistence`` are in its unit.

    A reading is ``level``, plus ``per_load`` times the mean load of the last ``lag_hours``, plus ``per_degree`` times
    the ambient temperature, plus noise with a standard deviation of ``noise`` and an autocorrelation of
    ``persistence``. Machines differ by a standard deviation of ``spread``.
    """

    name: str
    level: float
    spread: float
    noise: float
    persistence: float
    per_load: float = 0.0
    per_degree: float = 0.0
    lag_hours: int = 1


SENSORS = (
    Sensor("current", 6.0, 1.5, 1.3, 0.85, per_load=38.0),
    Sensor("temperature", 30.0, 1.5, 1.1, 0.95, per_load=24.0, per_degree=0.7, lag_hours=5),
    Sensor("vibration", 2.0, 0.2, 0.4, 0.5, per_load=1.7),
    Sensor("pressure", 6.4, 0.12, 0.14, 0.8, per_load=-1.3),
    Sensor("flow", 8.0, 2.0, 3.2, 0.8, per_load=110.0),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """Load, as a share of full load, and readings of each sensor of a sound machine, hour by hour."""

    load: FloatArray
    readings: dict[str, FloatArray]


def draw_operation(seeds: list[np.random.SeedSequence], first_hour: int, end_hour: int) -> Operation:
    """Draw the operation of a machine from ``first_hour`` up to before ``end_hour``, counted from a Thursday at 06:00.

    Parameters
    ----------
    seeds : list of SeedSequence
        One for load and weather, and one per sensor.
    first_hour, end_hour : int
        Hours from the start of the telemetry; the first may be negative.
    """
    hours = np.arange(first_hour, end_hour)
    load_rng, weather_rng, offset_rng = (np.random.default_rng(seed) for seed in seeds[0].spawn(3))
    load = _draw_load(load_rng, hours)
    ambient = _draw_ambient(weather_rng, hours)
    offsets = offset_rng.normal(size=len(SENSORS))
    readings = {}
    for sensor, offset, seed in zip(SENSORS, offsets, seeds[1:], strict=True):
        noise = draw_noise(np.random.default_rng(seed), hours.size, sensor.noise, sensor.persistence)
        lagged = lfilter(np.full(sensor.lag_hours, 1 / sensor.lag_hours), [1.0], load)
        level = sensor.level + sensor.spread * offset
        readings[sensor.name] = level + sensor.per_load * lagged + sensor.per_degree * ambient + noise
    return Operation(load, readings)


def draw_noise(rng: np.random.Generator, size: int, deviation: float, persistence: float) -> FloatArray:
    """Return autocorrelated noise with the given standard deviation."""
    shocks = rng.normal(size=size)
    shocks[1:] *= np.sqrt(1 - persistence**2)
    noise: FloatArray = deviation * lfilter([1.0], [1.0, -persistence], shocks)
    return noise


def draw_renewals(rng: np.random.Generator, mean: float, *, shape: float, first: float, until: float) -> FloatArray:
    """Return the times of a renewal process after ``first``, up to ``until``, with gamma-distributed intervals."""
    times = np.empty(0)
    last = first
    while last <= until:
        times = np.append(times, last + np.cumsum(rng.gamma(shape, mean / shape, _BLOCK)))
        last = times[-1]
    return times[times <= until]


def _draw_load(rng: np.random.Generator, hours: NDArray[np.int64]) -> FloatArray:
    """Return the load: regimes of random length, less at night and on weekends."""
    changes = draw_renewals(rng.spawn(1)[0], REGIME_HOURS, shape=1.0, first=hours[0], until=hours[-1])
    regime_rng, noise_rng = rng.spawn(2)
    start = regime_rng.integers(len(LOAD_LEVELS))
    moves = 1 + regime_rng.integers(len(LOAD_LEVELS) - 1, size=len(changes))
    levels = np.array(LOAD_LEVELS)[np.cumsum([start, *moves]) % len(LOAD_LEVELS)]
    clock = hours + 6
    # 2015-01-01 is a Thursday: days 2 and 3 are the first weekend.
    is_weekend = np.isin(clock // HOURS_PER_DAY % 7, (2, 3))
    daily = 1 - NIGHT_DIP * (1 + np.cos(2 * np.pi * (clock - 3) / HOURS_PER_DAY)) / 2
    load = levels[np.searchsorted(changes, hours, side="right")] * daily * np.where(is_weekend, WEEKEND_LOAD, 1.0)
    noisy: FloatArray = load + draw_noise(noise_rng, hours.size, 0.03, 0.6)
    return np.clip(noisy, 0.05, 1.1)


def _draw_ambient(rng: np.random.Generator, hours: NDArray[np.int64]) -> FloatArray:
    """Return the ambient temperature in degrees Celsius: season, time of day, and weather that lasts for days."""
    clock = hours + 6
    yearly = -YEARLY_SWING * np.cos(2 * np.pi * (clock / HOURS_PER_YEAR - 0.05))
    daily = -DAILY_SWING * np.cos(2 * np.pi * (clock - 3) / HOURS_PER_DAY)
    return 14 + yearly + daily + draw_noise(rng, hours.size, 2.5, 0.99)
