"""Problems in raw data that a person should check: constant, empty and rarely recorded sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pdm_cli.preparation.overview import Overview
from pdm_cli.settings.duration import show_duration
from pdm_cli.text import name_some, show_count
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import current, name_sensor, show_hours, show_time

# A sensor with fewer readings on a machine may be constant by chance.
_LEAST_READINGS = 100
# More machines without variation are the rule, not the exception; fewer have a broken sensor.
_FEW_MACHINES = 0.2
# The range of a continuous sensor is similar on all machines: that of the least varying tenth is at least this share of
# the median. A counter stays 0 on many machines, and a coarse sensor on some.
_SIMILAR_RANGE = 0.5
_MOSTLY_MISSING = 0.5


@dataclass(frozen=True)
class Problem:
    """A problem in the data: its type, a sentence about it, the way to solve it, and facts for programs.

    A ``note`` may be as intended; a ``warning`` rarely is.
    """

    type: str
    text: str
    hint: str = ""
    level: Literal["warning", "note"] = "warning"
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields in JSON types, the facts among them."""
        return {"type": self.type, "level": self.level, "text": self.text, "hint": self.hint, **self.facts}


def show_day(time_us: int) -> str:
    """Return a time as a date or a cycle."""
    shown = show_time(time_us)
    return shown if current().counts_cycles else shown[:10]


def show_length(length_us: int) -> str:
    """Return a duration as ``3h`` or ``3 cycles``."""
    return show_hours(length_us / US_PER_HOUR) if current().counts_cycles else show_duration(length_us)


def name_machines(machines: Sequence[Any], total: int) -> str:
    """Return ``machine 7``, ``3 of 100 machines, first 7`` or ``all machines``."""
    if len(machines) == 1:
        return f"machine {machines[0]}"
    return "all machines" if len(machines) == total else f"{len(machines):,} of {total:,} machines, first {machines[0]}"


def check_sensors(overview: Overview) -> list[Problem]:
    """Return the problems of sensors that are constant, empty or mostly missing."""
    return [*_find_empty(overview), *_find_constant(overview), *_find_constant_on_few(overview)]


def _find_empty(overview: Overview) -> list[Problem]:
    empty, rare, found = [], [], []
    for place, sensor in enumerate(overview.sensors):
        share, total = overview.missing_share(place), len(overview.machines)
        without = np.flatnonzero(overview.counts[place] == 0)
        if len(without) == total:
            empty.append(sensor)
        elif share > _MOSTLY_MISSING:
            rare.append((sensor, share))
        elif 0 < len(without) <= _FEW_MACHINES * total:
            machines = [overview.machines[at] for at in without]
            found.append(
                Problem(
                    "sensor_without_readings",
                    f"{name_sensor(sensor)} has no readings on {name_machines(machines, total)}",
                    level="note",
                    facts={"sensor": sensor, "machines": len(machines), "first": machines[0]},
                )
            )
    if rare:
        named = name_some([f"{name_sensor(sensor)} ({share:.0%})" for sensor, share in rare])
        text = f"mostly missing: {named}"
        hint = "record them as often as the others, or choose the others with --sensors"
        found.insert(0, Problem("mostly_missing", text, hint, facts={"sensors": [sensor for sensor, _ in rare]}))
    if empty:
        text = f"no readings at all: {name_some([*map(name_sensor, empty)])}"
        found.insert(0, Problem("no_readings", text, "choose the others with --sensors", facts={"sensors": empty}))
    return found


def _find_constant(overview: Overview) -> list[Problem]:
    """Return the sensors that are constant on every machine."""
    found = [
        sensor
        for place, sensor in enumerate(overview.sensors)
        if (has := overview.counts[place] > 0).any()
        and (overview.lows[place][has] == overview.highs[place][has]).all()
        and overview.counts[place].sum() >= _LEAST_READINGS
    ]
    if not found:
        return []
    verb = "does not change on any machine" if len(found) == 1 else "do not change on any machine"
    hint = "a constant has no information for a model; leave it out with --sensors, or check the sensor"
    return [Problem("constant", f"{name_some([*map(name_sensor, found)])} {verb}", hint, "note", {"sensors": found})]


def _find_constant_on_few(overview: Overview) -> list[Problem]:
    """Return sensors that are constant on a few machines, although they vary similarly on all others."""
    problems = []
    for place, sensor in enumerate(overview.sensors):
        has = overview.counts[place] >= _LEAST_READINGS
        ranges = overview.highs[place][has] - overview.lows[place][has]
        varying = ranges[ranges > 0]
        flat = np.flatnonzero(has)[ranges == 0]
        if not 0 < len(flat) <= _FEW_MACHINES * has.sum() or len(varying) < 2:
            continue
        if np.quantile(varying, 0.1) < _SIMILAR_RANGE * np.median(varying):
            continue
        machines = [overview.machines[at] for at in flat]
        where = name_machines(machines, len(overview.machines))
        readings = show_count(int(overview.counts[place][flat].sum()), "reading")
        problems.append(
            Problem(
                "constant_on_machines",
                f"{name_sensor(sensor)} does not change on {where}: {readings}",
                "check the sensor: it may be broken, or its value no longer recorded",
                facts={"sensor": sensor, "machines": len(machines), "first": machines[0]},
            )
        )
    return problems
