from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import average_precision_score

from pdm_cli.evaluation.calibration import Calibration, calibration_error, fit_calibration, reliability

Row = tuple[float, float]
probabilities = st.integers(0, 1000).map(lambda n: n / 1000)
scored_rows = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), probabilities), min_size=2, max_size=40)
FINE = np.linspace(0, 1, 2001)


def columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([label for label, _ in rows]), np.array([p for _, p in rows])


def alternating(count: int) -> np.ndarray:
    return np.arange(count) % 2


def made_with(kind: str, slope: float, intercept: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose true log-odds are a line in the stated ones, or a staircase of the stated probability."""
    rng = np.random.default_rng(7)
    stated = rng.uniform(0.01, 0.99, count)
    if kind == "staircase":
        true = np.where(stated < 0.3, 0.02, np.where(stated < 0.6, 0.5, 0.55))
    else:
        true = 1 / (1 + np.exp(-(slope * np.log(stated / (1 - stated)) + intercept)))
    return (rng.random(count) < true).astype(float), stated


def slow_isotonic(labels: np.ndarray, stated: np.ndarray) -> dict[float, float]:
    """Pool adjacent violators, one block at a time."""
    blocks: list[tuple[float, int, list[float]]] = []
    for level in sorted(set(stated.tolist())):
        here = labels[stated == level]
        blocks.append((float(here.sum()), len(here), [level]))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count, levels = blocks.pop()
            before = blocks.pop()
            blocks.append((before[0] + total, before[1] + count, before[2] + levels))
    return {level: total / count for total, count, levels in blocks for level in levels}


def test_the_true_line_in_log_odds_is_found_again() -> None:
    found = fit_calibration(*made_with("line", 1.5, -1.0), alternating(4000))
    assert found.kind == "platt"
    assert found.slope == pytest.approx(1.5, abs=0.1)
    assert found.intercept == pytest.approx(-1.0, abs=0.1)


def test_a_staircase_needs_isotonic_steps() -> None:
    labels, stated = made_with("staircase", 0, 0)
    found = fit_calibration(labels, stated, alternating(4000))
    assert found.kind == "isotonic"
    assert_allclose(found.apply(np.array([0.15, 0.45])), [0.02, 0.5], atol=0.05)


@pytest.mark.slow
def test_probabilities_that_are_right_already_are_left_alone() -> None:
    labels = np.array([0.0, 1.0] * 50 + [0.0] * 100)
    stated = np.array([0.5] * 100 + [0.0] * 100)
    found = fit_calibration(labels, stated, np.repeat(np.arange(100), 2))
    assert found == Calibration()
    assert_array_equal(found.apply(FINE), FINE)


@pytest.mark.parametrize(
    ("labels", "groups"), [([0.0, 1.0, 1.0, 0.0], [0, 0, 0, 0]), ([0.0] * 4, [0, 1, 2, 3]), ([], [])]
)
def test_where_nothing_can_be_scored_nothing_is_changed(labels: list[float], groups: list[int]) -> None:
    stated = np.full(len(labels), 0.9)
    assert fit_calibration(np.array(labels), stated, np.array(groups, int)).kind == "identity"


def test_fit_calibration_reversed_ranking_is_kept() -> None:
    labels, stated = made_with("line", -1.0, 0.0)
    found = fit_calibration(labels, stated, alternating(4000))
    assert np.all(np.diff(found.apply(FINE)) > 0)


def test_rows_without_label_or_probability_are_left_out() -> None:
    labels, stated = made_with("line", 1.5, -1.0, 400)
    expected = fit_calibration(labels, stated, alternating(400))
    found = fit_calibration(
        np.insert(labels, 3, [math.nan, 1.0]),
        np.insert(stated, 3, [0.5, math.nan]),
        np.insert(alternating(400), 3, [0, 1]),
    )
    assert found == expected
    assert np.isnan(found.apply(np.array([math.nan, 0.5]))).tolist() == [True, False]


@pytest.mark.slow
@given(scored_rows, st.integers(2, 4))
# Here Platt's curve is the best on held-out groups, but falls where it is fitted on all rows.
@example([(0.0, 0.0), (0.0, 0.0), (0.0, 0.001), (0.0, 0.001), (1.0, 0.0), (1.0, 0.001)], 2)
def test_the_choice_has_the_best_brier_out_of_sample(rows: list[Row], count: int) -> None:
    labels, stated = columns(rows)
    groups = np.arange(len(rows)) % count
    found = fit_calibration(labels, stated, groups)
    squares = {"identity": 0.0, "isotonic": 0.0}
    for group in sorted(set(groups.tolist())):
        inside, rest = groups == group, groups != group
        squares["identity"] += float(((stated[inside] - labels[inside]) ** 2).sum())
        knots = slow_isotonic(labels[rest], stated[rest])
        levels = sorted(knots)
        both = len(set(labels[rest].tolist())) == 2
        for label, p in zip(labels[inside], stated[inside], strict=True):
            foretold = 0.999 * np.interp(p, levels, [knots[level] for level in levels]) + 0.001 * p if both else p
            squares["isotonic"] += float((foretold - label) ** 2)
    if found.kind in squares:
        assert squares[found.kind] <= min(squares.values()) + 1e-9


@pytest.mark.slow
@given(scored_rows)
def test_isotonic_steps_equal_pooled_blocks(rows: list[Row]) -> None:
    # Twice the rows in two equal groups: what is best on a copy of the rows it was fitted to is isotonic.
    labels, stated = columns([*rows, (0.0, 0.2), (1.0, 0.7)] * 2)
    found = fit_calibration(labels, stated, np.repeat([0, 1], len(labels) // 2))
    if found.kind == "isotonic":
        knots = slow_isotonic(labels, stated)
        levels = np.array(sorted(knots))
        expected = [0.999 * knots[level] + 0.001 * level for level in levels]
        assert_allclose(found.apply(levels), expected, rtol=0, atol=1e-9)


@pytest.mark.slow
@given(scored_rows, st.lists(st.floats(0, 1), max_size=20))
def test_order_is_kept_and_so_is_average_precision(rows: list[Row], others: list[float]) -> None:
    labels, stated = columns([*rows, (0.0, 0.2), (1.0, 0.7)])
    found = fit_calibration(labels, stated, alternating(len(labels)))
    asked = np.sort([*others, *stated])
    calibrated = found.apply(asked)
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1
    assert np.all(np.diff(calibrated) >= 0)
    before, after = (average_precision_score(labels, values) for values in (stated, found.apply(stated)))
    assert after == pytest.approx(before, abs=1e-12)


def test_reliability_by_hand() -> None:
    labels = np.array([0.0, 1.0, 1.0, 1.0, math.nan, 0.0])
    stated = np.array([0.0, 0.25, 0.5, 1.0, 0.5, math.nan])
    assert reliability(labels, stated, bins=2) == [
        {"low": 0.0, "high": 0.5, "mean_probability": 0.125, "share_failed": 0.5, "rows": 2},
        {"low": 0.5, "high": 1.0, "mean_probability": 0.75, "share_failed": 1.0, "rows": 2},
    ]
    assert calibration_error(labels, stated, bins=2) == pytest.approx((2 * 0.375 + 2 * 0.25) / 4)


def test_there_is_no_calibration_error_of_nothing() -> None:
    assert reliability(np.array([]), np.array([])) == []
    assert calibration_error(np.array([math.nan]), np.array([0.5])) is None


@given(scored_rows, st.sampled_from([1, 2, 8, 10]))
def test_bins_equal_brute_force(rows: list[Row], bins: int) -> None:
    labels, stated = columns(rows)
    found = reliability(labels, stated, bins=bins)
    error = 0.0
    for number, low in enumerate(np.linspace(0, 1, bins + 1)[:-1]):
        high = float(np.linspace(0, 1, bins + 1)[number + 1])
        inside = [(y, p) for y, p in rows if low <= p < high or (p == 1 and number == bins - 1)]
        matches = [row for row in found if row["low"] == low]
        assert [row["rows"] for row in matches] == [len(inside)] * bool(inside)
        if inside:
            assert matches[0]["mean_probability"] == pytest.approx(np.mean([p for _, p in inside]))
            assert matches[0]["share_failed"] == pytest.approx(np.mean([y for y, _ in inside]))
            error += abs(sum(p - y for y, p in inside))
    assert calibration_error(labels, stated, bins=bins) == pytest.approx(error / len(rows), abs=1e-12)
