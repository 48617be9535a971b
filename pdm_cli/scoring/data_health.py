"""Machines and sensors that have stopped sending data."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.preparation.cleaning import sensors_of
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

# Failures, holidays and overhauls rarely last longer.
_TAKEN_OUT_HOURS = 30 * 24.0


def is_silent(instants: Instants, horizon_hours: float) -> NDArray[np.bool_]:
    """Return which machines have sent no data for longer than the horizon, in the order of ``instants.machines``.

    Parameters
    ----------
    instants : Instants
        The rows, in any order; at least one of each machine.
    horizon_hours : float
        Horizon of the predictions; infinite if each machine has a clock of its own, so that none is silent.
    """
    newest = instants.times.max(initial=np.iinfo(np.int64).min)
    return np.asarray(newest - instants.ends() > horizon_hours * US_PER_HOUR)


def find_ended(instants: Instants, known: FollowUp, *, horizon_hours: float) -> NDArray[np.bool_]:
    """Return which machines have failed and not come back, or were taken out.

    A machine was taken out if it has been silent for a month, and for two horizons.

    Parameters
    ----------
    instants : Instants
        The rows, in any order; at least one of each machine.
    known : FollowUp
        Until when the outcome of each machine is known, by all failures known now.
    horizon_hours : float
        As in :func:`is_silent`.
    """
    # Machines with clocks of their own are never silent; others that have failed may be back soon.
    is_gone = known.failed_us >= known.ends_us if math.isinf(horizon_hours) else is_silent(instants, horizon_hours)
    is_taken_out = is_silent(instants, max(_TAKEN_OUT_HOURS, 2 * horizon_hours))
    return np.asarray(known.is_ended & is_gone | is_taken_out)


def find_silent(instants: Instants, ended: NDArray[np.bool_], *, horizon_hours: float) -> pd.DataFrame:
    """Return the machines that have sent no data for longer than the horizon while others have.

    The time that their last predictions are about has passed.

    Parameters
    ----------
    instants : Instants
        The rows, in any order; at least one of each machine.
    ended : (machines,) bool array
        From :func:`find_ended`; these machines are left out.
    horizon_hours : float
        As in :func:`is_silent`.

    Returns
    -------
    DataFrame
        ``machineID, datetime`` (last row) of these machines, in the order of ``instants.machines``.
    """
    silent = is_silent(instants, horizon_hours) & ~ended
    return pd.DataFrame({MACHINE: instants.machines[silent], TIME: instants.ends()[silent].astype("datetime64[us]")})


def find_dead_sensors(telemetry: pd.DataFrame, *, horizon_hours: float) -> pd.DataFrame:
    """Return the sensors without a reading for longer than the horizon before the last row of a machine.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and float sensors, NaN where a reading is missing; in any order.
    horizon_hours : float
        Horizon of the predictions.

    Returns
    -------
    DataFrame
        ``sensor``; ``machines``, the number affected; ``first``, the first of them; ``since``, its last reading, or its
        first row if there never was one. In the order of the columns.
    """
    rows, found = Instants.of(telemetry), []
    for sensor in sensors_of(telemetry):
        known = np.isfinite(telemetry[sensor].to_numpy(np.float64))
        since = np.maximum(Instants(rows.machines, rows.codes[known], rows.times[known]).ends(), rows.starts())
        dead = np.flatnonzero(rows.ends() - since > round(horizon_hours * US_PER_HOUR))
        if len(dead):
            first = rows.machines[dead].tolist()[0]
            found.append((sensor, len(dead), first, since[dead[0]].astype("datetime64[us]")))
    return pd.DataFrame(found, columns=["sensor", "machines", "first", "since"])
