"""STL by statsmodels, the reference implementation: ``--stl statsmodels`` and the oracle of the tests."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from pdm_cli.anomalies.stl import INNER_PASSES, OUTER_PASSES, Decomposition, next_odd

Floats = npt.NDArray[np.float64]


def statsmodels_stl(values: Floats, *, period: int) -> Decomposition:
    """Decompose one series with robust STL and a strictly periodic seasonal part.

    Equal to R's ``stl(s.window = "periodic", robust = TRUE)`` up to rounding, with two exceptions: for an even number
    of values, R's robustness scale is occasionally up to 2 % off the median; and for an odd period, statsmodels
    requires a low-pass window of ``period + 2`` rows where R takes ``period`` (2 of 43 anomalies differ in the one
    reference case affected).

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        Equally spaced finite readings, n > 2 * period; any unit.
    period : int
        Rows per season, at least 2.

    Returns
    -------
    Decomposition
        Seasonal part and trend, shape (n,) each, in the unit of the values.

    Raises
    ------
    ValueError
        If ``period`` is below 2 or there are not more than two periods of values.

    References
    ----------
    .. [1] R. B. Cleveland, W. S. Cleveland, J. E. McRae, I. Terpenning (1990), STL: A Seasonal-Trend Decomposition
       Procedure Based on Loess, Journal of Official Statistics 6(1), 3-73.

    Examples
    --------
    >>> parts = statsmodels_stl(np.tile([0.0, 1.0, 5.0, 4.0], 6), period=4)
    >>> parts.seasonal[:4].round(6).tolist()
    [-2.5, -1.5, 2.5, 1.5]
    """
    n = values.size
    if period < 2:
        raise ValueError(f"period must be at least 2 rows, got {period}")
    if n <= 2 * period:
        raise ValueError(f"STL needs more than {2 * period} values (two periods), got {n}")
    # Takes about 2 s to import.
    from statsmodels.tsa.seasonal import STL

    # R's "periodic" is a window of ten times the series with degree 0: a robust mean per phase.
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
    phase = np.arange(n) % period
    means = np.bincount(phase, weights=np.asarray(fit.seasonal, dtype=np.float64)) / np.bincount(phase)
    return Decomposition(seasonal=means[phase], trend=np.asarray(fit.trend, dtype=np.float64))


def statsmodels_stl_batch(values: Floats, *, period: int) -> Decomposition:
    """Decompose each column of ``values``, shape (n, n_series), with :func:`statsmodels_stl`."""
    parts = [statsmodels_stl(column, period=period) for column in values.T]
    return Decomposition(
        np.column_stack([part.seasonal for part in parts]), np.column_stack([part.trend for part in parts])
    )
