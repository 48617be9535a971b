"""Medians and median absolute deviations of windows of sorted readings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Makes the median absolute deviation of normal values estimate their standard deviation; R's mad() rounds it so.
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Survivors of each step as bounds, both inclusive, into the sorted values; shape (k,) each."""

    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    from_above: npt.NDArray[np.bool_]


def window_medians(ordered: npt.NDArray[np.float64], windows: Windows) -> npt.NDArray[np.float64]:
    """Return the median of every window of the sorted values, shape (k,)."""
    return _medians_between(ordered, windows.low + windows.high)


def _medians_between(ordered: npt.NDArray[np.float64], sums: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the medians of windows, given the sums of their bounds."""
    return np.asarray((ordered[sums // 2] + ordered[(sums + 1) // 2]) / 2)


def window_mads(
    ordered: npt.NDArray[np.float64], windows: Windows, medians: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Median absolute deviation of every window at once.

    Seen from the centre of a window the distances to its median form two rising runs. The nearest half of the
    survivors takes ``a`` from the run below and ``half - a`` from the run above; bisection finds ``a`` bit by bit.
    """
    size = windows.high - windows.low + 1
    half = size // 2
    centre = windows.low + half
    end = centre + half
    a = np.zeros_like(half)
    for bit in reversed(range(int(half.max(initial=0)).bit_length())):
        more = a + (1 << bit)
        # Of more than the half there may be no such rows: a look-up from the other end then, and not used.
        enough = medians - ordered.take(centre - more) >= ordered.take(end - more) - medians
        a = np.where(enough | (more > half), a, more)
    b = half - a
    taken = np.maximum(
        np.where(a > 0, medians - ordered[centre - a], 0.0),
        np.where(b > 0, ordered[centre + b - 1] - medians, 0.0),
    )
    left = np.minimum(
        np.where(a < half, medians - ordered[np.maximum(centre - 1 - a, 0)], np.inf),
        np.where(b < size - half, ordered[np.minimum(centre + b, ordered.size - 1)] - medians, np.inf),
    )
    return np.where(size % 2 == 1, left, (taken + left) / 2)
