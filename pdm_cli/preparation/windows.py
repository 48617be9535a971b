"""Grid, windows, lead time and horizon that fit the step and the span of the telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdm_cli.errors import DataError
from pdm_cli.settings.duration import show_duration
from pdm_cli.settings.field import option_name
from pdm_cli.settings.model import FeaturesParams, LabelsParams
from pdm_cli.text import join_list
from pdm_cli.timestamps import US_PER_HOUR

_US_PER_SECOND = 1_000_000
_US_PER_DAY = 24 * US_PER_HOUR
# Lengths that people use, in microseconds.
_USUAL = (
    *(seconds * _US_PER_SECOND for seconds in (1, 2, 5, 10, 15, 20, 30)),
    *(minutes * 60 * _US_PER_SECOND for minutes in (1, 2, 5, 10, 15, 20, 30)),
    *(hours * US_PER_HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _US_PER_DAY for days in (1, 2, 3, 4, 5, 7, 14, 28)),
)
_LONGEST_GRID = 3 * US_PER_HOUR
_LONGEST_WINDOW = 366 * _US_PER_DAY
_HORIZON = 48 * US_PER_HOUR
# Fewer readings ahead are too few to see a failure coming.
_HORIZON_STEPS = 7
# Each of the two folds before the test, a fifth of the data, takes two horizons.
_HORIZONS = 12
_GRIDS_PER_HORIZON = 16


class WindowsDoNotFit(DataError):
    """Settings do not fit the step of the telemetry; details: ``step_us``, ``span_us``."""


@dataclass(frozen=True)
class Windows:
    """Lengths in microseconds that fit together, and the telemetry."""

    grid_us: int
    windows_us: tuple[int, ...]
    lead_time_us: int
    horizon_us: int

    @property
    def features(self) -> dict[str, str]:
        """Settings of preprocess as a user gives them, by name."""
        return {
            "grid_hours": show_duration(self.grid_us),
            "windows_hours": join_list(map(show_duration, self.windows_us)),
        }

    @property
    def labels(self) -> dict[str, str]:
        """Settings of train as a user gives them, by name."""
        return {
            "lead_time_hours": show_duration(self.lead_time_us),
            "horizon_hours": show_duration(self.horizon_us),
        }


def propose_windows(step_us: int, span_us: int) -> Windows:
    """Return grid, windows, lead time and horizon for telemetry: the defaults where they fit.

    All are multiples of the step. All are at most the span, unless the span is shorter than a step; the horizon is at
    most a twelfth of the span if that is a step or more.

    Parameters
    ----------
    step_us : int
        Time between readings in microseconds.
    span_us : int
        Time from the first to the last reading in microseconds.

    Examples
    --------
    >>> proposal = propose_windows(step_us=24 * US_PER_HOUR, span_us=365 * 24 * US_PER_HOUR)
    >>> proposal.features, proposal.labels
    ({'grid_hours': '1d', 'windows_hours': '1d,3d,7d'}, {'lead_time_hours': '1d', 'horizon_hours': '7d'})
    """
    horizon = _largest(step_us, min(max(_HORIZON, _HORIZON_STEPS * step_us), span_us // _HORIZONS))
    grid = _largest(step_us, min(_LONGEST_GRID, horizon // _GRIDS_PER_HORIZON))
    # A week of days rather than eight.
    multiples = (1, 3, 7) if grid % _US_PER_DAY == 0 else (1, 4, 8)
    longest = min(span_us, _LONGEST_WINDOW)
    windows = tuple(grid * count for count in multiples if count == 1 or grid * count <= longest)
    return Windows(grid, windows, lead_time_us=grid, horizon_us=max(horizon, grid))


def _largest(step_us: int, limit_us: int) -> int:
    """Return the largest usual length up to a limit that is a multiple of the step; at least the step."""
    usual = [length for length in _USUAL if length <= limit_us and length % step_us == 0]
    return usual[-1] if usual else max(limit_us // step_us, 1) * step_us


def find_misfits(step_us: int, features: FeaturesParams) -> list[str]:
    """Return the problems of grid and windows with the step of the telemetry, each beginning with its option.

    Parameters
    ----------
    step_us : int
        Time between readings in microseconds.
    features : FeaturesParams
        ``grid_hours``, ``windows_hours``.
    """
    step_hours = step_us / US_PER_HOUR
    found = []
    if features.grid_hours < step_hours:
        found.append(f"--grid-hours {features.grid_hours:g} is shorter")
    wrong = [hours for hours in dict.fromkeys(features.windows_hours) if not _is_whole(hours, step_hours)]
    if wrong:
        verb = "is not a whole number" if len(wrong) == 1 else "are not whole numbers"
        found.append(f"--windows-hours {_list(wrong)} {verb} of steps")
    return found


def _is_whole(hours: float, step_hours: float) -> bool:
    steps = round(hours / step_hours)
    return steps >= 1 and abs(steps * step_hours - hours) <= 1e-9 * hours


def _list(hours: list[float]) -> str:
    return ",".join(f"{value:g}" for value in hours)


def check_windows(step_us: int, features: FeaturesParams, *, span_us: int = 366 * _US_PER_DAY) -> None:
    """Reject grid and windows that do not fit the step, all in one error.

    Parameters
    ----------
    step_us : int
        Time between readings in microseconds.
    features : FeaturesParams
        ``grid_hours``, ``windows_hours``.
    span_us : int
        Time from the first to the last reading in microseconds, for the values to propose.

    Raises
    ------
    WindowsDoNotFit
        Names all of them; the hint has values that fit.
    """
    if misfits := find_misfits(step_us, features):
        raise _explain(misfits, propose_windows(step_us, span_us).features, step_us, span_us)


def add_labels(error: WindowsDoNotFit, features: FeaturesParams, labels: LabelsParams) -> WindowsDoNotFit:
    """Return an error of :func:`check_windows` that also names lead time and horizon if they do not fit."""
    step_us, span_us = (int(str(error.details[name])) for name in ("step_us", "span_us"))
    proposal = propose_windows(step_us, span_us)
    step_hours, longest = step_us / US_PER_HOUR, span_us / _HORIZONS / US_PER_HOUR
    misfits = find_misfits(step_us, features)
    if 0 < labels.lead_time_hours < step_hours:
        misfits.append(f"--lead-time-hours {labels.lead_time_hours:g} is shorter")
    if labels.horizon_hours < step_hours:
        misfits.append(f"--horizon-hours {labels.horizon_hours:g} is shorter")
    elif labels.horizon_hours > longest:
        span = show_duration(span_us)
        misfits.append(f"--horizon-hours {labels.horizon_hours:g} is too long for telemetry of {span}")
    return _explain(misfits, {**proposal.features, **proposal.labels}, step_us, span_us)


def show_options(values: Mapping[str, str]) -> str:
    """Return settings as options to paste."""
    return " ".join(f"{option_name(key)} {value}" for key, value in values.items())


def _explain(misfits: list[str], values: Mapping[str, str], step_us: int, span_us: int) -> WindowsDoNotFit:
    return WindowsDoNotFit(
        f"telemetry: settings do not fit the step of {show_duration(step_us)}: {'; '.join(misfits)}",
        hint=f"use {show_options(values)}",
        step_us=step_us,
        span_us=span_us,
    )
