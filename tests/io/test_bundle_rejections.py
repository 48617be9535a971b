"""Bundles with missing, unknown or changed parts are rejected."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pdm_cli.errors import DataError, ModelError
from pdm_cli.io import bundle, manifest
from pdm_cli.models import Model
from pdm_cli.models.ensemble import Member
from tests.builders.bundles import NAMES, Content, edit, fitted, make_bundle, put, read, recipe, rejection, sample
from tests.builders.tables import refusal


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted("xgboost")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, make_bundle(("xgboost", model)))
    return tmp_path


@pytest.mark.parametrize("name", ["bundle.json", "member_1_2.json"])
def test_load_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{folder / name}: no such file" in rejection(folder).message


@pytest.mark.parametrize("name", ["bundle.json", "member_1_2.json"])
@pytest.mark.parametrize(
    ("code", "hint"), [(errno.EACCES, "check the file's permissions"), (errno.EIO, "check the disk, or copy the model")]
)
def test_load_file_that_cannot_be_read_is_not_an_invalid_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, hint: str
) -> None:
    read_bytes = Path.read_bytes

    def fail_for_name(path: Path) -> bytes:
        if path.name == name:
            raise OSError(code, os.strerror(code), str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", fail_for_name)
    with pytest.raises(DataError, match=re.escape(f"{folder / name}: cannot be read: {os.strerror(code)}")) as caught:
        bundle.load(folder)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(hint)


def test_load_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nowhere" in rejection(tmp_path / "nowhere").message


def test_load_file_instead_of_folder_is_rejected(folder: Path) -> None:
    assert "bundle.json" in rejection(folder / "bundle.json").message


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("rules", 0, "on"), 0.7, "curves: not of the alert rules"),
        (("curves", 0, "chosen"), 1, "curves: not of the alert rules"),
        (("curves", 0, "chosen"), 9, "no point 9"),
        (("curves", 0, "points", 1, "false_alarms"), 4, "not increasing"),
        (("curves", 0, "failures"), 4, "impossible counts"),
        (("curves", 0, "points", 1, "caught"), 2.5, "curves.0.points.1.caught"),
    ],
)
def test_load_curves_that_do_not_match_are_rejected(
    folder: Path, place: tuple[str | int, ...], value: object, message: str
) -> None:
    edit(folder, put(*place, value=value))
    assert message in rejection(folder).message


def test_load_fewer_curves_than_components_is_rejected(folder: Path) -> None:
    edit(folder, lambda content: content["curves"].pop())
    assert "curves: not of the alert rules" in rejection(folder).message


GARBAGE = [
    *(b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b'{"schema": null}', b'"text"', b"1e999", b"NaN"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, pickle.dumps(print), b'{"schema": {"a": [1, 2]}}'),
]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_load_garbage_is_rejected_with_its_path(folder: Path, content: bytes) -> None:
    (folder / bundle.BUNDLE_FILE).write_bytes(content)
    assert str(folder / bundle.BUNDLE_FILE) in rejection(folder).message


def test_load_other_schema_is_rejected_with_known_ones(folder: Path) -> None:
    edit(folder, put("schema", value="pdm.bundle/1"))
    message = rejection(folder).message
    assert "pdm.bundle/1" in message
    assert bundle.SCHEMA in message


@pytest.mark.parametrize(
    "name",
    [
        "../x.json",
        "..",
        "",
        ".",
        "sub/x.json",
        "/etc/hostname",
        "x\0y",
        "two\nlines",
        "bundle.json",
        "C:x.json",
        "member_1_1",
    ],
)
def test_load_other_file_name_is_rejected_before_reading(folder: Path, name: str) -> None:
    content = (folder / "member_1_1.json").read_bytes()
    (folder.parent / "x.json").write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest(), **read(folder)["members"][0]["files"]}
    edit(folder, put("members", 0, "files", value=files))
    assert "is not a model file" in rejection(folder).message


@pytest.mark.parametrize(
    "key",
    [
        *sorted({*asdict(recipe())} - {"units", "lifetimes"}),
        "components",
        "members",
        "calibrations",
        "rules",
        "fingerprint",
    ],
)
def test_load_missing_key_is_named(folder: Path, key: str) -> None:
    edit(folder, lambda content: content.pop(key))
    assert key in rejection(folder).message


# Of another type than any value of a bundle.
OTHER_TYPES: list[Any] = [None, 7, "text", [[1]], {"a": {"b": 1}}]


def list_places(content: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the place of every value in the content; of lists only the first item."""
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    return [found for key, item in items for found in [(*place, key), *list_places(item, (*place, key))]]


@pytest.mark.ci
def test_load_any_value_of_another_type_is_valid_or_rejected(folder: Path) -> None:
    whole, path = (folder / bundle.BUNDLE_FILE).read_text(encoding="utf-8"), folder / bundle.BUNDLE_FILE
    places = list_places(json.loads(whole))
    # Two settings are enough: all are checked alike.
    kept = ("step_minutes", "windows_hours")
    places = [place for place in places if place[0] != "settings" or len(place) < 3 or place[2] in kept]
    refusals = 0
    for place in places:
        for other in OTHER_TYPES:
            content = json.loads(whole)
            put(*place, value=other)(content)
            path.write_text(json.dumps(content), encoding="utf-8")
            error = refusal(lambda: bundle.load(folder))
            if error is not None:
                assert isinstance(error, ModelError)
                assert len(error.message.splitlines()) == 1
                assert error.hint
                refusals += 1
    assert refusals > 3 * len(places)


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
        put("trained", "span_us", value=-1),
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
def test_load_invalid_part_is_rejected(folder: Path, change: Callable[[Content], object]) -> None:
    edit(folder, change)
    assert str(folder) in rejection(folder).message


def test_load_edited_recipe_is_rejected(folder: Path) -> None:
    manifest.write(folder, manifest.Provenance("train", {}, {}, {}, ""))
    assert bundle.load_recipe(folder).sensors == ["volt"]
    edit(folder, put("phase_us", value=60_000_000))
    for load in (bundle.load, bundle.load_recipe):
        with pytest.raises(ModelError, match=r"bundle\.json: corrupt or edited: .* manifest\.json"):
            load(folder)
    manifest.note_output(folder, "bundle.json")
    assert bundle.load(folder).recipe.phase_us == 60_000_000


def test_load_edited_member_is_rejected(folder: Path) -> None:
    path = folder / "member_1_2.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert f"{path}: corrupt: sha256 differs" in rejection(folder).message


def test_load_boosters_with_other_number_of_features_is_rejected(tmp_path: Path, model: Model) -> None:
    content = make_bundle(("xgboost", model))
    members = [Member("xgboost", [*NAMES, "one more"], model)]
    bundle.save(tmp_path, replace(content, model=replace(content.model, members=members)))
    assert "3 features, but the recipe lists 4" in rejection(tmp_path).message


@pytest.mark.parametrize("method", ["predict", "contributions"])
def test_load_booster_that_xgboost_rejects_at_first_use_names_its_folder(folder: Path, method: str) -> None:
    path = folder / "member_1_2.json"
    # XGBoost accepts no whole number among fractions.
    document = json.loads(path.read_bytes())
    document["learner"]["gradient_booster"]["model"]["trees"][0]["loss_changes"][0] = 1
    content = json.dumps(document, separators=(",", ":")).encode()
    path.write_bytes(content)
    edit(folder, put("members", 0, "files", path.name, value=hashlib.sha256(content).hexdigest()))
    loaded = bundle.load(folder).model.members[0].model
    with pytest.raises(ModelError, match=r"booster 2 of the model cannot be read") as caught:
        getattr(loaded, method)(sample(3))
    assert str(folder) in caught.value.message
