from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.evaluation.events import (
    EventEvaluator,
    EventOutcome,
    evaluate_events,
    find_episodes,
    summarise_events,
    warned_ahead,
)
from pdm_cli.evaluation.exposure import Exposure
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.settings.model import LabelsParams
from tests.builders.fleets import DAYS, EPOCH_US, HOUR_US, Event, hours, instants_of, log_frame, running

Alerts = list[tuple[Any, float]]
LABELS = LabelsParams(3.0, 48.0)
FLEET = (1, 2, 3)
SPAN = (0.0, 400.0)


def watched_until(ends: Mapping[Any, float], start: float = 0.0, gap: tuple[float, float] = (0.0, 0.0)) -> Instants:
    """Rows of every half hour, but none of machine 1 in the gap, its start included."""
    rows = [
        (machine, hour)
        for machine, end in ends.items()
        for hour in np.arange(start, end + 0.5, 0.5).tolist()
        if machine != 1 or not gap[0] <= hour < gap[1]
    ]
    return instants_of(rows)


def instants_of_fleet(alerts: Alerts, fleet: tuple[Any, ...] = FLEET) -> Instants:
    """Instants whose machines are the whole fleet, also those without an alert."""
    rows = instants_of(sorted(alerts) or [(fleet[0], 0.0)])
    machines = pd.Index(sorted(fleet))
    if not alerts:
        return Instants(machines, rows.codes[:0], rows.times[:0])
    return Instants(machines, machines.get_indexer(rows.machines[rows.codes]).astype(np.int64), rows.times)


def evaluate(
    alerts: Alerts,
    failures: list[Event],
    *,
    span: tuple[float, float] = SPAN,
    ends: dict[Any, float] | None = None,
    labels: LabelsParams = LABELS,
    merge_hours: float = 6.0,
    gap: tuple[float, float] = (0.0, 0.0),
) -> EventOutcome:
    instants = instants_of_fleet(alerts)
    found = evaluate_events(
        instants,
        log_frame(failures, "failure"),
        watched=watched_until({m: (ends or {}).get(m, span[1]) for m in FLEET}, span[0], gap),
        known=running([EPOCH_US + round((ends or {}).get(m, span[1]) * HOUR_US) for m in instants.machines]),
        labels=labels,
        merge_hours=merge_hours,
    )
    assert isinstance(found.false_alarms, int)
    return found


def failure(hour: float, machine: Any = 1) -> Event:
    return Event(machine, hour, "comp1")


def slow_episodes(alerts: Alerts, merge_hours: float) -> list[Alerts]:
    episodes: list[Alerts] = []
    for alert in sorted(alerts):
        before = episodes[-1][-1] if episodes else None
        if before is not None and before[0] == alert[0] and alert[1] - before[1] <= merge_hours:
            episodes[-1].append(alert)
        else:
            episodes.append([alert])
    return episodes


def slow_evaluate(
    alerts: Alerts,
    failures: list[Event],
    start: float,
    ends: dict[Any, float],
    labels: LabelsParams,
    merge_hours: float,
    gap: tuple[float, float] = (0.0, 0.0),
) -> tuple[list[float], int]:
    warnings = []
    for event in failures:
        if event.machine not in FLEET or event.hour - labels.horizon_hours < start:
            continue
        if event.hour - labels.lead_time_hours > ends[event.machine]:
            continue
        # The row before the gap is watched until the gap starts.
        is_blind = gap[0] < event.hour - labels.horizon_hours and event.hour - max(labels.lead_time_hours, 0.1) < gap[1]
        if event.machine == 1 and is_blind:
            continue
        ahead = [event.hour - hour for machine, hour in alerts if machine == event.machine]
        in_time = [hours for hours in ahead if hours > 0 and labels.lead_time_hours <= hours <= labels.horizon_hours]
        warnings.append(max(in_time, default=math.nan))
    false_alarms = 0
    for episode in slow_episodes(alerts, merge_hours):
        machine, first, until = episode[0][0], episode[0][1], episode[-1][1] + labels.horizon_hours
        fails = any(e.machine == machine and first <= e.hour <= until for e in failures)
        false_alarms += not fails and until <= ends[machine]
    return warnings, false_alarms


alert_lists = st.lists(st.tuples(st.sampled_from(FLEET), hours()), max_size=30, unique=True)
failure_lists = st.lists(
    st.builds(Event, st.sampled_from([*FLEET, 99]), hours(-48, DAYS * 24 + 48), st.just("comp1")), max_size=10
)


@given(
    alerts=alert_lists,
    failures=failure_lists,
    lead_and_horizon=st.sampled_from([(3.0, 48.0), (0.0, 12.0), (6.0, 6.0), (0.5, 24.0)]),
    merge_hours=st.sampled_from([0.0, 0.5, 6.0]),
    known_until=st.tuples(*[hours(60, DAYS * 24 + 24)] * len(FLEET)),
    gap=st.tuples(hours(1, 50), hours(1, 50)),
)
def test_evaluate_equals_brute_force(
    alerts: Alerts,
    failures: list[Event],
    lead_and_horizon: tuple[float, float],
    merge_hours: float,
    known_until: tuple[float, ...],
    gap: tuple[float, float],
) -> None:
    labels, ends = LabelsParams(*lead_and_horizon), dict(zip(FLEET, known_until, strict=True))
    alerts = [(m, hour) for m, hour in alerts if hour <= ends[m] and (m != 1 or not gap[0] <= hour < gap[1])]
    found = evaluate(alerts, failures, span=(0.0, 0.0), ends=ends, labels=labels, merge_hours=merge_hours, gap=gap)
    warnings, false_alarms = slow_evaluate(alerts, failures, 0.0, ends, labels, merge_hours, gap)
    assert_array_equal(np.sort(found.warning_hours), np.sort(warnings))
    assert found.false_alarms == false_alarms


@given(alert_lists, st.sampled_from([0.0, 0.5, 3.0, 24.0]))
def test_find_episodes_equals_brute_force(alerts: Alerts, merge_hours: float) -> None:
    instants = instants_of_fleet(alerts)
    first, last = find_episodes(instants.codes, instants.times, merge_hours=merge_hours)
    expected = slow_episodes(alerts, merge_hours)
    ends = np.cumsum([len(episode) for episode in expected]).tolist()
    assert (last + 1).tolist() == ends
    assert first.tolist() == [0, *ends[:-1]][: len(ends)]


def test_find_episodes_alerts_at_the_limit_are_one_episode() -> None:
    instants = instants_of_fleet([(1, 0), (1, 6), (1, 12.5), (2, 13)])
    first, last = find_episodes(instants.codes, instants.times, merge_hours=6.0)
    assert (first.tolist(), last.tolist()) == ([0, 2, 3], [1, 2, 3])


@pytest.mark.parametrize(
    ("hours_ahead", "warning"), [(3, 3.0), (2.5, None), (48, 48.0), (48.5, None), (20, 20.0), (0, None), (-1, None)]
)
def test_evaluate_alert_between_lead_time_and_horizon_catches(hours_ahead: float, warning: float | None) -> None:
    found = evaluate([(1, 200 - hours_ahead)], [failure(200)])
    assert_array_equal(found.warning_hours, [math.nan if warning is None else warning])


@pytest.mark.parametrize(("hours_ahead", "is_caught"), [(0, False), (0.5, True), (-0.5, False)])
def test_evaluate_alert_at_the_failure_is_too_late(hours_ahead: float, is_caught: bool) -> None:
    found = evaluate([(1, 200 - hours_ahead)], [failure(200)], labels=LabelsParams(0.0, 48.0))
    assert np.isnan(found.warning_hours).tolist() == [not is_caught]


def test_evaluate_warning_time_is_of_first_alert_in_time() -> None:
    found = evaluate([(1, 150), (1, 160), (1, 190)], [failure(200)])
    assert found.warning_hours.tolist() == [40.0]


def test_evaluate_alert_after_the_failure_is_a_miss_and_false() -> None:
    found = evaluate([(1, 201)], [failure(200)])
    assert np.isnan(found.warning_hours).all()
    assert found.false_alarms == 1


def test_evaluate_late_alert_is_neither_catch_nor_false() -> None:
    found = evaluate([(1, 199)], [failure(200)])
    assert np.isnan(found.warning_hours).all()
    assert found.false_alarms == 0


def test_evaluate_alert_of_another_machine_catches_nothing() -> None:
    found = evaluate([(2, 180)], [failure(200, machine=1)])
    assert np.isnan(found.warning_hours).all()
    assert found.false_alarms == 1


def test_evaluate_episode_can_catch_two_failures() -> None:
    alerts = [(1, float(hour)) for hour in range(160, 240, 3)]
    found = evaluate(alerts, [failure(200), failure(250)])
    assert found.warning_hours.tolist() == [40.0, 48.0]
    assert found.false_alarms == 0


def test_evaluate_failure_within_horizon_of_last_alert_is_true_alarm() -> None:
    alerts = [(1, float(hour)) for hour in range(100, 200, 5)]
    assert evaluate(alerts, [failure(195 + 48)]).false_alarms == 0
    assert evaluate(alerts, [failure(195 + 48.5)]).false_alarms == 1


def test_evaluate_episode_near_end_of_data_is_not_false() -> None:
    assert evaluate([(1, 352)], []).false_alarms == 1
    assert evaluate([(1, 352.5)], []).false_alarms == 0


def test_evaluate_failure_less_than_horizon_after_start_is_left_out() -> None:
    found = evaluate([(1, 40)], [failure(47.5), failure(48), failure(403), failure(403.5)])
    assert_array_equal(found.warning_hours, [8.0, math.nan])


def test_evaluate_failure_before_evaluated_span_makes_alarm_true() -> None:
    assert evaluate([(1, 20)], [failure(40)]).false_alarms == 0


# Machines that ended with their failure.


def ended(ends: list[float], failed: list[float | None], until: list[float]) -> FollowUp:
    times = [NEVER_US if hour is None else EPOCH_US + round(hour * HOUR_US) for hour in failed]
    last, known = (np.array([EPOCH_US + round(hour * HOUR_US) for hour in hours]) for hours in (ends, until))
    return FollowUp(last, np.array(times), known)


def evaluate_known(alerts: Alerts, failures: list[Event], known: FollowUp) -> EventOutcome:
    return evaluate_events(
        instants_of_fleet(alerts),
        log_frame(failures, "failure"),
        watched=watched_until(dict(zip(FLEET, (known.ends_us - EPOCH_US) / HOUR_US, strict=True))),
        known=known,
        labels=LABELS,
        merge_hours=6.0,
    )


@pytest.mark.parametrize(("alert", "is_false"), [(60, False), (51, True), (20, True), (101, False)])
def test_evaluate_alert_of_a_machine_that_ended_is_false_unless_it_is_before_the_failure(
    alert: float, is_false: bool
) -> None:
    """Machine 1 fails at 100 h and has its last reading at 102 h; the fleet is watched until 400 h."""
    known = ended([102, 400, 400], [100, None, None], [400, 400, 400])
    assert evaluate_known([(1, alert)], [failure(100)], known).false_alarms == is_false


def test_evaluate_alert_of_a_machine_that_ended_near_the_end_of_the_log_is_unknown() -> None:
    known = ended([380, 400, 400], [380, None, None], [400, 400, 400])
    # Another component failed; that of the alert would have been watched for 30 h more.
    assert evaluate_known([(1, 370)], [], known).false_alarms == 0
    assert evaluate_known([(1, 350)], [], known).false_alarms == 1


def test_evaluate_failure_after_the_last_reading_counts_if_the_machine_ended_with_it() -> None:
    events = [failure(130), failure(130, machine=2)]
    known = ended([100, 100, 400], [130, None, None], [400, 100, 400])
    found = evaluate_known([(1, 90), (2, 90)], events, known)
    assert found.failure_codes.tolist() == [0]
    assert found.warning_hours.tolist() == [40]


@pytest.mark.slow
@given(alert_lists, failure_lists, st.lists(st.booleans(), min_size=30, max_size=30))
def test_evaluator_of_all_rows_equals_evaluation_of_alerts(
    rows: Alerts, failures: list[Event], is_alert: list[bool]
) -> None:
    rows = sorted(rows)
    mask = np.array(is_alert[: len(rows)], np.bool_)
    evaluator = EventEvaluator(
        instants_of_fleet(rows),
        log_frame(failures, "failure"),
        watched=watched_until(dict.fromkeys(FLEET, SPAN[1])),
        known=running([EPOCH_US + round(SPAN[1] * HOUR_US)] * len(FLEET)),
        labels=LABELS,
        merge_hours=6.0,
    )
    fast = evaluator.evaluate(mask)
    slow = evaluate([row for row, on in zip(rows, mask, strict=True) if on], failures)
    for name in ("warning_hours", "failure_codes", "episode_codes", "is_false"):
        assert_array_equal(getattr(fast, name), getattr(slow, name))
    assert fast.false_alarms == slow.false_alarms == slow.is_false.sum()


def test_evaluate_outcome_has_machines() -> None:
    found = evaluate([(1, 180), (2, 100), (2, 200), (3, 390)], [failure(200), failure(250, machine=3)])
    assert found.failure_codes.tolist() == [0, 2]
    assert found.episode_codes.tolist() == [0, 1, 1, 2]
    assert found.is_false.tolist() == [False, True, True, False]
    # Nobody knows what follows the alert at 390 h.
    assert found.is_true.tolist() == [True, False, False, False]


def test_evaluate_episode_near_end_of_data_is_not_true() -> None:
    assert evaluate([(1, 352)], [failure(390)]).is_true.tolist() == [True]
    found = evaluate([(1, 352.5)], [failure(390)])
    assert (found.is_true.tolist(), found.is_false.tolist()) == ([False], [False])
    # It still catches the failure.
    assert found.warning_hours.tolist() == [37.5]


@pytest.mark.parametrize("span_hours", [60, 600])
def test_precision_of_random_alerts_does_not_depend_on_the_length_of_the_span(span_hours: int) -> None:
    rng, machines = np.random.default_rng(span_hours), 120_000 // (span_hours - 48)
    alert, fails = rng.random((2, machines, span_hours + 1)) < 0.01
    watched = Instants(
        pd.RangeIndex(machines),
        np.repeat(np.arange(machines), span_hours + 1),
        np.tile(EPOCH_US + np.arange(span_hours + 1) * HOUR_US, machines),
    )
    codes, times = watched.codes[fails.ravel()], watched.times[fails.ravel()].astype("datetime64[us]")
    evaluator = EventEvaluator(
        watched,
        pd.DataFrame({"machineID": codes, "datetime": times}),
        watched=watched,
        known=running([EPOCH_US + span_hours * HOUR_US] * machines),
        labels=LABELS,
        merge_hours=0.0,
    )
    found = summarise_events([evaluator.evaluate(alert.ravel())], exposure=Exposure(np.ones(1), np.ones(1)))
    # A failure in any of the 49 hours from the alert to the horizon; four standard deviations of about 1,200 alerts.
    assert found["episode_precision"] == pytest.approx(1 - 0.99**49, abs=4 * math.sqrt(0.25 / 1200))


def test_evaluate_failure_whose_warning_period_is_in_a_gap_is_left_out() -> None:
    events = [failure(150), failure(200), failure(250), failure(251)]
    found = evaluate([(1, 140)], events, gap=(145.0, 247.5))
    assert found.failure_times.tolist() == [EPOCH_US + hour * HOUR_US for hour in (150, 251)]
    # One that is left out makes an alarm true.
    left_out = evaluate([(1, 149)], [failure(150)], gap=(90.0, 149.0))
    assert (left_out.failure_codes.tolist(), left_out.is_true.tolist()) == ([], [True])


def test_find_episodes_long_episode_is_cut_into_pieces() -> None:
    instants = instants_of_fleet([(1, 0), (1, 5), (1, 10), (1, 11), (1, 21), (2, 21), (2, 22)])
    first, last = find_episodes(instants.codes, instants.times, merge_hours=10.0, longest_hours=10.0)
    assert (first.tolist(), last.tolist()) == ([0, 2, 4, 5], [1, 3, 4, 6])


@given(alert_lists, st.sampled_from([0.5, 3.0, 24.0]), st.sampled_from([1.0, 6.0, 30.0]))
def test_find_episodes_pieces_equal_brute_force(alerts: Alerts, merge_hours: float, longest_hours: float) -> None:
    instants = instants_of_fleet(alerts)
    first, last = find_episodes(instants.codes, instants.times, merge_hours=merge_hours, longest_hours=longest_hours)
    expected = []
    for episode in slow_episodes(alerts, merge_hours):
        pieces = [(hour - episode[0][1]) // longest_hours for _, hour in episode]
        expected += [pieces.count(piece) for piece in sorted(set(pieces))]
    assert (last - first + 1).tolist() == expected


def outcome(warning: list[float], false_alarms: int) -> EventOutcome:
    none, no_episode = np.array([], np.int64), np.array([], np.bool_)
    return EventOutcome(np.array(warning), false_alarms, none, none, no_episode, no_episode, none)


def test_warned_ahead_includes_missed_failures() -> None:
    outcomes = [outcome([48.0, 24.0, np.nan], 2), outcome([3.0], 1)]
    assert warned_ahead(outcomes, hours=(3.0, 6.0, 12.0, 24.0, 36.0, 48.0)) == {
        3.0: 0.75,
        6.0: 0.5,
        12.0: 0.5,
        24.0: 0.5,
        36.0: 0.25,
        48.0: 0.25,
    }
    assert warned_ahead([outcome([], 0)], hours=[3.0]) == {3.0: None}


def test_evaluate_without_alerts_misses_all() -> None:
    found = evaluate([], [failure(200), failure(300, machine=2)])
    assert np.isnan(found.warning_hours).tolist() == [True, True]
    assert found.false_alarms == 0


def test_summarise_adds_up_components() -> None:
    outcomes = [outcome([48.0, 24.0, np.nan], 2), outcome([3.0], 1)]
    assert summarise_events(outcomes, exposure=Exposure(np.array([2.0, 4.0]), np.array([3.0, 4.0]))) == {
        "failures": 4,
        "caught": 3,
        "caught_share": 0.75,
        "caught_24h": 2,
        "warning_hours": {"q25": 13.5, "median": 24.0, "q75": 36.0},
        "false_alarms": 3,
        "false_alarms_per_machine_month": 0.5,
        "episode_precision": 0.0,
        "judged_machine_months": {"false_alarms": 6.0, "failures": 7.0},
    }


def test_summarise_without_catch_has_no_warning_time() -> None:
    found = summarise_events([outcome([np.nan], 0)], exposure=Exposure(np.ones(1), np.ones(1)))
    assert found["warning_hours"] == {"q25": None, "median": None, "q75": None}
    assert (found["failures"], found["caught"], found["caught_share"]) == (1, 0, 0.0)


def test_summarise_without_failure_has_no_share() -> None:
    found = summarise_events([outcome([], 1)], exposure=Exposure(np.zeros(1), np.zeros(1)))
    assert (found["failures"], found["caught_share"], found["false_alarms_per_machine_month"]) == (0, None, None)
