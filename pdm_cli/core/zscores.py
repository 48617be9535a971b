"""Robust z of every sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ZScores:
    """Robust z of every sensor at every prepared telemetry row.

    Attributes
    ----------
    machines : Index
        The distinct machines, sorted; codes are positions in it.
    codes : (n,) int array
        Machine of each row, rising.
    times : (n,) int array
        Microseconds since 1970, UTC; rising within a machine.
    sensors : list of str
        The s sensors.
    z : (n, s) array
        Robust standard deviations from the median; NaN where the reading is missing.
    """

    machines: pd.Index
    codes: IntArray
    times: IntArray
    sensors: list[str]
    z: FloatArray
