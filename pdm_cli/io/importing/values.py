"""Strings as values: without spaces and typographic signs, and as numbers, in SQL and in Python."""

from __future__ import annotations

import re

from pdm_cli.io.importing.sources import sql_text

# Without leading zeros, which would be lost, and within 64 bits.
INTEGER = r"0|-?[1-9]\d{0,17}"
# With the decimal separator for {0}.
NUMBER = r"[+-]?(?:\d+{0}?\d*|{0}\d+)(?:[eE][+-]?\d+)?|[+-]?[iI]nf(?:inity)?"
BEGINS_AS_NUMBER = r"[+-]?[.,]?\d"
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+|[+-]?\d{1,3}(?:\.\d{3})+,\d+", re.ASCII)
# Minus signs and spaces of typesetting, which other programs write for the plain ones.
_TYPOGRAPHIC = {"\u2212": "-", "\u202f": " ", "\u00a0": " ", "\u2007": " "}


def plain(text: str) -> str:
    """Return a string without outer spaces and typographic signs."""
    for sign, written in _TYPOGRAPHIC.items():
        text = text.replace(sign, written)
    return text.strip(" ")


def sql_plain(expression: str) -> str:
    """Return the SQL of :func:`plain`; NULL becomes empty. Strings of ASCII are not searched for signs."""
    translated = f"translate({expression}, '{''.join(_TYPOGRAPHIC)}', '{''.join(_TYPOGRAPHIC.values())}')"
    signless = f"CASE WHEN strlen({expression}) = length({expression}) THEN {expression} ELSE {translated} END"
    return f"coalesce(trim({signless}), '')"


def sql_number(text: str, decimal: str) -> str:
    """Return the SQL expression of the number in a plain string, or NULL."""
    return f"CASE WHEN NOT ({_is_foreign(text, decimal)}) THEN nullif({sql_cast(text, decimal)}, 'nan') END"


def sql_is_odd(text: str, number: str, decimal: str) -> str:
    """Return the SQL condition that the result of :func:`sql_cast` for a string may be wrong or a missing value."""
    return f"{text} IS NOT NULL AND ({number} IS NULL OR isnan({number}) OR {_is_foreign(text, decimal)})"


def sql_cast(text: str, decimal: str) -> str:
    """Return the SQL expression of the number in a string as it is in the file: fast, but see :func:`sql_is_odd`."""
    point = text if decimal == "." else f"replace({text}, {sql_text(decimal)}, '.')"
    return f"TRY_CAST({point} AS DOUBLE)"


def _is_foreign(text: str, decimal: str) -> str:
    # DuckDB reads 1_000 as a number.
    underscore = f"contains({text}, '_')"
    return underscore if decimal == "." else f"contains({text}, '.') OR {underscore}"
