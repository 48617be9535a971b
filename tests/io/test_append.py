from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.io import append as appending
from pdm_cli.io import parquet
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


def append(old: pd.DataFrame, new: pd.DataFrame, is_new_kept: bool) -> pd.DataFrame:
    """Append in pieces of a few rows."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(appending, "_OLD_ROWS", 3)
        patch.setattr(appending, "_NEW_ROWS", 4)
        folder = Path(name)
        parquet.write_frame(folder / "telemetry.parquet", old)
        parquet.write_frame(folder / "new.parquet", new)
        files = parquet.require_table(folder, TELEMETRY)
        overlap = appending.find_overlap(files, folder / "new.parquet", key=["machineID", "datetime"], time="datetime")
        out = folder / "out.parquet"
        count = appending.write_appended(files, folder / "new.parquet", out, overlap, is_new_kept=is_new_kept)
        found = parquet.read_frame(out)
        assert count == len(found)
        return found


def append_rows(old: list[Row], new: list[Row], is_new_kept: bool) -> list[Row]:
    found = append(frame(old), frame(new), is_new_kept)
    hours = (found["datetime"] - pd.Timestamp("2015-01-01")) // pd.Timedelta(hours=1)
    volts = [None if pd.isna(volt) else volt for volt in found["volt"]]
    return list(zip(found["machineID"].tolist(), hours.tolist(), volts, strict=True))


def at(key: tuple[int, int], values: list[Row]) -> list[Row]:
    return [row for row in values if row[:2] == key]


@pytest.mark.slow
@pytest.mark.parametrize("is_new_kept", [False, True])
@given(rows, rows)
def test_each_key_has_the_old_rows_or_the_new_ones(is_new_kept: bool, old: list[Row], new: list[Row]) -> None:
    found = append_rows(old, new, is_new_kept)
    for key in {row[:2] for row in old + new}:
        before, after = at(key, old), at(key, new)
        if not before:
            assert at(key, found) == after
        elif is_new_kept and not set(after) <= set(before):
            # What the new table says of this key is all that is said of it.
            assert set(at(key, found)) == set(after)
        else:
            assert at(key, found) == before
    if is_new_kept:
        assert set(new) <= set(found)


@pytest.mark.slow
@given(rows, rows, st.booleans())
def test_rows_stay_in_order_the_old_ones_first(old: list[Row], new: list[Row], is_new_kept: bool) -> None:
    left = iter(old + new)
    # Each row is found behind the one before it.
    assert all(row in left for row in append_rows(old, new, is_new_kept))


def test_a_new_row_is_not_lost_for_another_one_of_its_key() -> None:
    found = append_rows([(1, 0, 2.0), (1, 1, 3.0)], [(1, 0, 2.0), (1, 0, 9.0)], is_new_kept=True)
    assert found == [(1, 0, 2.0), (1, 1, 3.0), (1, 0, 9.0)]


@pytest.mark.parametrize("count", [0, 7])
def test_a_column_without_a_value_takes_what_comes(count: int, tmp_path: Path) -> None:
    empty = pa.table(
        {
            "datetime": pa.nulls(count, pa.timestamp("us")),
            "machineID": pa.nulls(count, pa.int64()),
            "volt": pa.array([1.0] * count, pa.float32()),
            "note": pa.nulls(count, pa.float64()),
        }
    )
    with parquet.TableWriter(tmp_path / "telemetry.parquet") as writer:
        writer.write_arrow(empty)
    files = parquet.require_table(tmp_path, TELEMETRY)
    kinds = appending.old_types(files)
    assert kinds["datetime"] == kinds["machineID"] == kinds["note"] == pa.null()
    assert kinds["volt"] == (pa.float64() if count else pa.null())
    new = pa.table(
        {
            "datetime": pa.array([pd.Timestamp("2015-01-01")], pa.timestamp("us", tz="UTC")),
            "machineID": ["M1"],
            "volt": [2.0],
            "note": ["a"],
        }
    )
    with parquet.TableWriter(tmp_path / "new.parquet") as writer:
        writer.write_arrow(new)
    out = tmp_path / "out.parquet"
    overlap = appending.find_overlap(files, tmp_path / "new.parquet", key=["machineID", "datetime"], time="datetime")
    assert appending.write_appended(files, tmp_path / "new.parquet", out, overlap, is_new_kept=False) == count + 1
    assert parquet.open_file(out).read().slice(count).to_pylist() == new.to_pylist()
