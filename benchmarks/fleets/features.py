"""The features of the tools that pdm is compared with: plain trailing windows, event recency and attributes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from pdm_cli.features.build import Sources
from pdm_cli.features.events import EventLog, Instants

FloatArray = NDArray[np.float64]

WINDOW_HOURS = (3, 12, 24, 72, 168)
WINDOW_STEPS = (3, 7, 14, 28)
"""Windows in steps, for readings too rare for the hours."""
RECENT_HOURS, LEVEL_HOURS = (24, 168), 30 * 24
"""Windows of the recent mean, and of the machine's own level that is subtracted."""
LEVEL_STEPS = 28


def plain_features(sources: Sources, instants: Instants, *, with_level: bool) -> pd.DataFrame:
    """Return one row per instant, from readings and events up to it.

    Parameters
    ----------
    sources : Sources
        Prepared tables.
    instants : Instants
        The rows of pdm's own feature table.
    with_level : bool
        Add the recent means minus the machine's own trailing level.
    """
    columns: dict[str, FloatArray] = {}
    rows = _reading_rows(sources.telemetry, instants)
    starts = np.flatnonzero(np.r_[True, np.diff(pd.factorize(sources.telemetry["machineID"])[0]) != 0])
    for sensor in sources.telemetry.columns[2:]:
        values = sources.telemetry[sensor].to_numpy(np.float64)
        for name, column in _sensor_columns(values, starts, sources.step_us, with_level=with_level):
            columns[f"{sensor}_{name}"] = column[rows]
    columns.update(_event_columns(sources, instants))
    columns.update(_attribute_columns(sources.machines, instants))
    return pd.DataFrame(columns).astype(np.float32)


def _reading_rows(telemetry: pd.DataFrame, instants: Instants) -> NDArray[np.intp]:
    """Return the row of each instant's reading, or of the one before it; telemetry has no gaps in time."""
    codes = pd.Index(instants.machines).get_indexer(telemetry["machineID"])
    times = telemetry["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64)
    order = np.lexsort((times, codes))
    machine_first = np.searchsorted(codes[order], instants.codes)
    position = np.empty(len(instants.times), np.intp)
    for code in np.unique(instants.codes):
        own = instants.codes == code
        first, end = np.searchsorted(codes[order], [code, code + 1])
        position[own] = first + np.searchsorted(times[order][first:end], instants.times[own], side="right") - 1
    return order[np.maximum(position, machine_first)]


def _sensor_columns(
    values: FloatArray, starts: NDArray[np.intp], step_us: int, *, with_level: bool
) -> Iterator[tuple[str, FloatArray]]:
    hour = 3_600_000_000
    windows = [round(hours * hour / step_us) for hours in WINDOW_HOURS if hours * hour >= 3 * step_us]
    level, recent = round(LEVEL_HOURS * hour / step_us), [round(hours * hour / step_us) for hours in RECENT_HOURS]
    if len(windows) < len(WINDOW_STEPS):
        windows, level, recent = list(WINDOW_STEPS), LEVEL_STEPS, list(WINDOW_STEPS[:2])
    moments = _Moments(values, starts)
    yield "last", values
    for window in windows:
        mean, std, slope = moments.of(window)
        yield f"mean_{window}", mean
        yield f"std_{window}", std
        yield f"slope_{window}", slope
        yield f"min_{window}", -_trailing_max(-values, starts, window)
        yield f"max_{window}", _trailing_max(values, starts, window)
    if with_level:
        usual = moments.of(level)[0]
        for window in recent:
            yield f"above_level_{window}", moments.of(window)[0] - usual


class _Moments:
    """Trailing mean, standard deviation and slope of a series with missing values, by cumulative sums."""

    def __init__(self, values: FloatArray, starts: NDArray[np.intp]) -> None:
        self._rows = np.arange(values.size)
        lengths = np.diff(np.r_[starts, values.size])
        self._first = np.repeat(starts, lengths)
        known = ~np.isnan(values)
        # Centred by the machine's first reading, so that differences of the sums keep their precision.
        first_known = np.minimum.reduceat(np.where(known, self._rows, values.size - 1), starts)
        self._centre = np.repeat(np.nan_to_num(values[first_known]), lengths)
        x = np.where(known, values - self._centre, 0.0)
        time = np.where(known, self._rows - self._first, 0.0)
        parts = (known.astype(float), x, x * x, time, time * time, time * x)
        self._sums = np.array([np.r_[0.0, np.cumsum(part)] for part in parts])

    def of(self, window: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        since = np.maximum(self._rows - window + 1, self._first)
        count, x, xx, t, tt, tx = self._sums[:, self._rows + 1] - self._sums[:, since]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(count > 0, x / count, np.nan)
            std = np.where(count > 1, np.sqrt(np.maximum(xx / count - mean**2, 0.0)), np.nan)
            spread = tt - t * t / count
            slope = np.where((count > 1) & (spread > 0), (tx - t * x / count) / spread, np.nan)
        return mean + self._centre, std, slope


def _trailing_max(values: FloatArray, starts: NDArray[np.intp], window: int) -> FloatArray:
    """Return the largest known value of each trailing window, NaN without any."""
    filled = np.where(np.isnan(values), -np.inf, values)
    found = np.empty_like(filled)
    for first, end in zip(starts, np.r_[starts[1:], values.size], strict=True):
        own = np.r_[np.full(window - 1, -np.inf), filled[first:end]]
        found[first:end] = maximum_filter1d(own, window, mode="nearest", origin=(window - 1) // 2)[window - 1 :]
    return np.where(np.isinf(found), np.nan, found)


def _event_columns(sources: Sources, instants: Instants) -> dict[str, FloatArray]:
    """Return the hours since the last event of each type."""
    columns = {}
    for table in ("errors", "maint", "failures"):
        if table not in sources.events:
            continue
        events = sources.events[table]
        for kind, own in events.groupby("kind"):
            last = EventLog(own, instants.machines).last_until(instants)
            columns[f"hours_since_{table}_{kind}"] = last
    return columns


def _attribute_columns(machines: pd.DataFrame | None, instants: Instants) -> dict[str, FloatArray]:
    """Return the attributes, categories as their positions."""
    if machines is None:
        return {}
    own = machines.set_index("machineID").reindex(instants.machines)
    columns: dict[str, FloatArray] = {}
    for name, column in own.items():
        is_number = pd.api.types.is_numeric_dtype(column)
        values = column if is_number else column.astype("category").cat.codes
        columns[str(name)] = np.asarray(values, dtype=np.float64)[instants.codes]
    return columns
