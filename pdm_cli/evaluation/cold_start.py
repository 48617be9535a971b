"""Metrics of the first days of each machine, in which there is little history to compare with, and of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData
from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.metrics import average_precision
from pdm_cli.features.events import Instants
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# The features compare with the machine's own last 30 days at most.
COLD_DAYS = 30


def compare_cold_start(
    rows: Instants,
    labels: FloatArray,
    probabilities: FloatArray,
    outcomes: Sequence[EventOutcome],
    *,
    began_us: IntArray,
) -> dict[str, Any]:
    """Return metrics of the first days of each machine's telemetry, and of the time after them.

    Parameters
    ----------
    rows : Instants
        The m rows of the test span.
    labels, probabilities : (m, c) arrays
        Outcomes, NaN where unknown, and predictions.
    outcomes : sequence of EventOutcome
        Of each component.
    began_us : (machines,) int array
        Start of each machine's telemetry, in microseconds since 1970.

    Returns
    -------
    dict
        ``days``; ``first`` and ``after``: each with the number of labelled ``rows``, ``average_precision``, the mean
        over the components with rows before a failure and others (``None`` without any), and the number of
        ``failures`` and of those ``caught``.
    """
    until = began_us + round(COLD_DAYS * 24 * US_PER_HOUR)
    codes = np.concatenate([outcome.failure_codes for outcome in outcomes])
    is_early_failure = np.concatenate([outcome.failure_times for outcome in outcomes]) < until[codes]
    is_caught = ~np.isnan(np.concatenate([outcome.warning_hours for outcome in outcomes]))
    is_early = rows.times < until[rows.codes]
    parts = {"first": (is_early, is_early_failure), "after": (~is_early, ~is_early_failure)}
    return {
        "days": COLD_DAYS,
        **{
            name: {
                "rows": int(np.count_nonzero(~np.isnan(labels[own, 0]))),
                "average_precision": _mean_precision(labels[own], probabilities[own]),
                "failures": int(np.count_nonzero(failed)),
                "caught": int(np.count_nonzero(is_caught & failed)),
            }
            for name, (own, failed) in parts.items()
        },
    }


def _mean_precision(labels: FloatArray, probabilities: FloatArray) -> float | None:
    """Return the mean average precision; ``None`` if no component has labels of both classes."""
    is_known = ~np.isnan(labels[:, 0])
    if not is_known.any():
        return None
    try:
        return average_precision(labels[is_known], probabilities[is_known])
    except NotEnoughData:
        return None
