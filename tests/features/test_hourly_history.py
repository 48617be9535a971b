from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from pdm_cli.features.failure_template import HourlyHistory
from pdm_cli.features.robust_z import ZScores
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, log_frame

Readings = dict[float, float]
half_hours = st.integers(-4, 40).map(lambda n: n / 2)


def hours_back(readings: Readings, errors: list[Event], ends: list[float], hours: int) -> list[NDArray[np.float64]]:
    """Return z, whether it exists, errors of types x and y, and whether known, of machine 1."""
    times = np.array([EPOCH_US + round(hour * HOUR_US) for hour in sorted(readings)], np.int64)
    z = np.array([[readings[hour]] for hour in sorted(readings)], np.float64).reshape(-1, 1)
    scores = ZScores(pd.Index([1]), np.zeros(len(times), np.int64), times, ["volt"], z)
    history = HourlyHistory(scores, log_frame(errors), pd.Index([0, 1]), ["x", "y"])
    ends_us = np.array([EPOCH_US + round(end * HOUR_US) for end in ends], np.int64)
    return history.split(history.hours_back(1, ends_us, hours))


def test_three_hours_by_hand() -> None:
    readings = {0.5: 1.0, 1.0: 3.0, 2.0: math.nan, 2.5: 9.0}
    errors = [Event(1, 0, "x"), Event(1, 0.5, "y"), Event(1, 2, "x"), Event(1, 2, "x"), Event(2, 2, "y")]
    z, there, seen, known = hours_back(readings, errors, [2, 3], 3)
    # Backwards from 2: (1, 2] has a reading that is missing, (0, 1] two of mean 2, (-1, 0] is before the first.
    assert z[..., 0].tolist() == [[0, 2, 0], [9, 0, 2]]
    assert there[..., 0].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert seen.tolist() == [[[1, 0], [0, 1], [0, 0]], [[0, 0], [1, 0], [0, 1]]]
    assert known[..., 0].tolist() == [[1, 1, 0], [1, 1, 1]]


@given(
    st.dictionaries(half_hours, st.sampled_from([math.nan, -1.0, 0.0, 2.0]), max_size=30),
    st.lists(st.builds(Event, st.sampled_from([0, 1, 7]), half_hours, st.sampled_from("xyz")), max_size=15),
    st.lists(half_hours, max_size=5),
    st.integers(1, 6),
)
def test_hours_back_equal_plain_loops(readings: Readings, errors: list[Event], ends: list[float], hours: int) -> None:
    z, there, seen, known = hours_back(readings, errors, ends, hours)
    for i, end in enumerate(ends):
        for hour in range(hours):
            low, high = end - hour - 1, end - hour
            values = [v for stamp, v in readings.items() if low < stamp <= high and not math.isnan(v)]
            assert z[i, hour, 0] == pytest.approx(sum(values) / max(len(values), 1))
            assert there[i, hour, 0] == bool(values)
            is_known = any(stamp <= high for stamp in readings)
            assert known[i, hour, 0] == is_known
            for k, kind in enumerate("xy"):
                said = any(e.machine == 1 and e.kind == kind and low < e.hour <= high for e in errors)
                assert seen[i, hour, k] == (said and is_known)


@given(
    st.dictionaries(half_hours, st.sampled_from([math.nan, -1.0, 0.1, 2.3]), max_size=30),
    st.lists(st.builds(Event, st.just(1), half_hours, st.sampled_from("xy")), max_size=15),
    half_hours,
)
def test_hours_back_records_after_the_end_change_nothing(readings: Readings, errors: list[Event], now: float) -> None:
    past = {hour: value for hour, value in readings.items() if hour <= now}
    found = hours_back(readings, errors, [now], 6)
    for part, expected in zip(hours_back(past, [e for e in errors if e.hour <= now], [now], 6), found, strict=True):
        assert_array_equal(part, expected)
