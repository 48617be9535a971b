"""Raw telemetry that is refused, with the place and a way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pdm_cli.errors import DataError, NotEnoughData, PdmError, SchemaError
from pdm_cli.io import raw
from pdm_cli.schema import ERRORS
from pdm_cli.settings.model import ColumnsParams
from tests.builders.raw import MACHINES, ROWS, assert_says, read, telemetry_of, write_parts_by_machine, write_whole
from tests.builders.tables import fleet_telemetry, refusal, write_parquet


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read few rows at a time, so that machines begin and end inside, at and across the pieces."""
    monkeypatch.setattr(raw, "PIECE_ROWS", 97)
    monkeypatch.setattr(raw, "BATCH_ROWS", 2 * ROWS + 5)


def test_missing_telemetry_is_refused_with_what_the_folder_holds(tmp_path: Path) -> None:
    write_parquet(tmp_path / "readings.parquet", fleet_telemetry())
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry.parquet", str(tmp_path), hint="readings.parquet")


def test_an_empty_folder_of_parts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "telemetry").mkdir()
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry/", hint="telemetry.parquet")


@pytest.mark.parametrize(
    ("renamed", "nearest", "option"),
    [
        ({"machineID": "machine_id"}, "'machine_id'", "--machine-column"),
        ({"datetime": "date_time"}, "'date_time'", "--datetime-column"),
        ({"datetime": "t", "machineID": "id"}, "t, ", "--machine-column"),
    ],
)
def test_a_missing_column_is_refused_with_the_nearest_name(
    tmp_path: Path, renamed: dict[str, str], nearest: str, option: str
) -> None:
    write_whole(tmp_path, fleet_telemetry().rename(columns=renamed))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry.parquet", "no column", hint=option)
    assert nearest in str(caught.value.hint)


def test_a_missing_sensor_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry())
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path, ColumnsParams(sensors=("volts",)))
    assert_says(caught, SchemaError, "telemetry.parquet", "'volts'", hint="'volt'")


@pytest.mark.parametrize(
    ("column", "values", "hint"),
    [
        ("datetime", "2015-01-01 06:00:00", "pandas.to_datetime"),
        ("datetime", 1420092000, "pandas.to_datetime"),
        ("machineID", 1.0, "whole numbers or text"),
        ("machineID", True, "whole numbers or text"),
    ],
)
def test_a_key_column_of_a_wrong_type_is_refused(tmp_path: Path, column: str, values: Any, hint: str) -> None:
    write_whole(tmp_path, fleet_telemetry().assign(**{column: values}))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry.parquet", column, "expected", hint=hint)


def test_a_named_sensor_that_is_no_number_is_refused(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry().assign(volt="high"))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path, ColumnsParams(sensors=("volt",)))
    assert_says(caught, SchemaError, "telemetry.parquet", "volt", hint="--sensors")


def test_telemetry_without_a_sensor_is_refused(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry()[["machineID", "datetime"]].assign(note="x"))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry.parquet", "no sensor", hint="readings")


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry().iloc[:0])
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path).scan()
    assert_says(caught, NotEnoughData, "telemetry.parquet", "0 rows", hint="readings")


@pytest.mark.parametrize("column", ["machineID", "datetime"])
def test_a_row_without_machine_or_time_is_refused_by_its_number(tmp_path: Path, column: str) -> None:
    frame = fleet_telemetry(machines=MACHINES).astype({"machineID": "Int64"})
    frame.loc[[123, 140], column] = None
    write_whole(tmp_path, frame)
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path).scan()
    assert_says(caught, DataError, "telemetry.parquet", column, "missing value", "row 123", hint=column)


def test_a_file_and_a_folder_of_telemetry_are_refused(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry())
    write_parts_by_machine(tmp_path, fleet_telemetry())
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry.parquet", "telemetry/", hint="keep one")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.rename(columns={"volt": "voltage"}), ("volt",)),
        (lambda f: f.assign(volt="high"), ("volt contains text instead of decimal numbers",)),
        (lambda f: f.assign(extra=1.0), ("extra",)),
        (lambda f: f.drop(columns="rotate"), ("rotate",)),
    ],
)
def test_parts_of_different_columns_are_refused(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], words: tuple[str, ...]
) -> None:
    write_parquet(tmp_path / "telemetry" / "1.parquet", fleet_telemetry(machines=(1,)))
    write_parquet(tmp_path / "telemetry" / "2.parquet", change(fleet_telemetry(machines=(2,))))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, "telemetry/2.parquet", "telemetry/1.parquet", *words, hint="same columns")


@pytest.mark.parametrize("bad", [None, float("nan")])
def test_machines_with_a_missing_value_name_its_row(tmp_path: Path, bad: float | None) -> None:
    frame = fleet_telemetry(machines=MACHINES).astype({"machineID": "float64"})
    values = frame["machineID"].tolist()
    values[123] = bad
    table = pa.Table.from_pandas(frame, preserve_index=False)
    index = table.column_names.index("machineID")
    write_parquet(tmp_path / "telemetry.parquet", table.set_column(index, "machineID", pa.array(values, pa.float64())))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(
        caught,
        SchemaError,
        "column machineID: missing value, first in row 123 (counted from 0); the column contains decimal numbers, "
        "expected whole numbers or text",
        hint="drop the rows without machineID, then convert it to whole numbers or text",
    )


def test_decimal_machines_are_rejected_in_plain_words(tmp_path: Path) -> None:
    write_whole(tmp_path, fleet_telemetry().astype({"machineID": "float64"}))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(
        caught,
        SchemaError,
        "column machineID contains decimal numbers, expected whole numbers or text",
        hint="convert it to whole numbers or text",
    )


def test_a_word_among_text_times_is_named_with_its_row(tmp_path: Path) -> None:
    frame = fleet_telemetry(machines=MACHINES)
    frame["datetime"] = frame["datetime"].astype(str).where(frame.index != 77, "yesterday")
    write_whole(tmp_path, frame)
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    words = "column datetime contains text, expected timestamps; 'yesterday' in row 77 (counted from 0) is not a time"
    assert_says(caught, SchemaError, words, hint="fix such values, then convert it")


def test_text_times_of_another_format_name_no_row(tmp_path: Path) -> None:
    frame = fleet_telemetry(machines=MACHINES)
    write_whole(tmp_path, frame.assign(datetime=frame["datetime"].dt.strftime("%d.%m.%Y %H:%M")))
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert caught.value.message == "telemetry.parquet: column datetime contains text, expected timestamps"


@pytest.mark.parametrize(("renamed", "option"), [("datetime", "--datetime-column"), ("machineID", "--machine-column")])
def test_a_column_renamed_in_one_table_is_to_be_renamed_there(tmp_path: Path, renamed: str, option: str) -> None:
    frame = fleet_telemetry()
    events = frame[["datetime", "machineID"]].head(2).assign(errorID="e1")
    write_parquet(tmp_path / "errors.parquet", events)
    write_whole(tmp_path, frame.rename(columns={renamed: f"my_{renamed}"}))
    hint = f"in telemetry.parquet: {option} applies to every table"
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, SchemaError, f"no column '{renamed}'", hint=f"rename 'my_{renamed}' to '{renamed}' {hint}")


def test_a_column_renamed_everywhere_but_in_one_table_is_to_be_renamed_there(tmp_path: Path) -> None:
    frame = fleet_telemetry().rename(columns={"datetime": "time"})
    write_whole(tmp_path, frame)
    events = frame[["time", "machineID"]].head(2).assign(errorID="e1").rename(columns={"time": "datetime"})
    write_parquet(tmp_path / "errors.parquet", events)
    with pytest.raises(PdmError) as caught:
        raw.read_events(tmp_path, ERRORS, ColumnsParams(datetime_column="time"), "UTC")
    hint = "rename 'datetime' to 'time' in errors.parquet: --datetime-column applies to every table"
    assert_says(caught, SchemaError, "errors.parquet: no column 'time'", hint=hint)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    write_parts_by_machine(tmp_path, fleet_telemetry())
    part = tmp_path / "telemetry" / "part-2.parquet"
    part.write_bytes(part.read_bytes()[:-4])
    with pytest.raises(PdmError) as caught:
        telemetry_of(tmp_path)
    assert_says(caught, DataError, "part-2.parquet", "truncated", hint="again")


def test_a_folder_named_like_the_file_is_not_called_missing(tmp_path: Path) -> None:
    # Spark and Dask write a folder of parts under the name of a file.
    write_parquet(tmp_path / "telemetry.parquet" / "part-0.parquet", fleet_telemetry())
    error = refusal(lambda: read(tmp_path))
    assert error is None or ("folder" in error.message and "not in" not in error.message)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    frame = fleet_telemetry()
    table = pa.Table.from_pandas(frame, preserve_index=False).append_column("volt", pa.array(frame["rotate"]))
    write_parquet(tmp_path / "telemetry.parquet", table)
    with pytest.raises(PdmError) as caught:
        read(tmp_path)
    assert "volt" in caught.value.message
    assert caught.value.exit_code == 4
