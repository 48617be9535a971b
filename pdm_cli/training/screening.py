"""Choice of feature columns: those that a small model uses most.

Columns that do not matter dilute those that do, and every one of them costs time in every fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models import FitOptions
from pdm_cli.models.xgboost import XGBoost

FloatArray = NDArray[np.float64]

_HYPER = {
    "trees": 20,
    "learning_rate": 0.2,
    "max_leaves": 31,
    "min_child_weight": 0.3,
    "l2": 3.0,
    "column_share": 0.3,
}
# Share of the rows without a failure ahead.
_SHARE = 0.25
_FEWEST, _PER_COMPONENT = 60, 5


def count_columns(components: int) -> int:
    """Return the number of columns to choose for a number of components."""
    return _FEWEST + _PER_COMPONENT * components


def choose_columns(
    values: NDArray[np.float32],
    labels: FloatArray,
    weights: FloatArray,
    *,
    categorical: Sequence[bool],
    options: tuple[int, int],
) -> NDArray[np.intp]:
    """Return the positions of the columns whose splits gain most for any of the components, ascending.

    Parameters
    ----------
    values : (m, f) float32 array
        Features of the training rows.
    labels : (m, c) array
        0 or 1, both in every column.
    weights : (m,) array
        Row weights.
    categorical : sequence of bool
        Which of the features are categories.
    options : (int, int)
        Random seed, and number of threads.
    """
    seed, threads = options
    is_ahead = (labels == 1).any(axis=1)
    rows = np.flatnonzero(is_ahead | (np.random.default_rng(seed).random(len(labels)) < _SHARE))
    model = XGBoost().fit(
        values[rows],
        labels[rows],
        FitOptions(_HYPER, seed, threads),
        categorical=categorical,
        weights=np.where(is_ahead[rows], weights[rows], weights[rows] / _SHARE),
    )
    gains = model.gains()
    shares = gains / np.maximum(gains.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    best = np.argsort(-shares.max(axis=0), kind="stable")
    return np.sort(best[: count_columns(labels.shape[1])])
