"""The files of tables, found by their names alone: nothing heavy is imported to look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pdm_cli.errors import UsageError
from pdm_cli.schema import Table


def check_folder(port: str, folder: Path, holds: str) -> None:
    """Refuse an input folder that is not there.

    Parameters
    ----------
    port : str
        The option.
    folder : Path
        Its value.
    holds : str
        What the folder has, for the hint.

    Raises
    ------
    UsageError
        If ``folder`` is no folder.
    """
    if not folder.is_dir():
        what = "is a file, wanted a folder" if folder.exists() else "no such folder"
        raise UsageError(f"{port} {folder}: {what}", hint=f"{port} names the folder with {holds}")


def list_files(folder: Path, table: Table) -> list[Path]:
    """Return the Parquet files of a table: the file itself, or the parts in a folder of its name, sorted."""
    found: list[Path] = []
    for place in (folder / table.file, folder / table.name):
        found += [place] if place.is_file() else (path for path in place.rglob("*.parquet") if path.is_file())
    return sorted(found)


def find_below(folder: Path, is_meant: Callable[[Path], object]) -> Path | None:
    """Return the first folder directly in ``folder`` that may be the one that is meant; ``None`` where none is."""
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((child for child in children if child.is_dir() and is_meant(child)), None)
