from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from pdm_cli.models import ESTIMATORS, base, sklearn_trees, unavailable
from pdm_cli.models.base import fit_side_by_side
from pdm_cli.models.xgboost import BoosterModel
from tests.builders.examples import FEW


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


@settings(max_examples=FEW)
@given(st.integers(0, 1000))
def test_boosted_trees_answer_as_in_scikit_learn(seed: int) -> None:
    values, labels = sample(seed)
    own = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8, random_state=seed).fit(values, labels)
    booster = sklearn_trees._to_booster(sklearn_trees._boosted_trees(own), features=4, objective=sklearn_trees.LOG_ODDS)
    found = sklearn_trees.MeanForestModel([booster], ["q"] * 4).predict(rounded(values))
    np.testing.assert_allclose(found[:, 0], own.predict_proba(rounded(values))[:, 1], atol=1e-6)


@settings(max_examples=FEW)
@given(st.integers(0, 1000))
def test_random_trees_answer_as_in_scikit_learn(seed: int) -> None:
    values, labels = sample(seed)
    own = ExtraTreesClassifier(n_estimators=5, max_leaf_nodes=16, random_state=seed).fit(values, labels)
    trees = [sklearn_trees._random_tree(tree.tree_, share=1 / 5) for tree in own.estimators_]
    booster = sklearn_trees._to_booster(trees, features=4, objective=sklearn_trees.PROBABILITY)
    found = sklearn_trees.MeanForestModel([booster], ["q"] * 4).predict(rounded(values))
    np.testing.assert_allclose(found[:, 0], own.predict_proba(rounded(values))[:, 1], atol=1e-6)


def test_shapley_values_of_a_tree_by_hand() -> None:
    # x0 <= 1 (30 of 100 rows): 2; else x1 <= 5 (20 rows): 4, else (50 rows) 8. Nodes are numbered depth first.
    tree = sklearn_trees.Tree(
        left=np.array([1, -1, 3, -1, -1]),
        right=np.array([2, -1, 4, -1, -1]),
        is_leaf=np.array([False, True, False, True, True]),
        feature=np.array([0, -2, 1, -2, -2]),
        threshold=np.array([1.0, -2, 5, -2, -2]),
        missing_left=np.array([0, 0, 1, 0, 0]),
        value=np.array([0.0, 2, 0, 4, 8]),
        weight=np.array([100.0, 30, 70, 20, 50]),
    )
    booster = sklearn_trees._to_booster([tree], features=2, objective=sklearn_trees.LOG_ODDS)
    model = BoosterModel([booster], ["q", "q"])
    mean, right_mean = 5.4, (20 * 4 + 50 * 8) / 70
    # Row (1, 9): knowing x0 alone gives 2, x1 alone .3 * 2 + .7 * 8 = 6.2, both 2.
    first = [((2 - mean) + (2 - 6.2)) / 2, ((6.2 - mean) + (2 - 2)) / 2]
    # Row (1.0000001, 9): x0 alone gives the mean of the right, x1 alone 6.2, both 8.
    second = [((right_mean - mean) + (8 - 6.2)) / 2, ((6.2 - mean) + (8 - right_mean)) / 2]
    rows = np.array([[1, 9], [np.nextafter(np.float32(1), np.float32(2)), 9]], np.float32)
    np.testing.assert_allclose(model.contributions(rows)[:, 0], [first, second], rtol=1e-5)
    np.testing.assert_allclose(model.predict(rows)[:, 0], 1 / (1 + np.exp([-2.0, -8.0])), rtol=1e-6)


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6, width=32),
)
def test_below_the_next_number_is_at_most_the_threshold(threshold: float, value: float) -> None:
    (bound,) = sklearn_trees._just_above(np.array([threshold]))
    at = np.float32(threshold)
    for number in (np.float32(value), at, np.nextafter(at, np.float32(np.inf)), np.nextafter(at, np.float32(-np.inf))):
        assert (number < bound) == (float(number) <= threshold)


def test_an_endless_threshold_lets_all_numbers_left() -> None:
    (bound,) = sklearn_trees._just_above(np.array([np.inf]))
    assert np.float32(1e30) < bound


@settings(max_examples=FEW)
@given(st.integers(0, 1000), st.sampled_from([3, 40, 254, 255, 256, 900]))
def test_trees_grown_on_bins_answer_as_scikit_learn_on_the_bins(seed: int, distinct: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1000, 3)).astype(np.float32)
    values[:, 1] = rng.integers(0, distinct, 1000)
    values[:, 2] = 7
    labels = (values[:, 0] + values[:, 1] / distinct > 0.5).astype(float)
    bins = sklearn_trees._Bins(values)
    own = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8).fit(bins.codes, labels)
    trees = [bins.restore(tree) for tree in sklearn_trees._boosted_trees(own)]
    booster = sklearn_trees._to_booster(trees, features=3, objective=sklearn_trees.LOG_ODDS)
    found = sklearn_trees.MeanForestModel([booster], ["q"] * 3).predict(values)
    np.testing.assert_allclose(found[:, 0], own.predict_proba(bins.codes)[:, 1], atol=1e-6)


def test_few_distinct_values_have_a_bin_each_and_many_are_shared_out_evenly() -> None:
    np.testing.assert_array_equal(sklearn_trees._edges(np.array([5, 1, 2, 1], np.float32)), [1.5, 3.5])
    assert len(sklearn_trees._edges(np.zeros(4, np.float32))) == 0
    values = np.random.default_rng(0).permutation(2550).astype(np.float32)
    # Ten values a bin, and each edge halfway between two of them.
    np.testing.assert_array_equal(sklearn_trees._edges(values), np.arange(1, 255) * 10 - 0.5)
    values[values < 1500] = 0
    counts = np.bincount(sklearn_trees._Bins(values[:, None]).codes[:, 0].astype(int))
    assert counts[0] == 1500
    # No value is between the heap and the edge above it.
    assert set(counts[1:].tolist()) == {0, 10}


def test_a_random_tree_sees_all_failures_and_a_share_of_the_other_rows() -> None:
    column = np.zeros(1000)
    column[[3, 500]] = 1
    weights = np.where(column == 1, 1.0, 2.5)
    rows, found = sklearn_trees._draw_rows(column, weights, seed=0)
    assert {3, 500} <= set(rows.tolist())
    assert len(set(rows.tolist())) == len(rows) == 2 + 300
    assert found[column[rows] == 1].tolist() == [1.0, 1.0]
    # Those drawn weigh as much as all of them.
    assert found[column[rows] == 0].sum() == pytest.approx(weights[column == 0].sum())
    assert rows.tolist() != sklearn_trees._draw_rows(column, weights, seed=1)[0].tolist()
    plain = sklearn_trees._draw_rows(column, None, seed=0)
    np.testing.assert_array_equal(plain[0], rows)
    np.testing.assert_allclose(plain[1] * weights[rows], found)


def test_a_random_tree_sees_one_other_row_at_the_least() -> None:
    rows, weights = sklearn_trees._draw_rows(np.array([1.0, 1, 0]), None, seed=0)
    assert (rows.tolist(), weights.tolist()) == ([0, 1, 2], [1, 1, 1])


def fit_long(name: str, checkpoint: Callable[[], None], threads: int) -> None:
    """Fit what would take minutes: so many trees, or where there are none so many components."""
    if unavailable(name) is not None:
        pytest.skip(f"{name} does not load here")
    values, labels = sample(0)
    defaults = ESTIMATORS[name].defaults
    columns, hyper = (2, defaults | {"trees": 200_000}) if "trees" in defaults else (20_000, defaults)
    ESTIMATORS[name].make().fit(
        values,
        np.repeat(labels[:, None], columns, axis=1),
        categorical=[False] * 4,
        hyper=hyper,
        seed=0,
        threads=threads,
        checkpoint=checkpoint,
    )


class Spent(Exception):
    """Stands for the end of a time budget."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_ends_soon_with_what_its_checkpoint_raises(name: str, threads: int) -> None:
    due: list[float] = []

    def checkpoint() -> None:
        due.append(time.monotonic())
        if len(due) > 20:
            raise Spent

    with pytest.raises(Spent):
        fit_long(name, checkpoint, threads)
    assert time.monotonic() - due[20] < 5


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_ends_soon_after_a_stop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is set from without, as it is after Ctrl-C."""
    stop = threading.Event()
    begun = threading.Event()
    monkeypatch.setattr(base, "threading", SimpleNamespace(Event=lambda: stop))
    stopped: list[float] = []

    def set_stop() -> None:
        begun.wait(60)
        stop.set()
        stopped.append(time.monotonic())

    setter = threading.Thread(target=set_stop)
    setter.start()
    with pytest.raises(InterruptedError):
        fit_long(name, begun.set, threads=1)
    setter.join()
    assert time.monotonic() - stopped[0] < 5


def test_where_one_component_fails_the_others_are_stopped() -> None:
    def fit_component(column: np.ndarray, heed: Callable[[], None]) -> None:
        if column[0] == 1:
            raise KeyError("broken")
        while True:
            heed()

    with pytest.raises(KeyError, match="broken"):
        fit_side_by_side(fit_component, np.array([[1.0, 0.0], [0.0, 1.0]]), threads=2)
