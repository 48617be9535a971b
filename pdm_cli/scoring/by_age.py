"""Parts by age: what is known of the failures of components that never alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.lifetimes import Lifetime, find_installations
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.schema import FAILURES, MACHINE, MAINT, TIME
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import Units

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """The part of a component on each machine: its age in hours, at least, and whether that is its age."""

    hours: FloatArray
    is_known: BoolArray


def find_parts(
    component: str,
    events: Mapping[str, pd.DataFrame],
    machines: pd.Index,
    *,
    starts_us: IntArray,
    now_us: IntArray,
    units: Units,
) -> Parts:
    """Return the part of a component on each machine at a given time.

    A part is as old as the last failure or replacement of the component. Without one, it is at least as old as the
    machine's telemetry.

    Parameters
    ----------
    component : str
        The component.
    events : mapping of str to DataFrame
        Logs of replacements (``maint``) and of ``failures``: ``machineID, datetime`` and ``kind``, the component.
    machines : Index
        The machines.
    starts_us, now_us : (machines,) int arrays
        First reading of each machine, and the time; later events are ignored.
    units : Units
        Of the log; in one of cycles, parts are new at cycle 1.
    """
    installed = find_installations(events.get(MAINT.name), component, machines, starts_us, units=units)
    logs = [] if installed is None else [installed]
    if FAILURES.name in events:
        failures = events[FAILURES.name]
        logs.append(failures.loc[failures["kind"] == component, [MACHINE, TIME]])
    hours = np.full(len(machines), np.nan)
    if logs:
        at = Instants(machines, np.arange(len(machines)), now_us)
        hours = EventLog(pd.concat(logs, ignore_index=True), machines).last_until(at)
    is_known = ~np.isnan(hours)
    return Parts(np.where(is_known, hours, (now_us - starts_us) / US_PER_HOUR), is_known)


def list_by_age(
    lifetimes: Mapping[str, Lifetime], parts: Mapping[str, Parts], machines: pd.Index, *, horizon_hours: float
) -> pd.DataFrame:
    """Return all parts with the probability that they fail within the horizon, the most probable first.

    Parameters
    ----------
    lifetimes : mapping of str to Lifetime
        Of each component.
    parts : mapping of str to Parts
        Of each component, on the machines.
    machines : Index
        The machines.
    horizon_hours : float
        Hours ahead.

    Returns
    -------
    DataFrame
        ``machineID, component``; ``age_hours``; ``is_minimum`` if the part may be older; ``probability`` of a failure
        within the horizon, and its 90 % interval ``low``, ``high``. Sorted by descending probability, then age.
    """
    frames = [
        pd.DataFrame(
            {
                MACHINE: machines,
                "component": pd.Series([name] * len(machines), dtype="str"),
                "age_hours": parts[name].hours,
                "is_minimum": ~parts[name].is_known,
                **dict(
                    zip(
                        ("probability", "low", "high"),
                        lifetime.probability(parts[name].hours, horizon_hours),
                        strict=True,
                    )
                ),
            }
        )
        for name, lifetime in lifetimes.items()
    ]
    columns = [MACHINE, "component", "age_hours", "is_minimum", "probability", "low", "high"]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return found.sort_values(["probability", "age_hours"], ascending=False, kind="stable").reset_index(drop=True)
