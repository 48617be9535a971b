"""Probabilities that mean what they say: fitted on held-out folds, and how far off they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Kind = Literal["identity", "isotonic", "platt"]
Bin = dict[str, float | int]

# Share of the plain probability mixed into isotonic steps: rows of one step keep their order, at no cost in Brier.
_BLEND = 1e-3
# Isotonic knots stand at least 1e-9 apart, so that the slope between two of them is a sound number.
_KNOT_DECIMALS = 9
# Log-odds of 0 and 1 are infinite; these probabilities stand for them.
_LEAST = 1e-12
# Large, hence next to no penalty: the targets already keep the slope finite.
_PLATT_C = 1e6


@dataclass(frozen=True)
class Calibration:
    """A rising function from probability to probability, as plain data.

    Attributes
    ----------
    kind : str
        ``identity``; ``isotonic``: straight lines between the knots; ``platt``: a line in log-odds.
    x, y : tuple of float
        Knots of ``isotonic``, both strictly rising, from x = 0 to x = 1.
    slope, intercept : float
        Of ``platt``; the slope is positive.

    Raises
    ------
    ValueError
        If the numbers make no rising function from [0, 1] to [0, 1].
    """

    kind: Kind = "identity"
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "platt" and not self.slope > 0:
            raise ValueError(f"a calibration must rise, its slope is {self.slope}")
        if self.kind == "isotonic" and not (
            len(self.x) == len(self.y)
            and (self.x[:1], self.x[-1:]) == ((0.0,), (1.0,))
            and all(low < high for knots in (self.x, self.y) for low, high in pairwise(knots))
            and 0 <= self.y[0] <= self.y[-1] <= 1
        ):
            raise ValueError("a calibration must rise from knot to knot within 0 and 1")

    def apply(self, probabilities: FloatArray) -> FloatArray:
        """Return calibrated probabilities in [0, 1], in the same order; NaN stays NaN.

        Parameters
        ----------
        probabilities : (m,) array
            In [0, 1].
        """
        if self.kind == "isotonic":
            x, y = np.array(self.x), np.array(self.y)
            # Rounding may lift a value a hair above the next knot, which the rows after that knot must not undercut.
            following = np.minimum(np.searchsorted(x, probabilities), len(x) - 1)
            interpolated: FloatArray = np.minimum(np.interp(probabilities, x, y), y[following])
            return interpolated
        if self.kind == "platt":
            from scipy.special import expit

            curve: FloatArray = expit(self.slope * _log_odds(probabilities) + self.intercept)
            return curve
        return probabilities


def fit_calibration(labels: FloatArray, probabilities: FloatArray, groups: IntArray) -> Calibration:
    """Return the calibration with the best Brier score out of sample, fitted on all rows.

    Each kind is fitted without one group and scored on that group, in turn. The identity competes, and wins unless
    another is better; it is returned, too, where there is only one group, since then nothing can be scored.

    Parameters
    ----------
    labels : (m,) array
        0, 1, or NaN where unknown.
    probabilities : (m,) array
        Held-out predictions in [0, 1]; NaN where there is none.
    groups : (m,) int array
        What is left out together: the number of the fold, or the code of the machine.
    """
    is_known = ~np.isnan(labels) & ~np.isnan(probabilities)
    labels, probabilities, groups = labels[is_known], probabilities[is_known], groups[is_known]
    distinct = np.unique(groups)
    best = Calibration()
    if len(distinct) < 2:
        return best
    least = float(np.mean((probabilities - labels) ** 2))
    for kind in _FITS:
        whole = _fit(kind, labels, probabilities)
        # A kind that cannot be fitted on all rows must not win on some and then give way to the identity.
        if whole.kind != kind:
            continue
        held_out = np.empty(len(labels))
        for group in distinct:
            rest = groups != group
            held_out[~rest] = _fit(kind, labels[rest], probabilities[rest]).apply(probabilities[~rest])
        brier = float(np.mean((held_out - labels) ** 2))
        if brier < least:
            best, least = whole, brier
    return best


def reliability(labels: FloatArray, probabilities: FloatArray, *, bins: int = 10) -> list[Bin]:
    """Compare what was foretold with what happened, in bins of equal width.

    Parameters
    ----------
    labels : (m,) array
        0, 1, or NaN where unknown.
    probabilities : (m,) array
        In [0, 1]; NaN where there is none.
    bins : int
        Number of bins; each holds its lower edge, and the last one also 1.

    Returns
    -------
    list of dict
        ``low, high, mean_probability, share_failed, rows`` of each bin that has rows.
    """
    is_known = ~np.isnan(labels) & ~np.isnan(probabilities)
    labels, probabilities = labels[is_known], probabilities[is_known]
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, bins - 1)
    rows = np.bincount(index, minlength=bins)
    foretold, failed = (np.bincount(index, values, minlength=bins) for values in (probabilities, labels))
    return [
        {
            "low": float(edges[i]),
            "high": float(edges[i + 1]),
            "mean_probability": float(foretold[i] / rows[i]),
            "share_failed": float(failed[i] / rows[i]),
            "rows": int(rows[i]),
        }
        for i in np.flatnonzero(rows)
    ]


def calibration_error(labels: FloatArray, probabilities: FloatArray, *, bins: int = 10) -> float | None:
    """Return the expected calibration error: how far bins are off, each weighted by its rows.

    Parameters
    ----------
    labels, probabilities, bins
        See :func:`reliability`.

    Returns
    -------
    float or None
        In [0, 1]; 0 is best; ``None`` without a row.

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


def _fit(kind: Kind, labels: FloatArray, probabilities: FloatArray) -> Calibration:
    """Fit one kind; the identity where there are not both failures and none to learn from."""
    if not len(labels) or labels.min() == labels.max():
        return Calibration()
    return _FITS[kind](labels, probabilities)


def _fit_isotonic(labels: FloatArray, probabilities: FloatArray) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(np.round(probabilities, _KNOT_DECIMALS), labels)
    # The outermost steps reach to 0 and 1.
    x = np.unique([0.0, *fitted.X_thresholds_, 1.0])
    y = (1 - _BLEND) * np.interp(x, fitted.X_thresholds_, fitted.y_thresholds_) + _BLEND * x
    return Calibration("isotonic", tuple(x.tolist()), tuple(y.tolist()))


def _fit_platt(labels: FloatArray, probabilities: FloatArray) -> Calibration:
    """Fit a logistic curve of the log-odds.

    The targets are Platt's, a little inside of 0 and 1, so that classes that do not overlap leave the slope finite.

    References
    ----------
    .. [1] J. Platt (1999), Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    failed = float(labels.sum())
    target = np.where(labels == 1, (failed + 1) / (failed + 2), 1 / (len(labels) - failed + 2))
    log_odds = _log_odds(probabilities)[:, None]
    # A target between 0 and 1 is a row of either class, each with its share of the weight.
    both = np.concatenate([np.ones(len(labels)), np.zeros(len(labels))])
    model = LogisticRegression(C=_PLATT_C, max_iter=1000)
    # Sums over many rows come out otherwise, in the last bits, on another number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        model.fit(np.vstack([log_odds, log_odds]), both, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0])
    # A falling curve would turn the ranking round: such probabilities are beyond calibration.
    return Calibration("platt", slope=slope, intercept=float(model.intercept_[0])) if slope > 0 else Calibration()


def _log_odds(probabilities: FloatArray) -> FloatArray:
    from scipy.special import logit

    values: FloatArray = logit(np.clip(probabilities, _LEAST, 1 - _LEAST))
    return values


_FITS: dict[Kind, Callable[[FloatArray, FloatArray], Calibration]] = {"isotonic": _fit_isotonic, "platt": _fit_platt}
