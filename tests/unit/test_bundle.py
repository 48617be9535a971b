from __future__ import annotations

import json
import pickletools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdm_cli import bundle
from pdm_cli.bundle import Bundle
from pdm_cli.core.estimators import ESTIMATORS, Model, unavailable
from pdm_cli.core.features import Vocabulary
from pdm_cli.errors import ModelError

NAMES = ["volt_mean_3h", "hours_since_error1", "model"]
BUNDLE = Bundle(
    estimator="xgboost",
    components=["comp1", "pump/ä"],
    thresholds=[0.1 + 0.2, 0.5],
    features=NAMES,
    categorical=["model"],
    vocabulary=Vocabulary({"errors": ["error1"], "failures": []}, {"model": ["a", "b", "ü"]}, ["age"]),
    sensors=["volt"],
    step_minutes=60.0,
    phase_minutes=0.0,
    settings={"labels": {"lead_time_hours": 3.0}, "train": {"count_hours": [24.0, 48.0]}},
)


def sample(rows: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    values[:, 2] = rng.integers(0, 3, rows)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


@pytest.fixture(scope="module")
def model() -> Model:
    values = sample()
    labels = (np.nan_to_num(values[:, :2]) > 0.5).astype(float)
    algorithm = ESTIMATORS["xgboost"]
    hyper = algorithm.defaults | {"trees": 5}
    return algorithm.make().fit(values, labels, categorical=[False, False, True], hyper=hyper, seed=0, threads=1)


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, BUNDLE, model)
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / bundle.BUNDLE_FILE
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        bundle.load(folder)
    assert caught.value.exit_code == 5
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_bundle_comes_back_equal_and_predicts_bit_identically(folder: Path, model: Model) -> None:
    found, read = bundle.load(folder)
    assert found == BUNDLE
    assert read.predict(sample()).tobytes() == model.predict(sample()).tobytes()


def test_saving_what_was_loaded_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    bundle.save(copy, *bundle.load(folder))
    files = sorted(path.name for path in copy.iterdir())
    assert files == ["booster_1.ubj", "booster_2.ubj", "bundle.json"]
    for name in files:
        assert (copy / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_bundle_of_every_estimator_comes_back_from_data_only(name: str, tmp_path: Path) -> None:
    reason = unavailable(name)
    if reason is not None:
        pytest.skip(reason)
    values, algorithm = sample(), ESTIMATORS[name]
    labels = (np.nan_to_num(values[:, :2]) > 0.5).astype(float)
    hyper = {key: min(value, 9) for key, value in algorithm.defaults.items()}
    categorical = [False, False, True]
    fitted = algorithm.make().fit(values, labels, categorical=categorical, hyper=hyper, seed=0, threads=1)
    bundle.save(tmp_path, replace(BUNDLE, estimator=name), fitted)
    found, read = bundle.load(tmp_path)
    assert found.estimator == name
    assert read.predict(values).tobytes() == fitted.predict(values).tobytes()
    for path in tmp_path.glob("booster_*"):
        assert path.suffix == algorithm.suffix
        with pytest.raises(ValueError, match=r"opcode|pickle|expected|STOP|read|argument"):
            list(pickletools.genops(path.read_bytes()))


def test_a_bundle_whose_library_does_not_load_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib" / "lightgbm").mkdir(parents=True)
    (tmp_path / "lib" / "lightgbm" / "__init__.py").write_text("raise OSError('libgomp.so.1: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    edit(folder, estimator="lightgbm")
    error = refused(folder)
    assert "libgomp.so.1: cannot open" in error.message
    assert "pdm-cli[lightgbm]" in str(error.hint)


def test_there_is_no_pickle_in_the_folder(folder: Path) -> None:
    for path in folder.iterdir():
        assert path.suffix in (".json", ".ubj")
        with pytest.raises(ValueError, match=r"opcode|pickle|expected|STOP"):
            list(pickletools.genops(path.read_bytes()))


@pytest.mark.parametrize("name", ["bundle.json", "booster_2.ubj"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{folder / name}: no such file" in refused(folder).message


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refused(tmp_path / "nowhere").message


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    assert "bundle.json" in refused(folder / "bundle.json").message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b'{"schema": null}', b'"text"'])
def test_what_is_not_a_bundle_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / bundle.BUNDLE_FILE).write_bytes(content)
    assert str(folder / bundle.BUNDLE_FILE) in refused(folder).message


def test_another_schema_is_refused_with_both_names(folder: Path) -> None:
    edit(folder, schema="pdm.bundle/99")
    message = refused(folder).message
    assert "pdm.bundle/99" in message
    assert bundle.SCHEMA in message


@pytest.mark.parametrize("name", ["../x", "..", "", ".", "sub/booster_1.ubj", "/etc/hostname"])
def test_a_booster_outside_of_the_folder_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "x").write_bytes((folder / "booster_1.ubj").read_bytes())
    edit(folder, boosters=[name, "booster_2.ubj"])
    refused(folder)


@pytest.mark.parametrize("key", ["boosters", "components", "thresholds", "features", "vocabulary", "estimator"])
def test_a_missing_part_is_named(folder: Path, key: str) -> None:
    path = folder / bundle.BUNDLE_FILE
    content = json.loads(path.read_text(encoding="utf-8"))
    del content[key]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert key in refused(folder).message


@pytest.mark.parametrize(
    "changes",
    [
        {"boosters": ["booster_1.ubj"]},
        {"boosters": []},
        {"thresholds": [0.5]},
        {"components": ["comp1"]},
        {"estimator": "oracle"},
        {"vocabulary": {"kinds": {}, "surprise": 1}},
        {"boosters": [1, 2]},
    ],
    ids=lambda changes: json.dumps(changes),
)
def test_parts_that_do_not_fit_together_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    edit(folder, **changes)
    refused(folder)


def test_boosters_of_another_number_of_features_are_refused(tmp_path: Path, model: Model) -> None:
    other = replace(BUNDLE, features=[*NAMES, "one more"])
    bundle.save(tmp_path, other, model)
    refused(tmp_path)


_LOAD = """
import sys
from pathlib import Path
import numpy as np
from pdm_cli import bundle
from pdm_cli.errors import ModelError
try:
    found, model = bundle.load(Path(sys.argv[1]))
    model.predict(np.zeros((3, len(found.features)), np.float32))
except ModelError as error:
    print(error.message)
    sys.exit(error.exit_code)
"""


def refused_by_a_process(folder: Path) -> None:
    """Load in a process of its own: the library under the booster may end the whole process on damaged input."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(folder)], timeout=60, capture_output=True, check=False, text=True
    )
    assert done.returncode == 5
    assert "booster" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"no booster", b"\x80\x04N.", b'{"learner":{}}'])
def test_a_booster_of_garbage_is_refused(folder: Path, content: bytes) -> None:
    (folder / "booster_2.ubj").write_bytes(content)
    refused_by_a_process(folder)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_booster_cut_short_is_refused(folder: Path, share: float) -> None:
    path = folder / "booster_1.ubj"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused_by_a_process(folder)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_booster_changed_after_it_was_written_is_refused(folder: Path, share: float) -> None:
    path = folder / "booster_1.ubj"
    content = bytearray(path.read_bytes())
    at = int(len(content) * share)
    content[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    refused_by_a_process(folder)
