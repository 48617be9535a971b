"""Feature importance: mean absolute Shapley values on a sample of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def draw_rows(rows: BoolArray, before_failure: BoolArray, *, count: int, seed: int) -> IntArray:
    """Return a sample of rows, half of them with a failure ahead if there are enough.

    Failures are rare: a simple random sample would contain almost none.

    Parameters
    ----------
    rows : (m,) bool array
        Rows to draw from.
    before_failure : (m,) bool array
        Rows with a failure ahead.
    count : int
        Maximum number of rows.
    seed : int
        Random seed.

    Returns
    -------
    int array
        Positions, increasing.
    """
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    ahead, others = drawn[before_failure[drawn]], drawn[~before_failure[drawn]]
    eventful = ahead[: max(count // 2, count - len(others))]
    return np.sort(np.concatenate([eventful, others[: count - len(eventful)]]))


def rank_features(
    contributions: FloatArray, names: Sequence[str], components: Sequence[str], *, most: int = 15
) -> list[dict[str, Any]]:
    """Return the features with the largest mean contribution.

    Parameters
    ----------
    contributions : (r, c, f) array
        Shapley values: contribution of each feature to the log-odds of each component.
    names, components : sequence of str
        The f features and the c components.
    most : int
        Maximum number of features.

    Returns
    -------
    list of dict
        ``feature``; ``mean_shapley``, the mean absolute value over rows and components; ``components``, the same per
        component. Largest first; unused features are left out.
    """
    sizes = np.abs(contributions).mean(axis=0)
    mean = sizes.mean(axis=0)
    order = [int(column) for column in np.argsort(-mean, kind="stable")[:most] if mean[column] > 0]
    return [
        {
            "feature": names[column],
            "mean_shapley": float(mean[column]),
            "components": dict(zip(components, sizes[:, column].tolist(), strict=True)),
        }
        for column in order
    ]
