from __future__ import annotations

import math
from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.preparation.repeated_rows import RepeatedRows

rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.sampled_from([1.0, 2.0, math.nan])), min_size=1, max_size=20
)


def slow_count(table: list[tuple[int, int, float]]) -> tuple[int, int]:
    copies = different = 0
    # The rows of each machine, in the order of the file.
    for _, group in groupby(sorted(table, key=lambda row: row[0]), key=lambda row: row[:2]):
        (_, _, first), *others = group
        for _, _, value in others:
            is_copy = value == first or (math.isnan(value) and math.isnan(first))
            copies, different = copies + is_copy, different + (not is_copy)
    return copies, different


@given(rows, st.integers(1, 5))
def test_repeated_rows_equal_a_walk_over_each_machine(table: list[tuple[int, int, float]], size: int) -> None:
    found = RepeatedRows()
    for start in range(0, len(table), size):
        places, times, values = (np.array(column) for column in zip(*table[start : start + size], strict=True))
        found.add(places, times, {"volt": values.astype(float), "load": np.ones(len(times))})
    assert (found.copies, found.different) == slow_count(table)
