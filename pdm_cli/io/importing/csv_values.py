"""Values of CSV columns as texts: which are missing, numbers or whole numbers, and what they come to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# How other programs write that there is no reading.
MISSING_NUMBERS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
# Without leading zeros, which would be lost, and within 64 bits.
_INTEGER = r"^(?:0|-?[1-9]\d{0,17})$"
_NUMBER = r"^[+-]?(?:\d+{point}?\d*|{point}\d+)(?:[eE][+-]?\d+)?$|^[+-]?[iI]nf(?:inity)?$"


def is_missing(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where a column of numbers has none."""
    return pc.is_in(column, pa.array(MISSING_NUMBERS))


def is_number(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return where a text is a number written with this decimal sign, and with nothing between thousands."""
    return pc.match_substring_regex(column, _NUMBER.format(point=f"[{decimal}]"))


def begins_as_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where a text begins with a digit, perhaps behind a sign."""
    return pc.match_substring_regex(column, r"^[+-]?[.,]?\d")


def to_number(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return texts that are numbers or missing as double."""
    if decimal != ".":
        column = pc.replace_substring(column, decimal, ".")
    return pc.if_else(is_missing(column), pa.scalar(None, pa.string()), column).cast(pa.float64())


def is_integer(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where a text is a whole number that is written the same when read back."""
    return pc.match_substring_regex(column, _INTEGER)


def first_where(mask: pa.ChunkedArray) -> int:
    """Return the first row where ``mask`` is true, or -1."""
    return int(pc.index(mask, True).as_py())


def distinct(
    column: pa.ChunkedArray,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct texts of a column, the first row of each, and for each row the position of its text."""
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    texts = np.array(coded.dictionary.to_pylist(), dtype=object)
    positions = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    # Arrow numbers texts in the order in which they come.
    first = np.full(len(texts), len(positions))
    np.minimum.at(first, positions, np.arange(len(positions)))
    return texts, first, positions
