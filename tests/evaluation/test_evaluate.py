from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.costs import Lives
from pdm_cli.evaluation.evaluate import EvaluationSettings, PredictedSpan, evaluate_span, list_warnings
from pdm_cli.evaluation.exposure import HOURS_PER_MONTH
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.training.alert_rules import NEVER
from tests.builders.examples import FEW
from tests.builders.fleets import EPOCH, EPOCH_US, HOUR_US, Event, instants_of, log_frame, running

COMPONENTS = ["comp1", "comp2"]
RULES = [AlertRule(0.6, 0.4), NEVER]
LABELS = LabelsParams(3.0, 24.0)
# Two machines, a row every twelve hours for eight days; the first two days are before any judged failure.
HOURS = [12.0 * step for step in range(16)]
END = 192.0
FAILURES = [
    Event(1, 100.0, "comp1"),
    Event(2, 60.0, "comp1"),
    Event(1, 150.0, "comp2"),
    Event(2, 20.0, "comp1"),  # its horizon begins before the test
    Event(2, 500.0, "comp1"),  # after the data
]
ALERTS = {"comp1": [(1, 84.0), (1, 96.0), (2, 108.0), (2, 180.0)], "comp2": []}


def trial(alerts: dict[str, list[tuple[int, float]]] = ALERTS) -> PredictedSpan:
    rows = [(machine, hour) for machine in (1, 2) for hour in HOURS]
    labels = np.array([[label(machine, hour, component) for component in COMPONENTS] for machine, hour in rows])
    on = np.array([[row in alerts[component] for component in COMPONENTS] for row in rows])
    return PredictedSpan(
        rows=instants_of(rows),
        labels=labels,
        probabilities=np.where(on, 0.75, 0.25),
        alerts=on,
        failures=log_frame(FAILURES, "failure"),
        known=running([EPOCH_US + round(END * HOUR_US)] * 2),
        began_us=np.array([EPOCH_US] * 2),
    )


def label(machine: int, hour: float, component: str) -> float:
    if hour + 24 > END:
        return np.nan
    own = [event.hour for event in FAILURES if (event.machine, event.kind) == (machine, component)]
    return float(any(hour + 3 <= failed <= hour + 24 for failed in own))


def evaluate(given: PredictedSpan, **changes: Any) -> dict[str, Any]:
    costs = CostsParams(missed_failure=10.0, false_alarm=1.0, planned_repair=2.0, unit="EUR")
    lives = {"comp1": Lives(np.array([100.0, 100.0]), np.array([True, True]), np.array([0, 1]))}
    settings = EvaluationSettings(LABELS, costs, merge_hours=12.0)
    return evaluate_span(given, COMPONENTS, RULES, lives=lives, settings=replace(settings, **changes))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return evaluate(trial())


def test_events_by_hand(found: dict[str, Any]) -> None:
    # Of comp1, machine 1 fails at 100 h, warned of from 84 h on; machine 2 at 60 h, with no alert before.
    # Its alert at 108 h is followed by no failure within 24 h; what follows the one at 180 h nobody knows.
    events = found["components"]["comp1"]["events"]
    assert (events["failures"], events["caught"], events["caught_share"]) == (2, 1, 0.5)
    assert events["warning_hours"]["median"] == 16.0
    assert events["warned_ahead"] == {"3h": 0.5, "6h": 0.5, "12h": 0.5, "24h": 0.0}
    assert events["false_alarms"] == 1
    # What follows an alert of the last 24 h of 192 nobody knows.
    assert events["false_alarms_per_machine_month"] == pytest.approx(HOURS_PER_MONTH / (2 * 168))
    # Failures are judged from 24 h on until 3 h after the end, as one is logged later.
    assert events["judged_machine_months"] == pytest.approx(
        {"false_alarms": 2 * 168 / HOURS_PER_MONTH, "failures": 2 * (195 - 24) / HOURS_PER_MONTH}
    )
    other = found["components"]["comp2"]["events"]
    assert (other["failures"], other["caught"], other["false_alarms"]) == (1, 0, 0)
    assert other["warning_hours"]["median"] is None


def test_time_under_alert_and_chance_by_hand(found: dict[str, Any]) -> None:
    events, other = (found["components"][name]["events"] for name in COMPONENTS)
    # Four of 32 rows; one episode is true, one false, and one is undecided.
    assert (events["alert_share"], other["alert_share"], found["events"]["alert_share"]) == (4 / 32, 0.0, 4 / 32)
    assert (events["episode_precision"], other["episode_precision"]) == (0.5, None)
    assert found["events"]["episode_precision"] == 0.5
    # Two rows are in time for each failure; the two neighbouring alerts of machine 1 meet them in 3 of 16 shifts, the
    # two distant ones of machine 2 in 4.
    assert events["caught_by_chance"] == pytest.approx(7 / 16)
    assert events["chance_p_value"] == pytest.approx(1 - (13 / 16) * (12 / 16))
    assert (other["caught_by_chance"], other["chance_p_value"]) == (0.0, 1.0)
    assert found["events"]["caught_by_chance"] == pytest.approx(7 / 16)


def test_alert_all_the_time_catches_all_as_chance_does() -> None:
    always = trial({name: [(machine, hour) for machine in (1, 2) for hour in HOURS] for name in COMPONENTS})
    events = evaluate(always)["events"]
    assert (events["caught"], events["failures"], events["alert_share"]) == (3, 3, 1.0)
    assert (events["caught_by_chance"], events["chance_p_value"]) == pytest.approx((3.0, 1.0))


def test_list_warnings_has_every_evaluated_failure() -> None:
    listed = list_warnings(trial(), COMPONENTS, lead=LABELS)
    assert listed["machineID"].tolist() == [1, 2, 1]
    assert listed["component"].tolist() == ["comp1", "comp1", "comp2"]
    assert ((listed["datetime"] - EPOCH) / pd.Timedelta(hours=1)).tolist() == [100.0, 60.0, 150.0]
    np.testing.assert_equal(listed["warning_hours"].to_numpy(), [16.0, np.nan, np.nan])


def test_failures_that_are_not_judged_are_counted_by_reason(found: dict[str, Any]) -> None:
    # Machine 2 fails at 20 h, whose horizon begins before the test, and at 500 h, when its data have long ended.
    assert found["events"]["not_judged"] == {"early": 1, "no_telemetry": 1}
    assert evaluate(trial(), labels=LabelsParams(3.0, 20.0))["events"]["not_judged"] == {"early": 0, "no_telemetry": 1}


@settings(max_examples=FEW)
@given(
    st.lists(st.builds(Event, st.integers(1, 3), st.integers(-30, 230), st.sampled_from([*COMPONENTS, "other"]))),
    st.sampled_from([(0.0, 3.0), (3.0, 24.0), (24.0, 96.0)]),
)
def test_evaluate_span_counts_failures_not_evaluated(failures: list[Event], hours: tuple[float, float]) -> None:
    events = evaluate(replace(trial(), failures=log_frame(failures, "failure")), labels=LabelsParams(*hours))["events"]
    since = [event for event in failures if event.machine < 3 and event.kind in COMPONENTS and event.hour >= 0]
    assert events["failures"] + sum(events["not_judged"].values()) == len(since)
    assert events["not_judged"]["early"] == sum(event.hour < hours[1] for event in since)


def test_rows_by_hand(found: dict[str, Any]) -> None:
    # Rows are labelled up to 168 h: 15 a machine. Positive of comp1: 84 and 96 h of machine 1 (76 to 97 h would be),
    # 36 and 48 h of machine 2, 0 and 12 h for the failure at 20 h: 6 of 30. Alerts: 84, 96 and 108 h.
    rows = found["components"]["comp1"]
    labels = trial().labels[:, 0]
    assert (np.count_nonzero(labels == 1), np.count_nonzero(~np.isnan(labels))) == (6, 30)
    assert rows["f1"] == pytest.approx(2 * 2 / (3 + 6))
    # Two hits and a miss at .75, 4 failing and 23 other rows at .25.
    assert rows["brier"] == pytest.approx((2 * 0.25**2 + 0.75**2 + 4 * 0.75**2 + 23 * 0.25**2) / 30)
    assert rows["average_precision"] == pytest.approx((2 / 6) * (2 / 3) + (4 / 6) * (6 / 30))
    assert rows["roc_auc"] == pytest.approx((2 * (23 + 0.5) + 4 * (23 / 2)) / (6 * 24))
    assert rows["calibration_error"] == pytest.approx((3 * abs(0.75 - 2 / 3) + 27 * abs(0.25 - 4 / 27)) / 30)
    assert [(row["rows"], row["mean_probability"]) for row in rows["reliability"]] == [(27, 0.25), (3, 0.75)]


def test_rules_are_told_along(found: dict[str, Any]) -> None:
    told = [(row["threshold"], row["alert_off"]) for row in found["components"].values()]
    assert told == [(0.6, 0.4), (2.0, 2.0)]


def test_all_components_together_by_hand(found: dict[str, Any]) -> None:
    rows = found["components"]
    for name in ("roc_auc", "average_precision", "brier", "f1"):
        assert found["macro"][name] == pytest.approx((rows["comp1"][name] + rows["comp2"][name]) / 2)
    assert (found["events"]["failures"], found["events"]["caught"], found["events"]["false_alarms"]) == (3, 1, 1)
    assert found["events"]["caught_share"] == pytest.approx(1 / 3)
    # comp2: 30 rows at .25, of which those at 132 and 144 h are failing.
    assert rows["comp2"]["brier"] == pytest.approx((2 * 0.75**2 + 28 * 0.25**2) / 30)
    error = (3 * abs(0.75 - 2 / 3) + 57 * abs(0.25 - 6 / 57)) / 60
    assert found["calibration_error"] == pytest.approx(error)


def test_costs_by_hand(found: dict[str, Any]) -> None:
    # One planned repair and two missed failures in 2 * 171 h, and a false alarm in 2 * 168 h.
    failure_months, alarm_months = 342 / HOURS_PER_MONTH, 336 / HOURS_PER_MONTH
    assert found["costs"]["unit"] == "EUR"
    assert found["costs"]["alerts"] == pytest.approx((2 + 2 * 10) / failure_months + 1 / alarm_months)
    assert found["costs"]["run_to_failure"] == pytest.approx(3 * 10 / failure_months)
    # Nothing is known of the lives of comp2.
    assert found["costs"]["fixed_interval"] is None


def test_intervals_contain_the_metric_and_are_repeatable(found: dict[str, Any]) -> None:
    assert evaluate(trial()) == found
    intervals = found["events"]["intervals"]
    assert intervals
    shares = [interval for name, interval in intervals.items() if "caught" in name and interval is not None]
    assert shares
    assert all(low <= 1 / 3 <= high for low, high in shares)


def test_what_merges_is_one_false_alarm() -> None:
    alerts = {"comp1": [(2, 84.0), (2, 108.0)], "comp2": []}
    counts = [evaluate(trial(alerts), merge_hours=hours)["events"]["false_alarms"] for hours in (12.0, 24.0)]
    assert counts == [2, 1]


def test_failures_of_machines_that_are_not_tested_do_not_count(found: dict[str, Any]) -> None:
    other = log_frame([*FAILURES, Event(99, 100.0, "comp1")], "failure")
    assert evaluate(replace(trial(), failures=other)) == found


def test_evaluate_span_without_failure_has_none_metrics() -> None:
    quiet = replace(trial(), failures=log_frame([], "failure"), labels=np.where(np.isnan(trial().labels), np.nan, 0.0))
    metrics = evaluate(quiet)
    assert metrics["macro"]["average_precision"] is None
    assert metrics["macro"]["brier"] is not None
    assert (metrics["events"]["failures"], metrics["events"]["caught_share"]) == (0, None)
    assert metrics["events"]["false_alarms"] == 2
    assert metrics["costs"]["run_to_failure"] == 0


def test_machines_are_asked_by_their_own_end() -> None:
    given = trial()
    ends = given.known.ends_us.copy()
    # The data of machine 2 end within the horizon of its alert at 108 h: nobody knows what followed.
    ends[pd.Index([1, 2]).get_loc(2)] = EPOCH_US + 120 * HOUR_US
    assert evaluate(replace(given, known=running(ends)))["events"]["false_alarms"] == 0
