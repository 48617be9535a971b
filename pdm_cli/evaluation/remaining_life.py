"""Metrics of the remaining useful life of machines that run until they fail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.evaluate import PredictedSpan
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
# An early prediction is penalised less than a late one, in the unit of time of the challenge: cycles.
_EARLY, _LATE = 13.0, 10.0


def score_error(error: FloatArray) -> FloatArray:
    """Return the asymmetric score [1]_ of predicted minus true life: ``exp(-d / 13) - 1`` if early, else with 10.

    References
    ----------
    .. [1] A. Saxena, K. Goebel, D. Simon, N. Eklund (2008), Damage propagation modeling for aircraft engine
       run-to-failure simulation, International Conference on Prognostics and Health Management.

    Examples
    --------
    >>> score_error(np.array([-13.0, 0.0, 10.0])).round(3).tolist()
    [1.718, 0.0, 1.718]
    """
    return np.asarray(np.expm1(np.where(error < 0, -error / _EARLY, error / _LATE)))


def evaluate_life(
    span: PredictedSpan, life: FloatArray, hours: FloatArray, *, cap_hours: float, unit_hours: float
) -> dict[str, Any] | None:
    """Return the error of the predicted life, and how often the interval contains the true one.

    Only the rows of machines that ended with a failure count, since the life of the others is not known.

    Parameters
    ----------
    span : PredictedSpan
        Predictions and truth of m rows.
    life : (m,) array
        Predicted life in hours, at most the cap.
    hours : (m, 3) array
        Quantiles of the hours to failure; NaN beyond the cap.
    cap_hours : float
        Longer lives, predicted or true, count as this long for the error.
    unit_hours : float
        Hours per unit of time of the asymmetric score: those of a cycle, or 1.

    Returns
    -------
    dict or None
        ``cap_hours``, ``machines``, ``rows``, ``rmse_hours``, ``constant_rmse_hours`` (of the mean of the true lives),
        ``score`` (mean over the rows) and ``coverage``; ``None`` if no machine ended with a failure.
    """
    failed = span.known.failed_us[span.rows.codes]
    rows = span.known.is_ended[span.rows.codes] & (span.rows.times <= failed)
    if not rows.any():
        return None
    true = (failed[rows] - span.rows.times[rows]) / US_PER_HOUR
    capped = np.minimum(true, cap_hours)
    error = np.minimum(life[rows], cap_hours) - capped
    low, high = np.where(np.isnan(hours[rows][:, 0]), cap_hours, hours[rows][:, 0]), hours[rows][:, 2]
    is_inside = (low <= true) & (np.isnan(high) | (true <= high))
    return {
        "cap_hours": cap_hours,
        "machines": len(np.unique(span.rows.codes[rows])),
        "rows": int(rows.sum()),
        "rmse_hours": float(np.sqrt(np.mean(error**2))),
        "constant_rmse_hours": float(np.std(capped)),
        "score": float(score_error(error / unit_hours).mean()),
        "coverage": float(is_inside.mean()),
    }
