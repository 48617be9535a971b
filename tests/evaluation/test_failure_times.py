"""Metrics of the hours to failure, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdm_cli.evaluation.evaluate import PredictedSpan
from pdm_cli.evaluation.failure_times import evaluate_horizon, evaluate_hours
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp, label_failures
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

LEAD = LabelsParams(3.0, 48.0)
NAN = float("nan")


def make_span(hours: list[int], *, failed: int, until: int, alerts: list[bool] | None = None) -> PredictedSpan:
    """Return rows of one machine at some hours, which fails once and is watched until an hour."""
    rows = Instants(pd.Index([1]), np.zeros(len(hours), np.int64), np.array(hours) * US_PER_HOUR)
    times = pd.to_datetime([failed * US_PER_HOUR], unit="us").astype("datetime64[us]")
    failures = pd.DataFrame({"machineID": [1], "datetime": times, "failure": ["pump"]})
    ends = np.array([until * US_PER_HOUR])
    known = FollowUp(ends, np.array([NEVER_US]), ends)
    labels = label_failures(rows, failures, ["pump"], known=known, params=LEAD)
    is_on = np.ones((len(hours), 1), np.bool_) if alerts is None else np.array(alerts)[:, np.newaxis]
    return PredictedSpan(rows, labels, np.full((len(hours), 1), 0.5), is_on, failures, known, np.zeros(1, np.int64))


def hours_of(*quantiles: list[float]) -> np.ndarray:
    return np.array(quantiles)[:, np.newaxis]


def test_evaluate_hours_by_hand() -> None:
    # The failure is 90, 40, 30 and 20 h ahead.
    span = make_span([10, 60, 70, 80], failed=100, until=200)
    hours = hours_of([10, 20, 30], [10, 30, 60], [31, 40, NAN], [5, NAN, NAN])
    found = evaluate_hours(span, ["pump"], hours, lead=LEAD)
    assert found == {
        "level": 0.8,
        "rows": 4,
        # The second and the last: a missing end is beyond every failure.
        "coverage": 0.5,
        "median_width_hours": 35.0,
        "mean_error_hours": pytest.approx((70 + 10 + 10) / 3),
    }


def test_evaluate_hours_counts_rows_with_an_alert_and_a_known_outcome() -> None:
    # After the failure, the interval of the second row ends after the last known hour: nobody can know.
    span = make_span([105, 110, 120, 160], failed=100, until=200, alerts=[True, True, False, True])
    hours = hours_of([10, 20, 30], [10, 20, 100], [10, 20, 30], [10, 20, 30])
    found = evaluate_hours(span, ["pump"], hours, lead=LEAD)
    assert (found["rows"], found["coverage"], found["mean_error_hours"]) == (1, 0.0, None)


def test_evaluate_hours_without_alerts_has_no_coverage() -> None:
    span = make_span([10, 60], failed=100, until=200, alerts=[False, False])
    found = evaluate_hours(span, ["pump"], hours_of([1, 2, 3], [1, 2, 3]), lead=LEAD)
    assert (found["rows"], found["coverage"], found["median_width_hours"]) == (0, None, None)


def test_evaluate_hours_without_any_quantile_has_no_interval() -> None:
    span = make_span([10, 60, 120], failed=100, until=200)
    found = evaluate_hours(span, ["pump"], hours_of(*[[NAN] * 3] * 3), lead=LEAD)
    assert (found["rows"], found["coverage"], found["median_width_hours"]) == (2, 0.0, None)


def test_evaluate_horizon_uses_the_labels_of_that_horizon() -> None:
    span = make_span([10, 60, 70, 120], failed=100, until=200)
    probabilities = np.array([[0.0], [0.0], [1.0], [0.0]])
    found = evaluate_horizon(span, ["pump"], probabilities, lead=LEAD, hours=36.0)
    assert (found["horizon_hours"], found["rows"], found["components"]) == (36.0, 4, 1)
    assert (found["average_precision"], found["brier"], found["calibration_error"]) == (1.0, 0.0, 0.0)
    # 96 h from the last row on are not known, and without a failure there is no precision.
    found = evaluate_horizon(span, ["pump"], probabilities, lead=LEAD, hours=96.0)
    assert (found["rows"], found["brier"], found["average_precision"]) == (3, pytest.approx(2 / 3), None)


def test_evaluate_horizon_leaves_out_components_without_it() -> None:
    span = make_span([10, 60, 70, 120], failed=100, until=200)
    two = PredictedSpan(**{**vars(span), "labels": np.repeat(span.labels, 2, axis=1)})
    probabilities = np.column_stack([[0.0, 0.0, 1.0, 0.0], np.full(4, np.nan)])
    found = evaluate_horizon(two, ["pump", "belt"], probabilities, lead=LEAD, hours=36.0)
    assert (found["components"], found["average_precision"]) == (1, 1.0)
