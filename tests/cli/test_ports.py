"""Folders of another stage given for a port."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Pdm, assert_clear


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ("train", "--prepared", "anomalies"),
            "--prepared {}/anomalies: contains the output of pdm detect-anomalies",
            "--prepared names the folder with the prepared tables, written by pdm preprocess",
        ),
        (
            ("run", "--data", "prepared"),
            "--data {}/prepared: contains the output of pdm preprocess",
            "--data names the folder with the raw tables",
        ),
        (
            ("run", "--data", "anomalies"),
            "--data {}/anomalies: contains the output of pdm detect-anomalies",
            "--data names the folder with the raw tables",
        ),
    ],
)
def test_port_folder_of_another_stage_is_rejected(
    words: tuple[str, ...], message: str, hint: str, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    command, option, folder = words
    outcome = pdm(command, option, work / folder, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert f"error: {message.format(work)}" in outcome.stderr
    assert f"hint: {hint.format(work)}" in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["predict", "evaluate", "explain"])
def test_port_parent_of_a_model_suggests_the_model(
    command: str, work: Path, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    more = {"predict": ("--out", tmp_path / "out"), "explain": ("--machine", 1)}.get(command, ())
    outcome = pdm(command, "--data", fleet, "--model", work, *more)
    assert outcome.code == 2
    assert f"hint: did you mean {work / 'model'}?" in outcome.stderr


def test_port_of_a_job_suggests_the_model(work: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = pdm("submit", "--dry-run", "predict", "--data", fleet, "--model", work)
    assert outcome.code == 2
    assert f"hint: did you mean {work / 'model'}?" in outcome.stderr


def test_port_of_a_job_rejects_another_stage(work: Path, pdm: Pdm) -> None:
    outcome = pdm("submit", "--dry-run", "train", "--prepared", work / "anomalies")
    assert outcome.code == 2
    assert "contains the output of pdm detect-anomalies" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "made_by"),
    [
        (("train", "--prepared"), "preprocess"),
        (("detect-anomalies", "--prepared"), "preprocess"),
        (("predict", "--data", "DATA", "--model"), "train"),
    ],
)
def test_port_empty_or_foreign_folder_is_rejected(
    words: tuple[str, ...], made_by: str, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    called = [fleet if word == "DATA" else word for word in words]
    outcome = pdm(*called, tmp_path / "in", "--out", tmp_path / "out")
    hint = f"{words[-1]} names the folder with the "
    assert_clear(outcome, 2, f"{words[-1]} {tmp_path / 'in'}: the folder is empty", hint)
    (tmp_path / "in/notes.txt").write_text("mine")
    outcome = pdm(*called, tmp_path / "in", "--out", tmp_path / "out")
    assert_clear(outcome, 2, f"not the output of pdm {made_by}; contains notes.txt", hint)


def test_port_raw_tables_of_pdm_are_rejected(pdm: Pdm, tmp_path: Path) -> None:
    assert pdm("simulate", "--out", tmp_path / "raw", "--machines", 2, "--days", 5).code == 0
    for command in ("train", "detect-anomalies"):
        outcome = pdm(command, "--prepared", tmp_path / "raw", "--out", tmp_path / "out")
        assert_clear(outcome, 2, "contains the output of pdm simulate", "written by pdm preprocess")
