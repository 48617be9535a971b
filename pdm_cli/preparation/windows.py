"""Grid, windows, lead time and horizon that fit the step, the span and the failures of a log."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pdm_cli.errors import DataError
from pdm_cli.settings.duration import show_duration, show_length
from pdm_cli.settings.field import Section, option_name
from pdm_cli.settings.model import FeaturesParams, LabelsParams
from pdm_cli.text import join_list
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import current

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", FeaturesParams, LabelsParams)

_US_PER_SECOND = 1_000_000
_US_PER_DAY = 24 * US_PER_HOUR
# Lengths that people use, in microseconds.
_USUAL = (
    *(seconds * _US_PER_SECOND for seconds in (1, 2, 5, 10, 15, 20, 30)),
    *(minutes * 60 * _US_PER_SECOND for minutes in (1, 2, 5, 10, 15, 20, 30)),
    *(hours * US_PER_HOUR for hours in (1, 2, 3, 6, 12, 18, 24, 30, 36, 48)),
    *(days * _US_PER_DAY for days in (3, 4, 5, 7, 14, 28)),
)
_LONGEST_GRID = 3 * US_PER_HOUR
_LONGEST_WINDOW = 366 * _US_PER_DAY
_HORIZON = 48 * US_PER_HOUR
# Fewer readings ahead are too few to see a failure coming.
_HORIZON_STEPS = 7
# Each of the two folds before the test, a fifth of the data, takes two horizons.
_HORIZONS_PER_SPAN = 12
# Before the last sixth of a life, a component is to be seen in normal operation.
_HORIZONS_PER_LIFE = 6
_GRIDS_PER_HORIZON = 16
# Letters of a duration such as 198h.
_SHORT = 4
# From here on, three digits would be too few.
_LARGE = 1000


class WindowsDoNotFit(DataError):
    """Settings do not fit the log; details: ``step_us``, ``span_us``."""


@dataclass(frozen=True)
class Log:
    """Facts about a log that the lengths depend on.

    Attributes
    ----------
    step_us : int
        Time between readings in microseconds.
    span_us : int
        Time from the first to the last reading in microseconds.
    life_us : int, optional
        Median time from a machine's first reading, or the previous failure of the component, to a failure, in
        microseconds; ``None`` without failures.
    is_run_to_failure : bool
        Whether the telemetry of most machines ends with a failure. Such machines are compared by age: the span of the
        log does not matter.
    """

    step_us: int
    span_us: int
    life_us: int | None = None
    is_run_to_failure: bool = False

    def describe_limit(self) -> str:
        """Return the length that limits the horizon: the span of the log, or a typical life."""
        by_life = None if self.life_us is None else self.life_us // _HORIZONS_PER_LIFE
        if self.life_us is None or by_life != self.longest_horizon_us:
            return f"telemetry of {show_roughly(self.span_us)}"
        return f"a typical life of {show_roughly(self.life_us)}"

    @property
    def longest_horizon_us(self) -> int:
        """The longest horizon that leaves enough of the log to train and test on; at least a step."""
        limits = [] if self.is_run_to_failure else [self.span_us // _HORIZONS_PER_SPAN]
        limits += [] if self.life_us is None else [self.life_us // _HORIZONS_PER_LIFE]
        return max(min(limits), self.step_us)

    def describe(self) -> str:
        """Return ``a step of 1d, telemetry of 39d and a typical life of 27d``."""
        facts = [f"a step of {show_length(self.step_us)}"]
        facts += [] if self.is_run_to_failure else [f"telemetry of {show_roughly(self.span_us)}"]
        facts += [] if self.life_us is None else [f"a typical life of {show_roughly(self.life_us)}"]
        return " and ".join(filter(None, [", ".join(facts[:-1]), facts[-1]]))


@dataclass(frozen=True)
class Windows:
    """Lengths in microseconds that fit together, and the log."""

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

    @classmethod
    def of(cls, features: FeaturesParams, labels: LabelsParams) -> Windows:
        """Return the lengths of settings."""
        hours = (features.grid_hours, labels.lead_time_hours, labels.horizon_hours)
        grid, lead, horizon = map(_microseconds, hours)
        return cls(grid, tuple(map(_microseconds, features.windows_hours)), lead, horizon)


# Attribute of :class:`Windows` by the name of the setting.
_LENGTHS = {
    "grid_hours": "grid_us",
    "windows_hours": "windows_us",
    "lead_time_hours": "lead_time_us",
    "horizon_hours": "horizon_us",
}


@dataclass(frozen=True)
class Given:
    """The lengths that the user has set, in microseconds."""

    grid_us: int | None = None
    windows_us: tuple[int, ...] | None = None
    lead_time_us: int | None = None
    horizon_us: int | None = None

    @classmethod
    def of(cls, lengths: Windows, free: Set[str]) -> Given:
        """Return the lengths of all settings but those in ``free``."""
        return cls(**{length: getattr(lengths, length) for name, length in _LENGTHS.items() if name not in free})


def _microseconds(hours: float) -> int:
    return round(hours * US_PER_HOUR)


def show_roughly(microseconds: int) -> str:
    """Return a duration as it is if that is short, else with three digits in the unit of its size."""
    exact = show_length(microseconds)
    if len(exact) <= _SHORT or current().counts_cycles:
        return exact
    for length, unit in ((_US_PER_DAY, "d"), (US_PER_HOUR, "h"), (60 * _US_PER_SECOND, "min")):
        # Two days and 30 hours, rather than 1.25 days.
        if microseconds >= 2 * length:
            size = microseconds / length
            return f"{size:,.0f}{unit}" if size >= _LARGE else f"{size:.3g}{unit}"
    return f"{microseconds / _US_PER_SECOND:.3g}s"


def find_life(failures: pd.DataFrame, spans: pd.DataFrame, step_us: int) -> tuple[int | None, bool]:
    """Return the median life before a failure in microseconds, and whether most machines run until they fail.

    Parameters
    ----------
    failures : DataFrame
        ``machineID, datetime`` and the component, sorted by time.
    spans : DataFrame
        ``first`` and ``last`` reading by machine, in microseconds.
    step_us : int
        Time between readings in microseconds.
    """
    import pandas as pd

    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.preparation.run_to_failure import NEVER_US, RUN_TO_FAILURE_SHARE, find_ending_failures
    from pdm_cli.schema import FAILURES, MACHINE, TIME

    failures = failures[failures[MACHINE].isin(spans.index)]
    if failures.empty:
        return None, False
    span = spans.reindex(failures[MACHINE]).reset_index(drop=True)
    log = failures.assign(at=to_microseconds(failures[TIME])).reset_index(drop=True)
    previous = log.groupby([MACHINE, *(name for name in FAILURES.key if name not in (MACHINE, TIME))])["at"].shift()
    life = log["at"] - previous.fillna(span["first"])
    horizon = propose_windows(step_us, int(spans["last"].max() - spans["first"].min())).horizon_us
    # Not a failure at the first reading, nor one at a time that cannot be right.
    is_seen = (life > 0) & (log["at"] > span["first"]) & (log["at"] <= span["last"] + horizon)
    if not is_seen.any():
        return None, False
    codes, times = spans.index.get_indexer(pd.Index(log.loc[is_seen, MACHINE])), log.loc[is_seen, "at"].to_numpy()
    ended = (find_ending_failures(codes, times, spans["last"].to_numpy(), horizon) < NEVER_US).sum()
    return int(life[is_seen].median()), bool(ended >= RUN_TO_FAILURE_SHARE * len(spans))


def propose_windows(step_us: int, span_us: int) -> Windows:
    """Return grid, windows, lead time and horizon for telemetry without known failures.

    Examples
    --------
    >>> proposal = propose_windows(step_us=24 * US_PER_HOUR, span_us=365 * 24 * US_PER_HOUR)
    >>> proposal.features, proposal.labels
    ({'grid_hours': '1d', 'windows_hours': '1d,3d,7d'}, {'lead_time_hours': '1d', 'horizon_hours': '7d'})
    """
    return propose_for(Log(step_us, span_us))


def propose_for(log: Log, given: Given = Given()) -> Windows:
    """Return grid, windows, lead time and horizon for a log: the defaults where they fit, unless they are given.

    All are multiples of the step. All are at most the span, unless the span is shorter than a step.

    Parameters
    ----------
    log : Log
        Step, span and lives.
    given : Given
        Lengths that the user has set.
    """
    step, horizon, grid = log.step_us, given.horizon_us, given.grid_us
    if horizon is None:
        longest = min(max(_HORIZON, _HORIZON_STEPS * step), log.longest_horizon_us)
        horizon = max(_largest(step, longest), 2 * (given.lead_time_us or 0), grid or 0)
    if grid is None:
        grid = _largest(step, min(_LONGEST_GRID, horizon // _GRIDS_PER_HORIZON))
    windows = given.windows_us or _choose_windows(-(-grid // step) * step, log)
    lead = min(grid, horizon) if given.lead_time_us is None else given.lead_time_us
    return Windows(grid, windows, lead, horizon)


def _choose_windows(grid_us: int, log: Log) -> tuple[int, ...]:
    # A week of days rather than eight.
    multiples = (1, 3, 7) if grid_us % _US_PER_DAY == 0 else (1, 4, 8)
    longest = min(log.span_us, _LONGEST_WINDOW)
    return tuple(grid_us * count for count in multiples if count == 1 or grid_us * count <= longest)


def _largest(step_us: int, limit_us: int) -> int:
    """Return the largest usual length up to a limit that is a multiple of the step; at least the step."""
    usual = [length for length in _USUAL if length <= limit_us and length % step_us == 0]
    return usual[-1] if usual else max(limit_us // step_us, 1) * step_us


def fit_settings(log: Log, features: FeaturesParams, labels: LabelsParams) -> tuple[FeaturesParams, LabelsParams]:
    """Return settings that fit a log: as they are, or with other values for those that the user has not set.

    Parameters
    ----------
    log : Log
        Step, span and lives.
    features, labels
        The settings; values that were set are never replaced.
    """
    sections: tuple[Section, ...] = (features, labels)
    free = {name for section in sections for name in names_to_fit(section) if name not in section.given}
    if not _misfits_of(log, features, labels) & free:
        return features, labels
    found = propose_for(log, Given.of(Windows.of(features, labels), free))
    return _fill_in(features, found), _fill_in(labels, found)


def _fill_in(section: T, found: Windows) -> T:
    """Return a section with the lengths found for the settings that the user has not set."""
    names = [name for name in names_to_fit(section) if name not in section.given]
    values: dict[str, Any] = {name: _hours(getattr(found, _LENGTHS[name])) for name in names}
    filled = replace(section, **values)
    filled.note_given(section.given)
    return filled


def names_to_fit(section: Section) -> list[str]:
    """Return the settings of a section that depend on the log."""
    return [item.name for item in fields(section) if item.metadata["fits_data"]]


def _hours(length: int | tuple[int, ...]) -> float | tuple[float, ...]:
    return tuple(one / US_PER_HOUR for one in length) if isinstance(length, tuple) else length / US_PER_HOUR


def _misfits_of(log: Log, features: FeaturesParams, labels: LabelsParams) -> set[str]:
    """Return the settings that do not fit a log."""
    step_hours, longest = log.step_us / US_PER_HOUR, log.longest_horizon_us / US_PER_HOUR
    found = {
        "grid_hours": features.grid_hours < step_hours,
        "windows_hours": not all(_is_whole(hours, step_hours) for hours in features.windows_hours),
        "lead_time_hours": 0 < labels.lead_time_hours < step_hours,
        "horizon_hours": not step_hours <= labels.horizon_hours <= longest,
    }
    return {name for name, is_misfit in found.items() if is_misfit}


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
        found.append(f"--grid-hours {_show(features.grid_hours)} is shorter than the step")
    wrong = [hours for hours in dict.fromkeys(features.windows_hours) if not _is_whole(hours, step_hours)]
    if wrong:
        verb = "is not a whole number" if len(wrong) == 1 else "are not whole numbers"
        found.append(f"--windows-hours {_list(wrong)} {verb} of steps")
    return found


def _is_whole(hours: float, step_hours: float) -> bool:
    steps = round(hours / step_hours)
    return steps >= 1 and abs(steps * step_hours - hours) <= 1e-9 * hours


def _list(hours: list[float]) -> str:
    return ",".join(map(_show, hours))


def _show(hours: float) -> str:
    return show_duration(_microseconds(hours))


def check_windows(step_us: int, features: FeaturesParams, *, span_us: int = 366 * _US_PER_DAY) -> None:
    """Reject grid and windows that do not fit the step, both in one error.

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
        Names both; the hint has values that fit, and keeps those that the user has set if they do.
    """
    if misfits := find_misfits(step_us, features):
        proposal = _keep_fitting(Log(step_us, span_us), features, LabelsParams())
        raise _explain(misfits, proposal.features, step_us, span_us)


def check_settings(log: Log, features: FeaturesParams, labels: LabelsParams) -> None:
    """Reject grid, windows and a horizon that do not fit the step; the error also names a lead time that does not.

    Parameters
    ----------
    log : Log
        Step, span and lives.
    features, labels
        The settings.

    Raises
    ------
    WindowsDoNotFit
        Names all of them; the hint has values that fit, and keeps those that the user has set if they do.
    """
    step_hours, longest = log.step_us / US_PER_HOUR, log.longest_horizon_us / US_PER_HOUR
    misfits = find_misfits(log.step_us, features)
    is_wrong = bool(misfits) or labels.horizon_hours < step_hours
    if 0 < labels.lead_time_hours < step_hours:
        misfits.append(f"--lead-time-hours {_show(labels.lead_time_hours)} is shorter than the step")
    if labels.horizon_hours < step_hours:
        misfits.append(f"--horizon-hours {_show(labels.horizon_hours)} is shorter than the step")
    elif labels.horizon_hours > longest:
        misfits.append(f"--horizon-hours {_show(labels.horizon_hours)} is too long for {log.describe_limit()}")
    if is_wrong:
        proposal = _keep_fitting(log, features, labels)
        raise _explain(misfits, {**proposal.features, **proposal.labels}, log.step_us, log.span_us)


def _keep_fitting(log: Log, features: FeaturesParams, labels: LabelsParams) -> Windows:
    """Return lengths that fit a log, with the values that the user has set where they do."""
    kept = (features.given | labels.given) - _misfits_of(log, features, labels)
    return propose_for(log, Given.of(Windows.of(features, labels), _LENGTHS.keys() - kept))


def show_options(values: Mapping[str, str]) -> str:
    """Return settings as options to paste."""
    return " ".join(f"{option_name(key)} {value}" for key, value in values.items())


def _explain(misfits: list[str], values: Mapping[str, str], step_us: int, span_us: int) -> WindowsDoNotFit:
    return WindowsDoNotFit(
        f"telemetry: settings do not fit the step of {show_length(step_us)}: {'; '.join(misfits)}",
        hint=f"use {show_options(values)}",
        step_us=step_us,
        span_us=span_us,
    )
