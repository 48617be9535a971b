"""Alert rules: when an alert turns on and off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# An alert ends after this long without a probability.
RESET_HOURS = 24.0
# Longer alerts count as several: otherwise a permanent alert would catch all failures with a single alarm.
LONGEST_HORIZONS = 2


@dataclass(frozen=True)
class AlertRule:
    """An alert turns on where the probability reaches ``on`` and off where it falls below ``off``.

    With ``on`` above 1 it never turns on. Raises ValueError unless ``off <= on``.
    """

    on: float
    off: float

    def __post_init__(self) -> None:
        if not self.off <= self.on:
            raise ValueError(f"an alert rule needs off <= on, got on={self.on}, off={self.off}")


def switch_alerts(
    probabilities: FloatArray, codes: IntArray, times: IntArray, rule: AlertRule, *, reset_hours: float = RESET_HOURS
) -> BoolArray:
    """Return where the alert is on.

    A row without a probability does not change the alert, but it ends after ``reset_hours`` without any.

    Parameters
    ----------
    probabilities : (m,) array
        In [0, 1], or NaN.
    codes, times : (m,) int arrays
        Machine and microsecond timestamp of each row, sorted by machine, then time. Machines start without an alert.
    rule : AlertRule
        When the alert turns on and off.
    reset_hours : float
        Rows later than this after the machine's last probability start without an alert.
    """
    return switch_from_reset(probabilities, find_resets(probabilities, codes, times, reset_hours), rule)


def find_resets(probabilities: FloatArray, codes: IntArray, times: IntArray, reset_hours: float) -> BoolArray:
    """Return the rows where the alert is reset."""
    rows = np.arange(len(codes))
    last_known = np.maximum.accumulate(np.where(np.isnan(probabilities), -1, rows))
    is_reset = np.ones(len(codes), np.bool_)
    # If the last probability is of another machine, this one has no alert yet: either value is right.
    is_late = times[1:] - times[last_known[:-1]] > reset_hours * US_PER_HOUR
    is_reset[1:] = (np.diff(codes) != 0) | is_late
    return is_reset


def switch_from_reset(probabilities: FloatArray, is_reset: BoolArray, rule: AlertRule) -> BoolArray:
    """Return where the alert is on, given the rows where it is reset; the first row must be one."""
    is_on = probabilities >= rule.on
    is_decisive = is_on | (probabilities < rule.off) | is_reset
    # The first row is decisive, so every row has a decisive one at or before it.
    last_decisive = np.maximum.accumulate(np.where(is_decisive, np.arange(len(is_on)), 0))
    return is_on[last_decisive]
