from __future__ import annotations

import hashlib
import json
import math
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import refusal

from pdm_cli import bundle, manifest
from pdm_cli.bundle import Bundle, Recipe
from pdm_cli.core.alerts import NEVER, AlertRule
from pdm_cli.core.calibration import Calibration
from pdm_cli.core.drift import take_fingerprint
from pdm_cli.core.estimators import ESTIMATORS, Model, unavailable
from pdm_cli.core.features import Vocabulary
from pdm_cli.core.model import Member, TrainedModel
from pdm_cli.core.template import FleetTemplate
from pdm_cli.errors import ModelError
from pdm_cli.params import Settings, TrainParams

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
    return algorithm.make().fit(values, labels, categorical=IS_CATEGORY, hyper=hyper, seed=0, threads=1)


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
        trained={"cutoff": "2015-10-01T06:00", "test_start": "2015-10-15T00:00:30.500000", "machines": [1, 2, "Säge"]},
        settings=Settings(train=TrainParams(cutoff=datetime(2015, 10, 1, 6, tzinfo=UTC), algorithms=("xgboost",))),
    )


def made_of(*members: tuple[str, Model]) -> Bundle:
    model = TrainedModel(
        COMPONENTS,
        [Member(name, NAMES, fitted_model) for name, fitted_model in members],
        [Calibration("isotonic", (0.0, 0.1 + 0.2, 1.0), (0.0, 0.5, 1.0)), Calibration("platt", slope=2.0)],
        [AlertRule(0.1 + 0.2, 1 / 3 - 1 / 7), NEVER],
    )
    return Bundle(model, recipe(), take_fingerprint(sample(), NAMES, ["model"]))


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted("xgboost")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, made_of(("xgboost", model)))
    return tmp_path


def read(folder: Path) -> Content:
    content: Content = json.loads((folder / bundle.BUNDLE_FILE).read_text(encoding="utf-8"))
    return content


def edit(folder: Path, change: Callable[[Content], object]) -> None:
    content = read(folder)
    change(content)
    (folder / bundle.BUNDLE_FILE).write_text(json.dumps(content), encoding="utf-8")


def put(*path: str | int, value: Any) -> Callable[[Content], None]:
    """Return a change of one place."""

    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return change


def with_hash(folder: Path, name: str, content: bytes) -> None:
    """Put bytes in place of a member's, and their hash in place of its."""
    (folder / name).write_bytes(content)
    edit(folder, put("members", 0, "files", name, value=hashlib.sha256(content).hexdigest()))


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        bundle.load(folder)
    assert caught.value.exit_code == 5
    assert len(caught.value.message.splitlines()) == 1
    assert caught.value.hint
    return caught.value


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


@pytest.mark.parametrize("name", ["bundle.json", "member_1_2.ubj"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{folder / name}: no such file" in refused(folder).message


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere" in refused(tmp_path / "nowhere").message


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    assert "bundle.json" in refused(folder / "bundle.json").message


GARBAGE = [
    *(b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b'{"schema": null}', b'"text"', b"1e999", b"NaN"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, pickle.dumps(print), b'{"schema": {"a": [1, 2]}}'),
]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_not_a_bundle_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / bundle.BUNDLE_FILE).write_bytes(content)
    assert str(folder / bundle.BUNDLE_FILE) in refused(folder).message


def test_another_schema_is_refused_with_both_names(folder: Path) -> None:
    edit(folder, put("schema", value="pdm.bundle/1"))
    message = refused(folder).message
    assert "pdm.bundle/1" in message
    assert bundle.SCHEMA in message


@pytest.mark.parametrize(
    "name",
    [
        "../x.ubj",
        "..",
        "",
        ".",
        "sub/x.ubj",
        "/etc/hostname",
        "x\0y",
        "two\nlines",
        "bundle.json",
        "C:x.ubj",
        "member_1_1",
    ],
)
def test_a_file_that_is_none_of_a_member_is_refused_before_it_is_opened(folder: Path, name: str) -> None:
    content = (folder / "member_1_1.ubj").read_bytes()
    (folder.parent / "x.ubj").write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest(), **read(folder)["members"][0]["files"]}
    edit(folder, put("members", 0, "files", value=files))
    assert "no file of a model" in refused(folder).message


@pytest.mark.parametrize("key", [*asdict(recipe()), "components", "members", "calibrations", "rules", "fingerprint"])
def test_a_missing_part_is_named(folder: Path, key: str) -> None:
    edit(folder, lambda content: content.pop(key))
    assert key in refused(folder).message


# Of another kind than any part of a bundle, as far as a part does not allow it.
STRANGERS: list[Any] = [None, 7, "text", [[1]], {"a": {"b": 1}}]


def places(content: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to every part of the content, of lists the first item alone."""
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    return [way for key, item in items for way in [(*path, key), *places(item, (*path, key))]]


def test_whatever_stands_in_any_place_is_a_bundle_or_is_refused(folder: Path) -> None:
    whole, path = (folder / bundle.BUNDLE_FILE).read_text(encoding="utf-8"), folder / bundle.BUNDLE_FILE
    ways = places(json.loads(whole))
    # One setting stands for all of them: they are checked in one way.
    ways = [way for way in ways if way[0] != "settings" or len(way) < 3 or way[2] in ("step_minutes", "windows_hours")]
    refusals = 0
    for way in ways:
        for stranger in STRANGERS:
            content = json.loads(whole)
            put(*way, value=stranger)(content)
            path.write_text(json.dumps(content), encoding="utf-8")
            error = refusal(lambda: bundle.load(folder))
            if error is not None:
                assert isinstance(error, ModelError)
                assert len(error.message.splitlines()) == 1
                assert error.hint
                refusals += 1
    assert refusals > 3 * len(ways)


@pytest.mark.parametrize(
    "change",
    [
        put("surprise", value=1),
        put("vocabulary", "surprise", value=1),
        put("members", 0, "code", value="print(1)"),
        put("members", value=[]),
        put("members", 0, "algorithm", value="oracle"),
        put("members", 0, "algorithm", value="logistic_regression"),
        put("members", 0, "features", value=NAMES[:2]),
        put("members", 0, "files", value={}),
        lambda content: content["members"][0]["files"].popitem(),
        put("components", value=[]),
        put("components", value=["comp1"]),
        put("components", value="ab"),
        lambda content: content["calibrations"].pop(),
        lambda content: content["rules"].append({"on": 0.5, "off": 0.5}),
        put("rules", 0, value={"on": 0.5, "off": 0.6}),
        put("rules", 0, value={"on": "b", "off": "a"}),
        put("rules", 0, value={"on": math.nan, "off": 0.1}),
        put("rules", 0, value={"on": math.inf, "off": 0.1}),
        put("rules", 0, value={"on": 10**400, "off": 0.1}),
        put("calibrations", 0, "kind", value="eval"),
        put("calibrations", 0, "x", value=[0.0, 1.0]),
        put("calibrations", 0, "x", value=[0.0, 0.0, 1.0]),
        put("calibrations", 0, "x", value=[0.0, math.nan, 1.0]),
        put("calibrations", 0, "y", value=[0.0, 0.5, 1.5]),
        put("calibrations", 0, "y", value=[0.5, 0.4, 1.0]),
        put("calibrations", 0, value={"kind": "isotonic"}),
        put("calibrations", 1, "slope", value=-1.0),
        put("step_us", value=3.6e9 + 0.5),
        put("categorical", value="model"),
        put("states", value={"pickle": {}}),
        put("states", "template", value={}),
        put("states", "template", "base_share", value=[1.0]),
        put("states", "template", "base_share", value=[math.nan]),
        put("states", "template", "mean_z", value=[[[1e400]]]),
        put("states", "template", "mean_z", value=[[[1.0], []]]),
        put("trained", "cutoff", value="tomorrow"),
        put("trained", "cutoff", value="9999-12-31"),
        put("trained", "cutoff", value="2015-W05-1"),
        put("trained", "test_start", value="2015-10-15T00:00+02:00"),
        put("phase_us", value=-1),
        put("phase_us", value=3_600_000_000),
        put("step_us", value=0),
        put("vocabulary", "kinds", value={"failures": []}),
        put("vocabulary", "kinds", "oracles", value=["error1"]),
        put("vocabulary", "kinds", "anomalies", value=["ampere"]),
        put("vocabulary", "kinds", "failures", value=["comp1", "comp1"]),
        put("vocabulary", "categories", "model", value=["a"]),
        put("vocabulary", "categories", "model", value=["a", "b", "b"]),
        put("vocabulary", "categories", value={}),
        put("vocabulary", "attributes", value=["age", "age"]),
        put("components", value=["comp1", "comp1"]),
        put("sensors", value=["volt", "rotate"]),
        put("sensors", value=["rotate"]),
        put("families", value=["rolling", "rolling"]),
        put("families", value=["rolling", "oracle"]),
        put("states", value={}),
        put("tables", value=["errors", "oracles"]),
        put("states", "template", "sensors", value=["rotate"]),
        put("states", "template", "kinds", value=["error2"]),
        put("states", "template", "components", value=["pump/ä", "comp1"]),
        put("fingerprint", "features", value=NAMES[::-1]),
        lambda content: content["fingerprint"]["edges"][0].reverse(),
        lambda content: content["fingerprint"]["shares"][0].__setitem__(0, 0.9),
        lambda content: content["fingerprint"]["shares"][0].__setitem__(0, -0.1),
        put("trained", value={}),
        put("settings", value={"surprise": {}}),
        put("settings", "train", "surprise", value=1),
        put("settings", "features", "grid_hours", value=-3.0),
        put("settings", "features", "grid_hours", value=math.nan),
        put("settings", "features", "statistics", value=["eval"]),
        put("settings", "train", "cutoff", value=10**30),
        put("settings", "preprocess", "timezone", value="../../etc/passwd"),
        put("settings", "columns", value=[]),
        put("fingerprint", "shares", value=[]),
        put("fingerprint", "edges", 0, value=[]),
        put("fingerprint", "edges", 0, value=["x"]),
    ],
)
def test_parts_that_are_not_what_they_should_be_are_refused(folder: Path, change: Callable[[Content], object]) -> None:
    edit(folder, change)
    assert str(folder) in refused(folder).message


def test_a_recipe_changed_after_it_was_written_is_refused(folder: Path) -> None:
    manifest.write(folder, manifest.Recipe("train", {}, {}, {}, ""))
    assert bundle.load_recipe(folder).sensors == ["volt"]
    edit(folder, put("rules", 0, value={"on": 0.9, "off": 0.1}))
    for load in (bundle.load, bundle.load_recipe):
        with pytest.raises(ModelError, match=r"bundle\.json: damaged or edited: .* manifest\.json lists"):
            load(folder)
    manifest.note_output(folder, "bundle.json")
    assert bundle.load(folder).model.rules[0].on == 0.9


def test_a_member_changed_after_it_was_written_is_refused(folder: Path) -> None:
    path = folder / "member_1_2.ubj"
    path.write_bytes(path.read_bytes() + b" ")
    assert f"{path}: damaged: sha256 differs" in refused(folder).message


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
from pdm_cli import bundle
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


def test_boosters_of_another_number_of_features_are_refused(tmp_path: Path, model: Model) -> None:
    content = made_of(("xgboost", model))
    members = [Member("xgboost", [*NAMES, "one more"], model)]
    bundle.save(tmp_path, replace(content, model=replace(content.model, members=members)))
    assert "3 features, the recipe lists 4" in refused(tmp_path).message
