"""Rows with the machine and time of the row before, and whether they repeat its readings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Before any time.
_NO_TIME = np.iinfo(np.int64).min


def find_copies(is_duplicate: BoolArray, readings: Mapping[str, FloatArray]) -> BoolArray:
    """Return which duplicates have the same readings as the first row of their machine and time.

    Parameters
    ----------
    is_duplicate : (m,) bool array
        Rows with the machine and time of the row before.
    readings : mapping of str to (m,) array
        The readings of each sensor; missing ones (NaN) are equal.
    """
    rows = np.flatnonzero(is_duplicate)
    first = np.maximum.accumulate(np.where(is_duplicate, 0, np.arange(len(is_duplicate))))[rows]
    is_copy = np.zeros(len(is_duplicate), np.bool_)
    is_copy[rows] = True
    for values in readings.values():
        own, others = values[rows], values[first]
        is_copy[rows] &= (own == others) | (np.isnan(own) & np.isnan(others))
    return is_copy


class RepeatedRows:
    """Counts repeated rows in batches; the rows of a machine are in order of time, or nearly so.

    Attributes
    ----------
    copies, different : int
        Rows with the time of the machine's row before, with the readings of the first such row or other ones.
    """

    def __init__(self) -> None:
        self.copies = self.different = 0
        # The latest time of each machine, and its first readings then.
        self._times: IntArray = np.array([], np.int64)
        self._readings: dict[str, FloatArray] = {}

    def add(self, places: IntArray, times: IntArray, readings: Mapping[str, FloatArray]) -> None:
        """Count the repeated rows of a batch: machines (numbered from 0), times and readings of its rows."""
        if not len(times):
            return
        self._grow(int(places.max()) + 1, readings)
        # The earlier rows of the machines come first, and stay first in a stable order.
        own = np.unique(places)
        places = np.concatenate([own, places])
        order = np.argsort(places, kind="stable")
        places, times = places[order], np.concatenate([self._times[own], times])[order]
        readings = {
            name: np.concatenate([self._readings[name][own], values])[order] for name, values in readings.items()
        }
        is_duplicate = np.zeros(len(times), np.bool_)
        is_duplicate[1:] = (np.diff(times) == 0) & (np.diff(places) == 0)
        copies, duplicates = int(find_copies(is_duplicate, readings).sum()), int(is_duplicate.sum())
        self.copies, self.different = self.copies + copies, self.different + duplicates - copies
        # The last of the rows that are not duplicates, of each machine.
        firsts = np.flatnonzero(~is_duplicate)
        lasts = firsts[np.append(np.diff(places[firsts]) != 0, True)]
        self._times[own] = times[lasts]
        for name, values in readings.items():
            self._readings[name][own] = values[lasts]

    def _grow(self, machines: int, readings: Mapping[str, FloatArray]) -> None:
        missing = machines - len(self._times)
        if missing > 0:
            self._times = np.append(self._times, np.full(missing, _NO_TIME))
            none = np.full(missing, np.nan)
            self._readings = {name: np.append(self._readings.get(name, none[:0]), none) for name in readings}
