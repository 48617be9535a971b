"""What training refuses: too few failures, and spans without rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Pdm, assert_clear, edit


@pytest.mark.slow
def test_no_failures_at_all_is_said(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t.iloc[:0])(raw)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    outcome = pdm("train", "--prepared", tmp_path / "prepared", "--out", tmp_path / "model")
    assert_clear(outcome, 4, "failures.parquet: the table is empty (0 rows)", "training requires past failures")
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out")
    assert_clear(outcome, 4, "failures.parquet: the table is empty (0 rows)", "remove the table to measure the health")


def test_unknown_component_is_refused_with_the_known_ones(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m", "--components", "comp9")
    assert_clear(pdm(*words), 4, "no failures of comp9", "comp1")


def test_gap_shorter_than_the_horizon_is_refused(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m")
    outcome = pdm(*words, "--cutoff", "2015-03-01", "--test-start", "2015-03-02")
    assert_clear(outcome, 2, "less than the gap of 48 h", "--test-start 2015-03-03T00:00 or later")
    outcome = pdm(*words, "--test-start", "2015-03-02")
    assert_clear(outcome, 2, "--test-start needs --cutoff", "add --cutoff, at least 48 h earlier")


def test_cutoff_outside_the_data_is_told_with_their_span(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m")
    assert_clear(pdm(*words, "--cutoff", "2014-03-01"), 4, "no row to train on", "the telemetry spans 2015-01-01")
    assert_clear(pdm(*words, "--cutoff", "2016-03-01"), 4, "no labelled row to test on", "set an earlier --cutoff")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ("--test-share", 0.999, "--split", "time"),
            "no row to train on before the cutoff",
            "set a smaller --test-share",
        ),
        (("--test-share", 0.001, "--split", "time"), "no labelled row to test on", "set a larger --test-share"),
        (("--horizon-hours", 9000), "too short to train and test with a horizon of 9000 h", "shorter --horizon-hours"),
        (("--horizon-hours", 9000, "--split", "machine"), "no labelled row to test on", "shorter --horizon-hours"),
        (("--horizon-hours", 1200, "--split", "time"), "no labelled row to test on", "set a larger --test-share"),
        (("--cutoff", "2015-03-01", "--test-start", "2016-03-01"), "no labelled row", "set an earlier --test-start"),
    ],
)
def test_spans_without_rows_are_told_with_the_setting_that_helps(
    words: tuple[object, ...], message: str, hint: str, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    outcome = pdm("train", "--prepared", work / "prepared", "--out", tmp_path / "m", "--fast", *words)
    assert_clear(outcome, 4, message, hint)


def test_run_refuses_what_training_would_refuse_before_the_long_work(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("run", "--data", raw, "--out", tmp_path / "out")
    outcome = pdm(*words, "--cutoff", "2015-03-01", "--test-start", "2015-02-01")
    assert_clear(outcome, 2, "less than the gap", "or later")
    outcome = pdm(*words, "--components", "comp1,comp7")
    assert_clear(
        outcome, 4, "failures.parquet: no failures of comp7", "--components accepts comp1, comp2, comp3, comp4"
    )
    (raw / "failures.parquet").rename(raw / "failures.csv")
    assert_clear(pdm(*words), 4, f"failures.parquet: not in {raw}", "found failures.csv: convert it first")
    assert not (tmp_path / "out").exists()


def test_run_cutoff_before_all_failures_is_rejected_before_the_anomalies(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t[t["datetime"] >= "2015-01-20"])(raw)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--cutoff", "2015-01-15")
    assert_clear(outcome, 4, "have no failure to train on before the cutoff 2015-01-15", "set a later --cutoff")
    assert [path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")] == ["prepared"]


@pytest.mark.slow
def test_split_by_machine_without_failures_to_train_on_names_the_machines(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t[t["machineID"] == t["machineID"].min()])(raw)
    words = ("run", "--data", raw, "--out", tmp_path / "out", "--split", "machine", "--test-share", 0.9)
    outcome = pdm(*words)
    assert_clear(
        outcome,
        4,
        "no failure on the 2 machines to train on (--split machine)",
        "at least 2 failures of a component, on ",
    )


def test_the_parent_of_a_stage_folder_gets_a_hint(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "model")
    outcome = pdm("train", "--prepared", work, *words)
    assert_clear(outcome, 2, "not the output of pdm preprocess", f"did you mean {work / 'prepared'}?")
    outcome = pdm("train", "--prepared", work / "prepared", "--anomalies", work, *words)
    assert_clear(outcome, 2, "not the output of pdm detect-anomalies", f"did you mean {work / 'anomalies'}?")


@pytest.mark.ci
def test_one_stray_stamp_does_not_move_the_split(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    stray = pd.Timestamp("1970-01-01 05:00")
    edit("telemetry", lambda t: t.assign(datetime=t["datetime"].where(t.index != 0, stray)))(raw)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--jobs", 1, "--fast", "--trees", 2, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["split"]["cutoff"].startswith("2015-")


@pytest.mark.ci
def test_components_given_twice_count_once(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", work / "prepared", "--out", tmp_path / "m", "--fast", "--trees", 2, "--json")
    outcome = pdm(*words, "--components", "comp1,comp1")
    assert outcome.json["events"]["failures"] == outcome.json["components"]["comp1"]["events"]["failures"]
