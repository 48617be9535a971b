"""Generalized extreme studentized deviate test with median and MAD, in O(n log n + k log n).

Each step of the test removes the remaining value farthest from the median, which is always an end of the sorted
values. So the remaining values are one contiguous window of one sorted array: the median of a step is an index
lookup, and the MADs of all steps come from one binary search over all windows at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pdm_cli.features.robust_z import MAD_TO_SIGMA, Windows, medians_between, window_mads, window_medians

Direction = Literal["both", "pos", "neg"]


@dataclass(frozen=True, slots=True, eq=False)
class ExtremeDeviates:
    """The values removed by the test, in order of removal.

    Attributes
    ----------
    positions : numpy.ndarray of intp, shape (m,)
        Positions in the residuals, m <= max_count; fewer if the spread of the remaining values became zero.
    from_above : numpy.ndarray of bool, shape (m,)
        True where the value removed was above the median of its step.
    test_statistics : numpy.ndarray of float64, shape (m,)
        R_i, distance from the median in robust standard deviations; dimensionless.
    critical_values : numpy.ndarray of float64, shape (m,)
        lambda_i, same scale.
    n_accepted : int
        Number of leading positions that are outliers, 0 to m: the largest i with R_i > lambda_i. Earlier steps may have
        failed; this is how the test detects outliers that mask each other.
    """

    positions: npt.NDArray[np.intp]
    from_above: npt.NDArray[np.bool_]
    test_statistics: npt.NDArray[np.float64]
    critical_values: npt.NDArray[np.float64]
    n_accepted: int


@lru_cache(maxsize=64)
def critical_values(n: int, k: int, *, alpha: float, one_tailed: bool) -> npt.NDArray[np.float64]:
    """Return lambda_1 .. lambda_k, the values that the test statistics must exceed.

    Parameters
    ----------
    n : int
        Values before any is removed.
    k : int
        Removals, 0 to n - 2.
    alpha : float
        Significance level of the whole test, in (0, 1).
    one_tailed : bool
        True if only high or only low values count.

    Returns
    -------
    numpy.ndarray of float64, shape (k,)
        Dimensionless, read-only (shared between calls).

    Raises
    ------
    ValueError
        If ``alpha`` or ``k`` is out of range.

    References
    ----------
    .. [1] B. Rosner (1983), Percentage Points for a Generalized ESD Many-Outlier Procedure, Technometrics 25(2),
       165-172.

    Examples
    --------
    >>> critical_values(54, 3, alpha=0.05, one_tailed=False).round(3).tolist()
    [3.159, 3.151, 3.144]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    if not 0 <= k <= max(n - 2, 0):
        raise ValueError(f"can remove 0 to {max(n - 2, 0)} of {n} values, got {k}")
    from scipy.special import stdtrit

    survivors = n - np.arange(k, dtype=np.float64)
    tail = alpha / (survivors if one_tailed else 2 * survivors)
    # The negated lower tail: 1 - tail would lose digits for a small alpha.
    quantile = -stdtrit(survivors - 2, tail)
    values = np.asarray(quantile * (survivors - 1) / np.sqrt((survivors - 2 + quantile**2) * survivors))
    values.setflags(write=False)
    return values


def extreme_deviates(
    residuals: npt.NDArray[np.float64],
    *,
    max_count: int,
    alpha: float,
    direction: Direction,
    zero_sigma: float = 0.0,
) -> ExtremeDeviates:
    """Find up to ``max_count`` outliers with the generalized ESD test on median and MAD.

    Parameters
    ----------
    residuals : numpy.ndarray of float64, shape (n,)
        Finite values, n >= 3; any unit.
    max_count : int
        Maximum number of outliers (k), 0 to n - 2.
    alpha : float
        Significance level of the whole test, in (0, 1).
    direction : {"both", "pos", "neg"}
        Detect outliers on both sides, above the median only, or below it only.
    zero_sigma : float
        Spread, in the unit of the residuals, at or below which the remaining values count as equal and the test ends.

    Returns
    -------
    ExtremeDeviates
        Removals in order. Of values equally far from the median the earliest position is removed first.

    Raises
    ------
    ValueError
        If an argument is out of range or a residual is not finite.

    References
    ----------
    .. [1] B. Rosner (1983), Technometrics 25(2), 165-172.
    .. [2] J. Hochenbaum, O. S. Vallis, A. Kejariwal (2017), Automatic Anomaly Detection in the Cloud Via Statistical
       Learning, arXiv:1704.07706.

    Examples
    --------
    >>> found = extreme_deviates(np.array([1.0, 2, 90, 3, 2, -70, 1]), max_count=3, alpha=0.05, direction="both")
    >>> found.positions.tolist(), found.n_accepted
    ([2, 5, 0], 2)
    """
    if direction not in get_args(Direction):
        raise ValueError(f"direction must be one of {', '.join(get_args(Direction))}, got {direction!r}")
    if residuals.ndim != 1 or residuals.size < 3 or not np.isfinite(residuals).all():
        raise ValueError("residuals must be one-dimensional with at least three finite values")
    limits = critical_values(residuals.size, max_count, alpha=alpha, one_tailed=direction != "both")

    ordered = np.sort(residuals)
    rising, falling = _end_positions(residuals, ordered, count=max_count)
    windows = _removals(ordered, rising, falling, count=max_count, direction=direction)
    medians = window_medians(ordered, windows)
    sigmas = MAD_TO_SIGMA * window_mads(ordered, windows, medians)

    flat = sigmas <= zero_sigma
    steps = int(flat.argmax()) if flat.any() else max_count
    above = windows.from_above[:steps]
    low, high = windows.low[:steps], windows.high[:steps]
    statistics = np.abs(ordered[np.where(above, high, low)] - medians[:steps]) / sigmas[:steps]
    passed = np.flatnonzero(statistics > limits[:steps])
    return ExtremeDeviates(
        # Each from the list of its own end, because equal values leave either end in row order.
        positions=np.where(above, falling[residuals.size - 1 - high], rising[low]),
        from_above=above,
        test_statistics=statistics,
        critical_values=limits[:steps],
        n_accepted=int(passed[-1]) + 1 if passed.size else 0,
    )


def _end_positions(
    residuals: npt.NDArray[np.float64], ordered: npt.NDArray[np.float64], *, count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the positions of at least the ``count + 1`` smallest (increasing) and largest (decreasing) values.

    Equal values are in row order. Only these can be removed, and sorting all values without positions is much faster.
    """
    low = np.flatnonzero(residuals <= ordered[count])
    high = np.flatnonzero(residuals >= ordered[-count - 1])
    return low[np.argsort(residuals[low], kind="stable")], high[np.argsort(-residuals[high], kind="stable")]


def _removals(
    ordered: npt.NDArray[np.float64],
    rising: npt.NDArray[np.intp],
    falling: npt.NDArray[np.intp],
    *,
    count: int,
    direction: Direction,
) -> Windows:
    """Return the window of each step: decide which end is removed, which needs the medians but not the MADs."""
    if direction == "both":
        above = _ends_removed(ordered, rising, falling, count=count)
    else:
        above = np.full(count, direction == "pos")
    # Step i follows the removals of steps 0 .. i - 1.
    removed_above = np.cumsum(above, dtype=np.intp) - above
    low = np.arange(count, dtype=np.intp) - removed_above
    return Windows(low=low, high=ordered.size - 1 - removed_above, from_above=above)


def _ends_removed(
    ordered: npt.NDArray[np.float64], rising: npt.NDArray[np.intp], falling: npt.NDArray[np.intp], *, count: int
) -> npt.NDArray[np.bool_]:
    # Lists, because each step depends on the previous one and a list lookup costs a third of an array lookup. The
    # median follows from the sum of the bounds: +1 for each removal from below, -1 for each from above.
    last = ordered.size - 1
    medians = medians_between(ordered, np.arange(last - count, last + count + 1)).tolist()
    lows, highs = ordered[: count + 1].tolist(), ordered[: -count - 2 : -1].tolist()
    low, high, middle = 0, 0, count
    above = []
    for _ in range(count):
        median = medians[middle]
        below, over = median - lows[low], highs[high] - median
        takes_high = over > below or (over == below and falling[high] < rising[low])
        above.append(takes_high)
        if takes_high:
            high += 1
            middle -= 1
        else:
            low += 1
            middle += 1
    return np.array(above, dtype=np.bool_)
