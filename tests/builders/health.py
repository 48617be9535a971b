"""A fleet for the health index: two sensors that follow the load, and noise of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pdm_cli.features.events import Instants
from pdm_cli.scoring.health import HealthIndex, HealthRules, find_health

HOUR_US = 3_600_000_000
GRID = {"step_us": HOUR_US, "grid_us": 3 * HOUR_US}
START = pd.Timestamp("2015-01-01")


def make_telemetry(*, machines: int = 6, days: int = 80, seed: int = 0, load: float = 1.0) -> pd.DataFrame:
    """Return hourly readings of the sensors ``heat`` and ``shake``, which follow a load of this standard deviation."""
    rng = np.random.default_rng(seed)
    times = pd.Series(pd.date_range(START, periods=24 * days, freq="h")).astype("datetime64[us]")
    parts = []
    for machine in range(1, machines + 1):
        loads = load * np.repeat(rng.normal(size=days), 24)
        heat, shake = (gain * loads + rng.normal(size=len(times)) for gain in (2.0, 1.0))
        parts.append(pd.DataFrame({"machineID": machine, "datetime": times, "heat": 60 + heat, "shake": 5 + shake}))
    return pd.concat(parts, ignore_index=True)


def day_us(day: float) -> int:
    """Return the time so many days after the start."""
    return START.value // 1000 + round(24 * day * HOUR_US)


def measure(
    telemetry: pd.DataFrame,
    *,
    reference_days: float = 40,
    per_year: float = 1,
    window_hours: float = 72.0,
    **logs: pd.DataFrame,
) -> HealthIndex:
    """Return the health on a grid of three hours after the reference."""
    rows = telemetry.loc[telemetry["datetime"].dt.hour % 3 == 0, ["machineID", "datetime"]]
    rules = HealthRules(window_hours, per_year / 8766)
    return find_health(telemetry, Instants.of(rows), logs, until_us=day_us(reference_days), rules=rules, **GRID)
