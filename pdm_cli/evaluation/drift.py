"""Does new data look like what the model was trained on: a fingerprint of the training rows, and how far others lie."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Matrix = NDArray[np.float32]

# The usual reading of the population stability index: below MOVED stable, above DIFFERENT another population.
MOVED = 0.1
DIFFERENT = 0.25
# With fewer rows chance alone looks like drift.
LEAST_ROWS = 1000

# Families whose features grow with the log, with nothing amiss: they are no sign that machines have changed.
AGEING = ("hours_since", "anomalies")

# Shares come out within half a percent from so many rows, and more would only cost time.
_MOST_ROWS = 50_000
# An empty bin would make the index infinite.
_LEAST_SHARE = 1e-4
# How far below the lowest value, relative to it, the edge of a bin for lower ones is set; ample for single precision.
_BELOW = 1e-6


@dataclass(frozen=True)
class Fingerprint:
    """How the f features of the training rows were distributed; plain data.

    Attributes
    ----------
    features : list of str
        Names.
    edges : list of list of float
        Upper ends of the bins of each feature, rising, included in their bin; above the last one is one more bin.
    shares : list of list of float
        Share of the rows in each bin, 0 to 1; one more than the bins, the last being the share that is missing.
    """

    features: list[str]
    edges: list[list[float]]
    shares: list[list[float]]


def take_fingerprint(values: Matrix, names: Sequence[str], categorical: Collection[str]) -> Fingerprint:
    """Describe training rows by the deciles of each feature and the shares of rows between them.

    Equal deciles are one edge. A value that makes up the lowest decile has a bin to itself, apart from lower ones.

    Parameters
    ----------
    values : (m, f) float32 array
        Training rows, at least one; NaN and infinite values count as missing.
    names : sequence of str
        The f features.
    categorical : collection of str
        Those whose values are positions in a list of categories: each position is a bin.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not len(values):
        raise ValueError("no rows to take a fingerprint of")
    edges, shares = [], []
    for name, column in zip(names, _columns(values), strict=True):
        known = _sorted_known(column)
        own_edges = _category_edges(known) if name in categorical else _decile_edges(known)
        edges.append(own_edges.tolist())
        shares.append(_shares(known, own_edges, len(column)).tolist())
    return Fingerprint(list(names), edges, shares)


def population_stability(fingerprint: Fingerprint, values: Matrix) -> FloatArray:
    """Return the population stability index of each feature: sum of (p - q) ln(p / q) over the bins.

    p and q are the shares of the training rows and of the given rows, none below 0.0001. The usual reading [1]_: below
    :data:`MOVED` stable, above :data:`DIFFERENT` another population. Chance alone makes about
    (bins - 1) / rows, so fewer than some hundred rows say little.

    Parameters
    ----------
    fingerprint : Fingerprint
        Of the training rows.
    values : (m, f) float32 array
        Rows to compare, the features in the same order.

    Returns
    -------
    (f,) array
        0 or more, no unit; NaN if there is no row.

    References
    ----------
    .. [1] N. Siddiqi (2006), Credit Risk Scorecards, Wiley.
    """
    if not len(values):
        return np.full(len(fingerprint.features), np.nan)
    found = [
        _divergence(np.array(shares), _shares(_sorted_known(column), np.array(edges, np.float32), len(column)))
        for edges, shares, column in zip(fingerprint.edges, fingerprint.shares, _columns(values), strict=True)
    ]
    return np.array(found, np.float64)


def tell_drift(index: float | None) -> str:
    """Return the usual reading of a stability index in words; ``None`` where it is not known."""
    if index is None:
        return "not known"
    if index < MOVED:
        return "as in the training"
    return "moved" if index < DIFFERENT else "different"


def _columns(values: Matrix) -> Matrix:
    """Return the features as rows, of a sample if there are many rows."""
    if len(values) > _MOST_ROWS:
        # Drawn, not every k-th: that would pick hours of the day, as rows stand on a regular grid.
        values = values[np.sort(np.random.default_rng(0).choice(len(values), _MOST_ROWS, replace=False))]
    return np.ascontiguousarray(values.T)


def _sorted_known(column: Matrix) -> Matrix:
    return np.sort(column[np.isfinite(column)])


def _category_edges(known: Matrix) -> Matrix:
    return np.arange(known[-1] + 1 if len(known) else 0, dtype=np.float32)


def _decile_edges(known: Matrix) -> Matrix:
    """Return the distinct deciles, each the least value that so many tenths of the values do not exceed."""
    if not len(known):
        return known
    edges = np.unique(known[(np.arange(1, 10) * len(known) + 9) // 10 - 1])
    lowest = known[0]
    if edges[0] > lowest:
        return edges
    return np.concatenate([[lowest - np.float32(_BELOW) * max(abs(lowest), np.float32(1))], edges])


def _shares(known: Matrix, edges: Matrix, rows: int) -> FloatArray:
    """Return the share of the rows in each bin, and last that of missing ones."""
    upto = np.searchsorted(known, edges, side="right")
    return np.diff(np.concatenate([[0], upto, [len(known), rows]])) / rows


def _divergence(shares: FloatArray, others: FloatArray) -> float:
    p, q = np.maximum(shares, _LEAST_SHARE), np.maximum(others, _LEAST_SHARE)
    return float(np.sum((p - q) * np.log(p / q)))
