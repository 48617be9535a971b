"""Bad data of every kind: one line that names the place, a hint, the exit code, and nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pdm_cli.io import manifest
from tests.cli.conftest import Pdm, assert_clear, edit


def cut_off(raw: Path) -> None:
    path = raw / "telemetry.parquet"
    path.write_bytes(path.read_bytes()[:-2000])


def damage(raw: Path) -> None:
    path = raw / "telemetry.parquet"
    content = bytearray(path.read_bytes())
    content[1000:3000] = b"\xff" * 2000
    path.write_bytes(content)


def write_csv(raw: Path) -> None:
    (raw / "telemetry.parquet").write_text("datetime,machineID,volt\n2015-01-01,1,170.5\n")


def repeat_rows(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[3000:3214].assign(volt=0.0)])


def add_unknown_machine(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:2].assign(machineID=999)])


BAD_DATA = {
    "missing table": (
        lambda raw: (raw / "telemetry.parquet").unlink(),
        "telemetry.parquet: not in",
        "the folder contains errors.parquet, failures.parquet, ",
    ),
    "text among numbers": (
        edit("telemetry", lambda t: t.assign(volt=t["volt"].astype(str).where(t.index != 7, "abc"))),
        "telemetry.parquet: column volt: 'abc' is not a number, first in row 7",
        "list the sensor columns with --sensors",
    ),
    "missing column": (
        edit("telemetry", lambda t: t.rename(columns={"machineID": "machine_id"})),
        "telemetry.parquet: no column 'machineID'",
        "rename 'machine_id' to 'machineID' in telemetry.parquet: --machine-column applies to every table",
    ),
    "missing column of an event table": (
        edit("failures", lambda t: t.rename(columns={"failure": "component"})),
        "failures.parquet: no column 'failure'",
        "--failure-column",
    ),
    "wrong type": (
        edit("telemetry", lambda t: t.assign(datetime=t["datetime"].astype(str))),
        "telemetry.parquet: column datetime contains text, expected timestamps",
        "convert it",
    ),
    "no sensor": (
        edit("telemetry", lambda t: t[["datetime", "machineID"]]),
        "telemetry.parquet: no sensor",
        "add readings",
    ),
    "empty table": (
        edit("telemetry", lambda t: t.iloc[:0]),
        "telemetry.parquet: the table is empty (0 rows)",
        "add readings",
    ),
    "missing value": (
        edit("telemetry", lambda t: t.assign(datetime=t["datetime"].where(t.index != 7))),
        "telemetry.parquet: column datetime: missing value, first in row 7 (counted from 0)",
        "drop the rows without datetime",
    ),
    "unknown machine": (
        edit("errors", add_unknown_machine),
        "errors.parquet: 2 events of machines without telemetry, first (999, 2015-",
        "--on-unknown-machine drop",
    ),
    "single event of an unknown machine": (
        edit("errors", lambda t: pd.concat([t, t.iloc[:1].assign(machineID=999)])),
        "errors.parquet: 1 event of a machine without telemetry, first (999, 2015-",
        "--on-unknown-machine drop",
    ),
    "machines of another type": (
        edit("errors", lambda t: t.assign(machineID=t["machineID"].astype(str))),
        "errors.parquet: machineID has strings, but numbers in telemetry",
        "same type",
    ),
    "duplicates": (
        edit("telemetry", repeat_rows),
        "telemetry.parquet: 214 duplicate (machineID, datetime) rows, first (1, 2015-",
        "keep one of each with --on-duplicate first or mean",
    ),
    "not Parquet": (write_csv, "telemetry.parquet: not a Parquet file", "convert it first"),
    "zero bytes": (
        lambda raw: (raw / "telemetry.parquet").write_bytes(b""),
        "telemetry.parquet: empty file (0 bytes)",
        "write it again",
    ),
    "truncated": (cut_off, "telemetry.parquet: truncated Parquet file", "copy or write it again"),
    "damaged": (damage, "telemetry.parquet: damaged Parquet file", "copy or write it again"),
    "no regular step": (
        edit("telemetry", lambda t: t.assign(datetime=t["datetime"] + pd.to_timedelta(np.arange(len(t)) ** 2, "s"))),
        "telemetry.parquet: no regular time step",
        "--step-minutes",
    ),
    "machine described twice": (
        edit("machines", lambda t: pd.concat([t, t.iloc[:1]])),
        "machines.parquet: duplicate machineID rows: 1, first 1",
        "keep one row per machine",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_ends_in_one_line_with_exit_4_and_keeps_old_outputs(
    name: str, raw: Path, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    spoil, message, hint = BAD_DATA[name]
    spoil(raw)
    out = shutil.copytree(work / "prepared", tmp_path / "prepared")
    before = manifest.hash_files(out, out.iterdir())
    outcome = pdm("preprocess", "--data", raw, "--out", out, "--overwrite")
    assert_clear(outcome, 4, message, hint)
    assert manifest.hash_files(out, out.iterdir()) == before


@pytest.mark.parametrize("name", ["duplicates", "truncated"])
def test_bad_data_leaves_no_new_output_folder(name: str, raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    BAD_DATA[name][0](raw)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "new").code == 4
    assert not (tmp_path / "new").exists()


def test_policies_let_duplicates_and_unknown_machines_through(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    BAD_DATA["duplicates"][0](raw)
    BAD_DATA["unknown machine"][0](raw)
    words = ("preprocess", "--data", raw, "--out", tmp_path / "out", "--json")
    outcome = pdm(*words, "--on-duplicate", "first", "--on-unknown-machine", "drop")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["findings"]["duplicates"]["count"] == 214
    assert outcome.json["findings"]["events_without_telemetry"]["count"] == 2


def test_out_of_range_readings_are_refused_if_asked(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("preprocess", "--data", raw, "--out", tmp_path / "out", "--ranges", "volt=100:200")
    outcome = pdm(*words, "--on-out-of-range", "refuse")
    assert_clear(outcome, 4, "readings outside --ranges, first (1, 2015-", "--on-out-of-range missing")


def test_files_that_are_nearly_tables_are_named(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    (raw / "failures.parquet").rename(raw / "failure.parquet")
    (raw / "errors.parquet").unlink()
    (raw / "errors.csv").write_text("datetime\n")
    (raw / "._errors.parquet").write_bytes(b"\0")
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert "not read: failure.parquet (did you mean failures.parquet?)" in outcome.stderr
    assert "not read: errors.csv (pdm import reads CSV files)" in outcome.stderr
    assert "truth.parquet" not in outcome.stderr
    assert "._errors.parquet" not in outcome.stderr


def test_preprocess_empty_parts_are_counted_in_a_warning(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    (raw / "telemetry").mkdir()
    (raw / "telemetry.parquet").rename(raw / "telemetry" / "1.parquet")
    for name in ("2.parquet", "3.parquet"):
        (raw / "telemetry" / name).touch()
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert "telemetry: 2 empty parts skipped" in outcome.stderr


@pytest.mark.parametrize("command", ["preprocess", "run"])
def test_an_empty_folder_is_rejected(command: str, pdm: Pdm, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = pdm(command, "--data", tmp_path / "empty", "--out", tmp_path / "out")
    hint = "it needs telemetry.parquet; pdm import converts CSV logs"
    assert_clear(outcome, 4, f"error: {tmp_path / 'empty'}: the folder is empty", hint)


@pytest.mark.parametrize("command", ["preprocess", "run"])
def test_a_folder_without_telemetry_names_its_files_and_import(
    command: str, raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    (raw / "telemetry.parquet").unlink()
    outcome = pdm(command, "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, f"telemetry.parquet: not in {raw}", "truth.parquet; pdm import converts CSV logs")


@pytest.mark.parametrize("words", [("run",), ("predict", "--model", "MODEL"), ("preprocess",)], ids=lambda w: w[0])
def test_csv_files_are_not_taken_for_tables(
    words: tuple[str, ...], work: Path, raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    for path in raw.glob("*.parquet"):
        path.with_suffix(".csv").write_text("datetime,machineID\n")
        path.unlink()
    called = [work / "model" if word == "MODEL" else word for word in words]
    outcome = pdm(*called, "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, ".parquet: not in", "for CSV files use pdm import")
    (raw / "telemetry").mkdir()
    (raw / "telemetry.csv").rename(raw / "telemetry/2015.csv")
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "telemetry/: no .parquet file", "for CSV files use pdm import")


def test_raw_tables_are_not_taken_for_prepared_ones(fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("detect-anomalies", "--prepared", fleet, "--out", tmp_path / "out", "--jobs", 1)
    assert_clear(outcome, 4, "telemetry.parquet: not a prepared table", "pdm preprocess")
    outcome = pdm("train", "--prepared", fleet, "--out", tmp_path / "out")
    assert_clear(outcome, 2, "not the output of pdm preprocess; contains ", "written by pdm preprocess")


def rewrite(
    prepared: Path, change: Callable[[pd.DataFrame], pd.DataFrame], *, step_us: str = "3600000000", groups: int = 1
) -> None:
    """Write the telemetry anew, with the step that marks it as prepared, in so many row groups."""
    path = prepared / "telemetry.parquet"
    table = pa.Table.from_pandas(change(pd.read_parquet(path)), preserve_index=False)
    table = table.replace_schema_metadata({"step_us": step_us})
    pq.write_table(table, path, row_group_size=max(len(table) // groups, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.drop(index=5).iloc[::-1],
            "machine 16, 2015-05-31 05:00: not a whole number of steps of 1 h after the previous row",
        ),
        (
            lambda t: pd.concat([t, t.tail(1)]),
            "machine 16, 2015-05-31 06:00: not a whole number of steps of 1 h after the previous row",
        ),
        (lambda t: t.assign(datetime=t["datetime"].where(t.index != 9, None)), "machine or time is missing"),
        (lambda t: t.sort_values("datetime", kind="stable"), "rows of the machine are not contiguous"),
        (lambda t: t[["machineID", "datetime"]], "no sensor"),
        (lambda t: t.assign(volt=t["volt"].astype(str)), "column volt is"),
        (lambda t: t.assign(volt=1), "column volt is int64; expected float64"),
        (
            lambda t: t.assign(datetime=t["datetime"].dt.tz_localize("UTC")),
            "expected datetime64 in UTC without a time zone",
        ),
        (lambda t: t.head(0), "telemetry.parquet: no rows"),
    ],
)
@pytest.mark.parametrize("mode", ["causal", "batch"])
def test_prepared_tables_that_pdm_did_not_write_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, mode: str, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    prepared = Path(shutil.copytree(work / "prepared", tmp_path / "prepared"))
    rewrite(prepared, change)
    outcome = pdm("detect-anomalies", "--prepared", prepared, "--out", tmp_path / "a", "--mode", mode)
    assert_clear(outcome, 4, message, "run pdm preprocess to create prepared tables")
    assert "telemetry.parquet: " in outcome.stderr
    assert not (tmp_path / "a").exists()


def test_prepared_tables_with_another_step_or_machines_in_pieces_are_refused(
    work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    prepared = Path(shutil.copytree(work / "prepared", tmp_path / "prepared"))
    words = ("detect-anomalies", "--prepared", prepared, "--out", tmp_path / "a")
    rewrite(prepared, lambda t: t, groups=5)
    assert_clear(pdm(*words), 4, "is in 2 row groups", "pdm preprocess")
    rewrite(prepared, lambda t: t, step_us="7200000000")
    assert_clear(pdm(*words), 4, "not a whole number of steps of 2 h after the previous row", "pdm preprocess")
    for step_us in ("0", "²", ""):
        rewrite(prepared, lambda t: t, step_us=step_us)
        assert_clear(pdm(*words), 4, "not a prepared table", "pdm preprocess")


def test_errors_are_objects_with_json(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    BAD_DATA["duplicates"][0](raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out", "--json")
    error = outcome.json
    assert error["schema"] == "pdm.error/1"
    assert (error["code"], error["exit"]) == ("data", 4)
    assert "214 duplicate" in error["message"]
    assert error["hint"] == "keep one of each with --on-duplicate first or mean"
    assert error["details"]["count"] == 214


@pytest.mark.ci
def test_a_marker_too_large_for_a_reading_becomes_missing(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("telemetry", lambda t: t.assign(volt=t["volt"].where(t.index != 700, 1.797e308)))(raw)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--jobs", 1, "--fast", "--trees", 2)
    assert outcome.code == 0, outcome.stderr
    assert "1 infinite reading (or over 1e30), set to missing (first: machine 1, 2015-01-30 10:00" in outcome.stderr


def test_an_infinite_attribute_is_refused(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("machines", lambda t: t.assign(age=t["age"].where(t["machineID"] != 3, np.inf)))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "machines.parquet: column age: inf is not finite, first for machine 3", "leave")


def test_a_blank_failure_is_refused(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t.assign(failure=t["failure"].where(t.index != 2, " ")))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "failures.parquet: column failure: blank value, first in row 2", "fill in")


@pytest.mark.parametrize("why", ["", "Unable to allocate 8.00 GiB for an array"])
def test_a_lack_of_memory_is_no_bug(
    why: str, fleet: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> Iterator[None]:
        raise pa.ArrowMemoryError(why)
        yield

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", allocate)
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path / "out")
    assert_clear(outcome, 75, f"not enough memory: {why}" if why else "not enough memory", "reduce --jobs")
    assert not (tmp_path / "out").exists()


def test_mixed_time_zones_are_warned_of(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("telemetry", lambda t: t.assign(datetime=t["datetime"].dt.tz_localize("UTC")))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "warning: times in telemetry.parquet have a time zone, those in errors.parquet" in outcome.stderr


def test_a_piece_of_two_periods_is_too_short(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("detect-anomalies", "--prepared", work / "prepared", "--out", tmp_path / "a", "--mode", "batch")
    assert_clear(pdm(*words, "--longterm-days", 1), 2, "longer than two periods", "--longterm-days")


def test_a_bug_tells_no_signature(fleet: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Iterator[None]:
        raise ValueError("https://store/c?sv=1&sig=SECRET&se=2")
        yield

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fail)
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path / "out", "--debug")
    assert outcome.code == 1
    assert "error: ValueError: https://store/c?sv=1&sig=…&se=2" in outcome.stderr
    assert "SECRET" not in outcome.stderr
