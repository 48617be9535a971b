"""CSV files: found by their names, their encoding and separator told by a sample, read in pieces of bounded size.

Values stay texts here. What is wrong is named by file and line, as an editor counts them.
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
# Bytes decoded at a time; a piece has as many rows as stand in them.
BLOCK_BYTES = 8 << 20
_SEPARATORS = (",", ";", "\t", "|")
# What Python puts for a byte that is no text.
_NO_TEXT = "\ufffd"
_SAMPLE_BYTES = 1 << 18
_SAMPLE_ROWS = 200
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# How Excel is told the separator.
_SEPARATOR_LINE = re.compile(r"sep=([^\r\n\"])(?:\r\n|\r|\n)", re.IGNORECASE)
# Values may be as long as they are: Python's own limit is for files of strangers.
csv.field_size_limit(2**31 - 1)
# What pandas wrote for an index without a name.
_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


@dataclass(frozen=True)
class CsvFile:
    """One CSV file and how it is written.

    Attributes
    ----------
    path : Path
        The file; ``.gz`` is unpacked while reading.
    name : str
        For messages.
    encoding, separator : str
        As Python names them.
    header : tuple of str
        Names of the columns, without blanks around them.
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
        """Columns that are read: all but the index that pandas writes."""
        return tuple(name for name in self.header if not _INDEX.fullmatch(name))


def open_file(path: Path, name: str, *, encoding: str, separator: str, wanted: Sequence[str]) -> CsvFile:
    """Look at the beginning of a file to see how it is written.

    Parameters
    ----------
    path, name
        The file, and how messages name it.
    encoding, separator : str
        As given; empty to find them out.
    wanted : sequence of str
        Columns that the table needs; they decide where two separators fit.

    Raises
    ------
    DataError
        If the file is empty, its first line is no text of the encoding, or no separator fits.
    """
    with _reading(path, name), _open(path) as stream:
        sample = stream.read(_SAMPLE_BYTES)
    bom = next((found for mark, found in _BOMS if sample.startswith(mark)), "")
    # A mark says more exactly what a given utf-16-le or utf-8 means: the mark itself is no text.
    is_same = not encoding or codecs.lookup(encoding).name.startswith(bom.removesuffix("-sig") or " ")
    encoding = bom if bom and is_same else encoding or "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    try:
        text = decoder.decode(sample, final=len(sample) < _SAMPLE_BYTES)
    except UnicodeError as exc:
        hint = "--encoding names another one, such as utf-8, utf-16-le or cp1252"
        raise DataError(f"{name}: no {encoding} text: {exc}", hint=hint) from exc
    told = _SEPARATOR_LINE.match(text)
    if told is not None:
        text, separator = text[told.end() :], separator or told[1]
    if not text.strip():
        raise DataError(f"{name}: the file is empty", hint="it needs a line with the names of the columns")
    _check_letters(name, text, encoding)
    separator = separator or _find_separator(name, text, len(sample) == _SAMPLE_BYTES, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = next(row for row in reader if row)
    names, lines = tuple(part.strip() for part in header), reader.line_num + (told is not None)
    _check_names(name, names, lines, sample, encoding)
    file = CsvFile(path, name, encoding, separator, names, lines)
    twice = [column for column in file.columns if file.columns.count(column) > 1]
    if twice:
        raise SchemaError(f"{name}: column {twice[0]!r} stands in it twice", hint="give each column its own name")
    return file


def iterate(file: CsvFile, columns: Sequence[str], advance: Advance) -> Iterator[pa.Table]:
    """Yield the rows of a file in pieces, all values as texts without blanks around them.

    Parameters
    ----------
    file : CsvFile
        The file.
    columns : sequence of str
        Columns to read.
    advance : callable
        Told of the bytes of the file that have been read since it was told last.

    Raises
    ------
    DataError
        Naming the line, if a row has more or fewer values than there are columns, a quote is not closed, or bytes
        are no text of the encoding.
    """
    positions = {name: file.header.index(name) for name in columns}
    with _reading(file.path, file.name), file.path.open("rb") as raw, _unpack(raw, file.path) as stream:
        reader = _open_reader(file, stream, list(positions.values()))
        told, has_break = 0, False
        while reader is not None:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except (pa.ArrowInvalid, UnicodeError) as exc:
                raise _explain(file, exc) from exc
            advance(raw.tell() - told)
            told = raw.tell()
            if batch.num_rows:
                piece = pa.table([pc.utf8_trim_whitespace(column) for column in batch], names=list(positions))
                has_break = has_break or any(pc.any(pc.match_substring(c, "\n")).as_py() for c in piece.columns)
                yield piece
        if has_break:
            # It may be of a text, or of lines swallowed between two quotes: only a strict reader tells.
            _check_quotes(file)


def line_of(file: CsvFile, row: int) -> int:
    """Return the line, from 1, in which a row, from 0, begins."""
    with _rows(file) as rows:
        return next(islice(rows, row, None))[0]


def quote(text: str) -> str:
    """Return a text as messages show it: in quotes, and cut where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _unpack(raw: BinaryIO, path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.suffix.lower() == ".gz" else raw


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Turn the errors of unpacking into one line."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, gzip.zlib.error) as exc:  # type: ignore[attr-defined]
        raise DataError(f"{name}: damaged or cut off: {path} ({exc})", hint="copy or write it again") from exc


def _check_letters(name: str, text: str, encoding: str) -> None:
    """Refuse a file whose letters are of two bytes, but are read as one each."""
    first = text.lstrip().splitlines()[0]
    if "\0" in first:
        wanted = "utf-16-be" if first[0] == "\0" else "utf-16-le"
        raise DataError(
            f"{name}: line 1: a NUL beside the letters, so that the file is no {encoding} text",
            hint=f"--encoding {wanted} may be what it is",
        )


def _check_names(name: str, names: Sequence[str], line: int, sample: bytes, encoding: str) -> None:
    """Refuse names of columns with bytes that are no text of the encoding."""
    bad = next((column for column in names if _NO_TEXT in column), None)
    # An earlier program may have written the very sign for it.
    if bad is None or (encoding.startswith("utf") and _NO_TEXT.encode(encoding.removesuffix("-sig")) in sample):
        return
    other = "cp1252" if encoding.startswith("utf-8") else "utf-8"
    raise DataError(
        f"{name}: line {line}: a byte that is no {encoding} text in the name of a column, {quote(bad)}",
        hint=f"--encoding names the right one, such as {other}",
    )


def _find_separator(name: str, text: str, is_cut: bool, wanted: Sequence[str]) -> str:
    """Return the separator that gives most rows of a sample as many values as the header."""
    fitting = {}
    for separator in _SEPARATORS:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
        # The last row of a sample may be half a row.
        rows = rows[:_SAMPLE_ROWS] if len(rows) > _SAMPLE_ROWS else rows[: -1 if is_cut else None]
        header = [part.strip() for part in rows[0]] if rows else []
        if len(header) > 1 and sum(len(row) == len(header) for row in rows) > len(rows) / 2:
            fitting[separator] = (sum(column in wanted for column in header), len(header))
    if fitting:
        return max(fitting, key=lambda separator: fitting[separator])
    first = text.strip().splitlines()[0]
    there = [separator for separator in _SEPARATORS if separator in first]
    if len(there) < 2:
        # Nothing to choose: what is wrong with the rows is told when they are read.
        return there[0] if there else ","
    raise DataError(
        f"{name}: no separator gives the rows as many values as the first line has: {quote(first)}",
        hint="--separator names it, such as ';' or tab",
    )


def _open_reader(file: CsvFile, stream: BinaryIO, positions: list[int]) -> pacsv.CSVStreamingReader | None:
    """Open a reader of the columns at some positions; none if the file ends with its header."""
    # Names of our own: those in the header need not be different.
    names = [str(number) for number in range(len(file.header))]
    wanted = [names[position] for position in positions]
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
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeError) as exc:
        with _rows(file) as rows:
            if next(rows, None) is None:
                return None
        raise _explain(file, exc) from exc


@contextmanager
def _rows(file: CsvFile) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Give the lines in which rows begin and their values: slow, to say where an error is.

    Raises
    ------
    DataError
        If a quote is not closed, or not at the end of its value.
    """
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
            f"{file.name}: line {begin:,}: a quote is not closed as it should be",
            hint='write a quote in a text as ""',
            file=file.name,
            line=begin,
        ) from exc


def _explain(file: CsvFile, exc: Exception) -> DataError:
    """Find where a file cannot be read, and say so."""
    if isinstance(exc, UnicodeError) or "UTF8" in str(exc):
        return _bad_byte(file)
    with _rows(file) as rows:
        for begin, row in rows:
            if len(row) != len(file.header):
                return DataError(
                    f"{file.name}: line {begin:,}: {len(row)} values, wanted {len(file.header)}, "
                    f"one a column: {quote(file.separator.join(row))}",
                    hint="mend the line, or --separator names another separator",
                    file=file.name,
                    line=begin,
                )
    return DataError(f"{file.name}: cannot be read: {str(exc).splitlines()[0]}", hint="is it a CSV file?")


def _check_quotes(file: CsvFile) -> None:
    """Refuse a file with a quote that is not closed, or not at the end of its value."""
    with _rows(file) as rows:
        for _ in rows:
            pass


def _bad_byte(file: CsvFile) -> DataError:
    """Name the first byte that is no text of the encoding."""
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
                    f"is no {file.encoding} text",
                    hint="--encoding names another one, such as cp1252 or latin-1",
                    file=file.name,
                    line=line,
                )
            if not block:
                return DataError(f"{file.name}: no {file.encoding} text", hint="--encoding names another one")
            begin += len(block)
