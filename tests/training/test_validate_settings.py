from __future__ import annotations

import sys
from datetime import datetime

import pytest

from pdm_cli.errors import UsageError
from pdm_cli.features.build import FEATURES, LEARNED
from pdm_cli.models import ESTIMATORS
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.training.validate_settings import check_choices, check_gap, check_horizons


@pytest.mark.parametrize("rule", ["hysteresis", "f1", "recall=0.95", "cost"])
def test_check_choices_known_names_pass(rule: str) -> None:
    check_choices(TrainParams(families=(*FEATURES, *LEARNED), algorithms=tuple(ESTIMATORS), threshold=rule))


@pytest.mark.parametrize(
    ("params", "message", "known"),
    [
        (TrainParams(families=("rolling", "x")), "--families: unknown family 'x'", "template"),
        (TrainParams(algorithms=("xgboost", "oracle")), "--algorithms: unknown algorithm 'oracle'", "extra_trees"),
    ],
)
def test_check_choices_unknown_name_lists_known_ones(params: TrainParams, message: str, known: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_choices(params)
    assert known in (caught.value.hint or "")


@pytest.mark.parametrize("rule", ["", "F1", "recall", "recall=0", "recall=1.5", "recall=nan", "cost=1"])
def test_train_params_invalid_alert_rule_is_rejected(rule: str) -> None:
    with pytest.raises(ValueError, match=r"^threshold: (expected|recall needs)"):
        TrainParams(threshold=rule)


def test_check_choices_no_loadable_algorithm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(UsageError, match="--algorithms: lightgbm cannot be loaded") as caught:
        check_choices(TrainParams(algorithms=("lightgbm",)))
    assert (caught.value.hint or "").startswith("pip install 'lightgbm>=4.3'")
    assert "pip" not in caught.value.message
    check_choices(TrainParams(algorithms=("lightgbm", "logistic_regression")))
    check_choices(TrainParams())


@pytest.mark.parametrize(("gap_hours", "gap"), [(0, 36), (72, 72)])
def test_check_gap_test_start_without_cutoff_is_rejected(gap_hours: float, gap: int) -> None:
    train = TrainParams(test_start=datetime(2015, 5, 1), gap_hours=gap_hours)
    with pytest.raises(UsageError, match=r"^--test-start needs --cutoff$") as caught:
        check_gap(train, LabelsParams(horizon_hours=36))
    assert caught.value.hint == f"add --cutoff, at least {gap} h earlier"


def test_check_gap_test_start_has_no_effect_on_a_split_by_machine() -> None:
    with pytest.raises(UsageError, match="--test-start: has no effect with --split machine"):
        check_gap(TrainParams(split="machine", test_start=datetime(2015, 5, 1)), LabelsParams())


def test_check_horizons_within_the_lead_time_are_rejected() -> None:
    with pytest.raises(UsageError, match="--horizons: 2 h is within the lead time of 3 h") as caught:
        check_horizons(TrainParams(horizons=(24.0, 2.0)), LabelsParams(3.0, 48.0))
    assert caught.value.hint == "set longer ones, or a shorter --lead-time-hours"
    check_horizons(TrainParams(horizons=(24.0, 48.0, 168.0)), LabelsParams(3.0, 48.0))
    check_horizons(TrainParams(), LabelsParams(48.0, 48.0))
