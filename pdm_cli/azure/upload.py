"""What goes up: a clean folder of pdm's own code, and of an input folder the files that the command reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pdm_cli
from pdm_cli.io import manifest

_PACKAGE = Path(pdm_cli.__file__).parent


@dataclass(frozen=True)
class Upload:
    """Files of a folder.

    Attributes
    ----------
    folder : Path
        Where they are.
    files : tuple of Path
        Below it, sorted.
    """

    folder: Path
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)

    def has_others(self) -> bool:
        """Return whether the folder holds other files, too."""
        ours = set(self.files)
        return any(path.is_file() and path not in ours for path in self.folder.rglob("*"))

    def names(self) -> list[str]:
        """Return the names relative to the folder."""
        return [path.relative_to(self.folder).as_posix() for path in self.files]


def find_code() -> Upload:
    """Return the files of the package."""
    return Upload(_PACKAGE.parent, tuple(manifest.list_code()))


def stage_code(cache: Path) -> Path:
    """Return a folder with nothing but the package, made if it is not there yet.

    Parameters
    ----------
    cache : Path
        Keeps one folder for each state of the code, named by its hash.
    """
    target = cache / f"code-{manifest.code_hash()[:16]}"
    if target.is_dir() and _same_files(find_code(), target):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".code-", dir=cache))
    try:
        _copy(find_code(), partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    except OSError:
        # Another pdm may have put the same folder there meanwhile.
        if not (target.is_dir() and _same_files(find_code(), target)):
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


@contextmanager
def staged(uploads: Mapping[str, Upload]) -> Iterator[dict[str, str]]:
    """Give for each port a folder with just the files that go up; gone when the block ends.

    Parameters
    ----------
    uploads : mapping
        Port to its files.
    """
    with tempfile.TemporaryDirectory(prefix="pdm-submit-") as place:
        folders = {}
        for port, upload in uploads.items():
            folder = Path(place) / port
            _link(upload, folder)
            folders[port] = str(folder)
        yield folders


def _same_files(upload: Upload, folder: Path) -> bool:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if there != set(upload.names()):
        return False
    pairs = zip(upload.files, upload.names(), strict=True)
    return all(path.read_bytes() == (folder / name).read_bytes() for path, name in pairs)


def _copy(upload: Upload, target: Path) -> None:
    for path, name in zip(upload.files, upload.names(), strict=True):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _link(upload: Upload, target: Path) -> None:
    for path, name in zip(upload.files, upload.names(), strict=True):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            (target / name).symlink_to(path.resolve())
        except OSError:
            # Windows lets not everyone link.
            shutil.copyfile(path, target / name)
