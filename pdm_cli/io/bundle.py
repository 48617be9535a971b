"""Model folders: one file per fitted model and a JSON recipe. Data only: no code is run on load."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from pdm_cli.errors import DataError, ModelError, PdmError
from pdm_cli.evaluation.alarm_budget import AlarmCurve
from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.evaluation.drift import Fingerprint
from pdm_cli.evaluation.lifetimes import Lifetime
from pdm_cli.features.build import FEATURES, LEARNED, Vocabulary
from pdm_cli.io import manifest
from pdm_cli.io.folders import find_below
from pdm_cli.models import ESTIMATORS, Model, load_retired
from pdm_cli.models.base import FloatArray, Matrix
from pdm_cli.models.ensemble import Member, TrainedModel
from pdm_cli.models.hazard import Branch, HazardModel
from pdm_cli.schema import ANOMALIES, EVENT_TABLES, MACHINES
from pdm_cli.settings import load as config
from pdm_cli.settings.field import Section, is_recorded
from pdm_cli.settings.model import Settings
from pdm_cli.timestamps import read_stamp
from pdm_cli.units import DATES, Units

BUNDLE_FILE = "bundle.json"
SCHEMA = "pdm.bundle/4"
# Differs only in the format of the boosters: universal binary JSON.
_PREVIOUS_SCHEMA = "pdm.bundle/3"
SECTIONS = ("preprocess", "features", "detect", "labels", "train", "costs")
_AGAIN = "train or fetch the model again"
_MEMBER_FILE = re.compile(r"(?:member|hazard)_\d+_\d+\.[a-z]+")


@dataclass(frozen=True)
class Recipe:
    """How to turn raw tables into the features of a model.

    Attributes
    ----------
    sensors : list of str
        Sensor columns of the telemetry, floats in the sensor's own unit.
    families : list of str
        Feature families of the model.
    tables : list of str
        Event tables and attributes that the features use; ``anomalies`` are detected in the telemetry.
    step_us, phase_us : int
        Step of the telemetry and offset of the readings within it, in microseconds.
    vocabulary : Vocabulary
        Event types and categories that have columns.
    categorical : list of str
        Columns that are positions in a list of categories.
    states : dict
        Family to state of those of the families that are fitted.
    trained : dict
        ``cutoff`` and ``test_start`` as strings, the ``machines`` trained on, the components whose failures show
        ``no_signs``, and ``span_us``, the time from the first to the last reading of the log in microseconds; ``None``
        in older bundles.
    settings : Settings
        Every setting that affects features, labels and alerts.
    units : Units
        Units of the times and sensors, in which results are shown.
    lifetimes : dict
        Component to its failures by age, of those that never alert; none in older bundles.
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
    units: Units = DATES
    lifetimes: dict[str, Lifetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A model, its recipe, and the distribution of the training features (to detect drift).

    ``curves`` has the alert rules of each component to choose from, ``hazard`` predicts the hours to failure; older
    bundles have neither.
    """

    model: TrainedModel
    recipe: Recipe
    fingerprint: Fingerprint
    curves: list[AlarmCurve] = field(default_factory=list)
    hazard: HazardModel | None = None

    def silent(self) -> list[str]:
        """Return the components that never alert: too few failures to learn them, or none with warning signs."""
        learned = {self.model.components[column] for column in self.model.learned}
        no_signs = self.recipe.trained.get("no_signs", ())
        return [name for name in self.model.components if name not in learned or name in no_signs]


@dataclass(frozen=True)
class _StoredMember:
    algorithm: str
    features: list[str]
    files: dict[str, str]


@dataclass(frozen=True)
class _StoredBranch:
    component: int
    is_within: bool
    hours: list[float]
    member: _StoredMember
    calibrations: list[Calibration]


@dataclass(frozen=True)
class _StoredTraining:
    cutoff: str
    test_start: str
    machines: list[int | str]
    # Unknown in older bundles.
    span_us: int | None = None
    no_signs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Stored:
    """Content of ``bundle.json``: exactly these keys, each of its type."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    schema: Literal["pdm.bundle/3", "pdm.bundle/4"]
    components: list[str]
    members: list[_StoredMember]
    calibrations: list[Calibration]
    rules: list[AlertRule]
    sensors: list[str]
    families: list[str]
    tables: list[str]
    step_us: int
    phase_us: int
    vocabulary: Vocabulary
    categorical: list[str]
    states: dict[str, dict[str, Any]]
    trained: _StoredTraining
    settings: dict[str, dict[str, Any]]
    fingerprint: Fingerprint
    cycle_hours: float = 0.0
    units: dict[str, str] = field(default_factory=dict)
    # Unknown in older bundles.
    curves: list[AlarmCurve] = field(default_factory=list)
    lifetimes: dict[str, Lifetime] = field(default_factory=dict)
    hazard: list[_StoredBranch] | None = None


class _LoadedModel:
    """A model that names its folder in errors: XGBoost reads its boosters only when they are first used."""

    def __init__(self, model: Model, folder: Path) -> None:
        self._model = model
        self._folder = folder

    def predict(self, values: Matrix) -> FloatArray:
        with _naming(self._folder):
            return self._model.predict(values)

    def dump(self) -> list[bytes]:
        with _naming(self._folder):
            return self._model.dump()

    def contributions(self, values: Matrix) -> FloatArray:
        with _naming(self._folder):
            return self._model.contributions(values)


def save(folder: Path, bundle: Bundle) -> None:
    """Write the model files and ``bundle.json`` into ``folder``."""
    model, recipe = bundle.model, bundle.recipe
    content = {
        "schema": SCHEMA,
        "components": model.components,
        "members": [
            _save_member(folder, f"member_{number}", member) for number, member in enumerate(model.members, start=1)
        ],
        "calibrations": [asdict(calibration) for calibration in model.calibrations],
        "rules": [asdict(rule) for rule in model.rules],
        "curves": [asdict(curve) for curve in bundle.curves],
        "hazard": None if bundle.hazard is None else _save_branches(folder, bundle.hazard.branches),
        **{item.name: getattr(recipe, item.name) for item in fields(recipe) if item.name != "units"},
        "vocabulary": asdict(recipe.vocabulary),
        "lifetimes": {component: asdict(lifetime) for component, lifetime in recipe.lifetimes.items()},
        "states": {family: LEARNED[family].dump(state) for family, state in recipe.states.items()},
        "settings": {section: _reproducible(getattr(recipe.settings, section)) for section in SECTIONS},
        "fingerprint": asdict(bundle.fingerprint),
        **recipe.units.summary(),
    }
    text = json.dumps(content, indent=1, default=str, ensure_ascii=False, allow_nan=False)
    (folder / BUNDLE_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Bundle:
    """Read a model folder that :func:`save` wrote.

    Raises
    ------
    ModelError
        If a file is missing or invalid. Code in a file is never run.
    DataError
        If a file cannot be read, for lack of permission or because the disk fails.
    """
    path = folder / BUNDLE_FILE
    with _rejecting(path):
        stored = _read_recipe(path)
        model = TrainedModel(
            stored.components,
            [_load_member(folder, member, stored.categorical) for member in stored.members],
            stored.calibrations,
            stored.rules,
        )
        _check_parts(stored)
        recipe = _load_recipe(stored, path)
        hazard = _load_hazard(folder, stored, recipe)
        return Bundle(model, recipe, stored.fingerprint, stored.curves, hazard)


def load_recipe(folder: Path) -> Recipe:
    """Read only the recipe of a model folder; raises like :func:`load`."""
    path = folder / BUNDLE_FILE
    with _rejecting(path):
        stored = _read_recipe(path)
        _check_parts(stored)
        return _load_recipe(stored, path)


@contextmanager
def _rejecting(path: Path) -> Iterator[None]:
    """Turn every exception that an invalid bundle causes into a ModelError that names it.

    A file that cannot be read says nothing about the model: this is a DataError, as for tables.
    """
    try:
        yield
    except FileNotFoundError as exc:
        below = find_below(path.parent, lambda child: (child / BUNDLE_FILE).is_file())
        hint = f"did you mean {below}?" if below else "--model expects a folder written by pdm train"
        raise ModelError(f"{exc.filename}: no such file", hint=hint) from exc
    except NotADirectoryError as exc:
        raise ModelError(f"{path}: {exc.strerror}", hint="--model expects a folder written by pdm train") from exc
    except OSError as exc:
        # Libraries raise OSErrors of their own for a booster that they cannot parse.
        if exc.strerror is None:
            raise ModelError(f"{path}: not a valid model bundle: {_first_line(exc)}", hint=_AGAIN) from exc
        is_denied = isinstance(exc, PermissionError)
        hint = "check the file's permissions" if is_denied else "check the disk, or copy the model again"
        raise DataError(f"{exc.filename or path}: cannot be read: {exc.strerror}", hint=hint) from exc
    except KeyError as exc:
        raise ModelError(f"{path}: {exc} is missing or unknown", hint=_AGAIN) from exc
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as exc:
        raise ModelError(f"{path}: not a valid model bundle: {_first_line(exc)}", hint=_AGAIN) from exc


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Prefix the message of a ModelError with the folder."""
    try:
        yield
    except ModelError as exc:
        raise ModelError(f"{folder}: {exc.message}", hint=exc.hint) from exc


def _reproducible(section: Section) -> dict[str, Any]:
    """Return the settings that affect the result (the number of threads, say, does not)."""
    values = {item: getattr(section, item.name) for item in fields(section)}
    return {item.name: value for item, value in values.items() if is_recorded(item, value)}


def _save_member(folder: Path, name: str, member: Member) -> dict[str, Any]:
    files = {}
    # Numbered, because not every component name is a valid file name.
    for number, dump in enumerate(member.model.dump(), start=1):
        path = folder / f"{name}_{number}{ESTIMATORS[member.algorithm].suffix}"
        path.write_bytes(dump)
        files[path.name] = manifest.hash_file(path)["sha256"]
    return {"algorithm": member.algorithm, "features": member.features, "files": files}


def _save_branches(folder: Path, branches: list[Branch]) -> list[dict[str, Any]]:
    return [
        {
            "component": branch.component,
            "is_within": branch.is_within,
            "hours": branch.hours,
            "member": _save_member(folder, f"hazard_{number}", branch.member),
            "calibrations": [asdict(calibration) for calibration in branch.calibrations],
        }
        for number, branch in enumerate(branches, start=1)
    ]


def _read_recipe(path: Path) -> _Stored:
    from pydantic import TypeAdapter, ValidationError

    content = path.read_bytes()
    found = manifest.read(path.parent)
    listed = found["outputs"].get(BUNDLE_FILE) if found is not None else None
    if listed is not None and listed != manifest.hash_bytes(content):
        raise ModelError(f"{path}: corrupt or edited: sha256 differs from {manifest.MANIFEST_FILE}", hint=_AGAIN)
    try:
        return TypeAdapter(_Stored).validate_json(content)
    except ValidationError as exc:
        first = exc.errors()[0]
        schema = first["input"]
        if first["loc"] == ("schema",) and isinstance(schema, str):
            raise ModelError(
                f"{path}: schema {schema!r}, expected {SCHEMA!r} or {_PREVIOUS_SCHEMA!r}", hint="train the model again"
            ) from exc
        place = ".".join(str(step) for step in first["loc"])
        # The place may contain any name from the file: quote it.
        reason = f"{place!r}: {first['msg']}" if place else first["msg"]
        raise ModelError(f"{path}: not a valid model bundle: {reason}", hint=_AGAIN) from exc


def _load_member(folder: Path, stored: _StoredMember, categorical: list[str]) -> Member:
    dumps = [_read_file(folder, name, sha256) for name, sha256 in stored.files.items()]
    with _naming(folder):
        model = load_retired(stored.algorithm, dumps, features=len(stored.features))
        if model is None:
            model = _read_model(stored, dumps, categorical)
    return Member(stored.algorithm, stored.features, _LoadedModel(model, folder))


def _load_hazard(folder: Path, stored: _Stored, recipe: Recipe) -> HazardModel | None:
    if stored.hazard is None:
        return None
    labels = recipe.settings.labels
    lead, horizon = labels.lead_time_hours, labels.horizon_hours
    for branch in stored.hazard:
        low, high = (lead, horizon) if branch.is_within else (horizon, math.inf)
        if not low < branch.hours[0] <= branch.hours[-1] < high:
            raise ValueError(f"hazard: horizons {branch.hours} are not within {low:g} to {high:g} h")
    branches = [
        Branch(
            branch.component,
            branch.is_within,
            branch.hours,
            _load_member(folder, branch.member, stored.categorical),
            branch.calibrations,
        )
        for branch in stored.hazard
    ]
    return HazardModel(lead, horizon, branches)


def _read_model(stored: _StoredMember, dumps: list[bytes], categorical: list[str]) -> Model:
    algorithm = ESTIMATORS[stored.algorithm]
    try:
        return algorithm.make().load(dumps, categorical=[name in categorical for name in stored.features])
    # LightGBM raises OSError if a system library is missing.
    except (ImportError, OSError) as exc:
        raise ModelError(
            f"the model needs {algorithm.package}, which cannot be loaded ({_first_line(exc)})",
            hint=algorithm.install,
        ) from exc


def _load_recipe(stored: _Stored, path: Path) -> Recipe:
    values = {item.name: getattr(stored, item.name) for item in fields(Recipe)}
    values["units"] = Units(stored.cycle_hours, stored.units)
    # Older bundles also have the states of families that the model does not use.
    states = {family: state for family, state in stored.states.items() if family in stored.families}
    values["states"] = {family: LEARNED[family].load(state) for family, state in states.items()}
    values["trained"] = asdict(stored.trained)
    try:
        values["settings"] = config.restore(stored.settings, str(path))
    except PdmError as exc:
        raise ModelError(exc.message, hint=_AGAIN) from exc
    return Recipe(**values)


def _check_parts(stored: _Stored) -> None:
    """Reject parts that do not match."""
    expected = len(stored.components)
    counts = {"calibrations": [len(stored.calibrations)], "alert rules": [len(stored.rules)]}
    wrong = [f"{count} {name}" for name, own in counts.items() for count in own if count != expected]
    learned = sum(calibration.kind != "constant" for calibration in stored.calibrations)
    files = [len(member.files) for member in stored.members]
    wrong += [f"{count} model files of a member" for count in files if count != learned]
    if not expected or bool(learned) != bool(stored.members) or wrong:
        raise ValueError(f"{expected} components, but {wrong[0] if wrong else f'{len(stored.members)} members'}")
    if stored.curves and [curve.current.rule for curve in stored.curves] != stored.rules:
        raise ValueError("curves: not of the alert rules")
    _check_names(stored)
    _check_fingerprint(stored)
    _check_hazard(stored)
    if not 0 <= stored.phase_us < stored.step_us:
        raise ValueError(f"phase_us {stored.phase_us} is not within step_us {stored.step_us}")
    if stored.cycle_hours < 0:
        raise ValueError(f"cycle_hours {stored.cycle_hours} is negative")
    if stored.trained.span_us is not None and stored.trained.span_us < 0:
        raise ValueError(f"trained.span_us {stored.trained.span_us} is negative")
    for time in (stored.trained.cutoff, stored.trained.test_start):
        read_stamp(time)


def _check_hazard(stored: _Stored) -> None:
    """Reject branches of other components, or with parts that do not match."""
    branches = stored.hazard or []
    sides = [(branch.component, branch.is_within) for branch in branches]
    learned = {place for place, calibration in enumerate(stored.calibrations) if calibration.kind != "constant"}
    if len(set(sides)) < len(sides) or not {component for component, _ in sides} <= learned:
        raise ValueError("hazard: duplicate branch, or a component that is not learned")
    for branch in branches:
        if not set(branch.member.features) <= set(stored.fingerprint.features):
            raise ValueError("hazard: features that the model lacks")
        if not branch.hours or {len(branch.member.files), len(branch.calibrations)} != {len(branch.hours)}:
            raise ValueError("hazard: parts of different length")
        if any(low >= high for low, high in pairwise(branch.hours)):
            raise ValueError(f"hazard: horizons {branch.hours} are not increasing")


def _check_names(stored: _Stored) -> None:
    """Reject duplicate, unknown and inconsistent names."""
    kinds, categories = stored.vocabulary.kinds, stored.vocabulary.categories
    once = {name: getattr(stored, name) for name in ("components", "sensors", "families", "tables", "categorical")}
    once |= {f"features of member {number}": member.features for number, member in enumerate(stored.members, start=1)}
    once |= {"attributes": stored.vocabulary.attributes, **kinds, **categories}
    for place, names in once.items():
        if len(set(names)) < len(names):
            raise ValueError(f"{place}: duplicate name")
    events = {*(table.name for table in EVENT_TABLES), ANOMALIES.name}
    known = (
        ("lifetimes", stored.lifetimes, stored.components),
        ("families", stored.families, {*FEATURES, *LEARNED}),
        ("families", set(stored.families) & set(LEARNED), stored.states),
        ("tables", stored.tables, events | {MACHINES.name}),
        ("vocabulary.kinds", kinds, events),
        ("tables with event types", set(stored.tables) & events, kinds),
        ("sensors of anomalies", kinds.get(ANOMALIES.name, ()), stored.sensors),
        ("categorical", stored.categorical, categories),
    )
    for place, names, allowed in known:
        unknown = sorted(set(names) - set(allowed))
        if unknown:
            raise ValueError(f"{place}: unknown name {unknown[0]!r}")
    # The arrays of a fitted family are in the order of these names.
    by_position = {"components": stored.components, "sensors": stored.sensors, "kinds": kinds.get("errors", [])}
    for family, state in stored.states.items():
        for name, expected in by_position.items():
            if state.get(name, expected) != expected:
                raise ValueError(f"states.{family}.{name}: differs from the bundle, or in its order")


def _check_fingerprint(stored: _Stored) -> None:
    """Reject an invalid fingerprint, or one of other features."""
    seen = stored.fingerprint
    if seen.features != list(dict.fromkeys(name for member in stored.members for name in member.features)):
        raise ValueError("fingerprint.features: not the features of the members")
    if {len(seen.edges), len(seen.shares)} != {len(seen.features)} or any(
        len(shares) != len(edges) + 2 for edges, shares in zip(seen.edges, seen.shares, strict=True)
    ):
        raise ValueError("fingerprint: parts of different length")
    for name, edges, shares in zip(seen.features, seen.edges, seen.shares, strict=True):
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"fingerprint.edges: not increasing for {name}")
        if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ValueError(f"fingerprint.shares: do not add up to 1 for {name}")
        # Each category seen in training has a bin.
        if name in stored.categorical and len(edges) > len(stored.vocabulary.categories[name]):
            raise ValueError(f"vocabulary.categories.{name}: fewer than in the fingerprint")


def _read_file(folder: Path, name: str, sha256: str) -> bytes:
    """Return the content of a model file, verified by its sha256."""
    if not _MEMBER_FILE.fullmatch(name):
        raise ModelError(f"{folder / BUNDLE_FILE}: {name!r} is not a model file", hint="do not use this model")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{folder / name}: corrupt: sha256 differs", hint=_AGAIN)
    return content


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
