"""Types of Arrow columns, in plain words."""

from __future__ import annotations

import re

import pyarrow as pa

# Without leading zeros, which would be lost, and within 64 bits.
INTEGER_PATTERN = r"^(?:0|-?[1-9]\d{0,17})$"


def type_name(found: pa.DataType) -> str:
    """Return the type of a column in plain words."""
    found = plain_type(found)
    names = (
        (is_text, "text"),
        (pa.types.is_integer, "whole numbers"),
        (is_number, "decimal numbers"),
        (pa.types.is_timestamp, "timestamps"),
        (pa.types.is_date, "dates without a time"),
        (pa.types.is_boolean, "true or false"),
        (pa.types.is_null, "no values"),
    )
    return next((name for matches, name in names if matches(found)), str(found))


def is_text(found: pa.DataType) -> bool:
    """Return whether an Arrow type is a string, plain or dictionary-encoded."""
    found = plain_type(found)
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def is_number(found: pa.DataType) -> bool:
    """Return whether an Arrow type is numeric; booleans are not."""
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found))


def is_time(found: pa.DataType) -> bool:
    """Return whether an Arrow type is a timestamp or a date."""
    return bool(pa.types.is_timestamp(found) or pa.types.is_date(found))


def plain_type(found: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary-encoded column, and other types unchanged."""
    return found.value_type if pa.types.is_dictionary(found) else found


def is_integer_text(text: str | None) -> bool:
    """Return whether a string is an integer that converts back to the same string."""
    return text is not None and re.fullmatch(INTEGER_PATTERN, text, re.ASCII) is not None
