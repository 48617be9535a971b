"""The files of tables, found by their names alone: nothing heavy is imported to look."""

from __future__ import annotations

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
