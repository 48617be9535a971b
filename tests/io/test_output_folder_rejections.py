"""Folders that hold what is not to be lost: neither replaced nor added to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdm_cli.errors import TryAgain, UsageError
from pdm_cli.io.manifest import Recipe
from pdm_cli.io.output_folder import LOGS_COMMAND, check_free, check_growable, output_folder
from tests.builders.outputs import assert_whole, content_of, write_output


def assert_refused(folder: Path, *, overwrite: bool, message: str, hint: str) -> None:
    before = content_of(folder)
    with pytest.raises(UsageError) as caught:
        check_free(folder, overwrite=overwrite)
    assert caught.value.exit_code == 2
    assert str(folder) in caught.value.message
    assert message in caught.value.message
    assert hint in str(caught.value.hint)
    assert content_of(folder) == before


def test_an_output_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    assert_refused(tmp_path / "out", overwrite=False, message="not empty", hint="--overwrite")


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["thesis.docx", ".hidden", "manifest.json"])
def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path, name: str, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"schema": "other"}')
    assert_refused(tmp_path / "out", overwrite=overwrite, message="not written by pdm", hint="--out")


@pytest.mark.parametrize("name", ["notes.txt", "parts/notes.txt"])
def test_overwriting_is_refused_where_pdm_did_not_write_every_file(tmp_path: Path, name: str) -> None:
    write_output(tmp_path / "out")
    (tmp_path / "out" / name).write_text("what I saw on site")
    assert_refused(tmp_path / "out", overwrite=True, message="notes.txt", hint="--out")


def test_a_file_is_no_output_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        check_free(path, overwrite=True)
    with pytest.raises(UsageError, match="cannot be written"):
        write_output(path)
    with pytest.raises(UsageError, match="cannot be written"):
        write_output(path / "below")
    assert path.read_text() == "x"


def test_a_folder_that_may_not_be_written_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()

    def deny(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", deny)
    with pytest.raises(UsageError, match="out: cannot be"):
        write_output(folder)


def test_a_folder_whose_manifest_is_damaged_says_so(tmp_path: Path) -> None:
    write_output(tmp_path / "out")
    manifest_file = tmp_path / "out/manifest.json"
    manifest_file.write_bytes(manifest_file.read_bytes()[:-20])
    assert_refused(tmp_path / "out", overwrite=True, message="manifest.json: damaged", hint="--out")


def partial_of(folder: Path, writer: str) -> Path:
    partial = folder / f".pdm-partial-{writer}abc"
    partial.mkdir(parents=True)
    (partial / "features.parquet").write_text("half")
    return partial


@pytest.fixture
def neighbour() -> Iterator[str]:
    """Name of another process that is alive."""
    code = "from pdm_cli.io.writers import name_writer; print(name_writer(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        yield one.stdout.readline().strip()
        one.communicate("\n")


def test_a_folder_that_another_process_writes_to_is_left_to_it(tmp_path: Path, neighbour: str) -> None:
    partial_of(tmp_path / "out", neighbour)
    with pytest.raises(TryAgain, match="another pdm") as caught:
        check_free(tmp_path / "out", overwrite=True)
    assert caught.value.exit_code == 75


def test_what_a_process_with_a_number_that_was_given_anew_left_is_cleared_away(tmp_path: Path, neighbour: str) -> None:
    process, _, machine, _ = neighbour.split("-")
    left = partial_of(tmp_path / "out", f"{process}-1-{machine}-")
    check_free(tmp_path / "out", overwrite=True)
    write_output(tmp_path / "out")
    assert not left.exists()


def test_what_another_machine_writes_is_no_matter_of_numbers_here(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    fresh = partial_of(folder, f"{os.getppid()}-1-0123abcd-")
    stale = partial_of(folder, "1-1-fedc3210-")
    for path in (stale / "features.parquet", stale):
        os.utime(path, (0, 0))
    check_free(folder, overwrite=True)
    write_output(folder)
    # It may still be at work: only what was not touched for a day is given up.
    assert fresh.exists()
    assert not stale.exists()


def write_logs(folder: Path, command: str = LOGS_COMMAND) -> None:
    with output_folder(folder / "logs", Recipe(command, {}, {}, {}, "")) as partial:
        (partial / "job.txt").write_text("error: no failures")


@pytest.mark.parametrize("has_results", [True, False])
def test_fetched_logs_do_not_make_a_folder_foreign(tmp_path: Path, has_results: bool) -> None:
    folder = tmp_path / "out"
    if has_results:
        write_output(folder)
    write_logs(folder)
    # Logs alone are copies: they stand in nobody's way.
    check_free(folder, overwrite=has_results)
    check_free(folder / "logs", overwrite=True)
    write_output(folder, "two")
    assert_whole(folder, "two")


def test_logs_of_someone_else_are_kept(tmp_path: Path) -> None:
    write_logs(tmp_path / "other", command="preprocess")
    assert_refused(tmp_path / "other", overwrite=True, message="holds logs, which pdm preprocess wrote", hint="--out")
    write_logs(tmp_path / "out")
    (tmp_path / "out/logs/mine.txt").write_text("what I saw")
    assert_refused(tmp_path / "out", overwrite=True, message="not written by pdm: logs/mine.txt", hint="--out")


def write_raw(folder: Path, command: str) -> None:
    with output_folder(folder, Recipe(command, {}, {}, {}, "0" * 64)) as partial:
        (partial / "telemetry.parquet").write_text("one")


@pytest.mark.parametrize("command", ["import", "simulate"])
def test_raw_tables_can_be_added_to(command: str, tmp_path: Path) -> None:
    check_growable(tmp_path / "new")
    check_growable(tmp_path)
    write_raw(tmp_path / "raw", command)
    check_growable(tmp_path / "raw")
    (tmp_path / "raw" / "manifest.json").unlink()
    check_growable(tmp_path / "raw")


@pytest.mark.parametrize("command", ["preprocess", "train"])
def test_other_folders_of_pdm_are_not_added_to(command: str, tmp_path: Path) -> None:
    write_raw(tmp_path, command)
    with pytest.raises(UsageError, match=f"holds what pdm {command} wrote") as caught:
        check_growable(tmp_path)
    assert "--out" in str(caught.value.hint)


def test_a_folder_of_something_else_is_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds more than raw tables: letter\.txt"):
        check_growable(tmp_path)


def test_a_folder_whose_manifest_cannot_be_read_is_not_added_to(tmp_path: Path) -> None:
    write_raw(tmp_path, "import")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be told whose"):
        check_growable(tmp_path)
