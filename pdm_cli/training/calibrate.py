"""Calibration on the predictions of the folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdm_cli.evaluation.calibration import Calibration, fit_calibration
from pdm_cli.training.rule_outcomes import HeldOut

_MACHINE_GROUPS = 5


def calibrate(pieces: Sequence[HeldOut]) -> Calibration:
    """Return the calibration of a component, from its predictions on each fold."""
    labels = np.concatenate([piece.labels for piece in pieces])
    probabilities = np.concatenate([piece.probabilities for piece in pieces])
    groups = np.repeat(np.arange(len(pieces)), [len(piece.labels) for piece in pieces])
    if len(pieces) == 1:
        # With a single fold, cross-validate over its machines.
        groups = pieces[0].rows.codes % _MACHINE_GROUPS
    return fit_calibration(labels, probabilities, groups)
