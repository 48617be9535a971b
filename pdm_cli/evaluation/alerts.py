"""Alert rules: when an alert switches on and off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]


BoolArray = NDArray[np.bool_]


IntArray = NDArray[np.int64]


# After this long without a probability an alert is no longer news.
RESET_HOURS = 24.0


# An alert that stays on for ever would catch all failures as one alarm: beyond so many horizons it is another one.
LONGEST_HORIZONS = 2


@dataclass(frozen=True)
class AlertRule:
    """An alert goes on where the probability reaches ``on`` and stays until it falls below ``off``.

    Attributes
    ----------
    on, off : float
        Probabilities, ``off <= on``; a rule with ``on`` above 1 never alerts.

    Raises
    ------
    ValueError
        If ``off`` is above ``on``, or either is not a number.
    """

    on: float
    off: float

    def __post_init__(self) -> None:
        if not self.off <= self.on:
            raise ValueError(f"an alert must go off at or below where it goes on, got on={self.on}, off={self.off}")


def switch_alerts(
    probabilities: FloatArray, codes: IntArray, times: IntArray, rule: AlertRule, *, reset_hours: float = RESET_HOURS
) -> BoolArray:
    """Return where the alert is on.

    A row without a probability leaves it as it is, but an alert ends once there was none for too long.

    Parameters
    ----------
    probabilities : (m,) array
        In [0, 1], or NaN.
    codes, times : (m,) int arrays
        Machine and microsecond stamp of each row, sorted by machine, then time. Each machine starts without alert.
    rule : AlertRule
        Where it goes on and off.
    reset_hours : float
        A row later than this after the machine's last probability starts without alert.
    """
    return _switch(probabilities, _fresh_rows(probabilities, codes, times, reset_hours), rule)


def _fresh_rows(probabilities: FloatArray, codes: IntArray, times: IntArray, reset_hours: float) -> BoolArray:
    """Return the rows that no earlier state reaches."""
    rows = np.arange(len(codes))
    last_known = np.maximum.accumulate(np.where(np.isnan(probabilities), -1, rows))
    is_fresh = np.ones(len(codes), np.bool_)
    # Where the last probability is another machine's, or none, this machine has not alerted yet: either answer holds.
    is_late = times[1:] - times[last_known[:-1]] > reset_hours * US_PER_HOUR
    is_fresh[1:] = (np.diff(codes) != 0) | is_late
    return is_fresh


def _switch(probabilities: FloatArray, is_fresh: BoolArray, rule: AlertRule) -> BoolArray:
    is_on = probabilities >= rule.on
    is_decisive = is_on | (probabilities < rule.off) | is_fresh
    # The first row is fresh, so that every row has a decisive one at or before it.
    last_decisive = np.maximum.accumulate(np.where(is_decisive, np.arange(len(is_on)), 0))
    return is_on[last_decisive]
