"""A model folder: fitted members in files of their own and one JSON recipe; data only, nothing that runs on load."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pdm_cli import config, manifest
from pdm_cli.core.alerts import AlertRule
from pdm_cli.core.calibration import Calibration
from pdm_cli.core.drift import Fingerprint
from pdm_cli.core.estimators import ESTIMATORS
from pdm_cli.core.features import LEARNED, Vocabulary
from pdm_cli.core.model import Member, TrainedModel
from pdm_cli.errors import ModelError, PdmError
from pdm_cli.params import Section, Settings

BUNDLE_FILE = "bundle.json"
SCHEMA = "pdm.bundle/2"
SECTIONS = ("preprocess", "features", "detect", "labels", "train", "costs")
_AGAIN = "train or fetch the model again"


@dataclass(frozen=True)
class Recipe:
    """What it takes to turn raw tables into the features of a model.

    Attributes
    ----------
    sensors : list of str
        Sensor columns of the telemetry, floats in the sensor's own unit.
    families : list of str
        Families of features that the model looks at.
    tables : list of str
        Event tables and attributes that the features are made from; ``anomalies`` are found in the telemetry.
    step_us, phase_us : int
        Step of the telemetry, and where in it the readings stand, in microseconds.
    vocabulary : Vocabulary
        Kinds of event and categories that the columns are made for.
    categorical : list of str
        Columns that are positions in a list of categories.
    states : dict
        What learned families of features know: family to state.
    trained : dict
        ``cutoff`` and ``test_start`` as text, and the ``machines`` learned from.
    settings : Settings
        All that decides features, labels and alerts.
    """

    sensors: list[str]
    families: list[str]
    tables: list[str]
    step_us: int
    phase_us: int
    vocabulary: Vocabulary
    categorical: list[str]
    states: dict[str, Any]
    trained: dict[str, Any]
    settings: Settings


@dataclass(frozen=True)
class Bundle:
    """A model and its recipe.

    Attributes
    ----------
    model : TrainedModel
        Members, calibrations and alert rules.
    recipe : Recipe
        From raw tables to features.
    fingerprint : Fingerprint
        How the features of the training rows were spread, to tell drift by.
    """

    model: TrainedModel
    recipe: Recipe
    fingerprint: Fingerprint


def save(folder: Path, bundle: Bundle) -> None:
    """Write the members' files and ``bundle.json`` into ``folder``."""
    model, recipe = bundle.model, bundle.recipe
    content = {
        "schema": SCHEMA,
        "components": model.components,
        "members": [_save_member(folder, number, member) for number, member in enumerate(model.members, start=1)],
        "calibrations": [asdict(calibration) for calibration in model.calibrations],
        "rules": [asdict(rule) for rule in model.rules],
        **{item.name: getattr(recipe, item.name) for item in fields(recipe)},
        "vocabulary": asdict(recipe.vocabulary),
        "states": {family: LEARNED[family].dump(state) for family, state in recipe.states.items()},
        "settings": {section: _lasting(getattr(recipe.settings, section)) for section in SECTIONS},
        "fingerprint": bundle.fingerprint.to_json(),
    }
    text = json.dumps(content, indent=1, default=str, ensure_ascii=False, allow_nan=False)
    (folder / BUNDLE_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Bundle:
    """Read a model folder back.

    Parameters
    ----------
    folder : Path
        Written by :func:`save`.

    Raises
    ------
    ModelError
        If a file is missing or is not what it should be. Whatever the files hold, nothing in them runs.
    """
    path = folder / BUNDLE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ModelError(f"{path}: schema {content['schema']!r}, wanted {SCHEMA!r}", hint="train the model again")
        model = TrainedModel(
            [str(name) for name in content["components"]],
            [_load_member(folder, member, content["categorical"]) for member in content["members"]],
            [_calibration(values) for values in content["calibrations"]],
            [AlertRule(**values) for values in content["rules"]],
        )
        _check(path, model)
        return Bundle(model, _load_recipe(content, path), Fingerprint.from_json(content["fingerprint"]))
    except FileNotFoundError as exc:
        raise ModelError(f"{exc.filename}: no such file", hint="--model names a folder written by pdm train") from exc
    except KeyError as exc:
        raise ModelError(f"{path}: {exc} is missing or unknown", hint=_AGAIN) from exc
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as exc:
        raise ModelError(f"{path}: not a bundle of pdm: {exc}", hint=_AGAIN) from exc


def _lasting(section: Section) -> dict[str, Any]:
    """Return the settings that bear on the result: a model is the same however many threads made it."""
    return {item.name: getattr(section, item.name) for item in fields(section) if item.metadata["changes_result"]}


def _save_member(folder: Path, number: int, member: Member) -> dict[str, Any]:
    files = {}
    # Numbered, because a component may have a name that no file can have.
    for component, dump in enumerate(member.model.dump(), start=1):
        path = folder / f"member_{number}_{component}{ESTIMATORS[member.algorithm].suffix}"
        path.write_bytes(dump)
        files[path.name] = manifest.hash_file(path)["sha256"]
    return {"algorithm": member.algorithm, "features": member.features, "files": files}


def _load_member(folder: Path, content: dict[str, Any], categorical: list[str]) -> Member:
    features = [str(name) for name in content["features"]]
    estimator = ESTIMATORS[content["algorithm"]].make()
    dumps = [_read_file(folder, name, sha256) for name, sha256 in content["files"].items()]
    model = estimator.load(dumps, categorical=[name in categorical for name in features])
    return Member(content["algorithm"], features, model)


def _calibration(values: dict[str, Any]) -> Calibration:
    return Calibration(**values | {"x": tuple(values["x"]), "y": tuple(values["y"])})


def _load_recipe(content: dict[str, Any], path: Path) -> Recipe:
    values = {item.name: content[item.name] for item in fields(Recipe)}
    values["vocabulary"] = Vocabulary(**content["vocabulary"])
    values["states"] = {family: LEARNED[family].load(state) for family, state in content["states"].items()}
    try:
        values["settings"] = config.restore(content["settings"], str(path))
    except PdmError as exc:
        raise ModelError(exc.message, hint=_AGAIN) from exc
    return Recipe(**values)


def _check(path: Path, model: TrainedModel) -> None:
    """Refuse parts that do not belong together."""
    wanted = len(model.components)
    counts = {"calibrations": len(model.calibrations), "alert rules": len(model.rules)}
    wrong = next((f"{count} {name}" for name, count in counts.items() if count != wanted), None)
    if not wanted or not model.members or wrong:
        told = wrong or f"{len(model.members)} members"
        raise ModelError(f"{path}: its parts do not belong together: {wanted} components, {told}", hint=_AGAIN)


def _read_file(folder: Path, name: str, sha256: str) -> bytes:
    """Return a member's bytes, as they were written."""
    if Path(name).name != name:
        raise ModelError(f"{folder / BUNDLE_FILE}: file {name!r} lies outside the folder", hint="do not use this model")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{folder / name}: damaged: sha256 differs", hint=_AGAIN)
    return content
