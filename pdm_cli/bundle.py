"""A model folder: boosters and one JSON recipe; data only, nothing that runs on load."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

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
    step_minutes : float
        Step of the telemetry.
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
    settings: dict[str, Any]


def save(folder: Path, bundle: Bundle, model: Model) -> None:
    """Write the boosters and ``bundle.json`` into ``folder``."""
    # Numbered, because a component may have a name that no file can have.
    files = []
    for number, dump in enumerate(model.dump(), start=1):
        files.append(f"booster_{number}.ubj")
        (folder / files[-1]).write_bytes(dump)
    content = {"schema": SCHEMA, "boosters": files, **asdict(bundle)}
    text = json.dumps(content, indent=2, default=str, ensure_ascii=False)
    (folder / BUNDLE_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path, *, threads: int = 0) -> tuple[Bundle, Model]:
    """Read a model folder back.

    Parameters
    ----------
    folder : Path
        Written by :func:`save`.
    threads : int
        Threads for predictions; 0: one a core.

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
        estimator = ESTIMATORS[bundle.estimator]()
        dumps = [_booster_file(folder, name).read_bytes() for name in content["boosters"]]
    except FileNotFoundError as exc:
        raise ModelError(f"{exc.filename}: no such file", hint="--model names a folder written by pdm train") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{path}: not a bundle of pdm: {exc}", hint="train or fetch the model again") from exc
    categorical = [name in bundle.categorical for name in bundle.features]
    return bundle, estimator.load(dumps, categorical=categorical, threads=threads)


def _booster_file(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise ModelError(
            f"{folder / BUNDLE_FILE}: booster {name!r} lies outside the folder", hint="do not use this model"
        )
    return folder / name
