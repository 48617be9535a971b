"""Explanations of predictions: top reasons, typical feature values, and the preceding days."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.drift import Fingerprint
from pdm_cli.features.events import Instants

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TypicalValue:
    """Values of a feature in the training rows: deciles 1, 5 and 9 (NaN without values), and the share missing."""

    low: float
    middle: float
    high: float
    missing: float

    @property
    def median(self) -> float | None:
        """The middle; ``None`` if most rows had no value."""
        return None if math.isnan(self.middle) or self.missing > 0.5 else self.middle


def typical_values(fingerprint: Fingerprint, categorical: Collection[str] = ()) -> dict[str, TypicalValue]:
    """Return the typical values of each feature in the training rows.

    Parameters
    ----------
    fingerprint : Fingerprint
        Of the training rows.
    categorical : collection of str
        Features whose values are positions in a list; all three values are the most frequent one.
    """
    found = {}
    for name, edges, shares in zip(fingerprint.features, fingerprint.edges, fingerprint.shares, strict=True):
        known = np.array(shares[:-1])
        low = middle = high = math.nan
        if edges and known.any():
            # Shares are rounded quotients: a tenth may be slightly below 0.1.
            upto = np.cumsum(known) / known.sum() + 1e-9
            places = (
                [int(known.argmax())] * 3 if name in categorical else np.searchsorted(upto, (0.1, 0.5, 0.9)).tolist()
            )
            low, middle, high = (edges[min(place, len(edges) - 1)] for place in places)
        found[name] = TypicalValue(low, middle, high, shares[-1])
    return found


@dataclass(frozen=True)
class Reason:
    """A feature, its value or category (``None`` if missing), and its contribution to the log-odds."""

    name: str
    value: float | str | None
    contribution: float


def top_reasons(
    contributions: NDArray[np.floating],
    names: Sequence[str],
    values: NDArray[np.floating],
    *,
    most: int = 3,
    categories: Mapping[str, Sequence[str]] | None = None,
    both_ways: bool = False,
    topic_of: Callable[[str], Hashable] | None = None,
) -> list[list[Reason]]:
    """Return the features with the largest contributions of each row, largest first.

    Parameters
    ----------
    contributions : (r, f) array
        Contribution of each feature to the log-odds (SHAP values, without the bias).
    names : sequence of str
        The f features.
    values : (r, f) array
        Their values; NaN where missing.
    most : int
        Maximum number of reasons per row; contributions of 0 or less are left out.
    categories : mapping, optional
        Categories of each categorical feature; its values are positions in them.
    both_ways : bool
        Include negative contributions, and rank by absolute value.
    topic_of : callable, optional
        Topic of a feature; only the largest contribution per topic is returned.
    """
    weights = np.abs(contributions) if both_ways else contributions
    topics = [topic_of(name) if topic_of else name for name in names]
    return [
        [
            Reason(names[column], _value(names[column], row[column], categories or {}), float(added[column]))
            for column in _largest(weight, topics)[:most]
        ]
        for added, weight, row in zip(contributions, weights, values, strict=True)
    ]


def _largest(weight: NDArray[np.floating], topics: Sequence[Hashable]) -> list[int]:
    """Return the columns of positive weight, largest first, one per topic."""
    order = np.argsort(-weight, kind="stable").tolist()
    first = {topics[column]: column for column in reversed(order)}
    return [column for column in order if weight[column] > 0 and first[topics[column]] == column]


def _value(name: str, value: float, categories: Mapping[str, Sequence[str]]) -> float | str | None:
    if math.isnan(value):
        return None
    return categories[name][int(value)] if name in categories else float(value)


def row_until(instants: Instants, machine: int, time_us: int) -> int | None:
    """Return the machine's last row at or before a time, or ``None``.

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
    """Return the first row of the run of alerts that contains a row; ``None`` if the alert is off.

    Parameters
    ----------
    alerts : (m,) bool array
        Whether the alert of one component is on.
    instants : Instants
        The m rows, sorted by machine, then time.
    row : int
        Position among them.
    """
    if not alerts[row]:
        return None
    first = int(np.searchsorted(instants.codes, instants.codes[row]))
    off = np.flatnonzero(~alerts[first:row])
    return first + int(off[-1]) + 1 if len(off) else first


def mean_by_span(values: FloatArray, times: IntArray, *, until_us: int, span_us: int, count: int) -> FloatArray:
    """Return the means of the values in consecutive spans of equal length.

    Parameters
    ----------
    values : (n,) array
        NaN where missing.
    times : (n,) int array
        Timestamps in microseconds.
    until_us : int
        End of the last span, inclusive; later values are ignored.
    span_us : int
        Length of a span in microseconds.
    count : int
        Number of spans.

    Returns
    -------
    (count,) array
        In the unit of the values; NaN without values.
    """
    back = (until_us - times) // span_us
    inside = (back >= 0) & (back < count) & np.isfinite(values)
    place = count - 1 - back[inside]
    sums = np.bincount(place, values[inside], count)
    numbers = np.bincount(place, minlength=count)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)
