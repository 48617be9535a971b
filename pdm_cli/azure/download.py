"""Which blobs become which files of a folder, which of them are there already, and whether what came is right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import Any

from pdm_cli.errors import DataError
from pdm_cli.io import manifest, output_folder
from pdm_cli.text import plain

# Names that Windows keeps for devices, with any ending; a folder fetched on one system is read on another.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
# Backslashes and colons make another path of a name on Windows; the rest cannot be in a name there.
_FORBIDDEN = re.compile(r'[\\:*?"<>|\t]')
_MOST_NAMES = 5
_SHORT = 12


@dataclass(frozen=True)
class Blob:
    """A file in the cloud.

    Attributes
    ----------
    name : str
        Whole name in its container, with slashes.
    bytes : int
        Its size.
    etag : str
        Another one as soon as the blob is written again.
    """

    name: str
    bytes: int
    etag: str


@dataclass(frozen=True)
class Wanted:
    """A file of an output, as its manifest lists it.

    Attributes
    ----------
    name : str
        Path within the output folder, with slashes.
    blob : Blob
        Where its bytes are.
    sha256 : str
        What they must be; their number is that of the blob.
    where : str
        The output, for messages.
    there : str
        Names of the files that it has, for messages.
    """

    name: str
    blob: Blob
    sha256: str
    where: str
    there: str

    @property
    def facts(self) -> dict[str, Any]:
        """As in a manifest."""
        return {"sha256": self.sha256, "bytes": self.blob.bytes}


def name_files(blobs: Iterable[Blob], prefix: str) -> dict[str, Blob]:
    """Return the blobs below ``prefix`` by the name of the file that each becomes.

    Parameters
    ----------
    blobs : iterable of Blob
        All with names that begin with ``prefix``.
    prefix : str
        Ends with a slash.

    Returns
    -------
    dict
        Path within the folder to blob, sorted; without what killed runs left.

    Raises
    ------
    DataError
        If a blob's name would lead out of the folder, or cannot be a file's on every system.
    """
    names = {check_name(blob.name.removeprefix(prefix), blob.name): blob for blob in blobs}
    return {name: names[name] for name in sorted(names) if not name.startswith(output_folder.PARTIAL_PREFIX)}


def list_wanted(files: Mapping[str, Blob], content: Mapping[str, Any], where: str) -> list[Wanted]:
    """Return the files that the manifest of an output lists, with their blobs.

    Parameters
    ----------
    files : mapping
        What is there, from :func:`name_files`.
    content : mapping
        The manifest.
    where : str
        The output, for messages.

    Raises
    ------
    DataError
        If a file is missing or has another size, or the manifest lists what no output has.
    """
    wanted, there = [], tell_names(files)
    for name, facts in content["outputs"].items():
        sha256, size = _read_facts(name, facts, where)
        blob = files.get(check_name(name, f"{where}: {manifest.MANIFEST_FILE}: {name}"))
        if blob is None or name == manifest.MANIFEST_FILE:
            raise DataError(f"{where}: {name} is missing; there are: {there}")
        if blob.bytes != size:
            told = f"{where}: {name} has {blob.bytes:,} bytes, its manifest says {size:,}"
            raise DataError(f"{told}; there are: {there}")
        wanted.append(Wanted(name, blob, sha256, where, there))
    _check_no_file_is_a_folder([one.name for one in wanted], where)
    return wanted


def find_copy(wanted: Wanted, places: Iterable[Path]) -> Path | None:
    """Return a file in one of ``places`` that has the right bytes already, if any has."""
    for place in places:
        path = place / wanted.name
        # The size first: most files that are not the right one need not be read.
        if path.is_file() and path.stat().st_size == wanted.blob.bytes and manifest.hash_file(path) == wanted.facts:
            return path
    return None


def store(pieces: Iterator[bytes], path: Path, advance: Callable[[int], None], wanted: Wanted | None = None) -> None:
    """Write ``pieces`` to a file as they come, and see that they are the right ones.

    Parameters
    ----------
    pieces : iterator of bytes
        The whole file in pieces.
    path : Path
        Written anew; its folder is made.
    advance : callable
        Told the bytes of each piece; and a negative number if the file has to be given up.
    wanted : Wanted, optional
        What the file must be.

    Raises
    ------
    DataError
        If they are others; the file is gone then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, received = hashlib.sha256(), 0
    try:
        with path.open("wb") as stream:
            for piece in pieces:
                stream.write(piece)
                digest.update(piece)
                received += len(piece)
                advance(len(piece))
        if wanted is not None and digest.hexdigest() != wanted.sha256:
            raise DataError(
                f"{wanted.where}: {wanted.name}: not the file that was made: sha256 {digest.hexdigest()[:_SHORT]}…, "
                f"its manifest says {wanted.sha256[:_SHORT]}…; there are: {wanted.there}",
                hint="it was changed after the job; nothing was replaced here",
            )
    except BaseException:
        path.unlink(missing_ok=True)
        advance(-received)
        raise


def tell_names(names: Iterable[str]) -> str:
    """Return some of the names, and how many more there are."""
    known = sorted(names)
    more = f" and {len(known) - _MOST_NAMES:,} more" if len(known) > _MOST_NAMES else ""
    return (", ".join(known[:_MOST_NAMES]) or "none") + more


def check_name(name: str, told: str) -> str:
    """Return ``name`` if it is that of a file within a folder, on every system."""
    if any(_is_bad(part) for part in name.split("/")):
        raise DataError(
            f"blob {told!r}: not a name that a file in a folder can have; nothing was fetched",
            hint="pdm does not write such names: find out who wrote to the datastore",
        )
    return name


def _is_bad(part: str) -> bool:
    # Without its last dot or space Windows takes a name for another one; '.', '..' and '' end in one or are none.
    if part in ("", ".", "..") or part[-1] in ". ":
        return True
    # What is not seen in a name makes it look like another one, or is an order to the terminal that shows it.
    return bool(_FORBIDDEN.search(part) or _DEVICE.fullmatch(part)) or plain(part) != part


def _read_facts(name: str, facts: Any, where: str) -> tuple[str, int]:
    match facts:
        case {"sha256": str(sha256), "bytes": int(size)}:
            return sha256, size
    raise DataError(f"{where}: {manifest.MANIFEST_FILE}: no sha256 and bytes of {name}")


def _check_no_file_is_a_folder(names: Sequence[str], where: str) -> None:
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    clash = sorted(folders.intersection(names))
    if clash:
        raise DataError(f"{where}: {manifest.MANIFEST_FILE}: {clash[0]} is a file and a folder")


MEGABYTE = 10**6


_AT_ONCE = 4


class Meter:
    """Bytes from several threads, told in whole megabytes.

    Parameters
    ----------
    tell : callable
        Told the megabytes that were completed since the last time; fewer than none if a transfer begins anew.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._bytes = 0
        self._lock = Lock()

    def advance(self, count: int) -> None:
        """Count ``count`` bytes more."""
        with self._lock:
            before = self._bytes // MEGABYTE
            self._bytes += count
            self._tell(self._bytes // MEGABYTE - before)


def run_all(transfers: Sequence[Callable[[Event], object]]) -> None:
    """Run the transfers, a few at a time; the first error or an interrupt ends all.

    Parameters
    ----------
    transfers : sequence of callable
        Each takes an event that is set when it should end; see :func:`until`.
    """
    stopped = Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(transfer, stopped) for transfer in transfers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def until(stopped: Event, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give the pieces on, and end in an error when ``stopped`` is set; not even the first piece is asked for then.

    Raises
    ------
    CancelledError
        If the transfers end without this one.
    """
    _check_going(stopped)
    for piece in pieces:
        _check_going(stopped)
        yield piece


def _check_going(stopped: Event) -> None:
    if stopped.is_set():
        raise CancelledError
