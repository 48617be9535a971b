"""The algorithms that a training tries, and where their search starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdm_cli.errors import ModelError
from pdm_cli.models import ESTIMATORS
from pdm_cli.progress import Silent
from pdm_cli.settings.model import TrainParams
from pdm_cli.training import train
from pdm_cli.training.train import choose_algorithms
from tests.builders.progress import Recorder
from tests.builders.trainings import SEARCH


def test_the_algorithms_are_those_asked_for_in_their_order() -> None:
    params = replace(SEARCH, algorithms=("extra_trees", "xgboost", "extra_trees"))
    assert list(choose_algorithms(params, Silent())) == ["extra_trees", "xgboost"]


def test_the_settings_are_the_first_trial_of_xgboost_alone() -> None:
    params = TrainParams(trees=7, l2=9.0, algorithms=("xgboost", "hist_gradient_boosting"))
    found = choose_algorithms(params, Silent())
    assert found["xgboost"].defaults == {**ESTIMATORS["xgboost"].defaults, "trees": 7, "l2": 9.0}
    assert found["hist_gradient_boosting"] == ESTIMATORS["hist_gradient_boosting"]


def test_the_search_starts_from_settings_outside_of_its_usual_space() -> None:
    params = TrainParams(trees=7, learning_rate=0.9, l2=0.0, trials=2, algorithms=("xgboost",))
    space, usual = choose_algorithms(params, Silent())["xgboost"].space, ESTIMATORS["xgboost"].space
    assert (space["trees"].low, space["trees"].high) == (7, usual["trees"].high)
    assert (space["learning_rate"].low, space["learning_rate"].high) == (usual["learning_rate"].low, 0.9)
    assert space["max_leaves"] == usual["max_leaves"]
    # On its logarithmic scale there is no 0.
    assert set(space) == set(usual) - {"l2"}


def test_algorithms_that_do_not_load_are_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train, "unavailable", lambda name: f"{name}: needs libgomp" if name in ("xgboost", "lightgbm") else None
    )
    progress = Recorder()
    found = choose_algorithms(TrainParams(), progress)
    assert list(found) == [name for name in ESTIMATORS if name not in ("xgboost", "lightgbm")]
    assert progress.lines == ["train: left out xgboost: needs libgomp", "train: left out lightgbm: needs libgomp"]


@pytest.mark.parametrize("params", [TrainParams(fast=True), TrainParams(trials=1)])
def test_one_trial_asks_only_for_the_first_that_loads(monkeypatch: pytest.MonkeyPatch, params: TrainParams) -> None:
    asked: list[str] = []

    def unavailable(name: str) -> str | None:
        asked.append(name)
        return "xgboost: not there" if name == "xgboost" else None

    monkeypatch.setattr(train, "unavailable", unavailable)
    progress = Recorder()
    assert list(choose_algorithms(params, progress)) == ["lightgbm"]
    assert asked == ["xgboost", "lightgbm"]
    assert progress.lines == ["train: left out xgboost: not there"]


def test_where_no_algorithm_loads_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "unavailable", lambda name: f"{name}: broken")
    with pytest.raises(ModelError, match="no learning algorithm can be loaded"):
        choose_algorithms(TrainParams(), Silent())
