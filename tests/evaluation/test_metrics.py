from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.errors import NotEnoughData
from pdm_cli.evaluation.metrics import (
    PRIMARY_METRICS,
    average_precision,
    f1_threshold,
    macro_mean,
    negative_brier,
    roc_auc,
    row_metrics,
    weighted_auc,
)

scored_rows = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 12).map(lambda n: n / 12)), min_size=1, max_size=40
)

# Component a ranks its one failing row second of four: AUC 2/3, AP 1/2. Component b ranks both of its own first.
LABELS = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
PROBABILITIES = np.array([[0.5, 0.9], [0.7, 0.8], [0.2, 0.1], [0.1, 0.3]])


def test_primary_metrics_of_four_rows_by_hand() -> None:
    assert average_precision(LABELS, PROBABILITIES) == pytest.approx((1 / 2 + 1) / 2)
    assert roc_auc(LABELS, PROBABILITIES) == pytest.approx((2 / 3 + 1) / 2)
    assert weighted_auc(LABELS, PROBABILITIES) == pytest.approx((1 * 2 / 3 + 2 * 1) / 3)
    squares = [0.25, 0.49, 0.04, 0.01, 0.01, 0.04, 0.01, 0.09]
    assert negative_brier(LABELS, PROBABILITIES) == pytest.approx(-sum(squares) / 8)


def slow_auc(labels: list[float], probabilities: list[float]) -> float:
    failing = [p for label, p in zip(labels, probabilities, strict=True) if label == 1]
    healthy = [p for label, p in zip(labels, probabilities, strict=True) if label == 0]
    wins = [1.0 if p > q else 0.5 if p == q else 0.0 for p in failing for q in healthy]
    return sum(wins) / len(wins)


def slow_precision(labels: list[float], probabilities: list[float]) -> float:
    rows = list(zip(labels, probabilities, strict=True))
    failing = [p for label, p in rows if label == 1]
    precisions = []
    for level in failing:
        alerted = [label for label, p in rows if p >= level]
        precisions.append(sum(alerted) / len(alerted))
    return sum(precisions) / len(precisions)


cells = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 8).map(lambda n: n / 8))


@pytest.mark.slow
@given(st.integers(1, 3).flatmap(lambda c: st.lists(st.lists(cells, min_size=c, max_size=c), min_size=2, max_size=20)))
def test_primary_metrics_equal_their_definitions(rows: list[list[tuple[float, float]]]) -> None:
    labels = np.array([[label for label, _ in row] for row in rows])
    probabilities = np.array([[p for _, p in row] for row in rows])
    columns = [(y.tolist(), p.tolist()) for y, p in zip(labels.T, probabilities.T, strict=True) if 0 < y.sum() < len(y)]
    assert negative_brier(labels, probabilities) == pytest.approx(
        -np.mean([[(label - p) ** 2 for label, p in row] for row in rows])
    )
    if not columns:
        with pytest.raises(NotEnoughData):
            weighted_auc(labels, probabilities)
        return
    areas = [slow_auc(y, p) for y, p in columns]
    positives = sum(sum(y) for y, _ in columns)
    assert average_precision(labels, probabilities) == pytest.approx(
        np.mean([slow_precision(y, p) for y, p in columns])
    )
    assert roc_auc(labels, probabilities) == pytest.approx(np.mean(areas))
    assert weighted_auc(labels, probabilities) == pytest.approx(
        sum(sum(y) * area for (y, _), area in zip(columns, areas, strict=True)) / positives
    )


@pytest.mark.parametrize("name", ["average_precision", "roc_auc", "AUC_weighted"])
def test_primary_metrics_component_of_one_class_is_left_out(name: str) -> None:
    metric = PRIMARY_METRICS[name]
    without = metric(LABELS[:, :1], PROBABILITIES[:, :1])
    for label in (0.0, 1.0):
        labels = np.column_stack([LABELS[:, 0], np.full(4, label)])
        assert metric(labels, PROBABILITIES) == without
    with pytest.raises(NotEnoughData, match="no component has both"):
        metric(np.zeros((4, 2)), PROBABILITIES)


@pytest.mark.parametrize("name", sorted(PRIMARY_METRICS))
def test_primary_metrics_perfect_prediction_scores_best(name: str) -> None:
    metric = PRIMARY_METRICS[name]
    assert metric(LABELS, LABELS) == (0.0 if name == "brier" else 1.0)
    assert metric(LABELS, PROBABILITIES) < metric(LABELS, LABELS)


def slow_f1(labels: list[float], probabilities: list[float], threshold: float) -> float:
    alerts = [probability >= threshold for probability in probabilities]
    hits = sum(alert and label == 1 for alert, label in zip(alerts, labels, strict=True))
    return 2 * hits / (sum(alerts) + sum(labels)) if hits else 0.0


scored_rows = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 12).map(lambda n: n / 12)), min_size=1, max_size=40
)


@given(scored_rows)
def test_f1_threshold_is_the_best(rows: list[tuple[float, float]]) -> None:
    labels, probabilities = [label for label, _ in rows] + [1.0], [p for _, p in rows] + [0.5]
    threshold = f1_threshold(np.array(labels), np.array(probabilities))
    best = max(slow_f1(labels, probabilities, candidate) for candidate in [0.0, *probabilities])
    assert slow_f1(labels, probabilities, threshold) == pytest.approx(best, abs=1e-12)


@pytest.mark.slow
@given(scored_rows, st.integers(0, 2**42 - 1))
def test_row_metrics_equal_their_definitions(rows: list[tuple[float, float]], alerts: int) -> None:
    rows = [*rows, (0.0, 0.25), (1.0, 0.75)]
    labels, probabilities = [label for label, _ in rows], [p for _, p in rows]
    # Alerts are no matter of the row's probability alone, so any rows may have them.
    is_alert = [bool(alerts >> row & 1) for row in range(len(rows))]
    found = row_metrics(np.array(labels), np.array(probabilities), is_alert=np.array(is_alert))
    positives = [p for label, p in rows if label == 1]
    negatives = [p for label, p in rows if label == 0]
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    precisions = []
    for level in positives:
        alerted = [label for label, p in rows if p >= level]
        precisions.append(sum(alerted) / len(alerted))
    assert found["roc_auc"] == pytest.approx(np.mean(wins))
    assert found["average_precision"] == pytest.approx(np.mean(precisions))
    assert found["brier"] == pytest.approx(np.mean([(label - p) ** 2 for label, p in rows]))
    assert found["f1"] == pytest.approx(slow_f1(labels, [float(alert) for alert in is_alert], 1.0))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_row_metrics_of_one_class_are_none(label: float) -> None:
    found = row_metrics(np.full(3, label), np.array([0.5, 0.5, 0.0]), is_alert=np.array([True, True, False]))
    brier = found.pop("brier")
    assert found == {"roc_auc": None, "average_precision": None, "f1": None}
    assert brier == pytest.approx(0.5 / 3 if label == 0 else 1.5 / 3)


def test_row_metrics_without_alert_have_f1_zero() -> None:
    assert row_metrics(np.array([0.0, 1.0]), np.array([0.1, 0.2]), is_alert=np.zeros(2, bool))["f1"] == 0.0


def test_macro_mean_leaves_out_undefined() -> None:
    rows: list[dict[str, float | None]] = [{"a": 1.0, "b": None, "c": 0.5}, {"a": 0.0, "b": None, "c": None}]
    assert macro_mean(rows) == {"a": 0.5, "b": None, "c": 0.5}
