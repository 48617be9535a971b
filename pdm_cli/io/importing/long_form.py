"""Telemetry with a row per reading: machines and sensors of its tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError
from pdm_cli.io.importing.options import LongForm, compile_pattern, read_records
from pdm_cli.io.importing.text_files import quote, sample_rows
from pdm_cli.io.importing.values import NUMBER, THOUSANDS, plain
from pdm_cli.io.sensor_names import split_unit
from pdm_cli.text import name_some, show_count

if TYPE_CHECKING:
    from pdm_cli.io.importing.sources import SourceFile

# A tag as it is in the files, the tag, and its first value in alphabetical order.
TagRow = tuple[str | None, str, str]
_NUMBER = NUMBER.replace("{0}", "[.,]")
# More tags that are integers are readings rather than the numbers of sensors.
_MOST_INTEGERS = 100


def read_mapping(path: Path) -> dict[str, tuple[str, str]]:
    """Read a CSV file with the columns tag, machine, sensor and, optionally, unit, which becomes part of the name.

    Raises
    ------
    UsageError
        If the file cannot be read, or a column is missing.
    """
    rows = read_records("--tags", path, ("tag", "machine", "sensor"), ("tag", "sensor"))
    return {row["tag"]: (row["machine"], _name_sensor(row)) for row in rows}


def _name_sensor(row: dict[str, str]) -> str:
    sensor, unit = row["sensor"], row.get("unit", "")
    return f"{split_unit(sensor)[0]} [{unit}]" if unit else sensor


def split_tags(tags: Iterable[str], long: LongForm, name: str) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return machine and sensor of each tag, and the tags that fit neither pattern nor mapping.

    The machine is empty if the tag is only a sensor.

    Parameters
    ----------
    tags : iterable of str
        The distinct tags.
    long : LongForm
        How they name machine and sensor.
    name : str
        The table's name, for messages.

    Raises
    ------
    DataError
        If no tag fits.
    """
    tags = sorted(tags)
    if long.mapping:
        found = {tag: long.mapping[tag] for tag in tags if tag in long.mapping}
    elif long.pattern:
        pattern = compile_pattern("--tags", long.pattern, ["sensor"])
        matches = {tag: pattern.fullmatch(tag) for tag in tags}
        has_machine = "machine" in pattern.groupindex
        found = {
            tag: (plain(match["machine"]) if has_machine else "", plain(match["sensor"]))
            for tag, match in matches.items()
            if match
        }
    else:
        _check_names(tags, long, name)
        found = {tag: ("", tag) for tag in tags}
    if not found:
        expected = long.pattern or "the mapping"
        raise DataError(
            f"{name}: no tag fits {expected}, such as {name_some(list(map(repr, tags[:3])))}",
            hint="describe the tags with --tags, such as '{machine}.{sensor}'",
        )
    return found, [tag for tag in tags if tag not in found]


def _check_names(tags: Sequence[str], long: LongForm, name: str) -> None:
    """Reject tags that are mostly readings: with decimals or thousands separators, or more integers than sensors."""
    numbers = [tag for tag in tags if re.fullmatch(_NUMBER, tag, re.ASCII) or THOUSANDS.fullmatch(tag)]
    are_integers = all(map(str.isdecimal, numbers))
    if len(numbers) <= len(tags) / 2 or (are_integers and len(numbers) <= _MOST_INTEGERS):
        return
    raise DataError(
        f"{name}: column {long.tag} of --long: {len(numbers):,} of {show_count(len(tags), 'tag')} are numbers, such as "
        f"{quote(numbers[0])}, not names of sensors",
        hint="drop --long if each sensor has its own column, or name the column of the tags; "
        "--tags '{sensor}' imports such names",
    )


def sample_tags(files: Sequence[SourceFile], long: LongForm) -> list[TagRow]:
    """Return the tags in samples of large files; none if the tags of all rows are found about as fast.

    Parameters
    ----------
    files : sequence of SourceFile
        The files of the telemetry.
    long : LongForm
        Names of the columns of tags and values.
    """
    found: dict[str, str] = {}
    for file in files:
        # A column that a folder's name gives is not in the rows.
        if file.text is None or not {long.tag, long.value} <= file.origins.keys():
            return []
        rows = sample_rows(file.text, Path(file.readable))
        if not rows:
            return []
        tag, value = (file.text.header.index(file.origins[name]) for name in (long.tag, long.value))
        for row in rows:
            found[row[tag]] = min(row[value], found.get(row[tag], row[value]))
    return [(tag, plain(tag), plain(value)) for tag, value in found.items()]
