from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier

from pdm_cli.models import extra_trees
from tests.builders.examples import FEW


def sample(seed: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)).astype(np.float32).round(1)
    values[:, 3] = rng.integers(0, 2, rows)
    labels = (values[:, 0] + values[:, 3] * values[:, 1] > 0.5).astype(float)
    values[rng.random(values.shape) < 0.15] = np.nan
    return values, labels


@settings(max_examples=FEW)
@given(st.integers(0, 1000))
def test_to_booster_predicts_as_scikit_learn(seed: int) -> None:
    values, labels = sample(seed)
    own = ExtraTreesClassifier(n_estimators=5, max_leaf_nodes=16, random_state=seed).fit(values, labels)
    booster = extra_trees._to_booster([tree.tree_ for tree in own.estimators_], features=4)
    # Also values between those of the training, and none at all.
    rows = np.concatenate([values, values + np.float32(0.05), np.full((1, 4), np.nan, np.float32)])
    found = extra_trees.ExtraTreesModel([booster], ["q"] * 4).predict(rows)
    np.testing.assert_allclose(found[:, 0], own.predict_proba(rows)[:, 1], atol=1e-6)


def test_shapley_values_of_a_tree_by_hand() -> None:
    # x0 <= 1 (30 of 100 rows): 2; else x1 <= 5 (20 rows): 4, else (50 rows) 8. Nodes are numbered depth first.
    tree = SimpleNamespace(
        node_count=5,
        children_left=np.array([1, -1, 3, -1, -1]),
        children_right=np.array([2, -1, 4, -1, -1]),
        feature=np.array([0, -2, 1, -2, -2]),
        threshold=np.array([1.0, -2, 5, -2, -2]),
        missing_go_to_left=np.array([0, 0, 1, 0, 0]),
        value=np.array([[[0.0, value]] for value in (0, 2, 0, 4, 8)]),
        weighted_n_node_samples=np.array([100.0, 30, 70, 20, 50]),
    )
    booster = extra_trees._to_booster([tree], features=2)
    model = extra_trees.BoosterModel([booster], ["q", "q"])
    mean, right_mean = 5.4, (20 * 4 + 50 * 8) / 70
    # Row (1, 9): knowing x0 alone gives 2, x1 alone .3 * 2 + .7 * 8 = 6.2, both 2.
    first = [((2 - mean) + (2 - 6.2)) / 2, ((6.2 - mean) + (2 - 2)) / 2]
    # Row (1.0000001, 9): x0 alone gives the mean of the right, x1 alone 6.2, both 8.
    second = [((right_mean - mean) + (8 - 6.2)) / 2, ((6.2 - mean) + (8 - right_mean)) / 2]
    rows = np.array([[1, 9], [np.nextafter(np.float32(1), np.float32(2)), 9]], np.float32)
    np.testing.assert_allclose(model.contributions(rows)[:, 0], [first, second], rtol=1e-5)
    np.testing.assert_array_equal(model.predict(rows)[:, 0], [2, 8])


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6, width=32),
)
def test_next_above_separates_at_the_threshold(threshold: float, value: float) -> None:
    (bound,) = extra_trees._next_above(np.array([threshold]))
    at = np.float32(threshold)
    for number in (np.float32(value), at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf))):
        assert (number < bound) == (float(number) <= threshold)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_is_exact_and_has_at_most_nine_digits(value: float) -> None:
    (found,) = extra_trees._shortest(np.array([value]))
    assert np.float32(found) == np.float32(value)
    assert len(repr(found).partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")) <= 9


def test_draw_rows_takes_all_failures_and_a_share_of_the_others() -> None:
    column = np.zeros(1000)
    column[[3, 500]] = 1
    weights = np.where(column == 1, 1.0, 2.5)
    rows, found = extra_trees._draw_rows(column, weights, seed=0)
    assert {3, 500} <= set(rows.tolist())
    assert len(set(rows.tolist())) == len(rows) == 2 + 300
    assert found[column[rows] == 1].tolist() == [1.0, 1.0]
    # The rows drawn weigh as much as all of them.
    assert found[column[rows] == 0].sum() == pytest.approx(weights[column == 0].sum())
    assert rows.tolist() != extra_trees._draw_rows(column, weights, seed=1)[0].tolist()
    plain = extra_trees._draw_rows(column, None, seed=0)
    np.testing.assert_array_equal(plain[0], rows)
    np.testing.assert_allclose(plain[1] * weights[rows], found)


def test_draw_rows_takes_at_least_one_other_row() -> None:
    rows, weights = extra_trees._draw_rows(np.array([1.0, 1, 0]), None, seed=0)
    assert (rows.tolist(), weights.tolist()) == ([0, 1, 2], [1, 1, 1])
