"""Folders of parts as other programs write them: hidden files, links, types, empty parts, values in folder names."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from pdm_cli.errors import DataError, SchemaError, UsageError
from pdm_cli.io.folders import check_folder, folder_values, list_files
from pdm_cli.io.raw import count_empty_parts, read_events, read_machines
from pdm_cli.schema import ERRORS, FAILURES, TELEMETRY
from pdm_cli.settings.model import ColumnsParams
from tests.builders.raw import assert_says, read, telemetry_of
from tests.builders.tables import fleet_telemetry, write_parquet

FRAME = fleet_telemetry(machines=(1, 2))
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)
FIRST, SECOND = TABLE.slice(0, 60), TABLE.slice(60)


def with_type(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    return with_column(table, name, table[name].cast(kind, safe=False))


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def write_two(folder: Path, one: pa.Table, other: pa.Table) -> None:
    write_parquet(folder / "telemetry" / "1.parquet", one)
    write_parquet(folder / "telemetry" / "2.parquet", other)


def assert_reads(folder: Path, expected: pd.DataFrame) -> None:
    _, batches = read(folder)
    assert_frame_equal(pd.concat(batches, ignore_index=True), expected)


@pytest.mark.parametrize(
    "name",
    [
        "._1.parquet",
        ".1.parquet",
        "_1.parquet",
        "_SUCCESS",
        "_metadata",
        "1.parquet.tmp",
        ".1.parquet.crc",
        "_temporary/0/task/1.parquet",
        "2024/_temporary/1.parquet",
        ".ipynb_checkpoints/1-checkpoint.parquet",
        "half.tmp/1.parquet",
    ],
)
def test_list_files_hidden_or_temporary_is_left_out(tmp_path: Path, name: str) -> None:
    part = write_parquet(tmp_path / "telemetry" / "1.parquet", FIRST)
    hidden = tmp_path / "telemetry" / name
    hidden.parent.mkdir(parents=True, exist_ok=True)
    hidden.write_bytes(b"\0\5\x16\7")
    assert list_files(tmp_path, TELEMETRY) == [part]


def test_find_table_only_hidden_files_has_no_parts(tmp_path: Path) -> None:
    (tmp_path / "telemetry").mkdir()
    (tmp_path / "telemetry" / "_SUCCESS").touch()
    with pytest.raises(SchemaError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "no .parquet file", hint="add the parts")


def test_read_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "archive" / "deep" / "1.parquet", FIRST)
    write_parquet(tmp_path / "single.parquet", SECOND)
    (tmp_path / "telemetry").mkdir()
    (tmp_path / "telemetry" / "older").symlink_to("../archive")
    (tmp_path / "telemetry" / "newer.parquet").symlink_to("../single.parquet")
    assert_reads(tmp_path, FRAME)


def test_list_files_several_ways_to_a_file_lists_it_once_without_links(tmp_path: Path) -> None:
    part = write_parquet(tmp_path / "telemetry" / "z" / "1.parquet", FIRST)
    for name, target in (("a", "z"), ("loop", "."), ("a.parquet", "z/1.parquet"), ("z/up", "..")):
        (tmp_path / "telemetry" / name).symlink_to(target)
    assert list_files(tmp_path, TELEMETRY) == [part]


@pytest.mark.parametrize("target", ["../gone", "older"])
def test_list_files_broken_link_is_named(tmp_path: Path, target: str) -> None:
    write_parquet(tmp_path / "telemetry" / "2024" / "1.parquet", FIRST)
    (tmp_path / "telemetry" / "2024" / "older").symlink_to(target)
    with pytest.raises(DataError) as caught:
        list_files(tmp_path, TELEMETRY)
    assert_says(caught, DataError, f"telemetry/2024/older: cannot follow the link to {target}", hint="target")


def test_list_files_broken_link_of_the_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "telemetry").symlink_to("gone")
    with pytest.raises(DataError, match="telemetry: cannot follow the link to gone"):
        telemetry_of(tmp_path)


def test_list_files_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "telemetry" / "2024" / "1.parquet", FIRST)
    iterdir = Path.iterdir

    def deny(path: Path) -> Any:
        if path.name == "2024":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(DataError) as caught:
        list_files(tmp_path, TELEMETRY)
    assert_says(caught, DataError, "telemetry/2024/: cannot be read: Permission denied", hint="permissions")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_list_files_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "telemetry" / os.fsdecode(b"machineID=\xff")
    folder.mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        list_files(tmp_path, TELEMETRY)
    assert_says(caught, DataError, "machineID=\\xff: the name is not UTF-8 text", hint="rename it")
    with pytest.raises(UsageError, match=r"--data .*xff: the path is not UTF-8 text"):
        check_folder("--data", folder, "the raw tables")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: with_type(t, "machineID", pa.int32()),
        lambda t: t.select(["rotate", "machineID", "volt", "datetime"]),
        lambda t: with_type(t, "datetime", pa.timestamp("ns")),
        lambda t: with_type(t, "datetime", pa.timestamp("ms")),
        lambda t: t.append_column("note", pa.nulls(len(t))),
    ],
    ids=["width", "order", "nanoseconds", "milliseconds", "no-values"],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_read_parts_of_other_layout_give_the_same_rows(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], is_first: bool
) -> None:
    one, other = (change(FIRST), SECOND) if is_first else (FIRST, change(SECOND))
    write_two(tmp_path, one, other)
    _, batches = read(tmp_path)
    assert_frame_equal(pd.concat(batches, ignore_index=True)[list(FRAME)], FRAME)


@pytest.mark.parametrize("kind", [pa.float32(), pa.int16(), pa.int64(), pa.uint64(), pa.decimal128(22, 3)])
def test_read_sensor_of_another_width_is_the_same_sensor(tmp_path: Path, kind: pa.DataType) -> None:
    rounded = with_column(SECOND, "volt", SECOND["volt"].cast(pa.int64(), safe=False).cast(kind))
    write_two(tmp_path, FIRST, rounded)
    volt = pd.concat([FIRST["volt"].to_pandas(), SECOND["volt"].to_pandas().astype("int64").astype("float64")])
    assert_reads(tmp_path, FRAME.assign(volt=volt.to_numpy()))


@pytest.mark.parametrize("is_first", [True, False])
def test_read_sensor_without_values_in_a_part_is_missing_there(tmp_path: Path, is_first: bool) -> None:
    one, other = (SECOND, FIRST) if is_first else (FIRST, SECOND)
    write_two(tmp_path, *((with_column(t, "volt", pa.nulls(60)) if t is SECOND else t) for t in (one, other)))
    assert telemetry_of(tmp_path).sensors == ("volt", "rotate")
    assert_reads(tmp_path, FRAME.assign(volt=FRAME["volt"].where(FRAME["machineID"] == 1)))


def test_find_table_conflict_names_the_part_that_set_the_type(tmp_path: Path) -> None:
    write_two(tmp_path, with_column(FIRST, "volt", pa.nulls(60)), SECOND)
    write_parquet(tmp_path / "telemetry" / "3.parquet", with_type(SECOND, "volt", pa.string()))
    with pytest.raises(SchemaError) as caught:
        telemetry_of(tmp_path)
    message = "telemetry/3.parquet: columns differ from telemetry/2.parquet: volt contains text instead of decimal"
    assert_says(caught, SchemaError, message, hint="same columns and types")


def test_find_table_zoned_and_naive_times_are_rejected(tmp_path: Path) -> None:
    write_two(tmp_path, FIRST, with_type(SECOND, "datetime", pa.timestamp("us", "UTC")))
    with pytest.raises(SchemaError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry/1.parquet", "timestamp[us, tz=UTC] instead of timestamp[us]", hint="")


def test_read_parts_of_different_zones_become_utc(tmp_path: Path) -> None:
    zones = (pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ms", "Asia/Tokyo"))
    write_two(tmp_path, *(with_type(part, "datetime", zone) for part, zone in zip((FIRST, SECOND), zones, strict=True)))
    assert_reads(tmp_path, FRAME)


def test_find_table_machine_with_decimals_names_its_part(tmp_path: Path) -> None:
    write_two(tmp_path, FIRST, with_type(SECOND, "machineID", pa.float64()))
    with pytest.raises(SchemaError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry/2.parquet: column machineID contains decimal numbers", hint="convert")


def test_find_table_duplicate_column_in_a_later_part_is_named(tmp_path: Path) -> None:
    write_two(tmp_path, FIRST, SECOND.append_column("volt", SECOND["volt"]))
    with pytest.raises(SchemaError, match=r"telemetry/2.parquet: duplicate column 'volt'"):
        telemetry_of(tmp_path)


def write_empty_parts(folder: Path) -> None:
    write_parquet(folder / "a.parquet", TABLE.slice(0, 0).select(["machineID"]))
    with pq.ParquetWriter(folder / "b.parquet", TABLE.schema):
        pass
    (folder / "c.parquet").touch()


def test_read_empty_parts_are_skipped_and_counted(tmp_path: Path) -> None:
    write_two(tmp_path, FIRST, SECOND)
    write_empty_parts(tmp_path / "telemetry")
    assert_reads(tmp_path, FRAME)
    assert count_empty_parts(tmp_path) == {"telemetry": 3}


def test_read_events_all_parts_empty_is_an_empty_table(tmp_path: Path) -> None:
    table = pa.table({"datetime": FIRST["datetime"], "machineID": FIRST["machineID"], "errorID": ["e"] * 60})
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "a.parquet").touch()
    write_parquet(tmp_path / "errors" / "b.parquet", table.slice(0, 0))
    events = read_events(tmp_path, ERRORS, ColumnsParams(), "UTC")
    assert events is not None
    assert events.empty
    assert events["machineID"].dtype == "int64"


def test_find_table_only_parts_of_0_bytes_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "telemetry").mkdir()
    (tmp_path / "telemetry" / "a.parquet").touch()
    with pytest.raises(DataError, match=r"a.parquet: empty file \(0 bytes\)"):
        telemetry_of(tmp_path)


@pytest.mark.parametrize(
    "kind", [pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string_view(), pa.string()]
)
def test_read_events_text_of_any_encoding_is_text(tmp_path: Path, kind: pa.DataType) -> None:
    names = pa.array(["e1", "e2"])
    encoded = names.dictionary_encode() if pa.types.is_dictionary(kind) else names.cast(kind)
    for part, column in (("1", names), ("2", encoded)):
        table = pa.table({"datetime": FIRST["datetime"][:2], "machineID": [1, 2], "errorID": column})
        write_parquet(tmp_path / "errors" / f"{part}.parquet", table)
    events = read_events(tmp_path, ERRORS, ColumnsParams(), "UTC")
    assert events is not None
    assert events["errorID"].to_list() == ["e1", "e1", "e2", "e2"]


def write_failures(folder: Path, times: pa.Array, *, int96: bool = False) -> None:
    table = pa.table({"datetime": times, "machineID": [1] * len(times), "failure": ["comp1"] * len(times)})
    pq.write_table(table, folder / "failures.parquet", use_deprecated_int96_timestamps=int96)


def read_failure_times(folder: Path, timezone: str = "UTC") -> list[str]:
    events = read_events(folder, FAILURES, ColumnsParams(), timezone)
    assert events is not None
    return [str(time) for time in events["datetime"]]


def test_read_events_int96_beyond_2262_keeps_its_century(tmp_path: Path) -> None:
    times = [dt.datetime(2015, 1, 5, 6, 0, 0, 123456), dt.datetime(9999, 12, 31)]
    write_failures(tmp_path, pa.array(times, pa.timestamp("us")), int96=True)
    assert read_failure_times(tmp_path) == ["2015-01-05 06:00:00.123456", "9999-12-31 00:00:00"]


def test_read_events_time_that_the_zone_moves_to_year_10000_is_rejected(tmp_path: Path) -> None:
    write_failures(tmp_path, pa.array([dt.datetime(9999, 12, 31, 23)], pa.timestamp("us")))
    with pytest.raises(DataError, match="outside the years 1 to 9999, first in row 0"):
        read_events(tmp_path, FAILURES, ColumnsParams(), "America/New_York")


@pytest.mark.parametrize("zone", ["UTC", "+02:00"])
def test_read_events_dates_are_midnight_in_the_time_zone(tmp_path: Path, zone: str) -> None:
    write_failures(tmp_path, pa.array([dt.date(2015, 1, 5)], pa.date32()))
    assert read_failure_times(tmp_path, zone) == ["2015-01-05 00:00:00" if zone == "UTC" else "2015-01-04 22:00:00"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("ms"), 2**62),
        (pa.timestamp("us"), 253_402_300_800_000_000),
        (pa.timestamp("us", "UTC"), -62_135_596_800_000_001),
        (pa.date32(), 10_000_000),
    ],
)
def test_read_events_time_outside_the_calendar_names_its_row(tmp_path: Path, kind: pa.DataType, value: int) -> None:
    integers = pa.array([0, value], pa.int32() if pa.types.is_date32(kind) else pa.int64())
    write_failures(tmp_path, integers.cast(kind))
    with pytest.raises(DataError) as caught:
        read_events(tmp_path, FAILURES, ColumnsParams(), "UTC")
    message = "failures.parquet: column datetime: time outside the years 1 to 9999, first in row 1 (counted from 0)"
    assert_says(caught, DataError, message, hint="drop the row")


@pytest.mark.parametrize("values", [[1, 2], ["press 1/A", "50% ü", "%FF"], ["01", "2"]])
def test_read_machine_in_folder_names_is_an_integer_or_text(tmp_path: Path, values: list[Any]) -> None:
    frame = fleet_telemetry(machines=values)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_to_dataset(table, tmp_path / "telemetry", partition_cols=["machineID"])
    expected = frame.sort_values(["machineID", "datetime"], ignore_index=True)
    _, batches = read(tmp_path)
    assert_frame_equal(pd.concat(batches, ignore_index=True), expected)


def test_read_other_keys_in_folder_names_are_ignored(tmp_path: Path) -> None:
    for machine, part in (("1", FIRST), ("2", SECOND)):
        folder = tmp_path / "telemetry" / "year=2015" / f"machineID={machine}" / "_day=1"
        write_parquet(folder / "part.parquet", part.drop_columns("machineID"))
    assert telemetry_of(tmp_path).sensors == ("volt", "rotate")
    assert_reads(tmp_path, FRAME)


def test_read_stored_machine_has_precedence_over_the_folder(tmp_path: Path) -> None:
    write_parquet(tmp_path / "telemetry" / "machineID=9" / "part.parquet", TABLE)
    assert_reads(tmp_path, FRAME)


def test_read_events_and_machines_in_folder_names_are_read(tmp_path: Path) -> None:
    failures = pa.table({"datetime": FIRST["datetime"][:2], "machineID": [2, 1], "failure": ["comp 1", "comp2"]})
    pq.write_to_dataset(failures, tmp_path / "failures", partition_cols=["machineID", "failure"])
    pq.write_to_dataset(pa.table({"machineID": [1, 2], "age": [3, 4]}), tmp_path / "machines", ["machineID"])
    events, machines = read_events(tmp_path, FAILURES, ColumnsParams(), "UTC"), read_machines(tmp_path, ColumnsParams())
    assert events is not None
    assert machines is not None
    assert events["failure"].to_list() == ["comp2", "comp 1"]
    assert machines.to_dict("list") == {"machineID": [1, 2], "age": [3.0, 4.0]}


def test_folder_values_undecodable_escape_is_kept(tmp_path: Path) -> None:
    part = tmp_path / "a%2Fb=%FF" / "x=__HIVE_DEFAULT_PARTITION__" / "part.parquet"
    assert folder_values(tmp_path, part) == {"a/b": "%FF", "x": None}


def test_read_folder_without_a_machine_is_a_missing_value(tmp_path: Path) -> None:
    part = FIRST.drop_columns("machineID")
    write_parquet(tmp_path / "telemetry" / "machineID=__HIVE_DEFAULT_PARTITION__" / "part.parquet", part)
    with pytest.raises(DataError, match="column machineID: missing value"):
        telemetry_of(tmp_path).scan()


def test_find_table_part_outside_the_machine_folders_is_named(tmp_path: Path) -> None:
    part = FIRST.drop_columns("machineID")
    write_parquet(tmp_path / "telemetry" / "machineID=1" / "part.parquet", part)
    write_parquet(tmp_path / "telemetry" / "stray.parquet", part)
    with pytest.raises(SchemaError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry/stray.parquet", "machineID is missing", hint="same columns")


def test_find_table_folder_key_of_another_case_is_suggested(tmp_path: Path) -> None:
    part = FIRST.drop_columns("machineID")
    write_parquet(tmp_path / "telemetry" / "machineid=1" / "part.parquet", part)
    with pytest.raises(SchemaError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "no column 'machineID'", hint="did you mean 'machineid'?")
