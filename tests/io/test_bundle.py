"""Bundles come back as they were saved, from data alone."""

from __future__ import annotations

import math
import pickle
import pickletools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.io import bundle
from pdm_cli.models import ESTIMATORS, Model, unavailable
from pdm_cli.training.alert_rules import NEVER
from tests.builders.bundles import (
    COMPONENTS,
    NAMES,
    edit,
    fitted,
    made_of,
    put,
    recipe,
    refused,
    sample,
    template,
    with_hash,
)


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted("xgboost")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, made_of(("xgboost", model)))
    return tmp_path


def test_a_bundle_comes_back_equal_and_foretells_bit_identically(folder: Path, model: Model) -> None:
    found, wanted = bundle.load(folder), made_of(("xgboost", model))
    assert (found.model.components, found.model.calibrations) == (COMPONENTS, wanted.model.calibrations)
    assert found.model.rules == wanted.model.rules
    assert found.model.members[0].features == NAMES
    assert found.model.members[0].model.predict(sample()).tobytes() == model.predict(sample()).tobytes()
    assert replace(found.recipe, states={}) == replace(recipe(), states={})
    assert found.recipe.states["template"].to_json() == template().to_json()
    assert found.fingerprint == wanted.fingerprint


def test_saving_again_what_was_loaded_gives_the_same_files(folder: Path, tmp_path: Path, model: Model) -> None:
    copies = [tmp_path / "loaded", tmp_path / "again"]
    for copy, content in zip(copies, [bundle.load(folder), made_of(("xgboost", model))], strict=True):
        copy.mkdir()
        bundle.save(copy, content)
        files = sorted(path.name for path in copy.iterdir())
        assert files == ["bundle.json", "member_1_1.ubj", "member_1_2.ubj"]
        for name in files:
            assert (copy / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_bundle_of_every_estimator_comes_back_from_data_only(name: str, tmp_path: Path) -> None:
    reason = unavailable(name)
    if reason is not None:
        pytest.skip(reason)
    estimator = fitted(name)
    bundle.save(tmp_path, made_of((name, estimator)))
    member = bundle.load(tmp_path).model.members[0]
    assert member.algorithm == name
    assert member.model.predict(sample()).tobytes() == estimator.predict(sample()).tobytes()
    assert {path.suffix for path in tmp_path.glob("member_*")} == {ESTIMATORS[name].suffix}
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=r"opcode|pickle|expected|STOP|read|argument"):
            list(pickletools.genops(path.read_bytes()))


def test_the_members_of_an_ensemble_come_back_in_their_order(tmp_path: Path, model: Model) -> None:
    other = fitted("logistic_regression")
    bundle.save(tmp_path, made_of(("logistic_regression", other), ("xgboost", model)))
    members = bundle.load(tmp_path).model.members
    assert [member.algorithm for member in members] == ["logistic_regression", "xgboost"]
    assert members[0].model.predict(sample()).tobytes() == other.predict(sample()).tobytes()


def test_what_is_no_number_is_not_written(tmp_path: Path, model: Model) -> None:
    content = made_of(("xgboost", model))
    broken = replace(content, model=replace(content.model, rules=[AlertRule(math.inf, 0.5), NEVER]))
    with pytest.raises(ValueError, match="JSON compliant"):
        bundle.save(tmp_path, broken)


@pytest.mark.parametrize("error", ["OSError('libgomp.so.1: cannot open')", "ImportError('libgomp.so.1: not there')"])
def test_a_bundle_whose_library_does_not_load_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    (tmp_path / "lib" / "lightgbm").mkdir(parents=True)
    (tmp_path / "lib" / "lightgbm" / "__init__.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    edit(folder, put("members", 0, "algorithm", value="lightgbm"))
    found = refused(folder)
    assert "libgomp.so.1" in found.message
    assert "lightgbm>=4.3" in str(found.hint)


class Bomb:
    """Writes a file when it is read from a pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_pickle_in_place_of_a_member_does_not_run(folder: Path, tmp_path: Path, name: str) -> None:
    if unavailable(name) is not None:
        pytest.skip(str(unavailable(name)))
    mark = tmp_path / "it ran"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb)
    assert mark.exists()
    mark.unlink()
    edit(folder, put("members", 0, "algorithm", value=name))
    with_hash(folder, "member_1_1.ubj", bomb)
    assert "booster 1 of the model cannot be read" in refused(folder).message
    (folder / bundle.BUNDLE_FILE).write_bytes(bomb)
    refused(folder)
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


def test_a_damaged_member_of_the_right_hash_is_refused_or_harmless(tmp_path: Path, model: Model) -> None:
    """Loaded in a process of its own: the library under a member may end the whole process on damaged input."""
    whole = model.dump()[0]
    damaged = [b"", b"no booster", b"\x80\x04N.", b'{"learner":{}}', whole[: len(whole) // 2], whole[:-1]]
    for share in (0.3, 0.6, 0.9):
        at = int(len(whole) * share)
        damaged.append(whole[:at] + b"\xff" * 8 + whole[at + 8 :])
    folders = [tmp_path / str(number) for number in range(len(damaged))]
    for folder, content in zip(folders, damaged, strict=True):
        folder.mkdir()
        bundle.save(folder, made_of(("xgboost", model)))
        with_hash(folder, "member_1_1.ubj", content)
    command = [sys.executable, "-c", _LOAD, *map(str, folders)]
    done = subprocess.run(command, timeout=60, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert len(told) == len(damaged)
    assert all(line == "a model" or "booster 1 of the model cannot be read" in line for line in told)
    assert "a model" not in told[:6]
