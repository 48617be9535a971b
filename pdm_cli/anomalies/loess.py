"""Loess of degree 1 at fixed knots of an equally spaced series, as fixed weights on windows of rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

# Knots computed by one small matrix product; more of them waste more zeros, fewer more calls.
KNOTS_TOGETHER = 4


@dataclass(frozen=True, slots=True, eq=False)
class Loess:
    """Where a loess is computed and what it looks at.

    Attributes
    ----------
    knots, starts : numpy.ndarray of intp, shape (m,)
        Row of each knot and first row of its window.
    shapes : numpy.ndarray of intp, shape (m,)
        Which row of ``offsets`` and ``kernels`` is the knot's: all knots away from the ends share one.
    offsets, kernels : numpy.ndarray of float64, shape (distinct windows, rows in a window)
        Rows from the knot, and tricube weight of that distance in [0, 1].
    jump : int
        Rows from knot to knot.
    """

    knots: Rows
    starts: Rows
    shapes: Rows
    offsets: Floats
    kernels: Floats
    jump: int


@dataclass(frozen=True, slots=True, eq=False)
class WindowSums:
    """Weighted sums over the windows of a loess, those of several knots as one product with a dense matrix.

    Attributes
    ----------
    knots : numpy.ndarray of intp, shape (m,)
        Rows at which the loess is computed.
    parts : tuple of (int, int, int, numpy.ndarray)
        First knot, knots in one group, first row and the matrix of a group, shape (moments, group, rows). Groups
        follow each other every ``jump`` * group rows as long as there are whole ones.
    counts : tuple of int
        Groups of each part.
    jump : int
        Rows from knot to knot.
    """

    knots: Rows
    parts: tuple[tuple[int, int, int, Floats], ...]
    counts: tuple[int, ...]
    jump: int

    def sums(self, rows: Floats, n_moments: int) -> Floats:
        """Return the first moments of (n, b), shape (n_moments, knots, b)."""
        width = rows.shape[1]
        out = np.empty((n_moments, self.knots.size, width))
        for (knot, group, row, matrix), count in zip(self.parts, self.counts, strict=True):
            step = (self.jump * group * rows.strides[0], *rows.strides)
            windows = np.lib.stride_tricks.as_strided(rows[row:], (count, matrix.shape[2], width), step)
            target = out[:, knot : knot + count * group].reshape(n_moments, count, group, width)
            for moment in range(n_moments):
                np.matmul(matrix[moment], windows, out=target[moment])
        return out


def loess_at_knots(n: int, window: int) -> Loess:
    """Place the knots of a loess, a tenth of the window apart, the last one in the last row.

    Parameters
    ----------
    n : int
        Rows of the series, at least 2.
    window : int
        Rows a fit looks at, odd. One longer than the series flattens the weights instead (Cleveland et al. 1990).

    Returns
    -------
    Loess
        Windows are centred on their knots save near the ends, where they stay inside the series.
    """
    jump = min(ceil(window / 10), n - 1)
    width = min(window, n)
    knots = np.arange(0, n, jump)
    if knots[-1] != n - 1:
        knots = np.append(knots, n - 1)
    starts = np.clip(knots - (window - 1) // 2, 0, n - width)
    first, shapes = np.unique(starts - knots, return_inverse=True)
    offsets = first[:, np.newaxis] + np.arange(float(width))
    reach = np.abs(offsets).max(axis=1, keepdims=True) + (window - width) // 2
    return Loess(knots, starts, shapes, offsets, tricube(np.abs(offsets), reach), jump)


def tricube(distances: Floats, reach: Floats) -> Floats:
    """Weights of rows at these distances; next to 0 and to the reach they are 1 and 0 outright."""
    weights = (1 - (distances / reach) ** 3) ** 3
    return np.where(distances <= 0.001 * reach, 1.0, np.where(distances <= 0.999 * reach, weights, 0.0))


def interpolation(n: int, knots: Rows) -> csr_array:
    """Linear interpolation from knots (the first in row 0, the last in row n - 1) to all rows."""
    from scipy.sparse import csr_array

    row = np.arange(n)
    left = np.minimum(np.searchsorted(knots, row, side="right") - 1, knots.size - 2)
    share = (row - knots[left]) / np.diff(knots)[left]
    data, column = np.stack([1 - share, share], axis=1), np.stack([left, left + 1], axis=1)
    return csr_array((data.ravel(), column.ravel(), np.arange(0, 2 * n + 1, 2)), shape=(n, knots.size))


def line_kernels(n: int, loess: Loess) -> Floats:
    """Weights of a local straight line with no weights other than those of distance, of the shape of the kernels."""
    shares = loess.kernels / loess.kernels.sum(axis=1, keepdims=True)
    centre = (shares * loess.offsets).sum(axis=1, keepdims=True)
    from_centre = loess.offsets - centre
    spread = (shares * from_centre**2).sum(axis=1, keepdims=True)
    wide = np.sqrt(spread) > 0.001 * (n - 1)
    lines: Floats = shares * np.where(wide, 1 - centre * from_centre / np.where(wide, spread, 1.0), 1.0)
    return lines


def window_sums(n: int, loess: Loess) -> WindowSums:
    """Group the knots: those at either end share one window, those between share a matrix that moves along."""
    moments = np.stack([loess.kernels, loess.kernels * loess.offsets, loess.kernels * loess.offsets**2])
    m, width = loess.knots.size, loess.kernels.shape[1]
    inner = np.flatnonzero((loess.starts > 0) & (loess.starts < n - width))
    head, tail = (int(inner[0]), int(inner[-1]) + 1) if inner.size else (m, m)
    parts, counts = [], []
    for first, stop, moves in ((0, head, False), (head, tail, True), (tail, m, False)):
        while first < stop:
            group = min(KNOTS_TOGETHER, stop - first) if moves else stop - first
            count = (stop - first) // group
            start = int(loess.starts[first])
            matrix = np.zeros((3, group, int(loess.starts[first + group - 1]) - start + width))
            for knot in range(group):
                shift = int(loess.starts[first + knot]) - start
                matrix[:, knot, shift : shift + width] = moments[:, loess.shapes[first + knot]]
            parts.append((first, group, start, matrix))
            counts.append(count)
            first += count * group
    return WindowSums(loess.knots, tuple(parts), tuple(counts), loess.jump)
