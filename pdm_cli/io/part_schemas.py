"""Unify the columns of a table's parts, which other programs may write with different types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pdm_cli.errors import SchemaError
from pdm_cli.io.arrow_types import is_integer_text, is_number, is_text, is_time, plain_type, type_name


def unify_schemas(parts: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """Return the columns of all parts, in the order of the first part.

    Numbers of different widths, encodings of text and units of time get a type that fits all parts. A column without
    values (type null) fits any type; if no part has a value of it, it may be absent from some.

    Parameters
    ----------
    parts : sequence of (str, Schema)
        Name, for messages, and columns of each part.

    Raises
    ------
    SchemaError
        If parts have different columns, columns of types that do not fit, or a duplicate column.
    """
    for part, schema in parts:
        twice = [column for column, count in Counter(schema.names).items() if count > 1]
        if twice:
            raise SchemaError(f"{part}: duplicate column {twice[0]!r}", hint="rename one of them")
    first = parts[0][1]
    if all(schema.equals(first) for _, schema in parts):
        return first
    columns = dict.fromkeys(name for _, schema in parts for name in schema.names if not is_index(name))
    return pa.schema([pa.field(name, _unify_column(name, parts)) for name in columns])


def _unify_column(name: str, parts: Sequence[tuple[str, pa.Schema]]) -> pa.DataType:
    unified, origin = pa.null(), parts[0]
    for part in parts:
        if name not in part[1].names:
            continue
        found = part[1].field(name).type
        common = _common_type(unified, found)
        if common is None:
            raise _differ(part[0], origin[0], f"{name} contains {_compare(found, origin[1].field(name).type)}")
        if pa.types.is_null(unified):
            origin = part
        unified = common
    if not pa.types.is_null(unified):
        _check_everywhere(name, parts)
    return unified


def _check_everywhere(name: str, parts: Sequence[tuple[str, pa.Schema]]) -> None:
    """Reject a column with values that some parts do not have."""
    first = parts[0]
    has_first = name in first[1].names
    for part in parts[1:]:
        if (name in part[1].names) != has_first:
            raise _differ(part[0], first[0], f"{name} is {'missing' if has_first else 'additional'}")


def _differ(part: str, other: str, difference: str) -> SchemaError:
    return SchemaError(
        f"{part}: columns differ from {other}: {difference}", hint="use the same columns and types in all parts"
    )


def _compare(one: pa.DataType, other: pa.DataType) -> str:
    names = type_name(one), type_name(other)
    # Timestamps with and without a time zone have the same name.
    return " instead of ".join(names if names[0] != names[1] else (str(one), str(other)))


def _common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type for the values of both, or ``None`` if there is none."""
    one, other = plain_type(one), plain_type(other)
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if is_text(one) and is_text(other):
        return pa.string()
    if is_number(one) and is_number(other):
        are_integers = pa.types.is_integer(one) and pa.types.is_integer(other)
        return pa.int64() if are_integers else pa.float64()
    if is_time(one) and is_time(other):
        zones = [pa.types.is_timestamp(each) and each.tz is not None for each in (one, other)]
        return pa.timestamp("us", "UTC" if zones[0] else None) if zones[0] == zones[1] else None
    return None


def add_folder_columns(
    schemas: Sequence[pa.Schema], values: Sequence[Mapping[str, str | None]], columns: Sequence[str]
) -> list[pa.Schema]:
    """Return the schemas of the parts, extended by columns whose values are in the names of their folders.

    The values are integers if all of them are and no part stores the column as text.
    """
    extended = list(schemas)
    for name in columns:
        texts = [each[name] for each in values if each.get(name) is not None]
        is_stored_text = any(name in schema.names and is_text(schema.field(name).type) for schema in schemas)
        kind = pa.int64() if not is_stored_text and all(map(is_integer_text, texts)) else pa.string()
        extended = [
            schema.append(pa.field(name, kind)) if name in each and name not in schema.names else schema
            for schema, each in zip(extended, values, strict=True)
        ]
    return extended


def is_index(name: str) -> bool:
    """Return whether pandas wrote the column for an index without a name."""
    return name.startswith("__index_level_")
