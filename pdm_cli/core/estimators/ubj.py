"""Universal binary JSON, the form that XGBoost keeps its models in: written, and read without trust.

XGBoost believes what it reads: damaged bytes end the whole process. So they are read here first.

References
----------
.. [1] https://ubjson.org/type-reference
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
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
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, np.ndarray):
        mark = {"i4": b"l", "i8": b"L", "u1": b"U", "f4": b"d"}[value.dtype.str[1:]]
        return (
            b"[$" + mark + b"#L" + struct.pack(">q", len(value)) + value.astype(value.dtype.newbyteorder(">")).tobytes()
        )
    if isinstance(value, str):
        return b"S" + _length(value.encode())
    return b"L" + struct.pack(">q", value)


def _length(text: bytes) -> bytes:
    return b"L" + struct.pack(">q", len(text)) + text


def decode(content: bytes) -> Any:
    """Return what ``content`` holds: dicts, lists, strings, numbers, and arrays where all items have one type.

    Raises
    ------
    ValueError
        If it is not one whole document.
    """
    reader = _Reader(content)
    value = reader.value(reader.mark(), depth=0)
    if reader.at != len(content):
        raise ValueError(f"{len(content) - reader.at} bytes too many")
    return value


class _Reader:
    """A place in a document; all reading goes forward and stays inside."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._content) - self.at:
            raise ValueError("cut short")
        self.at += count
        return self._content[self.at - count : self.at]

    def mark(self) -> str:
        return self.take(1).decode("latin-1")

    def number(self, mark: str) -> Any:
        if mark not in _NUMBERS:
            raise ValueError(f"unknown mark {mark!r}")
        form = ">" + _NUMBERS[mark]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def count(self) -> int:
        number = self.number(self.mark())
        if not isinstance(number, int):
            raise ValueError("a length is no whole number")
        return number

    def text(self) -> str:
        return self.take(self.count()).decode()

    def value(self, mark: str, *, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if mark == "{":
            return self._object(depth)
        if mark == "[":
            return self._array(depth)
        if mark == "S":
            return self.text()
        return _CONSTANTS[mark] if mark in _CONSTANTS else self.number(mark)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._content[self.at : self.at + 1] != b"}":
            key = self.text()
            if key in found:
                raise ValueError(f"{key!r} twice")
            found[key] = self.value(self.mark(), depth=depth + 1)
        self.at += 1
        return found

    def _array(self, depth: int) -> Any:
        mark = self.mark()
        if mark == "$":
            kind, sign, count = self.mark(), self.mark(), self.count()
            if sign != "#" or kind not in _NUMBERS:
                raise ValueError("an array without type or length")
            form = np.dtype(_NUMBERS[kind]).newbyteorder(">")
            return np.frombuffer(self.take(count * form.itemsize), form)
        if mark == "#":
            return [self.value(self.mark(), depth=depth + 1) for _ in range(self.count())]
        found = []
        while mark != "]":
            found.append(self.value(mark, depth=depth + 1))
            mark = self.mark()
        return found
