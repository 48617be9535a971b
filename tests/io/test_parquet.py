from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from pdm_cli.errors import DataError, PdmError, SchemaError, UsageError
from pdm_cli.io import folders, parquet
from pdm_cli.schema import ANOMALIES, TELEMETRY
from tests.builders.tables import fleet_telemetry, write_parquet


def read_all(path: Path) -> pd.DataFrame:
    return parquet.read_frame(path)


def read_found(path: Path) -> object:
    files = parquet.find_table(path.parent, TELEMETRY)
    assert files is not None
    return list(parquet.iterate_part(files, files.parts[0], 1_000, files.schema.names))


def assert_one_line(error: PdmError, *words: str, hint: str) -> None:
    assert "\n" not in error.message
    for word in words:
        assert word in error.message
    assert hint in str(error.hint)


@pytest.mark.parametrize("read", [read_all, read_found])
@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        (b"", ("0 bytes",), "again"),
        (b"datetime,machineID,volt\n2015-01-01,1,170\n", ("not a Parquet file",), "pdm import"),
        (b"PK\x03\x04 a zip", ("not a Parquet file",), "convert"),
        (b"x", ("not a Parquet file",), "convert"),
        (b"PAR1", ("PAR1.parquet",), "again"),
    ],
    ids=["empty", "csv", "zip", "one-byte", "head-only"],
)
def test_a_file_that_is_not_parquet_is_refused_in_one_line(
    tmp_path: Path, read: Callable[[Path], object], content: bytes, words: tuple[str, ...], hint: str
) -> None:
    path = tmp_path / "telemetry.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert_one_line(caught.value, "telemetry.parquet", str(path), *(w for w in words if w != "PAR1.parquet"), hint=hint)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("read", [read_all, read_found])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_rejected(tmp_path: Path, read: Callable[[Path], object], share: float) -> None:
    path = write_parquet(tmp_path / "telemetry.parquet", fleet_telemetry())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError) as caught:
        read(path)
    assert_one_line(caught.value, "telemetry.parquet", "truncated", "bytes", hint="again")


@pytest.mark.parametrize("read", [read_all, read_found])
def test_a_file_damaged_in_the_middle_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "telemetry.parquet"
    parquet.write_frame(path, fleet_telemetry(rows=500))
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 4, len(content) // 2)
    content[middle] = bytes(len(content[middle]))
    path.write_bytes(bytes(content))
    with pytest.raises(DataError) as caught:
        read(path)
    assert_one_line(caught.value, "telemetry.parquet", "damaged", hint="again")


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_footer_ends_in_no_traceback(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "telemetry.parquet"
    parquet.write_frame(path, fleet_telemetry(rows=100))
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    footer = int.from_bytes(content[-8:-4].tobytes(), "little")
    rng = np.random.default_rng(seed)
    places = len(content) - 8 - rng.integers(0, footer, 20)
    content[places] = 255
    path.write_bytes(content.tobytes())
    with pytest.raises(DataError) as caught:
        parquet.read_frame(path)
    assert_one_line(caught.value, "telemetry.parquet", hint="again")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "telemetry.parquet", fleet_telemetry())

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pq, "ParquetFile", deny)
    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(PdmError) as caught:
        parquet.read_frame(path)
    assert "telemetry.parquet" in caught.value.message
    assert "ermission" in caught.value.message


@pytest.mark.parametrize("is_file", [True, False])
def test_an_input_folder_that_is_none_is_a_usage_error(tmp_path: Path, is_file: bool) -> None:
    path = tmp_path / "data"
    if is_file:
        path.write_text("x")
    with pytest.raises(UsageError) as caught:
        folders.check_folder("--data", path, "the raw tables")
    assert_one_line(caught.value, "--data", str(path), "a file" if is_file else "no such folder", hint="the raw tables")
    assert caught.value.exit_code == 2


def test_a_missing_table_in_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        parquet.require_table(tmp_path, TELEMETRY)
    assert_one_line(caught.value, f"{tmp_path}: the folder is empty", hint="it needs telemetry.parquet")


def test_a_table_that_a_killed_run_moved_away_names_the_way_back(tmp_path: Path) -> None:
    (tmp_path / ".pdm-partial-1-x" / "previous").mkdir(parents=True)
    with pytest.raises(SchemaError, match="a killed run left its files half moved") as caught:
        parquet.require_table(tmp_path, TELEMETRY)
    assert "rerun the command" in str(caught.value.hint)


def write_twice(folder: Path, frames: list[pd.DataFrame]) -> tuple[bytes, bytes]:
    paths = folder / "one.parquet", folder / "two.parquet"
    for path in paths:
        with parquet.TableWriter(path, {"b": "2", "a": "1"}) as writer:
            for frame in frames:
                writer.write(frame.copy())
    return paths[0].read_bytes(), paths[1].read_bytes()


@pytest.mark.parametrize("machines", [(1, 2), ("a", "b")])
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, machines: tuple[object, ...]) -> None:
    one, two = write_twice(tmp_path, [fleet_telemetry(machines=machines), fleet_telemetry(machines=machines, seed=1)])
    assert one == two


def test_the_index_of_a_frame_leaves_no_trace(tmp_path: Path) -> None:
    frame = fleet_telemetry()
    parquet.write_frame(tmp_path / "one.parquet", frame)
    parquet.write_frame(tmp_path / "two.parquet", frame.set_axis(range(9, 9 + len(frame))))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize("metadata", [{}, {"causal": "false", "Größe": "3 µs, “quoted”\nline", "empty": ""}])
def test_metadata_comes_back_as_it_was(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "anomalies.parquet"
    parquet.write_frame(path, fleet_telemetry(), metadata)
    assert parquet.read_metadata(path) == metadata


def test_a_frame_comes_back_as_it_was(tmp_path: Path) -> None:
    frame = fleet_telemetry(machines=("a", "b")).assign(count=1, alert=True)
    frame.loc[[3, 50], "volt"] = np.nan
    parquet.write_frame(tmp_path / "t.parquet", frame)
    assert_frame_equal(parquet.read_frame(tmp_path / "t.parquet"), frame)
    columns = ["machineID", "volt"]
    assert_frame_equal(parquet.read_frame(tmp_path / "t.parquet", columns), frame[columns])


def test_a_frame_without_rows_comes_back_as_it_was(tmp_path: Path) -> None:
    frame = fleet_telemetry().iloc[:0]
    parquet.write_frame(tmp_path / "t.parquet", frame, {"a": "1"})
    assert_frame_equal(parquet.read_frame(tmp_path / "t.parquet"), frame, check_index_type=False)
    assert parquet.read_metadata(tmp_path / "t.parquet") == {"a": "1"}


def test_each_written_frame_is_one_row_group(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frames = [fleet_telemetry(machines=(m,), rows=10 * m) for m in (1, 2, 3)]
    with parquet.TableWriter(path) as writer:
        for frame in frames:
            writer.write(frame)
    assert writer.rows == 60
    assert parquet.count_row_groups(path) == 3
    for index, frame in enumerate(frames):
        assert_frame_equal(parquet.read_row_group(path, index), frame)
    assert list(parquet.read_row_group(path, 1, ["volt"])) == ["volt"]


def test_a_later_frame_takes_the_types_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with parquet.TableWriter(path) as writer:
        writer.write(pd.DataFrame({"machineID": [1], "volt": [1.5]}))
        writer.write(pd.DataFrame({"machineID": [2], "volt": [2]}))
    assert parquet.read_frame(path)["volt"].to_list() == [1.5, 2.0]


def test_a_table_of_an_earlier_version_may_lack_recent_columns_only(tmp_path: Path) -> None:
    names = [column.name for column in ANOMALIES.columns if not column.is_recent]
    assert len(names) < len(ANOMALIES.columns)
    write_parquet(tmp_path / ANOMALIES.file, pd.DataFrame(columns=names))
    assert parquet.require_file(tmp_path, ANOMALIES) == tmp_path / ANOMALIES.file
    write_parquet(tmp_path / ANOMALIES.file, pd.DataFrame(columns=names[:-1]))
    with pytest.raises(SchemaError, match=f"no column '{names[-1]}'"):
        parquet.require_file(tmp_path, ANOMALIES)
