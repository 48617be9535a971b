"""Files in a folder of logs that belong to an option instead of a table: words of components, and a mapping of tags."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pdm_cli.errors import UsageError
from pdm_cli.io.folders import list_visible
from pdm_cli.io.importing.long_form import read_mapping
from pdm_cli.io.importing.options import RECORD_SEPARATORS, read_words
from pdm_cli.io.importing.sources import is_text
from pdm_cli.schema import FAILURES, TELEMETRY, Table

_WORDS = {"word", "component"}
_TAGS = {"tag", "machine", "sensor"}
_LONGEST_HEADER = 200


@dataclass
class OptionFiles:
    """The files of ``--component-words`` and ``--tags`` in a folder, and their contents.

    ``problems`` are errors of files that cannot be read.
    """

    paths: list[Path] = field(default_factory=list)
    words_path: Path | None = None
    words: Sequence[tuple[str, str]] = ()
    tags_path: Path | None = None
    tags: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def contents(self) -> list[tuple[Path, Table, str]]:
        """Return each file that could be read, the table that it is about, and its rows."""
        found = ((self.words_path, FAILURES, "words"), (self.tags_path, TELEMETRY, "tags"))
        return [(path, table, content) for path, table, content in found if path is not None]


def find_option_files(folder: Path) -> OptionFiles:
    """Find the files whose header is the one of an option's file; the first of each option is read."""
    found = OptionFiles()
    for path in sorted(list_visible(folder)):
        if not is_text(path) or path.suffix.lower() in (".gz", ".zip"):
            continue
        header = _read_header(path)
        if header not in (_WORDS, _TAGS, _TAGS | {"unit"}):
            continue
        found.paths.append(path)
        try:
            if header == _WORDS and found.words_path is None:
                found.words_path, found.words = path, read_words(path)
            elif header != _WORDS and found.tags_path is None:
                found.tags_path, found.tags = path, read_mapping(path)
        except UsageError as error:
            found.problems.append(f"{error.message}: {error.hint}")
    return found


def _read_header(path: Path) -> set[str]:
    with path.open("rb") as stream:
        beginning = stream.read(_LONGEST_HEADER).decode("utf-8-sig", "replace")
    # Old files have carriage returns only, which the csv module rejects within a line.
    line = next(iter(beginning.splitlines()), "")
    return set(next(csv.reader([line], delimiter=max(RECORD_SEPARATORS, key=line.count)), []))
