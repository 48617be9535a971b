"""Raw telemetry: what is read of any layout, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pdm_cli.errors import DataError, NotEnoughData, PdmError
from pdm_cli.io import raw
from pdm_cli.io.raw import read_events
from pdm_cli.schema import ERRORS
from pdm_cli.settings.model import ColumnsParams
from tests.builders.raw import MACHINES, ROWS, assert_says, read, telemetry_of, write_parts_by_machine, write_whole
from tests.builders.tables import HOUR_US, START, fleet_telemetry, machine_telemetry, refusal, stamps, write_parquet


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read few rows at a time, so that machines begin and end inside, at and across the pieces."""
    monkeypatch.setattr(raw, "PIECE_ROWS", 97)
    monkeypatch.setattr(raw, "BATCH_ROWS", 2 * ROWS + 5)


def write_in_row_groups(rows: int) -> Callable[[Path, pd.DataFrame], None]:
    return lambda folder, frame: write_parquet(folder / "telemetry.parquet", frame, row_group_size=rows) and None


def write_by_time(folder: Path, frame: pd.DataFrame) -> None:
    write_whole(folder, frame.sort_values(["datetime", "machineID"]))


def write_shuffled(folder: Path, frame: pd.DataFrame) -> None:
    write_whole(folder, frame.sample(frac=1, random_state=1))


def write_machines_backwards(folder: Path, frame: pd.DataFrame) -> None:
    write_whole(folder, frame.sort_values(["machineID", "datetime"], ascending=[False, True]))


def write_times_backwards(folder: Path, frame: pd.DataFrame) -> None:
    write_whole(folder, frame.sort_values(["machineID", "datetime"], ascending=[True, False]))


def write_parts_by_day(folder: Path, frame: pd.DataFrame) -> None:
    for day, own in frame.groupby(frame["datetime"].dt.date):
        write_parquet(folder / "telemetry" / f"day={day}" / "part-0.parquet", own)


def write_parts_with_an_empty_one(folder: Path, frame: pd.DataFrame) -> None:
    write_parquet(folder / "telemetry" / "a.parquet", frame.iloc[:0])
    write_parquet(folder / "telemetry" / "b.parquet", frame.iloc[:100])
    write_parquet(folder / "telemetry" / "c.parquet", frame.iloc[:0])
    write_parquet(folder / "telemetry" / "d.parquet", frame.iloc[100:])


LAYOUTS = [
    write_whole,
    write_in_row_groups(1),
    write_in_row_groups(ROWS),
    write_in_row_groups(77),
    write_by_time,
    write_shuffled,
    write_machines_backwards,
    write_times_backwards,
    write_parts_by_machine,
    write_parts_by_day,
    write_parts_with_an_empty_one,
]


def as_text(machine: int) -> str:
    return f"press {machine:02d}"


@pytest.mark.parametrize("rows_in_memory", [2_000_000, 130, 10])
@pytest.mark.parametrize("machine_of", [int, as_text])
@pytest.mark.parametrize("write", LAYOUTS)
def test_the_batches_do_not_depend_on_the_layout_of_the_file(
    tmp_path: Path, write: Callable[[Path, pd.DataFrame], None], machine_of: Callable[[int], Any], rows_in_memory: int
) -> None:
    frame = fleet_telemetry(machines=[machine_of(m) for m in MACHINES], rows=ROWS)
    write(tmp_path, frame)
    scan, batches = read(tmp_path, rows_in_memory=rows_in_memory, step_minutes=60.0)
    assert scan.rows == {machine_of(m): ROWS for m in MACHINES}
    assert list(scan.rows) == sorted(scan.rows)
    assert [batch["machineID"].nunique() for batch in batches] == [2, 2, 2, 1]
    assert_frame_equal(pd.concat(batches, ignore_index=True), frame, check_exact=True)


@pytest.mark.parametrize("write", LAYOUTS)
def test_the_step_is_found_in_any_layout_of_the_file(
    tmp_path: Path, write: Callable[[Path, pd.DataFrame], None]
) -> None:
    write(tmp_path, fleet_telemetry(machines=MACHINES, rows=ROWS))
    assert telemetry_of(tmp_path).scan().step_us == HOUR_US


def test_months_in_parts_are_read_as_one_table(tmp_path: Path) -> None:
    frame = fleet_telemetry(rows=24 * 70)
    for month, own in frame.groupby(frame["datetime"].dt.strftime("%Y-%m")):
        write_parquet(tmp_path / "telemetry" / f"{month}.parquet", own)
    _, batches = read(tmp_path)
    assert_frame_equal(pd.concat(batches, ignore_index=True), frame, check_exact=True)


def test_a_machine_larger_than_a_batch_stays_whole(tmp_path: Path) -> None:
    frame = fleet_telemetry(machines=(1, 2), rows=500)
    write_shuffled(tmp_path, frame)
    for rows_in_memory in (2_000_000, 100):
        _, batches = read(tmp_path, rows_in_memory=rows_in_memory, step_minutes=60.0)
        assert [batch["machineID"].unique().tolist() for batch in batches] == [[1], [2]]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    seed=st.integers(0, 100),
    row_group=st.integers(1, 90),
    rows_in_memory=st.sampled_from([1, 40, 10_000]),
    order=st.sampled_from(["machine", "time", "none"]),
)
def test_any_order_of_the_rows_gives_the_same_batches(
    tmp_path: Path, sizes: list[int], seed: int, row_group: int, rows_in_memory: int, order: str
) -> None:
    hours = range(max(sizes))
    frame = pd.concat(
        [machine_telemetry(m, hours[:size], volt=np.arange(size) + 100 * m) for m, size in enumerate(sizes)],
        ignore_index=True,
    )
    stored = {
        "machine": frame,
        "time": frame.sort_values("datetime", kind="stable"),
        "none": frame.sample(frac=1, random_state=seed),
    }[order]
    write_parquet(tmp_path / "telemetry.parquet", stored, row_group_size=row_group)
    expected = list(raw.pack_machines([frame], raw.BATCH_ROWS))
    _, batches = read(tmp_path, rows_in_memory=rows_in_memory, step_minutes=60.0)
    assert len(batches) == len(expected)
    for found, wanted in zip(batches, expected, strict=True):
        assert_frame_equal(found, wanted, check_exact=True)


@pytest.mark.parametrize("rows_in_memory", [2_000_000, 10])
def test_rows_of_the_same_stamp_keep_their_order(tmp_path: Path, rows_in_memory: int) -> None:
    machines = [2, 1] * 50
    frame = pd.DataFrame({"datetime": START, "machineID": machines, "volt": np.arange(100.0)})
    write_parquet(tmp_path / "telemetry.parquet", frame.astype({"datetime": "datetime64[us]"}))
    _, batches = read(tmp_path, step_minutes=60.0, rows_in_memory=rows_in_memory)
    volt = pd.concat(batches)["volt"].to_list()
    assert volt == [*range(1, 100, 2), *range(0, 100, 2)]


def test_leaving_off_half_way_leaves_no_scratch_files(tmp_path: Path) -> None:
    write_shuffled(tmp_path, fleet_telemetry(machines=MACHINES))
    telemetry = telemetry_of(tmp_path, rows_in_memory=70, step_minutes=60.0)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    batches = telemetry.batches(telemetry.scan(), scratch)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert list(scratch.iterdir()) == []


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    frame = fleet_telemetry()
    write_whole(tmp_path, frame.rename(columns={"datetime": "ts", "machineID": "asset"}))
    _, batches = read(tmp_path, ColumnsParams(datetime_column="ts", machine_column="asset"))
    assert_frame_equal(pd.concat(batches, ignore_index=True), frame)


def test_a_sensor_that_bears_a_name_of_the_contract_does_not_replace_the_machine(tmp_path: Path) -> None:
    frame = fleet_telemetry().assign(asset=lambda f: "press " + f["machineID"].astype(str))
    write_whole(tmp_path, frame.drop(columns="rotate"))
    if refusal(lambda: read(tmp_path, ColumnsParams(machine_column="asset"))) is None:
        _, batches = read(tmp_path, ColumnsParams(machine_column="asset"))
        assert set(pd.concat(batches)["machineID"]) == {"press 1", "press 2", "press 3"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.int8(), [1, 2]),
        (pa.int32(), [1, 2]),
        (pa.uint64(), [1, 2]),
        (pa.string(), ["1", "2"]),
        (pa.large_string(), ["1", "2"]),
        (pa.string_view(), ["1", "2"]),
        (pa.dictionary(pa.int32(), pa.string()), ["1", "2"]),
        (pa.dictionary(pa.int8(), pa.int64()), [1, 2]),
    ],
)
def test_machines_are_integers_or_texts(tmp_path: Path, kind: pa.DataType, expected: list[Any]) -> None:
    table = pa.Table.from_pandas(fleet_telemetry(machines=(1, 2)), preserve_index=False)
    plain = table["machineID"]
    if pa.types.is_dictionary(kind):
        machines = plain.cast(kind.value_type).dictionary_encode().cast(kind)
    else:
        machines = plain.cast(pa.string()).cast(kind) if not pa.types.is_integer(kind) else plain.cast(kind)
    write_parquet(tmp_path / "telemetry.parquet", table.set_column(0, "machineID", machines))
    scan, batches = read(tmp_path)
    assert list(scan.rows) == expected
    assert pd.concat(batches)["machineID"].unique().tolist() == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_stamps_with_a_zone_become_utc(tmp_path: Path, unit: str, zone: str) -> None:
    frame = fleet_telemetry(rows=24 * 20)
    aware = frame["datetime"].dt.tz_localize("UTC").dt.tz_convert(zone).dt.as_unit(unit)
    write_whole(tmp_path, frame.assign(datetime=aware))
    _, batches = read(tmp_path, timezone="Asia/Tokyo")
    assert_frame_equal(pd.concat(batches, ignore_index=True), frame)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "+05:30", "-03:00"])
def test_stamps_without_a_zone_are_of_the_given_one(tmp_path: Path, zone: str) -> None:
    frame = fleet_telemetry()
    local = frame["datetime"].dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)
    write_whole(tmp_path, frame.assign(datetime=local))
    write_parquet(
        tmp_path / "errors.parquet", pd.DataFrame({"datetime": local[:2], "machineID": 1, "errorID": "error1"})
    )
    _, batches = read(tmp_path, timezone=zone)
    assert_frame_equal(pd.concat(batches, ignore_index=True), frame)
    events = read_events(tmp_path, ERRORS, ColumnsParams(), zone)
    assert events is not None
    assert events["datetime"].to_list() == frame["datetime"][:2].to_list()


@pytest.mark.parametrize("local", ["2015-03-29 02:30", "2015-10-25 02:30"])
def test_a_local_stamp_that_is_no_one_instant_is_refused(tmp_path: Path, local: str) -> None:
    frame = (
        fleet_telemetry(machines=(1,))
        .head(2)
        .assign(datetime=pd.DatetimeIndex([local, "2015-11-01 00:00"]).as_unit("us"))
    )
    write_whole(tmp_path, frame)
    with pytest.raises(PdmError) as caught:
        read(tmp_path, timezone="Europe/Berlin")
    assert_says(caught, DataError, "telemetry.parquet", "datetime", local, hint="--timezone +01:00")


def test_a_time_zone_that_is_not_known_is_no_fault_of_the_data(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry())
    with pytest.raises((PdmError, ValueError)) as caught:
        read(tmp_path, timezone="Europe/Berln")
    assert "Europe/Berln" in str(caught.value)
    assert getattr(caught.value, "exit_code", 2) in (2, 3)


def test_the_step_is_the_most_common_one(tmp_path: Path) -> None:
    hours = [0, 0.5, 1, 1.5, 9, 9.5, 10, 11]
    write_whole(tmp_path, machine_telemetry(1, hours, volt=hours))
    assert telemetry_of(tmp_path).scan().step_us == HOUR_US // 2


def test_time_between_two_machines_is_no_step(tmp_path: Path) -> None:
    frame = pd.concat([machine_telemetry(m, [m / 10, m / 10 + 2], volt=[1, 2]) for m in range(1, 9)])
    write_by_time(tmp_path, frame)
    assert telemetry_of(tmp_path).scan().step_us == 2 * HOUR_US


def test_the_given_step_goes_before_the_one_found(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry())
    assert telemetry_of(tmp_path, step_minutes=30.0).scan().step_us == HOUR_US // 2


def test_irregular_readings_are_refused_unless_a_step_is_given(tmp_path: Path) -> None:
    hours = np.cumsum(np.arange(1, 20) / 10)
    write_whole(tmp_path, machine_telemetry(1, hours.tolist(), volt=hours))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path).scan()
    assert_says(caught, DataError, "telemetry.parquet", "no regular time step", hint="--step-minutes")
    assert telemetry_of(tmp_path, step_minutes=60.0).scan().step_us == HOUR_US


def test_one_reading_a_machine_tells_no_step(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry(rows=1))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path).scan()
    assert_says(caught, NotEnoughData, "telemetry.parquet", "time step", hint="--step-minutes")


def test_rows_before_the_row_above_are_counted(tmp_path: Path) -> None:
    frame = pd.concat(
        [
            machine_telemetry(1, [0, 1, 2, 3], volt=[1, 2, 3, 4]),
            machine_telemetry(2, [0, 2, 1, 3, 2.5], volt=[1, 2, 3, 4, 5]),
        ]
    )
    write_whole(tmp_path, frame)
    scan = telemetry_of(tmp_path).scan()
    assert scan.in_order
    assert scan.out_of_order == 2
    assert scan.first_out_of_order.to_dict("records") == [{"machineID": 2, "datetime": stamps([1])[0]}]


def test_the_first_row_out_of_order_is_the_first_in_the_file(tmp_path: Path) -> None:
    rows = [(1, 0), (2, 5), (2, 4), (1, 2), (1, 1)]
    frame = pd.concat([machine_telemetry(machine, [hour], volt=[1]) for machine, hour in rows])
    write_whole(tmp_path, frame)
    scan = telemetry_of(tmp_path, step_minutes=60.0).scan()
    assert scan.out_of_order == 2
    assert scan.first_out_of_order.to_dict("records") == [{"machineID": 2, "datetime": stamps([4])[0]}]


def test_interleaved_machines_are_not_out_of_order(tmp_path: Path) -> None:
    write_by_time(tmp_path, fleet_telemetry(machines=MACHINES))
    scan = telemetry_of(tmp_path).scan()
    assert not scan.in_order
    assert scan.out_of_order == 0
    assert len(scan.first_out_of_order) == 0


def test_every_other_numeric_column_is_a_sensor(tmp_path: Path) -> None:
    frame = fleet_telemetry().assign(
        count=np.arange(180, dtype="int16"), note="x", ok=True, amps=np.float32(0.5), seen=START
    )
    write_whole(tmp_path, frame)
    telemetry = telemetry_of(tmp_path)
    assert telemetry.sensors == ("volt", "rotate", "count", "amps")
    assert telemetry.ignored == ("note", "ok", "seen")
    _, batches = read(tmp_path)
    assert set(batches[0].dtypes[["count", "amps"]].astype(str)) == {"float64"}


def test_named_sensors_are_the_only_ones(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry())
    telemetry = telemetry_of(tmp_path, ColumnsParams(sensors=("rotate",)))
    assert telemetry.sensors == ("rotate",)
    assert telemetry.ignored == ("volt",)


def test_the_index_that_pandas_writes_is_no_sensor(tmp_path: Path) -> None:
    shuffled = fleet_telemetry().sample(frac=1, random_state=0)
    shuffled.to_parquet(tmp_path / "telemetry.parquet")
    assert telemetry_of(tmp_path).sensors == ("volt", "rotate")


def test_a_missing_reading_is_nan(tmp_path: Path) -> None:
    frame = fleet_telemetry().assign(count=pd.array([1, None] * 90, dtype="Int64"))
    write_whole(tmp_path, frame)
    _, batches = read(tmp_path)
    assert batches[0]["count"].isna().to_list()[:4] == [False, True, False, True]


def test_a_whole_number_too_long_for_a_float_is_rounded(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry().assign(serial=2**60 + 1))
    _, batches = read(tmp_path)
    assert batches[0]["serial"].iloc[0] == 2.0**60


def test_parts_that_differ_only_in_what_may_be_missing_are_one_table(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(fleet_telemetry(machines=(1,)), preserve_index=False)
    required = pa.schema([field.with_nullable(False) for field in table.schema])
    write_parquet(tmp_path / "telemetry" / "1.parquet", table)
    write_parquet(tmp_path / "telemetry" / "2.parquet", table.cast(required))
    assert telemetry_of(tmp_path).sensors == ("volt", "rotate")


def test_parts_in_folders_named_like_files_are_read(tmp_path: Path) -> None:
    for machine, own in fleet_telemetry().groupby("machineID"):
        write_parquet(tmp_path / "telemetry" / f"{machine}.parquet" / "part-0.parquet", own)
    _, batches = read(tmp_path)
    assert_frame_equal(pd.concat(batches, ignore_index=True), fleet_telemetry())
