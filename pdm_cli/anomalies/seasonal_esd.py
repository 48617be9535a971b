"""Seasonal Hybrid ESD: readings that deviate from the seasonal pattern of their own series.

The seasonal part of a robust STL and the median of the series are subtracted; the generalized ESD test then looks for
outliers in the residuals. The median replaces the trend on purpose, so a drift is an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, starmap

import numpy as np
import numpy.typing as npt

from pdm_cli.anomalies.esd import Direction, extreme_deviates
from pdm_cli.anomalies.stl import Decompose, Decomposition, periodic_robust_stl
from pdm_cli.errors import DataError, NotEnoughData

# A larger share would call the majority anomalous.
MAX_ANOMS = 0.49

# A spread this small relative to the readings is rounding, not noise: an exactly periodic series has no anomalies.
ROUNDING = 1e-12

# Rounding error of one operation with the largest reading, as a share of it.
LAST_BIT = 2.0**-52


@dataclass(frozen=True, slots=True, eq=False)
class Anomalies:
    """Anomalous readings of one series in row order.

    Attributes
    ----------
    index : numpy.ndarray of intp, shape (m,)
        Row of the reading, increasing, from 0.
    score : numpy.ndarray of float64, shape (m,)
        Test statistic over critical value; dimensionless, > 1: the factor by which the critical values could grow with
        the reading still an anomaly. A reading masked by others at its own step (ratio at most 1, accepted because a
        later step passed) takes the greatest ratio of the later steps.
    expected : numpy.ndarray of float64, shape (m,)
        Trend + seasonal, in the unit of the values.
    direction : numpy.ndarray of int8, shape (m,)
        +1 above, -1 below the median of the residuals.
    has_spread : bool
        False if more than half of the residuals are equal, so that no reading could be tested.
    is_capped : bool
        Whether the count reached the maximum of the series, or of one of its pieces.
    """

    index: npt.NDArray[np.intp]
    score: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]
    direction: npt.NDArray[np.int8]
    has_spread: bool = True
    is_capped: bool = False

    def keep(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Anomalies:
        """Return some of the anomalies, given by a mask or by their positions."""
        return replace(
            self,
            index=self.index[rows],
            score=self.score[rows],
            expected=self.expected[rows],
            direction=self.direction[rows],
        )


def seasonal_hybrid_esd(
    series: Sequence[npt.ArrayLike] | npt.NDArray[np.float64],
    *,
    period: int,
    max_anoms: float = 0.1,
    alpha: float = 0.005,
    direction: Direction = "both",
    longterm_rows: int | None = None,
    decompose: Decompose = periodic_robust_stl,
) -> list[Anomalies | DataError]:
    """Find the anomalies of many series; series of equal length are decomposed together.

    Parameters
    ----------
    series : sequence of array_like of float, shape (n,) each, or numpy.ndarray of float, shape (n, B)
        Equally spaced readings in time order, any unit: series of any lengths, or columns of an array. NaN is allowed
        at either end only.
    period : int
        Rows per season (24 for hourly readings with a daily pattern), at least 2.
    max_anoms : float
        Largest share of the readings to report, in [0, 0.49]; always allows one reading of each piece.
    alpha : float
        Significance level of the test, in (0, 1).
    direction : {"both", "pos", "neg"}
        Report readings on both sides, above the pattern only, or below it only.
    longterm_rows : int, optional
        Test a long series in pieces of this many rows, each with its own pattern and median, so that a slow change of
        level is not an anomaly; more than 2 * period. See :func:`split_rows`.
    decompose : Decompose
        Called with an (n, B) array of pieces of equal length, without NaN.

    Returns
    -------
    list of Anomalies or DataError
        One per series: anomalies in row order, or the error of a series that cannot be tested (with a reading that is
        infinite, missing inside the series or too large to add up; or ``NotEnoughData`` where the series, or one of its
        pieces, has two periods of readings or fewer). A row in two pieces counts in the first piece that reports it.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    .. [1] J. Hochenbaum, O. S. Vallis, A. Kejariwal (2017), Automatic Anomaly Detection in the Cloud Via Statistical
       Learning, arXiv:1704.07706.
    .. [2] B. Rosner (1983), Technometrics 25(2), 165-172.

    Examples
    --------
    >>> week = np.tile([0.0, 1.0, 5.0, 2.0], 42) + np.sin(np.arange(168.0))
    >>> two = np.column_stack([week, -week])
    >>> two[100, 1] += 30
    >>> [found.index.tolist() for found in seasonal_hybrid_esd(two, period=4)]
    [[], [100]]
    """
    _check_arguments(period=period, max_anoms=max_anoms, longterm_rows=longterm_rows)
    every = _as_list(series)
    outcomes: list[Anomalies | DataError] = [_NO_ANOMALIES] * len(every)
    cut: list[_Piece] = []
    for number, values in enumerate(every):
        try:
            cut += _cut(number, values, period=period, max_anoms=max_anoms, longterm_rows=longterm_rows)
        except DataError as error:
            outcomes[number] = error
    found: dict[int, list[tuple[_Piece, Anomalies]]] = {}
    for piece, parts in _decomposed(cut, decompose, period):
        try:
            outliers = find_outliers(piece.values, parts, max_count=piece.max_count, alpha=alpha, direction=direction)
        except DataError as error:
            outcomes[piece.series] = error
            continue
        found.setdefault(piece.series, []).append((piece, outliers))
    for number, of_pieces in found.items():
        if not isinstance(outcomes[number], DataError):
            in_order = sorted(of_pieces, key=lambda item: item[0].number)
            outcomes[number] = merge_anomalies([(piece.start, anomalies) for piece, anomalies in in_order])
    return outcomes


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A piece of one of several series, without the NaN at its ends."""

    series: int
    number: int
    start: int
    values: npt.NDArray[np.float64]
    max_count: int


def _cut(
    series: int, values: npt.ArrayLike, *, period: int, max_anoms: float, longterm_rows: int | None
) -> list[_Piece]:
    readings = _checked_series(values)
    cut = []
    for number, piece in enumerate(split_rows(readings.size, piece_rows=longterm_rows or readings.size)):
        kept = _readings_within(readings, piece, period=period)
        max_count = max(1, int((piece.stop - piece.start) * max_anoms))
        cut.append(_Piece(series, number, kept.start, readings[kept], max_count))
    return cut


def _decomposed(cut: list[_Piece], decompose: Decompose, period: int) -> Iterator[tuple[_Piece, Decomposition]]:
    """Yield each piece with its decomposition; pieces of one length are decomposed together."""
    by_length = sorted(cut, key=lambda piece: piece.values.size)
    for _, group in groupby(by_length, key=lambda piece: piece.values.size):
        pieces = list(group)
        parts = decompose(np.column_stack([piece.values for piece in pieces]), period=period)
        # One series per row: the test reads each series many times.
        rows = zip(np.ascontiguousarray(parts.seasonal.T), np.ascontiguousarray(parts.trend.T), strict=True)
        yield from zip(pieces, starmap(Decomposition, rows), strict=True)


def find_outliers(
    values: npt.NDArray[np.float64], parts: Decomposition, *, max_count: int, alpha: float, direction: Direction
) -> Anomalies:
    """Find the anomalies of one series, or piece, given its decomposition.

    ``values`` (n,) are finite, n >= 3; at most ``max_count`` anomalies are reported, with rows counted from the first
    value. Raises ``DataError`` if the readings are too large to add up.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        residuals = values - parts.seasonal - np.median(values)
    if not (np.isfinite(residuals).all() and np.isfinite(parts.trend).all()):
        raise DataError("the readings are too large to decompose", hint="check the unit, or scale the readings down")
    # The count includes dropped NaN rows and may exceed the number that the test can remove.
    max_count = min(max_count, values.size - 2)
    found = extreme_deviates(
        residuals,
        max_count=max_count,
        alpha=alpha,
        direction=direction,
        zero_sigma=_rounding(values, n_outliers=max_count),
    )
    rows = found.positions[: found.n_accepted]
    ratio = found.test_statistics[: found.n_accepted] / found.critical_values[: found.n_accepted]
    score = np.maximum.accumulate(ratio[::-1])[::-1]
    side = np.where(found.from_above[: found.n_accepted], 1, -1).astype(np.int8)
    order = np.argsort(rows)
    rows = rows[order]
    return Anomalies(
        index=rows,
        score=score[order],
        expected=parts.trend[rows] + parts.seasonal[rows],
        direction=side[order],
        has_spread=max_count == 0 or found.test_statistics.size > 0,
        is_capped=0 < max_count == found.n_accepted,
    )


def _rounding(values: npt.NDArray[np.float64], *, n_outliers: int) -> float:
    """Return the spread that rounding alone causes; a few outliers must not raise it above that of the others."""
    sizes = np.abs(values)
    usual = np.partition(sizes, -1 - n_outliers)[-1 - n_outliers]
    return max(ROUNDING * float(usual), LAST_BIT * float(sizes.max()))


def split_rows(n_rows: int, *, piece_rows: int) -> list[slice]:
    """Split a series into pieces of ``piece_rows`` rows; the last one overlaps its predecessor where rows run out.

    Together the pieces cover every row. A series shorter than a piece is one piece.

    Examples
    --------
    >>> split_rows(10, piece_rows=4)
    [slice(0, 4, None), slice(4, 8, None), slice(6, 10, None)]
    """
    if piece_rows < 1 <= n_rows:
        raise ValueError(f"a piece must have at least one row, got {piece_rows}")
    if n_rows <= piece_rows:
        return [slice(0, n_rows)] if n_rows else []
    stops = [min(start + piece_rows, n_rows) for start in range(0, n_rows, piece_rows)]
    return [slice(stop - piece_rows, stop) for stop in stops]


_NO_ANOMALIES = Anomalies(
    index=np.array([], np.intp), score=np.array([]), expected=np.array([]), direction=np.array([], np.int8)
)


def _check_arguments(*, period: int, max_anoms: float, longterm_rows: int | None) -> None:
    if period < 2:
        raise ValueError(f"period must be at least 2 rows, got {period}")
    if not 0 <= max_anoms <= MAX_ANOMS:
        raise ValueError(f"max_anoms must lie in [0, {MAX_ANOMS}], got {max_anoms}")
    if longterm_rows is not None and longterm_rows <= 2 * period:
        raise ValueError(f"longterm_rows must be more than two periods ({2 * period} rows), got {longterm_rows}")


def _as_list(series: Sequence[npt.ArrayLike] | npt.NDArray[np.float64]) -> Sequence[npt.ArrayLike]:
    if not isinstance(series, np.ndarray):
        return series
    if series.ndim != 2:
        raise ValueError(f"an array of series must be two-dimensional, one series per column, got shape {series.shape}")
    return list(series.T)


def _checked_series(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values must be one-dimensional, got shape {series.shape}")
    infinite = np.flatnonzero(np.isinf(series))
    if infinite.size:
        row = int(infinite[0])
        raise DataError(
            f"{infinite.size} infinite reading(s), first at row {row}",
            hint="replace infinite readings with missing ones and fill those",
            row=row,
        )
    present = np.flatnonzero(~np.isnan(series))
    if not present.size:
        raise NotEnoughData("the series has no readings", hint="leave this series out")
    n_missing = int(present[-1] - present[0]) + 1 - present.size
    if n_missing:
        row = int(present[(np.diff(present) > 1).argmax()]) + 1
        raise DataError(
            f"{n_missing} missing reading(s) within the series, first at row {row}",
            hint="fill or interpolate the gaps first",
            row=row,
        )
    return series


def _readings_within(series: npt.NDArray[np.float64], piece: slice, *, period: int) -> slice:
    """Return the rows of the piece without the NaN at its ends."""
    present = np.flatnonzero(~np.isnan(series[piece]))
    if present.size <= 2 * period:
        raise NotEnoughData(
            f"rows {piece.start} to {piece.stop - 1} have {present.size} reading(s); "
            f"more than two periods ({2 * period}) are needed",
            hint="use a longer series or a shorter period",
        )
    return slice(piece.start + int(present[0]), piece.start + int(present[-1]) + 1)


def merge_anomalies(found: list[tuple[int, Anomalies]]) -> Anomalies:
    """Return the anomalies of all pieces of a series, each with its first row; of one row, those of the first piece."""
    joined = Anomalies(
        index=np.concatenate([start + anomalies.index for start, anomalies in found]),
        score=np.concatenate([anomalies.score for _, anomalies in found]),
        expected=np.concatenate([anomalies.expected for _, anomalies in found]),
        direction=np.concatenate([anomalies.direction for _, anomalies in found]),
        has_spread=any(anomalies.has_spread for _, anomalies in found),
        is_capped=any(anomalies.is_capped for _, anomalies in found),
    )
    # np.unique keeps the first of equal rows: the result of the earlier piece.
    return joined.keep(np.unique(joined.index, return_index=True)[1])
