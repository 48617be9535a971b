"""Levels against a machine's own past, and residuals of sensors given the others."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.features.machine_levels import (
    LevelWindows,
    MachineLevels,
    SensorRelation,
    find_healthy,
    find_levels,
    learn_relation,
    level_columns,
    residual_columns,
)
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, instants_of, log_frame, rows_frame

DAYS = 50


def levels_of(values: list[np.ndarray[Any, Any]], names: str = "abcdefgh") -> MachineLevels:
    return MachineLevels(
        list(names[: len(values[0])]), ["24h", "168h"][: len(values)], values, np.zeros_like(values[0])
    )


def telemetry_of(*columns: np.ndarray[Any, Any], machine: str = "m", step: float = 1.0) -> pd.DataFrame:
    frame = rows_frame([(machine, step * hour) for hour in range(len(columns[0]))])
    return frame.assign(**dict(zip("abcdefgh", columns, strict=False)))


@pytest.mark.parametrize("seed", range(3))
def test_find_levels_hourly_log_are_means_minus_the_mean_of_30_days(seed: int) -> None:
    rng = np.random.default_rng(seed)
    readings = rng.normal(5, 1, 24 * DAYS)
    readings[rng.random(len(readings)) < 0.1] = np.nan
    instants = instants_of([("m", float(hour)) for hour in range(3, 24 * DAYS, 96)])
    windows = LevelWindows.of(48.0, 720.0)
    found = find_levels(telemetry_of(readings), instants, windows, step_us=HOUR_US, grid_us=3 * HOUR_US)
    assert found.labels == ["24h", "168h"]
    for hours, values in zip((24, 168), found.values, strict=True):
        rolling = pd.Series(readings).rolling
        level = rolling(720, min_periods=24).mean()
        expected = rolling(hours, min_periods=hours // 2).mean() - level
        # A window that begins before the log has the readings that exist.
        assert_allclose(values[0], expected[3::96], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("step", "grid", "horizon", "labels"),
    [
        (10 / 60, 3.0, 48.0, ["24h", "168h"]),
        (24.0, 24.0, 168.0, ["96h", "576h"]),
        (1.0, 1.0, 30.0, ["15h", "105h"]),
        (0.5, 0.5, 1.0, ["30min", "210min"]),
        (1.0, 1.0, 1.0, ["1h", "4h"]),
    ],
)
def test_find_levels_windows_follow_grid_and_horizon(
    step: float, grid: float, horizon: float, labels: list[str]
) -> None:
    windows = LevelWindows.of(horizon, 720.0)
    found = find_levels(
        telemetry_of(np.arange(200.0), step=step),
        instants_of([("m", 100 * grid)]),
        windows,
        step_us=round(step * HOUR_US),
        grid_us=round(grid * HOUR_US),
    )
    assert found.labels == labels
    assert windows.usual_hours == max(720.0, 15 * horizon)


def test_find_levels_constant_sensor_is_exactly_0() -> None:
    instants = instants_of([("m", float(hour)) for hour in range(60, 900, 3)])
    constant = telemetry_of(np.full(900, 0.1))
    found = find_levels(constant, instants, LevelWindows.of(48.0, 720.0), step_us=HOUR_US, grid_us=3 * HOUR_US)
    assert set(found.values[0].ravel()) == {0.0}


def test_learn_relation_finds_the_weights_that_made_the_sensors() -> None:
    rng = np.random.default_rng(4)
    load, air = rng.normal(size=(2, 3000))
    values = np.stack([load, air, 3 * load - 2 * air + rng.normal(0, 0.1, 3000)])
    relation = learn_relation(levels_of([values]), np.ones(3000, bool))
    in_units = relation.weights * relation.scales[:, None] / relation.scales
    assert_allclose(in_units[2], [3, -2, 0], atol=0.2)
    # A damage in one sensor alone stands out although load and air move it ten times as much.
    damaged = values + np.array([[0.0], [0.0], [1.0]])
    moved = (relation.residuals(damaged) - relation.residuals(values)) * relation.scales[:, None]
    assert_allclose(moved[2], 1.0)
    assert np.std(relation.residuals(values)[2] * relation.scales[2]) < 0.2 < np.std(values[2]) / 10


def test_learn_relation_least_squares_agrees() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(4, 4)) @ rng.normal(size=(4, 500))
    relation = learn_relation(levels_of([values]), np.ones(500, bool))
    scaled = np.clip(values / relation.scales[:, None], -6, 6)
    for sensor in range(4):
        others = np.delete(np.arange(4), sensor)
        norms = np.sqrt((scaled**2).sum(axis=1))
        unit = scaled / norms[:, None]
        ridge = np.vstack([unit[others].T, np.sqrt(1e-3) * np.eye(3)])
        weights = np.linalg.lstsq(ridge, np.append(unit[sensor], np.zeros(3)))[0]
        assert_allclose(relation.weights[sensor, others], weights * norms[sensor] / norms[others], rtol=1e-6)


def slow_relation(values: np.ndarray[Any, Any]) -> SensorRelation:
    """Return the relation from a ridge regression for each sensor."""
    scales = np.array([1.4826 * np.nanmedian(np.abs(row)) or 1.0 for row in values])
    scaled = np.clip(np.nan_to_num(values / scales[:, None]), -6, 6)
    norms = np.maximum(np.sqrt((scaled**2).sum(axis=1)), 1e-300)
    unit = scaled / norms[:, None]
    weights = np.zeros((len(values), len(values)))
    for sensor in range(len(values)):
        others = np.delete(np.arange(len(values)), sensor)
        inner = unit[others] @ unit[others].T + 1e-3 * np.eye(len(others))
        found = np.linalg.solve(inner, unit[others] @ unit[sensor])
        weights[sensor, others] = found * norms[sensor] / norms[others]
    return SensorRelation(list("abcdefgh"[: len(values)]), scales, weights)


@pytest.mark.parametrize("seed", range(4))
def test_learn_relation_regression_of_each_sensor_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(8, 3)) @ rng.normal(size=(3, 9000)) + rng.normal(0, 0.1, (8, 9000))
    # A copy, a constant sensor, and missing and extreme levels.
    values[1], values[2] = values[0], 0.0
    values[rng.random(values.shape) < 0.05] = np.nan
    values[3, :9] = 1e9
    found, expected = learn_relation(levels_of([values]), np.ones(9000, bool)), slow_relation(values)
    assert_allclose(found.scales, expected.scales, rtol=1e-4)
    assert_allclose(found.weights, expected.weights, rtol=1e-3, atol=1e-6)
    scaled = values / found.scales[:, None]
    predicted = np.zeros(values.shape)
    for sensor, weights in enumerate(found.weights.T):
        predicted += weights[:, None] * np.clip(np.nan_to_num(scaled[sensor]), -6, 6)
    assert_allclose(found.residuals(values), scaled - predicted, rtol=1e-6, atol=1e-5)


def test_learn_relation_without_healthy_rows_explains_nothing() -> None:
    values = np.array([[1.0, 2.0, np.nan], [3.0, 1.0, 0.0]])
    relation = learn_relation(levels_of([values]), np.zeros(3, bool))
    assert_array_equal(relation.residuals(values), values)


def test_residuals_missing_and_extreme_predictors_do_not_spread() -> None:
    rng = np.random.default_rng(6)
    load = rng.normal(size=2000)
    relation = learn_relation(levels_of([np.stack([load, load])]), np.ones(2000, bool))
    found = relation.residuals(np.array([[1.0, 1.0, np.nan], [np.nan, 1e30, 2.0]]))
    assert np.isnan(found[1, 0])
    assert np.isnan(found[0, 2])
    assert found[0, 0] == pytest.approx(1 / relation.scales[0])
    assert abs(found[0, 1]) < 10


def test_residuals_of_a_row_do_not_depend_on_other_rows() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5000)) + rng.normal(size=(60, 5000))
    relation = learn_relation(
        MachineLevels([str(n) for n in range(60)], ["24h"], [values], values), np.ones(5000, bool)
    )
    whole = relation.residuals(values)
    for size in (1, 3, 64, 4097):
        assert whole[:, :size].tobytes() == relation.residuals(values[:, :size]).tobytes()


def test_find_healthy_ends_before_and_begins_after_a_failure() -> None:
    instants = instants_of([("m", 24.0 * day) for day in range(100)] + [("other", 0.0)])
    failures = log_frame([Event("m", 24.0 * 50, "c"), Event("m", 24.0 * 90, "later")])
    until = EPOCH_US + 24 * 80 * HOUR_US
    healthy = find_healthy(instants, failures, until_us=until, horizon_hours=48)
    days = set(np.flatnonzero(healthy[:100]))
    assert days == {*range(37), *range(52, 81)}
    assert healthy[100]


def test_find_healthy_short_lives_keep_their_first_half() -> None:
    instants = instants_of([("m", float(hour)) for hour in range(100)])
    failures = log_frame([Event("m", 99.0, "c")])
    healthy = find_healthy(instants, failures, until_us=2**62, horizon_hours=48)
    assert 49 <= np.count_nonzero(healthy) <= 51
    assert healthy[:49].all()


def test_columns_are_named_after_sensor_and_window() -> None:
    values = [np.zeros((2, 3)), np.ones((2, 3))]
    levels = levels_of(values)
    relation = learn_relation(levels, np.ones(3, bool))
    assert [n for n, _ in level_columns(levels)] == ["a_level_24h", "a_level_168h", "b_level_24h", "b_level_168h"]
    names = [name for name, _ in residual_columns(levels, relation)]
    assert names == ["a_residual_24h", "a_residual_168h", "b_residual_24h", "b_residual_168h"]


def test_residual_columns_of_a_single_sensor_are_left_out() -> None:
    levels = levels_of([np.zeros((1, 3))])
    assert list(residual_columns(levels, learn_relation(levels, np.ones(3, bool)))) == []


def test_relation_written_as_json_is_read_back_alike() -> None:
    rng = np.random.default_rng(8)
    relation = learn_relation(levels_of([rng.normal(size=(3, 50))]), np.ones(50, bool))
    read = SensorRelation.from_json(json.loads(json.dumps(relation.to_json())))
    assert read.weights.tobytes() == relation.weights.tobytes()
    assert read.scales.tobytes() == relation.scales.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"scales": [1.0]},
        {"scales": [1.0, 0.0]},
        {"scales": [1.0, float("nan")]},
        {"weights": [[0.0, 1.0]]},
        {"weights": [[0.0, float("inf")], [0.0, 0.0]]},
    ],
)
def test_relation_with_wrong_numbers_is_rejected(change: dict[str, Any]) -> None:
    content = {"sensors": ["a", "b"], "scales": [1.0, 1.0], "weights": [[0.0, 0.5], [0.5, 0.0]]}
    with pytest.raises(ValueError, match="relation"):
        SensorRelation.from_json({**content, **change})
