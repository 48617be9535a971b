from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.features.maintenance_cycle import VisitCycle, find_visit_cycle, hours_from_error_to_visit
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, instants_of, log_frame

Rows = list[tuple[Any, float]]
Visits = list[tuple[Any, float]]
DAY = 24
SPAN_HOURS = 150 * DAY
EPOCH_HOURS = EPOCH_US // HOUR_US


def cycle_of(rows: Rows, visits: Visits) -> VisitCycle:
    return find_visit_cycle(log_frame([Event(machine, hour, "x") for machine, hour in visits]), instants_of(rows))


def values_of(cycle: VisitCycle) -> list[tuple[float, float, float]]:
    return list(zip(*(c.tolist() for c in (cycle.period_hours, cycle.phase, cycle.hours_to_next)), strict=True))


def slow_base_period(intervals: list[float], share: float) -> float:
    if len(intervals) < 3:
        return math.nan
    by_count = sorted(Counter(map(round, intervals)).items(), key=lambda item: (-item[1], -item[0]))
    candidates = sorted((unit / j for unit, _ in by_count[:8] for j in (1, 2, 3)), reverse=True)
    for candidate in candidates:
        fitting = []
        for interval in intervals:
            k = round(interval / candidate)
            if k >= 1 and abs(interval / candidate - k) <= 0.03:
                fitting.append(interval / k)
        if len(fitting) / len(intervals) >= share:
            return statistics.median(fitting)
    return math.nan


def slow_intervals(visits: Visits, machine: Any, now: float) -> list[tuple[float, float]]:
    """End and length of the machine's intervals known by now."""
    hours = sorted({hour for m, hour in visits if m == machine and hour <= now})
    return [(b, b - a) for a, b in pairwise(hours) if b - a >= 12]


def slow_cycle(rows: Rows, visits: Visits) -> list[tuple[float, float, float]]:
    found = []
    for machine, now in rows:
        own = [length for _, length in slow_intervals(visits, machine, now)]
        period = slow_base_period(own[-8:], 0.75)
        if math.isnan(period):
            refresh = (EPOCH_HOURS + now) // (7 * DAY) * (7 * DAY) - EPOCH_HOURS
            pooled = [(end, m, d) for m in {m for m, _ in visits} for end, d in slow_intervals(visits, m, refresh)]
            period = slow_base_period([length for _, _, length in sorted(pooled)][-2000:], 0.6)
        last = max((hour for m, hour in visits if m == machine and hour <= now), default=math.nan)
        gone_by = (now - last) % period
        found.append((period, gone_by / period, period - gone_by))
    return found


def half_hours(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(round(low * 2), round(high * 2)).map(lambda n: n / 2)


@st.composite
def machine_visits(draw: st.DrawFn) -> list[float]:
    """Visits on a grid with points skipped, some a little off it, and some that do not belong there."""
    period = draw(st.sampled_from([36.0, 7.0 * DAY, 100.5, 15.0 * DAY]))
    fewest = draw(st.sampled_from([0, 2, 3, 9]))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 3, 4]), min_size=fewest, max_size=11))
    start = draw(half_hours(-120 * DAY, 30 * DAY))
    jitter = draw(st.sampled_from([(0.0,), (0.0, 0.5, -0.5), (0.0, 3.0, -10.0)]))
    on_grid = [start + period * k + draw(st.sampled_from(jitter)) for k in np.cumsum(steps).tolist()]
    return on_grid + draw(st.lists(half_hours(-60 * DAY, SPAN_HOURS), max_size=2))


@st.composite
def rows_and_visits(draw: st.DrawFn) -> tuple[Rows, Visits]:
    """Rows of a fleet at any time, at visits and at weekly refreshes; a machine without rows may have visits."""
    fleet: Sequence[Any] = draw(st.sampled_from([(1, 2, 10), (7,), ("a", "B", "10")]))
    stranger: Any = "stranger" if isinstance(fleet[0], str) else 99
    visits = [(machine, hour) for machine in (*fleet, stranger) for hour in draw(machine_visits())]
    refreshes = st.integers(0, 20).map(lambda week: float(week * 7 * DAY + (-EPOCH_HOURS) % (7 * DAY)))
    hours = half_hours(-30 * DAY, SPAN_HOURS) | half_hours(SPAN_HOURS / 2, SPAN_HOURS) | refreshes
    rows = draw(st.lists(st.tuples(st.sampled_from(fleet), hours), min_size=3, max_size=15, unique=True))
    at_visits = [visit for visit in visits if visit[0] != stranger and draw(st.integers(0, 4)) == 0]
    repeated = draw(st.lists(st.sampled_from(visits), max_size=3)) if visits else []
    return sorted({*rows, *at_visits}, key=str), draw(st.permutations(visits + repeated))


@pytest.mark.slow
@given(rows_and_visits())
def test_the_cycle_equals_plain_loops(case: tuple[Rows, Visits]) -> None:
    rows, visits = case
    assert_array_equal(values_of(cycle_of(rows, visits)), slow_cycle(rows, visits))


@pytest.mark.slow
@given(rows_and_visits(), half_hours(0, SPAN_HOURS))
@example(([(1, 50.0 * DAY)], [(2, 10.0 * DAY * k) for k in range(9)]), 50.0 * DAY)
def test_cutting_the_future_off_changes_no_past_value(case: tuple[Rows, Visits], now: float) -> None:
    rows, visits = case
    past = [row for row in rows if row[1] <= now]
    if not past:
        return
    whole = dict(zip(rows, values_of(cycle_of(rows, visits)), strict=True))
    cut = values_of(cycle_of(past, [visit for visit in visits if visit[1] <= now]))
    assert_array_equal(cut, [whole[row] for row in past])


@pytest.mark.slow
@given(rows_and_visits())
def test_a_period_of_its_own_depends_on_no_other_machine(case: tuple[Rows, Visits]) -> None:
    rows, visits = case
    together = dict(zip(rows, values_of(cycle_of(rows, visits)), strict=True))
    for machine in {machine for machine, _ in rows}:
        own_rows = [row for row in rows if row[0] == machine]
        own_visits = [visit for visit in visits if visit[0] == machine]
        for row, alone in zip(own_rows, values_of(cycle_of(own_rows, own_visits)), strict=True):
            own = [length for _, length in slow_intervals(own_visits, machine, row[1])]
            if not math.isnan(slow_base_period(own[-8:], 0.75)):
                assert_array_equal(together[row], alone)


@pytest.mark.slow
@given(rows_and_visits())
def test_phase_and_hours_to_next_keep_their_ranges(case: tuple[Rows, Visits]) -> None:
    cycle = cycle_of(*case)
    known = ~np.isnan(cycle.phase)
    assert_array_equal(known, ~np.isnan(cycle.hours_to_next))
    assert ((cycle.phase[known] >= 0) & (cycle.phase[known] < 1)).all()
    hours = cycle.hours_to_next[known]
    assert ((hours > 0) & (hours <= cycle.period_hours[known])).all()


def test_a_grid_with_points_skipped_has_the_period_of_the_grid() -> None:
    visits = [(1, 360.0 * k) for k in (0, 1, 3, 4, 7, 9)]
    assert values_of(cycle_of([(1, 9 * 360.0 + 90)], visits)) == [(360.0, 0.25, 270.0)]


def test_every_interval_skipping_a_point_is_seen_through() -> None:
    # 720, 1080, 720, 1080: no interval is the period itself; a half and a third are.
    visits = [(1, 360.0 * k) for k in (0, 2, 5, 7, 10)]
    assert cycle_of([(1, 3700.0)], visits).period_hours.tolist() == [360.0]


def test_the_largest_period_that_fits_is_taken() -> None:
    assert cycle_of([(1, 2000.0)], [(1, 480.0 * k) for k in range(4)]).period_hours.tolist() == [480.0]


def test_the_period_is_the_median_of_what_fits() -> None:
    # Intervals 100, 102, 98 and 201: with T = 102 only 100 and 102 and 201 fit, and are 100, 102 and 100.5 a period.
    visits = [(1, float(hour)) for hour in (0, 100, 202, 300, 501)]
    assert cycle_of([(1, 501.0)], visits).period_hours.tolist() == [100.5]


def test_at_a_visit_the_phase_is_zero_and_the_next_is_a_whole_period_away() -> None:
    visits = [(1, 360.0 * k) for k in range(5)]
    assert values_of(cycle_of([(1, 4 * 360.0)], visits)) == [(360.0, 0.0, 360.0)]


def test_where_a_visit_is_skipped_the_next_grid_point_is_expected() -> None:
    visits = [(1, 360.0 * k) for k in range(5)]
    assert values_of(cycle_of([(1, 6 * 360.0 - 24)], visits)) == [(360.0, 336 / 360, 24.0)]


def test_a_visit_a_microsecond_after_t_is_not_known() -> None:
    visits = [(1, 100.0 * k) for k in range(3)]
    rows: Rows = [(1, 300.0)]
    assert math.isnan(cycle_of(rows, [*visits, (1, 300 + 1 / HOUR_US)]).period_hours[0])
    assert cycle_of(rows, [*visits, (1, 300.0)]).period_hours.tolist() == [100.0]


def test_work_of_one_day_is_no_interval() -> None:
    visits = [(1, 240.0 * k) for k in range(4)] + [(1, 240.0 * k + 2) for k in range(4)]
    # Between the days lie 238 h.
    assert cycle_of([(1, 800.0)], visits).period_hours.tolist() == [238.0]


def test_a_change_of_period_is_followed_after_eight_intervals() -> None:
    old = [240.0 * k for k in range(10)]
    visits = [(1, hour) for hour in [*old, *(old[-1] + 70.0 * k for k in range(1, 9))]]
    assert cycle_of([(1, old[-1]), (1, old[-1] + 560)], visits).period_hours.tolist() == [240.0, 70.0]


def test_an_interval_has_half_a_day_or_more() -> None:
    twelve, less = ([(1, hours * k) for k in range(4)] for hours in (12.0, 11.5))
    assert cycle_of([(1, 50.0)], twelve).period_hours.tolist() == [12.0]
    assert np.isnan(cycle_of([(1, 50.0)], less).period_hours).all()


def test_the_fleet_stands_in_from_the_start_of_the_week() -> None:
    # Weeks begin at 0, 168 and 336 h, as 2015 began on a Thursday like 1970. The third interval ends at 336 h.
    fleet: Visits = [(1, 136.0), (1, 236.0), (1, 336.0), (2, 136.0), (2, 236.0)]
    rows: Rows = [(2, 335.5), (1, 336.0), (2, 346.0), (3, 346.0)]
    nowhere = (math.nan,) * 3
    expected = [nowhere, (100.0, 0.0, 100.0), (100.0, 0.1, 90.0), (100.0, math.nan, math.nan)]
    assert_array_equal(values_of(cycle_of(rows, fleet)), expected)


def test_the_fleet_is_its_latest_2000_intervals() -> None:
    # Long intervals, then 1,200 of 100 h, which are just the share needed of 2,000, until one more of the 800 others.
    intervals = [240.0] * 999 + [100.0] * 1200 + [240.0] * 801
    fleet = [(2, hour) for hour in np.cumsum(intervals).tolist()]
    rows: Rows = [(1, fleet[-1][1] + 7 * DAY)]
    assert cycle_of(rows, fleet[:-1]).period_hours.tolist() == [100.0]
    assert np.isnan(cycle_of(rows, fleet).period_hours).all()


@pytest.mark.parametrize("machines", [(1, 2), ("a", "b")])
def test_without_any_visit_all_is_missing(machines: tuple[Any, ...]) -> None:
    assert np.isnan(values_of(cycle_of([(machine, 10.0) for machine in machines], []))).all()


def test_entries_of_one_time_are_one_visit() -> None:
    visits = [(1, 360.0 * k) for k in range(4)]
    assert values_of(cycle_of([(1, 1090.0)], visits * 3)) == values_of(cycle_of([(1, 1090.0)], visits))


def test_irregular_visits_have_no_period() -> None:
    visits = [(1, float(hour)) for hour in (0, 101, 148, 401, 475, 800, 1217)]
    assert np.isnan(values_of(cycle_of([(1, 3000.0)], visits))).all()


def test_hours_from_the_error_to_the_visit_are_those_of_recent_errors() -> None:
    since = np.array([0.0, 72.0, 72.5, np.nan, 3.0])
    to_next = np.array([24.0, 1.0, 1.0, 5.0, np.nan])
    assert_array_equal(hours_from_error_to_visit(since, to_next), [24.0, 73.0, np.nan, np.nan, np.nan])
    assert_array_equal(hours_from_error_to_visit(since, to_next, longest_hours=10), [24.0] + [np.nan] * 4)
