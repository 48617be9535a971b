from __future__ import annotations

import contextlib
import json
from functools import cache

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.models import ubjson


@cache
def booster() -> xgboost.Booster:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3)).astype(np.float32)
    values[:, 2] = rng.integers(0, 3, 200)
    data = xgboost.QuantileDMatrix(values, values[:, 0] + values[:, 2], feature_types=["q", "q", "c"])
    return xgboost.train({"max_depth": 3}, data, 3)


def test_decode_booster_equals_its_json() -> None:
    expected = json.loads(booster().save_raw("json").decode(), parse_float=lambda text: float(np.float32(text)))
    assert ubjson.decode(bytes(booster().save_raw("ubj"))) == expected


@given(st.floats(0, 1, exclude_max=True))
def test_decode_truncated_is_rejected(share: float) -> None:
    content = bytes(booster().save_raw("ubj"))
    with pytest.raises(ValueError, match=r"."):
        ubjson.decode(content[: int(len(content) * share)])


@given(st.binary(max_size=40))
def test_decode_any_bytes_raises_value_error_at_most(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        ubjson.decode(b"{L" + (1).to_bytes(8, "big") + b"a" + content)


def test_decode_bytes_by_hand() -> None:
    zeros = bytes(7)
    content = b"{L" + zeros + b"\x01a[$l#L" + zeros + b"\x02" + b"\x00\x00\x00\x07\xff\xff\xff\xff" + b"}"
    assert ubjson.decode(content) == {"a": [7, -1]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"L" + bytes(8) + b"x", "1 extra bytes"),
        (b"?", "unknown marker"),
        (b"SL" + b"\xff" * 8, "truncated"),
        (b"[$l#L" + b"\x7f" + b"\xff" * 7, "truncated"),
        (b"[$S#L" + bytes(8), "without type"),
        (b"[L", "without length"),
        (b"SU\x01a", "unexpected type"),
        (b"[#L" + bytes(7) + b"\x01", "truncated"),
        ((b"[#L" + bytes(7) + b"\x01") * 5000, "nested too deeply"),
        (b"{" + 2 * (b"L" + bytes(7) + b"\x01aU\x00") + b"}", "duplicate key"),
    ],
)
def test_decode_invalid_is_rejected(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ubjson.decode(content)
