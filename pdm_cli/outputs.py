"""Output folders that appear whole or not at all.

Files are written in a hidden folder inside the target and moved into place at the end, the manifest last: a folder
with a manifest is whole. Working inside the target keeps the move on one file system, also where the target itself
is a mount point that cannot be renamed, as in an Azure ML job.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdm_cli import manifest
from pdm_cli.errors import UsageError

_PARTIAL_PREFIX = ".pdm-partial-"


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse an output folder that holds something it would be a pity to lose.

    Raises
    ------
    UsageError
        If ``folder`` is a file, or holds files and ``overwrite`` is false, or holds files that pdm did not write.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, wanted an output folder", hint="--out names a folder")
    if not _contents(folder):
        return
    ours = manifest.read(folder) is not None
    if not ours:
        raise UsageError(f"{folder}: not empty, and not written by pdm", hint="--out names a new or empty folder")
    if not overwrite:
        raise UsageError(f"{folder}: not empty", hint="--overwrite replaces what pdm wrote there before")


@contextmanager
def output_folder(folder: Path, recipe: manifest.Recipe) -> Iterator[Path]:
    """Give a folder to write in; when the block ends well its files replace those of ``folder``.

    Parameters
    ----------
    folder : Path
        The output folder; made if missing. See :func:`check_free` for what may be in it.
    recipe : Recipe
        Written to the manifest together with the hashes of the outputs.

    Yields
    ------
    Path
        An empty folder. After an error it is gone and ``folder`` is as it was.
    """
    made = _make_folder(folder)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL_PREFIX, dir=folder))
    try:
        yield partial
        manifest.write(partial, recipe)
        _replace_contents(folder, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _make_folder(folder: Path) -> bool:
    if folder.is_dir():
        # Left behind by a run that was killed: no manifest ever pointed at it.
        for stale in folder.glob(_PARTIAL_PREFIX + "*"):
            shutil.rmtree(stale, ignore_errors=True)
        return False
    try:
        folder.mkdir(parents=True)
    except OSError as exc:
        raise UsageError(
            f"{folder}: cannot be made: {exc.strerror}", hint="--out names a folder you may write"
        ) from exc
    return True


def _contents(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith(_PARTIAL_PREFIX)]


def _replace_contents(folder: Path, partial: Path) -> None:
    # The old manifest goes first and the new one comes last: at no moment does a manifest stand beside other files
    # than the ones it lists.
    (folder / manifest.MANIFEST_FILE).unlink(missing_ok=True)
    for path in _contents(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in sorted(partial.iterdir(), key=lambda p: p.name == manifest.MANIFEST_FILE):
        path.replace(folder / path.name)
