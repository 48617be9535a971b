"""Confidence intervals of metrics whose observations are clustered by machine."""

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

# Numbers in memory at a time while the precision of many fleets is computed.
_BLOCK_NUMBERS = 4_000_000
# Machines are left out in at most this many groups.
_GROUPS = 50
# Log-odds of the average precision are finite from here on.
_LEAST_PRECISION = 1e-6


def event_intervals(outcomes: Sequence[EventOutcome], exposure: Exposure, *, level: float = 0.9) -> dict[str, Any]:
    """Return intervals of the event metrics.

    Events of a machine are correlated, so they count as fewer independent ones: their number is divided by the design
    effect, the variance between machines compared with that of independent events (at least 1), and by a factor of
    Student's t for few machines [1]_. With this number, the share caught has a Jeffreys interval, the rate of false
    alarms that of a Poisson mean, and the median warning lies between the order statistics of the exact interval of a
    share of one half [2]_. If nothing or everything is caught, the limit is the mid-P one of independent events; if no
    alarm is false, it is the exact one.

    Parameters
    ----------
    outcomes : sequence of EventOutcome
        One per component; pooled.
    exposure : Exposure
        Months in which alarms and failures of each machine can be evaluated, in the order of the machine codes.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    dict
        ``level``, and the ``[low, high]`` of ``caught_share``, ``median_warning_hours`` and
        ``false_alarms_per_machine_month``; ``None`` if what is counted is on fewer than two machines,
        so that their variance is unknown, or too little for a median.

    References
    ----------
    .. [1] E. L. Korn, B. I. Graubard (1998), Confidence intervals for proportions with small expected number of
       positive counts estimated from survey data, Survey Methodology 24(2), 193-201.
    .. [2] R. S. Woodruff (1952), Confidence intervals for medians and other position measures, J. Amer. Statist. Assoc.
       47(260), 635-646.
    """
    machines = len(exposure.alarms)
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    failed = np.concatenate([outcome.failure_codes for outcome in outcomes])
    false = np.concatenate([outcome.episode_codes[outcome.is_false] for outcome in outcomes])
    is_caught = ~np.isnan(warning)
    failures, caught, false_alarms = (
        np.bincount(codes, minlength=machines).astype(np.float64) for codes in (failed, failed[is_caught], false)
    )
    return {
        "level": level,
        "caught_share": _share_interval(caught, failures, level),
        "median_warning_hours": _median_interval(warning[is_caught], failed[is_caught], level),
        "false_alarms_per_machine_month": rate_interval(false_alarms, exposure.alarms, level),
    }


def _share_interval(hits: FloatArray, counts: FloatArray, level: float) -> list[float] | None:
    """Return the interval of a share, given the hits and the count of each machine."""
    from scipy.stats import beta

    total, hit = float(counts.sum()), float(hits.sum())
    if np.count_nonzero(counts) < 2:
        return None
    tail, share = (1 - level) / 2, hit / total
    if hit in (0.0, total):
        # All machines agree, so that nothing is known of their variance.
        limit = (2 * tail) ** (1 / total)
        return [limit, 1.0] if hit else [0.0, 1 - limit]
    number = _effective_number(hits, counts, share * (1 - share) / total, level)
    ends = beta.ppf([tail, 1 - tail], share * number + 0.5, (1 - share) * number + 0.5)
    return [float(end) for end in np.asarray(ends)]


def _effective_number(hits: FloatArray, counts: FloatArray, independent: float, level: float) -> float:
    """Return the number of independent events that hold as much information on a share as those of the machines.

    ``independent`` is the variance of the share if all events were independent.
    """
    from scipy.stats import t

    total = float(counts.sum())
    effect, machines = _design_effect(hits, counts, independent)
    tail = (1 - level) / 2
    return total / effect * float(t.ppf(tail, total - 1) / t.ppf(tail, machines - 1)) ** 2


def _design_effect(hits: FloatArray, sizes: FloatArray, independent: float) -> tuple[float, int]:
    """Return the variance of a ratio between machines, as a multiple of that of independent events, and the machines.

    The multiple is at least 1: with few machines, their variance is low by chance.
    """
    is_counted = sizes > 0
    machines, total = int(is_counted.sum()), float(sizes.sum())
    residuals = (hits - hits.sum() / total * sizes)[is_counted]
    variance = machines / (machines - 1) * float(residuals @ residuals) / total**2
    return max(variance / independent, 1.0), machines


def rate_interval(events: FloatArray, months: FloatArray, level: float) -> list[float] | None:
    """Return the interval of a rate, given the events and the months of each machine; ``None`` with fewer than two."""
    from scipy.stats import gamma, norm, t

    count, total = float(events.sum()), float(months.sum())
    if np.count_nonzero(months) < 2:
        return None
    tail = (1 - level) / 2
    if not count:
        return [0.0, -float(np.log(tail)) / total]
    effect, machines = _design_effect(events, months, count / total**2)
    effect *= float(t.ppf(tail, machines - 1) / norm.ppf(tail)) ** 2
    ends = gamma.ppf([tail, 1 - tail], count / effect + 0.5) * effect / total
    return [float(end) for end in np.asarray(ends)]


def _median_interval(values: FloatArray, codes: IntArray, level: float) -> list[float] | None:
    """Return the interval of the median of values, given their machines."""
    from scipy.stats import beta

    total = len(values)
    if len(np.unique(codes)) < 2:
        return None
    below = np.bincount(codes, values <= np.median(values)).astype(np.float64)
    number = _effective_number(below, np.bincount(codes).astype(np.float64), 0.25 / total, level)
    tail, half = (1 - level) / 2, number / 2
    if 2 * 0.5**number > 1 - level:
        # Even the lowest and the highest value miss the median too often.
        return None
    low, high = float(beta.ppf(tail, half, half + 1)), float(beta.ppf(1 - tail, half + 1, half))
    ordered = np.sort(values)
    return [float(ordered[int(low * total)]), float(ordered[min(-int(-high * total // 1), total) - 1])]


def precision_interval(
    labels: FloatArray, probabilities: FloatArray, codes: IntArray, *, level: float = 0.9
) -> dict[str, Any]:
    """Return the interval of the mean average precision, by the jackknife over machines.

    Each of at most 50 groups of machines is left out in turn. The interval is symmetric on the scale of log-odds, with
    Student's t, since there are few groups.

    Parameters
    ----------
    labels : (m, c) array
        0, 1, or NaN where unknown.
    probabilities : (m, c) array
        Predictions.
    codes : (m,) array
        Machine of each row.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    dict
        ``level``, and the ``[low, high]`` of ``average_precision``; ``None`` without a label of 1, and if all of a
        component are in one group of machines.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.
    """
    machines, codes = np.unique(codes, return_inverse=True)
    count = len(machines)
    groups = min(count, _GROUPS)
    # All machines, then all but those of each group.
    weights = np.ones((groups + 1, count))
    weights[1 + np.arange(count) % max(groups, 1), np.arange(count)] = 0.0
    precisions = []
    for own_labels, own_probabilities in zip(labels.T, probabilities.T, strict=True):
        known = ~np.isnan(own_labels)
        if np.any(own_labels[known] == 1):
            precisions.append(_precisions(own_labels[known] == 1, own_probabilities[known], codes[known], weights))
    return {"level": level, "average_precision": _jackknife(np.array(precisions), level) if precisions else None}


def _jackknife(precisions: FloatArray, level: float) -> list[float] | None:
    """Return the interval of the mean over components (c, 1 + groups), given that of all and that without each group.

    Without a group of machines, components whose failures are all in it have no precision.
    """
    from scipy.stats import t

    if np.isnan(precisions).any():
        return None
    odds = np.clip(precisions.mean(axis=0), _LEAST_PRECISION, 1 - _LEAST_PRECISION)
    whole, *without = np.log(odds / (1 - odds)).tolist()
    groups = len(without)
    if groups < 2:
        return None
    spread = np.array(without) - np.mean(without)
    error = np.sqrt((groups - 1) / groups * float(spread @ spread))
    reach = float(t.ppf((1 + level) / 2, groups - 1)) * error
    return [float(1 / (1 + np.exp(reach - whole))), float(1 / (1 + np.exp(-reach - whole)))]


def _precisions(is_ahead: BoolArray, probabilities: FloatArray, codes: IntArray, fleets: FloatArray) -> FloatArray:
    """Return the average precision of fleets (r, machines) of weighted machines; NaN without a failure ahead.

    Only probabilities of rows with a failure ahead matter, at which recall rises. Rows are counted by such level and
    machine once; each fleet weights these counts.
    """
    from scipy.sparse import coo_array

    levels = np.unique(probabilities[is_ahead])
    # Position of the highest level that each row reaches, counted from the top.
    place = len(levels) - np.searchsorted(levels, probabilities, side="right")
    shape = (len(levels), fleets.shape[1])
    reaches = place < len(levels)
    hits, misses = (
        coo_array((np.ones(rows.sum()), (place[rows], codes[rows])), shape).tocsr()
        for rows in (is_ahead, reaches & ~is_ahead)
    )
    block = max(1, _BLOCK_NUMBERS // len(levels))
    found = []
    for start in range(0, len(fleets), block):
        weights = fleets[start : start + block].T
        here = hits @ weights
        right, wrong = here.cumsum(axis=0), (misses @ weights).cumsum(axis=0)
        with np.errstate(invalid="ignore"):
            precision = np.where(right > 0, right / (right + wrong), 0.0)
            found.append((here * precision).sum(axis=0) / right[-1])
    return np.concatenate(found)
