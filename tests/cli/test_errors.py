"""Every kind of bad input: one line that names the place, a hint, the exit code, and nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pdm_cli import manifest
from tests.cli.conftest import Outcome, Pdm


def edit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        path = raw / f"{name}.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)

    return spoil


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
    return pd.concat([table, table.iloc[3000:3214]])


def add_unknown_machine(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:2].assign(machineID=999)])


BAD_DATA = {
    "missing table": (
        lambda raw: (raw / "telemetry.parquet").unlink(),
        "telemetry.parquet: not in",
        "the folder holds errors.parquet",
    ),
    "text among numbers": (
        edit("telemetry", lambda t: t.assign(volt=t["volt"].astype(str).where(t.index != 7, "abc"))),
        "telemetry.parquet: column volt: 'abc' is no number, first in row 7",
        "--sensors names the columns",
    ),
    "missing column": (
        edit("telemetry", lambda t: t.rename(columns={"machineID": "machine_id"})),
        "telemetry.parquet: no column 'machineID'",
        "the nearest is 'machine_id'; --machine-column",
    ),
    "missing column of an event table": (
        edit("failures", lambda t: t.rename(columns={"failure": "component"})),
        "failures.parquet: no column 'failure'",
        "--failure-column",
    ),
    "wrong type": (
        edit("telemetry", lambda t: t.assign(datetime=t["datetime"].astype(str))),
        "telemetry.parquet: column datetime is",
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
        "telemetry needs readings",
    ),
    "missing value": (
        edit("telemetry", lambda t: t.assign(datetime=t["datetime"].where(t.index != 7))),
        "telemetry.parquet: column datetime: a value is missing, first in row 7",
        "drop the rows without datetime",
    ),
    "unknown machine": (
        edit("errors", add_unknown_machine),
        "errors.parquet: 2 events of machines that have no telemetry, first (999, 2015-",
        "--on-unknown-machine drop",
    ),
    "machines of another type": (
        edit("errors", lambda t: t.assign(machineID=t["machineID"].astype(str))),
        "errors.parquet: machines are texts, in telemetry they are numbers",
        "same type",
    ),
    "duplicates": (
        edit("telemetry", repeat_rows),
        "telemetry.parquet: 214 duplicated (machineID, datetime) pairs, first (1, 2015-",
        "--on-duplicate first|mean keeps one of each",
    ),
    "not Parquet": (write_csv, "telemetry.parquet: not a Parquet file", "convert it first"),
    "zero bytes": (
        lambda raw: (raw / "telemetry.parquet").write_bytes(b""),
        "telemetry.parquet: the file is empty (0 bytes)",
        "write it again",
    ),
    "truncated": (cut_off, "telemetry.parquet: a Parquet file that ends too early", "copy or write it again"),
    "damaged": (damage, "telemetry.parquet: damaged Parquet file", "copy or write it again"),
    "no regular step": (
        edit("telemetry", lambda t: t.assign(datetime=t["datetime"] + pd.to_timedelta(np.arange(len(t)) ** 2, "s"))),
        "telemetry.parquet: no regular time step",
        "--step-minutes",
    ),
    "machine described twice": (
        edit("machines", lambda t: pd.concat([t, t.iloc[:1]])),
        "machines.parquet: 1 machines stand in more than one row, first 1",
        "keep one row a machine",
    ),
}


def assert_clear(outcome: Outcome, code: int, message: str, hint: str) -> None:
    assert outcome.code == code, outcome.stderr
    error, advice = outcome.stderr.strip().splitlines()[-2:]
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert "Traceback" not in outcome.stderr


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


def test_no_failures_for_a_component_names_it_and_the_way_out(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    failures = pd.read_parquet(raw / "failures.parquet")
    late = failures.assign(failure=failures["failure"].where(failures["datetime"] > "2015-05-01", "comp1"))
    late.to_parquet(raw / "failures.parquet", index=False)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    outcome = pdm("train", "--prepared", tmp_path / "prepared", "--out", tmp_path / "model", "--fast", "--trees", 2)
    assert_clear(outcome, 4, " no failure to learn from before the cutoff", "--components ")


def test_no_failures_at_all_is_said(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t.iloc[:0])(raw)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    outcome = pdm("train", "--prepared", tmp_path / "prepared", "--out", tmp_path / "model")
    assert_clear(outcome, 4, "failures.parquet: the table is empty (0 rows)", "train learns from past failures")


def test_unknown_component_is_refused_with_the_known_ones(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m", "--components", "comp9")
    assert_clear(pdm(*words), 4, "no failures of comp9", "comp1")


BAD_USAGE = {
    "unknown command": (("trian",), "no such command 'trian'", "did you mean pdm train?"),
    "command like no other": (("zzz",), "no such command 'zzz'", "pdm --help"),
    "unknown command of a group": (("jobs", "shwo"), "no such command 'shwo'", "did you mean pdm jobs show?"),
    "unknown command to submit": (("submit", "trian"), "'trian' cannot be submitted", "did you mean train?"),
    "unknown option": (("preprocess", "--dat", "x"), "no such option: --dat", "did you mean --data?"),
    "unknown setting": (
        ("train", "--horizn-hours", "9"),
        "no such option: --horizn-hours",
        "did you mean --horizon-hours?",
    ),
    "option in front": (("--json", "preprocess"), "--json stands before the command", "pdm COMMAND --json"),
    "option like no other": (("preprocess", "--zzz", "x"), "no such option: --zzz", "pdm preprocess --help"),
    "missing option": (("preprocess", "--data", "x"), "missing option '--out'", "pdm preprocess --help"),
    "wrong number": (("train", "--prepared", "x", "--out", "y", "--trees", "many"), "'--trees'", "--help"),
    "number out of bounds": (("train", "--prepared", "x", "--out", "y", "--trees", "0"), "--trees:", "--help"),
    "wrong choice": (("preprocess", "--data", "x", "--out", "y", "--on-duplicate", "last"), "'last'", "--help"),
    "wrong time": (("train", "--prepared", "x", "--out", "y", "--cutoff", "2015-13-01"), "--cutoff:", "--help"),
    "no such folder": (("preprocess", "--data", "nowhere", "--out", "y"), "--data nowhere: no such folder", "folder"),
    "cloud address": (("preprocess", "--data", "azureml:raw:1", "--out", "y"), "not a folder on this machine", "local"),
}


@pytest.mark.parametrize("name", BAD_USAGE)
def test_wrong_usage_ends_in_one_line_with_exit_2(name: str, pdm: Pdm) -> None:
    words, message, hint = BAD_USAGE[name]
    assert_clear(pdm(*words), 2, message, hint)


@pytest.mark.parametrize("word", ["install", "add", "lock", "update", "init", "build", "sync", "use", "venv"])
def test_words_of_the_package_manager_are_answered(word: str, pdm: Pdm) -> None:
    outcome = pdm(word, "requests")
    assert_clear(outcome, 2, "this pdm is pdm-cli, which foretells failures", f"python -m pdm {word} (pdm-project.org)")


@pytest.mark.parametrize("words", [("run", "test"), ("config", "list")])
def test_commands_of_both_tell_the_package_manager_s_way_where_its_words_are_used(
    words: tuple[str, ...], pdm: Pdm
) -> None:
    outcome = pdm(*words)
    assert outcome.code == 2
    assert f"the package manager PDM is python -m pdm {words[0]} (this program is also called" in outcome.stderr


def test_output_folder_that_is_not_empty_needs_overwrite(work: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = pdm("preprocess", "--data", fleet, "--out", work / "prepared")
    assert_clear(outcome, 2, "prepared: not empty", "--overwrite")


def test_output_folder_with_files_of_others_is_never_replaced(fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path, "--overwrite")
    assert_clear(outcome, 2, "not empty, and not written by pdm", "new or empty folder")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_another_command_wrote_is_not_replaced(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--data", fleet, "--overwrite")
    model = Path(shutil.copytree(work / "model", tmp_path / "model"))
    outcome = pdm("preprocess", *words, "--out", model)
    assert_clear(outcome, 2, "holds what pdm train wrote", "--out names a folder of its own")
    assert_clear(
        pdm("predict", *words, "--model", work / "model", "--out", model), 2, "holds what pdm train wrote", "--out"
    )
    assert_clear(pdm("simulate", "--out", model, "--overwrite"), 2, "holds what pdm train wrote", "--out")
    Path(shutil.copytree(work / "model", tmp_path / "work/prepared"))
    outcome = pdm("run", *words, "--out", tmp_path / "work")
    assert_clear(outcome, 2, "prepared: holds what pdm train wrote", "--out")
    assert content(model) == content(tmp_path / "work/prepared") == content(work / "model")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_that_are_nearly_tables_are_named(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    (raw / "failures.parquet").rename(raw / "failure.parquet")
    (raw / "errors.parquet").unlink()
    (raw / "errors.csv").write_text("datetime\n")
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert "not read: failure.parquet (did you mean failures.parquet?)" in outcome.stderr
    assert "not read: errors.csv (pdm import reads CSV files)" in outcome.stderr
    assert "truth.parquet" not in outcome.stderr


def test_run_does_not_write_into_the_raw_tables(raw: Path, pdm: Pdm) -> None:
    before = content(raw)
    assert_clear(pdm("run", "--data", raw, "--out", raw), 2, "is the folder of --data", "another folder")
    assert content(raw) == before


@pytest.mark.parametrize("words", [("run",), ("predict", "--model", "MODEL"), ("preprocess",)], ids=lambda w: w[0])
def test_csv_files_are_not_taken_for_tables(
    words: tuple[str, ...], work: Path, raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    for path in raw.glob("*.parquet"):
        path.with_suffix(".csv").write_text("datetime,machineID\n")
        path.unlink()
    called = [work / "model" if word == "MODEL" else word for word in words]
    outcome = pdm(*called, "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, ".parquet: not in", "pdm import does that with CSV files")
    (raw / "telemetry").mkdir()
    (raw / "telemetry.csv").rename(raw / "telemetry/2015.csv")
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "telemetry/ has no .parquet file", "pdm import does that with CSV files")


def test_output_folder_that_is_the_input_is_refused(work: Path, pdm: Pdm) -> None:
    words = ("detect-anomalies", "--prepared", work / "prepared", "--out", work / "prepared", "--overwrite")
    assert_clear(pdm(*words), 2, "is the folder of --prepared", "another folder")


def test_raw_tables_are_not_taken_for_prepared_ones(fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("detect-anomalies", "--prepared", fleet, "--out", tmp_path / "out", "--jobs", 1)
    assert_clear(outcome, 4, "telemetry.parquet: not a prepared table", "pdm preprocess")
    outcome = pdm("train", "--prepared", fleet, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "features.parquet: not in", "wanted is what pdm preprocess wrote; here are ")


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
        (lambda t: t.drop(index=5).iloc[::-1], "machine 16, 2015-05-31 05:00: does not rise by whole steps of 1 h"),
        (lambda t: pd.concat([t, t.tail(1)]), "machine 16, 2015-05-31 06:00: does not rise by whole steps of 1 h"),
        (lambda t: t.assign(datetime=t["datetime"].where(t.index != 9, None)), "machine or stamp is missing"),
        (lambda t: t.sort_values("datetime", kind="stable"), "rows of the machine do not stand together"),
        (lambda t: t[["machineID", "datetime"]], "no sensor"),
        (lambda t: t.assign(volt=t["volt"].astype(str)), "column volt is"),
        (lambda t: t.assign(volt=1), "column volt is int64, wanted float64"),
        (lambda t: t.assign(datetime=t["datetime"].dt.tz_localize("UTC")), "wanted stamps in UTC without a zone"),
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
    assert_clear(outcome, 4, message, "pdm preprocess makes prepared tables")
    assert "telemetry.parquet: " in outcome.stderr
    assert not (tmp_path / "a").exists()


def test_prepared_tables_with_another_step_or_machines_in_pieces_are_refused(
    work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    prepared = Path(shutil.copytree(work / "prepared", tmp_path / "prepared"))
    words = ("detect-anomalies", "--prepared", prepared, "--out", tmp_path / "a")
    rewrite(prepared, lambda t: t, groups=5)
    assert_clear(pdm(*words), 4, "stands in 2 row groups", "pdm preprocess")
    rewrite(prepared, lambda t: t, step_us="7200000000")
    assert_clear(pdm(*words), 4, "does not rise by whole steps of 2 h", "pdm preprocess")
    for step_us in ("0", "²", ""):
        rewrite(prepared, lambda t: t, step_us=step_us)
        assert_clear(pdm(*words), 4, "not a prepared table", "pdm preprocess")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[labels]\nhorizn_hours = 3\n", "[labels] unknown key 'horizn_hours'", "did you mean 'horizon_hours'?"),
        (
            "[train]\nhorizn_hours = 3\n",
            "[train] unknown key 'horizn_hours'",
            "did you mean 'horizon_hours'? It belongs in section [labels]",
        ),
        ("[label]\nhorizon_hours = 3\n", "unknown section [label]", "did you mean 'labels'?"),
        ("[labels]\nhorizon_hours = 'x'\n", "[labels] horizon_hours: ", "--horizon-hours"),
        ("[labels\n", "not TOML", "sample_config.toml"),
    ],
)
def test_config_errors_end_in_one_line_with_exit_3(
    text: str, message: str, hint: str, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text(text)
    outcome = pdm("run", "--data", fleet, "--out", tmp_path / "out", "--config", tmp_path / "my.toml")
    assert_clear(outcome, 3, message, hint)


def test_wrong_environment_is_a_config_error(
    fleet: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PDM_CLI_HORIZON_HOURS", "soon")
    outcome = pdm("run", "--data", fleet, "--out", tmp_path / "out")
    assert_clear(outcome, 3, "environment: PDM_CLI_HORIZON_HOURS", "--horizon-hours")


def test_errors_are_objects_with_json(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    BAD_DATA["duplicates"][0](raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out", "--json")
    error = outcome.json
    assert error["schema"] == "pdm.error/1"
    assert (error["code"], error["exit"]) == ("data", 4)
    assert "214 duplicated" in error["message"]
    assert error["hint"] == "--on-duplicate first|mean keeps one of each"
    assert error["details"]["count"] == 214


def test_gap_shorter_than_the_horizon_is_refused(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m")
    outcome = pdm(*words, "--cutoff", "2015-03-01", "--test-start", "2015-03-02")
    assert_clear(outcome, 2, "less than the gap of 48 h", "--test-start 2015-03-03T00:00 or later")


def test_cutoff_outside_the_data_is_told_with_their_span(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m")
    assert_clear(pdm(*words, "--cutoff", "2014-03-01"), 4, "no row to train on", "the telemetry spans 2015-01-01")
    assert_clear(pdm(*words, "--cutoff", "2016-03-01"), 4, "no labelled row to test on", "set an earlier --cutoff")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("--test-share", 0.999), "no row to train on before the cutoff", "set a smaller --test-share"),
        (("--test-share", 0.001), "no labelled row to test on", "set a larger --test-share"),
        (("--test-share", 0.97), " no failure to learn from before the cutoff", "set a smaller --test-share"),
        (("--horizon-hours", 9000), "too short to train and test with a horizon of 9000 h", "shorter --horizon-hours"),
        (("--horizon-hours", 9000, "--split", "machine"), "no labelled row to test on", "shorter --horizon-hours"),
        (("--horizon-hours", 1200), "no labelled row to test on", "set a larger --test-share"),
        (("--cutoff", "2015-03-01", "--test-start", "2016-03-01"), "no labelled row", "set an earlier --test-start"),
        (("--folds", 100), "fold 1 of 100 is too short: its ", "set fewer --folds"),
    ],
)
def test_spans_without_rows_are_told_with_the_setting_that_helps(
    words: tuple[object, ...], message: str, hint: str, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    outcome = pdm("train", "--prepared", work / "prepared", "--out", tmp_path / "m", "--fast", *words)
    assert_clear(outcome, 4, message, hint)


@pytest.mark.parametrize("words", [("--data", "", "--out", "w"), ("--data", "raw", "--out", "")])
def test_an_empty_folder_name_is_refused(words: tuple[str, ...], raw: Path, pdm: Pdm) -> None:
    words = tuple(str(raw) if word == "raw" else word for word in words)
    for command in ("run", "preprocess"):
        assert_clear(pdm(command, *words), 2, "the name of the folder is empty", "not set")


def test_a_marker_too_large_for_a_reading_becomes_missing(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("telemetry", lambda t: t.assign(volt=t["volt"].where(t.index != 700, 1.797e308)))(raw)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--jobs", 1, "--fast", "--trees", 2)
    assert outcome.code == 0, outcome.stderr
    assert "1 infinite readings (or over 1e30), now missing (first: machine 1, 2015-01-30 10:00" in outcome.stderr


def test_an_infinite_attribute_is_refused(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("machines", lambda t: t.assign(age=t["age"].where(t["machineID"] != 3, np.inf)))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert_clear(
        outcome, 4, "machines.parquet: column age: inf is no number to learn from, first for machine 3", "leave"
    )


def test_a_blank_failure_is_refused(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t.assign(failure=t["failure"].where(t.index != 2, " ")))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "failures.parquet: column failure: a text is blank, first in row 2", "fill in")


def test_run_refuses_what_training_would_refuse_before_the_long_work(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("run", "--data", raw, "--out", tmp_path / "out")
    outcome = pdm(*words, "--cutoff", "2015-03-01", "--test-start", "2015-02-01")
    assert_clear(outcome, 2, "less than the gap", "or later")
    (raw / "failures.parquet").unlink()
    assert_clear(pdm(*words), 4, f"failures.parquet: not in {raw}", "the folder holds")
    assert not (tmp_path / "out").exists()


def test_the_parent_of_a_stage_folder_gets_a_hint(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "model")
    outcome = pdm("train", "--prepared", work, *words)
    assert_clear(outcome, 4, "telemetry.parquet: not in", f"did you mean {work / 'prepared'}?")
    outcome = pdm("train", "--prepared", work / "prepared", "--anomalies", work, *words)
    assert_clear(outcome, 4, "anomalies.parquet: not in", f"did you mean {work / 'anomalies'}?")


def test_one_stray_stamp_does_not_move_the_split(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    stray = pd.Timestamp("1970-01-01 05:00")
    edit("telemetry", lambda t: t.assign(datetime=t["datetime"].where(t.index != 0, stray)))(raw)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--jobs", 1, "--fast", "--trees", 2, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["split"]["cutoff"].startswith("2015-")


@pytest.mark.parametrize("why", ["", "Unable to allocate 8.00 GiB for an array"])
def test_a_lack_of_memory_is_no_bug(
    why: str, fleet: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: object, **__: object) -> Iterator[None]:
        raise pa.ArrowMemoryError(why)
        yield

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", allocate)
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path / "out")
    assert_clear(outcome, 75, f"not enough memory: {why}" if why else "not enough memory", "fewer --jobs")
    assert not (tmp_path / "out").exists()


def test_mixed_time_zones_are_warned_of(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("telemetry", lambda t: t.assign(datetime=t["datetime"].dt.tz_localize("UTC")))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "warning: stamps of telemetry.parquet carry a time zone, those of errors.parquet" in outcome.stderr


def test_demo_never_replaces_tables_of_others(pdm: Pdm, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/telemetry.parquet").write_text("mine")
    outcome = pdm("demo", "--machines", 24, "--days", 150, "--out", tmp_path)
    assert_clear(outcome, 2, "not written by pdm: telemetry.parquet", "new or empty folder")
    assert (tmp_path / "data/telemetry.parquet").read_text() == "mine"


def test_components_given_twice_count_once(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m", "--fast", "--trees", 2, "--json")
    outcome = pdm(*words, "--components", "comp1,comp1")
    assert outcome.json["events"]["failures"] == outcome.json["components"]["comp1"]["events"]["failures"]


def test_output_paths_may_hold_a_colon(raw: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pdm("preprocess", "--data", raw, "--out", "em:key:x").code == 0


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
