"""Errors of rows that cannot be read, with their lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError
from pdm_cli.io.importing.text_files import find_bad_byte, iterate_rows

if TYPE_CHECKING:
    from pdm_cli.io.importing.engine import Engine
    from pdm_cli.io.importing.sources import SourceFile


def find_fault(files: Sequence[SourceFile]) -> DataError | None:
    """Return the first error of the text files, read slowly and strictly."""
    for file in files:
        if file.text is None:
            continue
        try:
            for _ in iterate_rows(file.text):
                pass
        except DataError as error:
            return error
    return None


def check_rejected(engine: Engine, files: Sequence[SourceFile], name: str) -> None:
    """Reject files with rows that the engine could not read.

    Parameters
    ----------
    engine : Engine
        Has read all rows.
    files : sequence of SourceFile
        The files of a table.
    name : str
        The table's name, for messages.

    Raises
    ------
    DataError
        Naming file and line.
    """
    rejected = list(engine.rejected())
    if not rejected:
        return
    if any("ENCODING" in kind or "UNICODE" in kind for _, kind, _ in rejected):
        for file in files:
            if file.text is not None and (error := find_bad_byte(file.text)) is not None:
                raise error
    if (fault := find_fault(files)) is not None:
        raise fault
    line, _, message = rejected[0]
    raise DataError(f"{name}: line {line:,}: {message}", hint="fix the line")
