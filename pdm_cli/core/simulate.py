"""Fleets of machines whose failures announce themselves, drawn from a seed.

The tables have the raw form of real data. What leads to a failure: the component's sensor steps away from its level
48 h before, its own error follows about a day before, and the failure falls on a planned visit, at which the
component is replaced. What misleads: equal steps without a failure, and errors that mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FIRST_STAMP = np.datetime64("2015-01-01T06:00", "us")

SHIFT_HOURS = 48
"""Hours between the step of the sensor and the failure; the reading at the failure itself is still shifted."""
DECOYS_PER_SENSOR_YEAR = 5.0

VISIT_INTERVAL_HOURS = 15 * 24
HISTORY_VISITS = 14
"""Places of the visit grid before the telemetry: 14 x 15 days, about half a year before."""
VISIT_HELD_SHARE = 0.9
HISTORY_VISIT_HELD_SHARE = 0.25
SECOND_COMPONENT_SHARE = 0.3

SOUND_SHARE = 0.02
"""Share of the machines that never fail."""
OLDEST_YEARS = 20

ANNOUNCED_SHARE = 0.97
"""Share of the failures that their own errors precede."""
ERROR_LEAD_HOURS = (24, 30)
"""Least and greatest hours between a failure and its own errors; the least is by far the commonest."""
LEAST_ERROR_LEAD_SHARE = 0.8

_HOURS_PER_YEAR = 365.0 * 24.0


@dataclass(frozen=True, slots=True)
class Component:
    """A component, the sensor that shows its state and the errors it raises before it fails.

    ``level``, ``noise`` (standard deviation) and ``step`` are in the unit of the sensor; ``failure_chance`` is the
    mean probability of a failure at one place of the visit grid, in [0, 1].
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
"""Errors of each kind per machine-year that announce nothing."""

MODELS = {"model1": (0.15, 1.4), "model2": (0.15, 1.3), "model3": (0.35, 0.8), "model4": (0.35, 0.9)}
"""Model: its share of the fleet, and how often it fails beside the mean of the fleet."""

# Sorted, so that rows of one hour stay in the order of their labels when sorted by code.
_COMPONENT_LABELS = np.array([component.name for component in COMPONENTS])
_ERROR_LABELS = np.array(sorted(ERRORS_PER_YEAR))


@dataclass(frozen=True, slots=True)
class Fleet:
    """The five raw tables of a fleet, each sorted by machineID, then datetime.

    Attributes
    ----------
    telemetry : pandas.DataFrame
        ``datetime`` (datetime64[us], hourly, no gaps), ``machineID`` (int32), ``volt``, ``rotate``, ``pressure``,
        ``vibration`` (float64).
    errors : pandas.DataFrame
        ``datetime``, ``machineID``, ``errorID`` (error1 .. error5); no row twice.
    maint : pandas.DataFrame
        ``datetime``, ``machineID``, ``comp`` (comp1 .. comp4), the replacements; reaches back before the telemetry.
    failures : pandas.DataFrame
        ``datetime``, ``machineID``, ``failure`` (comp1 .. comp4); every row is in ``maint`` too.
    machines : pandas.DataFrame
        ``machineID``, ``model`` (model1 .. model4), ``age`` (int32, years, 0 .. 20); one row a machine.
    """

    telemetry: pd.DataFrame
    errors: pd.DataFrame
    maint: pd.DataFrame
    failures: pd.DataFrame
    machines: pd.DataFrame


def simulate_fleet(*, machines: int, days: int, seed: int) -> Fleet:
    """Simulate a fleet; the same arguments give the same tables exactly.

    Parameters
    ----------
    machines : int
        Number of machines, at least 1; they are numbered from 1.
    days : int
        Length of the telemetry, at least 1: ``days * 24 + 1`` hourly rows a machine from 2015-01-01 06:00.
    seed : int
        Start of the random streams, at least 0. A machine of a seed is the same in a fleet of any size.

    Returns
    -------
    Fleet
        All machines in memory, about 44 bytes a telemetry row; for large fleets stream `simulate_machine`.

    Raises
    ------
    ValueError
        If an argument is below its least value.

    Examples
    --------
    >>> fleet = simulate_fleet(machines=2, days=3, seed=0)
    >>> len(fleet.telemetry), fleet.machines["machineID"].tolist()
    (146, [1, 2])
    """
    _check_at_least(1, machines=machines)
    parts = [simulate_machine(machine_id, days=days, seed=seed) for machine_id in range(1, machines + 1)]
    return Fleet(
        **{
            table.name: pd.concat([getattr(part, table.name) for part in parts], ignore_index=True)
            for table in fields(Fleet)
        }
    )


def simulate_machine(machine_id: int, *, days: int, seed: int) -> Fleet:
    """Simulate one machine, which depends on no other machine of its fleet.

    Parameters
    ----------
    machine_id : int
        Number of the machine in its fleet, at least 1.
    days : int
        Length of the telemetry, at least 1.
    seed : int
        Seed of the fleet, at least 0.

    Returns
    -------
    Fleet
        The rows of this machine in the tables of `simulate_fleet`.

    Raises
    ------
    ValueError
        If an argument is below its least value.
    """
    _check_at_least(1, machine_id=machine_id, days=days)
    _check_at_least(0, seed=seed)
    rng = np.random.default_rng([seed, machine_id])
    last_hour = days * 24
    model, age_years = _draw_machine(rng)
    visit_hours = _draw_visit_grid(rng, last_hour)
    fails = _draw_failures(rng, visit_hours, model, age_years)
    replaced = _draw_replacements(rng, visit_hours, fails)
    failures = _event_rows(visit_hours, fails)
    errors = _draw_errors(rng, failures, last_hour)
    readings = _draw_readings(rng, failures, last_hour)
    telemetry = _stamped(machine_id, np.arange(last_hour + 1)).assign(**readings)
    return Fleet(
        telemetry=telemetry,
        errors=_event_table(machine_id, errors, last_hour, errorID=_ERROR_LABELS),
        maint=_event_table(machine_id, _event_rows(visit_hours, replaced), last_hour, comp=_COMPONENT_LABELS),
        failures=_event_table(machine_id, failures, last_hour, failure=_COMPONENT_LABELS),
        machines=pd.DataFrame(
            {
                "machineID": np.array([machine_id], dtype=np.int32),
                "model": pd.array([model], dtype="str"),
                "age": np.array([age_years], dtype=np.int32),
            }
        ),
    )


def _check_at_least(least: int, **arguments: int) -> None:
    """Raise ValueError naming the first argument below ``least``."""
    for name, value in arguments.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _draw_machine(rng: np.random.Generator) -> tuple[str, int]:
    """Return the model and the age in years."""
    shares = [share for share, _ in MODELS.values()]
    return str(rng.choice(list(MODELS), p=shares)), int(rng.integers(OLDEST_YEARS + 1))


def _draw_visit_grid(rng: np.random.Generator, last_hour: int) -> NDArray[np.int64]:
    """Return the hours at which a visit is planned, from the start of the telemetry (negative before it).

    The grid runs on past the last hour: a machine about to fail when the telemetry ends already shows it.
    """
    phase = 24 * int(rng.integers(VISIT_INTERVAL_HOURS // 24))
    first = phase - HISTORY_VISITS * VISIT_INTERVAL_HOURS
    return np.arange(first, last_hour + SHIFT_HOURS + 1, VISIT_INTERVAL_HOURS, dtype=np.int64)


def _draw_failures(
    rng: np.random.Generator, visit_hours: NDArray[np.int64], model: str, age_years: int
) -> NDArray[np.bool_]:
    """Return whether a component fails at a place of the visit grid, shape (visits, components)."""
    is_sound = rng.random() < SOUND_SHARE
    # From 0.6 for a new machine to 1.4 for the oldest: 1 on average over the fleet.
    wear = MODELS[model][1] * (0.6 + 0.8 * age_years / OLDEST_YEARS)
    chances = wear * np.array([component.failure_chance for component in COMPONENTS])
    # Visit by visit, before any draw that depends on the length: longer telemetry only adds failures at the end.
    fails: NDArray[np.bool_] = rng.random((visit_hours.size, len(COMPONENTS))) < chances
    # A failure earlier than this could not announce itself within the telemetry.
    fails[(visit_hours < SHIFT_HOURS) | is_sound] = False
    return fails


def _draw_replacements(
    rng: np.random.Generator, visit_hours: NDArray[np.int64], fails: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return whether a component is replaced at a place of the visit grid, shape (visits, components)."""
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
    """Return the errors as rows of (hour, code): those that precede failures and those that announce nothing."""
    codes = {label: code for code, label in enumerate(_ERROR_LABELS)}
    least, greatest = ERROR_LEAD_HOURS
    late = rng.integers(least + 1, greatest + 1, len(failures))
    lead = np.where(rng.random(len(failures)) < LEAST_ERROR_LEAD_SHARE, least, late)
    is_announced = rng.random(len(failures)) < ANNOUNCED_SHARE
    rows = [
        (hour - hours_before, codes[label])
        for (hour, component), hours_before in zip(failures[is_announced], lead[is_announced], strict=True)
        for label in COMPONENTS[component].own_errors
    ]
    rates = np.array([ERRORS_PER_YEAR[label] for label in _ERROR_LABELS])
    background = np.repeat(np.arange(rates.size), rng.poisson(rates * (last_hour + 1) / _HOURS_PER_YEAR))
    stamped = np.column_stack([rng.integers(last_hour + 1, size=background.size), background])
    return np.concatenate([np.array(rows, dtype=np.int64).reshape(-1, 2), stamped])


def _draw_readings(
    rng: np.random.Generator, failures: NDArray[np.int64], last_hour: int
) -> dict[str, NDArray[np.float64]]:
    """Return the hourly readings of each sensor, ``last_hour + 1`` values each, in the unit of the sensor."""
    hours = last_hour + 1
    readings = {}
    for code, component in enumerate(COMPONENTS):
        span = hours + SHIFT_HOURS  # a decoy may have begun before the telemetry
        decoys = rng.integers(-SHIFT_HOURS, hours, rng.poisson(DECOYS_PER_SENSOR_YEAR * span / _HOURS_PER_YEAR))
        true_starts = failures[failures[:, 1] == code, 0] - SHIFT_HOURS
        shifts = _count_shifts(np.concatenate([decoys, true_starts]), hours)
        readings[component.sensor] = rng.normal(component.level, component.noise, hours) + component.step * shifts
    return readings


def _count_shifts(starts: NDArray[np.int64], hours: int) -> NDArray[np.int64]:
    """Return how many shifts are on at each hour, shape (hours,); overlapping shifts add up."""
    on = np.bincount(np.clip(starts, 0, hours), minlength=hours + 1)
    off = np.bincount(np.clip(starts + SHIFT_HOURS + 1, 0, hours), minlength=hours + 1)
    return np.cumsum(on - off)[:hours]


def _event_rows(visit_hours: NDArray[np.int64], happens: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return rows of (hour, component code) where ``happens`` is true."""
    place, code = np.nonzero(happens)
    return np.column_stack([visit_hours[place], code])


def _event_table(machine_id: int, rows: NDArray[np.int64], last_hour: int, **labels: NDArray[np.str_]) -> pd.DataFrame:
    """Return the rows of (hour, code) up to the last hour, each once and sorted, with the code's label as column."""
    known = np.unique(rows[rows[:, 0] <= last_hour], axis=0)
    columns = {column: pd.array(names[known[:, 1]], dtype="str") for column, names in labels.items()}
    return _stamped(machine_id, known[:, 0]).assign(**columns)


def _stamped(machine_id: int, hours: NDArray[np.int64]) -> pd.DataFrame:
    """Return the columns datetime and machineID for hours from the start of the telemetry."""
    return pd.DataFrame(
        {
            "datetime": FIRST_STAMP + hours.astype("timedelta64[h]"),
            "machineID": np.full(hours.size, machine_id, dtype=np.int32),
        }
    )
