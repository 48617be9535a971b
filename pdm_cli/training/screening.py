"""Choice of feature columns: those that a small model uses most.

Columns that do not matter dilute those that do, and every one of them costs time in every fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models import FitOptions
from pdm_cli.models.xgboost import XGBoost

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

_HYPER = {
    "trees": 12,
    "learning_rate": 0.3,
    "max_leaves": 31,
    "min_child_weight": 0.3,
    "l2": 3.0,
    "column_share": 0.3,
}
# Share of the rows without a failure ahead.
_SHARE = 0.25
# At least so many rows without a failure ahead are drawn, if there are.
_FEWEST_NEGATIVES = 20
# The new families had .13 of the gain on the reference set, where they add nothing, and .52 and .57 on two fleets with
# steps, spikes and ramps, where they do. The limit between them was set with these results in sight.
_LEAST_GAIN = 0.3
# On four fleets (reference, ramps, steps and spikes, mixed) as good as all columns.
_FEWEST, _PER_COMPONENT = 60, 5


def count_columns(components: int) -> int:
    """Return the number of columns to choose for a number of components."""
    return _FEWEST + _PER_COMPONENT * components


def draw_negatives(is_negative: BoolArray, draws: FloatArray, share: float) -> tuple[BoolArray, float]:
    """Return the rows without a failure ahead that are drawn, and the weight of each.

    Parameters
    ----------
    is_negative : (m,) bool array
        Rows to draw from.
    draws : (m,) array
        A random number in [0, 1) for each row.
    share : float
        Share of the rows to draw, in (0, 1]; more if those would be fewer than 20.
    """
    drawn = is_negative & (draws < share)
    rows = np.flatnonzero(is_negative)
    fewest = min(_FEWEST_NEGATIVES, len(rows))
    if np.count_nonzero(drawn) >= fewest:
        return drawn, 1 / share
    drawn[rows[np.argsort(draws[rows], kind="stable")[:fewest]]] = True
    return drawn, len(rows) / fewest


def choose_columns(
    values: NDArray[np.float32],
    labels: FloatArray,
    weights: FloatArray,
    *,
    categorical: Sequence[bool],
    proven: NDArray[np.bool_],
    options: tuple[int, int],
) -> NDArray[np.intp]:
    """Return the positions of the columns whose splits gain most for any of the components, ascending.

    The proven columns instead, if the others have less than three tenths of the gain in the mean of the components.

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
    proven : (f,) bool array
        Which of the features are proven.
    options : (int, int)
        Random seed, and number of threads.
    """
    seed, threads = options
    is_ahead = (labels == 1).any(axis=1)
    drawn, weight = draw_negatives(~is_ahead, np.random.default_rng(seed).random(len(labels)), _SHARE)
    rows = np.flatnonzero(is_ahead | drawn)
    model = XGBoost().fit(
        values[rows],
        labels[rows],
        FitOptions(_HYPER, seed, threads),
        categorical=categorical,
        weights=np.where(is_ahead[rows], weights[rows], weights[rows] * weight),
    )
    gains = model.gains()
    shares = gains / np.maximum(gains.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    if shares[:, ~proven].sum(axis=1).mean() < _LEAST_GAIN:
        return np.flatnonzero(proven)
    best = np.argsort(-shares.max(axis=0), kind="stable")
    return np.sort(best[: count_columns(labels.shape[1])])
