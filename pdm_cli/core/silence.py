"""Who no longer sends: machines whose telemetry ended before the others'."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.core.events import US_PER_HOUR, Instants
from pdm_cli.schema import MACHINE, TIME


def is_silent(instants: Instants, horizon_hours: float) -> NDArray[np.bool_]:
    """Return which machines, in the order of ``instants.machines``, have sent nothing for more than the horizon.

    Parameters
    ----------
    instants : Instants
        The rows, in any order; at least one of each machine.
    horizon_hours : float
        How far ahead predictions look.
    """
    newest = instants.times.max(initial=np.iinfo(np.int64).min)
    return np.asarray(newest - instants.ends() > round(horizon_hours * US_PER_HOUR))


def find_silent(instants: Instants, *, horizon_hours: float) -> pd.DataFrame:
    """Return the machines that have sent nothing for more than the horizon while others have.

    What was foretold of them is over by now, whatever came of it.

    Parameters
    ----------
    instants : Instants
        The rows, in any order; at least one of each machine.
    horizon_hours : float
        How far ahead predictions look.

    Returns
    -------
    DataFrame
        ``machineID, datetime``: each such machine and its last row, in the order of ``instants.machines``.
    """
    silent = is_silent(instants, horizon_hours)
    return pd.DataFrame({MACHINE: instants.machines[silent], TIME: instants.ends()[silent].astype("datetime64[us]")})
