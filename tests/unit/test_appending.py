from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli import appending, tables
from pdm_cli.schema import TELEMETRY

rows = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.sampled_from([1.0, 2.0, None])), min_size=1, max_size=14
)
Row = tuple[int, int, float | None]


def frame(values: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "datetime": (pd.Timestamp("2015-01-01") + pd.to_timedelta([row[1] for row in values], "h")).as_unit("us"),
            "machineID": [row[0] for row in values],
            "volt": pd.Series([row[2] for row in values], dtype=float),
        }
    )


def oracle(old: list[Row], new: list[Row], is_new_kept: bool) -> list[Row]:
    added = [row for row in new if row not in old]
    differing = {row[:2] for row in added} & {row[:2] for row in old}
    if is_new_kept:
        return [row for row in old if row[:2] not in differing or row in new] + added
    return old + [row for row in added if row[:2] not in differing]


@pytest.mark.parametrize("is_new_kept", [False, True])
@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows, rows)
def test_appending_in_small_pieces_is_that_of_lists(is_new_kept: bool, old: list[Row], new: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(appending, "_OLD_ROWS", 3)
        patch.setattr(appending, "_NEW_ROWS", 4)
        folder = Path(name)
        tables.write_frame(folder / "telemetry.parquet", frame(old))
        tables.write_frame(folder / "new.parquet", frame(new))
        files = tables.require_table(folder, TELEMETRY)
        overlap = appending.find_overlap(files, folder / "new.parquet", key=["machineID", "datetime"], time="datetime")
        out = folder / "out.parquet"
        count = appending.write_appended(files, folder / "new.parquet", out, overlap, is_new_kept=is_new_kept)
        wanted = frame(oracle(old, new, is_new_kept))
        pd.testing.assert_frame_equal(tables.read_frame(out), wanted)
        assert count == len(wanted)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(rows, rows)
def test_where_logs_differ_the_new_one_says_all(old: list[Row], new: list[Row]) -> None:
    kept = oracle(old, new, is_new_kept=True)
    for key in {row[:2] for row in new if row not in old}:
        assert {row for row in kept if row[:2] == key} == {row for row in new if row[:2] == key}
