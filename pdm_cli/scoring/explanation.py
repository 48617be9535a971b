"""What drove one probability: each feature's share in the log-odds beside its usual value, and the days before."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.drift import Fingerprint
from pdm_cli.features.events import Instants

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Usual:
    """Where the values of a feature lay in the training rows.

    Attributes
    ----------
    low, middle, high : float
        Deciles 1, 5 and 9 of the values that were known; NaN if none was.
    missing : float
        Share of the rows without a value, 0 to 1.
    """

    low: float
    middle: float
    high: float
    missing: float

    @property
    def told(self) -> float | None:
        """The middle; ``None`` where most rows had no value."""
        return None if math.isnan(self.middle) or self.missing > 0.5 else self.middle


def usual_values(fingerprint: Fingerprint, categorical: Collection[str] = ()) -> dict[str, Usual]:
    """Return for each feature of a model where its values lay in the training rows.

    Parameters
    ----------
    fingerprint : Fingerprint
        Of the training rows.
    categorical : collection of str
        Features whose values are positions in a list: of them, all three values are the most frequent one.
    """
    found = {}
    for name, edges, shares in zip(fingerprint.features, fingerprint.edges, fingerprint.shares, strict=True):
        known = np.array(shares[:-1])
        low = middle = high = math.nan
        if edges and known.any():
            # Shares are quotients: a tenth may come out a last digit short.
            upto = np.cumsum(known) / known.sum() + 1e-9
            places = (
                [int(known.argmax())] * 3 if name in categorical else np.searchsorted(upto, (0.1, 0.5, 0.9)).tolist()
            )
            low, middle, high = (edges[min(place, len(edges) - 1)] for place in places)
        found[name] = Usual(low, middle, high, shares[-1])
    return found


def row_until(instants: Instants, machine: int, time_us: int) -> int | None:
    """Return the machine's last row with stamp <= a time, or ``None`` if that is before its first.

    Parameters
    ----------
    instants : Instants
        Rows sorted by machine, then time.
    machine : int
        Position in ``instants.machines``.
    time_us : int
        Microseconds since 1970, UTC.
    """
    first, end = np.searchsorted(instants.codes, [machine, machine + 1])
    row = first + np.searchsorted(instants.times[first:end], time_us, side="right") - 1
    return int(row) if row >= first else None


def alert_start(alerts: NDArray[np.bool_], instants: Instants, row: int) -> int | None:
    """Return the row at which the run of alerts that holds a row began, or ``None`` where the alert is off.

    Parameters
    ----------
    alerts : (m,) bool array
        Whether the alert of one component is on.
    instants : Instants
        The m rows, sorted by machine, then time.
    row : int
        Position in them.
    """
    if not alerts[row]:
        return None
    first = int(np.searchsorted(instants.codes, instants.codes[row]))
    off = np.flatnonzero(~alerts[first:row])
    return first + int(off[-1]) + 1 if len(off) else first


def mean_by_span(values: FloatArray, times: IntArray, *, until_us: int, span_us: int, count: int) -> FloatArray:
    """Return the means of the values in some spans of equal length, the last of which ends with a time.

    Parameters
    ----------
    values : (n,) array
        NaN where missing.
    times : (n,) int array
        Stamps in microseconds.
    until_us : int
        End of the last span, which belongs to it; later values are not looked at.
    span_us : int
        Length of a span in microseconds.
    count : int
        Number of spans.

    Returns
    -------
    (count,) array
        In the unit of the values; NaN where a span has none.
    """
    back = (until_us - times) // span_us
    inside = (back >= 0) & (back < count) & np.isfinite(values)
    place = count - 1 - back[inside]
    sums = np.bincount(place, values[inside], count)
    numbers = np.bincount(place, minlength=count)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)
