"""What readings and errors of a machine say, hour by hour back from any instant."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.robust_z import ZScores
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class Histories:
    """Readings and errors of each machine, told hour by hour before any end.

    Parameters
    ----------
    scores : ZScores
        Robust z of s sensors.
    errors : DataFrame
        ``machineID, datetime, kind``.
    machines : Index
        The machines asked for, by position.
    kinds : list of str
        The k kinds of error asked for.
    """

    def __init__(self, scores: ZScores, errors: pd.DataFrame, machines: pd.Index, kinds: list[str]) -> None:
        self._scores, self._kinds = scores, kinds
        codes = scores.machines.get_indexer(machines)
        self._first, self._stop = (np.searchsorted(scores.codes, codes, side) for side in ("left", "right"))
        owners = machines.get_indexer(pd.Index(errors[MACHINE]))
        of_kind = pd.Index(kinds, dtype=object).get_indexer(pd.Index(errors["kind"]).astype(object))
        times = to_microseconds(errors[TIME])
        order = np.lexsort((times, owners))
        order = order[of_kind[order] >= 0]
        self._error_owners, self._error_times, self._error_kinds = owners[order], times[order], of_kind[order]

    @property
    def width(self) -> int:
        """Numbers an hour has in :meth:`hours_back`."""
        return 2 * len(self._scores.sensors) + len(self._kinds) + 1

    def split(self, hourly: FloatArray) -> list[FloatArray]:
        """Part the last axis of :meth:`hours_back` into z, whether there is one, errors, and whether it is known."""
        sensors, kinds = len(self._scores.sensors), len(self._kinds)
        return np.split(hourly, [sensors, 2 * sensors, 2 * sensors + kinds], axis=-1)

    def hours_back(self, machine: int, ends: IntArray, hours: int) -> FloatArray:
        """Return what the last hours before each of e ends say; hour h is (end - h - 1 h, end - h].

        Returns
        -------
        (e, hours, width) array
            For each sensor the mean z of the hour, 0 where there is no reading; for each sensor whether there is one;
            for each kind whether there was an error; whether the hour is known. Hours before the machine's first
            reading are not: neither errors nor their absence count.
        """
        rows = slice(self._first[machine], self._stop[machine])
        times, scores = self._scores.times[rows], self._scores.z[rows]
        hourly = np.zeros((len(ends), hours, self.width))
        z, there, errors, known = self.split(hourly)
        if not len(times):
            return hourly
        records, cells = _hour_cells(times, ends, hours)
        for sensor, column in enumerate(scores.T):
            values = column[records]
            is_there = np.isfinite(values)
            counts = np.bincount(cells, is_there, len(ends) * hours)
            sums = np.bincount(cells, np.where(is_there, values, 0.0), len(ends) * hours)
            z[..., sensor] = (sums / np.maximum(counts, 1)).reshape(len(ends), hours)
            there[..., sensor] = (counts > 0).reshape(len(ends), hours)
        bounds = np.searchsorted(self._error_owners, [machine, machine + 1])
        own = slice(*bounds)
        records, cells = _hour_cells(self._error_times[own], ends, hours)
        errors[cells // hours, cells % hours, self._error_kinds[own][records]] = 1.0
        known[..., 0] = ends[:, None] - np.arange(hours) * US_PER_HOUR >= times[0]
        errors *= known
        return hourly


def _hour_cells(times: IntArray, ends: IntArray, hours: int) -> tuple[IntArray, IntArray]:
    """Return the records within the hours before each end, and for each its end and hour as end * hours + hour.

    ``times`` are sorted; a record before several ends stands there several times.
    """
    first = np.searchsorted(times, ends - hours * US_PER_HOUR, "right")
    counts = np.searchsorted(times, ends, "right") - first
    owners = np.repeat(np.arange(len(ends)), counts)
    records = np.arange(len(owners)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    return records, owners * hours + (ends[owners] - times[records]) // US_PER_HOUR
