"""Quantiles of the hours to failure, from the probability of a failure up to several horizons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# Low, median and high: an interval that contains the failure in four of five cases.
LEVELS = (0.1, 0.5, 0.9)
# Keeps a level that is reached exactly despite rounding.
_TOLERANCE = 1e-12


def find_quantiles(hours: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Return the hours by which a component has failed with a probability of 10, 50 and 90 %.

    Between two horizons, all times are equally probable: a constant hazard would put an almost certain failure at the
    first of them.

    Parameters
    ----------
    hours : (k,) array
        Horizons, strictly increasing; before the first one, the lead time, no failure is predicted.
    probabilities : (m, k) array
        Probability of a failure up to each horizon, increasing in every row, 0 at the first.

    Returns
    -------
    (m, 3) array
        In the order of :data:`LEVELS`, increasing in every row; NaN where the probability is not reached by the last
        horizon.

    Examples
    --------
    >>> import numpy as np
    >>> find_quantiles(np.array([0.0, 10.0, 20.0]), np.array([[0.0, 0.1, 0.5]])).tolist()
    [[10.0, 20.0, nan]]
    """
    found = np.full((len(probabilities), len(LEVELS)), np.nan)
    for column, level in enumerate(LEVELS):
        is_reached = probabilities >= level - _TOLERANCE
        rows = np.flatnonzero(is_reached.any(axis=1))
        after = is_reached[rows].argmax(axis=1)
        low, high = probabilities[rows, after - 1], probabilities[rows, after]
        share = np.clip((level - low) / (high - low), 0, 1)
        found[rows, column] = hours[after - 1] + share * (hours[after] - hours[after - 1])
    return found


def find_mean(hours: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Return the mean of the hours to failure up to the last horizon, at which later failures count as failing.

    This is the restricted mean survival time: the area below the survival curve.

    Parameters
    ----------
    hours, probabilities
        See :func:`find_quantiles`.

    Returns
    -------
    (m,) array

    Examples
    --------
    >>> import numpy as np
    >>> find_mean(np.array([0.0, 10.0, 20.0]), np.array([[0.0, 0.5, 0.5]])).tolist()
    [12.5]
    """
    survival = 1 - probabilities
    areas = (survival[:, 1:] + survival[:, :-1]) / 2 * np.diff(hours)
    return np.asarray(hours[0] + areas.sum(axis=1))
