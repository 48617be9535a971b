"""Output folders whose files appear together or not at all.

Files are written in a hidden folder inside the target and moved into place at the end, the manifest last: a folder
with a manifest is complete. Working inside the target keeps the move on one file system, also where the target itself
is a mount point that cannot be renamed, as in an Azure ML job.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import TryAgain, UsageError
from pdm_cli.io import manifest
from pdm_cli.schema import RAW_TABLES

if TYPE_CHECKING:
    from filelock import BaseFileLock

# Next to fetched results: the logs of their jobs.
LOGS_FOLDER = "logs"
LOGS_COMMAND = "fetch-results"
PARTIAL_PREFIX = ".pdm-partial-"
LOCK_FILE = f"{PARTIAL_PREFIX}lock"
# Where the file system has no locks: its existence is the lock.
SOFT_LOCK_FILE = f"{LOCK_FILE}-soft"
_PREVIOUS = "previous"
_KEPT = "kept-"
# Not every file system has locks, or shares them between machines: the partial folder or lock file of another machine
# may still be in use, until nothing has changed for this long.
_ABANDONED_SECONDS = 24 * 3600.0
# Network and FUSE mounts report the lack of locks in several ways.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
# Commands that write raw tables.
_RAW_COMMANDS = ("import", "simulate")
_ANOTHER_FOLDER = "choose another folder with --out"


def check_free(folder: Path, *, overwrite: bool, by: str | None = None) -> None:
    """Check that nothing of value is lost when ``folder`` becomes an output folder.

    Parameters
    ----------
    folder : Path
        The output folder; it need not exist.
    overwrite : bool
        Whether existing pdm output may be replaced.
    by : str, optional
        The command that will write; the output of another command may then not be replaced.

    Raises
    ------
    TryAgain
        If another process is writing to ``folder``.
    UsageError
        If ``folder`` is a file, or contains files and ``overwrite`` is false, or contains files not written by pdm or
        by ``by``.
    """
    _check_not_in_use(folder)
    files = _files(folder)
    if not files:
        return
    if manifest.is_damaged(folder):
        raise _corrupt_manifest(folder, "delete the folder if you do not need it, or choose another with --out")
    foreign = sorted(files - _written_by_pdm(folder))
    if foreign:
        below, _, name = foreign[0].partition("/")
        inner = manifest.read(folder / below)
        if inner and name in (*inner["outputs"], manifest.MANIFEST_FILE):
            raise UsageError(f"{folder}: contains {below}, the output of pdm {inner['command']}", hint=_ANOTHER_FOLDER)
        raise UsageError(
            f"{folder}: not empty, contains files not written by pdm: {foreign[0]}",
            hint="choose a new or empty folder with --out",
        )
    found = manifest.read(folder)
    if by and found and found["command"] != by:
        raise UsageError(f"{folder}: contains the output of pdm {found['command']}", hint=_ANOTHER_FOLDER)
    if not overwrite:
        raise UsageError(f"{folder}: not empty", hint="replace the existing pdm output with --overwrite")


def check_growable(folder: Path) -> None:
    """Check that raw tables can be appended to ``folder``, after completing or undoing moves of a killed run.

    Raises
    ------
    TryAgain
        If another process is writing to ``folder``.
    UsageError
        If ``folder`` is a file, or contains anything but raw tables.
    """
    _check_not_in_use(folder)
    if any(folder.glob(f"{PARTIAL_PREFIX}*/{_PREVIOUS}")):
        with _locked(folder):
            for partial in filter(_is_abandoned, _partials(folder)):
                if (partial / _PREVIOUS).is_dir():
                    _end_moves(folder, partial)
    hint = "--out must be a folder of raw tables or a new folder"
    found = manifest.read(folder)
    if found is None and (folder / manifest.MANIFEST_FILE).exists():
        raise _corrupt_manifest(folder, hint)
    if found is not None and found.get("command") not in _RAW_COMMANDS:
        raise UsageError(
            f"{folder}: contains the output of pdm {found.get('command')}, not raw tables",
            hint=hint,
        )
    raw = {name for table in RAW_TABLES for name in (table.file, table.name)}
    foreign = sorted(name for name in _files(folder) - _written_by_pdm(folder) if name.split("/")[0] not in raw)
    if foreign:
        raise UsageError(f"{folder}: contains files other than raw tables: {foreign[0]}", hint=hint)


def link_files(folder: Path, partial: Path, left_out: Iterable[str]) -> None:
    """Link (or copy, on file systems without links) the files of ``folder`` into ``partial``.

    Parameters
    ----------
    folder, partial : Path
        The output folder, and the one inside it that will replace its files.
    left_out : iterable of str
        Top-level names to leave out; the manifest is always left out.
    """
    skipped = {manifest.MANIFEST_FILE, *left_out}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in skipped or name.parts[0].startswith(PARTIAL_PREFIX) or path.is_dir():
            continue
        _link_or_copy(path, partial / name)


@contextmanager
def output_folder(folder: Path, provenance: manifest.Provenance) -> Iterator[Path]:
    """Yield an empty folder to write in; when the block succeeds its files replace those of ``folder``.

    Parameters
    ----------
    folder : Path
        The output folder, created if missing. See :func:`check_free` for its allowed content.
    provenance : Provenance
        Written to the manifest together with the hashes of the outputs.

    Yields
    ------
    Path
        An empty folder. After an error it is deleted and ``folder`` is unchanged.

    Raises
    ------
    TryAgain
        If another process is writing to ``folder``.
    UsageError
        If the folder cannot be created or written.
    """
    with swapped_folder(folder) as partial:
        yield partial
        manifest.write(partial, provenance)


@contextmanager
def swapped_folder(folder: Path) -> Iterator[Path]:
    """Work as :func:`output_folder`, for files that include their manifest."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise _not_writable(folder, exc) from exc
        with _locked(folder), _partial_folder(folder) as partial:
            before = _files(folder)
            yield partial
            _replace_contents(folder, partial, before)
    finally:
        for path in created:
            with suppress(OSError):
                path.rmdir()


def kept_folder(partial: Path, key: str) -> Path:
    """Return a folder next to ``partial`` that outlives a killed run, for the next run with the same ``key``.

    A run that succeeds deletes it.
    """
    folder = partial.parent / f"{PARTIAL_PREFIX}{_KEPT}{key[:16]}"
    folder.mkdir(exist_ok=True)
    return folder


def list_places(folder: Path) -> list[Path]:
    """Return the folders that may contain files of ``folder``: itself, and those left by killed runs."""
    partials = _partials(folder)
    return [folder, *partials, *(partial / _PREVIOUS for partial in partials)]


def _check_not_in_use(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder", hint="--out must be a folder")
    if (folder / LOCK_FILE).exists():
        with _locked(folder):
            pass


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder, which the system releases however the process ends, if it has locks."""
    from filelock import Timeout

    try:
        lock = _acquire(folder)
    except Timeout as exc:
        hint = f"wait until it has finished, or {_ANOTHER_FOLDER}"
        if Path(exc.lock_file).name == SOFT_LOCK_FILE:
            hint += f"; if {_soft_lock_holder(folder)} is no longer running, delete {folder / SOFT_LOCK_FILE}"
        raise TryAgain(f"{folder}: another pdm is writing to this folder", hint=hint) from exc
    except OSError as exc:
        raise _not_writable(folder, exc) from exc
    try:
        yield
    finally:
        # While the lock is held: a process that waits for the deleted file does not get its lock.
        with suppress(OSError):
            (folder / LOCK_FILE).unlink()
        lock.release()


def _acquire(folder: Path) -> BaseFileLock:
    from filelock import FileLock, SoftFileLock, Timeout

    lock: BaseFileLock = FileLock(folder / LOCK_FILE, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except OSError as exc:
        if exc.errno not in _NO_LOCKS:
            raise
        lock = SoftFileLock(folder / SOFT_LOCK_FILE)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            # The lock of an ended process of this host is already replaced; other hosts cannot be checked.
            if not _delete_abandoned_soft_lock(folder):
                raise
            lock.acquire(timeout=0)
    return lock


def _delete_abandoned_soft_lock(folder: Path) -> bool:
    """Delete the soft lock of a writer that has changed nothing for a day; return whether it was deleted."""
    path = folder / SOFT_LOCK_FILE
    aside = folder / f"{SOFT_LOCK_FILE}-{_host()}-{os.getpid()}"
    try:
        before = path.read_bytes()
        if not _is_unchanged_for_a_day([path, *_partials(folder)]):
            return False
        # Another process may have replaced the lock since then. Only its content identifies it on all file systems:
        # some change the inode or the time of a file that is moved.
        path.replace(aside)
        if aside.read_bytes() == before:
            aside.unlink()
            return True
        aside.replace(path)
    except OSError:
        pass
    return False


def _soft_lock_holder(folder: Path) -> str:
    """Name the process in a soft lock, which contains its ID and host, or nothing if it was killed too early."""
    try:
        pid, host, *_ = (folder / SOFT_LOCK_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        pid = host = ""
    # In a container, the ID of its process namespace follows the host.
    return f"process {pid} on host {host.partition('?')[0]}" if pid.isdigit() else "that process"


@contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    try:
        partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL_PREFIX}{_host()}-", dir=folder))
    except OSError as exc:
        raise _not_writable(folder, exc) from exc
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partials(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{PARTIAL_PREFIX}*") if path.is_dir())


def _is_abandoned(partial: Path) -> bool:
    """Return whether no process uses a partial folder, given that this one holds the lock."""
    if partial.name.startswith(f"{PARTIAL_PREFIX}{_host()}-"):
        return True
    return _is_unchanged_for_a_day([partial])


def _is_unchanged_for_a_day(places: Iterable[Path]) -> bool:
    """Return whether neither these files and folders nor anything in them has changed for a day."""
    try:
        latest = max(path.lstat().st_mtime for place in places for path in (place, *place.rglob("*")))
    except OSError:
        return False
    return time.time() - latest > _ABANDONED_SECONDS


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _not_writable(folder: Path, exc: OSError) -> UsageError:
    return UsageError(f"{folder}: cannot be written: {exc.strerror}", hint="choose a writable folder with --out")


def _corrupt_manifest(folder: Path, hint: str) -> UsageError:
    path = folder / manifest.MANIFEST_FILE
    return UsageError(f"{path}: manifest is corrupt; cannot tell whether pdm created these files", hint=hint)


def _files(folder: Path) -> set[str]:
    """Return the files in ``folder``, except for partial folders and fetched logs."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in names if not name.startswith(PARTIAL_PREFIX)} - _fetched_logs(folder)


def _fetched_logs(folder: Path) -> set[str]:
    """Return the logs fetched into ``folder``: copies, which are replaced with the results they belong to."""
    found = manifest.read(folder / LOGS_FOLDER)
    if found is None or found.get("command") != LOGS_COMMAND:
        return set()
    return {f"{LOGS_FOLDER}/{name}" for name in (manifest.MANIFEST_FILE, *found["outputs"])}


def _written_by_pdm(folder: Path) -> set[str]:
    """Return the files listed in the folder's manifest, or in that of a run killed while it moved its files in."""
    known = [manifest.read(place) for place in list_places(folder)]
    return {manifest.MANIFEST_FILE}.union(*(found["outputs"] for found in known if found)) if any(known) else set()


def _link_or_copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


def _replace_contents(folder: Path, partial: Path, before: set[str]) -> None:
    """Replace the files of ``folder`` by those of ``partial``, or leave everything unchanged.

    Files that are not among those from ``before`` appeared while pdm was running; they stay.
    """
    appeared = _files(folder) - before
    clash = sorted(appeared & _files(partial))
    if clash:
        raise UsageError(
            f"{folder / clash[0]}: appeared while pdm was running and would be overwritten", hint=_ANOTHER_FOLDER
        )
    for name in appeared:
        _link_or_copy(folder / name, partial / name)
    # The old manifest goes first and the new one comes last, so no manifest is ever next to files that it does not
    # list. After a kill both are still in the partial folder and show whose files these are.
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
    for stale in _partials(folder):
        if stale.name.startswith(PARTIAL_PREFIX + _KEPT) or _is_abandoned(stale):
            shutil.rmtree(stale, ignore_errors=True)


def _end_moves(folder: Path, partial: Path) -> None:
    """Undo or complete the moves of a run that was killed halfway through them."""
    listed = (manifest.read(partial) or {"outputs": ()})["outputs"]
    new = {path.name for path in partial.iterdir()} - {_PREVIOUS}
    expected = {manifest.MANIFEST_FILE, *(name.split("/")[0] for name in listed)}
    # All old files are moved away before the first new one is moved in: while partial still has all of the new files,
    # those in the folder are old.
    source = partial / _PREVIOUS if new == expected else partial
    for path in sorted(source.iterdir(), key=_manifest_last):
        if path.name != _PREVIOUS:
            path.replace(folder / path.name)
    shutil.rmtree(partial, ignore_errors=True)


def _manifest_last(path: Path) -> tuple[bool, str]:
    return path.name == manifest.MANIFEST_FILE, path.name
