"""Find the files of tables by their names, without importing a heavy package."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from pdm_cli.errors import DataError, UsageError
from pdm_cli.schema import Table

# Files of unfinished writes and checksums. Names that start with a dot or an underscore are skipped as well.
_TEMPORARY = (".tmp", ".crc")
# Hive's name of the folder of rows without a value.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
# Where a run puts old files while it moves the new ones in.
_HALF_MOVED = ".pdm-partial-*/previous"


def check_folder(port: str, folder: Path, holds: str) -> None:
    """Check that an input folder exists.

    Parameters
    ----------
    port : str
        The option.
    folder : Path
        Its value.
    holds : str
        The content of the folder, for the hint.

    Raises
    ------
    UsageError
        If ``folder`` is not a folder.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise UsageError(f"{port} {folder}: {problem}", hint=f"{port} names the folder with {holds}")
    if not _is_utf8(str(folder.absolute())):
        raise UsageError(f"{port} {_printable(folder)}: the path is not UTF-8 text", hint="rename the folder")


def list_files(folder: Path, table: Table) -> list[Path]:
    """Return the Parquet files of a table: the file itself, or the sorted parts in the folder of that name.

    Raises
    ------
    DataError
        If a link among the parts is broken, or a folder cannot be read.
    """
    found: list[Path] = []
    for place in (folder / table.file, folder / table.name):
        if place.is_file():
            found.append(place)
        elif place.is_dir() or place.is_symlink():
            found += (path for path in list_visible(place) if path.suffix.lower() == ".parquet")
    return sorted(found)


def is_half_moved(folder: Path) -> bool:
    """Return whether a killed run left files of the folder half moved."""
    return any(folder.glob(_HALF_MOVED))


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or temporary, and therefore not data."""
    # A column may start with an underscore, as in _id=5/.
    return name.startswith(".") or (name.startswith("_") and "=" not in name) or name.endswith(_TEMPORARY)


def list_visible(root: Path) -> list[Path]:
    """Return the files below a folder that are not hidden; links are followed, and each real file is listed once.

    Raises
    ------
    DataError
        If a link is broken, or a folder cannot be read.
    """
    found: dict[Path, Path] = {}
    entered: set[Path] = set()
    folders, links = deque([root]), deque[Path]()
    while folders or links:
        # Links last: a file that is also reached without a link has its own path.
        if not folders:
            link = links.popleft()
            real = _follow(link, root)
            if real.is_dir():
                folders.append(link)
            elif real.is_file():
                found.setdefault(real, link)
            continue
        place = folders.popleft()
        real = _follow(place, root)
        if real in entered:
            continue
        entered.add(real)
        for path in _list_folder(place, root):
            if path.is_symlink():
                links.append(path)
            elif path.is_dir():
                folders.append(path)
            elif path.is_file():
                found[real / path.name] = path
    return list(found.values())


def _follow(path: Path, root: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as exc:
        reason = getattr(exc, "strerror", None) or "the link leads to itself"
        target = f" to {path.readlink()}" if path.is_symlink() else ""
        raise DataError(
            f"{_within(root, path)}: cannot follow the link{target}: {reason}",
            hint="restore its target, or delete the link",
        ) from exc


def _list_folder(place: Path, root: Path) -> list[Path]:
    try:
        found = sorted(path for path in place.iterdir() if not is_hidden(path.name))
    except OSError as exc:
        raise DataError(
            f"{_within(root, place)}/: cannot be read: {exc.strerror}", hint="check the folder's permissions"
        ) from exc
    for path in found:
        if not _is_utf8(path.name):
            raise DataError(f"{_printable(path)}: the name is not UTF-8 text", hint="rename it")
    return found


def _is_utf8(text: str) -> bool:
    # Python stores other bytes of a file name as lone surrogates, which neither Arrow nor JSON takes.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _printable(path: Path) -> str:
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _within(root: Path, path: Path) -> str:
    return path.relative_to(root.parent).as_posix()


def folder_values(root: Path, part: Path) -> dict[str, str | None]:
    """Return the values in the names of the folders of a part, such as 1 of ``machineID=1/``."""
    pairs = (name.split("=", 1) for name in part.relative_to(root).parts[:-1] if "=" in name)
    return {_decode(key): None if value == _NO_VALUE else _decode(value) for key, value in pairs}


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        # Not URL-encoded: decoding it nevertheless would give different names the same replacement character.
        return text


def find_below(folder: Path, matches: Callable[[Path], object]) -> Path | None:
    """Return the first subfolder of ``folder`` that matches, for "did you mean" hints; ``None`` if none does."""
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((child for child in children if child.is_dir() and matches(child)), None)
