"""Simulated fleets of machines with predictable failures, drawn from a seed.

The tables have the form of real raw data. Before a failure, the component's sensor shifts from its level 48 h ahead,
its own error follows about a day ahead, and the failure falls on a planned visit, at which the component is replaced.
Decoys are equal shifts without a failure, and meaningless errors. The ground truth records which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.simulation.profiles import PROFILES
from pdm_cli.simulation.tables import Fleet, check_at_least, cut_events, make_event_table, with_times

SHIFT_HOURS = 48
"""Hours between the step of the sensor and the failure; the reading at the failure itself is still shifted."""
DECOYS_PER_SENSOR_YEAR = 5.0

VISIT_INTERVAL_HOURS = 15 * 24
HISTORY_VISITS = 14
"""Points of the visit grid before the telemetry: 14 x 15 days, about half a year."""
VISIT_HELD_SHARE = 0.9
HISTORY_VISIT_HELD_SHARE = 0.17
SECOND_COMPONENT_SHARE = 0.3

NEVER_FAILING_SHARE = 0.02
"""Share of the machines that never fail."""
OLDEST_YEARS = 20

ANNOUNCED_SHARE = 0.97
"""Share of the failures that are preceded by their own errors."""
ERROR_LEAD_HOURS = (24, 30)
"""Shortest and longest hours between a failure and its own errors; the shortest is by far the most common."""
MIN_ERROR_LEAD_SHARE = 0.95

_HOURS_PER_YEAR = 365.0 * 24.0


@dataclass(frozen=True, slots=True)
class Component:
    """A component, the sensor that shows its state and the errors it raises before it fails.

    ``level``, ``noise`` (standard deviation) and ``step`` are in the unit of the sensor; ``failure_chance`` is the mean
    probability of a failure per visit of the grid, in [0, 1].
    """

    name: str
    sensor: str
    level: float
    noise: float
    step: float
    failure_chance: float
    own_errors: tuple[str, ...]


COMPONENTS = (
    Component("comp1", "volt", 170.0, 15.0, 20.0, 0.09, ("error1",)),
    Component("comp2", "rotate", 450.0, 50.0, -80.0, 0.11, ("error2", "error3")),
    Component("comp3", "pressure", 100.0, 10.0, 25.0, 0.06, ("error4",)),
    Component("comp4", "vibration", 40.0, 5.0, 10.0, 0.08, ("error5",)),
)

ERRORS_PER_YEAR = {"error1": 8.0, "error2": 7.0, "error3": 6.0, "error4": 6.0, "error5": 2.0}
"""Errors of each type per machine-year that precede no failure."""

MODELS = {"model1": (0.15, 1.4), "model2": (0.15, 1.3), "model3": (0.35, 0.8), "model4": (0.35, 0.9)}
"""Model: its share of the fleet, and its failure rate relative to the mean of the fleet."""

SENSORS = tuple(component.sensor for component in COMPONENTS)
# Sorted, so that rows of one hour stay in the order of their labels when sorted by code.
_COMPONENT_LABELS = np.array([component.name for component in COMPONENTS])
_ERROR_LABELS = np.array(sorted(ERRORS_PER_YEAR))


@dataclass(frozen=True, slots=True)
class _Machine:
    """One simulated machine; events are rows of (hour, code), and shifts of (first hour, code, is real)."""

    model: str
    age_years: int
    readings: NDArray[np.float64]
    errors: NDArray[np.int64]
    replaced: NDArray[np.int64]
    failures: NDArray[np.int64]
    shifts: NDArray[np.int64]


def simulate_fleet(*, machines: int, days: int, seed: int, profile: str | None = None) -> Fleet:
    """Simulate a fleet; the same arguments give exactly the same tables.

    Parameters
    ----------
    machines : int
        Number of machines, at least 1; they are numbered from 1.
    days : int
        Length of the telemetry, at least 1: ``days * 24 + 1`` hourly rows per machine from 2015-01-01 06:00.
    seed : int
        Seed, at least 0. A machine of a seed is the same in a fleet of any size.
    profile : str, optional
        Name in `pdm_cli.simulation.profiles.PROFILES`; default: failures that sensors and errors show two days ahead.

    Returns
    -------
    Fleet
        All machines in memory, about 44 bytes per telemetry row; for large fleets stream `simulate_machines`.

    Raises
    ------
    ValueError
        If an argument is below its minimum, or the profile is unknown.

    Examples
    --------
    >>> fleet = simulate_fleet(machines=2, days=3, seed=0)
    >>> len(fleet.telemetry), fleet.machines["machineID"].tolist()
    (146, [1, 2])
    """
    check_fleet(machines=machines, days=days, seed=seed, profile=profile)
    return simulate_machines(range(1, machines + 1), days=days, seed=seed, profile=profile)


def check_fleet(*, machines: int, days: int, seed: int, profile: str | None) -> None:
    """Raise ValueError if an argument is below its minimum, or the profile is unknown."""
    check_at_least(1, machines=machines, days=days)
    check_at_least(0, seed=seed)
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {profile!r}")


def simulate_machines(machine_ids: Sequence[int], *, days: int, seed: int, profile: str | None = None) -> Fleet:
    """Simulate some machines of a fleet, as in :func:`simulate_fleet`; machines are independent of each other.

    Parameters
    ----------
    machine_ids : sequence of int
        Numbers of the machines in their fleet, each at least 1, ascending; at least one.
    days : int
        Length of the telemetry, at least 1.
    seed : int
        Seed of the fleet, at least 0.
    profile : str, optional
        As in :func:`simulate_fleet`.

    Raises
    ------
    ValueError
        If an argument is below its minimum, or the profile is unknown.
    """
    check_at_least(1, machine_id=min(machine_ids))
    check_fleet(machines=len(machine_ids), days=days, seed=seed, profile=profile)
    if profile is not None:
        # Filters of SciPy, which take long to import.
        from pdm_cli.simulation.plant import simulate_profile

        return simulate_profile(profile, machine_ids, days=days, seed=seed)
    last_hour = days * 24
    drawn = [_draw(np.random.default_rng([seed, machine_id]), last_hour) for machine_id in machine_ids]
    ids = np.array(machine_ids, dtype=np.int32)
    hours = np.arange(last_hour + 1)
    readings = np.concatenate([machine.readings for machine in drawn], axis=1)
    telemetry = with_times(np.repeat(ids, hours.size), np.tile(hours, ids.size))
    attributes = {
        "machineID": ids,
        "model": pd.array([machine.model for machine in drawn], dtype="str"),
        "age": np.array([machine.age_years for machine in drawn], dtype=np.int32),
    }
    errors, maint, failures = (
        cut_events([getattr(machine, name) for machine in drawn], last_hour)
        for name in ("errors", "replaced", "failures")
    )
    return Fleet(
        telemetry=telemetry.assign(**dict(zip(SENSORS, readings, strict=True))),
        errors=make_event_table(ids, errors, errorID=_ERROR_LABELS),
        maint=make_event_table(ids, maint, comp=_COMPONENT_LABELS),
        failures=make_event_table(ids, failures, failure=_COMPONENT_LABELS),
        machines=pd.DataFrame(attributes),
        truth=_truth_table(ids, [machine.shifts for machine in drawn]),
    )


def _draw(rng: np.random.Generator, last_hour: int) -> _Machine:
    """Draw one machine."""
    model, age_years = _draw_machine(rng)
    visit_hours = _draw_visit_grid(rng, last_hour)
    fails = _draw_failures(rng, visit_hours, model, age_years)
    replaced = _draw_replacements(rng, visit_hours, fails)
    failures = _event_rows(visit_hours, fails)
    errors = _draw_errors(rng, failures, last_hour)
    readings, shifts = _draw_readings(rng, failures, last_hour)
    return _Machine(model, age_years, readings, errors, _event_rows(visit_hours, replaced), failures, shifts)


def _draw_machine(rng: np.random.Generator) -> tuple[str, int]:
    """Return the model and the age in years."""
    shares = [share for share, _ in MODELS.values()]
    return str(rng.choice(list(MODELS), p=shares)), int(rng.integers(OLDEST_YEARS + 1))


def _draw_visit_grid(rng: np.random.Generator, last_hour: int) -> NDArray[np.int64]:
    """Return the hours of planned visits, from the start of the telemetry (negative before it).

    The grid continues past the last hour, because a machine about to fail when the telemetry ends already shows it.
    """
    phase = 24 * int(rng.integers(VISIT_INTERVAL_HOURS // 24))
    first = phase - HISTORY_VISITS * VISIT_INTERVAL_HOURS
    return np.arange(first, last_hour + SHIFT_HOURS + 1, VISIT_INTERVAL_HOURS, dtype=np.int64)


def _draw_failures(
    rng: np.random.Generator, visit_hours: NDArray[np.int64], model: str, age_years: int
) -> NDArray[np.bool_]:
    """Return whether a component fails at a visit of the grid, shape (visits, components)."""
    never_fails = rng.random() < NEVER_FAILING_SHARE
    # 0.6 for a new machine to 1.4 for the oldest, 1 on average over the fleet.
    wear = MODELS[model][1] * (0.6 + 0.8 * age_years / OLDEST_YEARS)
    chances = wear * np.array([component.failure_chance for component in COMPONENTS])
    # Visit by visit, before any draw that depends on the length: longer telemetry only adds failures at the end.
    fails: NDArray[np.bool_] = rng.random((visit_hours.size, len(COMPONENTS))) < chances
    # An earlier failure could not show in the telemetry.
    fails[(visit_hours < SHIFT_HOURS) | never_fails] = False
    return fails


def _draw_replacements(
    rng: np.random.Generator, visit_hours: NDArray[np.int64], fails: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return whether a component is replaced at a visit of the grid, shape (visits, components)."""
    held_share = np.where(visit_hours < 0, HISTORY_VISIT_HELD_SHARE, VISIT_HELD_SHARE)
    is_held = rng.random(visit_hours.size) < held_share
    is_held[0] = True  # so that every machine has a history
    is_held |= fails.any(axis=1)
    planned = 1 + (rng.random(visit_hours.size) < SECOND_COMPONENT_SHARE)
    count = np.maximum(planned, fails.sum(axis=1))
    # Failed components come first, then the others in random order.
    order = (rng.random(fails.shape) - fails).argsort(axis=1).argsort(axis=1)
    replaced: NDArray[np.bool_] = is_held[:, np.newaxis] & (order < count[:, np.newaxis])
    return replaced


def _draw_errors(rng: np.random.Generator, failures: NDArray[np.int64], last_hour: int) -> NDArray[np.int64]:
    """Return the errors as rows of (hour, code): those that precede failures and meaningless ones."""
    codes = {label: code for code, label in enumerate(_ERROR_LABELS)}
    least, greatest = ERROR_LEAD_HOURS
    late = rng.integers(least + 1, greatest + 1, len(failures))
    lead = np.where(rng.random(len(failures)) < MIN_ERROR_LEAD_SHARE, least, late)
    is_announced = rng.random(len(failures)) < ANNOUNCED_SHARE
    rows = [
        (hour - hours_before, codes[label])
        for (hour, component), hours_before in zip(failures[is_announced], lead[is_announced], strict=True)
        for label in COMPONENTS[component].own_errors
    ]
    rates = np.array([ERRORS_PER_YEAR[label] for label in _ERROR_LABELS])
    background = np.repeat(np.arange(rates.size), rng.poisson(rates * (last_hour + 1) / _HOURS_PER_YEAR))
    timed = np.column_stack([rng.integers(last_hour + 1, size=background.size), background])
    return np.concatenate([np.array(rows, dtype=np.int64).reshape(-1, 2), timed])


def _draw_readings(
    rng: np.random.Generator, failures: NDArray[np.int64], last_hour: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return hourly readings, shape (sensors, ``last_hour + 1``), in the sensors' units, and their shifts."""
    hours = last_hour + 1
    readings, shifts = [], []
    for code, component in enumerate(COMPONENTS):
        span = hours + SHIFT_HOURS  # a decoy may have begun before the telemetry
        decoys = rng.integers(-SHIFT_HOURS, hours, rng.poisson(DECOYS_PER_SENSOR_YEAR * span / _HOURS_PER_YEAR))
        true_starts = failures[failures[:, 1] == code, 0] - SHIFT_HOURS
        starts = np.concatenate([decoys, true_starts])
        is_real = np.arange(starts.size) >= decoys.size
        shifts.append(np.column_stack([starts, np.full(starts.size, code), is_real]))
        noisy = rng.normal(component.level, component.noise, hours)
        readings.append(noisy + component.step * _count_shifts(starts, hours))
    return np.array(readings), np.concatenate(shifts)


def _count_shifts(starts: NDArray[np.int64], hours: int) -> NDArray[np.int64]:
    """Return the number of active shifts at each hour, shape (hours,); overlapping shifts add up."""
    on = np.bincount(np.clip(starts, 0, hours), minlength=hours + 1)
    off = np.bincount(np.clip(starts + SHIFT_HOURS + 1, 0, hours), minlength=hours + 1)
    return np.cumsum(on - off)[:hours]


def _event_rows(visit_hours: NDArray[np.int64], happens: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return rows of (hour, component code) where ``happens`` is true."""
    visit, code = np.nonzero(happens)
    return np.column_stack([visit_hours[visit], code])


def _truth_table(ids: NDArray[np.int32], shifts_of: list[NDArray[np.int64]]) -> pd.DataFrame:
    """Return the machines' shifts, by machine, first hour, component, decoys first."""
    # Sorted as whole rows with duplicates kept: two decoys at once shift twice as far.
    ordered = [shifts[np.lexsort(shifts.T[::-1])] for shifts in shifts_of]
    starts, codes, is_real = np.concatenate(ordered).T
    table = with_times(np.repeat(ids, [len(shifts) for shifts in ordered]), starts)
    return table.assign(
        until=table["datetime"].to_numpy() + np.timedelta64(SHIFT_HOURS, "h"),
        component=pd.array(_COMPONENT_LABELS[codes], dtype="str"),
        sensor=pd.array(np.array(SENSORS)[codes], dtype="str"),
        step=np.array([component.step for component in COMPONENTS])[codes],
        fails=is_real.astype(np.bool_),
    )
