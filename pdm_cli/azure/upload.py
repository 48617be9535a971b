"""Files to upload: a clean copy of pdm's code, and the files of an input folder that the command reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pdm_cli
from pdm_cli.io import manifest

_PACKAGE = Path(pdm_cli.__file__).parent


@dataclass(frozen=True)
class Upload:
    """A sorted selection of the files of a folder."""

    folder: Path
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)

    def has_others(self) -> bool:
        """Return whether the folder contains other files, too."""
        selected = set(self.files)
        return any(path.is_file() and path not in selected for path in self.folder.rglob("*"))

    def names(self) -> list[str]:
        """Return the file names relative to the folder."""
        return [path.relative_to(self.folder).as_posix() for path in self.files]


def find_code() -> Upload:
    """Return the files of the package."""
    return Upload(_PACKAGE.parent, tuple(manifest.list_code()))


def find_staged_code() -> str:
    """Return a folder that contains only the package: in the user's cache, or else a temporary one."""
    from platformdirs import user_cache_path

    try:
        return str(stage_code(user_cache_path("pdm-cli")))
    except OSError:
        return str(stage_code(Path(tempfile.mkdtemp(prefix="pdm-code-"))))


def stage_code(cache: Path) -> Path:
    """Copy the package to a folder named by its hash, unless it exists, and return the folder."""
    target = cache / f"code-{manifest.code_hash()[:16]}"
    if target.is_dir() and _has_same_files(find_code(), target):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".code-", dir=cache))
    try:
        _place(find_code(), partial, shutil.copyfile)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    except OSError:
        # Another pdm may have created the same folder meanwhile.
        if not (target.is_dir() and _has_same_files(find_code(), target)):
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


@contextmanager
def staged(uploads: Mapping[str, Upload]) -> Iterator[dict[str, str]]:
    """Give for each port a temporary folder that contains only the files to upload."""
    with tempfile.TemporaryDirectory(prefix="pdm-submit-") as parent:
        folders = {port: Path(parent) / port for port in uploads}
        for port, upload in uploads.items():
            _place(upload, folders[port], _link)
        yield {port: str(folder) for port, folder in folders.items()}


def _has_same_files(upload: Upload, folder: Path) -> bool:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if found != set(upload.names()):
        return False
    pairs = zip(upload.files, upload.names(), strict=True)
    return all(path.read_bytes() == (folder / name).read_bytes() for path, name in pairs)


def _place(upload: Upload, target: Path, put: Callable[[Path, Path], object]) -> None:
    for path, name in zip(upload.files, upload.names(), strict=True):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        put(path, target / name)


def _link(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path.resolve())
    except OSError:
        # On Windows, creating links may need a privilege.
        shutil.copyfile(path, target)
