"""Whether predictions know more than chance: the same predictions with failures placed at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A run is drawn again this often if it overlaps with another.
_TRIES = 20


def placement_test(
    labels: Sequence[FloatArray], probabilities: Sequence[FloatArray], codes: Sequence[IntArray], *, draws: int = 500
) -> float:
    """Return the p-value of the average precision of one component: how often chance would be as precise.

    Under the hypothesis of no warning signs, a failure may be on any machine, at any time. Each run of rows before a
    failure is placed at random in the rows of a random machine of its fold, circularly; it stays together, so that
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
    sizes = [np.unique(own[rows], return_counts=True)[1] for own, rows in zip(codes, known, strict=True)]
    # Rows at least as probable, so that ties do not favour any order.
    ranks = len(levels) - np.searchsorted(np.sort(levels), levels, side="left")
    found, as_good = _precision(ranks[positives]), 1
    rng, runs = np.random.default_rng(0), _find_runs(positives, sizes)
    for _ in range(draws):
        as_good += _precision(ranks[_place(runs, len(levels), rng)]) >= found
    return as_good / (1 + draws)


@dataclass(frozen=True)
class _Run:
    """The length of a run of rows before a failure, and the series of its fold that are long enough for it.

    Attributes
    ----------
    length : int
        Number of rows.
    starts, sizes, ends : (s,) int arrays
        First row and number of rows of each series, and the cumulative sum of these numbers.
    """

    length: int
    starts: IntArray
    sizes: IntArray
    ends: IntArray

    def draw(self, rng: np.random.Generator) -> IntArray:
        """Return the rows of the run at a random place, circularly within the series."""
        row = int(rng.integers(0, self.ends[-1]))
        chosen = np.searchsorted(self.ends, row, side="right")
        return np.asarray(self.starts[chosen] + (row + np.arange(self.length)) % self.sizes[chosen])


def _find_runs(positives: IntArray, sizes: Sequence[IntArray]) -> list[_Run]:
    """Return the runs of consecutive positives within a series, given the sizes of the series of each fold."""
    together = np.concatenate(sizes)
    starts, folds = np.cumsum(together) - together, np.repeat(np.arange(len(sizes)), [len(own) for own in sizes])
    own = np.searchsorted(starts, positives, side="right") - 1
    begins = np.flatnonzero(np.concatenate([[True], (np.diff(positives) != 1) | (np.diff(own) != 0)]))
    found: dict[tuple[int, int], _Run] = {}
    runs = list(zip(folds[own[begins]].tolist(), np.diff(np.append(begins, len(positives))).tolist(), strict=True))
    for fold, length in dict.fromkeys(runs):
        is_fitting = (folds == fold) & (together >= length)
        fitting = together[is_fitting]
        found[fold, length] = _Run(length, starts[is_fitting], fitting, np.cumsum(fitting))
    return [found[run] for run in runs]


def _place(runs: Sequence[_Run], rows: int, rng: np.random.Generator) -> IntArray:
    """Return the rows of all runs at random places that do not overlap, as far as there is room."""
    is_taken = np.zeros(rows, np.bool_)
    for run in runs:
        placed = run.draw(rng)
        for _ in range(_TRIES):
            if not is_taken[placed].any():
                break
            placed = run.draw(rng)
        is_taken[placed] = True
    return np.flatnonzero(is_taken)


def _precision(ranks: IntArray) -> float:
    """Return the average precision of positives, given the number of rows at least as probable as each."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / np.sort(ranks)))
