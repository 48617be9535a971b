"""Which anomalies of a series are reported: all, those of its last day or hour, or the high ones."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

_SPANS_US = {"day": 86_400_000_000, "hour": 3_600_000_000}
_THRESHOLD_SHARES = {"med_max": 0.5, "p95": 0.95, "p99": 0.99}


def keep_last(
    index: npt.NDArray[np.intp], times: npt.NDArray[np.int64], *, span: Literal["day", "hour"]
) -> npt.NDArray[np.bool_]:
    """Return which anomalies lie in the last day or hour of the series.

    Parameters
    ----------
    index : numpy.ndarray of int, shape (m,)
        Rows of the anomalies.
    times : numpy.ndarray of int, shape (n,)
        Stamps of all rows, microseconds.
    span : {"day", "hour"}
        Kept is what comes later than the last stamp less this.
    """
    return np.asarray(times[index] > times.max() - _SPANS_US[span])


def keep_high(
    index: npt.NDArray[np.intp],
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.int64],
    *,
    threshold: Literal["med_max", "p95", "p99"],
) -> npt.NDArray[np.bool_]:
    """Return which anomalies reach the median, or a percentile, of the maxima of the calendar days (UTC).

    Parameters
    ----------
    index : numpy.ndarray of int, shape (m,)
        Rows of the anomalies.
    values : numpy.ndarray of float64, shape (n,)
        Readings, any unit; NaN where missing.
    times : numpy.ndarray of int, shape (n,)
        Stamps of all rows, microseconds since 1970 UTC.
    threshold : {"med_max", "p95", "p99"}
        Median, 95th or 99th percentile (linear between ranks) of the daily maxima.
    """
    days, of_row = np.unique(times // _SPANS_US["day"], return_inverse=True)
    maxima = np.full(len(days), -np.inf)
    np.maximum.at(maxima, of_row, np.where(np.isnan(values), -np.inf, values))
    limit = np.quantile(maxima[np.isfinite(maxima)], _THRESHOLD_SHARES[threshold])
    return np.asarray(values[index] >= limit)
