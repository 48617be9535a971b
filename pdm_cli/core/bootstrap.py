"""How sure event metrics are: intervals over fleets drawn anew from the machines tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.core.metrics import EventOutcome

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def bootstrap_events(
    outcomes: Sequence[EventOutcome],
    machine_months: FloatArray,
    *,
    resamples: int = 500,
    seed: int,
    level: float = 0.9,
) -> dict[str, Any]:
    """Return percentile intervals of the event metrics over machines drawn with replacement.

    Whole machines are drawn, with all their failures, alarms and months, because events of one machine hang together.

    Parameters
    ----------
    outcomes : sequence of EventOutcome
        One a component; taken together.
    machine_months : (machines,) array
        Months each machine was tested, in the order of the machine codes.
    resamples : int
        Fleets drawn.
    seed : int
        Seed of the draw.
    level : float
        Share of the fleets that an interval holds, in (0, 1).

    Returns
    -------
    dict
        ``level``, ``resamples``, and the ``[low, high]`` of ``caught_share``, ``median_warning_hours`` and
        ``false_alarms_per_machine_month``; ``None`` where no fleet drawn tells.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapters 8 and 13.
    """
    machines = len(machine_months)
    # Machines that were not tested are no part of the fleet that is drawn from.
    is_tested = (machine_months > 0) | (machine_months.max(initial=0.0) == 0)
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
        caught_share, false_rate = caught / failures, false_alarms / (draws @ machine_months)
    medians = _medians(warning[is_caught], draws[:, failed[is_caught]])
    return {
        "level": level,
        "resamples": resamples,
        "caught_share": _interval(caught_share, level),
        "median_warning_hours": _interval(medians, level),
        "false_alarms_per_machine_month": _interval(false_rate, level),
    }


def _medians(values: FloatArray, counts: IntArray) -> FloatArray:
    """Return the median of the values repeated as each row of counts (r, n) says; NaN where a row is all 0."""
    order = np.argsort(values)
    medians = np.full(len(counts), np.nan)
    until = np.cumsum(counts[:, order], axis=1)
    total = until[:, -1] if len(values) else np.zeros(len(counts), np.int64)
    drawn = np.flatnonzero(total)
    until, total = until[drawn], total[drawn]
    # Position p of the repeated, sorted values holds the first value whose running count exceeds p.
    low, high = ((until <= middle[:, None]).sum(axis=1) for middle in ((total - 1) // 2, total // 2))
    medians[drawn] = (values[order[low]] + values[order[high]]) / 2
    return medians


def _interval(values: FloatArray, level: float) -> list[float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2)).tolist()
    return [low, high]
