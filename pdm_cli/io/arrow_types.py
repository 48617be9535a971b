"""Types of Arrow columns, in plain words."""

from __future__ import annotations

import pyarrow as pa


def type_name(found: pa.DataType) -> str:
    """Return the type of a column in plain words."""
    if pa.types.is_dictionary(found):
        found = found.value_type
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
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def is_number(found: pa.DataType) -> bool:
    """Return whether an Arrow type is numeric; booleans are not."""
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found))
