"""Values that may mean a missing reading are found; states, spikes and flat sensors are not."""

from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.preparation.sentinels import Sentinel, SentinelSearch, describe_sentinels, ranges_without

PRESS = np.random.default_rng(0).uniform(4.2, 5.6, 10_000)


def search(values: np.ndarray, ranges: dict[str, tuple[float, float]] | None = None) -> list[Sentinel]:
    found = SentinelSearch(ranges)
    for batch in np.array_split(values, 7):
        found.add("press", batch)
    return found.found()


def with_value(value: float, count: int = 12, values: np.ndarray = PRESS) -> np.ndarray:
    mixed = values.copy()
    mixed[:: len(mixed) // count][:count] = value
    return mixed


@pytest.mark.parametrize("value", [-999.0, -9999.0, 65535.0, 32767.0, 999.0, 1e10, -123.0])
def test_found_value_far_from_all_others_is_a_sentinel(value: float) -> None:
    (found,) = search(with_value(value))
    rest = np.sort(with_value(value)[with_value(value) != value])
    assert found == Sentinel("press", value, 12, rest[0], rest[-1])
    low, high = found.valid_range()
    assert not low <= value <= high
    assert low < rest[0] < rest[-1] < high
    assert search(with_value(value), {"press": (low, high)}) == []


def test_found_both_ends_may_be_sentinels() -> None:
    found = search(with_value(65535.0, 4, with_value(-999.0)[1:]))
    assert [(one.value, one.count) for one in found] == [(-999.0, 11), (65535.0, 4)]
    low, high = ranges_without(found)["press"]
    assert -999 < low < 4.2
    assert 5.6 < high < 65535
    assert describe_sentinels(found).endswith(": missing values?")


def test_found_common_sentinel_is_found_next_to_a_spike() -> None:
    (found,) = search(np.append(with_value(-999.0), 300.0))
    assert found.describe() == ("press is -999 in 12 readings, far from its other values (4.2 to 300)")


@pytest.mark.parametrize(
    "values",
    [
        PRESS,
        with_value(-999.0, 2),
        with_value(0.0, 100),
        with_value(8.0, 100),
        np.repeat([0.0, 1.0], 50),
        np.full(100, -999.0),
        np.full(100, np.nan),
        np.append(PRESS, [np.inf] * 5),
        np.append(np.full(90, -999.0), PRESS[:10]),
        with_value(-999.0, 3, np.resize(PRESS, 100_000)),
    ],
    ids=["plain", "twice", "off", "near", "binary", "flat", "missing", "infinite", "most readings", "rare"],
)
def test_found_other_values_are_no_sentinels(values: np.ndarray) -> None:
    assert search(values) == []
