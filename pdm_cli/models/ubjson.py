"""Universal binary JSON, the form that XGBoost keeps its models in: written, and read without trust.

XGBoost believes what it reads: damaged bytes end the whole process. So they are read here first. Only what XGBoost
writes is understood: lengths are of 64 bits, and every array says how long it is.

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
_DEEPEST = 32


def encode(value: Any) -> bytes:
    """Return ``value`` as XGBoost would write it.

    Parameters
    ----------
    value : dict, list, str, int or array
        Arrays are of int32, int64, uint8 or float32.
    """
    if isinstance(value, dict):
        return b"{" + b"".join(_length(key.encode()) + encode(item) for key, item in value.items()) + b"}"
    if isinstance(value, list):
        return b"[#L" + _LONG.pack(len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, np.ndarray):
        mark = {"i4": b"l", "i8": b"L", "u1": b"U", "f4": b"d"}[value.dtype.str[1:]]
        return b"[$" + mark + b"#L" + _LONG.pack(len(value)) + value.astype(value.dtype.newbyteorder(">")).tobytes()
    if isinstance(value, str):
        return b"S" + _length(value.encode())
    return b"L" + _LONG.pack(value)


def _length(text: bytes) -> bytes:
    return b"L" + _LONG.pack(len(text)) + text


def decode(content: bytes) -> Any:
    """Return what ``content`` holds: dicts, lists, strings, numbers, and arrays where all items have one type.

    Raises
    ------
    ValueError
        If it is not one whole document.
    """
    try:
        value, at = _value(content, 0, 0)
    except (IndexError, struct.error) as exc:
        raise ValueError("cut short") from exc
    if at != len(content):
        raise ValueError(f"{len(content) - at} bytes too many")
    return value


def _value(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return the value at a place, and the place after it."""
    mark = content[at]
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if mark == _OBJECT:
        return _object(content, at + 1, depth)
    if mark == _ARRAY:
        return _array(content, at + 1, depth)
    if mark == _STRING:
        return _text(content, at + 1)
    if mark not in _NUMBERS:
        raise ValueError(f"unknown mark {mark:#04x}")
    return _NUMBERS[mark].unpack_from(content, at + 1)[0], at + 1 + _NUMBERS[mark].size


def _object(content: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while content[at] != _END:
        key, at = _text(content, at)
        if key in found:
            raise ValueError(f"{key!r} twice")
        found[key], at = _value(content, at, depth + 1)
    return found, at + 1


def _array(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    if content[at] == _TYPE:
        kind, sign = content[at + 1], content[at + 2]
        count, at = _count(content, at + 3)
        if sign != _COUNT or kind not in _TYPES:
            raise ValueError("an array without type or length")
        end = at + count * _TYPES[kind].itemsize
        return np.frombuffer(content[at:end], _TYPES[kind], count), end
    if content[at] != _COUNT:
        raise ValueError("an array without length")
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
    """Return a length, and the place after it; there is at least that much to read."""
    if content[at] != _LENGTH:
        raise ValueError("a length of another type")
    count: int = _LONG.unpack_from(content, at + 1)[0]
    if not 0 <= count <= len(content) - at:
        raise ValueError("cut short")
    return count, at + 1 + _LONG.size
