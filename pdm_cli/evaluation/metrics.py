"""Metrics per row: AUC, average precision, Brier score, F1; and the primary metrics of the search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def f1_threshold(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the threshold with the best F1; at least one label must be 1."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    return float(thresholds[int(np.nanargmax(f1[:-1]))])


def row_metrics(labels: FloatArray, probabilities: FloatArray, *, is_alert: BoolArray) -> dict[str, float | None]:
    """Return ROC AUC, average precision, Brier score, and F1 of the alerts of one component.

    With labels of one class only, all but the Brier score are ``None``.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

    brier = float(brier_score_loss(labels, probabilities))
    if labels.min() == labels.max():
        return {"roc_auc": None, "average_precision": None, "brier": brier, "f1": None}
    return {
        "roc_auc": float(roc_auc_score(labels, probabilities)),
        "average_precision": float(average_precision_score(labels, probabilities)),
        "brier": brier,
        "f1": float(f1_score(labels, is_alert)),
    }


def macro_mean(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each metric over the components for which it is defined."""
    means: dict[str, float | None] = {}
    for name in rows[0]:
        known = [value for row in rows if (value := row[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def average_precision(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the mean average precision over components.

    Parameters
    ----------
    labels : (m, c) array
        0 or 1, none missing.
    probabilities : (m, c) array
        Predictions.

    Returns
    -------
    float
        In [0, 1]; components with labels of one class only are left out.

    Raises
    ------
    NotEnoughData
        If no component is left.
    """
    from sklearn.metrics import average_precision_score

    return float(np.mean(_by_component(average_precision_score, labels, probabilities)[0]))


def roc_auc(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the mean ROC AUC over components; see :func:`average_precision`."""
    from sklearn.metrics import roc_auc_score

    return float(np.mean(_by_component(roc_auc_score, labels, probabilities)[0]))


def weighted_auc(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the ROC AUC weighted by the positive labels of each component (``AUC_weighted`` of Azure AutoML)."""
    from sklearn.metrics import roc_auc_score

    areas, positives = _by_component(roc_auc_score, labels, probabilities)
    return float(np.average(areas, weights=positives))


def negative_brier(labels: FloatArray, probabilities: FloatArray) -> float:
    """Return the negated mean squared error of the probabilities, in [-1, 0]; every component counts."""
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


# Metrics that a search can optimise; higher is better.
PRIMARY_METRICS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "average_precision": average_precision,
    "roc_auc": roc_auc,
    "AUC_weighted": weighted_auc,
    "brier": negative_brier,
}
