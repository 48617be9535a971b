from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdm_cli import manifest
from pdm_cli.errors import TryAgain, UsageError
from pdm_cli.manifest import Recipe
from pdm_cli.outputs import LOGS_COMMAND, check_free, check_growable, list_places, output_folder, swapped_folder

RECIPE = Recipe("preprocess", {}, {}, {"python": "3"}, "0" * 64)


def write_output(folder: Path, content: str = "one") -> None:
    with output_folder(folder, RECIPE) as partial:
        (partial / "table.parquet").write_text(content)
        (partial / "parts").mkdir()
        (partial / "parts" / "a.parquet").write_text(content)


def fail_to_write(folder: Path, error: BaseException) -> None:
    with output_folder(folder, RECIPE) as partial:
        (partial / "table.parquet").write_text("half")
        raise error


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_whole(folder: Path, content: str) -> None:
    assert set(content_of(folder)) == {"table.parquet", "parts/a.parquet", "manifest.json"}
    assert (folder / "table.parquet").read_text() == content
    assert manifest.reasons_to_redo(folder, RECIPE) == []


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
        "import os, sys; from pathlib import Path; from pdm_cli.manifest import Recipe; from pdm_cli import outputs\n"
        "folder = Path(sys.argv[1])\n" + code
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


KILLED_WHILE_WRITING = """
with outputs.output_folder(folder, Recipe("preprocess", {}, {}, {}, "")) as partial:
    (partial / "table.parquet").write_text("half")
    os._exit(9)
"""

KILLED_WHILE_MOVING = """
moves = []
def replace(source, target, move=os.replace):
    moves.append(target)
    os._exit(9) if len(moves) == 2 else move(source, target)
os.replace = replace
with outputs.output_folder(folder, Recipe("preprocess", {}, {}, {}, "")) as partial:
    (partial / "a.parquet").write_text("new")
    (partial / "b.parquet").write_text("new")
"""


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


def test_overwriting_replaces_all_that_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_output(folder)
    check_free(folder, overwrite=True)
    with output_folder(folder, RECIPE) as partial:
        (partial / "parts").write_text("now a file")
    assert set(content_of(folder)) == {"parts", "manifest.json"}


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
    code = "from pdm_cli.writers import name_writer; print(name_writer(), flush=True); input()"
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

    with pytest.raises(UsageError, match=r"table\.parquet: came while pdm worked"):
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
    assert_refused(tmp_path / "other", overwrite=True, message="not written by pdm: logs/job.txt", hint="--out")
    write_logs(tmp_path / "out")
    (tmp_path / "out/logs/mine.txt").write_text("what I saw")
    assert_refused(tmp_path / "out", overwrite=True, message="not written by pdm: logs/mine.txt", hint="--out")


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
