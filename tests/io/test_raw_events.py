"""Tables of events, and attributes of machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pdm_cli.errors import DataError, PdmError, SchemaError
from pdm_cli.io.raw import read_events, read_machines
from pdm_cli.schema import ERRORS, FAILURES, MAINT
from pdm_cli.settings.model import ColumnsParams
from tests.builders.raw import assert_says
from tests.builders.tables import refusal, stamps, write_parquet


def events_frame(column: str = "errorID") -> pd.DataFrame:
    return pd.DataFrame({"datetime": stamps([5, 1, 1, 1]), "machineID": [1, 2, 2, 1], column: ["b", "b", "a", "a"]})


@pytest.mark.parametrize(
    ("table", "column"),
    [(ERRORS, "errorID"), (MAINT, "comp"), (FAILURES, "failure")],
    ids=lambda x: getattr(x, "name", x),
)
def test_events_are_sorted_by_machine_time_and_kind(tmp_path: Path, table: Any, column: str) -> None:
    write_parquet(tmp_path / table.file, events_frame(column).assign(note="ignored"))
    found = read_events(tmp_path, table, ColumnsParams(), "UTC")
    assert found is not None
    assert sorted(found) == sorted(["datetime", "machineID", column])
    assert found["machineID"].to_list() == [1, 1, 2, 2]
    assert found["datetime"].to_list() == stamps([1, 5, 1, 1]).to_list()
    assert found[column].to_list() == ["a", "b", "a", "b"]


def test_event_columns_are_mapped_and_whole_numbers_become_texts(tmp_path: Path) -> None:
    frame = events_frame("code").assign(code=[7, 7, 3, 3]).rename(columns={"machineID": "asset", "datetime": "ts"})
    write_parquet(tmp_path / "errors.parquet", frame)
    columns = ColumnsParams(datetime_column="ts", machine_column="asset", error_column="code")
    found = read_events(tmp_path, ERRORS, columns, "UTC")
    assert found is not None
    assert found["errorID"].to_list() == ["3", "7", "3", "7"]


def test_events_that_are_not_there_are_none(tmp_path: Path) -> None:
    assert read_events(tmp_path, ERRORS, ColumnsParams(), "UTC") is None
    assert read_machines(tmp_path, ColumnsParams()) is None


def test_an_event_table_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    write_parquet(tmp_path / "errors.parquet", events_frame().iloc[:0])
    found = read_events(tmp_path, ERRORS, ColumnsParams(), "UTC")
    assert found is not None
    assert list(found) == ["datetime", "machineID", "errorID"]
    assert len(found) == 0


def test_an_event_table_without_rows_may_have_columns_without_a_type(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(events_frame().iloc[:0], preserve_index=False)
    write_parquet(tmp_path / "errors.parquet", table.set_column(2, "errorID", pa.nulls(0)))
    found = read_events(tmp_path, ERRORS, ColumnsParams(), "UTC")
    assert found is not None
    assert len(found) == 0


@pytest.mark.parametrize(
    ("change", "kind", "words", "hint"),
    [
        (lambda f: f.rename(columns={"errorID": "error"}), SchemaError, ("no column 'errorID'",), "--error-column"),
        (lambda f: f.rename(columns={"errorID": "error"}), SchemaError, ("errors.parquet",), "'error'"),
        (lambda f: f.assign(errorID=1.5), SchemaError, ("errorID", "decimal numbers"), "text"),
        (lambda f: f.assign(datetime="x"), SchemaError, ("datetime", "expected timestamps"), "to_datetime"),
        (lambda f: f.assign(machineID=1.5), SchemaError, ("machineID", "decimal numbers"), "whole numbers"),
        (
            lambda f: f.assign(errorID=["a", None, "b", None]),
            DataError,
            ("errorID", "missing value", "row 1"),
            "errorID",
        ),
        (
            lambda f: f.assign(datetime=f["datetime"].where([True, True, True, False])),
            DataError,
            ("row 3",),
            "datetime",
        ),
    ],
)
def test_a_flawed_event_table_is_refused(
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    kind: type[PdmError],
    words: tuple[str, ...],
    hint: str,
) -> None:
    write_parquet(tmp_path / "errors.parquet", change(events_frame()))
    with pytest.raises(PdmError) as caught:
        read_events(tmp_path, ERRORS, ColumnsParams(), "UTC")
    assert_says(caught, kind, "errors.parquet", *words, hint=hint)


def test_attributes_of_machines_are_numbers_or_texts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"machineID": [2, 1], "age": [3, 4], "model": ["m1", None], "old": [True, False]})
    write_parquet(tmp_path / "machines.parquet", frame)
    found = read_machines(tmp_path, ColumnsParams())
    assert found is not None
    assert found["machineID"].to_list() == [1, 2]
    assert found["age"].to_list() == [4.0, 3.0]
    assert found["age"].dtype == "float64"
    assert found["model"].isna().to_list() == [True, False]
    assert found["old"].to_list() == ["false", "true"]


def test_a_machine_in_two_rows_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "machines.parquet", pd.DataFrame({"machineID": [1, 2, 2], "age": [1, 2, 3]}))
    with pytest.raises(PdmError) as caught:
        read_machines(tmp_path, ColumnsParams())
    assert_says(caught, DataError, "machines.parquet", "first 2", hint="one row")


def test_the_index_that_pandas_writes_is_no_attribute(tmp_path: Path) -> None:
    pd.DataFrame({"machineID": [1, 2], "age": [1, 2]}, index=[7, 3]).to_parquet(tmp_path / "machines.parquet")
    found = read_machines(tmp_path, ColumnsParams())
    assert found is not None
    assert list(found) == ["machineID", "age"]


@pytest.mark.parametrize(
    "values",
    [pa.array([[1.0], [2.0]]), pa.array([2**60 + 1, 1]), pa.array([{"a": 1}, {"a": 2}]), pa.array([b"\xff", b"a"])],
)
def test_an_attribute_of_any_type_ends_in_no_traceback(tmp_path: Path, values: pa.Array) -> None:
    write_parquet(tmp_path / "machines.parquet", pa.table({"machineID": pa.array([1, 2]), "odd": values}))
    error = refusal(lambda: read_machines(tmp_path, ColumnsParams()))
    assert error is None or (isinstance(error, DataError) and "odd" in error.message)


def test_an_attribute_that_bears_a_name_of_the_contract_does_not_replace_the_machine(tmp_path: Path) -> None:
    write_parquet(tmp_path / "machines.parquet", pd.DataFrame({"asset": ["a", "b"], "machineID": [7, 8]}))
    columns = ColumnsParams(machine_column="asset")
    if refusal(lambda: read_machines(tmp_path, columns)) is None:
        found = read_machines(tmp_path, columns)
        assert found is not None
        assert found["machineID"].to_list() == ["a", "b"]
