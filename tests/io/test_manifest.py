from __future__ import annotations

import hashlib
import json
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from pdm_cli.io import manifest
from pdm_cli.io.manifest import Provenance


@pytest.fixture
def recipe(tmp_path: Path) -> Provenance:
    data = tmp_path / "data"
    data.mkdir()
    (data / "telemetry.parquet").write_bytes(b"readings")
    (data / "errors.parquet").write_bytes(b"errors")
    return recipe_of(data)


def recipe_of(data: Path, **parameters: Any) -> Provenance:
    values = {
        "features": {"windows_hours": (3.0, 12.0), "grid_hours": 3.0},
        "train": {"cutoff": datetime(2015, 10, 1), "seed": 0},
    }
    for section in values.values():
        section.update({key: value for key, value in parameters.items() if key in section})
    inputs = {"data": manifest.hash_files(data, data.iterdir())}
    return Provenance("preprocess", values, inputs, manifest.library_versions(), manifest.code_hash())


@pytest.fixture
def out(tmp_path: Path, recipe: Provenance) -> Path:
    folder = tmp_path / "out"
    (folder / "parts").mkdir(parents=True)
    (folder / "features.parquet").write_bytes(b"features")
    (folder / "parts" / "one.parquet").write_bytes(b"one")
    manifest.write(folder, recipe)
    return folder


def test_the_hash_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(content)
    assert manifest.hash_file(tmp_path / "f") == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def test_files_are_listed_by_their_names_below_the_folder(out: Path) -> None:
    found = manifest.hash_files(out, [out / "parts" / "one.parquet", out / "features.parquet"])
    assert list(found) == ["features.parquet", "parts/one.parquet"]


def test_the_manifest_names_command_versions_parameters_and_every_file(out: Path) -> None:
    content = manifest.read(out)
    assert content is not None
    assert content["schema"] == "pdm.manifest/1"
    assert content["command"] == "preprocess"
    assert isinstance(content["command_line"], list)
    assert {"python", "pdm-cli", "numpy", "pandas", "pyarrow"} <= set(content["versions"])
    assert content["parameters"]["features"]["windows_hours"] == [3.0, 12.0]
    assert content["inputs"]["data"]["errors.parquet"]["sha256"] == hashlib.sha256(b"errors").hexdigest()
    assert set(content["outputs"]) == {"features.parquet", "parts/one.parquet"}
    assert content["outputs"]["features.parquet"] == {"sha256": hashlib.sha256(b"features").hexdigest(), "bytes": 8}


def test_nothing_is_to_be_redone_where_nothing_changed(out: Path, recipe: Provenance) -> None:
    assert manifest.reasons_to_redo(out, recipe) == []


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema": "other/1"}', '"text"', "\udcff"])
def test_a_folder_without_a_manifest_is_not_made_yet(tmp_path: Path, recipe: Provenance, content: str | None) -> None:
    folder = tmp_path / "elsewhere"
    if content is not None:
        folder.mkdir()
        (folder / "manifest.json").write_bytes(content.encode(errors="surrogateescape"))
    assert manifest.reasons_to_redo(folder, recipe) == ["running for the first time"]


@pytest.mark.parametrize("field", ["parameters", "inputs", "outputs"])
def test_a_manifest_changed_by_hand_is_a_reason_and_no_traceback(out: Path, recipe: Provenance, field: str) -> None:
    content = manifest.read(out)
    assert content is not None
    (out / "manifest.json").write_text(json.dumps(content | {field: None}))
    assert manifest.reasons_to_redo(out, recipe) != []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("windows_hours", (3.0, 24.0)), ("grid_hours", 6.0), ("cutoff", datetime(2015, 9, 1)), ("seed", 1)],
)
def test_a_changed_parameter_is_named(tmp_path: Path, out: Path, parameter: str, value: Any) -> None:
    reasons = manifest.reasons_to_redo(out, recipe_of(tmp_path / "data", **{parameter: value}))
    assert reasons == [f"{parameter} changed"]


def test_every_changed_parameter_is_named(tmp_path: Path, out: Path) -> None:
    reasons = manifest.reasons_to_redo(out, recipe_of(tmp_path / "data", seed=1, grid_hours=6.0))
    assert sorted(reasons) == ["grid_hours changed", "seed changed"]


def test_a_parameter_that_came_or_went_is_named(out: Path, recipe: Provenance) -> None:
    more = replace(recipe, parameters=recipe.parameters | {"labels": {"horizon_hours": 48.0}})
    less = replace(recipe, parameters={"features": recipe.parameters["features"]})
    assert manifest.reasons_to_redo(out, more) == ["horizon_hours changed"]
    assert manifest.reasons_to_redo(out, less) == ["cutoff changed", "seed changed"]


def test_a_changed_input_file_is_named(tmp_path: Path, out: Path) -> None:
    (tmp_path / "data" / "errors.parquet").write_bytes(b"Errors")
    (reason,) = manifest.reasons_to_redo(out, recipe_of(tmp_path / "data"))
    assert "errors.parquet" in reason


def test_an_input_file_that_came_or_went_is_named(tmp_path: Path, out: Path) -> None:
    (tmp_path / "data" / "errors.parquet").unlink()
    (tmp_path / "data" / "maint.parquet").write_bytes(b"maint")
    reasons = manifest.reasons_to_redo(out, recipe_of(tmp_path / "data"))
    assert ["errors.parquet" in reasons[0], "maint.parquet" in reasons[1]] == [True, True]


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [("command", "train", "command"), ("code", "0" * 64, "code"), ("versions", {"python": "2.7"}, "version")],
)
def test_another_command_code_or_version_is_a_reason(
    out: Path, recipe: Provenance, field: str, value: Any, word: str
) -> None:
    (reason,) = manifest.reasons_to_redo(out, replace(recipe, **{field: value}))
    assert word in reason


@pytest.mark.parametrize("name", ["features.parquet", "parts/one.parquet"])
@pytest.mark.parametrize("content", [b"Features", b"", None])
def test_a_damaged_or_missing_output_is_a_reason(
    out: Path, recipe: Provenance, name: str, content: bytes | None
) -> None:
    if content is None:
        (out / name).unlink()
    else:
        (out / name).write_bytes(content)
    (reason,) = manifest.reasons_to_redo(out, recipe)
    assert "output" in reason


def test_the_code_hash_is_one_sha256() -> None:
    assert len(bytes.fromhex(manifest.code_hash())) == 32
    assert manifest.code_hash() == manifest.code_hash()


def test_a_file_made_anew_is_noted_where_it_is_listed(tmp_path: Path, recipe: Provenance) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("one")
    manifest.write(out, recipe)
    before = manifest.read(out)
    assert before is not None
    (out / "report.html").write_text("another")
    (out / "notes.txt").write_text("not listed")
    for name in ("report.html", "notes.txt"):
        manifest.note_output(out, name)
    after = manifest.read(out)
    assert after is not None
    assert manifest.is_whole(out, after)
    assert {**after, "outputs": 0} == {**before, "outputs": 0}
    assert set(after["outputs"]) == {"report.html"}
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "notes.txt", "report.html"]


def test_the_key_is_the_same_whatever_the_settings_left_out_are(tmp_path: Path, recipe: Provenance) -> None:
    other = recipe_of(tmp_path / "data", seed=1)
    assert other.key() != recipe.key()
    assert other.key(but_for=("train.seed",)) == recipe.key(but_for=("train.seed",))
    assert other.key(but_for=("train.cutoff", "features.seed")) != recipe.key(but_for=("train.cutoff", "features.seed"))


def test_hash_file_stopped_raises_cancelled(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"1")
    stop = Event()
    assert manifest.hash_file(tmp_path / "log", stop) == manifest.hash_file(tmp_path / "log")
    stop.set()
    with pytest.raises(CancelledError):
        manifest.hash_file(tmp_path / "log", stop)
