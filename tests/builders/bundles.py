"""Bundles of a small model, edited or corrupt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdm_cli.errors import ModelError
from pdm_cli.evaluation.alarm_budget import AlarmCurve, AlarmPoint
from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.evaluation.drift import take_fingerprint
from pdm_cli.evaluation.lifetimes import Lifetime, Weibull
from pdm_cli.features.build import Vocabulary
from pdm_cli.features.failure_template import FleetTemplate
from pdm_cli.io import bundle
from pdm_cli.io.bundle import Bundle, Recipe
from pdm_cli.models import ESTIMATORS, FitOptions, Model
from pdm_cli.models.ensemble import Member, TrainedModel
from pdm_cli.models.hazard import Branch, HazardModel
from pdm_cli.settings.model import Settings, TrainParams
from pdm_cli.training.alert_rules import NEVER

NAMES = ["volt_mean_3h", "hours_since_error1", "model"]
COMPONENTS = ["comp1", "pump/ä"]
IS_CATEGORY = [False, False, True]
Content = dict[str, Any]


def sample(rows: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    values[:, 2] = rng.integers(0, 3, rows)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


def fitted(name: str) -> Model:
    values, algorithm = sample(), ESTIMATORS[name]
    labels = (np.nan_to_num(values[:, :2]) > 0.5).astype(float)
    hyper = {key: min(value, 9) for key, value in algorithm.defaults.items()}
    return algorithm.make().fit(values, labels, FitOptions(hyper, seed=0), categorical=IS_CATEGORY)


def template() -> FleetTemplate:
    rng = np.random.default_rng(1)
    return FleetTemplate(
        COMPONENTS, ["volt"], ["error1"], rng.normal(size=(2, 9, 1)), rng.uniform(0.1, 0.9, (2, 9, 1)), np.array([0.3])
    )


def recipe() -> Recipe:
    return Recipe(
        sensors=["volt"],
        families=["rolling", "hours_since", "attributes", "template"],
        tables=["errors", "machines"],
        step_us=3_600_000_000,
        phase_us=0,
        vocabulary=Vocabulary({"errors": ["error1"], "failures": []}, {"model": ["a", "b", "ü"]}, ["age"]),
        categorical=["model"],
        states={"template": template()},
        trained={
            "cutoff": "2015-10-01T06:00",
            "test_start": "2015-10-15T00:00:30.500000",
            "machines": [1, 2, "Säge"],
            "span_us": 31_536_000_000_000,
            "no_signs": ["belt"],
        },
        settings=Settings(train=TrainParams(cutoff=datetime(2015, 10, 1, 6, tzinfo=UTC), algorithms=("xgboost",))),
        lifetimes={
            "comp1": Lifetime(5, 1e4, 5e-4, 3e-4, 9e-4, Weibull(1.5, 900.0, (0.04, -0.01, 0.02), 2e3, 9, 4)),
            "pump/ä": Lifetime(0, 1e4, 0.0, 0.0, 3e-4, None),
        },
    )


def make_bundle(*members: tuple[str, Model]) -> Bundle:
    model = TrainedModel(
        COMPONENTS,
        [Member(name, NAMES, fitted_model) for name, fitted_model in members],
        [Calibration("isotonic", (0.0, 0.1 + 0.2, 1.0), (0.0, 0.5, 1.0)), Calibration("platt", slope=2.0)],
        [AlertRule(0.1 + 0.2, 1 / 3 - 1 / 7), NEVER],
    )
    return Bundle(model, recipe(), take_fingerprint(sample(), NAMES, ["model"]), curves())


def make_hazard(model: Model) -> HazardModel:
    """Return a hazard of the first component: two horizons within the 48 h of :func:`recipe`, and two beyond."""
    member = Member("xgboost", NAMES, model)
    calibrations = [Calibration(), Calibration("platt", slope=0.5)]
    branches = [Branch(0, hours[0] < 48, hours, member, calibrations) for hours in ([12.0, 24.5], [96.0, 168.0])]
    return HazardModel(3.0, 48.0, branches)


def curves() -> list[AlarmCurve]:
    """Return curves of the alert rules of :func:`make_bundle`; the second component never alerts."""
    never = AlarmPoint(2.0, 2.0, 0, 0)
    points = [never, AlarmPoint(0.6, 0.5, 1, 3), AlarmPoint(0.1 + 0.2, 1 / 3 - 1 / 7, 4, 5)]
    return [AlarmCurve(1 / 3, 6, 2, points), AlarmCurve(1 / 3, 2, 0, [never])]


def read(folder: Path) -> Content:
    content: Content = json.loads((folder / bundle.BUNDLE_FILE).read_text(encoding="utf-8"))
    return content


def edit(folder: Path, change: Callable[[Content], object]) -> None:
    content = read(folder)
    change(content)
    (folder / bundle.BUNDLE_FILE).write_text(json.dumps(content), encoding="utf-8")


def put(*path: str | int, value: Any) -> Callable[[Content], None]:
    """Return a function that sets one value."""

    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return change


def with_hash(folder: Path, name: str, content: bytes) -> None:
    """Replace the content of a model file, and its hash in the recipe."""
    (folder / name).write_bytes(content)
    edit(folder, put("members", 0, "files", name, value=hashlib.sha256(content).hexdigest()))


def rejection(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        bundle.load(folder)
    assert caught.value.exit_code == 5
    assert len(caught.value.message.splitlines()) == 1
    assert caught.value.hint
    return caught.value
