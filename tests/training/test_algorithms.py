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


def test_choose_algorithms_keeps_the_given_order() -> None:
    params = replace(SEARCH, algorithms=("extra_trees", "xgboost", "extra_trees"))
    assert list(choose_algorithms(params, Silent())) == ["extra_trees", "xgboost"]


def test_choose_algorithms_applies_settings_to_xgboost_only() -> None:
    params = TrainParams(trees=7, l2=9.0, algorithms=("xgboost", "extra_trees"))
    found = choose_algorithms(params, Silent())
    assert found["xgboost"].defaults == {**ESTIMATORS["xgboost"].defaults, "trees": 7, "l2": 9.0}
    assert found["extra_trees"] == ESTIMATORS["extra_trees"]


def test_choose_algorithms_widens_the_space_to_the_settings() -> None:
    params = TrainParams(trees=7, learning_rate=0.9, l2=0.0, trials=2, algorithms=("xgboost",))
    space, usual = choose_algorithms(params, Silent())["xgboost"].space, ESTIMATORS["xgboost"].space
    assert (space["trees"].low, space["trees"].high) == (7, usual["trees"].high)
    assert (space["learning_rate"].low, space["learning_rate"].high) == (usual["learning_rate"].low, 0.9)
    assert space["max_leaves"] == usual["max_leaves"]
    # A logarithmic scale has no 0.
    assert set(space) == set(usual) - {"l2"}


def test_choose_algorithms_skips_those_that_do_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train, "find_load_error", lambda name: f"{name}: needs libgomp" if name in ("xgboost", "lightgbm") else None
    )
    progress = Recorder()
    found = choose_algorithms(TrainParams(), progress)
    assert list(found) == [name for name in ESTIMATORS if name not in ("xgboost", "lightgbm")]
    assert progress.lines == ["train: left out xgboost: needs libgomp", "train: left out lightgbm: needs libgomp"]


@pytest.mark.parametrize("params", [TrainParams(fast=True), TrainParams(trials=1)])
def test_choose_algorithms_for_one_trial_stops_at_the_first_that_loads(
    monkeypatch: pytest.MonkeyPatch, params: TrainParams
) -> None:
    checked: list[str] = []

    def find_load_error(name: str) -> str | None:
        checked.append(name)
        return "xgboost: not there" if name == "xgboost" else None

    monkeypatch.setattr(train, "find_load_error", find_load_error)
    progress = Recorder()
    assert list(choose_algorithms(params, progress)) == ["lightgbm"]
    assert checked == ["xgboost", "lightgbm"]
    assert progress.lines == ["train: left out xgboost: not there"]


def test_choose_algorithms_none_loads_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "find_load_error", lambda name: f"{name}: broken")
    with pytest.raises(ModelError, match="no learning algorithm can be loaded"):
        choose_algorithms(TrainParams(), Silent())
