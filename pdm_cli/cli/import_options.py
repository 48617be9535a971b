"""The options of ``pdm import``: checked, and made into one description of how the files are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pdm_cli.errors import UsageError
from pdm_cli.schema import RAW_TABLES

if TYPE_CHECKING:
    from pdm_cli.io.importing.csv_inspect import CsvOptions

_TABS = ("tab", "\\t")


def read_options(
    separator: str, decimal: str, encoding: str, formats: Sequence[str], day_first: bool, month_first: bool
) -> CsvOptions:
    """Return how the files are written, as the options say.

    Raises
    ------
    UsageError
        If a sign, encoding or format cannot be, or both orders are given.
    """
    from pdm_cli.io.importing.csv_inspect import CsvOptions

    if day_first and month_first:
        hint = "--date-format TABLE=… tells tables apart"
        raise UsageError("--day-first and --month-first: only one can be", hint=hint)
    sign = "\t" if separator.lower() in _TABS else separator
    _check_signs(sign, decimal, encoding)
    order: Literal["day-first", "month-first"] | None = "month-first" if month_first else None
    return CsvOptions(sign, encoding, decimal, _formats(formats), "day-first" if day_first else order)


def check_ports(folder: str, out: str, *, append: bool, overwrite: bool) -> tuple[Path, Path]:
    """Return the folders to read and to write.

    Raises
    ------
    UsageError
        If the one is not there, or the other may not be written.
    """
    from pdm_cli.io import output_folder
    from pdm_cli.io.folders import check_folder
    from pdm_cli.pipeline.runner import local_folder

    source, target = Path(folder), local_folder("out", out)
    check_folder("FOLDER", source, "the CSV files, such as telemetry.csv")
    if source.resolve() == target.resolve():
        raise UsageError(f"--out {out}: is the folder of the CSV files", hint="--out names another folder")
    if append:
        output_folder.check_growable(target)
    else:
        _check_free(target, overwrite=overwrite)
        _check_replaced(source, target)
    return source, target


def _check_replaced(source: Path, target: Path) -> None:
    """Refuse to replace tables by fewer: those that are not imported anew would be lost."""
    from pdm_cli.io.folders import list_files
    from pdm_cli.io.importing.csv_folder import find_files

    found, _ = find_files(source)
    lost = [table.name for table in RAW_TABLES if table not in found and list_files(target, table)]
    if lost:
        raise UsageError(
            f"{target}: has {', '.join(lost)}, of which there are no logs in {source}: --overwrite would remove them",
            hint="--append adds to what is there; or --out names a new folder",
        )


def _check_free(target: Path, *, overwrite: bool) -> None:
    from pdm_cli.io import manifest, output_folder

    try:
        output_folder.check_free(target, overwrite=overwrite, by="import")
    except UsageError as exc:
        made = manifest.read(target)
        if made and made["command"] == "import" and not overwrite:
            exc.hint = "--append adds to what is there, --overwrite replaces it"
        raise


def check_choice(append: bool, on_overlap: str, overwrite: bool) -> None:
    """Refuse options that cannot be together."""
    if append and overwrite:
        raise UsageError("--append and --overwrite: only one can be", hint="--append keeps what is there")
    if on_overlap != "refuse" and not append:
        raise UsageError("--on-overlap: has no effect without --append", hint="give --append, too")


def _check_signs(separator: str, decimal: str, encoding: str) -> None:
    if len(separator) > 1 or (separator and (separator in '"\r\n' or ord(separator) > 127)):
        raise UsageError(f"--separator {separator!r}: not one sign", hint="such as ';' or tab")
    if separator == decimal:
        raise UsageError(f"--separator {separator}: is the decimal sign, too", hint="--decimal names that one")
    try:
        "datetime".encode(encoding or "utf-8")
    except (LookupError, UnicodeError) as exc:
        raise UsageError(f"--encoding {encoding}: not known", hint="such as utf-8, utf-16, cp1252 or latin-1") from exc


def _formats(given: Sequence[str]) -> dict[str, str]:
    """Return the formats of ``--date-format`` by table."""
    import numpy as np

    from pdm_cli.io.importing.dates import EPOCHS, parse_format

    names = [table.name for table in RAW_TABLES]
    formats = {}
    for word in given:
        table, _, form = word.partition("=") if re.match(r"\w+=", word) else ("", "", word)
        if table and table not in names:
            raise UsageError(f"--date-format {word}: no table {table!r}", hint=f"one of {', '.join(names)}")
        if table in formats:
            raise UsageError(f"--date-format {word}: given twice", hint="once for all tables, or once for each TABLE=")
        try:
            parse_format(np.array(["-"], dtype=object), form)
        except ValueError as exc:
            raise UsageError(f"--date-format {word}: {exc}", hint="such as '%m/%d/%Y %H:%M'") from exc
        if form not in EPOCHS and not any(part in form for part in ("%Y", "%y", "%c", "%x", "%s", "%G")):
            raise UsageError(f"--date-format {word}: has no year", hint="such as '%m/%d/%Y %H:%M', epoch-s or epoch-ms")
        formats[table] = form
    return formats
