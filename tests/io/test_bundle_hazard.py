"""The hours to failure of a bundle are loaded as they were saved; invalid ones are rejected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdm_cli.errors import ModelError
from pdm_cli.features.table import FeatureTable
from pdm_cli.io import bundle
from pdm_cli.models import Model
from tests.builders.bundles import NAMES, edit, fitted, make_bundle, make_hazard, put, sample


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted("xgboost")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    bundle.save(tmp_path, replace(make_bundle(("xgboost", model)), hazard=make_hazard(model)))
    return tmp_path


def test_load_hazard_predicts_as_saved_to_the_last_bit(folder: Path, model: Model) -> None:
    values, rng = sample(), np.random.default_rng(2)
    table = FeatureTable(NAMES, ["rolling"] * 3, ["model"], list(values.T))
    probabilities, rows = rng.random((len(values), 2)), np.arange(len(values))
    loaded, expected = bundle.load(folder).hazard, make_hazard(model)
    assert loaded is not None
    found = loaded.predict(table, probabilities, rows)
    assert found.tobytes() == expected.predict(table, probabilities, rows).tobytes()
    assert loaded.hours_of(0) == [12.0, 24.5, 48.0, 96.0, 168.0]


def test_load_of_an_older_bundle_has_no_hazard(folder: Path) -> None:
    edit(folder, lambda content: content.pop("hazard"))
    assert bundle.load(folder).hazard is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("hazard", 0, "hours", value=[24.5, 12.0]), "not within 3 to 48 h|not increasing"),
        (put("hazard", 0, "hours", value=[12.0, 48.0]), "not within 3 to 48 h"),
        (put("hazard", 0, "hours", value=[2.0, 12.0]), "not within 3 to 48 h"),
        (put("hazard", 1, "hours", value=[24.0, 96.0]), "not within 48 to inf h"),
        (put("hazard", 0, "hours", value=[12.0, 12.0]), "not increasing"),
        (put("hazard", 0, "hours", value=[12.0]), "parts of different length"),
        (put("hazard", 0, "component", value=2), "not learned"),
        (put("hazard", 1, "is_within", value=True), "duplicate branch"),
        (put("hazard", 0, "calibrations", value=[]), "parts of different length"),
        (put("hazard", 0, "member", "features", value=["other", *NAMES[1:]]), "features that the model lacks"),
        (put("hazard", 0, "member", "files", value={"../x_1_1.json": "0", "hazard_1_2.json": "0"}), "not a model file"),
    ],
)
def test_load_invalid_hazard_is_rejected(folder: Path, change: Any, expected: str) -> None:
    edit(folder, change)
    with pytest.raises(ModelError, match=expected):
        bundle.load(folder)


def test_load_edited_hazard_file_is_rejected(folder: Path) -> None:
    path = folder / "hazard_2_1.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"hazard_2_1\.json: corrupt"):
        bundle.load(folder)
