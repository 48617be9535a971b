"""JSON files, of which DuckDB reads the rows: the lines of rows, and the first error."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

from pdm_cli.errors import DataError
from pdm_cli.io.importing.text_files import open_binary, quote

_HINT = 'write one object per line, such as {"datetime": "2015-01-13 07:00", "machineID": 1, "volt": 170.5}'
_SHOWN = 30


def number_lines(path: Path) -> Iterator[int]:
    """Yield the line of each row of a file with one object per line; nothing for other forms of JSON."""
    if all(_is_object(text) for _, text in _lines(path)):
        yield from (line for line, _ in _lines(path))


def find_fault(path: Path, name: str) -> DataError | None:
    """Return an error with the first place that is not JSON, or not an object; None if there is none.

    Parameters
    ----------
    path, name
        The file, and its name in messages.
    """
    try:
        first = next(((line, text) for line, text in _lines(path)), None)
        if first is None:
            return DataError(f"{name}: empty file", hint=_HINT)
        # Objects over several lines, and lists of them, are parsed as a whole.
        if not _is_object(first[1]):
            return _find_in_document(path, name)
        for line, text in _lines(path):
            if error := _parse(name, text, line):
                return error
    except UnicodeDecodeError:
        return DataError(f"{name}: not valid utf-8", hint="save it with the encoding UTF-8")
    except (EOFError, OSError, gzip.zlib.error):  # type: ignore[attr-defined]
        return DataError(f"{name}: damaged or truncated", hint="copy or export it again")
    return None


def _find_in_document(path: Path, name: str) -> DataError | None:
    with _open(path) as lines:
        text = lines.read()
    decoder, place = json.JSONDecoder(), len(text) - len(text.lstrip())
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as exc:
            return _error(name, exc, exc.lineno)
        if not all(isinstance(row, dict) for row in (value if isinstance(value, list) else [value])):
            return DataError(f"{name}: not a list of objects", hint=_HINT)
        place += len(text[place:]) - len(text[place:].lstrip())
    return None


def _parse(name: str, text: str, line: int) -> DataError | None:
    """Return the error of a line that is not an object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        return _error(name, exc, line)
    if isinstance(value, dict):
        return None
    return DataError(f"{name}: line {line:,}: {quote(text.strip())} is not an object", hint=_HINT, file=name, line=line)


def _error(name: str, exc: json.JSONDecodeError, line: int) -> DataError:
    begin = exc.pos - exc.colno + 1
    shown = exc.doc[max(begin, exc.pos - _SHOWN) : exc.pos + _SHOWN].split("\n")[0].strip()
    place = f"{name}: line {line:,}, character {exc.colno:,}"
    return DataError(f"{place}: not valid JSON: {quote(shown)}", hint="fix the line", file=name, line=line)


def _is_object(text: str) -> bool:
    return text.lstrip().startswith("{") and text.rstrip().endswith("}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with _open(path) as lines:
        for line, text in enumerate(lines, 1):
            if text.strip():
                yield line, text


def _open(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_binary(path), encoding="utf-8-sig")
