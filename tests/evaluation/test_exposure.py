from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.evaluate import EvaluationSettings, PredictedSpan, evaluate_span
from pdm_cli.evaluation.events import evaluate_events
from pdm_cli.evaluation.exposure import HOURS_PER_MONTH, Exposure, machine_months, measure_exposure
from pdm_cli.evaluation.gates import parse_gate
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.settings.model import CostsParams, LabelsParams
from tests.builders.fleets import EPOCH_US, HOUR_US, hours, instants_of, log_frame, running

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


def test_months_by_hand() -> None:
    rows = instants_of([(1, 0), (1, 100), (2, 10), (2, 57), (3, 0), (3, 40)])
    alarms, failures = exposure_hours(rows, ends=[100, 58.5, 40], log_end=101)
    # Machine 2 is known for 48.5 h of which alerts of the first half hour can be judged.
    assert alarms == pytest.approx([52, 0.5, 0])
    # Of machine 1 failures are logged for an hour after its end, of the others for the lead time.
    assert failures == pytest.approx([53, 3.5, 0])


def test_alarms_end_with_the_rows_and_a_machine_without_rows_is_not_watched() -> None:
    rows = instants_of([(1, 0), (1, 30), (2, 0)])
    rows = Instants(rows.machines, rows.codes[:2], rows.times[:2])
    alarms, failures = exposure_hours(rows, ends=[100, 100], log_end=100)
    assert (alarms, failures) == (pytest.approx([30, 0]), pytest.approx([52, 0]))


def test_alarms_of_a_machine_that_ended_count_until_its_failure() -> None:
    """Machine 1 ended at 100 h of a log of 400 h, machine 2 at 380 h; machine 3 has rows after its failure at 100 h."""
    rows = instants_of([(1, 0), (1, 100), (2, 0), (2, 380), (3, 0), (3, 110)])
    failed = np.array([us(100), us(380), us(100)])
    known = FollowUp(rows.ends(), failed, np.array([us(400)] * 3))
    found = measure_exposure(rows, known=known, log_end_us=us(400), labels=LABELS)
    assert (found.alarms * HOURS_PER_MONTH).tolist() == pytest.approx([100, 352, 100])
    assert (found.failures * HOURS_PER_MONTH).tolist() == pytest.approx([55, 335, 65])


def test_machine_months_run_from_first_to_last_row() -> None:
    rows = instants_of([(1, 0), (1, 10), (1, 73), (2, 3), (3, 5)])
    rows = Instants(rows.machines, rows.codes[[0, 1, 2, 4]], rows.times[[0, 1, 2, 4]])
    assert (machine_months(rows) * HOURS_PER_MONTH).tolist() == pytest.approx([73, 0, 0])


def test_spans_add_up() -> None:
    one, other = Exposure(np.array([1.0, 2.0]), np.array([3.0, 4.0])), Exposure(np.array([0.5]), np.array([0.25]))
    both = Exposure.concatenate([one, other])
    assert (both.alarm_months, both.failure_months) == (3.5, 7.25)


@given(
    hours(0, 60),
    hours(0, 120),
    hours(0, 10),
    st.sampled_from([LABELS, LabelsParams(0.5, 6.0), LabelsParams(6.0, 6.0)]),
)
def test_measure_exposure_is_the_time_of_evaluated_events(
    start: float, length: float, logged: float, labels: LabelsParams
) -> None:
    """Count the evaluated ones of alerts, and of failures, in the middle of every half hour."""
    end, log_end = start + length, start + length + logged
    middles = [step / 2 + 0.25 for step in range(2 * 200)]
    rows = instants_of([(1, start), (1, end)] if length else [(1, start)])
    alarms, failures = exposure_hours(rows, ends=[end], log_end=log_end, labels=labels)
    given = {"start_us": us(start), "known": running([us(end)]), "labels": labels, "merge_hours": 0.0}
    # Half an hour apart, so that they are separate episodes.
    times = np.array([us(middle) for middle in middles if start <= middle <= end], np.int64)
    alerts = Instants(pd.Index([1]), np.zeros(len(times), np.int64), times)
    false_alarms = evaluate_events(alerts, log_frame([], "failure"), **given).false_alarms if len(times) else 0
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
    return PredictedSpan(
        rows, np.zeros((len(rows.codes), 2)), alerts * 0.5, alerts, failures, running([us(days * 24)] * machines)
    )


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
