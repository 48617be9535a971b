"""Text files with columns: their encoding, separator and header, and the lines of their rows.

DuckDB reads the rows. This module detects the format, makes a copy in UTF-8 of files that DuckDB cannot read, and finds
the line of a rejected row. Lines are counted as in an editor.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.text import show_count

_SEPARATORS = (",", ";", "\t", "|", " ")
# Python's replacement for a byte that is not valid in the encoding.
_REPLACEMENT = "\ufffd"
_HINT_ENCODING = "specify the encoding with --encoding, such as cp1252, latin-1 or utf-16-le"
_SAMPLE_BYTES = 1 << 18
_SAMPLE_ROWS = 200
_COPIED_CHARACTERS = 1 << 20
# Samples are short pieces of a file, which is many times larger than all of them.
_PLACES, _PLACE_BYTES, _LEAST_SAMPLED_BYTES = 1000, 1024, 64 << 20
# The beginning that shows whether a file is text: its characters are not control characters besides white space, end of
# file and escape, with few exceptions.
_FIRST_BYTES, _MOST_CONTROLS = 1024, 0.02
_CONTROLS = frozenset(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")
# Files packed to less than this are unpacked.
_UNPACKED_BYTES = 16 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Declares the separator to Excel.
_SEPARATOR_LINE = re.compile(r"sep=([^\r\n\"])(?:\r\n|\r|\n)", re.IGNORECASE)
# Values may be of any length; Python's default limit is meant for untrusted files.
csv.field_size_limit(2**31 - 1)
# Names of index columns written by pandas.
_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


@dataclass(frozen=True)
class TextFormat:
    """Known parts of the format of text files: encoding, separator, and the columns if they have no header."""

    encoding: str = ""
    separator: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextFile:
    """One text file and its format.

    Attributes
    ----------
    path : Path
        The file; ``.gz`` and ``.zip`` are unpacked while reading.
    name : str
        For messages.
    encoding, separator : str
        Python's name of the encoding, and the separator; a space stands for any number of them.
    header : tuple of str
        Names of the columns, stripped.
    header_lines : int
        Lines before the first row.
    """

    path: Path
    name: str
    encoding: str
    separator: str
    header: tuple[str, ...]
    header_lines: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns except for an index written by pandas."""
        return tuple(name for name in self.header if not _INDEX.fullmatch(name))


def open_text(path: Path, name: str, form: TextFormat, required: Sequence[str]) -> TextFile:
    """Detect the format of a file from its beginning.

    Parameters
    ----------
    path, name
        The file, and its name in messages.
    form : TextFormat
        Known parts of the format.
    required : sequence of str
        Columns that the table needs; they decide between two separators that fit.

    Raises
    ------
    DataError
        If the file is empty, not valid in the encoding, or no separator fits.
    """
    with _reading(name), open_binary(path) as stream:
        sample = stream.read(_SAMPLE_BYTES)
    text, encoding = _decode(name, sample, form.encoding)
    declared = _SEPARATOR_LINE.match(text)
    separator = form.separator
    if declared is not None:
        text, separator = text[declared.end() :], separator or declared[1]
    _check_not_empty(name, text)
    _check_utf16(name, text, encoding)
    separator = separator or _find_separator(name, text, len(sample) == _SAMPLE_BYTES, required, len(form.names))
    if form.names:
        return TextFile(path, name, encoding, separator, form.names, int(declared is not None))
    reader = _split(io.StringIO(text, newline=""), separator)
    header = next(row for row in reader if row)
    names, lines = tuple(part.strip() for part in header), reader.line_num + (declared is not None)
    _check_names(name, names, lines, sample, encoding)
    file = TextFile(path, name, encoding, separator, names, lines)
    twice = [column for column in file.columns if file.columns.count(column) > 1]
    if twice:
        hint = "no header? name the columns with --names" if twice[0].isdecimal() else "rename one of them"
        raise SchemaError(f"{name}: duplicate column {twice[0]!r}", hint=hint)
    return file


def read_first_row(path: Path, name: str, form: TextFormat) -> list[str]:
    """Return the values of the first row of a file, which may be a header.

    Raises
    ------
    DataError
        If the file is empty, or no separator fits.
    """
    with _reading(name), open_binary(path) as stream:
        sample = stream.read(_SAMPLE_BYTES)
    text, _ = _decode(name, sample, form.encoding)
    declared, separator = _SEPARATOR_LINE.match(text), form.separator
    if declared is not None:
        text, separator = text[declared.end() :], separator or declared[1]
    _check_not_empty(name, text)
    separator = separator or _find_separator(name, text, len(sample) == _SAMPLE_BYTES, (), 0)
    rows = _split(io.StringIO(text, newline=""), separator)
    return [value.strip() for value in next((row for row in rows if row), [])]


def find_header(file: TextFile) -> int | None:
    """Return the line of the header if lines with fewer values, such as a title, are above it, else None.

    It is the first line with as many values as most rows of the beginning have. If the first line has as many, other
    separators count only if they give more values: a decimal comma is none.
    """
    with _reading(file.name), open_binary(file.path) as stream:
        text, _ = _decode(file.name, stream.read(_SAMPLE_BYTES), file.encoding)
    fitting = 1
    # Spaces are within titles.
    for separator in dict.fromkeys((file.separator, *_SEPARATORS[:-1])):
        reader, begin = _split(io.StringIO(text, newline=""), separator), 1
        widths: list[tuple[int, int]] = []
        for row in islice(reader, _SAMPLE_ROWS):
            if any(row):
                widths.append((begin, sum(bool(value.strip()) for value in row)))
            begin = reader.line_num + 1
        (usual, count) = Counter(width for _, width in widths).most_common(1)[0]
        if usual > fitting and count > len(widths) / 2:
            if widths[0][1] < usual:
                return next(line for line, width in widths if width >= usual)
            fitting = usual
    return None


def make_readable(file: TextFile, scratch: Path) -> Path:
    """Return a file with the same lines that DuckDB can read: UTF-8, maybe gzipped, one separator between values.

    Parameters
    ----------
    file : TextFile
        The file.
    scratch : Path
        Folder for a copy, if one is needed.

    Raises
    ------
    DataError
        If a byte is not valid in the encoding, or the file is damaged.
    """
    is_utf8 = codecs.lookup(file.encoding).name in ("utf-8", "utf-8-sig")
    # DuckDB takes a large buffer for each packed file.
    is_small = file.path.suffix.lower() == ".gz" and file.path.stat().st_size < _UNPACKED_BYTES
    if is_utf8 and file.separator != " " and file.path.suffix.lower() != ".zip" and not is_small:
        return file.path
    copy = scratch / f"{len(list(scratch.iterdir()))}.csv"
    with (
        _reading(file.name),
        open_binary(file.path) as stream,
        io.TextIOWrapper(stream, encoding=file.encoding, newline="") as source,
        copy.open("w", encoding="utf-8", newline="") as target,
    ):
        try:
            if file.separator == " ":
                target.writelines("\t".join(line.split()) + "\n" for line in source)
            else:
                shutil.copyfileobj(source, target, _COPIED_CHARACTERS)
        except UnicodeError as exc:
            raise find_bad_byte(file) or _not_valid(file) from exc
    return copy


def unpack_zip(path: Path, name: str, scratch: Path) -> Path:
    """Return an unpacked copy of a file; ``name`` is its name in messages.

    Raises
    ------
    DataError
        If the archive is damaged, or contains more or less than one file.
    """
    copy = scratch / f"{len(list(scratch.iterdir()))}{Path(path.stem).suffix}"
    with _reading(name), open_binary(path) as stream, copy.open("wb") as target:
        shutil.copyfileobj(stream, target)
    return copy


def iterate_rows(file: TextFile) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the stripped values of each row: slow and strict, to locate errors.

    Raises
    ------
    DataError
        If a row has more or fewer values than there are columns, or a quote is not closed.
    """
    with _reading(file.name), open_binary(file.path) as stream:
        lines = io.TextIOWrapper(stream, encoding=file.encoding, errors="replace", newline="")
        for line, row in _numbered(file, _split(lines, file.separator, strict=True)):
            # Separators without a value at the end of a line hold nothing that could be lost.
            while len(row) > len(file.header) and not row[-1]:
                row.pop()
            if len(row) != len(file.header):
                shown, count = file.separator.join(row), show_count(len(row), "value")
                raise DataError(
                    f"{file.name}: line {line:,}: {count}, expected {len(file.header)}: {quote(shown)}",
                    hint="fix the line, or specify another separator with --separator"
                    if file.header_lines
                    else "name each column with --names, and no other",
                    file=file.name,
                    line=line,
                )
            # Like DuckDB, no other white space.
            yield line, [value.strip(" ") for value in row]


def sample_rows(file: TextFile, readable: Path) -> list[list[str]]:
    """Return unstripped rows from evenly spaced places of a large file; none if they may be wrong.

    Parameters
    ----------
    file : TextFile
        The file.
    readable : Path
        The result of :func:`make_readable`.
    """
    size = readable.stat().st_size
    if size < _LEAST_SAMPLED_BYTES or readable.suffix.lower() == ".gz":
        return []
    lines: list[str] = []
    with readable.open("rb") as stream:
        for place in range(1, _PLACES):
            stream.seek(size * place // _PLACES)
            # The first line and the last one are cut.
            lines += stream.read(_PLACE_BYTES).decode("utf-8", "replace").split("\n")[1:-1]
    # A quoted value may have lines and separators.
    if not lines or any('"' in line for line in lines):
        return []
    separator = "\t" if file.separator == " " else file.separator
    rows = [line.removesuffix("\r").split(separator) for line in lines]
    return rows if all(len(row) == len(file.header) for row in rows) else []


def quote(text: str) -> str:
    """Return a value as shown in messages: quoted, and truncated if long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def open_binary(path: Path) -> BinaryIO:
    """Open a file, unpacked if its name ends with ``.gz`` or ``.zip``."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if suffix == ".zip":
        packed = zipfile.ZipFile(path)
        inside = [name for name in packed.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        if len(inside) != 1:
            count = show_count(len(inside), "file")
            raise DataError(f"{path.name}: contains {count}, expected one", hint="unpack it into a folder")
        try:
            return cast(BinaryIO, packed.open(inside[0]))
        except RuntimeError as exc:
            # Of zipfile, for encrypted files and rare methods.
            raise DataError(
                f"{path.name}: encrypted, or compressed with an unsupported method", hint="unpack it into a folder"
            ) from exc
    return path.open("rb")


def _not_valid(file: TextFile) -> DataError:
    return DataError(f"{file.name}: not valid {file.encoding}", hint=_HINT_ENCODING)


def _split(lines: Iterable[str], separator: str, *, strict: bool = False) -> Any:
    """Return a reader of rows with the attribute ``line_num``."""
    if separator == " ":
        return csv.reader(("\t".join(line.split()) for line in lines), delimiter="\t", strict=strict)
    return csv.reader(lines, delimiter=separator, strict=strict)


def _decode(name: str, sample: bytes, encoding: str) -> tuple[str, str]:
    """Return the text of a sample and its encoding."""
    bom = next((found for mark, found in _BOMS if sample.startswith(mark)), "")
    # A BOM is more precise than a given utf-16-le or utf-8, which would read the BOM as text.
    is_same = not encoding or codecs.lookup(encoding).name.startswith(bom.removesuffix("-sig") or " ")
    encoding = bom if bom and is_same else encoding or "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    if not codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")) and _is_binary(sample[:_FIRST_BYTES]):
        raise DataError(f"{name}: not a text file", hint="export it as CSV, or name another file with --files")
    try:
        return decoder.decode(sample, final=len(sample) < _SAMPLE_BYTES), encoding
    except UnicodeError as exc:
        raise DataError(f"{name}: not valid {encoding}", hint=_HINT_ENCODING) from exc


def _is_binary(first: bytes) -> bool:
    """Return whether the first bytes of a file have NUL bytes or many control characters, as text of no encoding has.

    UTF-16 has NUL bytes in even or in odd places only. A single control character may be a separator.
    """
    nul = first[::2].count(0), first[1::2].count(0)
    if max(nul) > len(first) / 20 and not min(nul):
        return False
    controls = [byte for byte in first if byte in _CONTROLS]
    return 0 in controls or (len(set(controls)) > 2 and len(controls) > len(first) * _MOST_CONTROLS)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn decompression errors into a :class:`DataError`."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, gzip.zlib.error, zipfile.BadZipFile) as exc:  # type: ignore[attr-defined]
        raise DataError(f"{name}: damaged or truncated", hint="copy or export it again") from exc


def _check_not_empty(name: str, text: str) -> None:
    if not text.strip():
        raise DataError(f"{name}: empty file", hint="add a header line with the column names")


def _check_utf16(name: str, text: str, encoding: str) -> None:
    """Reject UTF-16 text that is read with a one-byte encoding."""
    first = text.lstrip().splitlines()[0]
    if "\0" in first:
        likely = "utf-16-be" if first[0] == "\0" else "utf-16-le"
        raise DataError(f"{name}: line 1: NUL bytes, not valid {encoding}", hint=f"try --encoding {likely}")


def _check_names(name: str, names: Sequence[str], line: int, sample: bytes, encoding: str) -> None:
    """Reject column names with bytes that are not valid in the encoding."""
    bad = next((column for column in names if _REPLACEMENT in column), None)
    # The file may contain the replacement character itself.
    if bad is None or (encoding.startswith("utf") and _REPLACEMENT.encode(encoding.removesuffix("-sig")) in sample):
        return
    other = "cp1252" if encoding.startswith("utf-8") else "utf-8"
    raise DataError(
        f"{name}: line {line}: column name {quote(bad)} is not valid {encoding}",
        hint=f"specify the encoding with --encoding, such as {other}",
    )


def _find_separator(name: str, text: str, is_truncated: bool, required: Sequence[str], width: int) -> str:
    """Return the separator with which most rows of a sample have as many values as the first, or as there are names."""
    fitting = {}
    for separator in _SEPARATORS:
        rows = [row for row in _split(io.StringIO(text, newline=""), separator) if row]
        # The last row of a sample may be incomplete.
        rows = rows[:_SAMPLE_ROWS] if len(rows) > _SAMPLE_ROWS else rows[: -1 if is_truncated else None]
        header = [part.strip() for part in rows[0]] if rows else []
        if len(header) > 1 and sum(len(row) == len(header) for row in rows) > len(rows) / 2:
            is_known = len(header) == width or sum(column in required for column in header)
            # Spaces may be within values: they count only where nothing else does.
            fitting[separator] = (separator != " " or bool(width), is_known, len(header))
    if fitting:
        return max(fitting, key=lambda separator: fitting[separator])
    first = text.strip().splitlines()[0]
    there = [separator for separator in _SEPARATORS[:-1] if separator in first]
    if len(there) < 2:
        # No choice; errors in the rows are reported when they are read.
        return there[0] if there else ","
    raise DataError(
        f"{name}: cannot detect the separator, first line: {quote(first)}",
        hint="specify it with --separator, such as ';', tab or space",
    )


def _numbered(file: TextFile, reader: Any) -> Iterator[tuple[int, list[str]]]:
    begin = 1
    try:
        for row in reader:
            if row and begin > file.header_lines:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as exc:
        raise DataError(
            f"{file.name}: line {begin:,}: unclosed or misplaced quote",
            hint='write a quote in a value as ""',
            file=file.name,
            line=begin,
        ) from exc


def find_bad_byte(file: TextFile) -> DataError | None:
    """Return an error with the first byte that is not valid in the encoding, or None."""
    decoder = codecs.getincrementaldecoder(file.encoding)()
    line, begin = 1, 0
    with open_binary(file.path) as stream:
        while True:
            block = stream.read(1 << 20)
            held = len(decoder.getstate()[0])
            try:
                line += decoder.decode(block, final=not block).count("\n")
            except UnicodeDecodeError as exc:
                line += exc.object[: exc.start].decode(file.encoding, "replace").count("\n")
                wrong = exc.object[exc.start]
                return DataError(
                    f"{file.name}: line {line:,}: byte 0x{wrong:02x} at {begin - held + exc.start:,} "
                    f"is not valid {file.encoding}",
                    hint=_HINT_ENCODING,
                    file=file.name,
                    line=line,
                )
            if not block:
                return None
            begin += len(block)
