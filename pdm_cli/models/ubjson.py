"""Reader of universal binary JSON, in which bundles up to ``pdm.bundle/3`` store XGBoost boosters.

Such files must be checked before XGBoost sees them, because it trusts them. Only the subset that XGBoost writes is
supported: 64-bit lengths, and arrays with a length.

References
----------
.. [1] https://ubjson.org/type-reference
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_LONG = struct.Struct(">q")
_NUMBERS = {ord(mark): struct.Struct(f">{form}") for mark, form in zip("iUIlLdD", "bBhiqfd", strict=True)}
_TYPES = {mark: np.dtype(form.format) for mark, form in _NUMBERS.items()}
_OBJECT, _END, _ARRAY, _TYPE, _COUNT, _STRING, _LENGTH = b"{}[$#SL"
_MAX_DEPTH = 32


def decode(content: bytes) -> Any:
    """Return the document in ``content`` as dicts, lists, strings and numbers; raises ValueError if it is invalid."""
    try:
        value, at = _value(content, 0, 0)
    except (IndexError, struct.error) as exc:
        raise ValueError("truncated") from exc
    if at != len(content):
        raise ValueError(f"{len(content) - at} extra bytes at the end")
    return value


def _value(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return the value at an offset, and the offset after it."""
    mark = content[at]
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if mark == _OBJECT:
        return _object(content, at + 1, depth)
    if mark == _ARRAY:
        return _array(content, at + 1, depth)
    if mark == _STRING:
        return _text(content, at + 1)
    if mark not in _NUMBERS:
        raise ValueError(f"unknown marker {mark:#04x}")
    return _NUMBERS[mark].unpack_from(content, at + 1)[0], at + 1 + _NUMBERS[mark].size


def _object(content: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while content[at] != _END:
        key, at = _text(content, at)
        if key in found:
            raise ValueError(f"duplicate key {key!r}")
        found[key], at = _value(content, at, depth + 1)
    return found, at + 1


def _array(content: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if content[at] == _TYPE:
        mark, sign = content[at + 1], content[at + 2]
        count, at = _count(content, at + 3)
        if sign != _COUNT or mark not in _TYPES:
            raise ValueError("array without type or length")
        end = at + count * _TYPES[mark].itemsize
        return np.frombuffer(content[at:end], _TYPES[mark], count).tolist(), end
    if content[at] != _COUNT:
        raise ValueError("array without length")
    count, at = _count(content, at + 1)
    found = []
    for _ in range(count):
        value, at = _value(content, at, depth + 1)
        found.append(value)
    return found, at


def _text(content: bytes, at: int) -> tuple[str, int]:
    count, at = _count(content, at)
    return content[at : at + count].decode(), at + count


def _count(content: bytes, at: int) -> tuple[int, int]:
    """Return a length that the content is long enough for, and the offset after it."""
    if content[at] != _LENGTH:
        raise ValueError("length of an unexpected type")
    count: int = _LONG.unpack_from(content, at + 1)[0]
    if not 0 <= count <= len(content) - at:
        raise ValueError("truncated")
    return count, at + 1 + _LONG.size
