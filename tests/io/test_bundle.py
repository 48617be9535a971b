"""Bundles are loaded as they were saved, from data only."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import pickletools
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.evaluation.drift import Fingerprint, take_fingerprint
from pdm_cli.features.machine_levels import SensorRelation
from pdm_cli.features.table import FeatureTable
from pdm_cli.io import bundle
from pdm_cli.io.bundle import Bundle
from pdm_cli.models import ESTIMATORS, FitOptions, Model, find_load_error
from pdm_cli.models.ensemble import Member, TrainedModel
from pdm_cli.training.alert_rules import NEVER
from tests.builders.bundles import (
    COMPONENTS,
    NAMES,
    edit,
    fitted,
    make_bundle,
    put,
    recipe,
    rejection,
    sample,
    template,
    with_hash,
)


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted("xgboost")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, make_bundle(("xgboost", model)))
    return tmp_path


def test_load_equals_saved_and_predicts_bit_identically(folder: Path, model: Model) -> None:
    found, expected = bundle.load(folder), make_bundle(("xgboost", model))
    assert (found.model.components, found.model.calibrations) == (COMPONENTS, expected.model.calibrations)
    assert found.model.rules == expected.model.rules
    assert found.model.members[0].features == NAMES
    assert found.model.members[0].model.predict(sample()).tobytes() == model.predict(sample()).tobytes()
    assert replace(found.recipe, states={}) == replace(recipe(), states={})
    assert found.recipe.states["template"].to_json() == template().to_json()
    assert found.fingerprint == expected.fingerprint
    assert found.curves == expected.curves


def test_load_of_a_bundle_without_curves_has_none(folder: Path) -> None:
    edit(folder, lambda content: content.pop("curves"))
    assert bundle.load(folder).curves == []


def test_load_leaves_out_states_of_families_that_the_model_does_not_use(tmp_path: Path, model: Model) -> None:
    relation = SensorRelation(["volt"], np.ones(1), np.zeros((1, 1)))
    made = make_bundle(("xgboost", model))
    states = {"template": template(), "residuals": relation}
    bundle.save(tmp_path, replace(made, recipe=replace(made.recipe, states=states)))
    assert set(bundle.load(tmp_path).recipe.states) == {"template"}


def unlearned(model: Model | None) -> Bundle:
    """Return a bundle whose first component, or both, has only a base rate."""
    values, prior = sample(), Calibration("constant", y=(0.01,))
    members = [] if model is None else [Member("xgboost", NAMES, model)]
    calibrations = [prior, prior if model is None else Calibration("platt", slope=2.0)]
    fingerprint = take_fingerprint(values, NAMES, ["model"]) if members else Fingerprint([], [], [])
    return Bundle(TrainedModel(COMPONENTS, members, calibrations, [NEVER, AlertRule(0.5, 0.4)]), recipe(), fingerprint)


@pytest.mark.parametrize("has_member", [True, False])
def test_load_components_that_were_not_learned(tmp_path: Path, has_member: bool) -> None:
    values = sample()
    labels = (np.nan_to_num(values[:, :1]) > 0.5).astype(float)
    algorithm = ESTIMATORS["xgboost"]
    one = algorithm.make().fit(
        values, labels, FitOptions({**algorithm.defaults, "trees": 3}, seed=0), categorical=[False, False, True]
    )
    saved = unlearned(one if has_member else None)
    bundle.save(tmp_path, saved)
    loaded = bundle.load(tmp_path).model
    assert loaded.learned == ([1] if has_member else [])
    table = FeatureTable(NAMES, ["rolling"] * 3, ["model"], list(values.T))
    found = loaded.predict(table)
    assert found.tobytes() == saved.model.predict(table).tobytes()
    assert (found[:, 0] == 0.01).all()
    assert (len(np.unique(found[:, 1])) > 1) == has_member
    added = loaded.explain(table, np.arange(9))
    assert not added[:, 0].any()
    assert added[:, 1].any() == has_member


def test_save_of_loaded_bundle_writes_the_same_files(folder: Path, tmp_path: Path, model: Model) -> None:
    copies = [tmp_path / "loaded", tmp_path / "again"]
    for copy, content in zip(copies, [bundle.load(folder), make_bundle(("xgboost", model))], strict=True):
        copy.mkdir()
        bundle.save(copy, content)
        files = sorted(path.name for path in copy.iterdir())
        assert files == ["bundle.json", "member_1_1.json", "member_1_2.json"]
        for name in files:
            assert (copy / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_load_bundle_of_each_estimator_from_data_only(name: str, tmp_path: Path) -> None:
    reason = find_load_error(name)
    if reason is not None:
        pytest.skip(reason)
    estimator = fitted(name)
    bundle.save(tmp_path, make_bundle((name, estimator)))
    member = bundle.load(tmp_path).model.members[0]
    assert member.algorithm == name
    assert member.model.predict(sample()).tobytes() == estimator.predict(sample()).tobytes()
    assert {path.suffix for path in tmp_path.glob("member_*")} == {ESTIMATORS[name].suffix}
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"opcode|pickle|expected|STOP|read|argument"):
            list(pickletools.genops(path.read_bytes()))


def test_load_keeps_the_order_of_members(tmp_path: Path, model: Model) -> None:
    other = fitted("logistic_regression")
    bundle.save(tmp_path, make_bundle(("logistic_regression", other), ("xgboost", model)))
    members = bundle.load(tmp_path).model.members
    assert [member.algorithm for member in members] == ["logistic_regression", "xgboost"]
    assert members[0].model.predict(sample()).tobytes() == other.predict(sample()).tobytes()


def test_save_non_finite_number_is_rejected(tmp_path: Path, model: Model) -> None:
    content = make_bundle(("xgboost", model))
    broken = replace(content, model=replace(content.model, rules=[AlertRule(math.inf, 0.5), NEVER]))
    with pytest.raises(ValueError, match="JSON compliant"):
        bundle.save(tmp_path, broken)


@pytest.mark.parametrize("error", ["OSError('libgomp.so.1: cannot open')", "ImportError('libgomp.so.1: not there')"])
def test_load_with_broken_library_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    (tmp_path / "lib" / "lightgbm").mkdir(parents=True)
    (tmp_path / "lib" / "lightgbm" / "__init__.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    edit(folder, put("members", 0, "algorithm", value="lightgbm"))
    found = rejection(folder)
    assert "libgomp.so.1" in found.message
    assert "lightgbm>=4.3" in str(found.hint)


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_load_pickle_instead_of_member_does_not_run_it(folder: Path, tmp_path: Path, name: str) -> None:
    if find_load_error(name) is not None:
        pytest.skip(str(find_load_error(name)))
    mark = tmp_path / "it ran"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb)
    assert mark.exists()
    mark.unlink()
    edit(folder, put("members", 0, "algorithm", value=name))
    with_hash(folder, "member_1_1.json", bomb)
    assert "booster 1 of the model cannot be read" in rejection(folder).message
    (folder / bundle.BUNDLE_FILE).write_bytes(bomb)
    rejection(folder)
    assert not mark.exists()


_LOAD = """
import sys
from pathlib import Path
import numpy as np
from pdm_cli.io import bundle
from pdm_cli.errors import ModelError
for folder in sys.argv[1:]:
    try:
        member = bundle.load(Path(folder)).model.members[0]
        member.model.predict(np.zeros((3, len(member.features)), np.float32))
        print("a model")
    except ModelError as error:
        print(error.message)
"""


def test_load_corrupt_member_with_right_hash_is_rejected_or_harmless(tmp_path: Path, model: Model) -> None:
    """In a process of its own, because a corrupt file could crash the library."""
    whole = model.dump()[0]
    corrupt = [b"", b"no booster", b"\x80\x04N.", b'{"learner":{}}', whole[: len(whole) // 2], whole[:-1]]
    for share in (0.3, 0.6, 0.9):
        at = int(len(whole) * share)
        corrupt.append(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
    folders = [tmp_path / str(number) for number in range(len(corrupt))]
    for folder, content in zip(folders, corrupt, strict=True):
        folder.mkdir()
        bundle.save(folder, make_bundle(("xgboost", model)))
        with_hash(folder, "member_1_1.json", content)
    command = [sys.executable, "-c", _LOAD, *map(str, folders)]
    done = subprocess.run(command, timeout=60, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(corrupt)
    assert all(line == "a model" or "booster 1 of the model cannot be read" in line for line in lines)
    assert "a model" not in lines[:6]


PREVIOUS = Path(__file__).parents[1] / "data" / "bundle_3"


def test_load_previous_version_predicts_bit_identically() -> None:
    """Boosters in universal binary JSON, one of them of an algorithm that is no longer trained."""
    expected = json.loads((PREVIOUS / "predictions.json").read_text(encoding="utf-8"))
    members = bundle.load(PREVIOUS).model.members
    assert [member.algorithm for member in members] == ["xgboost", "extra_trees", "hist_gradient_boosting"]
    for member in members:
        assert member.model.predict(sample(20)).tolist() == expected[member.algorithm]


def test_load_previous_version_converts_to_equal_json_boosters() -> None:
    for member in bundle.load(PREVIOUS).model.members[:2]:
        dumps = member.model.dump()
        assert all(dump.startswith(b'{"learner"') for dump in dumps)
        converted = ESTIMATORS[member.algorithm].make().load(dumps, categorical=[False, False, True])
        assert converted.predict(sample()).tobytes() == member.model.predict(sample()).tobytes()


@pytest.mark.parametrize("name", ["member_1_1.ubj", "member_2_2.ubj", "member_3_1.ubj"])
def test_load_previous_version_with_pickle_does_not_run_it(tmp_path: Path, name: str) -> None:
    shutil.copytree(PREVIOUS, tmp_path / "model")
    bomb = pickle.dumps(Bomb(tmp_path / "it ran"))
    (tmp_path / "model" / name).write_bytes(bomb)
    place = ("members", int(name[7]) - 1, "files", name)
    edit(tmp_path / "model", put(*place, value=hashlib.sha256(bomb).hexdigest()))
    assert "cannot be read: unknown marker" in rejection(tmp_path / "model").message
    assert not (tmp_path / "it ran").exists()
