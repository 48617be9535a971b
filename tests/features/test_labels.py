from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.features.labels import FollowUp, follow_up, label_failures, last_readings
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.settings.model import LabelsParams
from tests.builders.alerts import us
from tests.builders.fleets import HOUR_US, Event, instants_of, log_frame, rows_and_log, rows_frame, running, stamps

Rows = list[tuple[Any, float]]
FAR = 10_000.0


def label(
    rows: Rows,
    events: list[Event],
    components: list[str],
    *,
    ends: dict[Any, float] | None = None,
    params: LabelsParams | None = None,
) -> np.ndarray:
    """Label rows of machines that run until their end."""
    instants = instants_of(rows)
    known = running([us((ends or {}).get(machine, FAR)) for machine in instants.machines])
    return label_failures(
        instants, log_frame(events, "failure"), components, known=known, params=params or LabelsParams()
    )


def slow_label(
    row: tuple[Any, float], events: list[Event], component: str, ends: dict[Any, float], params: LabelsParams
) -> float:
    machine, hour = row
    if hour + params.horizon_hours > ends[machine]:
        return math.nan
    for event in events:
        if event.machine == machine and event.kind == component:
            ahead = event.hour - hour
            if ahead > 0 and params.lead_time_hours <= ahead <= params.horizon_hours:
                return 1.0
    return 0.0


@pytest.mark.slow
@given(
    case=rows_and_log(kinds=("comp1", "comp2", "comp3"), most_events=15),
    lead_and_horizon=st.sampled_from([(3.0, 48.0), (0.0, 24.0), (0.5, 1.5), (6.0, 6.0)]),
    data=st.data(),
)
def test_labels_equal_brute_force(
    case: tuple[Rows, list[Event]], lead_and_horizon: tuple[float, float], data: st.DataObject
) -> None:
    rows, events = case
    params = LabelsParams(*lead_and_horizon)
    components = ["comp2", "comp1", "never"]
    # Telemetry may end later than the last row of the feature grid.
    ends = {machine: max(h for m, h in rows if m == machine) for machine, _ in rows}
    ends = {machine: hour + data.draw(st.integers(0, 120)) / 2 for machine, hour in ends.items()}
    expected = [[slow_label(row, events, name, ends, params) for name in components] for row in rows]
    assert_array_equal(label(rows, events, components, ends=ends, params=params), expected)


@pytest.mark.parametrize(
    ("hours_ahead", "expected"),
    [(0, 0), (2.5, 0), (3 - 1 / HOUR_US, 0), (3, 1), (20, 1), (48, 1), (48 + 1 / HOUR_US, 0), (49, 0), (-1, 0)],
)
def test_both_ends_of_the_label_span_belong_to_it(hours_ahead: float, expected: int) -> None:
    assert label([(1, 100)], [Event(1, 100 + hours_ahead, "comp1")], ["comp1"]).tolist() == [[expected]]


@pytest.mark.parametrize(("hours_ahead", "expected"), [(-1 / HOUR_US, 0), (0, 0), (1 / HOUR_US, 1), (24, 1)])
def test_without_a_lead_time_a_failure_that_features_know_of_is_no_label(hours_ahead: float, expected: int) -> None:
    found = label([(1, 100)], [Event(1, 100 + hours_ahead, "comp1")], ["comp1"], params=LabelsParams(0.0, 24.0))
    assert found.tolist() == [[expected]]


@pytest.mark.parametrize(("end", "is_known"), [(148, True), (147.5, False), (100, False), (500, True)])
def test_rows_are_unlabelled_where_the_span_runs_past_the_machines_last_telemetry(end: float, is_known: bool) -> None:
    found = label([(1, 100), (2, 100)], [], ["comp1", "comp2"], ends={1: end})
    assert np.isnan(found[0]).tolist() == [not is_known] * 2
    assert found[1].tolist() == [0.0, 0.0]


def test_a_failure_already_seen_does_not_label_a_row_whose_span_is_cut_short() -> None:
    assert np.isnan(label([(1, 100)], [Event(1, 110, "comp1")], ["comp1"], ends={1: 120})).all()


def test_a_failure_too_near_does_not_hide_a_later_one_in_the_span() -> None:
    assert label([(1, 100)], [Event(1, 101, "comp1"), Event(1, 140, "comp1")], ["comp1"]).tolist() == [[1.0]]


def test_simultaneous_failures_label_each_component() -> None:
    events = [Event(1, 110, "comp1"), Event(1, 110, "comp2"), Event(1, 110, "comp1")]
    assert label([(1, 100)], events, ["comp1", "comp2", "comp3"]).tolist() == [[1.0, 1.0, 0.0]]


def test_columns_stand_in_the_order_of_the_components_asked_for() -> None:
    events = [Event("a", 110, "z")]
    assert label([("a", 100)], events, ["z", "a"]).tolist() == [[1.0, 0.0]]
    assert label([("a", 100)], events, ["a", "z"]).tolist() == [[0.0, 1.0]]


def test_a_failure_of_another_machine_labels_nothing() -> None:
    assert label([(1, 100), (3, 100)], [Event(2, 110, "comp1")], ["comp1"]).tolist() == [[0.0], [0.0]]


def test_last_readings_are_per_machine_and_ignore_rows_without_any() -> None:
    telemetry = rows_frame([("a", 1), ("a", 9), ("b", 2), ("b", 5), ("c", 3)])
    at = {hour: stamps([hour])[0] for hour in (3, 5, 9, 2)}
    assert last_readings(telemetry.assign(volt=1.0)).to_dict() == {"a": at[9], "b": at[5], "c": at[3]}
    telemetry[["volt", "rotate"]] = [[1, np.nan], [np.nan, 1], [np.nan, 1], [np.nan, np.nan], [np.nan, np.nan]]
    assert last_readings(telemetry).to_dict() == {"a": at[9], "b": at[2], "c": at[3]}


# Machines that end with their failure. Hours since the epoch; horizon 48 h, lead time 3 h.

ROWS_BEFORE = [(1, hour) for hour in (40, 51, 52, 97, 98, 100)]


def known_of(ends: dict[int, float], events: list[Event], params: LabelsParams | None = None) -> FollowUp:
    series = pd.Series(stamps(list(ends.values())).to_numpy(), index=list(ends))
    return follow_up(series, log_frame(events, "failure"), pd.Index(ends), params=params or LabelsParams())


def label_known(rows: Rows, ends: dict[int, float], events: list[Event]) -> list[float]:
    """Label rows with the follow-up found in the telemetry and the failures."""
    machines = pd.Index(ends)
    instants = instants_of(rows)
    codes = machines.get_indexer(instants.machines[instants.codes]).astype(np.int64)
    return label_failures(
        type(instants)(machines, codes, instants.times),
        log_frame(events, "failure"),
        ["comp1"],
        known=known_of(ends, events),
        params=LabelsParams(),
    )[:, 0].tolist()


@pytest.mark.parametrize("hour", [100, 98, 105, 148])
def test_label_machine_that_ended_with_failure_is_known(hour: float) -> None:
    """The last reading is at 100 h: the failure is at, shortly before or up to a horizon after it."""
    labels = label_known([(1, hour - 60), (1, hour - 48), (1, hour - 10), (1, hour - 2)], {1: 100}, [failed(1, hour)])
    assert labels == [0, 1, 1, 0]


def failed(machine: int, hour: float, component: str = "comp1") -> Event:
    return Event(machine, hour, component)


@pytest.mark.parametrize("hour", [75, 149])
def test_label_machine_that_did_not_end_with_failure_is_known_to_its_end(hour: float) -> None:
    assert np.isnan(label_known([(1, 60), (1, 74)], {1: 100}, [failed(1, hour)])).all()


def test_label_rows_after_the_last_failure_are_unknown() -> None:
    assert np.isnan(label_known([(1, 98), (1, 99)], {1: 100}, [failed(1, 97)])).all()


def test_label_other_component_of_a_machine_that_ended_is_known() -> None:
    known = known_of({1: 100}, [failed(1, 100, "comp2")])
    instants = instants_of([(1, 60), (1, 100)])
    log = log_frame([failed(1, 100, "comp2")], "failure")
    labels = label_failures(instants, log, ["comp1", "comp2"], known=known, params=LabelsParams())
    assert labels.tolist() == [[0, 1], [0, 0]]


def test_label_near_the_end_of_the_log_is_unknown_for_failed_and_running_machines() -> None:
    """All are watched until 200 h: of rows less than 48 h before that, outcomes of failed machines do not count."""
    ends = {1: 190.0, 2: 200.0, 3: 200.0, 4: 199.0}
    labels = label_known([(m, hour) for m in (1, 2) for hour in (140, 152, 153, 180)], ends, [failed(1, 190)])
    assert_array_equal(labels, [0, 1, math.nan, math.nan, 0, 0, math.nan, math.nan])


def test_label_failure_logged_after_the_telemetry_of_all_is_unknown() -> None:
    ends = {1: 200.0, 2: 200.0, 3: 200.0}
    assert_array_equal(label_known([(1, 152), (1, 180)], ends, [failed(1, 210)]), [0, math.nan])


def test_follow_up_ignores_the_few_that_were_taken_out() -> None:
    """Two of ten were taken out soon after machine 1 failed; the others were watched until 500 h."""
    ends = {1: 100.0, 2: 101.0, 3: 110.0, **dict.fromkeys(range(4, 11), 500.0)}
    known = known_of(ends, [failed(1, 100)])
    assert known.until_us.tolist() == [us(500), us(101), us(110), *[us(500)] * 7]
    assert known.is_ended.tolist() == [True] + [False] * 9


def test_follow_up_where_all_ended_with_a_failure_never_ends() -> None:
    ends = {1: 100.0, 2: 300.0, 3: 250.0}
    known = known_of(ends, [failed(machine, hour) for machine, hour in ends.items()])
    assert (known.until_us == NEVER_US).all()


def test_follow_up_one_machine_taken_out_among_many_that_ended_censors_only_itself() -> None:
    ends = {machine: 100.0 + 10 * machine for machine in range(20)}
    known = known_of(ends, [failed(machine, hour) for machine, hour in ends.items() if machine != 10])
    assert (np.delete(known.until_us, 10) == NEVER_US).all()
    assert known.until_us[10] == us(200)


def slow_follow_up(ends: dict[int, float], events: list[Event], horizon: float) -> list[tuple[float, float]]:
    """Time of the failure that ended each machine, and until when its outcome is known before that."""
    last_failed = {m: max((e.hour for e in events if e.machine == m), default=-math.inf) for m in ends}
    ended = {m for m, end in ends.items() if end - min(24, horizon) <= last_failed[m] <= end + horizon}
    found = []
    for machine, end in ends.items():
        if machine not in ended:
            found.append((math.inf, end))
            continue
        share, until = 1.0, math.inf
        for event in sorted({ends[m] for m in ends if m not in ended}):
            if event < min(end, last_failed[machine]):
                continue
            watched = [m for m in ends if (last_failed[m] > event if m in ended else ends[m] >= event)]
            share *= 1 - sum(m not in ended and ends[m] == event for m in ends) / len(watched)
            if share <= 0.5 + 1e-9:
                until = event
                break
        found.append((last_failed[machine], max(until, end)))
    return found


@given(
    ends=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    ahead=st.lists(st.sampled_from([None, 0, 0, -1, -20, -30, 1, 10, 60]), min_size=12, max_size=12),
    earlier=st.lists(st.tuples(st.integers(0, 11), st.integers(-5, 30)), max_size=4),
    horizon=st.sampled_from([6.0, 48.0]),
)
def test_follow_up_equals_brute_force(
    ends: list[int], ahead: list[int | None], earlier: list[tuple[int, int]], horizon: float
) -> None:
    by_machine = {machine: 100.0 + 5 * end for machine, end in enumerate(ends)}
    events = [
        failed(m, by_machine[m] + hours) for m, hours in zip(by_machine, ahead, strict=False) if hours is not None
    ]
    events += [failed(machine, hour) for machine, hour in earlier]
    known = known_of(by_machine, events, LabelsParams(3.0, horizon))
    expected = slow_follow_up(by_machine, events, horizon)
    assert known.failed_us.tolist() == [NEVER_US if math.isinf(hour) else us(hour) for hour, _ in expected]
    assert known.until_us.tolist() == [NEVER_US if math.isinf(hour) else us(hour) for _, hour in expected]


# A simulated fleet of which the truth is known: machines end with their failure, are taken out, or run on at the end.


def simulate_lives(machines: int, *, days: float, taken_out: float, seed: int) -> tuple[np.ndarray, ...]:
    """Return start, failure and last reading of each machine, in hours; a share a month is taken out.

    The failure rate rises with age, and machines start at any time, so that the base rate varies with time.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 0.7 * days * 24, machines).round()
    fails = start + (20 * 24 * rng.weibull(2.0, machines)).round()
    out = start + (rng.exponential(30 * 24 / taken_out, machines)).round() if taken_out else np.full(machines, np.inf)
    return start, fails, np.minimum(np.minimum(fails, out), days * 24)


@pytest.mark.parametrize("taken_out", [0.0, 0.1])
def test_label_means_agree_with_the_truth_and_a_naive_rule_is_biased(taken_out: float) -> None:
    params, days = LabelsParams(3.0, 48.0), 60
    start, fails, last = simulate_lives(3000, days=days, taken_out=taken_out, seed=5)
    ends = dict(enumerate(last.tolist()))
    events = [failed(m, float(hour)) for m, hour in enumerate(fails) if hour <= last[m]]
    codes = np.repeat(np.arange(len(start)), ((last - start) // 12).astype(int) + 1)
    ages = 12 * (np.arange(len(codes)) - np.searchsorted(codes, codes))
    hours = start[codes] + ages
    rows = type(instants_of([(0, 0)]))(pd.Index(ends), codes, np.array([us(hour) for hour in hours]))
    log = log_frame(events, "failure")
    labels = label_failures(rows, log, ["comp1"], known=known_of(ends, events, params), params=params)[:, 0]
    truth = (fails[codes] >= hours + 3) & (fails[codes] <= hours + 48)
    known = ~np.isnan(labels)
    assert_array_equal(labels[known], truth[known])
    # Every known positive and negative counts, a naive rule.
    is_logged = (fails <= last)[codes]
    naive = (hours + 48 <= last[codes]) | is_logged
    for low in range(0, 24 * days - 48, 24 * 6):
        now = (hours >= low) & (hours < low + 24 * 6)
        # The share taken out within a horizon is the only bias left.
        assert labels[now & known].mean() == pytest.approx(
            truth[now].mean(), rel=0.02 + taken_out * 48 / 730, abs=0.004
        )
    late = hours > 24 * days - 24
    assert not known[late & (hours + 48 > 24 * days)].any()
    assert truth[late & naive].mean() > 3 * truth[late].mean()
    # The older rule, by which a machine's outcome is known until its last reading, sees hardly any failure.
    old = hours + 48 <= last[codes]
    assert truth[old].mean() < 0.1 * truth.mean()


@given(seed=st.integers(0, 200), cut=st.integers(100, 700), taken_out=st.sampled_from([0.0, 1.0]))
def test_label_known_before_the_future_is_cut_off_does_not_change(seed: int, cut: int, taken_out: float) -> None:
    start, fails, last = simulate_lives(8, days=30, taken_out=taken_out, seed=seed)
    rows = [(m, hour) for m in range(8) for hour in np.arange(start[m], min(last[m], cut) + 1, 12)]
    machines = sorted({m for m, _ in rows})
    if not machines:
        return
    ends = {m: float(last[m]) for m in machines}
    events = [failed(m, float(fails[m])) for m in machines if fails[m] <= last[m]]
    whole = np.array(label_known(rows, ends, events))
    past = np.array(
        label_known(rows, {m: min(end, cut) for m, end in ends.items()}, [e for e in events if e.hour <= cut])
    )
    both = ~np.isnan(whole) & ~np.isnan(past)
    assert_array_equal(whole[both], past[both])


@pytest.mark.parametrize("cutoff", [150.0, 190.0, 195.0])
def test_follow_up_at_a_cutoff_is_what_was_known_then(cutoff: float) -> None:
    ends, events = {1: 190.0, 2: 300.0, 3: 300.0}, [failed(1, 190)]
    past = known_of({m: min(end, cutoff) for m, end in ends.items()}, [e for e in events if e.hour <= cutoff])
    found = known_of(ends, events).cut(us(cutoff))
    for name in ("ends_us", "failed_us", "until_us"):
        assert_array_equal(getattr(found, name), getattr(past, name))
