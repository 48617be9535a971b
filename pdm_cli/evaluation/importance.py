"""Which features a model goes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def draw_rows(rows: BoolArray, before_failure: BoolArray, *, count: int, seed: int) -> IntArray:
    """Return a sample of rows, half of them with a failure ahead as far as there are so many.

    Failures are rare: in a plain sample hardly a row would show what raises a probability.

    Parameters
    ----------
    rows : (m,) bool array
        Which may be drawn.
    before_failure : (m,) bool array
        Rows with a failure ahead.
    count : int
        Most rows.
    seed : int
        Of the draw.

    Returns
    -------
    int array
        Positions, rising.
    """
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    ahead, others = drawn[before_failure[drawn]], drawn[~before_failure[drawn]]
    eventful = ahead[: max(count // 2, count - len(others))]
    return np.sort(np.concatenate([eventful, others[: count - len(eventful)]]))


def rank_features(
    contributions: FloatArray, names: Sequence[str], components: Sequence[str], *, most: int = 15
) -> list[dict[str, Any]]:
    """Return the features that move the predictions most.

    Parameters
    ----------
    contributions : (r, c, f) array
        Shapley values: what each feature adds to the log-odds of each component.
    names, components : sequence of str
        The f features and the c components.
    most : int
        Features returned.

    Returns
    -------
    list of dict
        ``feature``; ``mean_shapley``, the mean size over rows and components; ``components``, that of each component.
        Largest first; features that no component looks at are left out.
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
