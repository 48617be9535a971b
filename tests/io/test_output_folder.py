"""Output folders change at once and whole, whatever ends the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pdm_cli.errors import UsageError
from pdm_cli.io import manifest
from pdm_cli.io.output_folder import check_free, list_places, output_folder, swapped_folder
from tests.builders.outputs import RECIPE, assert_whole, content_of, write_output


def fail_to_write(folder: Path, error: BaseException) -> None:
    with output_folder(folder, RECIPE) as partial:
        (partial / "table.parquet").write_text("half")
        raise error


@pytest.mark.parametrize("name", ["new", "new/deeper"])
def test_a_folder_that_is_not_there_is_made(tmp_path: Path, name: str) -> None:
    check_free(tmp_path / name, overwrite=False)
    write_output(tmp_path / name)
    assert_whole(tmp_path / name, "one")


def test_an_existing_empty_folder_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    inode = folder.stat().st_ino
    check_free(folder, overwrite=False)
    write_output(folder)
    assert_whole(folder, "one")
    assert folder.stat().st_ino == inode


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "disk")
    check_free(link, overwrite=False)
    write_output(link)
    assert link.is_symlink()
    assert_whole(tmp_path / "disk", "one")


def test_nothing_is_seen_in_the_folder_before_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with output_folder(folder, RECIPE) as partial:
        (partial / "table.parquet").write_text("half")
        assert manifest.read(folder) is None
        assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == []
    assert (folder / "table.parquet").is_file()


def test_the_old_outputs_stand_until_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    before = content_of(folder)
    with output_folder(folder, RECIPE) as partial:
        (partial / "other.parquet").write_text("two")
        assert {name: data for name, data in content_of(folder).items() if not name.startswith(".")} == before
    assert set(content_of(folder)) == {"other.parquet", "manifest.json"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_outputs_as_they_were(tmp_path: Path, error: type[BaseException]) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    before = content_of(folder)
    with pytest.raises(error):
        fail_to_write(folder, error())
    assert content_of(folder) == before
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "parts", "table.parquet"]


@pytest.mark.parametrize("name", ["new", "new/deeper"])
def test_an_error_leaves_no_new_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="stop"):
        fail_to_write(tmp_path / name, ValueError("stop"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_an_existing_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ValueError, match="stop"):
        fail_to_write(folder, ValueError("stop"))
    assert list(folder.iterdir()) == []


def run_and_die(code: str, folder: Path) -> None:
    """Run ``code`` in another process, which ends without any clean-up."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from pdm_cli.io import output_folder; from pdm_cli.io.manifest import Provenance\n"
        "folder = Path(sys.argv[1])\n" + code
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


KILLED_WHILE_WRITING = """
with output_folder.output_folder(folder, Provenance("preprocess", {}, {}, {}, "")) as partial:
    (partial / "table.parquet").write_text("half")
    os._exit(9)
"""
KILLED_WHILE_MOVING = """
moves = []
def replace(source, target, move=os.replace):
    moves.append(target)
    os._exit(9) if len(moves) == 2 else move(source, target)
os.replace = replace
with output_folder.output_folder(folder, Provenance("preprocess", {}, {}, {}, "")) as partial:
    (partial / "a.parquet").write_text("new")
    (partial / "b.parquet").write_text("new")
"""


@pytest.mark.ci
def test_a_killed_run_leaves_no_manifest_and_the_next_one_works(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run_and_die(KILLED_WHILE_WRITING, folder)
    assert manifest.read(folder) is None
    assert not (folder / "table.parquet").exists()
    check_free(folder, overwrite=False)
    write_output(folder)
    assert_whole(folder, "one")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "parts", "table.parquet"]


def test_a_killed_run_leaves_the_old_outputs_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    run_and_die(KILLED_WHILE_WRITING, folder)
    assert manifest.reasons_to_redo(folder, RECIPE) == []
    assert (folder / "table.parquet").read_text() == "one"
    check_free(folder, overwrite=True)
    write_output(folder, "two")
    assert_whole(folder, "two")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "parts", "table.parquet"]


@pytest.mark.parametrize("is_first_run", [True, False])
def test_a_run_killed_while_moving_can_be_run_again(tmp_path: Path, is_first_run: bool) -> None:
    folder = tmp_path / "out"
    if not is_first_run:
        write_output(folder)
    run_and_die(KILLED_WHILE_MOVING, folder)
    assert manifest.read(folder) is None
    check_free(folder, overwrite=True)
    write_output(folder, "two")
    assert_whole(folder, "two")


def test_overwriting_replaces_all_that_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    check_free(folder, overwrite=True)
    with output_folder(folder, RECIPE) as partial:
        (partial / "parts").write_text("now a file")
    assert set(content_of(folder)) == {"parts", "manifest.json"}


def test_files_that_come_while_pdm_works_stay(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    with output_folder(folder, RECIPE) as partial:
        (partial / "table.parquet").write_text("two")
        (folder / "notes.txt").write_text("mine")
        (folder / "parts" / "b.txt").write_text("mine, too")
    assert (folder / "table.parquet").read_text() == "two"
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "parts" / "b.txt").read_text() == "mine, too"
    assert not (folder / "parts" / "a.parquet").exists()


def test_a_file_that_comes_where_an_output_goes_is_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def write_beside_another() -> None:
        with output_folder(folder, RECIPE) as partial:
            (partial / "table.parquet").write_text("two")
            (folder / "table.parquet").write_text("mine")

    with pytest.raises(UsageError, match=r"table\.parquet: appeared while pdm was running"):
        write_beside_another()
    assert content_of(folder) == {"table.parquet": b"mine"}


@pytest.mark.parametrize("failing", range(8))
def test_an_interrupt_in_the_middle_of_the_move_leaves_all_as_it_was(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    before = content_of(folder)
    move, moves = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == failing + 1:
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    interrupted = False
    try:
        write_output(folder)
    except KeyboardInterrupt:
        interrupted = True
    assert interrupted == (moves > failing)
    assert content_of(folder) == before


def test_a_folder_may_bring_its_manifest(tmp_path: Path) -> None:
    write_output(tmp_path / "there")
    with swapped_folder(tmp_path / "here") as partial:
        for name in ("manifest.json", "table.parquet"):
            (partial / name).write_bytes((tmp_path / "there" / name).read_bytes())
    assert set(content_of(tmp_path / "here")) == {"manifest.json", "table.parquet"}
    assert (tmp_path / "here/manifest.json").read_bytes() == (tmp_path / "there/manifest.json").read_bytes()


def test_files_of_killed_runs_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    run_and_die(KILLED_WHILE_WRITING, folder)
    found = [place / "table.parquet" for place in list_places(folder) if (place / "table.parquet").is_file()]
    assert sorted(path.read_text() for path in found) == ["half", "one"]
