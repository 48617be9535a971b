from __future__ import annotations

import contextlib
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from pdm_cli.core.estimators import ESTIMATORS, algorithm, forests
from pdm_cli.core.estimators.algorithm import fit_side_by_side
from pdm_cli.core.estimators.xgboost_booster import BoosterModel


def sample(seed: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)).astype(np.float32).round(1)
    values[:, 3] = rng.integers(0, 2, rows)
    labels = (values[:, 0] + values[:, 3] * values[:, 1] > 0.5).astype(float)
    values[rng.random(values.shape) < 0.15] = np.nan
    return values, labels


def rounded(values: np.ndarray) -> np.ndarray:
    """Values of one decimal meet the thresholds of splits, which lie halfway; thresholds themselves are met too."""
    return np.concatenate([values, values + np.float32(0.05), np.full((1, 4), np.nan, np.float32)])


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(0, 1000))
def test_boosted_trees_answer_as_in_scikit_learn(seed: int) -> None:
    values, labels = sample(seed)
    own = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8, random_state=seed).fit(values, labels)
    booster = forests._to_booster(forests._boosted_trees(own), features=4, objective=forests.LOG_ODDS)
    found = forests.MeanForestModel([booster], ["q"] * 4).predict(rounded(values))
    np.testing.assert_allclose(found[:, 0], own.predict_proba(rounded(values))[:, 1], atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(0, 1000))
def test_random_trees_answer_as_in_scikit_learn(seed: int) -> None:
    values, labels = sample(seed)
    own = ExtraTreesClassifier(n_estimators=5, max_leaf_nodes=16, random_state=seed).fit(values, labels)
    trees = [forests._random_tree(tree.tree_, share=1 / 5) for tree in own.estimators_]
    booster = forests._to_booster(trees, features=4, objective=forests.PROBABILITY)
    found = forests.MeanForestModel([booster], ["q"] * 4).predict(rounded(values))
    np.testing.assert_allclose(found[:, 0], own.predict_proba(rounded(values))[:, 1], atol=1e-6)


def test_shapley_values_of_a_tree_by_hand() -> None:
    # x0 <= 1 (30 of 100 rows): 2; else x1 <= 5 (20 rows): 4, else (50 rows) 8. Nodes are numbered depth first.
    tree = forests.Tree(
        left=np.array([1, -1, 3, -1, -1]),
        right=np.array([2, -1, 4, -1, -1]),
        is_leaf=np.array([False, True, False, True, True]),
        feature=np.array([0, -2, 1, -2, -2]),
        threshold=np.array([1.0, -2, 5, -2, -2]),
        missing_left=np.array([0, 0, 1, 0, 0]),
        value=np.array([0.0, 2, 0, 4, 8]),
        weight=np.array([100.0, 30, 70, 20, 50]),
    )
    booster = forests._to_booster([tree], features=2, objective=forests.LOG_ODDS)
    model = BoosterModel([booster], ["q", "q"])
    mean, right_mean = 5.4, (20 * 4 + 50 * 8) / 70
    # Row (1, 9): knowing x0 alone gives 2, x1 alone .3 * 2 + .7 * 8 = 6.2, both 2.
    first = [((2 - mean) + (2 - 6.2)) / 2, ((6.2 - mean) + (2 - 2)) / 2]
    # Row (1.0000001, 9): x0 alone gives the mean of the right, x1 alone 6.2, both 8.
    second = [((right_mean - mean) + (8 - 6.2)) / 2, ((6.2 - mean) + (8 - right_mean)) / 2]
    rows = np.array([[1, 9], [np.nextafter(np.float32(1), np.float32(2)), 9]], np.float32)
    np.testing.assert_allclose(model.contributions(rows)[:, 0], [first, second], rtol=1e-5)
    np.testing.assert_allclose(model.predict(rows)[:, 0], 1 / (1 + np.exp([-2.0, -8.0])), rtol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6, width=32),
)
def test_below_the_next_number_is_at_most_the_threshold(threshold: float, value: float) -> None:
    (bound,) = forests._just_above(np.array([threshold]))
    at = np.float32(threshold)
    for number in (np.float32(value), at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf))):
        assert (number < bound) == (float(number) <= threshold)


def test_an_endless_threshold_lets_all_numbers_left() -> None:
    (bound,) = forests._just_above(np.array([np.inf]))
    assert np.float32(1e30) < bound


@pytest.mark.parametrize("name", ["xgboost", "hist_gradient_boosting", "extra_trees"])
def test_a_fit_ends_soon_after_a_stop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is set from without, as it is after Ctrl-C; a fit of so many trees would take minutes."""
    stop = threading.Event()
    monkeypatch.setattr(algorithm, "threading", SimpleNamespace(Event=lambda: stop))
    values, labels = sample(0)
    hyper = ESTIMATORS[name].defaults | {"trees": 200_000}
    timer = threading.Timer(0.3, stop.set)
    started = time.monotonic()
    timer.start()
    with contextlib.suppress(InterruptedError):
        ESTIMATORS[name].make().fit(values, labels[:, None], categorical=[False] * 4, hyper=hyper, seed=0, threads=1)
    timer.join()
    assert time.monotonic() - started < 20


def test_where_one_component_fails_the_others_are_stopped() -> None:
    def fit_component(column: np.ndarray, stop: threading.Event) -> None:
        if column[0] == 1:
            raise KeyError("broken")
        assert stop.wait(10)

    with pytest.raises(KeyError, match="broken"):
        fit_side_by_side(fit_component, np.array([[1.0, 0.0], [0.0, 1.0]]), threads=2)
