"""The pieces of a series between gaps, each of which batch mode can test by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pdm_cli.anomalies.seasonal_esd import Anomalies
from pdm_cli.anomalies.skip_reasons import NO_SPREAD, reason_too_short
from pdm_cli.anomalies.windows import DetectWindows
from pdm_cli.errors import DataError
from pdm_cli.features.rolling import has_whole_window, trailing_mean

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pieces:
    """A smoothed series, cut at its gaps.

    Attributes
    ----------
    smoothed : (n,) array
        Trailing means of each row, not across a gap between rows; NaN for rows without readings in the window.
    has_whole_window : (n,) bool array
        Whether the mean covers its whole window, so that it can be tested.
    rows : list of slice
        The rows of each piece; rows between them have no value.
    """

    smoothed: FloatArray
    has_whole_window: BoolArray
    rows: list[slice]

    def number_rows(self) -> IntArray:
        """Return the number of the piece that each row is in or follows."""
        starts = np.array([piece.start for piece in self.rows[1:]], np.int64)
        return np.searchsorted(starts, np.arange(len(self.smoothed)), side="right")


def cut_at_gaps(values: FloatArray, times: IntArray, windows: DetectWindows) -> Pieces:
    """Smooth a series and cut it where rows are absent, or missing readings outlast the smoothing window.

    Parameters
    ----------
    values : (n,) array
        Readings, NaN or infinite where missing.
    times : (n,) int array
        Times of the rows in microseconds, increasing by whole steps.
    windows : DetectWindows
        Step, smoothing and length of pieces of batch mode.

    Notes
    -----
    Rows without readings at either end of a series belong to its first and last piece, as in R, where they count for
    ``max_anoms``. They are left out if a part of a long series would consist of little else.
    """
    breaks = np.flatnonzero(np.diff(times) != windows.step_us) + 1
    smoothed, is_whole = np.full(len(values), np.nan), np.zeros(len(values), np.bool_)
    rows: list[slice] = []
    for start, stop in pairwise([0, *breaks.tolist(), len(values)]):
        own = slice(start, stop)
        smoothed[own] = trailing_mean(values[own], windows.smooth)
        is_whole[own] = has_whole_window(values[own], windows.smooth)
        known = start + np.flatnonzero(~np.isnan(smoothed[own]))
        if not len(known):
            continue
        cuts = np.flatnonzero(np.diff(known) > 1)
        firsts, stops = [known[0], *known[cuts + 1]], [*(known[cuts] + 1), known[-1] + 1]
        pieces = [slice(int(first), int(end)) for first, end in zip(firsts, stops, strict=True)]
        for place, (first, end) in ((0, (start, pieces[0].stop)), (-1, (pieces[-1].start, stop))):
            # The first piece may also be the last.
            whole = slice(min(first, pieces[place].start), max(end, pieces[place].stop))
            if reason_too_short(smoothed[whole], times[whole], windows) is None:
                pieces[place] = whole
        rows += pieces
    return Pieces(smoothed, is_whole, rows)


def reasons_too_short(pieces: Pieces, times: IntArray, windows: DetectWindows) -> list[str | None]:
    """Return why each piece is too short for the season, if so."""
    reasons = [reason_too_short(pieces.smoothed[rows], times[rows], windows) for rows in pieces.rows]
    if len(reasons) == 1:
        return reasons
    return [None if reason is None else f"the piece between gaps has only {reason}" for reason in reasons]


def reasons_untested(outcomes: Sequence[Anomalies | DataError | None], short: list[str | None]) -> list[str | None]:
    """Return why each piece was not tested, if so, given those too short, which have no outcome."""
    return [
        reason or (str(outcome) if isinstance(outcome, DataError) else None if _has_spread(outcome) else NO_SPREAD)
        for outcome, reason in zip(outcomes, short, strict=True)
    ]


def _has_spread(outcome: Anomalies | None) -> bool:
    return outcome is not None and outcome.has_spread


def reason_of_series(reasons: list[str | None], windows: DetectWindows) -> str | None:
    """Return why no piece of a series was tested; None if one was."""
    found = [reason for reason in reasons if reason is not None]
    if len(found) < len(reasons):
        return None
    if len(found) == 1:
        return found[0]
    if all(reason == NO_SPREAD for reason in found):
        return NO_SPREAD
    return (
        f"none of {len(found):,} pieces between gaps can be tested; more than {2 * windows.period:,} readings "
        "(two seasons) with a spread are needed"
    )
