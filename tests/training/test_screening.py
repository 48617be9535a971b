"""Which columns a small model uses most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pdm_cli.features.build import SELECTABLE, Sources
from pdm_cli.training.dataset import SELECTED, Problem
from pdm_cli.training.screening import choose_columns, count_columns
from tests.builders.problems import problem_of, simulated


def noise(columns: int) -> tuple[Any, Any, Any]:
    """Return columns of noise, two of which cause the labels of two components, one each."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3000, columns)).astype(np.float32)
    labels = np.stack([values[:, 7] > 1.5, values[:, 90] < -1.5], axis=1).astype(float)
    return values, labels, np.ones(len(values))


def test_choose_columns_keeps_those_of_every_component() -> None:
    values, labels, weights = noise(120)
    chosen = choose_columns(values, labels, weights, categorical=[False] * 120, options=(0, 1))
    assert len(chosen) == count_columns(2) == 70
    assert np.all(np.diff(chosen) > 0)
    assert {7, 90} <= set(chosen.tolist())


def test_choose_columns_fewer_columns_are_all_kept() -> None:
    values, labels, weights = noise(120)
    chosen = choose_columns(values[:, 60:], labels, weights, categorical=[False] * 60, options=(0, 1))
    assert_array_equal(chosen, np.arange(60))


@pytest.mark.parametrize("threads", [1, 2])
def test_choose_columns_does_not_depend_on_threads(threads: int) -> None:
    values, labels, weights = noise(100)
    found = choose_columns(values, labels, weights, categorical=[False] * 100, options=(0, threads))
    assert_array_equal(found, choose_columns(values, labels, weights, categorical=[False] * 100, options=(0, 1)))


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
    expected = choose_columns(table.matrix(names, rows), labels, weights, categorical=categorical, options=(0, 1))
    assert chosen == tuple(names[position] for position in expected)
    assert chosen != problem.columns(SELECTED, problem.split)


@pytest.mark.slow
def test_selected_columns_labels_after_the_fold_do_not_matter(fleet: Sources, problem: Problem) -> None:
    fold = problem.folds[0]
    other = problem_of(fleet)
    later = other.instants.times > fold.cutoff
    other.labels[later] = 1 - other.labels[later]
    assert other.columns(SELECTED, fold) == problem.columns(SELECTED, fold)
