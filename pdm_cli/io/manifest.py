"""What an output folder was made from: command, parameters, versions, and hashes of every file in and out."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pdm_cli

MANIFEST_FILE = "manifest.json"
SCHEMA = "pdm.manifest/1"
# What the package consists of.
CODE_PATTERNS = ("*.py", "*.j2")
# Libraries whose version can change a byte of an output.
RECORDED_LIBRARIES = (
    *("numpy", "scipy", "pandas", "pyarrow", "statsmodels"),
    *("scikit-learn", "xgboost-cpu", "xgboost", "lightgbm", "optuna"),
)

_REASONS = {
    "command": "made by another command",
    "code": "pdm's code changed",
    "versions": "library versions changed",
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the bytes of an output folder.

    Attributes
    ----------
    command : str
        Sub-command, such as ``train``.
    parameters : dict
        Section to setting to value, without the settings that leave the result as it is.
    inputs : dict
        Port to file name to ``{"sha256", "bytes"}``.
    versions : dict
        Python, pdm and the libraries that compute.
    code : str
        SHA-256 over the package's source files.
    """

    command: str
    parameters: dict[str, Any]
    inputs: dict[str, dict[str, dict[str, Any]]]
    versions: dict[str, str]
    code: str

    def as_json(self) -> dict[str, Any]:
        """Return the recipe in JSON types, so that it compares equal with one read from a file."""
        return dict(json.loads(json.dumps(asdict(self), default=str)))

    def key(self, *, but_for: Collection[str] = ()) -> str:
        """Return one SHA-256 over everything in the recipe.

        Parameters
        ----------
        but_for : collection of str
            Settings to leave out, as ``section.setting``.
        """
        kept = {
            section: {name: value for name, value in values.items() if f"{section}.{name}" not in but_for}
            for section, values in self.parameters.items()
        }
        text = json.dumps(replace(self, parameters=kept).as_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Return the versions of Python, pdm and the installed libraries that compute."""
    found = {"python": platform.python_version(), "pdm-cli": pdm_cli.__version__}
    for name in RECORDED_LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def list_code() -> list[Path]:
    """Return the package's source files, modules and templates, sorted."""
    root = Path(pdm_cli.__file__).parent
    return sorted(path for pattern in CODE_PATTERNS for path in root.rglob(pattern))


@cache
def code_hash() -> str:
    """Return one SHA-256 over the names and bytes of the package's source files."""
    root = Path(pdm_cli.__file__).parent
    digest = hashlib.sha256()
    for path in list_code():
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def hash_file(path: Path) -> dict[str, Any]:
    """Return ``{"sha256", "bytes"}`` of a file, read in pieces."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def hash_bytes(content: bytes) -> dict[str, Any]:
    """Return what :func:`hash_file` returns of a file that holds ``content``."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def hash_files(folder: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return the hashes of ``files`` under their names relative to ``folder``, sorted by name."""
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in sorted(files)}


def compose(recipe: Recipe) -> dict[str, Any]:
    """Return what a manifest says of how a folder was made; the hashes of its files come last."""
    return {"schema": SCHEMA, "command_line": sys.argv, **recipe.as_json()}


def write(folder: Path, recipe: Recipe) -> None:
    """Write ``manifest.json`` for the finished files of ``folder``."""
    outputs = hash_files(folder, (p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST_FILE))
    (folder / MANIFEST_FILE).write_text(_as_text({**compose(recipe), "outputs": outputs}), encoding="utf-8")


def note_output(folder: Path, name: str) -> None:
    """Note the hash of a file that was made anew in a finished folder, where the manifest lists it."""
    content = read(folder)
    if content is not None and name in content["outputs"]:
        content["outputs"][name] = hash_file(folder / name)
        write_whole(folder / MANIFEST_FILE, _as_text(content))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there as a whole or as it was."""
    # Named like the folders of a run under way, so that what a killed one leaves is nobody's file.
    partial = path.with_name(f".pdm-partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _as_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def read(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of ``folder``, or ``None`` where there is no readable one."""
    try:
        return parse((folder / MANIFEST_FILE).read_bytes())
    except OSError:
        return None


def parse(text: bytes) -> dict[str, Any] | None:
    """Return the manifest in the bytes of its file, or ``None`` if they are none."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    is_sound = all(isinstance(content.get(name), dict) for name in ("parameters", "inputs", "outputs"))
    return content if is_sound else None


def is_damaged(folder: Path) -> bool:
    """Return whether there is a manifest that is cut off or otherwise no JSON."""
    try:
        json.loads((folder / MANIFEST_FILE).read_bytes())
    except ValueError:
        return True
    except OSError:
        return False
    return False


def reasons_to_redo(folder: Path, recipe: Recipe) -> list[str]:
    """Return why the outputs in ``folder`` are not those of ``recipe``; empty if they are and are whole.

    Parameters
    ----------
    folder : Path
        An output folder; need not exist.
    recipe : Recipe
        What the outputs would be made from now.
    """
    manifest = read(folder)
    if manifest is None:
        return ["first run"]
    wanted = recipe.as_json()
    reasons = [text for what, text in _REASONS.items() if manifest.get(what) != wanted[what]]
    reasons += _changed_parameters(manifest["parameters"], wanted["parameters"])
    reasons += _changed_inputs(manifest["inputs"], wanted["inputs"])
    if not reasons and not is_whole(folder, manifest):
        reasons.append("an output file is missing or was changed")
    return reasons


def is_whole(folder: Path, manifest: dict[str, Any]) -> bool:
    """Return whether every output that the manifest lists is there with the same bytes."""
    outputs: dict[str, Any] = manifest["outputs"]
    return all((folder / name).is_file() and hash_file(folder / name) == facts for name, facts in outputs.items())


def _changed_parameters(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    names = {(s, k) for side in (old, new) for s, values in side.items() for k in values}
    changed = [key for section, key in sorted(names) if old.get(section, {}).get(key) != new.get(section, {}).get(key)]
    return [f"{key} changed" for key in changed]


def _changed_inputs(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    names = {(p, f) for side in (old, new) for p, files in side.items() for f in files}
    changed = [name for port, name in sorted(names) if old.get(port, {}).get(name) != new.get(port, {}).get(name)]
    return [f"{name} changed" for name in changed]
