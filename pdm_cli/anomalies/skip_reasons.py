"""Why readings were not judged, with times and numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdm_cli.anomalies.seasonal_esd import pieces
from pdm_cli.anomalies.windows import Lengths
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

NO_SPREAD = "more than half of the readings are exactly as expected, so there is no spread to judge by"

# Of single spans in a series that is judged elsewhere.
AT_START = "too few readings before it"
AFTER_GAP = "after a gap"
BAD_WINDOW = "its window has no spread or does not know its phase"

_US_PER_MINUTE = 60_000_000


def why_bare(values: FloatArray) -> str | None:
    """Return why a series has nothing to judge, if so.

    Parameters
    ----------
    values : (n,) array
        Readings, NaN or infinite where missing.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return "the series holds no reading"
    return "the series is constant" if np.all(known == known[0]) else None


def why_split(times: IntArray, step_us: int) -> str | None:
    """Return which gap splits a series that must be in one piece, if one does: the longest.

    Parameters
    ----------
    times : (n,) int array
        Stamps of its rows in microseconds, rising.
    step_us : int
        Time between readings in microseconds.
    """
    apart = np.diff(times)
    if np.all(apart == step_us):
        return None
    # What is missing is one step less than the distance, as preprocess counts it.
    hours = (apart.max() - step_us) / US_PER_HOUR
    return f"a gap of {hours:.3g} h until {_stamp(times[apart.argmax() + 1])} splits the series"


def why_holed(values: FloatArray, times: IntArray, smooth: int) -> str | None:
    """Return which missing readings smoothing does not bridge in a series that must have no holes, if any.

    Parameters
    ----------
    values : (n,) array
        Readings, NaN or infinite where missing.
    times : (n,) int array
        Stamps in microseconds.
    smooth : int
        Readings smoothed over; as many missing ones in a row leave a hole.
    """
    known = np.flatnonzero(np.isfinite(values))
    missing = np.diff(known) - 1
    is_hole = missing >= max(smooth, 1)
    if not is_hole.any():
        return None
    count, first = int(missing[is_hole].sum()), int(known[:-1][is_hole][0]) + 1
    what = "missing or infinite" if np.isinf(values).any() else "missing"
    readings = "reading" if count == 1 else "readings"
    return (
        f"{count:,} {what} {readings} between others, the first at {_stamp(times[first])}; "
        "--smooth-hours bridges short gaps"
    )


def why_short(values: FloatArray, times: IntArray, lengths: Lengths) -> str | None:
    """Return why a series, or one of its pieces, is too short for its season, if so.

    Parameters
    ----------
    values : (n,) array
        Smoothed readings, NaN where missing.
    times : (n,) int array
        Stamps in microseconds.
    lengths : Lengths
        Season and piece.
    """
    for piece in pieces(len(values), piece_rows=lengths.piece or len(values)):
        count = int(np.isfinite(values[piece]).sum())
        if count <= 2 * lengths.period:
            told = f"{count:,} readings, more than {2 * lengths.period:,} (two seasons) are needed"
            if piece.stop - piece.start == len(values):
                return told
            return f"the piece from {_stamp(times[piece.start])} to {_stamp(times[piece.stop - 1])} holds {told}"
    return None


def why_windowless(values: FloatArray, lengths: Lengths, *, fewest: int) -> str:
    """Return why no trailing window serves to judge a series.

    Parameters
    ----------
    values : (n,) array
        Readings, NaN or infinite where missing.
    lengths : Lengths
        Window.
    fewest : int
        Readings that a window needs.
    """
    count = int(np.isfinite(values).sum())
    if count < fewest:
        return f"{count:,} readings, a window needs {fewest:,}"
    return f"no window of {lengths.window_days:g} days has {fewest:,} readings and a spread to judge by"


def why_spans(times: IntArray, first: NDArray[np.intp], *, step_us: int, reach: int) -> list[str]:
    """Return why each of some spans of readings was not judged, in a series that is judged elsewhere.

    Parameters
    ----------
    times : (n,) int array
        Stamps of the readings that are there, in microseconds.
    first : (u,) int array
        Positions at which the spans begin.
    step_us : int
        Time between readings in microseconds.
    reach : int
        Steps for which a gap keeps readings from being judged.
    """
    # The series begins as after a gap, but that is told in its own words.
    ends = np.append(times[:1], times[1:][np.diff(times) > step_us])
    latest = ends[np.searchsorted(ends, times[first], side="right") - 1]
    is_near = (latest > times[:1]) & (times[first] - latest < reach * step_us)
    return [
        AT_START if position == 0 else AFTER_GAP if near else BAD_WINDOW
        for position, near in zip(first.tolist(), is_near.tolist(), strict=True)
    ]


def _stamp(time_us: np.int64) -> str:
    text = str(
        np.datetime64(int(time_us), "us").astype("datetime64[s]" if time_us % _US_PER_MINUTE else "datetime64[m]")
    )
    return text.replace("T", " ")
