"""Bundles with something missing, strange or changed: all are refused."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pdm_cli.errors import ModelError
from pdm_cli.io import bundle, manifest
from pdm_cli.models import Model
from pdm_cli.models.ensemble import Member
from tests.builders.bundles import NAMES, Content, edit, fitted, made_of, put, read, recipe, refused
from tests.builders.tables import refusal


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted("xgboost")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, made_of(("xgboost", model)))
    return tmp_path


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


def test_boosters_of_another_number_of_features_are_refused(tmp_path: Path, model: Model) -> None:
    content = made_of(("xgboost", model))
    members = [Member("xgboost", [*NAMES, "one more"], model)]
    bundle.save(tmp_path, replace(content, model=replace(content.model, members=members)))
    assert "3 features, the recipe lists 4" in refused(tmp_path).message
