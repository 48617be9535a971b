"""Find the files of tables by their names, without importing a heavy package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pdm_cli.errors import UsageError
from pdm_cli.schema import Table


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


def list_files(folder: Path, table: Table) -> list[Path]:
    """Return the Parquet files of a table: the file itself, or the sorted parts in the folder of that name."""
    found: list[Path] = []
    for place in (folder / table.file, folder / table.name):
        found += [place] if place.is_file() else (path for path in place.rglob("*.parquet") if path.is_file())
    return sorted(found)


def find_below(folder: Path, matches: Callable[[Path], object]) -> Path | None:
    """Return the first subfolder of ``folder`` that matches, for "did you mean" hints; ``None`` if none does."""
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((child for child in children if child.is_dir() and matches(child)), None)
