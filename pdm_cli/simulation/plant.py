"""Simulated fleets of a profile: machines with load regimes and seasons whose components fail as their modes say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.simulation.damage import LEAST_EFFECT, Clock, Damage, History, draw_history, trace_damage
from pdm_cli.simulation.operation import (
    HOURS_PER_DAY,
    HOURS_PER_YEAR,
    SENSORS,
    FloatArray,
    Operation,
    draw_operation,
    draw_renewals,
)
from pdm_cli.simulation.profiles import PROFILES, Profile
from pdm_cli.simulation.tables import FIRST_TIME, Fleet, cut_events, make_event_table, with_times

HISTORY_HOURS = 300 * HOURS_PER_DAY
"""Operation before the telemetry, so that components of all ages are in it from its first hour."""
FUTURE_HOURS = 120 * HOURS_PER_DAY
"""Operation after the telemetry, so that the outcome of damage that has begun is known."""

MODELS, SITES = ("M100", "M200", "M300"), ("north", "south", "west")
OLDEST_YEARS = 20
FRAILTY = (0.8, 1.25)
"""Failure rate of a new and of the oldest machine, relative to the profile."""

CODES = ("E100", "E200", "E300")
"""Errors that precede no failure."""
CODES_PER_YEAR = 4.0
OUTAGE_HOURS = 14.0
"""Mean length of a span of missing readings."""
SENSOR_OUTAGES = 2.0
"""Spans in which one sensor is missing for each in which all of them are."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """One simulated machine; events are rows of (hour, code)."""

    attributes: tuple[str, str, int]
    hours: NDArray[np.int64]
    readings: dict[str, FloatArray]
    errors: NDArray[np.int64]
    replaced: NDArray[np.int64]
    failures: NDArray[np.int64]
    damage: list[tuple[int, Damage]]


def simulate_profile(name: str, machine_ids: Sequence[int], *, days: int, seed: int) -> Fleet:
    """Simulate some machines of a fleet of a profile; machines are independent of each other.

    Parameters
    ----------
    name : str
        Name of the profile in :data:`pdm_cli.simulation.profiles.PROFILES`.
    machine_ids : sequence of int
        Numbers of the machines, ascending.
    days : int
        Length of the telemetry.
    seed : int
        Seed of the fleet.
    """
    last_hour = days * HOURS_PER_DAY
    number = list(PROFILES).index(name) + 1
    seeds = [np.random.SeedSequence([seed, machine_id, number]) for machine_id in machine_ids]
    drawn = [_draw(PROFILES[name], machine_seed, last_hour) for machine_seed in seeds]
    return _make_fleet(PROFILES[name], machine_ids, drawn, last_hour)


def _make_fleet(profile: Profile, machine_ids: Sequence[int], drawn: list[_Machine], last_hour: int) -> Fleet:
    """Return the tables of the machines."""
    ids = np.array(machine_ids, dtype=np.int32)
    components = np.array([mode.component for mode in profile.modes])
    telemetry = with_times(
        np.repeat(ids, [machine.hours.size for machine in drawn]), np.concatenate([machine.hours for machine in drawn])
    )
    names = [sensor.name for sensor in SENSORS]
    readings = {name: np.concatenate([machine.readings[name] for machine in drawn]) for name in names}
    errors, maint, failures = (
        cut_events([getattr(machine, name) for machine in drawn], last_hour)
        for name in ("errors", "replaced", "failures")
    )
    models, sites, ages = zip(*(machine.attributes for machine in drawn), strict=True)
    return Fleet(
        telemetry=telemetry.assign(**readings),
        errors=make_event_table(ids, errors, errorID=np.array(_codes(profile))),
        maint=make_event_table(ids, maint, comp=components),
        failures=make_event_table(ids, failures, failure=components),
        machines=pd.DataFrame(
            {
                "machineID": ids,
                "model": pd.array(models, dtype="str"),
                "site": pd.array(sites, dtype="str"),
                "age": np.array(ages, dtype=np.int32),
            }
        ),
        truth=_truth_table(profile, ids, drawn),
    )


def _codes(profile: Profile) -> list[str]:
    """Return all error codes: those without a meaning, and a code of its own for each component."""
    return [*CODES, *(f"E{10 * place + 400}" for place in range(len(profile.modes)))]


def _draw(profile: Profile, seed: np.random.SeedSequence, last_hour: int) -> _Machine:
    """Draw one machine; each part has a random stream of its own."""
    root, operation_seed, visit_seed, life_seed, spike_seed, outage_seed, error_seed = seed.spawn(7)
    rng = np.random.default_rng(root)
    attributes = str(rng.choice(MODELS)), str(rng.choice(SITES)), int(rng.integers(OLDEST_YEARS + 1))
    operation = draw_operation(operation_seed.spawn(1 + len(SENSORS)), -HISTORY_HOURS, last_hour + FUTURE_HOURS)
    visits = _draw_visits(profile, np.random.default_rng(visit_seed), last_hour)
    least, greatest = FRAILTY
    histories = [
        draw_history(
            mode,
            np.random.default_rng(stream),
            clock=Clock(operation.load, -HISTORY_HOURS, by_load=mode.by_load),
            visits=own,
            frailty=least + (greatest - least) * attributes[2] / OLDEST_YEARS,
            until=last_hour,
        )
        for mode, own, stream in zip(profile.modes, visits, life_seed.spawn(len(visits)), strict=True)
    ]
    readings = _draw_readings(profile, spike_seed, operation, histories, last_hour)
    hours = _draw_outages(profile, outage_seed, readings, histories)
    return _Machine(
        attributes,
        hours,
        {name: values[hours] for name, values in readings.items()},
        _draw_errors(np.random.default_rng(error_seed), histories, last_hour),
        _event_rows([history.replaced for history in histories]),
        _event_rows([[one.until for one in history.damage if one.fails and one.until >= 0] for history in histories]),
        [(code, one) for code, history in enumerate(histories) for one in history.damage if one.until >= 0],
    )


def _draw_visits(profile: Profile, rng: np.random.Generator, last_hour: int) -> list[NDArray[np.int64]]:
    """Return the hours of each component's installation and planned replacements, at irregular visits."""
    time_rng, choice_rng, first_rng = rng.spawn(3)
    installed = -first_rng.integers(HISTORY_HOURS, size=len(profile.modes))
    mean = profile.visit_days * HOURS_PER_DAY
    times = draw_renewals(time_rng, mean, shape=2.0, first=-HISTORY_HOURS, until=last_hour + FUTURE_HOURS)
    hours, choices = times.astype(np.int64), choice_rng.integers(len(profile.modes), size=times.size)
    own = [hours[(choices == code) & (hours > first)] for code, first in enumerate(installed)]
    return [np.concatenate([[first], visits]) for first, visits in zip(installed, own, strict=True)]


def _draw_readings(
    profile: Profile,
    seed: np.random.SeedSequence,
    operation: Operation,
    histories: list[History],
    last_hour: int,
) -> dict[str, FloatArray]:
    """Return the hourly readings of each sensor, from the start of the telemetry; damage shows more under load."""
    kept = slice(HISTORY_HOURS, HISTORY_HOURS + last_hour + 1)
    readings = {name: values[kept].copy() for name, values in operation.readings.items()}
    strength = LEAST_EFFECT + (1 - LEAST_EFFECT) * operation.load[kept]
    for mode, history, stream in zip(profile.modes, histories, seed.spawn(len(histories)), strict=True):
        course = trace_damage(mode, history.damage, np.random.default_rng(stream), hours=last_hour + 1)
        for sensor, change in mode.effects:
            readings[sensor] += change * course * strength
    return readings


def _draw_outages(
    profile: Profile, seed: np.random.SeedSequence, readings: dict[str, FloatArray], histories: list[History]
) -> NDArray[np.int64]:
    """Remove readings of single sensors, in place, and return the hours with any reading."""
    whole, *single = (np.random.default_rng(stream) for stream in seed.spawn(1 + len(readings)))
    mean = profile.outage_days * HOURS_PER_DAY
    hours = len(next(iter(readings.values())))
    is_missing = _draw_missing(whole, mean, hours)
    for history in histories:
        for first, end in history.standstills:
            is_missing[max(first, 0) : max(end, 0)] = True
    # So that every machine has telemetry, however short it is.
    is_missing[0] = False
    for rng, values in zip(single, readings.values(), strict=True):
        values[_draw_missing(rng, mean * len(readings) / SENSOR_OUTAGES, hours)] = np.nan
    return np.flatnonzero(~is_missing)


def _draw_missing(rng: np.random.Generator, mean: float, hours: int) -> NDArray[np.bool_]:
    """Return the hours without readings."""
    time_rng, length_rng = rng.spawn(2)
    starts = draw_renewals(time_rng, mean, shape=1.0, first=0, until=hours).astype(np.int64)
    lengths = 1 + length_rng.exponential(OUTAGE_HOURS, starts.size).astype(np.int64)
    is_missing = np.zeros(hours, np.bool_)
    for start, length in zip(starts, lengths, strict=True):
        is_missing[start : start + length] = True
    return is_missing


def _draw_errors(rng: np.random.Generator, histories: list[History], last_hour: int) -> NDArray[np.int64]:
    """Return the errors as rows of (hour, code): meaningless ones of each code, and those before failures."""
    codes = len(CODES) + len(histories)
    meaningless = [
        draw_renewals(stream, HOURS_PER_YEAR / CODES_PER_YEAR, shape=1.0, first=0, until=last_hour).astype(np.int64)
        for stream in rng.spawn(codes)
    ]
    own = [np.array([hour for hour in history.errors if hour >= 0], dtype=np.int64) for history in histories]
    empty = [np.empty(0, np.int64)] * len(CODES)
    return _event_rows([np.concatenate(pair) for pair in zip(meaningless, [*empty, *own], strict=True)])


def _event_rows(hours_of: Sequence[Sequence[int] | NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return rows of (hour, code) from the hours of each code."""
    hours = np.concatenate([np.asarray(hours, dtype=np.int64) for hours in hours_of])
    return np.column_stack([hours, np.repeat(np.arange(len(hours_of)), [len(one) for one in hours_of])])


def _truth_table(profile: Profile, ids: NDArray[np.int32], drawn: list[_Machine]) -> pd.DataFrame:
    """Return the damage of the machines and the decoys, by machine, first hour, component, decoys first."""
    signs = [mode.effects[0] if mode.effects else (None, 0.0) for mode in profile.modes]
    rows = [
        (number, one.first, one.until, code, one.fails, one.size * signs[code][1])
        for number, machine in zip(ids, drawn, strict=True)
        for code, one in sorted(machine.damage, key=lambda pair: (pair[1].first, pair[0], pair[1].fails))
    ]
    table = pd.DataFrame(rows, columns=["number", "first", "until", "code", "fails", "step"])
    component, sensor = (
        pd.array(np.array(names, dtype=object)[table["code"].to_numpy(np.int64)], dtype="str")
        for names in ([mode.component for mode in profile.modes], [name for name, _ in signs])
    )
    return with_times(table["number"].to_numpy(np.int32), table["first"].to_numpy(np.int64)).assign(
        until=FIRST_TIME + table["until"].to_numpy(np.int64).astype("timedelta64[h]"),
        component=component,
        sensor=sensor,
        step=table["step"].to_numpy(np.float64),
        fails=table["fails"].to_numpy(np.bool_),
    )
