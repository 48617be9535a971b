"""Which columns a small model uses most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pdm_cli.features.build import FEATURE_SETS, SELECTABLE, Sources
from pdm_cli.training.dataset import SELECTED, Problem
from pdm_cli.training.screening import choose_columns, count_columns, draw_negatives
from tests.builders.problems import problem_of, simulated


def noise(columns: int) -> tuple[Any, Any, Any]:
    """Return columns of noise, two of which cause the labels of two components, one each."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3000, columns)).astype(np.float32)
    labels = np.stack([values[:, 7] > 1.5, values[:, 90] < -1.5], axis=1).astype(float)
    return values, labels, np.ones(len(values))


def test_choose_columns_keeps_those_of_every_component() -> None:
    values, labels, weights = noise(120)
    chosen = choose_columns(
        values, labels, weights, categorical=[False] * 120, proven=np.zeros(120, bool), options=(0, 1)
    )
    assert len(chosen) == count_columns(2) == 70
    assert np.all(np.diff(chosen) > 0)
    assert {7, 90} <= set(chosen.tolist())


def test_choose_columns_fewer_columns_are_all_kept() -> None:
    values, labels, weights = noise(120)
    chosen = choose_columns(
        values[:, 60:], labels, weights, categorical=[False] * 60, proven=np.zeros(60, bool), options=(0, 1)
    )
    assert_array_equal(chosen, np.arange(60))


def test_choose_columns_few_rows_without_a_failure_are_kept() -> None:
    values, labels, weights = noise(120)
    labels[:], labels[::1000] = 1, 0
    for seed in range(4):
        chosen = choose_columns(
            values, labels, weights, categorical=[False] * 120, proven=np.zeros(120, bool), options=(seed, 1)
        )
        assert len(chosen) == 70


def test_draw_negatives_draws_the_share_or_at_least_20() -> None:
    draws = np.random.default_rng(3).random(5000)
    is_negative = np.arange(5000) % 2 == 0
    drawn, weight = draw_negatives(is_negative, draws, 0.25)
    assert_array_equal(drawn, is_negative & (draws < 0.25))
    assert weight == 4
    few, weight = draw_negatives(is_negative, draws, 0.001)
    assert set(np.flatnonzero(few)) == set(np.argsort(np.where(is_negative, draws, 1))[:20])
    assert weight * 20 == 2500
    drawn, weight = draw_negatives(np.arange(5000) < 7, draws, 0.001)
    assert (np.flatnonzero(drawn).tolist(), weight) == ([*range(7)], 1)
    assert not draw_negatives(np.zeros(5000, bool), draws, 0.1)[0].any()


@pytest.mark.parametrize("threads", [1, 2])
def test_choose_columns_does_not_depend_on_threads(threads: int) -> None:
    values, labels, weights = noise(100)
    known: dict[str, Any] = {"categorical": [False] * 100, "proven": np.zeros(100, bool)}
    found = choose_columns(values, labels, weights, **known, options=(0, threads))
    assert_array_equal(found, choose_columns(values, labels, weights, **known, options=(0, 1)))


def test_choose_columns_without_gain_elsewhere_are_the_proven_ones() -> None:
    values, labels, weights = noise(120)
    proven = np.arange(120) < 100
    chosen = choose_columns(values, labels, weights, categorical=[False] * 120, proven=proven, options=(0, 1))
    assert_array_equal(chosen, np.arange(100))
    chosen = choose_columns(values, labels, weights, categorical=[False] * 120, proven=~proven, options=(0, 1))
    assert {7, 90} < set(chosen.tolist())


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_of(simulated(machines=6, days=110, seed=1))


@pytest.fixture(scope="module")
def fleet() -> Sources:
    return simulated(machines=6, days=110, seed=1)


@pytest.mark.slow
def test_selected_columns_are_chosen_on_the_training_rows_of_each_split(problem: Problem) -> None:
    assert problem.set_names()[0] == SELECTED
    fold = problem.folds[0]
    chosen = problem.columns(SELECTED, fold)
    table, (rows, weights) = problem.table_of(fold), problem.fitting_rows(fold)
    names = table.names_of(SELECTABLE)
    categorical = [name in table.categorical for name in names]
    labels = problem.labels[rows]
    proven = np.isin(names, table.names_of(FEATURE_SETS["full"]))
    expected = choose_columns(
        table.matrix(names, rows), labels, weights, categorical=categorical, proven=proven, options=(0, 1)
    )
    assert chosen == tuple(names[position] for position in expected)


@pytest.mark.slow
def test_selected_columns_labels_after_the_fold_do_not_matter(fleet: Sources, problem: Problem) -> None:
    fold = problem.folds[0]
    other = problem_of(fleet)
    later = other.instants.times > fold.cutoff
    other.labels[later] = 1 - other.labels[later]
    assert other.columns(SELECTED, fold) == problem.columns(SELECTED, fold)
