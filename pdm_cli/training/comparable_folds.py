"""The folds whose models are about as good as the last one, and so like the final model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pdm_cli.training.rule_outcomes import HeldOut

FloatArray = NDArray[np.float64]

# A model of an earlier cutoff is like the last one if it reaches this share of its average precision.
_LEAST_SHARE = 0.8
# Of fewer machines with failures, the average precision of a fold says little.
_FEWEST_MACHINES = 5


def choose_comparable(pieces: Sequence[HeldOut]) -> list[HeldOut]:
    """Return the folds of a component without those whose models are much worse than the last one.

    Folds by time train on ever more rows. Where the first model is much worse than the last one, its probabilities are
    of another scale, and alert levels and calibrations chosen on them do not fit the final model. Folds of one cutoff,
    by machine, are all returned. Average precision depends on the share of rows before a failure, so it is compared at
    the share of the last fold.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One per fold, in order of their cutoffs.
    """
    last = pieces[-1]
    if _count_failing(last) < _FEWEST_MACHINES:
        return list(pieces)
    share = float(np.nanmean(last.labels))
    least = _LEAST_SHARE * _average_precision(last, share)
    return [
        piece
        for piece in pieces
        if piece.split.cutoff == last.split.cutoff
        or _count_failing(piece) < _FEWEST_MACHINES
        or _average_precision(piece, share) >= least
    ]


def _count_failing(piece: HeldOut) -> int:
    return len(np.unique(piece.rows.codes[piece.labels == 1]))


def _average_precision(piece: HeldOut, share: float) -> float:
    """Return the average precision if a share of the rows were before a failure."""
    from sklearn.metrics import average_precision_score

    is_known = ~np.isnan(piece.labels) & ~np.isnan(piece.probabilities)
    labels, probabilities = piece.labels[is_known], piece.probabilities[is_known]
    own = labels.mean()
    weights = np.where(labels == 1, share / own, (1 - share) / (1 - own))
    return float(average_precision_score(labels, probabilities, sample_weight=weights))
