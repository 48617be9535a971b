"""Split a series into a periodic seasonal part and a slowly moving trend."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
import numpy.typing as npt

# Inner and outer passes of a robust STL, as R's ``stl(robust = TRUE)`` sets them.
INNER_PASSES = 1
OUTER_PASSES = 15


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """The two smooth parts of a series; what is left over is the caller's to compute.

    Attributes
    ----------
    seasonal : numpy.ndarray of float64, shape (n,), or (n, n_series) of a batch
        Repeats exactly every period; unit of the values.
    trend : numpy.ndarray of float64, of the same shape
        Level without the seasonal part; unit of the values.
    """

    seasonal: npt.NDArray[np.float64]
    trend: npt.NDArray[np.float64]


class Decompose(Protocol):
    """A road from values to their decomposition.

    :func:`periodic_robust_stl` is one; anything of this shape may stand in for it.
    """

    def __call__(self, values: npt.NDArray[np.float64], *, period: int) -> Decomposition:
        """Decompose ``values`` (shape (n,), or (n, n_series) for a batch; finite, n > 2 * period)."""


def periodic_robust_stl(values: npt.NDArray[np.float64], *, period: int) -> Decomposition:
    """Decompose with robust STL whose seasonal part is strictly periodic.

    Same numbers as R's ``stl(s.window = "periodic", robust = TRUE)`` up to rounding, with two exceptions:
    for an even number of values R's robustness scale is now and then up to 2 % off the median, and for an odd
    period the low-pass window is two rows longer here (see Notes).

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        Equally spaced readings, finite, n > 2 * period; any unit.
    period : int
        Rows in one season, at least 2.

    Returns
    -------
    Decomposition
        ``seasonal`` and ``trend``, each of shape (n,), in the unit of the values.

    Raises
    ------
    ValueError
        If ``period`` is below 2 or there are not more than two periods of values.

    Notes
    -----
    The low-pass window must be odd. R takes the next odd number from ``period`` on, which for an odd period is the
    period itself; statsmodels insists on more than one period, so an odd period gets ``period + 2`` here. The effect
    on the anomalies found is slight (2 rows of 43 in the one reference case that differs).

    References
    ----------
    .. [1] R. B. Cleveland, W. S. Cleveland, J. E. McRae, I. Terpenning (1990), STL: A Seasonal-Trend Decomposition
       Procedure Based on Loess, Journal of Official Statistics 6(1), 3-73.

    Examples
    --------
    >>> parts = periodic_robust_stl(np.tile([0.0, 1.0, 5.0, 4.0], 6), period=4)
    >>> parts.seasonal[:4].round(6).tolist()
    [-2.5, -1.5, 2.5, 1.5]
    """
    n = values.size
    if period < 2:
        raise ValueError(f"period must be at least 2 rows, got {period}")
    if n <= 2 * period:
        raise ValueError(f"STL needs more than {2 * period} values (two periods), got {n}")
    # Slow to import (about 2 s): only those who decompose pay for it.
    from statsmodels.tsa.seasonal import STL

    # A window of ten times the series with degree 0 is R's "periodic": a robust mean of each phase.
    seasonal_window = 10 * n + 1
    trend_window = next_odd(ceil(1.5 * period / (1 - 1.5 / seasonal_window)))
    low_pass_window = period + 1 if period % 2 == 0 else period + 2
    fit = STL(
        values,
        period=period,
        seasonal=seasonal_window,
        seasonal_deg=0,
        seasonal_jump=n + 1,
        trend=trend_window,
        trend_deg=1,
        trend_jump=ceil(trend_window / 10),
        low_pass=low_pass_window,
        low_pass_deg=1,
        low_pass_jump=ceil(low_pass_window / 10),
        robust=True,
    ).fit(inner_iter=INNER_PASSES, outer_iter=OUTER_PASSES)
    return Decomposition(
        seasonal=_mean_by_phase(np.asarray(fit.seasonal, dtype=np.float64), period=period),
        trend=np.asarray(fit.trend, dtype=np.float64),
    )


def next_odd(window: int) -> int:
    """Return the window itself where it is odd, else one more: loess windows have a middle."""
    return window if window % 2 else window + 1


def _mean_by_phase(seasonal: npt.NDArray[np.float64], *, period: int) -> npt.NDArray[np.float64]:
    phase = np.arange(seasonal.size) % period
    means = np.bincount(phase, weights=seasonal) / np.bincount(phase)
    return means[phase]


def one_by_one(values: npt.NDArray[np.float64], *, period: int) -> Decomposition:
    """Decompose each column of ``values``, shape (n, n_series), with :func:`periodic_robust_stl`."""
    parts = [periodic_robust_stl(column, period=period) for column in values.T]
    return Decomposition(
        np.column_stack([part.seasonal for part in parts]), np.column_stack([part.trend for part in parts])
    )
