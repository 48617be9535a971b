"""Output folders whose files appear together or not at all.

Files are written in a hidden folder inside the target and moved into place at the end, the manifest last: a folder
with a manifest is whole. Working inside the target keeps the move on one file system, also where the target itself
is a mount point that cannot be renamed, as in an Azure ML job.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pdm_cli.errors import TryAgain, UsageError
from pdm_cli.io import manifest
from pdm_cli.io.writers import Life, is_this_process, name_writer, read_life
from pdm_cli.schema import RAW_TABLES

# Beside fetched results: what their jobs printed.
LOGS_FOLDER = "logs"
LOGS_COMMAND = "fetch-results"
PARTIAL_PREFIX = ".pdm-partial-"
_PREVIOUS = "previous"
_KEPT = "kept-"
# A run on another machine cannot be seen; untouched for so long, what it left is given up.
_GIVEN_UP_SECONDS = 24 * 3600.0
# What makes raw tables.
_RAW_COMMANDS = ("import", "simulate")


def check_free(folder: Path, *, overwrite: bool, by: str | None = None) -> None:
    """Refuse an output folder that holds something it would be a pity to lose.

    Parameters
    ----------
    folder : Path
        The output folder; it need not be there.
    overwrite : bool
        Whether what pdm wrote may go.
    by : str, optional
        The command that is to write; what another one wrote may not go then.

    Raises
    ------
    TryAgain
        If another process is writing to ``folder``.
    UsageError
        If ``folder`` is a file, or holds files and ``overwrite`` is false, or holds files that pdm, or ``by``, did not
        write.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, wanted an output folder", hint="--out names a folder")
    _check_alone(folder)
    files = _files(folder)
    if not files:
        return
    if manifest.is_damaged(folder):
        raise UsageError(
            f"{folder / manifest.MANIFEST_FILE}: damaged, so it cannot be told whose files these are",
            hint="remove the folder if it is not needed, or --out names another",
        )
    foreign = sorted(files - _written_by_pdm(folder))
    if foreign:
        below, _, name = foreign[0].partition("/")
        made_below = manifest.read(folder / below)
        if made_below and name in (*made_below["outputs"], manifest.MANIFEST_FILE):
            raise UsageError(
                f"{folder}: holds {below}, which pdm {made_below['command']} wrote",
                hint="--out names a folder of its own",
            )
        raise UsageError(
            f"{folder}: not empty, and not written by pdm: {foreign[0]}", hint="--out names a new or empty folder"
        )
    made = manifest.read(folder)
    if by and made and made["command"] != by:
        raise UsageError(f"{folder}: holds what pdm {made['command']} wrote", hint="--out names a folder of its own")
    if not overwrite:
        raise UsageError(f"{folder}: not empty", hint="--overwrite replaces what pdm wrote there before")


def check_growable(folder: Path) -> None:
    """Refuse a folder that raw tables cannot be added to; what a run killed in its last moment left is set right.

    Raises
    ------
    TryAgain
        If another process is writing to ``folder``.
    UsageError
        If ``folder`` is a file, or holds something else than raw tables.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, wanted an output folder", hint="--out names a folder")
    _check_alone(folder)
    for partial in folder.glob(PARTIAL_PREFIX + "*"):
        # What this process itself left is as good as dead: it begins only now.
        is_own = is_this_process(partial.name.removeprefix(PARTIAL_PREFIX))
        if (partial / _PREVIOUS).is_dir() and (is_own or _is_left(partial)):
            _end_moves(folder, partial)
    _check_raw(folder)


def link_files(folder: Path, partial: Path, left_out: Iterable[str]) -> None:
    """Take the files of ``folder`` over into ``partial``, as links where the file system has them.

    Parameters
    ----------
    folder, partial : Path
        The output folder and the one inside it that will replace its files.
    left_out : iterable of str
        Names, directly in ``folder``, of what is not taken over; the manifest never is.
    """
    skipped = {manifest.MANIFEST_FILE, *left_out}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in skipped or name.parts[0].startswith(PARTIAL_PREFIX) or path.is_dir():
            continue
        _take_over(path, partial / name)


def _take_over(path: Path, target: Path) -> None:
    """Give a file a second place, as a link where the file system has them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


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

    Raises
    ------
    UsageError
        If the folder cannot be made or written.
    """
    with swapped_folder(folder) as partial:
        yield partial
        manifest.write(partial, recipe)


@contextmanager
def swapped_folder(folder: Path) -> Iterator[Path]:
    """As :func:`output_folder`, for files that bring their manifest with them."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL_PREFIX}{name_writer()}", dir=folder))
    except OSError as exc:
        raise UsageError(
            f"{folder}: cannot be written: {exc.strerror}", hint="--out names a folder you may write"
        ) from exc
    try:
        before = _files(folder)
        yield partial
        _replace_contents(folder, partial, before)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for path in made:
            if not any(path.iterdir()):
                path.rmdir()


def kept_folder(partial: Path, key: str) -> Path:
    """Return a folder beside ``partial`` for what a killed run leaves to the next one with the same ``key``.

    It is gone once a run ends well.
    """
    folder = partial.parent / f"{PARTIAL_PREFIX}{_KEPT}{key[:16]}"
    folder.mkdir(exist_ok=True)
    return folder


def list_places(folder: Path) -> list[Path]:
    """Return where files of ``folder`` may lie: itself, and what runs that were killed left in it."""
    partials = sorted(folder.glob(PARTIAL_PREFIX + "*"))
    return [folder, *partials, *(partial / _PREVIOUS for partial in partials)]


def _check_raw(folder: Path) -> None:
    """Refuse a folder that holds files, but not the raw tables of ``import``, ``simulate`` or the user's own making."""
    hint = "--out names a folder of raw tables, or a new one"
    made, path = manifest.read(folder), folder / manifest.MANIFEST_FILE
    if made is None and path.exists():
        raise UsageError(f"{path}: not readable, so it cannot be told whose files these are", hint=hint)
    if made is not None and made.get("command") not in _RAW_COMMANDS:
        raise UsageError(f"{folder}: holds what pdm {made.get('command')} wrote, no raw tables", hint=hint)
    raw = {name for table in RAW_TABLES for name in (table.file, table.name)}
    foreign = sorted(name for name in _files(folder) - _written_by_pdm(folder) if name.split("/")[0] not in raw)
    if foreign:
        raise UsageError(f"{folder}: holds more than raw tables: {foreign[0]}", hint=hint)


def _check_alone(folder: Path) -> None:
    """Refuse a folder that another process on this machine is writing to; the name of its partial folder tells."""
    for partial in folder.glob(PARTIAL_PREFIX + "*"):
        writer = partial.name.removeprefix(PARTIAL_PREFIX)
        if not is_this_process(writer) and read_life(writer) is Life.ALIVE:
            process = writer.partition("-")[0]
            raise TryAgain(f"{folder}: another pdm (process {process}) is writing there", hint="wait until it is done")


def _is_left(partial: Path) -> bool:
    """Return whether nobody works in a partial folder any more."""
    life = read_life(partial.name.removeprefix(PARTIAL_PREFIX))
    if life is not Life.UNKNOWN:
        return life is Life.ENDED
    try:
        latest = max(path.lstat().st_mtime for path in (partial, *partial.rglob("*")))
    except OSError:
        return False
    return time.time() - latest > _GIVEN_UP_SECONDS


def _files(folder: Path) -> set[str]:
    """Return the files below ``folder`` that are not those of a run under way or killed, nor fetched logs."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in names if not name.startswith(PARTIAL_PREFIX)} - _fetched_logs(folder)


def _fetched_logs(folder: Path) -> set[str]:
    """Return the logs fetched into ``folder``: copies, which go with the results that they lie beside."""
    made = manifest.read(folder / LOGS_FOLDER)
    if made is None or made.get("command") != LOGS_COMMAND:
        return set()
    return {f"{LOGS_FOLDER}/{name}" for name in (manifest.MANIFEST_FILE, *made["outputs"])}


def _written_by_pdm(folder: Path) -> set[str]:
    """Return the files that the folder's manifest lists, or those of a run killed while it moved its files in."""
    known = [manifest.read(place) for place in list_places(folder)]
    return {manifest.MANIFEST_FILE}.union(*(found["outputs"] for found in known if found)) if any(known) else set()


def _replace_contents(folder: Path, partial: Path, before: set[str]) -> None:
    """Put the files of ``partial`` in the place of those of ``folder``, or leave all as it was.

    Files that are not among those from ``before`` came while pdm worked; they stay.
    """
    came = _files(folder) - before
    clash = sorted(came & _files(partial))
    if clash:
        raise UsageError(f"{folder / clash[0]}: came while pdm worked, and would be lost", hint="--out names another")
    for name in came:
        _take_over(folder / name, partial / name)
    # The old manifest goes first and the new one comes last: at no moment does a manifest stand beside other files
    # than the ones it lists. After a kill both still lie in the partial folder and tell whose files these are.
    new = sorted(partial.iterdir(), key=_manifest_last)
    old = [path for path in sorted(folder.iterdir(), key=_manifest_last) if not path.name.startswith(PARTIAL_PREFIX)]
    previous = partial / _PREVIOUS
    previous.mkdir()
    moves = [(path, previous / path.name) for path in reversed(old)] + [(path, folder / path.name) for path in new]
    begun: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            begun.append((source, target))
            source.replace(target)
    except BaseException:
        for source, target in reversed(begun):
            if target.exists() and not source.exists():
                target.replace(source)
        raise
    for stale in folder.glob(PARTIAL_PREFIX + "*"):
        if stale.name.startswith(PARTIAL_PREFIX + _KEPT) or _is_left(stale):
            shutil.rmtree(stale, ignore_errors=True)


def _end_moves(folder: Path, partial: Path) -> None:
    """Undo or finish the moves of a run that was killed in the midst of them."""
    made = manifest.read(partial)
    new = {path.name for path in partial.iterdir()} - {_PREVIOUS}
    wanted = {manifest.MANIFEST_FILE, *(name.split("/")[0] for name in (made or {"outputs": ()})["outputs"])}
    # Old files are moved away before the first new one comes: while all of those are here, the others are all old.
    source = partial / _PREVIOUS if new == wanted else partial
    for path in sorted(source.iterdir(), key=_manifest_last):
        if path.name != _PREVIOUS:
            path.replace(folder / path.name)
    shutil.rmtree(partial, ignore_errors=True)


def _manifest_last(path: Path) -> tuple[bool, str]:
    return path.name == manifest.MANIFEST_FILE, path.name
