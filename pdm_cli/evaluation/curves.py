"""Curves for reports: precision against recall, and the distribution of warning times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# Points of a curve; more would not be visible.
_MAX_POINTS = 120


@dataclass(frozen=True)
class Curve:
    """Points of a line, x increasing."""

    x: FloatArray
    y: FloatArray


def precision_recall(labels: FloatArray, probabilities: FloatArray, *, most: int = _MAX_POINTS) -> Curve | None:
    """Return precision (y) at each recall (x) that some threshold reaches.

    Parameters
    ----------
    labels : (m,) array
        0, 1, or NaN where unknown.
    probabilities : (m,) array
        In [0, 1].
    most : int
        Maximum number of points, spread evenly over the recall, 2 or more.

    Returns
    -------
    Curve or None
        Both in [0, 1]; ``None`` if no row has a failure ahead.
    """
    from sklearn.metrics import precision_recall_curve

    is_known = ~np.isnan(labels)
    labels, probabilities = labels[is_known], probabilities[is_known]
    if not np.any(labels == 1):
        return None
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    # Of all thresholds with the same recall the highest, which is last, has the best precision.
    x, first = np.unique(recall[::-1], return_index=True)
    y = precision[::-1][first]
    # The curve starts at the first true alert, not at a recall of 0.
    x, y = x[1:], y[1:]
    kept = np.unique(np.searchsorted(x, np.linspace(x[0], x[-1], most)).clip(max=len(x) - 1))
    return Curve(x[kept], y[kept])


def alert_point(labels: FloatArray, alerts: BoolArray) -> tuple[float, float] | None:
    """Return recall and precision of the rows with an alert; ``None`` without an alert or a failure ahead."""
    is_on, is_ahead = alerts & ~np.isnan(labels), labels == 1
    if not (is_on.any() and is_ahead.any()):
        return None
    hits = np.count_nonzero(is_on & is_ahead)
    return hits / np.count_nonzero(is_ahead), hits / np.count_nonzero(is_on)


def count_warnings(warning_hours: FloatArray, *, horizon_hours: float, bins: int = 16) -> tuple[FloatArray, list[int]]:
    """Return a histogram of warning times, in equal bins from 0 to the horizon.

    Parameters
    ----------
    warning_hours : (n,) array
        Hours from the first alert to the failure, at most the horizon; NaN if it was missed.
    horizon_hours : float
        Horizon of the alerts.
    bins : int
        Number of bins; each includes its upper edge.

    Returns
    -------
    edges : (bins + 1,) array
        Edges of the bins in hours.
    counts : list of int
        Failures per bin.
    """
    edges = np.linspace(0, horizon_hours, bins + 1)
    caught = warning_hours[~np.isnan(warning_hours)]
    # A warning of 0 h belongs to the first bin.
    place = np.searchsorted(edges, caught, side="left").clip(1, bins) - 1
    return edges, np.bincount(place, minlength=bins).tolist()
