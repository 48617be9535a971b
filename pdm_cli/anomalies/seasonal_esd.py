"""Seasonal Hybrid ESD: readings that stand out from the seasonal pattern of their own series.

The seasonal part of a robust STL and the median of the series are taken off; the generalized ESD test then looks for
outliers in what is left. The trend is left in on purpose (the median stands in for it), so a drift is an anomaly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, starmap

import numpy as np
import numpy.typing as npt

from pdm_cli.anomalies.esd import Direction, extreme_deviates
from pdm_cli.anomalies.stl import periodic_robust_stl_batch, periodic_robust_stl_of_one
from pdm_cli.anomalies.stl_statsmodels import Decompose, Decomposition
from pdm_cli.errors import DataError, NotEnoughData

# Above this share the test would call the majority abnormal.
MOST_ANOMS = 0.49

# A spread this small against the readings is rounding, not noise: an exactly periodic series has no anomalies.
ROUNDING = 1e-12

# What one operation with the largest reading can be off by, as a share of it.
LAST_BIT = 2.0**-52


@dataclass(frozen=True, slots=True, eq=False)
class Anomalies:
    """Anomalous readings of one series in row order.

    Attributes
    ----------
    index : numpy.ndarray of intp, shape (m,)
        Row of the reading in the values given, rising, from 0.
    score : numpy.ndarray of float64, shape (m,)
        Test statistic over critical value; dimensionless, > 1. A reading that others masked at its own step (ratio
        at most 1, accepted because a later step passed) takes the greatest ratio of the later steps. So the score is
        the factor the critical values could grow by with the reading still an anomaly.
    expected : numpy.ndarray of float64, shape (m,)
        Trend + seasonal, in the unit of the values.
    direction : numpy.ndarray of int8, shape (m,)
        +1 above, -1 below the median of the residuals.
    has_spread : bool
        False if more than half of the residuals are alike, so that no reading could be judged.
    is_capped : bool
        Whether there are as many as were allowed in the series, or in one of its pieces.
    """

    index: npt.NDArray[np.intp]
    score: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]
    direction: npt.NDArray[np.int8]
    has_spread: bool = True
    is_capped: bool = False

    def keep(self, wanted: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Anomalies:
        """Return those of the anomalies that are wanted, by a mask or by their positions."""
        return replace(
            self,
            index=self.index[wanted],
            score=self.score[wanted],
            expected=self.expected[wanted],
            direction=self.direction[wanted],
        )


def seasonal_hybrid_esd(
    values: npt.ArrayLike,
    *,
    period: int,
    max_anoms: float = 0.1,
    alpha: float = 0.005,
    direction: Direction = "both",
    longterm_rows: int | None = None,
    decompose: Decompose = periodic_robust_stl_of_one,
) -> Anomalies:
    """Find the anomalies of one series.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Equally spaced readings in time order; any unit. NaN may stand at either end only.
    period : int
        Rows in one season (24 for hourly readings with a daily pattern), at least 2.
    max_anoms : float
        Greatest share of the readings to report, in (0, 0.49]; always allows one reading.
    alpha : float
        Significance level of the test, in (0, 1).
    direction : {"both", "pos", "neg"}
        Report readings on both sides, above the pattern only, or below it only.
    longterm_rows : int, optional
        Judge a long series in pieces of so many rows, each by its own pattern and median, so that a slow change of
        level is not an anomaly; more than 2 * period. See :func:`pieces`.
    decompose : Decompose
        Called with the values of one piece, without NaN, and ``period``; returns seasonal and trend.

    Returns
    -------
    Anomalies
        In row order. A row in two pieces is reported as the first piece that finds it says.

    Raises
    ------
    DataError
        If a reading is infinite, missing between two others, or too large to add up.
    NotEnoughData
        If the series, or one of its pieces, holds two periods of readings or fewer.
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
    >>> week[100] += 30
    >>> seasonal_hybrid_esd(week, period=4).index.tolist()
    [100]
    """
    _check_arguments(period=period, max_anoms=max_anoms, longterm_rows=longterm_rows)
    found = []
    for piece in _cut(0, values, period=period, max_anoms=max_anoms, longterm_rows=longterm_rows):
        parts = decompose(piece.values, period=period)
        judged = judge(piece.values, parts, max_count=piece.max_count, alpha=alpha, direction=direction)
        found.append((piece.start, judged))
    return _merged(found)


def seasonal_hybrid_esd_batch(
    series: Sequence[npt.ArrayLike] | npt.NDArray[np.float64],
    *,
    period: int,
    max_anoms: float = 0.1,
    alpha: float = 0.005,
    direction: Direction = "both",
    longterm_rows: int | None = None,
    decompose: Decompose = periodic_robust_stl_batch,
) -> list[Anomalies | DataError]:
    """Find the anomalies of many series; those of one length are decomposed together.

    Parameters
    ----------
    series : sequence of array_like of float, shape (n,) each, or numpy.ndarray of float, shape (n, B)
        Readings of series of any lengths, one after the other, or those of one length as columns of an array.
    period, max_anoms, alpha, direction, longterm_rows
        As in :func:`seasonal_hybrid_esd`.
    decompose : Decompose
        Called with an (n, B) array of pieces of equal length.

    Returns
    -------
    list of Anomalies or DataError
        One a series; an error where the series cannot be judged, with the others judged all the same.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> week = np.tile([0.0, 1.0, 5.0, 2.0], 42) + np.sin(np.arange(168.0))
    >>> two = np.column_stack([week, -week])
    >>> two[100, 1] += 30
    >>> [found.index.tolist() for found in seasonal_hybrid_esd_batch(two, period=4)]
    [[], [100]]
    """
    _check_arguments(period=period, max_anoms=max_anoms, longterm_rows=longterm_rows)
    every = _each(series)
    outcomes: list[Anomalies | DataError] = [_NOTHING] * len(every)
    cut: list[_Piece] = []
    for number, values in enumerate(every):
        try:
            cut += _cut(number, values, period=period, max_anoms=max_anoms, longterm_rows=longterm_rows)
        except DataError as error:
            outcomes[number] = error
    found: dict[int, list[tuple[int, int, Anomalies]]] = {}
    by_length = sorted(cut, key=lambda piece: piece.values.size)
    for _, group in groupby(by_length, key=lambda piece: piece.values.size):
        together = list(group)
        parts = decompose(np.column_stack([piece.values for piece in together]), period=period)
        # One series a row: judging goes along a series again and again.
        rows = zip(np.ascontiguousarray(parts.seasonal.T), np.ascontiguousarray(parts.trend.T), strict=True)
        for piece, own in zip(together, starmap(Decomposition, rows), strict=True):
            try:
                judged = judge(piece.values, own, max_count=piece.max_count, alpha=alpha, direction=direction)
            except DataError as error:
                outcomes[piece.series] = error
                continue
            found.setdefault(piece.series, []).append((piece.number, piece.start, judged))
    for number, judged_pieces in found.items():
        if not isinstance(outcomes[number], DataError):
            in_order = sorted(judged_pieces, key=lambda item: item[0])
            outcomes[number] = _merged([(start, anomalies) for _, start, anomalies in in_order])
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
    for number, piece in enumerate(pieces(readings.size, piece_rows=longterm_rows or readings.size)):
        kept = _readings_within(readings, piece, period=period)
        max_count = max(1, int((piece.stop - piece.start) * max_anoms))
        cut.append(_Piece(series, number, kept.start, readings[kept], max_count))
    return cut


def judge(
    values: npt.NDArray[np.float64], parts: Decomposition, *, max_count: int, alpha: float, direction: Direction
) -> Anomalies:
    """Find the anomalies of one series, or piece, whose decomposition is known.

    Parameters
    ----------
    values : numpy.ndarray of float64, shape (n,)
        Finite readings, n >= 3; any unit.
    parts : Decomposition
        Seasonal and trend of the values, shape (n,) each.
    max_count : int
        Most anomalies to report, at least 0.
    alpha : float
        Significance level of the test, in (0, 1).
    direction : {"both", "pos", "neg"}
        As in :func:`seasonal_hybrid_esd`.

    Returns
    -------
    Anomalies
        In row order; rows count from the first of ``values``.

    Raises
    ------
    DataError
        If the readings are too large to add up.
    ValueError
        If an argument is out of range.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        residuals = values - parts.seasonal - np.median(values)
    if not (np.isfinite(residuals).all() and np.isfinite(parts.trend).all()):
        raise DataError("the readings are too large to decompose", hint="check the unit, or scale the readings down")
    # The count is of rows before NaN were dropped: many of these could ask for more than the test can remove.
    max_count = min(max_count, values.size - 2)
    found = extreme_deviates(
        residuals,
        max_count=max_count,
        alpha=alpha,
        direction=direction,
        zero_sigma=_rounding(values, may_be_wild=max_count),
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


def _rounding(values: npt.NDArray[np.float64], *, may_be_wild: int) -> float:
    """Return the spread that rounding alone can make; a few wild readings must not raise it over that of the others."""
    sizes = np.abs(values)
    usual = np.partition(sizes, -1 - may_be_wild)[-1 - may_be_wild]
    return max(ROUNDING * float(usual), LAST_BIT * float(sizes.max()))


def pieces(n_rows: int, *, piece_rows: int) -> list[slice]:
    """Cut a series into pieces of equal length; the last reaches back over the one before where rows run out.

    Parameters
    ----------
    n_rows : int
        Rows of the series, at least 0.
    piece_rows : int
        Rows of a piece, at least 1 where there are rows. A shorter series is one piece.

    Returns
    -------
    list of slice
        In row order; together they cover every row.

    Examples
    --------
    >>> pieces(10, piece_rows=4)
    [slice(0, 4, None), slice(4, 8, None), slice(6, 10, None)]
    """
    if piece_rows < 1 <= n_rows:
        raise ValueError(f"a piece must have at least one row, got {piece_rows}")
    if n_rows <= piece_rows:
        return [slice(0, n_rows)] if n_rows else []
    stops = [min(start + piece_rows, n_rows) for start in range(0, n_rows, piece_rows)]
    return [slice(stop - piece_rows, stop) for stop in stops]


_NOTHING = Anomalies(
    index=np.array([], np.intp), score=np.array([]), expected=np.array([]), direction=np.array([], np.int8)
)


def _check_arguments(*, period: int, max_anoms: float, longterm_rows: int | None) -> None:
    if period < 2:
        raise ValueError(f"period must be at least 2 rows, got {period}")
    if not 0 < max_anoms <= MOST_ANOMS:
        raise ValueError(f"max_anoms must lie in (0, {MOST_ANOMS}], got {max_anoms}")
    if longterm_rows is not None and longterm_rows <= 2 * period:
        raise ValueError(f"longterm_rows must be more than two periods ({2 * period} rows), got {longterm_rows}")


def _each(series: Sequence[npt.ArrayLike] | npt.NDArray[np.float64]) -> Sequence[npt.ArrayLike]:
    if not isinstance(series, np.ndarray):
        return series
    if series.ndim != 2:
        raise ValueError(f"an array of series must be two-dimensional, one series a column, got shape {series.shape}")
    return list(series.T)


def _checked_series(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values must be one-dimensional, got shape {series.shape}")
    infinite = np.flatnonzero(np.isinf(series))
    if infinite.size:
        row = int(infinite[0])
        raise DataError(
            f"{infinite.size} infinite reading(s), the first at row {row}",
            hint="turn infinite readings into missing ones and fill those",
            row=row,
        )
    present = np.flatnonzero(~np.isnan(series))
    if not present.size:
        raise NotEnoughData("the series holds no reading", hint="leave this series out")
    n_missing = int(present[-1] - present[0]) + 1 - present.size
    if n_missing:
        row = int(present[(np.diff(present) > 1).argmax()]) + 1
        raise DataError(
            f"{n_missing} missing reading(s) between others, the first at row {row}",
            hint="fill or interpolate the gaps first",
            row=row,
        )
    return series


def _readings_within(series: npt.NDArray[np.float64], piece: slice, *, period: int) -> slice:
    """Rows of the piece without the NaN at its ends."""
    present = np.flatnonzero(~np.isnan(series[piece]))
    if present.size <= 2 * period:
        raise NotEnoughData(
            f"rows {piece.start} to {piece.stop - 1} hold {present.size} reading(s), "
            f"but more than two periods ({2 * period}) are needed",
            hint="give a longer series or a shorter period",
        )
    return slice(piece.start + int(present[0]), piece.start + int(present[-1]) + 1)


def _merged(found: list[tuple[int, Anomalies]]) -> Anomalies:
    joined = Anomalies(
        index=np.concatenate([start + anomalies.index for start, anomalies in found]),
        score=np.concatenate([anomalies.score for _, anomalies in found]),
        expected=np.concatenate([anomalies.expected for _, anomalies in found]),
        direction=np.concatenate([anomalies.direction for _, anomalies in found]),
        has_spread=any(anomalies.has_spread for _, anomalies in found),
        is_capped=any(anomalies.is_capped for _, anomalies in found),
    )
    # The first of equal rows is the one kept, so the earlier piece has the word.
    return joined.keep(np.unique(joined.index, return_index=True)[1])
