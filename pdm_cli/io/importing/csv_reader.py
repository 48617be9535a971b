"""Read CSV files in pieces of bounded size; encoding and separator are detected from the beginning of the file.

Values stay strings here. Errors name the file and the line, counted as in an editor.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pdm_cli.errors import DataError, SchemaError

Advance = Callable[[int], None]
# Bytes decoded at a time; a piece consists of their rows.
BLOCK_BYTES = 8 << 20
_SEPARATORS = (",", ";", "\t", "|")
# Python's replacement for a byte that is not valid in the encoding.
_REPLACEMENT = "\ufffd"
_HINT_ENCODING = "specify the encoding with --encoding, such as cp1252, latin-1 or utf-16-le"
_SAMPLE_BYTES = 1 << 18
_SAMPLE_ROWS = 200
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
class CsvFile:
    """One CSV file and its format.

    Attributes
    ----------
    path : Path
        The file; ``.gz`` is decompressed while reading.
    name : str
        For messages.
    encoding, separator : str
        Python's name of the encoding, and the separator.
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


def open_file(path: Path, name: str, *, encoding: str, separator: str, required: Sequence[str]) -> CsvFile:
    """Detect the format of a file from its beginning.

    Parameters
    ----------
    path, name
        The file, and its name in messages.
    encoding, separator : str
        As given by the user; empty to detect them.
    required : sequence of str
        Columns that the table needs; they decide between two separators that fit.

    Raises
    ------
    DataError
        If the file is empty, not valid in the encoding, or no separator fits.
    """
    with _reading(path, name), _open(path) as stream:
        sample = stream.read(_SAMPLE_BYTES)
    bom = next((found for mark, found in _BOMS if sample.startswith(mark)), "")
    # A BOM is more precise than a given utf-16-le or utf-8, which would read the BOM as text.
    is_same = not encoding or codecs.lookup(encoding).name.startswith(bom.removesuffix("-sig") or " ")
    encoding = bom if bom and is_same else encoding or "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    try:
        text = decoder.decode(sample, final=len(sample) < _SAMPLE_BYTES)
    except UnicodeError as exc:
        raise DataError(f"{name}: not valid {encoding}: {exc}", hint=_HINT_ENCODING) from exc
    declared = _SEPARATOR_LINE.match(text)
    if declared is not None:
        text, separator = text[declared.end() :], separator or declared[1]
    if not text.strip():
        raise DataError(f"{name}: empty file", hint="add a header line with the column names")
    _check_utf16(name, text, encoding)
    separator = separator or _find_separator(name, text, len(sample) == _SAMPLE_BYTES, required)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = next(row for row in reader if row)
    names, lines = tuple(part.strip() for part in header), reader.line_num + (declared is not None)
    _check_names(name, names, lines, sample, encoding)
    file = CsvFile(path, name, encoding, separator, names, lines)
    twice = [column for column in file.columns if file.columns.count(column) > 1]
    if twice:
        raise SchemaError(f"{name}: duplicate column {twice[0]!r}", hint="rename one of them")
    return file


def iterate(file: CsvFile, columns: Sequence[str], advance: Advance) -> Iterator[pa.Table]:
    """Yield the rows of a file in pieces, all values as stripped strings.

    Parameters
    ----------
    file : CsvFile
        The file.
    columns : sequence of str
        Columns to read.
    advance : callable
        Called with the number of bytes read since the last call.

    Raises
    ------
    DataError
        With the line, if a row has more or fewer values than there are columns, a quote is not closed, or a byte is not
        valid in the encoding.
    """
    positions = {name: file.header.index(name) for name in columns}
    with _reading(file.path, file.name), file.path.open("rb") as raw, _unpack(raw, file.path) as stream:
        reader = _open_reader(file, stream, list(positions.values()))
        position, has_break = 0, False
        while reader is not None:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except (pa.ArrowInvalid, UnicodeError) as exc:
                raise _explain(file, exc) from exc
            advance(raw.tell() - position)
            position = raw.tell()
            if batch.num_rows:
                piece = pa.table([pc.utf8_trim_whitespace(column) for column in batch], names=list(positions))
                has_break = has_break or any(pc.any(pc.match_substring(c, "\n")).as_py() for c in piece.columns)
                yield piece
        if has_break:
            # Either part of a value, or lines swallowed between two stray quotes, which only a strict reader rejects.
            with _rows(file) as rows:
                for _ in rows:
                    pass


def line_of(file: CsvFile, row: int) -> int:
    """Return the line (from 1) at which a row (from 0) begins."""
    with _rows(file) as rows:
        return next(islice(rows, row, None))[0]


def quote(text: str) -> str:
    """Return a value as shown in messages: quoted, and truncated if long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _unpack(raw: BinaryIO, path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix.lower() == ".gz" else raw


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Turn decompression errors into a :class:`DataError`."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, gzip.zlib.error) as exc:  # type: ignore[attr-defined]
        raise DataError(f"{name}: damaged or truncated: {path} ({exc})", hint="copy or write it again") from exc


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


def _find_separator(name: str, text: str, is_truncated: bool, required: Sequence[str]) -> str:
    """Return the separator with which most rows of a sample have as many values as the header."""
    fitting = {}
    for separator in _SEPARATORS:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
        # The last row of a sample may be incomplete.
        rows = rows[:_SAMPLE_ROWS] if len(rows) > _SAMPLE_ROWS else rows[: -1 if is_truncated else None]
        header = [part.strip() for part in rows[0]] if rows else []
        if len(header) > 1 and sum(len(row) == len(header) for row in rows) > len(rows) / 2:
            fitting[separator] = (sum(column in required for column in header), len(header))
    if fitting:
        return max(fitting, key=lambda separator: fitting[separator])
    first = text.strip().splitlines()[0]
    there = [separator for separator in _SEPARATORS if separator in first]
    if len(there) < 2:
        # No choice; errors in the rows are reported when they are read.
        return there[0] if there else ","
    raise DataError(
        f"{name}: cannot detect the separator, first line: {quote(first)}",
        hint="specify it with --separator, such as ';' or tab",
    )


def _open_reader(file: CsvFile, stream: BinaryIO, positions: list[int]) -> pacsv.CSVStreamingReader | None:
    """Open a reader of the columns at ``positions``; ``None`` if the file ends with its header."""
    # Positions as names, because names in the header may be duplicated.
    names = [str(number) for number in range(len(file.header))]
    included = [names[position] for position in positions]
    is_utf8 = codecs.lookup(file.encoding).name in ("utf-8", "utf-8-sig")
    try:
        return pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                column_names=names,
                skip_rows=file.header_lines,
                encoding="utf8" if is_utf8 else file.encoding,
                block_size=BLOCK_BYTES,
            ),
            parse_options=pacsv.ParseOptions(delimiter=file.separator, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                include_columns=included, column_types=dict.fromkeys(included, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeError) as exc:
        with _rows(file) as rows:
            if next(rows, None) is None:
                return None
        raise _explain(file, exc) from exc


@contextmanager
def _rows(file: CsvFile) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Yield the line and the values of each row: slow and strict, to locate errors."""
    with _open(file.path) as stream:
        lines = io.TextIOWrapper(stream, encoding=file.encoding, errors="replace", newline="")
        yield _numbered(file, csv.reader(lines, delimiter=file.separator, strict=True))


def _numbered(file: CsvFile, reader: Any) -> Iterator[tuple[int, list[str]]]:
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


def _explain(file: CsvFile, exc: Exception) -> DataError:
    """Return an error with the line at which a file cannot be read."""
    if isinstance(exc, UnicodeError) or "UTF8" in str(exc):
        return _bad_byte(file)
    with _rows(file) as rows:
        for begin, row in rows:
            if len(row) != len(file.header):
                return DataError(
                    f"{file.name}: line {begin:,}: {len(row)} values, expected {len(file.header)}: "
                    f"{quote(file.separator.join(row))}",
                    hint="fix the line, or specify another separator with --separator",
                    file=file.name,
                    line=begin,
                )
    return DataError(f"{file.name}: cannot be read: {str(exc).splitlines()[0]}", hint="is it a CSV file?")


def _bad_byte(file: CsvFile) -> DataError:
    """Return an error with the first byte that is not valid in the encoding."""
    decoder = codecs.getincrementaldecoder(file.encoding)()
    line, begin = 1, 0
    with _open(file.path) as stream:
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
                return DataError(f"{file.name}: not valid {file.encoding}", hint=_HINT_ENCODING)
            begin += len(block)
