"""Bootstrap intervals of metrics, over machines drawn with replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.exposure import Exposure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Numbers in memory at a time while the precision of many resamples is computed.
_BLOCK_NUMBERS = 4_000_000


def bootstrap_events(
    outcomes: Sequence[EventOutcome],
    exposure: Exposure,
    *,
    resamples: int = 500,
    seed: int,
    level: float = 0.9,
) -> dict[str, Any]:
    """Return percentile intervals of the event metrics over machines drawn with replacement.

    Whole machines are drawn, with all their failures, alarms and months, because events of a machine are correlated.

    Parameters
    ----------
    outcomes : sequence of EventOutcome
        One per component; pooled.
    exposure : Exposure
        Months in which alarms and failures of each machine can be evaluated, in the order of the machine codes.
    resamples : int
        Number of resamples.
    seed : int
        Random seed.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    dict
        ``level``, ``resamples``, and the ``[low, high]`` of ``caught_share``, ``median_warning_hours`` and
        ``false_alarms_per_machine_month``; ``None`` if no resample has a value.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 13.
    """
    months = np.maximum(exposure.alarms, exposure.failures)
    machines = len(months)
    # Machines that were not tested are not drawn.
    is_tested = (months > 0) | (months.max(initial=0.0) == 0)
    tested = int(is_tested.sum())
    draws = np.random.default_rng(seed).multinomial(tested, is_tested / max(tested, 1), size=resamples)
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    failed = np.concatenate([outcome.failure_codes for outcome in outcomes])
    false = np.concatenate([outcome.episode_codes[outcome.is_false] for outcome in outcomes])
    is_caught = ~np.isnan(warning)
    failures, caught, false_alarms = (
        draws @ np.bincount(codes, minlength=machines) for codes in (failed, failed[is_caught], false)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        caught_share, false_rate = caught / failures, false_alarms / (draws @ exposure.alarms)
    medians = _medians(warning[is_caught], draws[:, failed[is_caught]])
    return {
        "level": level,
        "resamples": resamples,
        "caught_share": _interval(caught_share, level),
        "median_warning_hours": _interval(medians, level),
        "false_alarms_per_machine_month": _interval(false_rate, level),
    }


def bootstrap_precision(
    labels: FloatArray,
    probabilities: FloatArray,
    codes: IntArray,
    *,
    resamples: int = 500,
    seed: int,
    level: float = 0.9,
) -> dict[str, Any]:
    """Return the percentile interval of the mean average precision over machines drawn with replacement.

    Parameters
    ----------
    labels : (m, c) array
        0, 1, or NaN where unknown.
    probabilities : (m, c) array
        Predictions.
    codes : (m,) array
        Machine of each row; machines without rows are not drawn.
    resamples, seed, level
        See :func:`bootstrap_events`.

    Returns
    -------
    dict
        ``level``, ``resamples``, and the ``[low, high]`` of ``average_precision``; ``None`` without a label of 1.
    """
    machines, codes = np.unique(codes, return_inverse=True)
    tested = len(machines)
    draws = np.random.default_rng(seed).multinomial(tested, np.full(tested, 1 / max(tested, 1)), size=resamples)
    precisions = []
    for own_labels, own_probabilities in zip(labels.T, probabilities.T, strict=True):
        known = ~np.isnan(own_labels)
        if np.any(own_labels[known] == 1):
            precisions.append(_precisions(own_labels[known] == 1, own_probabilities[known], codes[known], draws))
    interval = None
    if precisions:
        stacked = np.stack(precisions)
        # A resample without a failure of a component has no value for it.
        has_value = ~np.isnan(stacked)
        with np.errstate(invalid="ignore"):
            interval = _interval(np.nansum(stacked, axis=0) / has_value.sum(axis=0), level)
    return {"level": level, "resamples": resamples, "average_precision": interval}


def _precisions(is_ahead: BoolArray, probabilities: FloatArray, codes: IntArray, draws: IntArray) -> FloatArray:
    """Return the average precision of each resample (r, machines); NaN without a failure ahead.

    Only probabilities of rows with a failure ahead matter, at which recall rises. Rows are counted by such level and
    machine once; each resample weights these counts.
    """
    from scipy.sparse import coo_array

    levels = np.unique(probabilities[is_ahead])
    # Position of the highest level that each row reaches, counted from the top.
    place = len(levels) - np.searchsorted(levels, probabilities, side="right")
    shape = (len(levels), draws.shape[1])
    reaches = place < len(levels)
    hits, misses = (
        coo_array((np.ones(rows.sum()), (place[rows], codes[rows])), shape).tocsr()
        for rows in (is_ahead, reaches & ~is_ahead)
    )
    block = max(1, _BLOCK_NUMBERS // len(levels))
    found = []
    for start in range(0, len(draws), block):
        weights = draws[start : start + block].T.astype(np.float64)
        here = hits @ weights
        right, wrong = here.cumsum(axis=0), (misses @ weights).cumsum(axis=0)
        with np.errstate(invalid="ignore"):
            precision = np.where(right > 0, right / (right + wrong), 0.0)
            found.append((here * precision).sum(axis=0) / right[-1])
    return np.concatenate(found)


def _medians(values: FloatArray, counts: IntArray) -> FloatArray:
    """Return the median of the values repeated by each row of counts (r, n); NaN where a row is all 0."""
    order = np.argsort(values)
    medians = np.full(len(counts), np.nan)
    until = np.cumsum(counts[:, order], axis=1)
    total = until[:, -1] if len(values) else np.zeros(len(counts), np.int64)
    drawn = np.flatnonzero(total)
    until, total = until[drawn], total[drawn]
    # The p-th of the sorted, repeated values is the first whose cumulative count exceeds p.
    low, high = ((until <= middle[:, None]).sum(axis=1) for middle in ((total - 1) // 2, total // 2))
    medians[drawn] = (values[order[low]] + values[order[high]]) / 2
    return medians


def _interval(values: FloatArray, level: float) -> list[float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2)).tolist()
    return [low, high]
