from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.io.append import find_overlaps

rows = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1.0, 2.0, np.nan])), max_size=12)


def frame(values: list[tuple[int, int, float]]) -> pd.DataFrame:
    columns = {"machineID": "int64", "datetime": "int64", "volt": "float64"}
    return pd.DataFrame(values, columns=list(columns)).astype(columns)


@given(rows, rows)
def test_pairs_are_those_of_a_double_loop(new: list[tuple[int, int, float]], old: list[tuple[int, int, float]]) -> None:
    found = find_overlaps(frame(new), frame(old), key=["machineID", "datetime"])
    wanted = {
        (i, j): one[2] == other[2] or (np.isnan(one[2]) and np.isnan(other[2]))
        for i, one in enumerate(new)
        for j, other in enumerate(old)
        if one[:2] == other[:2]
    }
    pairs = zip(found.new.tolist(), found.old.tolist(), strict=True)
    assert dict(zip(pairs, found.is_same.tolist(), strict=True)) == wanted


def test_a_key_of_all_columns_takes_two_missing_texts_for_the_same() -> None:
    one = pd.DataFrame({"machineID": [1], "note": pd.Series([None], dtype="str")})
    assert find_overlaps(one, one, key=["machineID", "note"]).is_same.tolist() == [True]
