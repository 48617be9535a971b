"""The maintenance cycle: the base period of a machine's visits, and the position of each instant in it.

Planned visits follow a grid of which some points are skipped, so the hours between two visits are a whole number of
base periods. The period is estimated afresh after each visit, from the visits known by then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import EventLog, Instants
from pdm_cli.preparation.cleaning import same_machine_as_above, to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Visits closer together than this are parts of one job; several entries of one time are one visit.
_SHORTEST_HOURS = 12.0
_FEWEST_INTERVALS = 3
# Largest deviation of an interval from a whole number of periods, in periods.
_TOLERANCE = 0.03
# Candidates are the most common intervals and these fractions of them, as an interval may skip a grid point.
_MOST_COMMON = 8
_DIVISORS = (1, 2, 3)
# The machine's own latest intervals, and the share of them that must fit. There are no more of them than candidates,
# so each interval is tried.
_OWN_INTERVALS = _MOST_COMMON
_OWN_SHARE = 0.75
# The same for the intervals of all machines, bounded so that the cost does not grow with the log.
_FLEET_INTERVALS = 2000
_FLEET_SHARE = 0.6
_REFRESH_US = 7 * 24 * US_PER_HOUR


@dataclass(frozen=True)
class VisitCycle:
    """Position of each of m instants in the cycle of visits.

    Attributes
    ----------
    period_hours : (m,) array
        Base period of the machine's visits, or else of the fleet's; NaN where neither is known.
    phase : (m,) array
        Elapsed share of the period since the latest grid point, in [0, 1); NaN also before the machine's first visit.
    hours_to_next : (m,) array
        Hours to the next grid point, in (0, period]; NaN where the phase is.
    """

    period_hours: FloatArray
    phase: FloatArray
    hours_to_next: FloatArray


def find_visit_cycle(maint: pd.DataFrame, instants: Instants) -> VisitCycle:
    """Estimate the base period of visits as known at each instant, and the position of the instant in it.

    The visits of a machine are the distinct times of its maintenance up to t. Candidates of the period are the most
    common intervals, in whole hours, and their halves and thirds, in descending order. The first T for which enough
    intervals are within 3 % of T from a multiple kT is refined to the median of interval / k. Where a machine's latest
    intervals have no period, those of all machines that ended by the latest week are used.

    Parameters
    ----------
    maint : DataFrame
        ``machineID`` and ``datetime`` of any maintenance, in any order; machines without instants count for the fleet.
    instants : Instants
        The m machines and times.
    """
    visits = maint[[MACHINE, TIME]].sort_values([MACHINE, TIME])
    intervals = _Intervals.between(visits)
    log = EventLog(visits, instants.machines)
    period = log.latest(instants, _own_periods(intervals))
    unknown = np.isnan(period)
    period[unknown] = _fleet_periods(intervals, instants.times[unknown])
    elapsed = np.mod(log.last_until(instants), period)
    return VisitCycle(period, elapsed / period, period - elapsed)


def hours_from_error_to_visit(
    hours_since_error: FloatArray, hours_to_next: FloatArray, *, longest_hours: float = 72
) -> FloatArray:
    """Return how long before the next expected visit the latest error occurred, shape (m,).

    NaN where the error is longer ago than ``longest_hours`` or either is unknown.

    Examples
    --------
    >>> hours_from_error_to_visit(np.array([6.0, 73.0]), np.array([20.0, 20.0])).tolist()
    [26.0, nan]
    """
    return np.where(hours_since_error <= longest_hours, hours_since_error + hours_to_next, np.nan)


@dataclass(frozen=True)
class _Intervals:
    """The i sufficiently long intervals between consecutive visits of a machine, by machine, then time.

    Attributes
    ----------
    hours : (i,) array
        Lengths.
    ends : (i,) int array
        Microseconds since 1970 at which each ended.
    first, until : (v,) int arrays
        The intervals of a visit's machine up to it are those from ``first`` to just before ``until``.
    """

    hours: FloatArray
    ends: IntArray
    first: IntArray
    until: IntArray

    @classmethod
    def between(cls, visits: pd.DataFrame) -> _Intervals:
        """Return the intervals between visits, sorted by machine, then time."""
        times = to_microseconds(visits[TIME])
        same_machine = same_machine_as_above(visits)
        hours = np.diff(times, prepend=times[:1]) / US_PER_HOUR
        counts = same_machine & (hours >= _SHORTEST_HOURS)
        until = np.cumsum(counts, dtype=np.int64)
        # The first visit of a machine ends no interval, so the count up to it belongs to other machines.
        machine = np.cumsum(~same_machine) - 1
        return cls(hours[counts], times[counts], until[~same_machine][machine], until)


def _own_periods(intervals: _Intervals) -> FloatArray:
    """Return the period from the machine's own latest intervals as known at each visit, shape (v,)."""
    latest = intervals.until[:, None] - np.arange(1, _OWN_INTERVALS + 1)
    hours = np.full(latest.shape, np.nan)
    there = latest >= intervals.first[:, None]
    hours[there] = intervals.hours[latest[there]]
    return _base_periods(hours, np.rint(hours), share=_OWN_SHARE)


def _fleet_periods(intervals: _Intervals, times: IntArray) -> FloatArray:
    """Return the period from all machines' intervals as known at the start of the week of each time, shape (m,)."""
    # Intervals with the same end stay in the order of the machines.
    order = np.argsort(intervals.ends, kind="stable")
    hours, ends = intervals.hours[order], intervals.ends[order]
    known = np.searchsorted(ends, times // _REFRESH_US * _REFRESH_US, side="right")
    # Weeks in which no interval ended share one estimate.
    distinct, weeks = np.unique(known, return_inverse=True)
    periods = np.empty(len(distinct))
    for week, until in enumerate(distinct):
        pooled = hours[max(0, until - _FLEET_INTERVALS) : until]
        whole, counts = np.unique(np.rint(pooled), return_counts=True)
        most_common = whole[np.lexsort((-whole, -counts))[:_MOST_COMMON]]
        periods[week] = _base_periods(pooled[None], most_common[None], share=_FLEET_SHARE)[0]
    return periods[weeks]


def _base_periods(hours: FloatArray, units: FloatArray, *, share: float) -> FloatArray:
    """Return the base period of each row of intervals; NaN with too few intervals or no fitting candidate.

    ``hours`` (n, w) are the intervals and ``units`` (n, c) the intervals in whole hours that give the candidates, NaN
    where a row has fewer; at least ``share`` of a row's intervals must fit.
    """
    candidates = -np.sort(-np.hstack([units / divisor for divisor in _DIVISORS]), axis=1)
    there = np.count_nonzero(~np.isnan(hours), axis=1)
    periods = np.full(len(hours), np.nan)
    rows = np.flatnonzero(there >= _FEWEST_INTERVALS)
    # One candidate at a time for all rows without a period yet, so memory stays that of the intervals.
    for candidate in candidates.T:
        ratio = hours[rows] / candidate[rows, None]
        multiple = np.rint(ratio)
        fits = (np.abs(ratio - multiple) <= _TOLERANCE) & (multiple >= 1)
        found = fits.sum(axis=1) / there[rows] >= share
        bases = np.where(fits[found], hours[rows[found]] / np.maximum(multiple[found], 1), np.nan)
        periods[rows[found]] = _median(bases)
        rows = rows[~found]
    return periods


def _median(values: FloatArray) -> FloatArray:
    """Return the median of each row's values, ignoring NaN; each row has at least one."""
    ranked = np.sort(values, axis=1)
    count = np.count_nonzero(~np.isnan(values), axis=1)
    rows = np.arange(len(values))
    median: FloatArray = (ranked[rows, (count - 1) // 2] + ranked[rows, count // 2]) / 2
    return median
