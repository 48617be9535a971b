from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.features.build import FEATURES, LEARNED, build_features, learn_states, match_states
from pdm_cli.features.describe import describe_feature, feature_topic, is_unusual
from pdm_cli.features.events import Instants
from pdm_cli.scoring.data_health import is_silent
from pdm_cli.scoring.explanation import Reason, top_reasons
from pdm_cli.scoring.worklist import Predictions, find_alert_episodes, find_nearest, rank_work
from pdm_cli.settings.model import LabelsParams
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, log_frame, rows_frame, stamps
from tests.builders.problems import FOREVER, TRAIN, context_of, simulated

COMPONENTS = ["comp1", "comp2"]
# Machine and hour to whether the alert of each component is on, and its probability.
Table = dict[tuple[Any, float], tuple[tuple[bool, bool], tuple[float, float]]]

fleets = st.sampled_from([(1, 2, 10), (7,), ("a", "B", "10")])
# Probabilities that tie, and hours with gaps.
readings = st.tuples(st.tuples(st.booleans(), st.booleans()), st.tuples(*[st.sampled_from([0.2, 0.5, 0.9])] * 2))
tables = fleets.flatmap(
    lambda fleet: st.dictionaries(
        st.tuples(st.sampled_from(fleet), st.integers(0, 40).map(lambda n: 3.0 * n)), readings, min_size=1, max_size=40
    )
)


logs = st.lists(
    st.builds(
        Event,
        st.sampled_from([1, 2, 7, 10, "a", "B"]),
        st.integers(0, 80).map(lambda n: 1.5 * n),
        st.sampled_from([*COMPONENTS, "pump"]),
    ),
    max_size=20,
)


def parts(table: Table) -> tuple[Instants, np.ndarray, np.ndarray]:
    rows = list(table)
    alerts = np.array([table[row][0] for row in rows], bool).reshape(-1, 2)
    probabilities = np.array([table[row][1] for row in rows], float).reshape(-1, 2)
    return Instants.of(rows_frame(rows)), probabilities, alerts


def episodes_of(table: Table, merge_hours: float = 6.0) -> list[tuple[Any, str, float, float, int]]:
    instants, _, alerts = parts(table)
    found = find_alert_episodes(instants, alerts, COMPONENTS, merge_hours=merge_hours)
    return [
        (machine, component, hour_of(start), hour_of(end), rows)
        for machine, component, start, end, rows in found.itertuples(index=False)
    ]


def hour_of(stamp: pd.Timestamp) -> float:
    return (stamp.value // 1000 - EPOCH_US) / HOUR_US


def work_of(
    table: Table,
    replaced: Sequence[Event] = (),
    failed: Sequence[Event] = (),
    lead: float = 3.0,
    horizon: float = 48.0,
    ended: Sequence[Any] = (),
) -> pd.DataFrame:
    instants, probabilities, alerts = parts(table)
    return rank_work(
        Predictions(instants, probabilities, alerts, COMPONENTS),
        {"maint": log_frame(replaced), "failures": log_frame(failed)},
        now_us=int(instants.times.max()),
        ended=instants.machines.isin(list(ended)),
        silent=is_silent(instants, horizon),
        labels=LabelsParams(lead, horizon),
    )


def series(machine: Any, on: str, *, probability: float = 0.5, start: float = 0.0) -> Table:
    """A row every 3 h for each letter: a letter 1 or 2 is an alert of that component, b of both, . of none."""
    letters = {"1": (True, False), "2": (False, True), "b": (True, True), ".": (False, False)}
    return {(machine, start + 3.0 * n): (letters[letter], (probability,) * 2) for n, letter in enumerate(on)}


def slow_episodes(table: Table, merge_hours: float) -> list[tuple[Any, str, float, float, int]]:
    found = []
    for machine in sorted({machine for machine, _ in table}):
        for column, component in enumerate(COMPONENTS):
            open_episode: list[float] = []
            for hour in sorted(hour for m, hour in table if m == machine and table[m, hour][0][column]):
                if open_episode and hour - open_episode[-1] > merge_hours:
                    found.append((machine, component, open_episode[0], open_episode[-1], len(open_episode)))
                    open_episode = []
                open_episode.append(hour)
            if open_episode:
                found.append((machine, component, open_episode[0], open_episode[-1], len(open_episode)))
    return sorted(found, key=lambda episode: (episode[0], episode[2], episode[1]))


def slow_work(
    table: Table, replaced: Sequence[Event], failed: Sequence[Event], lead: float, horizon: float
) -> list[tuple[Any, str, float, float, float, bool]]:
    found = []
    newest = max(hour for _, hour in table)
    for machine in {machine for machine, _ in table}:
        own = sorted((hour for m, hour in table if m == machine), reverse=True)
        for column, component in enumerate(COMPONENTS):
            renewed, broken = (
                {event.hour for event in log if (event.machine, event.kind) == (machine, component)}
                for log in ([*replaced, *failed], failed)
            )
            for place, hour in enumerate(own):
                if own[0] - hour > lead or any(hour < end <= newest for end in renewed) or own[0] in broken:
                    break
                if table[machine, hour][0][column]:
                    run = takewhile(lambda h, m=machine, c=column: table[m, h][0][c], own[place:])
                    probability = table[machine, hour][1][column]
                    found.append((machine, component, probability, hour, min(run), newest - own[0] > horizon))
                    break
    lasts = {machine: max(hour for m, hour in table if m == machine) for machine, _ in table}
    return sorted(found, key=lambda work: (work[3] < lasts[work[0]], -work[2], work[4], work[0], work[1]))


@given(tables, st.sampled_from([0.0, 3.0, 7.5]))
def test_episodes_equal_a_walk_over_the_rows(table: Table, merge_hours: float) -> None:
    assert episodes_of(table, merge_hours) == slow_episodes(table, merge_hours)


@pytest.mark.slow
@given(tables, logs, logs, st.sampled_from([0.0, 3.0, 7.5]), st.sampled_from([12.0, 48.0]))
def test_the_work_list_equals_a_walk_back_from_the_last_row(
    table: Table, replaced: list[Event], failed: list[Event], lead: float, horizon: float
) -> None:
    found = work_of(table, replaced, failed, lead, horizon)
    expected = slow_work(table, replaced, failed, lead, horizon)
    keys = ["machineID", "component", "probability"]
    assert [tuple(row) for row in found[keys].itertuples(index=False)] == [row[:3] for row in expected]
    assert [hour_of(stamp) for stamp in found["datetime"]] == [row[3] for row in expected]
    assert [hour_of(stamp) for stamp in found["since"]] == [row[4] for row in expected]
    assert [hour_of(stamp) for stamp in found["expected_from"]] == [row[3] + lead for row in expected]
    assert [hour_of(stamp) for stamp in found["expected_until"]] == [row[3] + horizon for row in expected]
    assert found["is_stale"].tolist() == [row[5] for row in expected]
    assert found["rank"].tolist() == list(range(1, len(expected) + 1))


@pytest.mark.slow
@given(tables, logs, logs, st.integers(0, 40).map(lambda n: 3.0 * n))
def test_events_to_come_leave_the_work_list_as_it_is(
    table: Table, replaced: list[Event], failed: list[Event], now: float
) -> None:
    past = {row: reading for row, reading in table.items() if row[1] <= now}
    if not past:
        return
    known = [[event for event in log if event.hour <= now] for log in (replaced, failed)]
    pd.testing.assert_frame_equal(work_of(past, *known), work_of(past, replaced, failed), check_exact=True)


@given(tables, st.integers(0, 40).map(lambda n: 3.0 * n))
def test_cutting_the_future_off_only_ends_episodes_early(table: Table, now: float) -> None:
    past = {row: reading for row, reading in table.items() if row[1] <= now}
    if not past:
        return
    before = [
        (machine, component, start, min(end, now))
        for machine, component, start, end, _ in episodes_of(table)
        if start <= now
    ]
    found = episodes_of(past)
    assert [episode[:3] for episode in found] == [episode[:3] for episode in before]
    assert all(early[3] <= late[3] for early, late in zip(found, before, strict=True))


@pytest.mark.slow
@given(tables)
def test_the_order_of_rows_changes_nothing(table: Table) -> None:
    turned = dict(reversed(table.items()))
    pd.testing.assert_frame_equal(work_of(turned), work_of(table))
    assert episodes_of(turned) == episodes_of(table)


def test_a_short_pause_joins_and_a_long_one_parts_episodes() -> None:
    assert episodes_of(series(4, "11.1...2")) == [(4, "comp1", 0, 9, 3), (4, "comp2", 21, 21, 1)]
    assert episodes_of(series(4, "1..1")) == [(4, "comp1", 0, 0, 1), (4, "comp1", 9, 9, 1)]


def test_the_work_list_worked_by_hand() -> None:
    table = series(1, "1.111", probability=0.4) | series(2, "..22b", probability=0.9) | series(3, "bbb..")
    found = work_of(table)
    assert found[["rank", "machineID", "component"]].to_numpy().tolist() == [
        [1, 2, "comp2"],
        [2, 2, "comp1"],
        [3, 1, "comp1"],
    ]
    # Equal probabilities: the longer run first.
    assert found["since"].tolist() == stamps([6, 12, 6]).tolist()
    assert found["datetime"].tolist() == stamps([12, 12, 12]).tolist()
    assert found["expected_from"].tolist() == stamps([15, 15, 15]).tolist()
    assert found["expected_until"].tolist() == stamps([60, 60, 60]).tolist()
    assert not found["is_stale"].any()


def test_a_failure_within_the_lead_time_stays_on_the_list_until_it_comes() -> None:
    # Rows every 3 h; the alert is off at the last one, for nothing is due between 3 and 48 h after it.
    table = series(1, ".222.", probability=0.9)
    found = work_of(table)
    assert found["datetime"].tolist() == stamps([9]).tolist()
    assert found["since"].tolist() == stamps([3]).tolist()
    assert found["expected_from"].tolist() == stamps([12]).tolist()
    assert found["probability"].tolist() == [0.9]
    assert work_of(table, lead=2.5).empty
    for comes, listed in ((9, 1), (9.5, 0), (12, 0), (12.5, 1)):
        event = [Event(1, comes, "comp2")]
        assert len(work_of(table, replaced=event)) == len(work_of(table, failed=event)) == listed
    others = [Event(1, 12, "comp1"), Event(2, 12, "comp2")]
    assert len(work_of(table, others, others)) == 1


def test_equal_work_is_ranked_by_machine_then_component() -> None:
    found = work_of(series(2, "b") | series(1, "2"))
    assert found[["machineID", "component"]].to_numpy().tolist() == [[1, "comp2"], [2, "comp1"], [2, "comp2"]]


def test_a_machine_that_fell_silent_is_listed_as_stale() -> None:
    table = series(1, "1") | series(2, ".", start=48.0)
    assert work_of(table)["is_stale"].tolist() == [False]
    table = series(1, "1") | series(2, ".", start=51.0)
    assert work_of(table)["is_stale"].tolist() == [True]


def test_an_ended_machine_is_not_on_the_work_list() -> None:
    table = series(1, "b") | series(2, "1")
    assert work_of(table, ended=[1])["machineID"].tolist() == [2]


def test_alerts_that_are_off_rank_after_those_that_are_on() -> None:
    table = series(1, ".22.", probability=0.9) | series(2, "...1", probability=0.4)
    assert work_of(table)[["machineID", "probability"]].to_numpy().tolist() == [[2, 0.4], [1, 0.9]]


def nearest_of(
    table: Table,
    replaced: Sequence[Event] = (),
    failed: Sequence[Event] = (),
    *,
    thresholds: tuple[float, float] = (0.5, 0.5),
    left_out: Sequence[Any] = (),
    most: int = 9,
) -> pd.DataFrame:
    instants, probabilities, alerts = parts(table)
    return find_nearest(
        Predictions(instants, probabilities, alerts, COMPONENTS),
        {"maint": log_frame(replaced), "failures": log_frame(failed)},
        now_us=int(instants.times.max()),
        thresholds=thresholds,
        left_out=instants.machines.isin(list(left_out)),
        labels=LabelsParams(3.0, 48.0),
        most=most,
    )


@pytest.mark.slow
@given(tables, logs, logs, st.sampled_from([(0.5, 0.9), (2.0, 0.2)]), st.integers(0, 3))
def test_nearest_to_an_alert_equals_a_look_at_the_last_rows(
    table: Table, replaced: list[Event], failed: list[Event], thresholds: tuple[float, float], most: int
) -> None:
    lasts = {machine: max(hour for m, hour in table if m == machine) for machine, _ in table}
    newest, first = max(lasts.values()), min(lasts)
    expected = []
    for machine, last in sorted(lasts.items()):
        for column, component in enumerate(COMPONENTS):
            probability, threshold = table[machine, last][1][column], thresholds[column]
            alerted = any(m == machine and hour >= last - 3 and row[0][column] for (m, hour), row in table.items())
            own = [e for e in failed if (e.machine, e.kind, e.hour) == (machine, component, last)]
            own += [e for e in [*replaced, *failed] if (e.machine, e.kind) == (machine, component) and e.hour > last]
            renewed = any(event.hour <= newest for event in own)
            if not (alerted or renewed or machine == first) and threshold <= 1 and probability >= threshold / 2:
                expected.append((machine, component, probability, threshold))
    expected.sort(key=lambda row: -row[2] / row[3])
    found = nearest_of(table, replaced, failed, thresholds=thresholds, left_out=[first], most=most)
    assert list(found.itertuples(index=False, name=None)) == expected[:most]


def test_nearest_to_an_alert_leaves_out_failed_components_and_those_with_an_alert() -> None:
    # A later row of machine 2: machine 1 has failed by then, after its last row.
    table = series(1, "..1", probability=0.9) | series(2, "....", probability=0.3)
    failed = [Event(1, 7, "comp1"), Event(1, 8, "comp2")]
    found = nearest_of(table, failed=failed)
    assert found[["machineID", "component"]].to_numpy().tolist() == [[2, "comp1"], [2, "comp2"]]
    assert nearest_of(table)["component"].tolist() == ["comp2", "comp1", "comp2"]
    assert nearest_of(series(2, "..", probability=0.2)).empty


@pytest.mark.parametrize("machine", [4, "pump 4"])
def test_no_alert_gives_no_rows_but_the_same_types(machine: Any) -> None:
    some, none = work_of(series(machine, "1")), work_of(series(machine, "1.."))
    assert len(none) == 0
    assert list(none.columns) == [
        *("rank", "machineID", "component", "probability", "datetime", "since"),
        *("expected_from", "expected_until", "is_stale"),
    ]
    assert none.dtypes.to_dict() == some.dtypes.to_dict()
    instants, _, alerts = parts(series(machine, "1"))
    no_episode = find_alert_episodes(instants, alerts & False, COMPONENTS, merge_hours=6)
    assert len(no_episode) == 0
    assert list(no_episode.columns) == ["machineID", "component", "start", "end", "rows"]
    found = find_alert_episodes(instants, alerts, COMPONENTS, merge_hours=6)
    assert no_episode.dtypes.to_dict() == found.dtypes.to_dict()


def test_without_rows_there_is_no_work() -> None:
    full, probabilities, alerts = parts(series(1, "1"))
    none = Instants(full.machines, full.codes[:0], full.times[:0])
    no_machine, predictions = np.zeros(1, np.bool_), Predictions(none, probabilities[:0], alerts[:0], COMPONENTS)
    found = rank_work(predictions, {}, now_us=0, ended=no_machine, silent=no_machine, labels=LabelsParams(3.0, 48.0))
    assert len(found) == 0


def test_the_largest_positive_contributions_are_the_reasons() -> None:
    contributions = np.array([[0.5, -2.0, 1.5, 0.0, 0.5], [-1.0, -1.0, -1.0, -1.0, -0.1]], np.float32)
    values = np.array([[21, 4, math.nan, 1, 2], [0, 0, 0, 0, 0]], np.float32)
    names = ["hours_since_error1", "age", "volt_mean_24h", "x", "model"]
    found = top_reasons(contributions, names, values, categories={"model": ["m1", "m2", "m3"]})
    assert found == [
        [Reason("volt_mean_24h", None, 1.5), Reason("hours_since_error1", 21.0, 0.5), Reason("model", "m3", 0.5)],
        [],
    ]
    assert top_reasons(contributions, names, values, most=1) == [[Reason("volt_mean_24h", None, 1.5)], []]


def test_top_reasons_one_per_topic() -> None:
    names = ["volt_mean_24h", "volt_mean_12h", "volt_std_24h", "hours_since_error1", "error1_count_24h"]
    found = top_reasons(np.array([[1.0, 4.0, 2.0, 0.5, 0.7]]), names, np.zeros((1, 5)), topic_of=feature_topic)
    assert [reason.name for reason in found[0]] == ["volt_mean_12h", "volt_std_24h", "error1_count_24h"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("failures", "hours_since_any_failure"), ("maintenance", "hours_since_any_maint"), ("visit", "visit_period")),
        *(("error1", "hours_since_error1"), ("hours_since_oil level", "oil_mean_24h"), ("event", "hours_since_event")),
        *(("hours_since_pressure spread", "pressure_std_3h"), ("hours_since_visit", "hours_to_visit")),
        *(("volt_mean_3h", "volt_shift"), ("comp1_match", "comp1_match_visit"), ("volt_mean_3h", "rotate_mean_3h")),
    ],
)
def test_features_about_other_things_never_stand_for_one_another(one: str, other: str) -> None:
    assert feature_topic(one) != feature_topic(other)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), max_size=5), st.integers(1, 5))
def test_reasons_equal_sorting_by_hand(rows: list[list[int]], most: int) -> None:
    contributions = np.array(rows, float).reshape(-1, 4)
    found = top_reasons(contributions, list("abcd"), contributions * 10, most=most)
    for row, reasons in zip(rows, found, strict=True):
        expected = sorted((-added, name) for added, name in zip(row, "abcd", strict=True) if added > 0)[:most]
        assert reasons == [Reason(name, -10.0 * negated, -negated) for negated, name in expected]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("volt_mean_24h", 201.43, "volt mean over 24 h is 201.4"),
        ("oil_temp_max_90min", 12345.6, "oil_temp max over 90 min is 12,346"),
        ("volt_std_3h", 0.0, "volt standard deviation over 3 h is 0"),
        ("volt_min_3h", None, "volt min over 3 h unknown"),
        ("hours_since_error1", 21.0, "error1 21 h ago"),
        ("hours_since_error1", None, "no error1 yet"),
        ("hours_since_comp2_replaced", 432.0, "comp2 replaced 18 days ago"),
        ("hours_since_comp2_failed", 71.5, "comp2 failed 71.5 h ago"),
        ("hours_since_volt_anomaly", None, "no volt anomaly yet"),
        ("hours_since_any_maint", 72.0, "last maintenance of any type 3 days ago"),
        ("hours_since_any_error", 1.0, "last error of any type 1 h ago"),
        ("error2_count_24h", 4.0, "error2 count in 24 h is 4"),
        ("volt_anomaly_count_48h", 2.0, "2 volt anomalies in 48 h"),
        ("volt_anomaly_score", 1.83, "latest volt anomaly has score 1.83"),
        ("volt_shift", -6.123, "volt shift has test statistic -6.123"),
        ("volt_shift_age", 30.0, "volt shift began 30 h ago"),
        ("volt_shift_step", 1.84, "volt shifted by +1.8 standard deviations"),
        ("volt_shift_step", -1.02, "volt shifted by -1 standard deviation"),
        ("volt_z_24h", 1.0, "volt over 24 h is +1 robust standard deviation from its median"),
        ("visit_period", 360.0, "maintenance visits every 15 days"),
        ("visit_phase", 0.451, "45% of the maintenance interval elapsed"),
        ("hours_to_visit", 30.0, "next maintenance visit in 30 h"),
        ("comp1_match", 12.0, "resembles the hours before past comp1 failures"),
        ("comp2_match", -3.0, "does not resemble the hours before past comp2 failures"),
        ("comp1_match_hours", 24.4, "comp1 failure in 24.4 h according to past failures"),
        ("comp1_match_visit", 5.0, "resembles a comp1 failure at the next visit"),
        ("comp1_match_lag", -5.0, "comp1 failure expected 5 h before the next visit"),
        ("comp1_match_lag", 0.0007, "comp1 failure expected at the next visit"),
        ("comp1_match_lag", 100.0, "comp1 failure expected 4 days after the next visit"),
        ("comp1_match_visit", None, "next visit unknown or too far ahead to compare with past comp1 failures"),
        ("comp1_match_lag", None, "hours from the next visit to a comp1 failure unknown"),
        ("age", 18.0, "machine attribute age: 18"),
        ("age", None, "machine attribute age unknown"),
        ("model", "model3", "machine attribute model: model3"),
        ("a_shift", "night {0}", "machine attribute a_shift: night {0}"),
        ("hours_since_{x}", 3.0, "{x} 3 h ago"),
    ],
)
def test_reasons_read_as_plain_english(name: str, value: float | str | None, words: str) -> None:
    assert describe_feature(name, value) == words


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("volt_mean_24h", 146.7, "volt mean over 24 h is 146.7 (typical: 170.2)"),
        ("volt_level_168h", 3.14159, "volt mean over 168 h minus its usual level is 3.142 (typical: 170.2)"),
        ("volt_level_24h", None, "usual level of volt unknown"),
        (
            "volt_residual_24h",
            2.31,
            "volt mean over 24 h is +2.3 standard deviations from the level that the other sensors imply",
        ),
        ("volt_std_3h", 12.0, "volt standard deviation over 3 h is 12 (typical: 170.2)"),
        ("error2_count_24h", 4.0, "error2 count in 24 h is 4 (typical: 170.2)"),
        ("age", 18.0, "machine attribute age: 18 (typical: 170.2)"),
        ("model", "model3", "machine attribute model: model3"),
        ("volt_mean_24h", None, "volt mean over 24 h unknown"),
        ("hours_since_error1", 21.0, "error1 21 h ago"),
        ("volt_shift", -6.123, "volt shift has test statistic -6.123"),
        ("volt_shift_step", 1.84, "volt shifted by +1.8 standard deviations"),
        ("comp1_match", 12.0, "resembles the hours before past comp1 failures"),
        ("visit_phase", 0.451, "45% of the maintenance interval elapsed"),
    ],
)
def test_describe_feature_adds_typical_value_to_numbers(name: str, value: float | str | None, words: str) -> None:
    assert describe_feature(name, value, typical=170.2) == words


@pytest.mark.parametrize(
    ("name", "value", "typical", "expected"),
    [
        ("capacity_mean_168h", 3_000_593_022_976.0, 3_000_593_022_976.4, False),
        ("volt_mean_24h", 170.24, 170.16, False),
        ("volt_mean_24h", 170.24, 170.36, True),
        ("volt_mean_24h", 170.24, None, True),
        ("volt_trend_720h", 0.0, None, False),
        ("volt_trend_720h", 0.0, 0.5, True),
        ("volt_trend_720h", 0.1, None, True),
        ("age", 18.0, 18.0, False),
        ("age", None, 18.0, True),
        ("model", "model3", None, True),
        ("comp1_match", 12.0, 12.0, True),
        ("volt_shift_step", 0.0, 0.0, True),
    ],
)
def test_is_unusual_compares_values_as_they_are_shown(
    name: str, value: float | str | None, typical: float | None, expected: bool
) -> None:
    assert is_unusual(name, value, typical=typical) is expected


def test_every_feature_but_the_attributes_has_words_of_its_own() -> None:
    sources = simulated(machines=5, days=90, seed=2)
    context = context_of(sources, train=replace(TRAIN, count_hours=(24.0, 1.5)))
    everyone = np.ones(5, bool)
    states = learn_states(context, LEARNED, components=["comp1"], until_us=FOREVER, machines=everyone)
    table = build_features(context, FEATURES).join(match_states(context, states))
    for value in (1.0, None):
        plain = [name for name in table.names if describe_feature(name, value).startswith(f"machine attribute {name}")]
        assert_array_equal(plain, ["age", "model"])
