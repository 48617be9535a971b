"""Folders that take long to create: once for all workers of a session, which only read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

Listing = dict[str, list[int]]


def list_files(folder: Path) -> Listing:
    """Return size and time of change of each file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in files}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


class Shared:
    """Creates each folder once, under a lock, and checks that no test has changed it."""

    def __init__(self, root: Path) -> None:
        self._root = root / "shared"
        self._root.mkdir(exist_ok=True)
        self._listings: dict[Path, Listing] = {}

    def __call__(self, name: str, create: Callable[[Path], object]) -> Path:
        """Return the folder of a name; ``create`` writes it unless another worker has."""
        folder, own = self._root / name, name.replace("/", "-")
        listing = self._root / f"{own}.json"
        with FileLock(self._root / f"{own}.lock"):
            if not listing.exists():
                create(folder)
                listing.write_text(json.dumps(list_files(folder)))
        self._listings[folder] = json.loads(listing.read_text())
        return folder

    def assert_unchanged(self) -> None:
        for folder, listing in self._listings.items():
            assert list_files(folder) == listing, f"a test has changed {folder}, which others read"
