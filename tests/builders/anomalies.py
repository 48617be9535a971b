"""Anomaly detection on a single series, and by the profiles of a fleet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pdm_cli.anomalies.fleet import find_fleet_refits, summarize_machines
from pdm_cli.anomalies.fleet_profile import FleetProfiles
from pdm_cli.anomalies.seasonal_esd import Anomalies, seasonal_hybrid_esd
from pdm_cli.anomalies.stl import Decomposition, periodic_robust_stl
from pdm_cli.anomalies.windows import DetectWindows
from pdm_cli.errors import DataError
from pdm_cli.settings.model import DetectParams

HOUR_US = 3_600_000_000


def single_esd(values: npt.ArrayLike, **options: Any) -> Anomalies:
    """Return the anomalies of one series, or raise its error."""
    (outcome,) = seasonal_hybrid_esd([values], **options)
    if isinstance(outcome, DataError):
        raise outcome
    return outcome


def single_stl(values: np.ndarray, *, period: int) -> Decomposition:
    """Decompose one series as a batch of one."""
    parts = periodic_robust_stl(values[:, np.newaxis], period=period)
    return Decomposition(parts.seasonal[:, 0], parts.trend[:, 0])


def windows_of(
    *,
    step_us: int = HOUR_US,
    period_hours: float = 24,
    window_days: float = 28,
    smooth_hours: float = 24,
    settle_hours: float = 24,
) -> DetectWindows:
    """Return window sizes given in hours and days; the trailing window is a whole number of seasons."""
    period = round(period_hours * HOUR_US / step_us)
    unit = period or 1
    return DetectWindows(
        step_us,
        smooth=max(1, round(smooth_hours * HOUR_US / step_us)),
        period=period,
        window=unit * max(1, round(window_days * 24 * HOUR_US / step_us / unit)),
        settle=round(settle_hours * HOUR_US / step_us),
    )


def learn_fleet(telemetry: pd.DataFrame, *, step_us: int, params: DetectParams) -> FleetProfiles | None:
    """Return the profiles that ``find_anomalies`` needs for prepared telemetry; None if no machine needs one."""
    refits = find_fleet_refits(telemetry, step_us=step_us, params=params)
    if not len(refits):
        return None
    return FleetProfiles(summarize_machines(telemetry, refits, step_us=step_us, params=params))
