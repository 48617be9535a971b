"""Rows with the machine and time of the row before, and whether they repeat its readings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


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
    """Counts repeated rows in batches, in the order of the file.

    Attributes
    ----------
    copies, different : int
        Rows with the machine and time of the row before, with the readings of the first such row or other ones.
    """

    def __init__(self) -> None:
        self.copies = self.different = 0
        self._first: tuple[IntArray, IntArray, dict[str, FloatArray]] | None = None

    def add(self, places: IntArray, times: IntArray, readings: Mapping[str, FloatArray]) -> None:
        """Count the repeated rows of a batch: machines, times and readings of its rows."""
        if not len(times):
            return
        if self._first is not None:
            # The batch may continue the machine and time of the one before.
            place, time, values = self._first
            places, times = np.concatenate([place, places]), np.concatenate([time, times])
            readings = {name: np.concatenate([values[name], own]) for name, own in readings.items()}
        is_duplicate = np.zeros(len(times), np.bool_)
        is_duplicate[1:] = (np.diff(times) == 0) & (np.diff(places) == 0)
        copies, duplicates = int(find_copies(is_duplicate, readings).sum()), int(is_duplicate.sum())
        self.copies, self.different = self.copies + copies, self.different + duplicates - copies
        first = int(np.flatnonzero(~is_duplicate)[-1])
        kept = slice(first, first + 1)
        self._first = places[kept], times[kept], {name: values[kept] for name, values in readings.items()}
