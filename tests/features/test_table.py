"""Columns of features and their values, worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from pdm_cli.errors import DataError, FeatureMismatch
from pdm_cli.features.build import Sources, learn_vocabulary
from pdm_cli.features.table import FeatureTable
from tests.builders.features import build, column, tables_of
from tests.builders.fleets import HOUR_US, Event, log_frame, stamps
from tests.builders.problems import FOREVER


@pytest.mark.parametrize(
    ("events", "machines", "name"),
    [
        ({"errors": log_frame([Event(1, 0, "any_error")])}, None, "hours_since_any_error"),
        ({}, pd.DataFrame({"machineID": [1], "volt_mean_3h": [2.0]}), "volt_mean_3h"),
        ({"maint": log_frame([])}, pd.DataFrame({"machineID": [1], "visit_phase": ["x"]}), "visit_phase"),
    ],
)
def test_duplicate_columns_fail(events: dict[str, pd.DataFrame], machines: pd.DataFrame | None, name: str) -> None:
    with pytest.raises(DataError, match=f"duplicate column '{name}'"):
        build(tables_of([(1, 0.0)], events, machines))


def test_a_matrix_has_the_columns_asked_for_in_their_order() -> None:
    table = FeatureTable(["a", "b"], ["f", "g"], [], [np.float32([1, 2, 3]), np.float32([4, 5, 6])])
    assert table.matrix(["b", "a", "b"]).tolist() == [[4, 1, 4], [5, 2, 5], [6, 3, 6]]
    assert table.matrix(["b"], np.array([2, 0])).tolist() == [[6], [4]]
    assert table.matrix(["a"], np.array([False, True, False])).tolist() == [[2]]


def test_matrix_missing_columns_fail() -> None:
    table = FeatureTable(["a"], ["f"], [], [np.float32([1])])
    with pytest.raises(FeatureMismatch, match="2 features of the model cannot be computed, first 'x'"):
        table.matrix(["a", "x", "y"])


def test_join_has_the_columns_of_both() -> None:
    left = FeatureTable(["a"], ["f"], ["a"], [np.float32([1])])
    right = FeatureTable(["b", "c"], ["g", "f"], ["c"], [np.float32([2]), np.float32([3])])
    both = left.join(right)
    assert (both.names, both.families, both.categorical) == (["a", "b", "c"], ["f", "g", "f"], ["a", "c"])
    assert both.matrix(both.names).tolist() == [[1, 2, 3]]
    assert both.names_of(["f"]) == ["a", "c"]


def test_numbers_beyond_single_precision_become_infinite() -> None:
    machines = pd.DataFrame({"machineID": [1], "price": [1e300]})
    assert column(build(tables_of([(1, 0.0)], machines=machines)), "price").tolist() == [np.inf]


def test_hours_since_and_counts_by_hand() -> None:
    log = log_frame([Event(1, 5, "x"), Event(1, 6, "y"), Event(1, 30, "x"), Event(2, 6, "x")])
    table = build(tables_of([(1, 6.0), (1, 30.0), (1, 54.0)], {"errors": log}))
    assert column(table, "hours_since_x").tolist() == [1, 0, 24]
    assert column(table, "hours_since_any_error").tolist() == [0, 0, 24]
    # Windows are open to the past: what came 24 h before is out.
    assert column(table, "x_count_24h").tolist() == [1, 1, 0]
    assert column(table, "x_count_48h").tolist() == [1, 2, 1]


def test_causal_anomalies_become_hours_since_counts_and_scores_per_sensor() -> None:
    log = log_frame([Event(1, 5, "volt"), Event(1, 6, "rotate"), Event(1, 7, "volt")])
    log["score"] = [1.5, 2.5, 3.5]
    table = build(tables_of([(1, 6.0), (1, 9.0)], {"anomalies": log}))
    assert column(table, "volt_anomaly_score").tolist() == [1.5, 3.5]
    assert column(table, "rotate_anomaly_score").tolist() == [2.5, 2.5]
    assert column(table, "hours_since_volt_anomaly").tolist() == [1, 2]
    assert column(table, "hours_since_any_anomaly").tolist() == [0, 2]
    assert column(table, "volt_anomaly_count_24h").tolist() == [1, 2]


def test_visits_and_places_in_their_cycle_by_hand() -> None:
    maint = log_frame([Event(1, 48.0 * visit, "c") for visit in range(8)])
    errors = log_frame([Event(1, 340.0, "x")])
    table = build(tables_of([(1, 346.0), (1, 360.0)], {"maint": maint, "errors": errors}))
    # The latest visit was at 336 h, the next one is due at 384 h.
    assert column(table, "visit_period").tolist() == [48, 48]
    assert column(table, "visit_phase").tolist() == [np.float32(10 / 48), 0.5]
    assert column(table, "hours_to_visit").tolist() == [38, 24]
    # The error came 44 h before the visit, whenever one looks.
    assert column(table, "x_to_visit").tolist() == [44, 44]


def test_a_step_of_the_sensor_is_a_shift_since_then() -> None:
    telemetry = pd.DataFrame({"machineID": 1, "datetime": stamps(list(range(200)))})
    # Median 0 and MAD 1 / 1.4826 or so; from hour 190 on the sensor stands ten higher.
    telemetry["volt"] = np.tile([-1.0, 0.0, 1.0, 0.0], 50) + 10.0 * (np.arange(200) >= 190)
    rolling = telemetry[telemetry["datetime"].isin(stamps([180, 195]))][["machineID", "datetime"]]
    table = build(Sources(rolling.reset_index(drop=True), telemetry, HOUR_US, 3 * HOUR_US, {}, None), ["shifts"])
    assert column(table, "volt_shift_age")[1] == 6
    assert column(table, "volt_shift")[1] > 4 > abs(column(table, "volt_shift")[0])
    assert column(table, "volt_shift_step")[1] == pytest.approx(column(table, "volt_shift")[1] / 6**0.5)


@pytest.mark.parametrize("dtype", ["str", "object", "category"])
def test_categories_are_positions_in_the_sorted_list_and_unknown_ones_are_missing(dtype: str) -> None:
    known = pd.DataFrame({"machineID": [1, 2], "model": pd.Series(["model3", "model1"], dtype=dtype)})
    rows = [(machine, 0.0) for machine in range(1, 6)]
    vocabulary = learn_vocabulary(tables_of(rows, machines=known), until_us=FOREVER)
    assert vocabulary.categories == {"model": ["model1", "model3"]}
    # Machine 3 has a model never seen, machine 4 none, and machine 5 is not in the table.
    later = pd.DataFrame(
        {"machineID": [4, 3, 2, 1], "model": pd.Series([None, "new", "model1", "model3"], dtype=dtype)}
    )
    table = build(tables_of(rows, machines=later), vocabulary=vocabulary)
    assert_array_equal(column(table, "model"), [1, 0, np.nan, np.nan, np.nan])


def test_numeric_attributes_are_looked_up_by_machine() -> None:
    machines = pd.DataFrame({"machineID": ["b", "a"], "age": [7, 18], "is_new": [True, False]})
    table = build(tables_of([("a", 0.0), ("a", 3.0), ("b", 0.0), ("c", 0.0)], machines=machines))
    assert table.categorical == []
    assert_array_equal(column(table, "age"), [18, 18, 7, np.nan])
    assert_array_equal(column(table, "is_new"), [0, 0, 1, np.nan])
