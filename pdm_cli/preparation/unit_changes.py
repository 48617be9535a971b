"""Changes of unit: a sensor whose readings are converted from one moment on, such as from bar to psi."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.preparation.overview import Overview
from pdm_cli.preparation.problems import Problem, name_machines, show_day
from pdm_cli.text import show_number
from pdm_cli.timestamps import show
from pdm_cli.units import name_sensor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Buckets on either side that are compared, and the fewest readings in one.
_NEAR, _LEAST_NEAR, _LEAST_READINGS = 10, 3, 8
# Largest deviations of mean and spread from those of the conversion, as a share of them; with an offset, of the change.
_MEAN_TOLERANCE, _SPREAD_TOLERANCE = 0.03, 0.3
# After the conversion is undone, no step between two buckets is as large as this share of the change.
_SMOOTH = 0.25
# The gap between the levels before and after a change, as a share of the range of all levels.
_LEAST_GAP = 0.4


@dataclass(frozen=True)
class Conversion:
    """A conversion ``factor * x + offset`` of readings, and an example of units."""

    factor: float
    offset: float
    units: str

    def undo(self, values: FloatArray) -> FloatArray:
        """Return readings as they were before the conversion."""
        return (values - self.offset) / self.factor

    def describe(self) -> str:
        """Return ``multiplied by 14.5, as from bar to psi``."""
        if self.offset:
            return f"as from {self.units}"
        verb, factor = ("multiplied", self.factor) if self.factor >= 1 else ("divided", 1 / self.factor)
        return f"{verb} by {show_number(factor, ',.4g')}, as from {self.units}"


# Factors below 3.2 are left out: levels change that much without a change of unit. So are rare ones close to others.
_UNITS = (
    ("m", "ft", 3.28084, 0.0),
    ("m/s", "km/h", 3.6, 0.0),
    ("lbf", "N", 4.44822, 0.0),
    ("Hz", "rad/s", 6.28319, 0.0),
    ("psi", "kPa", 6.89476, 0.0),
    ("MPa", "bar", 10.0, 0.0),
    ("bar", "psi", 14.5038, 0.0),
    ("in", "mm", 25.4, 0.0),
    ("Hz", "rpm", 60.0, 0.0),
    ("psi", "mbar", 68.9476, 0.0),
    ("bar", "kPa", 100.0, 0.0),
    ("MPa", "psi", 145.038, 0.0),
    ("m", "mm", 1000.0, 0.0),
    ("hours", "seconds", 3600.0, 0.0),
    ("psi", "Pa", 6894.76, 0.0),
    ("bar", "Pa", 100_000.0, 0.0),
    ("m", "µm", 1_000_000.0, 0.0),
    ("°C", "°F", 1.8, 32.0),
    ("°C", "K", 1.0, 273.15),
    ("°F", "K", 1 / 1.8, 273.15 - 32 / 1.8),
)
CONVERSIONS = (
    *(Conversion(factor, offset, f"{one} to {other}") for one, other, factor, offset in _UNITS),
    *(Conversion(1 / factor, -offset / factor, f"{other} to {one}") for one, other, factor, offset in _UNITS),
)


def find_unit_changes(overview: Overview) -> list[Problem]:
    """Return the sensors whose readings are converted from one bucket on until their end, and the machines.

    Mean and spread must both change as those of a conversion do, all at once, and nothing else may change as much.
    """
    problems = []
    for place, sensor in enumerate(overview.sensors):
        found: dict[Conversion, list[tuple[int, int]]] = {}
        for machine, bucket, conversion in _of_sensor(*overview.moments(place)):
            found.setdefault(conversion, []).append((machine, bucket))
        for conversion, changes in found.items():
            machines = [overview.machines[machine] for machine, _ in changes]
            # The middle of the bucket.
            at = int(overview.edges_us[min(bucket for _, bucket in changes)]) + overview.width_us // 2
            where = name_machines(machines, len(overview.machines))
            problems.append(
                Problem(
                    "unit_change",
                    f"{name_sensor(sensor)} changes its unit around {show_day(at)} on {where}: {conversion.describe()}",
                    "convert the readings of one side, or use only those of the other",
                    facts={
                        "sensor": sensor,
                        "machines": len(machines),
                        "first": machines[0],
                        "at": show(at),
                        "factor": round(conversion.factor, 6),
                        "offset": round(conversion.offset, 6),
                    },
                )
            )
    return problems


def _of_sensor(means: FloatArray, spread: FloatArray, counts: IntArray) -> Iterable[tuple[int, int, Conversion]]:
    """Yield the machines with a change, the bucket in which it happens, and the conversion."""
    has_enough = counts >= _LEAST_READINGS
    is_candidate = (has_enough.sum(axis=1) > 2 * _LEAST_NEAR) & _has_gap(np.where(has_enough, means, np.nan))
    for machine in np.flatnonzero(is_candidate):
        buckets = np.flatnonzero(has_enough[machine])
        found = _find_change(means[machine, buckets], spread[machine, buckets])
        if found is not None:
            yield int(machine), int(buckets[found[0]]), found[1]


def _has_gap(means: FloatArray) -> NDArray[np.bool_]:
    """Return whether all levels from a bucket on are well above or below all levels before the previous one."""
    is_apart = np.zeros(len(means), np.bool_)
    if means.shape[1] < 3:
        return is_apart
    spread = np.fmax.reduce(means, axis=1) - np.fmin.reduce(means, axis=1)
    for values in (means, -means):
        before = np.fmax.accumulate(values, axis=1)[:, :-2]
        after = np.fmin.accumulate(values[:, ::-1], axis=1)[:, ::-1][:, 2:]
        # Comparisons with NaN are false.
        is_apart |= np.fmax.reduce(after - before, axis=1) >= _LEAST_GAP * spread
    return is_apart


def _find_change(means: FloatArray, spread: FloatArray) -> tuple[int, Conversion] | None:
    """Return the first bucket after the change of a series, or the one that has it, and the conversion."""
    for sign in (1.0, -1.0):
        # All levels after a change are beyond all levels before it.
        before, after = np.maximum.accumulate(sign * means), np.minimum.accumulate(sign * means[::-1])[::-1]
        apart = after[1:] - before[:-1]
        inner = slice(_LEAST_NEAR - 1, len(apart) - _LEAST_NEAR + 1)
        if not len(apart[inner]):
            return None
        at = int(np.argmax(apart[inner])) + _LEAST_NEAR
        # The bucket before or after may have readings of both units.
        for left, right in ((at, at), (at - 1, at), (at, at + 1)):
            conversion = _match(means, spread, left, right)
            if conversion is not None:
                return left, conversion
    return None


def _match(means: FloatArray, spread: FloatArray, left: int, right: int) -> Conversion | None:
    """Return the conversion between the buckets up to ``left`` and those from ``right`` on."""
    if min(left, len(means) - right) < _LEAST_NEAR:
        return None
    one, other = slice(max(left - _NEAR, 0), left), slice(right, right + _NEAR)
    mean, converted = float(np.mean(means[one])), float(np.mean(means[other]))
    width, converted_width = float(np.median(spread[one])), float(np.median(spread[other]))
    if width <= 1e-9 * abs(mean) or converted_width <= 1e-9 * abs(converted):
        # Constants have no spread to compare.
        return None
    best, least = None, 1.0
    for conversion in CONVERSIONS:
        expected = float(conversion.factor * mean + conversion.offset)
        tolerance = _MEAN_TOLERANCE * abs(expected - mean if conversion.offset else expected)
        error = abs(converted - expected) / tolerance if tolerance else np.inf
        ratio = converted_width / (width * conversion.factor)
        if error < least and 1 - _SPREAD_TOLERANCE <= ratio <= 1 / (1 - _SPREAD_TOLERANCE):
            best, least = conversion, error
    is_smooth = best is not None and _is_smooth(means[:left], means[right:], best, abs(converted - mean))
    return best if is_smooth else None


def _is_smooth(before: FloatArray, after: FloatArray, conversion: Conversion, jump: float) -> bool:
    """Return whether a series has no other change as large, in either unit."""
    series = np.concatenate([before, conversion.undo(after)])
    # Smaller numbers have smaller steps.
    largest = float(np.abs(np.diff(series)).max()) * max(1.0, conversion.factor)
    return largest <= _SMOOTH * jump
