"""Window sizes of anomaly detection: smoothing, season, trailing window and pieces, in telemetry steps."""

from __future__ import annotations

from dataclasses import dataclass

from pdm_cli.errors import DataError, UsageError
from pdm_cli.settings.model import DetectParams
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import show_days, show_hours

_US_PER_DAY = 24 * US_PER_HOUR

# Default window: four weeks, or enough of a longer season to separate it from noise.
_DAYS, _SEASONS = 28, 12
# Fewer seasons show no pattern, and fewer readings give no reliable spread.
_FEWEST_SEASONS, _FEWEST_READINGS = 3, 24
# Upper bound of the setting.
_MOST_DAYS = 366


@dataclass(frozen=True)
class DetectWindows:
    """Window sizes in telemetry steps.

    Attributes
    ----------
    step_us : int
        The step in microseconds.
    smooth : int
        Readings per smoothing window; 1: no smoothing.
    period : int
        The season; 0: none.
    window : int
        The trailing window; 0 in batch mode.
    settle : int
        Readings skipped after a longer gap; 0 in batch mode.
    piece : int
        Length of the pieces of batch mode; 0: the whole series at once.
    """

    step_us: int
    smooth: int
    period: int
    window: int = 0
    settle: int = 0
    piece: int = 0

    @property
    def smooth_hours(self) -> float:
        """Hours of smoothing; 0: none."""
        return self.hours(self.smooth) if self.smooth > 1 else 0.0

    @property
    def period_hours(self) -> float:
        """Hours of the season; 0: none."""
        return self.hours(self.period)

    @property
    def window_days(self) -> float:
        """Days of the trailing window; 0 in batch mode."""
        return self.hours(self.window) / 24

    @property
    def reach(self) -> int:
        """Steps after a gap for which readings are not tested."""
        return max(self.smooth, self.settle)

    def hours(self, steps: int) -> float:
        """Return a number of steps in hours."""
        return steps * self.step_us / US_PER_HOUR


def choose_windows(step_us: int, params: DetectParams) -> DetectWindows:
    """Return the window sizes for telemetry with the given step.

    Parameters
    ----------
    step_us : int
        Time between readings in microseconds.
    params : DetectParams
        Settings; defaults follow from the step.

    Raises
    ------
    DataError
        If the season is not two or more whole steps, batch mode finds none, or the window is too short.
    UsageError
        If the pieces of batch mode are not longer than two seasons.
    """
    smooth = max(1, round(params.smooth * US_PER_HOUR / step_us))
    period = _period(step_us, params)
    if params.mode == "causal":
        settle = round(params.settle_hours * US_PER_HOUR / step_us)
        return DetectWindows(step_us, smooth, period, window=_window(step_us, period, params), settle=settle)
    if not period:
        raise DataError(
            f"telemetry: neither a day nor a week is two or more whole steps of {show_hours(step_us / US_PER_HOUR)}",
            hint="set the season (two or more steps) with --period-hours, or use --mode causal",
        )
    return DetectWindows(step_us, smooth, period, piece=_piece(step_us, period, params))


def _period(step_us: int, params: DetectParams) -> int:
    """Return the season in steps: as set, or a day, or a week where a day has fewer than two steps; 0 for none."""
    if params.period_hours is None:
        return _usual_period(step_us)
    steps = params.period_hours * US_PER_HOUR / step_us
    if round(steps) < 2 or abs(round(steps) - steps) > 1e-9 * steps:
        raise DataError(
            f"telemetry: a period of {show_hours(params.period_hours)} is not two or more whole steps of "
            f"{show_hours(step_us / US_PER_HOUR)}",
            hint="set --period-hours to a multiple of the telemetry step",
        )
    return round(steps)


def _usual_period(step_us: int) -> int:
    """Return a day in steps, or a week, whichever is first two or more whole steps; 0 if neither is.

    A season of nearly a day drifts against the true one: within weeks it would average morning with evening.
    """
    for season in (_US_PER_DAY, 7 * _US_PER_DAY):
        if season % step_us == 0 and season > step_us:
            return season // step_us
    return 0


def _window(step_us: int, period: int, params: DetectParams) -> int:
    days = params.window_days
    if days is None:
        days = max(_DAYS, _SEASONS * period * step_us / _US_PER_DAY)
        # Without a season, as with a reading per week.
        fewest = _FEWEST_READINGS * step_us / _US_PER_DAY
        days = max(days, fewest) if fewest <= _MOST_DAYS else days
    steps, least = days * _US_PER_DAY / step_us, max(_FEWEST_READINGS, _FEWEST_SEASONS * period)
    if steps < least * (1 - 1e-9):
        readings = f"{int(steps)} readings; at least {_FEWEST_READINGS} are needed"
        seasons = f"less than {_FEWEST_SEASONS} seasons of {show_hours(period * step_us / US_PER_HOUR)}"
        least_days = least * step_us / _US_PER_DAY
        raise DataError(
            f"telemetry: a window of {show_days(days)} has {readings if least == _FEWEST_READINGS else seasons}",
            hint=f"--window-days {least_days:g} or more"
            if least_days <= _MOST_DAYS
            else "--mode batch uses the whole series",
        )
    # Whole seasons, so that every phase has the same number of readings.
    unit = period or 1
    return unit * max(1, round(steps / unit))


def _piece(step_us: int, period: int, params: DetectParams) -> int:
    steps = round(params.longterm_days * _US_PER_DAY / step_us)
    if 0 < steps <= 2 * period:
        raise UsageError(
            f"--longterm-days {params.longterm_days:g}: a piece must be longer than two periods",
            hint=f"--longterm-days must be more than {2 * period * step_us / _US_PER_DAY:g}",
        )
    return steps
