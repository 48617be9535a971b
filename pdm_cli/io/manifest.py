"""Manifests of output folders: command, parameters, versions, and the hash of every input and output file."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Collection, Iterable
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from threading import Event
from typing import Any

import pdm_cli

MANIFEST_FILE = "manifest.json"
SCHEMA = "pdm.manifest/1"
# Source files of the package.
CODE_PATTERNS = ("*.py", "*.j2")
# Libraries whose version can change a byte of an output.
RECORDED_LIBRARIES = (
    *("numpy", "scipy", "pandas", "pyarrow", "statsmodels"),
    *("scikit-learn", "xgboost-cpu", "xgboost", "lightgbm", "optuna"),
)

_PIECE_BYTES = 1 << 20

_REASONS = {
    "command": "written by another command",
    "code": "pdm's code changed",
    "versions": "library versions changed",
}


@dataclass(frozen=True)
class Provenance:
    """Everything that determines the bytes of an output folder.

    Attributes
    ----------
    command : str
        Subcommand, such as ``train``.
    parameters : dict
        Section to setting to value, without the settings that do not affect the result.
    inputs : dict
        Port to file name to ``{"sha256", "bytes"}``.
    versions : dict
        Python, pdm and the numeric libraries.
    code : str
        SHA-256 over the package's source files.
    """

    command: str
    parameters: dict[str, Any]
    inputs: dict[str, dict[str, dict[str, Any]]]
    versions: dict[str, str]
    code: str

    def as_json(self) -> dict[str, Any]:
        """Return the provenance in JSON types, so that it compares equal to one read from a file."""
        return dict(json.loads(json.dumps(asdict(self), default=str)))

    def key(self, *, but_for: Collection[str] = ()) -> str:
        """Return the SHA-256 of the provenance.

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
    """Return the versions of Python, pdm and the installed numeric libraries."""
    found = {"python": platform.python_version(), "pdm-cli": pdm_cli.__version__}
    for name in RECORDED_LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def list_code() -> list[Path]:
    """Return the source files of the package, modules and templates, sorted."""
    root = Path(pdm_cli.__file__).parent
    return sorted(path for pattern in CODE_PATTERNS for path in root.rglob(pattern))


@cache
def code_hash() -> str:
    """Return the SHA-256 of the names and bytes of the package's source files."""
    root = Path(pdm_cli.__file__).parent
    digest = hashlib.sha256()
    for path in list_code():
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def hash_file(path: Path, stop: Event | None = None) -> dict[str, Any]:
    """Return ``{"sha256", "bytes"}`` of a file; raises CancelledError once ``stop`` is set."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            if stop is not None and stop.is_set():
                raise CancelledError
            digest.update(piece)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def hash_bytes(content: bytes) -> dict[str, Any]:
    """Return the same as :func:`hash_file` for a file with ``content``."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def hash_files(folder: Path, files: Iterable[Path], stop: Event | None = None) -> dict[str, dict[str, Any]]:
    """Return the hashes of ``files`` by name relative to ``folder``, sorted."""
    return {path.relative_to(folder).as_posix(): hash_file(path, stop) for path in sorted(files)}


def compose(provenance: Provenance) -> dict[str, Any]:
    """Return the content of a manifest except for the hashes of the outputs."""
    return {"schema": SCHEMA, "command_line": sys.argv, **provenance.as_json()}


def write(folder: Path, provenance: Provenance) -> None:
    """Write ``manifest.json`` for the finished files of ``folder``."""
    outputs = hash_files(folder, (p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST_FILE))
    (folder / MANIFEST_FILE).write_text(_as_text({**compose(provenance), "outputs": outputs}), encoding="utf-8")


def note_output(folder: Path, name: str) -> None:
    """Update the hash of a file that was rewritten in a finished folder, if the manifest lists it."""
    content = read(folder)
    if content is not None and name in content["outputs"]:
        content["outputs"][name] = hash_file(folder / name)
        write_whole(folder / MANIFEST_FILE, _as_text(content))


def write_whole(path: Path, text: str) -> None:
    """Replace a file completely or not at all."""
    # Named like partial folders, so that a file left by a killed run is ignored.
    partial = path.with_name(f".pdm-partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _as_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def read(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of ``folder``, or ``None`` if there is no readable one."""
    try:
        return parse((folder / MANIFEST_FILE).read_bytes())
    except OSError:
        return None


def parse(text: bytes) -> dict[str, Any] | None:
    """Return the manifest in the bytes of a file, or ``None`` if they are not a manifest."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    is_valid = all(isinstance(content.get(name), dict) for name in ("parameters", "inputs", "outputs"))
    return content if is_valid else None


def is_damaged(folder: Path) -> bool:
    """Return whether there is a manifest that is not valid JSON."""
    try:
        json.loads((folder / MANIFEST_FILE).read_bytes())
    except ValueError:
        return True
    except OSError:
        return False
    return False


def reasons_to_redo(folder: Path, provenance: Provenance) -> list[str]:
    """Return why the outputs in ``folder`` are not those of ``provenance``; empty if they are, and complete.

    Parameters
    ----------
    folder : Path
        An output folder; it need not exist.
    provenance : Provenance
        Provenance of the outputs if they were written now.
    """
    manifest = read(folder)
    if manifest is None:
        return ["running for the first time"]
    current = provenance.as_json()
    reasons = [reason for key, reason in _REASONS.items() if manifest.get(key) != current[key]]
    reasons += _changes(manifest["parameters"], current["parameters"])
    reasons += _changes(manifest["inputs"], current["inputs"])
    if not reasons and not is_whole(folder, manifest):
        reasons.append("an output file is missing or was changed")
    return reasons


def is_whole(folder: Path, manifest: dict[str, Any]) -> bool:
    """Return whether every output listed in the manifest exists and is unchanged."""
    outputs: dict[str, Any] = manifest["outputs"]
    return all((folder / name).is_file() and hash_file(folder / name) == facts for name, facts in outputs.items())


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the settings, or files, that differ between two mappings of sections, or ports."""
    keys = {(section, key) for side in (old, new) for section, values in side.items() for key in values}
    return [f"{key} changed" for section, key in sorted(keys) if _value(old, section, key) != _value(new, section, key)]


def _value(sections: dict[str, Any], section: str, key: str) -> Any:
    return sections.get(section, {}).get(key)
