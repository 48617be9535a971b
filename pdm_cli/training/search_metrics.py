"""The one number a search goes by: PRIMARY_METRICS, one registry line each; higher is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData

FloatArray = NDArray[np.float64]


def average_precision(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the mean over components of the average precision.

    Parameters
    ----------
    labels : (m, c) array
        0 or 1, none missing.
    probabilities : (m, c) array
        Predictions.

    Returns
    -------
    float
        In [0, 1]; a component whose labels are all the same is left out.

    Raises
    ------
    NotEnoughData
        If that leaves none.
    """
    from sklearn.metrics import average_precision_score

    return float(np.mean(_by_component(average_precision_score, labels, probabilities)[0]))


def roc_auc(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the mean over components of the area under the ROC curve; see :func:`average_precision`."""
    from sklearn.metrics import roc_auc_score

    return float(np.mean(_by_component(roc_auc_score, labels, probabilities)[0]))


def weighted_auc(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the area under the ROC curve, components weighted by their share of the positive labels.

    This is ``AUC_weighted`` of Azure's AutoML; see :func:`average_precision`.
    """
    from sklearn.metrics import roc_auc_score

    areas, positives = _by_component(roc_auc_score, labels, probabilities)
    return float(np.average(areas, weights=positives))


def negative_brier(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the mean squared error of the probabilities, negated: in [-1, 0].

    Parameters
    ----------
    labels, probabilities : (m, c) array
        As for :func:`average_precision`; every component counts.
    """
    return -float(np.mean((probabilities - labels) ** 2))


def _by_component(
    metric: Callable[[FloatArray, FloatArray], float], labels: FloatArray, probabilities: FloatArray
) -> tuple[list[float], list[float]]:
    """Return the metric and the number of positive labels of each component that has both classes."""
    known = np.flatnonzero(labels.min(axis=0) != labels.max(axis=0))
    if not len(known):
        raise NotEnoughData(
            "no component has both failing and healthy rows to score on", hint="set a later --cutoff or fewer --folds"
        )
    values = [metric(labels[:, column], probabilities[:, column]) for column in known]
    return values, labels[:, known].sum(axis=0).tolist()


PRIMARY_METRICS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "average_precision": average_precision,
    "roc_auc": roc_auc,
    "AUC_weighted": weighted_auc,
    "brier": negative_brier,
}
