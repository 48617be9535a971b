"""Series of a machine on a regular grid, smoothed, for tests that look back over a trailing window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

import numpy as np
import numpy.typing as npt

from pdm_cli.anomalies.esd import Direction
from pdm_cli.anomalies.windows import DetectWindows
from pdm_cli.features.rolling import WHOLE_SHARE, required_readings
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CausalRules:
    """The settings; lengths in rows of the grid except for the refit, which follows the clock."""

    step_us: int
    refit_us: int
    window: int
    period: int
    smooth: int
    settle: int
    min_share: float
    alpha: float
    direction: Direction


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A batch on a regular grid without gaps, preceded by one window of missing readings.

    ``readings`` is (B, m); ``cells`` (n,) are the positions of the rows in it; ``fit_of_row`` (n,) is the number of the
    fit that applies to each row, ``ends`` (f,) the first cell after the window of each fit.
    """

    readings: FloatArray
    cells: IntArray
    fit_of_row: IntArray
    ends: IntArray


def make_rules(
    windows: DetectWindows, *, refit_hours: float, min_share: float, alpha: float, direction: Direction
) -> CausalRules:
    """Return the settings of causal tests.

    Raises
    ------
    ValueError
        If one is out of range.
    """
    rules = CausalRules(
        step_us=windows.step_us,
        refit_us=round(refit_hours * US_PER_HOUR),
        window=windows.window,
        period=windows.period,
        smooth=windows.smooth if windows.smooth > 1 else 0,
        settle=windows.settle,
        min_share=min_share,
        alpha=alpha,
        direction=direction,
    )
    _check(rules)
    return rules


def fewest_readings(window: int, min_share: float) -> int:
    """Return the fewest readings that a window of this many rows needs; the test itself needs three."""
    return max(3, required_readings(window, min_share))


def check_series(values: npt.ArrayLike, times_us: npt.ArrayLike, step_us: int) -> tuple[FloatArray, IntArray]:
    """Return readings and times as arrays.

    Raises
    ------
    ValueError
        If their shapes do not match, or the times do not increase by whole steps.
    """
    readings, times = np.asarray(values, dtype=np.float64), np.asarray(times_us, dtype=np.int64)
    if readings.ndim not in (1, 2) or times.shape != readings.shape[-1:]:
        raise ValueError(f"values of shape {readings.shape} do not match times of shape {times.shape}")
    apart = np.diff(times)
    if step_us < 1 or np.any(apart < 1) or np.any(apart % step_us):
        raise ValueError(f"times must increase by whole steps of {step_us} microseconds")
    return readings, times


def _check(rules: CausalRules) -> None:
    if rules.refit_us < 1:
        raise ValueError("refit_hours must be more than 0")
    if rules.window < 1 or rules.period < 0 or rules.period == 1 or min(rules.smooth, rules.settle) < 0:
        raise ValueError(f"windows of {rules.window} rows, period {rules.period}, settle {rules.settle} are invalid")
    if not (0 < rules.min_share <= 1 and 0 < rules.alpha < 1):
        raise ValueError(f"min_share must lie in (0, 1] and alpha in (0, 1), got {rules.min_share} and {rules.alpha}")
    if rules.direction not in get_args(Direction):
        raise ValueError(f"direction must be one of {', '.join(get_args(Direction))}, got {rules.direction!r}")


def split_at_gaps(times: IntArray, rules: CausalRules) -> Iterator[slice]:
    """Split where no window reaches across, so that a year without readings takes no memory."""
    reach = rules.window + rules.smooth + rules.settle
    starts = np.flatnonzero(np.diff(times, prepend=times[:1]) > reach * rules.step_us)
    bounds = [0, *starts.tolist(), len(times)]
    return (slice(start, stop) for start, stop in pairwise(bounds) if stop > start)


def lay_out(batch: FloatArray, times: IntArray, rules: CausalRules) -> tuple[Grid, BoolArray]:
    """Put the rows on their grid, smooth them, and return which are far enough from the last gap."""
    cells = rules.window + (times - times[0]) // rules.step_us
    dense = np.full((len(batch), int(cells[-1]) + 1), np.nan)
    dense[:, cells] = np.where(np.isfinite(batch), batch, np.nan)
    is_settled = _settled(np.isfinite(dense), rules.settle)[:, cells]
    instants, fit_of_row = np.unique(times // rules.refit_us, return_inverse=True)
    steps = -(-(instants * rules.refit_us - times[0]) // rules.step_us)
    ends = rules.window + np.maximum(steps, 0)
    readings = _smooth(dense, rules) if rules.smooth > 1 else dense
    return Grid(readings, cells, fit_of_row.astype(np.int64), ends), is_settled


def _settled(there: BoolArray, rest: int) -> BoolArray:
    """Return where readings have lasted ``rest`` rows since the last gap longer than that."""
    if not rest:
        return there
    positions = np.arange(there.shape[1])
    last = np.maximum.accumulate(np.where(there, positions, -rest - 2), axis=1)
    before = np.roll(last, 1, axis=1)
    before[:, 0] = -rest - 2
    is_restart = there & (positions - before > rest + 1)
    restart = np.maximum.accumulate(np.where(is_restart, positions, -rest), axis=1)
    return np.asarray(there & (positions - restart >= rest))


def _smooth(dense: FloatArray, rules: CausalRules) -> FloatArray:
    """Return trailing means, each from its own sum; NaN where the row's own reading or too many others are missing."""
    there = np.isfinite(dense)
    zeroed = np.where(there, dense, 0.0)
    total, count = zeroed.copy(), there.astype(np.int32)
    # A sum of readings beyond 1e308 is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        for lag in range(1, min(rules.smooth, dense.shape[1])):
            total[:, lag:] += zeroed[:, :-lag]
            count[:, lag:] += there[:, :-lag]
    is_known = there & (count >= required_readings(rules.smooth, WHOLE_SHARE)) & np.isfinite(total)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(is_known, total / count, np.nan)
