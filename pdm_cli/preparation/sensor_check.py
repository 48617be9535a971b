"""Sensors that are constant, empty or rarely recorded."""

from __future__ import annotations

import numpy as np

from pdm_cli.preparation.overview import Overview
from pdm_cli.preparation.problems import Problem, name_machines
from pdm_cli.text import name_some, show_count
from pdm_cli.units import name_sensor

# A sensor with fewer readings on a machine may be constant by chance.
_LEAST_READINGS = 100
# More machines without variation are the rule, not the exception; fewer have a broken sensor.
_FEW_MACHINES = 0.2
# The range of a continuous sensor is similar on all machines: that of the least varying tenth is at least this share of
# the median. A counter stays 0 on many machines, and a coarse sensor on some.
_SIMILAR_RANGE = 0.5
_MOSTLY_MISSING = 0.5


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
    places = [
        place
        for place in range(len(overview.sensors))
        if (has := overview.counts[place] > 0).any()
        and (overview.lows[place][has] == overview.highs[place][has]).all()
        and overview.counts[place].sum() >= _LEAST_READINGS
    ]
    if not places:
        return []
    found = [overview.sensors[place] for place in places]
    verb, have, them, sensors = (
        ("does", "it has", "it", "sensor") if len(found) == 1 else ("do", "they have", "them", "sensors")
    )
    use = f"{have} no information for a model"
    if any(len(np.unique(overview.lows[place][overview.counts[place] > 0])) > 1 for place in places):
        use = f"a model can only distinguish machines by {them}"
    text = f"{name_some([*map(name_sensor, found)])} {verb} not change on any machine"
    hint = f"{use}; leave {them} out with --sensors, or check the {sensors}"
    return [Problem("constant", text, hint, "note", {"sensors": found})]


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
