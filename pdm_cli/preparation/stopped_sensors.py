"""Sensors that stop or freeze on a machine, as far as an overview shows it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pdm_cli.preparation.overview import Overview
from pdm_cli.preparation.problems import Problem, name_machines, show_day
from pdm_cli.settings.duration import show_length
from pdm_cli.timestamps import US_PER_HOUR, show
from pdm_cli.units import name_sensor

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Shortest time without a reading or change, and the fewest rows in it.
_LEAST_US, _LEAST_ROWS = 24 * US_PER_HOUR, 24
# A sensor stops if it has this share of its readings until then, and none in this number of buckets and share of rows.
_RECORDED, _LEAST_BUCKETS, _LEAST_SHARE = 0.5, 2, 0.05
# A counter or state often keeps its value: a frozen sensor does on few machines, and outside the longest time rarely.
_FEW_MACHINES, _FLAT_ELSEWHERE = 0.2, 0.02
# Spread of equal readings that rounding causes, as a share of their difference from the reference.
_ROUNDING = 1e-6


def find_stopped(overview: Overview) -> list[Problem]:
    """Return the sensors without a reading from some day on, on machines that continue, and those that freeze."""
    problems = []
    for place in range(len(overview.sensors)):
        problems += [*_describe_dead(overview, place), *_describe_frozen(overview, place)]
    return problems


def _describe_dead(overview: Overview, place: int) -> Iterator[Problem]:
    """Yield the problem of machines that continue long after the last reading of a sensor."""
    rows = overview.bucket_rows[: overview.detailed]
    counts = overview.bucket_counts[place][: overview.detailed].astype(np.int64)
    last = overview.buckets - 1 - np.argmax(counts[:, ::-1] > 0, axis=1)
    is_later = np.arange(overview.buckets) > last[:, None]
    later = np.where(is_later, rows, 0).sum(axis=1)
    before = rows.sum(axis=1) - later
    lengths = overview.ends_us[: overview.detailed] - overview.edges_us[last + 1]
    is_dead = (counts.sum(axis=1) >= np.maximum(_RECORDED * before, 1)) & (lengths >= _LEAST_US)
    is_dead &= (later >= np.maximum(_LEAST_SHARE * (before + later), _LEAST_ROWS)) & (
        ((rows > 0) & is_later).sum(axis=1) >= _LEAST_BUCKETS
    )
    found = np.flatnonzero(is_dead)
    if not len(found):
        return
    machines, first = [overview.machines[at] for at in found], found[np.argmin(last[found])]
    at, sensor = int(overview.edges_us[last[first] + 1]), overview.sensors[place]
    where, length = name_machines(machines, len(overview.machines)), show_length(_round(int(lengths[first])))
    yield Problem(
        "sensor_stops",
        f"{name_sensor(sensor)} stops around {show_day(at)} on {where}, {length} before the last row",
        "check the sensor, or leave it out with --sensors",
        facts={"sensor": sensor, "machines": len(machines), "first": machines[0], "at": show(at)},
    )


def _describe_frozen(overview: Overview, place: int) -> Iterator[Problem]:
    """Yield the problem of machines on which a sensor keeps a value for long, although it varies otherwise."""
    means, spread, counts = overview.moments(place)
    scale = np.abs(means - overview.references[place])
    # Two readings may be equal by chance.
    is_flat, is_counted = (spread <= _ROUNDING * scale) & (counts > 2), counts > 2
    if not is_flat.any() or is_flat.sum() > _FEW_MACHINES * is_counted.sum():
        return
    runs = {int(at): _longest_run(is_flat[at], means[at], scale[at]) for at in np.flatnonzero(is_flat.any(axis=1))}
    in_runs = sum(stop - start for start, stop in runs.values())
    if is_flat.sum() - in_runs > _FLAT_ELSEWHERE * is_counted.sum():
        return
    # A sensor that is constant on a machine is another problem.
    varies = overview.lows[place] < overview.highs[place]
    found = [
        (at, start, stop)
        for at, (start, stop) in runs.items()
        if varies[at]
        and (stop - start) * overview.width_us >= _LEAST_US
        and counts[at, start:stop].sum() >= _LEAST_ROWS
    ]
    if not 0 < len(found) <= max(1, _FEW_MACHINES * len(overview.machines)):
        return
    machines = [overview.machines[at] for at, _, _ in found]
    _, start, stop = found[0]
    at, sensor = int(overview.edges_us[start]), overview.sensors[place]
    where = name_machines(machines, len(overview.machines))
    length = show_length(_round((stop - start) * overview.width_us))
    yield Problem(
        "sensor_freezes",
        f"{name_sensor(sensor)} does not change on {where} for about {length} from {show_day(at)} on",
        "check the sensor; was the machine off?",
        facts={"sensor": sensor, "machines": len(machines), "first": machines[0], "at": show(at)},
    )


def _longest_run(is_flat: BoolArray, means: FloatArray, scale: FloatArray) -> tuple[int, int]:
    """Return start and stop of the longest run of buckets with one value."""
    longest, start = (0, 0), 0
    for bucket in range(len(is_flat) + 1):
        is_last = bucket == len(is_flat) or not is_flat[bucket]
        if is_last or (bucket > start and abs(means[bucket] - means[bucket - 1]) > _ROUNDING * scale[bucket]):
            longest = max(longest, (start, bucket), key=lambda run: run[1] - run[0])
            start = bucket + is_last
    return longest


def _round(length_us: int) -> int:
    """Return a length in whole days if it is long, or else in hours."""
    unit = 24 * US_PER_HOUR if length_us >= 72 * US_PER_HOUR else US_PER_HOUR
    return round(length_us / unit) * unit
