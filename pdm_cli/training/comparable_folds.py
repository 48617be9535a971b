"""The folds whose models are about as good as the last one, and so like the final model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdm_cli.evaluation.metrics import average_precision
from pdm_cli.training.rule_outcomes import HeldOut

# A model of an earlier cutoff is like the last one if it reaches this share of its average precision.
_LEAST_SHARE = 0.8
# Of fewer machines with failures, the average precision of the last fold says little.
_FEWEST_MACHINES = 5


def choose_comparable(pieces: Sequence[HeldOut]) -> list[HeldOut]:
    """Return the folds of a component without those whose models were trained on too few failures.

    Folds by time train on ever more rows. Where the first model is much worse than the last one, its probabilities are
    of another scale, and alert levels and calibrations chosen on them do not fit the final model. Folds of one cutoff,
    by machine, are all returned.

    Parameters
    ----------
    pieces : sequence of HeldOut
        One per fold, in order of their cutoffs.
    """
    last = pieces[-1]
    if len(np.unique(last.rows.codes[last.labels == 1])) < _FEWEST_MACHINES:
        return list(pieces)
    least = _LEAST_SHARE * _average_precision(last)
    return [piece for piece in pieces if piece.split.cutoff == last.split.cutoff or _average_precision(piece) >= least]


def _average_precision(piece: HeldOut) -> float:
    is_known = ~np.isnan(piece.labels) & ~np.isnan(piece.probabilities)
    return average_precision(piece.labels[is_known, np.newaxis], piece.probabilities[is_known, np.newaxis])
