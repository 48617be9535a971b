"""Calibration of probabilities, fitted on held-out folds, and the calibration error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Method = Literal["identity", "isotonic", "platt", "constant"]
Bin = dict[str, float | int]

# Share of the raw probability mixed into isotonic steps: it keeps the order within a step at no cost in Brier score.
_BLEND = 1e-3
# Isotonic knots are at least 1e-9 apart, so that the slope between two of them is finite.
_KNOT_DECIMALS = 9
# Clips probabilities, because the log-odds of 0 and 1 are infinite.
_MIN_PROBABILITY = 1e-12
# Large, so almost no penalty: the targets already keep the slope finite.
_PLATT_C = 1e6


@dataclass(frozen=True)
class Calibration:
    """An increasing function from probability to probability, as plain data.

    Attributes
    ----------
    kind : str
        ``identity``; ``isotonic``: linear between the knots; ``platt``: linear in log-odds; ``constant``: the base
        rate of a component that was not learned, ``y[0]``.
    x, y : tuple of float
        Knots of ``isotonic``, both strictly increasing, from x = 0 to x = 1.
    slope, intercept : float
        Of ``platt``; the slope is positive.

    Raises
    ------
    ValueError
        If this is not an increasing function from [0, 1] to [0, 1].
    """

    kind: Method = "identity"
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "platt" and not self.slope > 0:
            raise ValueError(f"a calibration must increase, its slope is {self.slope}")
        if self.kind == "constant" and not (len(self.y) == 1 and 0 <= self.y[0] <= 1):
            raise ValueError("a constant calibration must be one probability")
        if self.kind == "isotonic" and not (
            len(self.x) == len(self.y)
            and (self.x[:1], self.x[-1:]) == ((0.0,), (1.0,))
            and all(low < high for knots in (self.x, self.y) for low, high in pairwise(knots))
            and 0 <= self.y[0] <= self.y[-1] <= 1
        ):
            raise ValueError("a calibration must increase from knot to knot, from 0 to 1")

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return calibrated probabilities in [0, 1], in the same order; NaN stays NaN."""
        if self.kind == "isotonic":
            x, y = np.array(self.x), np.array(self.y)
            # Rounding may lift a value slightly above the next knot, which would break the order.
            following = np.minimum(np.searchsorted(x, probabilities), len(x) - 1)
            interpolated: FloatArray = np.minimum(np.interp(probabilities, x, y), y[following])
            return interpolated
        if self.kind == "platt":
            from scipy.special import expit

            curve: FloatArray = expit(self.slope * _log_odds(probabilities) + self.intercept)
            return curve
        if self.kind == "constant":
            return np.where(np.isnan(probabilities), np.nan, self.y[0])
        return probabilities


def fit_calibration(labels: FloatArray, probabilities: FloatArray, groups: IntArray) -> Calibration:
    """Return the calibration with the best Brier score out of sample, fitted on all rows.

    Each method is cross-validated over the groups. The identity wins unless another one is better, and if there is only
    one group.

    Parameters
    ----------
    labels : (m,) array
        0, 1, or NaN where unknown.
    probabilities : (m,) array
        Held-out predictions in [0, 1], or NaN.
    groups : (m,) int array
        Cross-validation groups: the number of the fold, or the code of the machine.
    """
    is_known = ~np.isnan(labels) & ~np.isnan(probabilities)
    labels, probabilities, groups = labels[is_known], probabilities[is_known], groups[is_known]
    distinct = np.unique(groups)
    best = Calibration()
    if len(distinct) < 2:
        return best
    least = float(np.mean((probabilities - labels) ** 2))
    for method in _FITS:
        whole = _fit(method, labels, probabilities)
        # A method that cannot be fitted on all rows falls back to the identity.
        if whole.kind != method:
            continue
        held_out = np.empty(len(labels))
        for group in distinct:
            rest = groups != group
            held_out[~rest] = _fit(method, labels[rest], probabilities[rest]).apply(probabilities[~rest])
        brier = float(np.mean((held_out - labels) ** 2))
        if brier < least:
            best, least = whole, brier
    return best


def reliability(labels: FloatArray, probabilities: FloatArray, *, bins: int = 10) -> list[Bin]:
    """Compare predicted and observed failure rates in bins of equal width.

    Parameters
    ----------
    labels : (m,) array
        0, 1, or NaN where unknown.
    probabilities : (m,) array
        In [0, 1], or NaN.
    bins : int
        Number of bins; each includes its lower edge, the last one also 1.

    Returns
    -------
    list of dict
        ``low, high, mean_probability, share_failed, rows`` of each bin with rows.
    """
    is_known = ~np.isnan(labels) & ~np.isnan(probabilities)
    labels, probabilities = labels[is_known], probabilities[is_known]
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, bins - 1)
    rows = np.bincount(index, minlength=bins)
    predicted, failed = (np.bincount(index, values, minlength=bins) for values in (probabilities, labels))
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "mean_probability": float(predicted[i] / rows[i]),
            "share_failed": float(failed[i] / rows[i]),
            "rows": int(rows[i]),
        }
        for i in np.flatnonzero(rows)
    ]


def calibration_error(labels: FloatArray, probabilities: FloatArray, *, bins: int = 10) -> float | None:
    """Return the expected calibration error: the mean error of the bins, weighted by rows.

    Parameters
    ----------
    labels, probabilities, bins
        See :func:`reliability`.

    Returns
    -------
    float or None
        In [0, 1]; 0 is best; ``None`` without rows.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian
       binning, AAAI.
    """
    table = reliability(labels, probabilities, bins=bins)
    rows = sum(row["rows"] for row in table)
    if not rows:
        return None
    return sum(row["rows"] * abs(row["mean_probability"] - row["share_failed"]) for row in table) / rows


def _fit(method: Method, labels: FloatArray, probabilities: FloatArray) -> Calibration:
    """Fit one method; the identity if the labels are not of both classes."""
    if not len(labels) or labels.min() == labels.max():
        return Calibration()
    return _FITS[method](labels, probabilities)


def _fit_isotonic(labels: FloatArray, probabilities: FloatArray) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(np.round(probabilities, _KNOT_DECIMALS), labels)
    # The outermost steps extend to 0 and 1.
    x = np.unique([0.0, *fitted.X_thresholds_, 1.0])
    y = (1 - _BLEND) * np.interp(x, fitted.X_thresholds_, fitted.y_thresholds_) + _BLEND * x
    return Calibration("isotonic", tuple(x.tolist()), tuple(y.tolist()))


def _fit_platt(labels: FloatArray, probabilities: FloatArray) -> Calibration:
    """Fit a logistic curve of the log-odds.

    The targets are Platt's, slightly inside 0 and 1, so that the slope is finite even for separable classes.

    References
    ----------
    .. [1] J. Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    failed = float(labels.sum())
    target = np.where(labels == 1, (failed + 1) / (failed + 2), 1 / (len(labels) - failed + 2))
    log_odds = _log_odds(probabilities)[:, None]
    # A target between 0 and 1 is two rows, one of each class, weighted accordingly.
    both = np.concatenate([np.ones(len(labels)), np.zeros(len(labels))])
    model = LogisticRegression(C=_PLATT_C, max_iter=1000)
    # Sums differ in the last bits with the number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        model.fit(np.vstack([log_odds, log_odds]), both, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0])
    # A decreasing curve would reverse the ranking.
    return Calibration("platt", slope=slope, intercept=float(model.intercept_[0])) if slope > 0 else Calibration()


def _log_odds(probabilities: FloatArray) -> FloatArray:
    from scipy.special import logit

    values: FloatArray = logit(np.clip(probabilities, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY))
    return values


_FITS: dict[Method, Callable[[FloatArray, FloatArray], Calibration]] = {"isotonic": _fit_isotonic, "platt": _fit_platt}
