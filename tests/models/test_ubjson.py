from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pdm_cli.models import ubjson

numbers = st.integers(-(2**63), 2**63 - 1)
leaves = st.one_of(
    numbers,
    st.text(),
    arrays(np.int32, st.integers(0, 5)),
    arrays(np.int64, st.integers(0, 5)),
    arrays(np.uint8, st.integers(0, 5)),
    arrays(np.float32, st.integers(0, 5), elements=st.floats(width=32, allow_nan=False)),
)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


def plain(value: Any) -> Any:
    """Arrays as lists, so that documents can be compared."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@given(documents)
def test_what_was_written_is_read_back(document: Any) -> None:
    assert plain(ubjson.decode(ubjson.encode(document))) == plain(document)


@given(documents, st.floats(0, 1, exclude_max=True))
def test_what_is_cut_short_is_refused(document: Any, share: float) -> None:
    content = ubjson.encode(document)
    with pytest.raises(ValueError, match=r"."):
        ubjson.decode(content[: int(len(content) * share)])


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        ubjson.decode(b"{L" + (1).to_bytes(8, "big") + b"a" + content)


def test_bytes_by_hand() -> None:
    eight = bytes(7)
    content = b"{L" + eight + b"\x01a[$l#L" + eight + b"\x02" + b"\x00\x00\x00\x07\xff\xff\xff\xff" + b"}"
    assert plain(ubjson.decode(content)) == {"a": [7, -1]}
    assert ubjson.encode({"a": np.array([7, -1], np.int32)}) == content


def test_a_booster_is_read_as_its_json_says() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3)).astype(np.float32)
    values[:, 2] = rng.integers(0, 3, 200)
    data = xgboost.QuantileDMatrix(values, values[:, 0] + values[:, 2], feature_types=["q", "q", "c"])
    booster = xgboost.train({"max_depth": 3}, data, 3)
    wanted = json.loads(booster.save_raw("json").decode(), parse_float=np.float32)
    assert plain(ubjson.decode(bytes(booster.save_raw("ubj")))) == wanted


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "cut short"),
        (b"L" + bytes(8) + b"x", "1 bytes too many"),
        (b"?", "unknown mark"),
        (b"SL" + b"\xff" * 8, "cut short"),
        (b"[$l#L" + b"\x7f" + b"\xff" * 7, "cut short"),
        (b"[$S#L" + bytes(8), "without type"),
        (b"[L", "without length"),
        (b"SU\x01a", "another type"),
        (b"[#L" + bytes(7) + b"\x01", "cut short"),
        ((b"[#L" + bytes(7) + b"\x01") * 5000, "nested too deeply"),
        (b"{" + 2 * (b"L" + bytes(7) + b"\x01aU\x00") + b"}", "twice"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ubjson.decode(content)
