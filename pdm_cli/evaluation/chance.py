"""Whether predictions know more than chance: the same predictions with failures placed at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def placement_test(
    labels: Sequence[FloatArray], probabilities: Sequence[FloatArray], codes: Sequence[IntArray], *, draws: int = 500
) -> float:
    """Return the p-value of the average precision of one component: how often chance would be as precise.

    Under the hypothesis of no warning signs, a failure may be on any machine, at any time. Each run of rows before a
    failure is placed at random in the rows of a random machine and fold, circularly; it stays together, so that
    neighbouring rows, which are alike, do not count as independent [1]_.

    Parameters
    ----------
    labels, probabilities, codes : sequences of (m,) arrays
        Of each fold: 0, 1, or NaN where unknown; predictions; machines, sorted, then by time.
    draws : int
        Number of random placements.

    Returns
    -------
    float
        In (0, 1]; at least 1 / (1 + draws). 1 without a label of 1.

    References
    ----------
    .. [1] E. Edgington, P. Onghena (2007), Randomization Tests, 4th edition, Chapman & Hall/CRC.
    """
    known = [~np.isnan(own) & ~np.isnan(levels) for own, levels in zip(labels, probabilities, strict=True)]
    levels = np.concatenate([own[rows] for own, rows in zip(probabilities, known, strict=True)])
    positives = np.flatnonzero(np.concatenate([own[rows] for own, rows in zip(labels, known, strict=True)]) == 1)
    if not len(positives):
        return 1.0
    # A series is a machine in a fold.
    sizes = np.concatenate(
        [np.unique(own[rows], return_counts=True)[1] for own, rows in zip(codes, known, strict=True)]
    )
    starts = np.cumsum(sizes) - sizes
    series = np.searchsorted(starts, positives, side="right") - 1
    begins = np.concatenate([[True], (np.diff(positives) != 1) | (np.diff(series) != 0)])
    run = np.cumsum(begins) - 1
    step = positives - positives[begins][run]
    # Rows at least as probable, so that ties do not favour any order.
    ranks = len(levels) - np.searchsorted(np.sort(levels), levels, side="left")
    found = _precision(ranks[positives])
    rng = np.random.default_rng(0)
    as_good = 1
    for _ in range(draws):
        placed = rng.integers(0, len(levels), run[-1] + 1)
        home = np.searchsorted(starts, placed, side="right") - 1
        rows = starts[home][run] + ((placed - starts[home])[run] + step) % sizes[home][run]
        as_good += _precision(ranks[rows]) >= found
    return as_good / (1 + draws)


def _precision(ranks: IntArray) -> float:
    """Return the average precision of positives, given the number of rows at least as probable as each."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / np.sort(ranks)))
