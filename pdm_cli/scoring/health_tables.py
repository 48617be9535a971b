"""Tables from a health index: every row, episodes of alarms, and machines by urgency."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.events import find_episodes
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.scoring.health import HealthIndex

IntArray = NDArray[np.int64]

# Sensors that are named per machine.
_MOST_DRIVERS = 3


def list_health(index: HealthIndex) -> pd.DataFrame:
    """Return ``machineID, datetime, health, alarm, sensor`` of all instants, in their order."""
    instants, top = index.instants, index.top_sensors
    return pd.DataFrame(
        {
            MACHINE: instants.machines[instants.codes],
            TIME: instants.times.astype("datetime64[us]"),
            "health": index.health,
            "alarm": index.is_alarm,
            "sensor": _name(index.sensors, top),
        }
    )


def find_health_episodes(index: HealthIndex, *, merge_hours: float) -> pd.DataFrame:
    """Return the episodes of alarms no further apart than ``merge_hours``, by machine and time.

    Returns
    -------
    DataFrame
        ``machineID, start, end`` (first and last alarm), ``rows`` (number of alarms), the lowest ``health`` with its
        ``sensor``, and ``sensors`` with the largest deviations there.
    """
    instants = index.instants
    order = np.lexsort((instants.times, instants.codes))
    rows = order[index.is_alarm[order]]
    first, last = find_episodes(instants.codes[rows], instants.times[rows], merge_hours=merge_hours)
    worst = np.array(
        [
            rows[start + np.argmin(index.health[rows[start : stop + 1]])]
            for start, stop in zip(first, last, strict=True)
        ],
        dtype=np.int64,
    )
    return pd.DataFrame(
        {
            MACHINE: instants.machines[instants.codes[rows[first]]],
            "start": instants.times[rows[first]].astype("datetime64[us]"),
            "end": instants.times[rows[last]].astype("datetime64[us]"),
            "rows": last - first + 1,
            "health": index.health[worst],
            "sensor": _name(index.sensors, index.top_sensors[worst]),
            "sensors": pd.Series([_name_drivers(index, row) for row in worst.tolist()], dtype="str"),
        }
    )


def rank_machines(index: HealthIndex, *, merge_hours: float, stale_hours: float) -> pd.DataFrame:
    """Return the machines by health at their last row, lowest first; those without a known health are left out.

    Parameters
    ----------
    index : HealthIndex
        Of all machines.
    merge_hours : float
        An alarm counts as on this long, as in :func:`find_health_episodes`.
    stale_hours : float
        A machine is silent if its last row is this much older than the newest.

    Returns
    -------
    DataFrame
        ``rank`` from 1; ``machineID``; ``health`` at ``datetime``, the last row; ``since``, the start of the episode
        of alarms that is on, else missing; ``sensors`` with the largest deviations in the lowest row of that episode,
        or in the last row; ``is_stale`` if the machine is silent.
    """
    instants = index.instants
    order = np.lexsort((instants.times, instants.codes))
    known = order[~np.isnan(index.health[order])]
    last = known[np.flatnonzero(np.diff(instants.codes[known], append=-1))]
    episodes = find_health_episodes(index, merge_hours=merge_hours).groupby(MACHINE, sort=False).last()
    ranked = pd.DataFrame({MACHINE: instants.machines[instants.codes[last]], "health": index.health[last]})
    ranked[TIME] = instants.times[last].astype("datetime64[us]")
    latest = episodes.reindex(ranked[MACHINE])
    is_on = ranked[TIME].to_numpy() - latest["end"].to_numpy() <= np.timedelta64(round(merge_hours * 3600), "s")
    ranked["since"] = latest["start"].where(is_on).to_numpy()
    ranked["sensors"] = [
        _name_drivers(index, _lowest(index, row, since) if is_one else row)
        for row, since, is_one in zip(last, ranked["since"], is_on, strict=True)
    ]
    ranked["is_stale"] = (ranked[TIME].max() - ranked[TIME]) / pd.Timedelta(hours=1) > stale_hours
    ranked = ranked.iloc[np.lexsort((last, ranked["health"], ~is_on))].reset_index(drop=True)
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked


def _lowest(index: HealthIndex, row: int, since: pd.Timestamp) -> int:
    """Return the row with the lowest health of a machine from a time on."""
    instants = index.instants
    own = np.flatnonzero((instants.codes == instants.codes[row]) & (instants.times >= since.value // 1000))
    return int(own[np.nanargmin(index.health[own])])


def _name_drivers(index: HealthIndex, row: int) -> str:
    """Return the sensors with at least half of the largest deviation of a row, largest first, at most three."""
    deviations = np.nan_to_num(index.deviations[:, row], nan=0.0)
    order = np.argsort(-deviations, kind="stable")[:_MOST_DRIVERS]
    return ", ".join(index.sensors[place] for place in order if deviations[place] >= deviations[order[0]] / 2)


def _name(sensors: list[str], places: IntArray) -> pd.Series:
    """Return the names at positions; missing where negative."""
    names = np.array([*sensors, None], dtype=object)
    return pd.Series(names[places], dtype="str")
