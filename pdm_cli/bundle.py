"""A model folder: boosters and one JSON recipe; data only, nothing that runs on load."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pdm_cli import manifest
from pdm_cli.core.estimators import ESTIMATORS, Model
from pdm_cli.core.features import Vocabulary
from pdm_cli.errors import ModelError

BUNDLE_FILE = "bundle.json"
SCHEMA = "pdm.bundle/1"


@dataclass(frozen=True)
class Bundle:
    """What it takes to turn prepared tables into alerts, apart from the fitted boosters.

    Attributes
    ----------
    estimator : str
        Name in the registry of estimators.
    components : list of str
        Components, in the order of the boosters.
    thresholds : list of float
        Alert where the probability reaches it, one a component.
    features : list of str
        Columns in the order that the boosters were fitted on.
    categorical : list of str
        Those that are positions in a list of categories.
    vocabulary : Vocabulary
        Kinds of event and categories that the columns are made for.
    sensors : list of str
        Sensor columns of the telemetry.
    step_minutes, phase_minutes : float
        Step of the telemetry, and where in it the readings stand.
    settings : dict
        Sections of settings that decide the features and labels.
    """

    estimator: str
    components: list[str]
    thresholds: list[float]
    features: list[str]
    categorical: list[str]
    vocabulary: Vocabulary
    sensors: list[str]
    step_minutes: float
    phase_minutes: float
    settings: dict[str, Any]


def save(folder: Path, bundle: Bundle, model: Model) -> None:
    """Write the boosters and ``bundle.json`` into ``folder``."""
    # Numbered, because a component may have a name that no file can have.
    boosters = {}
    suffix = ESTIMATORS[bundle.estimator].suffix
    for number, dump in enumerate(model.dump(), start=1):
        path = folder / f"booster_{number}{suffix}"
        path.write_bytes(dump)
        boosters[path.name] = manifest.hash_file(path)["sha256"]
    content = {"schema": SCHEMA, "boosters": boosters, **asdict(bundle)}
    text = json.dumps(content, indent=2, default=str, ensure_ascii=False)
    (folder / BUNDLE_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Bundle, Model]:
    """Read a model folder back.

    Parameters
    ----------
    folder : Path
        Written by :func:`save`.

    Raises
    ------
    ModelError
        If a file is missing or is not what it should be.
    """
    path = folder / BUNDLE_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ModelError(f"{path}: schema {content['schema']!r}, wanted {SCHEMA!r}", hint="train the model again")
        values = {item.name: content[item.name] for item in fields(Bundle)}
        bundle = Bundle(**values | {"vocabulary": Vocabulary(**content["vocabulary"])})
        _check(path, bundle, content["boosters"])
        algorithm = ESTIMATORS[bundle.estimator]
        dumps = [_read_booster(folder, name, sha256) for name, sha256 in content["boosters"].items()]
    except FileNotFoundError as exc:
        raise ModelError(f"{exc.filename}: no such file", hint="--model names a folder written by pdm train") from exc
    except KeyError as exc:
        raise ModelError(f"{path}: {exc} is missing or unknown", hint="train or fetch the model again") from exc
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise ModelError(f"{path}: not a bundle of pdm: {exc}", hint="train or fetch the model again") from exc
    categorical = [name in bundle.categorical for name in bundle.features]
    try:
        return bundle, algorithm.make().load(dumps, categorical=categorical)
    except (ImportError, OSError) as exc:
        raise ModelError(
            f"{path}: {bundle.estimator} cannot be loaded here: {str(exc).splitlines()[0]}", hint=algorithm.install
        ) from exc


def _check(path: Path, bundle: Bundle, boosters: dict[str, str]) -> None:
    """Refuse parts that do not belong together."""
    counts = {"components": len(bundle.components), "thresholds": len(bundle.thresholds), "boosters": len(boosters)}
    if not bundle.components or len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ModelError(f"{path}: its parts do not belong together: {told}", hint="train or fetch the model again")


def _read_booster(folder: Path, name: str, sha256: str) -> bytes:
    """Return a booster's bytes, which XGBoost would believe unseen: damaged ones can end the process."""
    if Path(name).name != name:
        raise ModelError(
            f"{folder / BUNDLE_FILE}: booster {name!r} lies outside the folder", hint="do not use this model"
        )
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{folder / name}: damaged: sha256 differs", hint="train or fetch the model again")
    return content
