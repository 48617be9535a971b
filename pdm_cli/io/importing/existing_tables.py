"""New rows next to the existing tables that they are appended to: the same columns, types and zones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pdm_cli.errors import DataError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

    from pdm_cli.io.importing.survey import TableSurvey
    from pdm_cli.io.parquet import TableFiles


def find_types(tables: Mapping[str, TableFiles]) -> dict[str, dict[str, pa.DataType]]:
    """Return the types of existing tables."""
    if not tables:
        # Most imports need no pandas.
        return {}
    from pdm_cli.io.append import old_types

    return {name: old_types(files) for name, files in tables.items()}


def zone_of(kind: pa.DataType | None) -> bool | None:
    """Return whether a timestamp type has a time zone; ``None`` for other types."""
    import pyarrow as pa

    return kind.tz is not None if kind is not None and pa.types.is_timestamp(kind) else None


def fit_to_old(
    survey: TableSurvey, old: str, types: dict[str, pa.DataType], numbers: set[str], has_zone: bool
) -> set[str]:
    """Return the numeric columns of new rows, adapted to those of an existing table.

    Parameters
    ----------
    survey : TableSurvey
        The new rows.
    old : str
        Name of the existing table, for messages.
    types : dict
        Its columns and their types.
    numbers : set of str
        Columns of the new rows that have numbers only.
    has_zone : bool
        Whether the new timestamps have a time zone.

    Raises
    ------
    DataError
        If the columns of the two do not match.
    """
    import pyarrow as pa

    columns = set(survey.columns) - set(survey.left_out())
    check_same_columns(survey.name, columns, old, set(types))
    expected = pa.timestamp("us", tz="UTC" if has_zone else None)
    if survey.time and types[survey.time] not in (expected, pa.null()):
        zone = "a" if has_zone else "no"
        raise DataError(
            f"{survey.name}: column {survey.time}: timestamps have {zone} time zone, unlike those of {old}",
            hint="import all logs again, without --append",
        )
    for name, count in survey.counts.items():
        if name not in columns:
            continue
        if types[name] == pa.float64() and count.others:
            other = survey.first_other(name)
            raise survey.error(
                other, name, f"{other.text!r} is not a number, unlike those of {old}", "fix it or leave it empty"
            )
        if types[name] not in (pa.float64(), pa.string(), pa.null()):
            raise SchemaError(f"{old}: column {name} is {types[name]}", hint="--append needs numbers or strings")
    return {name for name in numbers & columns if types[name] != pa.string()}


def check_same_columns(new: str, columns: set[str], old: str, old_columns: set[str]) -> None:
    """Reject rows with other columns than those of an existing table.

    Parameters
    ----------
    new, old : str
        Names of the rows and of the table, for messages.
    columns, old_columns : set of str
        Their columns.

    Raises
    ------
    SchemaError
        With all columns that differ.
    """
    differing = {"missing": old_columns - columns, "new": columns - old_columns}
    if parts := [f"{label} {', '.join(map(repr, sorted(names)))}" for label, names in differing.items() if names]:
        raise SchemaError(
            f"{new}: columns differ from those of {old}: {'; '.join(parts)}",
            hint="import into a folder of its own with --out, or import all logs again without --append",
        )
