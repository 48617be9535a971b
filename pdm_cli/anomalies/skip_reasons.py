"""Reasons why readings were not tested, with times and numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdm_cli.anomalies.seasonal_esd import split_rows
from pdm_cli.anomalies.windows import DetectWindows
from pdm_cli.units import exact_time, show_days

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

NO_SPREAD = "more than half of the readings are exactly as expected, so the series has no spread"

# Reasons for spans of a series that is tested elsewhere.
AT_START = "too few readings before it"
AFTER_GAP = "after a gap"
BAD_WINDOW = "its window has no spread, or no readings at the same point of the season"


def suggest_option(reason: str) -> str:
    """Return what helps to test a series that is skipped for a reason."""
    if "gap" in reason:
        return "use --mode causal, or bridge longer gaps with a larger --smooth-hours"
    if "seasons" in reason:
        return "set a shorter --period-hours, or provide longer telemetry"
    if "window" in reason:
        return "set a shorter --window-days or a smaller --window-share, or provide longer telemetry"
    return "choose sensors whose readings vary with --sensors of pdm preprocess"


def reason_without_signal(values: FloatArray) -> str | None:
    """Return why a series (NaN or infinite where missing) cannot be tested at all, if so: empty or constant."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "no readings"
    return "the series is constant" if np.all(known == known[0]) else None


def reason_too_short(values: FloatArray, times: IntArray, windows: DetectWindows) -> str | None:
    """Return why a smoothed series, or one of its pieces, is too short for its season, if so."""
    for piece in split_rows(len(values), piece_rows=windows.piece or len(values)):
        count = int(np.isfinite(values[piece]).sum())
        if count <= 2 * windows.period:
            shortage = f"{count:,} readings; more than {2 * windows.period:,} (two seasons) are needed"
            if piece.stop - piece.start == len(values):
                return shortage
            return (
                f"the piece from {exact_time(int(times[piece.start]))} to {exact_time(int(times[piece.stop - 1]))} has "
                f"{shortage}"
            )
    return None


def reason_no_window(values: FloatArray, windows: DetectWindows, *, fewest: int) -> str:
    """Return why no trailing window of a series has the ``fewest`` readings required, or no spread."""
    count = int(np.isfinite(values).sum())
    if count < fewest:
        return f"{count:,} readings; a window needs at least {fewest:,}"
    return f"no window of {show_days(windows.window_days)} has at least {fewest:,} readings and a spread"


def span_reasons(times: IntArray, first: NDArray[np.intp], *, step_us: int, reach: int) -> list[str]:
    """Return why each span of readings was not tested, in a series that is tested elsewhere.

    ``times`` (n,) are those of the existing readings, ``first`` (u,) the positions at which the spans begin, and
    ``reach`` the number of steps for which a gap keeps readings from being tested.
    """
    # The start of the series counts as the end of a gap, but has its own reason.
    ends = np.append(times[:1], times[1:][np.diff(times) > step_us])
    latest = ends[np.searchsorted(ends, times[first], side="right") - 1]
    is_near = (latest > times[:1]) & (times[first] - latest < reach * step_us)
    return [
        AT_START if position == 0 else AFTER_GAP if near else BAD_WINDOW
        for position, near in zip(first.tolist(), is_near.tolist(), strict=True)
    ]
