"""Drift: the distribution of the training features (fingerprint), and the population stability index of new data."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Matrix = NDArray[np.float32]

# Usual interpretation of the population stability index: stable below MOVED, another population from DIFFERENT.
MOVED = 0.1
DIFFERENT = 0.25
# With fewer rows, random variation looks like drift.
MIN_ROWS = 1000

# With fewer windows that do not overlap, (bins - 1) / windows, the index of random variation, is half of DIFFERENT.
_LEAST_WINDOWS = 72
# Length of the window at the end of the name of a feature.
_WINDOW = re.compile(r"_(\d+(?:\.\d+)?)(h|min)$")

# Families whose features grow with the log even if machines do not change.
AGEING = ("hours_since", "anomalies", "usage")

# Enough rows for shares accurate to half a percent.
_MAX_ROWS = 50_000
# An empty bin would make the index infinite.
_MIN_SHARE = 1e-4
# Relative distance below the lowest value of the edge of the bin for lower ones; ample for single precision.
_BELOW = 1e-6


@dataclass(frozen=True)
class Fingerprint:
    """Distribution of the f features of the training rows, as plain data.

    Attributes
    ----------
    features : list of str
        Names.
    edges : list of list of float
        Upper edges of the bins of each feature, increasing and inclusive; one more bin lies above the last.
    shares : list of list of float
        Share of the rows in each bin, 0 to 1, followed by the share of missing values.
    """

    features: list[str]
    edges: list[list[float]]
    shares: list[list[float]]


def take_fingerprint(values: Matrix, names: Sequence[str], categorical: Collection[str]) -> Fingerprint:
    """Return the deciles of each feature of the training rows, and the shares of rows between them.

    Equal deciles share an edge. A value that makes up the whole lowest decile gets a bin of its own.

    Parameters
    ----------
    values : (m, f) float32 array
        Training rows, at least one; NaN and infinite values count as missing.
    names : sequence of str
        The f features.
    categorical : collection of str
        Features whose values are positions in a list of categories: each position is a bin.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    if not len(values):
        raise ValueError("a fingerprint needs at least one row")
    edges, shares = [], []
    for name, column in zip(names, _columns(values), strict=True):
        known = _sorted_known(column)
        own_edges = _category_edges(known) if name in categorical else _decile_edges(known)
        edges.append(own_edges.tolist())
        shares.append(_shares(known, own_edges, len(column)).tolist())
    return Fingerprint(list(names), edges, shares)


def population_stability(fingerprint: Fingerprint, values: Matrix) -> FloatArray:
    """Return the population stability index of each feature: sum of (p - q) ln(p / q) over the bins.

    p and q are the shares of the training rows and of the given rows, at least 0.0001. Usual interpretation [1]_:
    stable below :data:`MOVED`, another population from :data:`DIFFERENT`. Random variation alone gives about
    (bins - 1) / rows, so a few hundred rows are needed.

    Parameters
    ----------
    fingerprint : Fingerprint
        Of the training rows.
    values : (m, f) float32 array
        Rows to compare, with the features in the same order.

    Returns
    -------
    (f,) array
        0 or more, without a unit; NaN without rows.

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


def has_enough_windows(names: Sequence[str], codes: IntArray, times: IntArray) -> NDArray[np.bool_]:
    """Return for which features the rows contain enough windows that do not overlap for the index to mean something.

    Neighbouring rows of a long window are almost equal, so that thousands of them may be a handful of observations.

    Parameters
    ----------
    names : sequence of str
        The f features; those without a window in their name count every row.
    codes, times : (m,) int arrays
        Machine and microsecond timestamp of each row.
    """
    machines, own = np.unique(codes, return_inverse=True)
    first, last = np.full(len(machines), np.iinfo(np.int64).max), np.full(len(machines), np.iinfo(np.int64).min)
    np.minimum.at(first, own, times)
    np.maximum.at(last, own, times)
    spans = (last - first) / US_PER_HOUR
    windows = [_window_hours(name) for name in names]
    counts = {hours: np.maximum(1.0, spans / hours).sum() if hours else np.inf for hours in set(windows)}
    return np.array([counts[hours] >= _LEAST_WINDOWS for hours in windows])


def _window_hours(name: str) -> float:
    found = _WINDOW.search(name)
    return float(found[1]) / (60 if found[2] == "min" else 1) if found else 0.0


def describe_drift(index: float | None) -> str:
    """Return the interpretation of a population stability index."""
    if index is None:
        return "unknown"
    if index < MOVED:
        return "as in training"
    return "shifted" if index < DIFFERENT else "different"


def _columns(values: Matrix) -> Matrix:
    """Return the features as rows, of a sample if there are many."""
    if len(values) > _MAX_ROWS:
        # Random, because every k-th row of a regular grid would favour some hours of the day.
        values = values[np.sort(np.random.default_rng(0).choice(len(values), _MAX_ROWS, replace=False))]
    return np.ascontiguousarray(values.T)


def _sorted_known(column: Matrix) -> Matrix:
    return np.sort(column[np.isfinite(column)])


def _category_edges(known: Matrix) -> Matrix:
    return np.arange(known[-1] + 1 if len(known) else 0, dtype=np.float32)


def _decile_edges(known: Matrix) -> Matrix:
    """Return the distinct deciles, each an observed value."""
    if not len(known):
        return known
    edges = np.unique(known[(np.arange(1, 10) * len(known) + 9) // 10 - 1])
    lowest = known[0]
    if edges[0] > lowest:
        return edges
    return np.concatenate([[lowest - np.float32(_BELOW) * max(abs(lowest), np.float32(1))], edges])


def _shares(known: Matrix, edges: Matrix, rows: int) -> FloatArray:
    """Return the share of the rows in each bin, then of missing values."""
    upto = np.searchsorted(known, edges, side="right")
    return np.diff(np.concatenate([[0], upto, [len(known), rows]])) / rows


def _divergence(shares: FloatArray, others: FloatArray) -> float:
    p, q = np.maximum(shares, _MIN_SHARE), np.maximum(others, _MIN_SHARE)
    return float(np.sum((p - q) * np.log(p / q)))
