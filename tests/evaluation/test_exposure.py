from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.evaluate import EvaluationSettings, PredictedSpan, evaluate_span
from pdm_cli.evaluation.events import evaluate_events
from pdm_cli.evaluation.exposure import HOURS_PER_MONTH, Exposure, machine_months, measure_exposure, usual_steps
from pdm_cli.evaluation.gates import parse_gate
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.settings.model import CostsParams, LabelsParams
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, hours, instants_of, log_frame, running

LABELS = LabelsParams(3.0, 48.0)
# One alarm or failure every hundred hours.
RATE = HOURS_PER_MONTH / 100


def us(hour: float) -> int:
    return EPOCH_US + round(hour * HOUR_US)


def exposure_hours(
    rows: Instants, *, ends: list[float], log_end: float, labels: LabelsParams = LABELS
) -> tuple[list[float], list[float]]:
    known = running([us(end) for end in ends])
    found = measure_exposure(rows, known=known, log_end_us=us(log_end), labels=labels)
    return (found.alarms * HOURS_PER_MONTH).tolist(), (found.failures * HOURS_PER_MONTH).tolist()


def watched(*spans: tuple[int, float, float], step: float = 0.5) -> Instants:
    """Rows at every step of spans of machines, both ends included."""
    return instants_of([(m, hour) for m, start, end in spans for hour in np.arange(start, end + step / 2, step)])


def test_months_by_hand() -> None:
    rows = watched((1, 0, 100), (2, 10, 57), (3, 0, 40))
    alarms, failures = exposure_hours(rows, ends=[100, 58.5, 40], log_end=101)
    # Machine 2 is known for 48.5 h of which alerts of the first half hour can be judged.
    assert alarms == pytest.approx([52, 0.5, 0])
    # Of machine 1 failures are logged for an hour after its end, of the others for the lead time.
    assert failures == pytest.approx([53, 3.5, 0])


def test_alarms_end_with_the_rows_and_a_machine_without_rows_is_not_watched() -> None:
    rows = watched((1, 0, 30), (2, 0, 0), step=5)
    rows = Instants(rows.machines, rows.codes[:-1], rows.times[:-1])
    alarms, failures = exposure_hours(rows, ends=[100, 100], log_end=100)
    # Machine 1 is watched until 35 h; the last warning period that includes some of this starts then.
    assert (alarms, failures) == (pytest.approx([30, 0]), pytest.approx([35, 0]))


def test_alarms_of_a_machine_that_ended_count_until_its_failure() -> None:
    """Machine 1 ended at 100 h of a log of 400 h, machine 2 at 380 h; machine 3 has rows after its failure at 100 h."""
    rows = watched((1, 0, 100), (2, 0, 380), (3, 0, 110))
    failed = np.array([us(100), us(380), us(100)])
    known = FollowUp(rows.ends(), failed, np.array([us(400)] * 3))
    found = measure_exposure(rows, known=known, log_end_us=us(400), labels=LABELS)
    assert (found.alarms * HOURS_PER_MONTH).tolist() == pytest.approx([100, 352, 100])
    assert (found.failures * HOURS_PER_MONTH).tolist() == pytest.approx([55, 335, 65])


def test_gap_of_sixty_days_is_not_watched() -> None:
    day = 24.0
    whole, cut = watched((1, 0, 30 * day)), watched((1, 0, 10 * day), (1, 70 * day, 90 * day))
    alarms, failures = exposure_hours(whole, ends=[30 * day], log_end=30 * day)
    assert (alarms, failures) == (pytest.approx([28 * day]), pytest.approx([28 * day]))
    alarms, failures = exposure_hours(cut, ends=[90 * day], log_end=90 * day)
    # The last row before the gap is watched for the usual step.
    assert alarms == pytest.approx([28 * day + 0.5])
    # A failure up to two days after the start of the gap could be warned of, and none in the first three hours after
    # its end.
    assert failures == pytest.approx([30 * day + 0.5 - 3])
    assert machine_months(cut)[0] * HOURS_PER_MONTH == pytest.approx(30 * day + 0.5)


def test_a_stray_row_adds_a_step_and_no_more() -> None:
    rows = watched((1, 0, 480), (1, 800_000, 800_000))
    alarms, _ = exposure_hours(rows, ends=[800_000], log_end=800_000)
    assert alarms == pytest.approx([480.5])


def test_machines_with_different_steps_are_watched_all_the_time() -> None:
    days = 90
    often = [(machine, hour) for machine in (1, 2) for hour in range(0, days * 24 + 1, 3)]
    daily = [(machine, hour) for machine in range(3, 13) for hour in range(0, days * 24 + 1, 24)]
    rows = instants_of([*often, *daily])
    assert (usual_steps(rows) // HOUR_US).tolist() == [3] * 2 + [24] * 10
    assert (machine_months(rows) * HOURS_PER_MONTH).tolist() == pytest.approx([days * 24] * 12)
    alarms, failures = exposure_hours(rows, ends=[days * 24] * 12, log_end=days * 24)
    assert (alarms, failures) == (pytest.approx([days * 24 - 48] * 12), pytest.approx([days * 24 - 48] * 12))


def test_a_machine_with_two_rows_years_apart_is_watched_for_a_day_of_hourly_rows() -> None:
    rows = watched((1, 0, 100), (2, 0, 0), (2, 20_000, 20_000), step=1)
    assert (machine_months(rows) * HOURS_PER_MONTH).tolist() == pytest.approx([100, 24])


def test_failures_after_a_daily_row_are_watched_in_a_fleet_of_hourly_rows() -> None:
    rows = instants_of([*((1, hour) for hour in range(400)), *((2, 24 * day) for day in range(16))])
    failed = log_frame([Event(2, 204, "comp1")], "failure")
    labels = LabelsParams(1.0, 6.0)
    given = {"watched": rows, "known": running([us(399), us(360)]), "labels": labels, "merge_hours": 0.0}
    assert len(evaluate_events(rows, failed, **given).warning_hours) == 1


def test_machine_months_run_from_first_to_last_row() -> None:
    rows = watched((1, 0, 73), (2, 3, 3), (3, 5, 5), step=1)
    rows = Instants(rows.machines, np.delete(rows.codes, -2), np.delete(rows.times, -2))
    assert (machine_months(rows) * HOURS_PER_MONTH).tolist() == pytest.approx([73, 0, 0])


def test_spans_add_up() -> None:
    one, other = Exposure(np.array([1.0, 2.0]), np.array([3.0, 4.0])), Exposure(np.array([0.5]), np.array([0.25]))
    both = Exposure.concatenate([one, other])
    assert (both.alarm_months, both.failure_months) == (3.5, 7.25)


@given(
    hours(0, 60),
    hours(0, 120),
    hours(0, 10),
    st.tuples(hours(0, 120), hours(0, 60)),
    st.sampled_from([LABELS, LabelsParams(0.5, 6.0), LabelsParams(6.0, 6.0)]),
)
def test_measure_exposure_is_the_time_of_evaluated_events(
    start: float, length: float, logged: float, gap: tuple[float, float], labels: LabelsParams
) -> None:
    """Count the evaluated ones of alerts, and of failures, in the middle of every half hour.

    In a gap there are no alerts, except in the half hour after the row before it, which is the usual step.
    """
    end, log_end = start + length, start + length + logged
    from_, until = start + gap[0], start + gap[0] + gap[1]
    middles = [step / 2 + 0.25 for step in range(2 * 200)]
    all_rows = watched((1, start, end))
    is_row = (all_rows.times <= us(from_)) | (all_rows.times >= us(until)) | (all_rows.times == us(end))
    rows = Instants(all_rows.machines, all_rows.codes[is_row], all_rows.times[is_row])
    assume(len(rows.times) == 1 or usual_steps(rows).tolist() == [HOUR_US // 2])
    alarms, failures = exposure_hours(rows, ends=[end], log_end=log_end, labels=labels)
    given = {"watched": rows, "known": running([us(end)]), "labels": labels, "merge_hours": 0.0}
    # Half an hour apart, so that they are separate episodes.
    is_gap = [from_ + 0.5 < middle < until and from_ < end for middle in middles]
    times = [us(m) for m, within in zip(middles, is_gap, strict=True) if start <= m <= end and not within]
    alerts = Instants(pd.Index([1]), np.zeros(len(times), np.int64), np.array(times, np.int64))
    false_alarms = evaluate_events(alerts, log_frame([], "failure"), **given).false_alarms if times else 0
    stamps = [pd.Timestamp(us(middle), unit="us") for middle in middles if middle <= log_end]
    failed = pd.DataFrame({"machineID": [1] * len(stamps), "datetime": stamps})
    evaluated = len(evaluate_events(rows, failed, **given).warning_hours)
    assert (alarms, failures) == (pytest.approx([false_alarms / 2]), pytest.approx([evaluated / 2]))


def random_span(days: int, machines: int) -> PredictedSpan:
    """Random alerts of one component, all false, and random failures of another."""
    rng = np.random.default_rng(days)
    steps = np.arange(0, days * 24 + 1)
    rows = Instants(
        pd.RangeIndex(machines),
        np.repeat(np.arange(machines), len(steps)),
        np.tile(EPOCH_US + steps * HOUR_US, machines),
    )
    alerts = np.zeros((len(rows.codes), 2), np.bool_)
    alerts[:, 0] = rng.random(len(rows.codes)) < 0.01
    failed = rng.random(len(rows.codes)) < 0.01
    failures = pd.DataFrame(
        {"machineID": rows.codes[failed], "datetime": rows.times[failed].astype("datetime64[us]"), "failure": "comp2"}
    )
    known, began = running([us(days * 24)] * machines), np.full(machines, EPOCH_US)
    return PredictedSpan(rows, np.zeros((len(rows.codes), 2)), alerts * 0.5, alerts, failures, known, began)


def evaluate(span: PredictedSpan) -> dict:
    costs = CostsParams(missed_failure=1.0, false_alarm=1.0, planned_repair=0.0)
    settings = EvaluationSettings(LABELS, costs, merge_hours=0.0)
    return evaluate_span(span, ["comp1", "comp2"], [AlertRule(0.5, 0.5)] * 2, lives={}, settings=settings)


@pytest.mark.parametrize("days", [4, 7, 30])
def test_evaluate_rates_and_costs_do_not_depend_on_the_length_of_the_span(days: int) -> None:
    found = evaluate(random_span(days, machines=6000 // days**2 + 20))
    events, costs = found["events"], found["costs"]
    # Four standard deviations of the count.
    near = pytest.approx(RATE, rel=4 / np.sqrt(events["false_alarms"]) + 0.01)
    assert events["false_alarms_per_machine_month"] == near
    low, high = events["intervals"]["false_alarms_per_machine_month"]
    assert low <= events["false_alarms_per_machine_month"] <= high
    assert costs["run_to_failure"] == near
    assert costs["alerts"] == pytest.approx(events["false_alarms_per_machine_month"] + costs["run_to_failure"])


def test_evaluate_span_shorter_than_horizon_has_no_rate_and_fails_gates() -> None:
    found = evaluate(random_span(2, machines=3))
    assert found["events"]["false_alarms_per_machine_month"] is None
    assert found["events"]["intervals"]["false_alarms_per_machine_month"] is None
    assert found["events"]["judged_machine_months"] == {"false_alarms": 0.0, "failures": 0.0}
    assert (found["costs"]["alerts"], found["costs"]["run_to_failure"]) == (None, None)
    assert parse_gate("false_alarms>100").fails(found)
