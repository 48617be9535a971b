"""Rows with the machine and time of the row before, and whether their readings differ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


class RepeatedRows:
    """Counts repeated rows in batches, in the order of the file.

    Attributes
    ----------
    copies, different : int
        Rows with the machine and time of the row before and the same readings, or other ones.
    """

    def __init__(self) -> None:
        self.copies = self.different = 0
        self._last: tuple[int, int, NDArray[np.float64]] | None = None

    def add(
        self, places: NDArray[np.int64], times: NDArray[np.int64], readings: Mapping[str, NDArray[np.float64]]
    ) -> None:
        """Count the repeated rows of a batch: machines, times and readings of its rows."""
        if not len(times):
            return
        rows = 1 + np.flatnonzero((np.diff(times) == 0) & (np.diff(places) == 0))
        self._count(_stack(readings, rows), _stack(readings, rows - 1))
        if self._last is not None and self._last[:2] == (places[0], times[0]):
            self._count(_stack(readings, np.array([0])), self._last[2])
        self._last = int(places[-1]), int(times[-1]), _stack(readings, np.array([len(times) - 1]))

    def _count(self, values: NDArray[np.float64], before: NDArray[np.float64]) -> None:
        is_copy = ((values == before) | (np.isnan(values) & np.isnan(before))).all(axis=1)
        self.copies += int(is_copy.sum())
        self.different += int((~is_copy).sum())


def _stack(readings: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the readings of some rows, (rows, sensors)."""
    return np.array([values[rows] for values in readings.values()], np.float64).reshape(len(readings), -1).T
