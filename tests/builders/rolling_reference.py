"""Rolling features the slow way: pandas, one machine, sensor, window and statistic at a time."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from pdm_cli.settings.model import FeaturesParams


def slow_features(telemetry: pd.DataFrame, *, step_hours: float, params: FeaturesParams) -> pd.DataFrame:
    """Return rolling features by ``Series.rolling`` over time, at each grid stamp that has a reading."""
    machines = [
        _one_machine(machine, own.set_index("datetime").drop(columns="machineID"), step_hours, params)
        for machine, own in telemetry.groupby("machineID")
    ]
    return pd.concat(machines, ignore_index=True)


def _one_machine(machine: object, readings: pd.DataFrame, step_hours: float, params: FeaturesParams) -> pd.DataFrame:
    grid, step = pd.Timedelta(hours=params.grid_hours), pd.Timedelta(hours=step_hours)
    first, last = readings.index[0].floor(grid), readings.index[-1].ceil(grid)
    times = pd.date_range(first, last, freq=grid, unit="us")
    is_there = readings.notna().any(axis=1)
    known = readings.index[is_there]
    latest = np.searchsorted(known, times, side="right") - 1
    rows = times[(latest >= 0) & (times - known[latest] < step)]
    # Empty rows at the grid's stamps do not count as readings.
    dense = readings.reindex(readings.index.union(times))
    columns: dict[str, pd.Series] = {}
    for sensor in readings:
        for hours in params.windows_hours:
            for statistic in params.statistics:
                needed = max(math.ceil(params.min_share * round(hours / step_hours) - 1e-9), 1)
                rolling = dense[sensor].rolling(pd.Timedelta(hours=hours), min_periods=needed)
                columns[f"{sensor}_{statistic}_{_label(hours)}"] = getattr(rolling, statistic)().loc[rows]
    features = pd.DataFrame(columns, index=rows).rename_axis("datetime").reset_index()
    features.insert(0, "machineID", machine)
    return features


def _label(hours: float) -> str:
    return f"{hours:g}h" if hours == int(hours) else f"{hours * 60:g}min"


def assert_same_features(found: pd.DataFrame, expected: pd.DataFrame, relative: float = 1e-9) -> None:
    """Compare names, rows, missing ones and values; a spread of nothing may be off by rounding of the level."""
    assert list(found) == list(expected)
    pd.testing.assert_frame_equal(found[["machineID", "datetime"]], expected[["machineID", "datetime"]])
    for name in list(found)[2:]:
        np.testing.assert_allclose(found[name], expected[name], rtol=relative, atol=1e-9, err_msg=name)
