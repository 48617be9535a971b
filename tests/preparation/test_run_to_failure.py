"""The failure that ended a machine's telemetry."""

from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.preparation.run_to_failure import NEVER_US, find_ending_failures
from pdm_cli.timestamps import US_PER_HOUR


@pytest.mark.parametrize(
    ("hours", "horizon", "expected"),
    [
        ([100], 48, 100),
        ([76], 48, 76),
        ([75], 48, None),
        ([93], 6, None),
        ([148], 48, 148),
        ([149], 48, None),
        ([90, 120], 48, 120),
        ([100, 500], 48, None),
        ([], 48, None),
    ],
    ids=[
        "last reading",
        "a day before",
        "longer before",
        "more than a horizon before",
        "a horizon after",
        "longer after",
        "two",
        "a later one",
        "none",
    ],
)
def test_find_ending_failures_takes_the_last_one_near_the_last_reading(
    hours: list[int], horizon: int, expected: int | None
) -> None:
    codes, times = np.zeros(len(hours), np.int64), np.array(hours, np.int64) * US_PER_HOUR
    found = find_ending_failures(codes, times, np.array([100]) * US_PER_HOUR, horizon * US_PER_HOUR)
    assert found.tolist() == [NEVER_US if expected is None else expected * US_PER_HOUR]
