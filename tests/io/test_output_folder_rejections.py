"""Output folders whose content pdm must not replace or append to."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdm_cli.errors import TryAgain, UsageError
from pdm_cli.io import manifest
from pdm_cli.io.manifest import Provenance
from pdm_cli.io.output_folder import (
    LOCK_FILE,
    LOGS_COMMAND,
    SOFT_LOCK_FILE,
    check_free,
    check_growable,
    output_folder,
    swapped_folder,
)
from tests.builders.outputs import RECIPE, assert_whole, content_of, write_output


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
    assert_refused(tmp_path / "out", overwrite=overwrite, message="contains files not written by pdm", hint="--out")


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
    assert_refused(tmp_path / "out", overwrite=True, message="manifest.json: manifest is corrupt", hint="--out")


HOLD = """
import sys
from pathlib import Path
from pdm_cli.io.manifest import Provenance
from pdm_cli.io.output_folder import output_folder
with output_folder(Path(sys.argv[1]), Provenance("preprocess", {}, {}, {}, "")) as partial:
    (partial / "features.parquet").write_text("half")
    print(partial, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is writing to ``out``."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip()
        yield process
        process.kill()


@pytest.mark.parametrize("write", [write_output, lambda folder: check_free(folder, overwrite=True), check_growable])
def test_output_folder_in_use_by_another_process_is_a_temporary_error(
    tmp_path: Path, writer: subprocess.Popen[str], write: Callable[[Path], None]
) -> None:
    with pytest.raises(TryAgain, match="out: another pdm is writing to this folder") as caught:
        write(tmp_path / "out")
    assert caught.value.exit_code == 75
    writer.communicate("\n")
    assert writer.returncode == 0
    assert set(content_of(tmp_path / "out")) == {"features.parquet", "manifest.json"}


def test_output_folder_of_a_killed_process_is_free(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    writer.kill()
    # Not waited for: the process is a zombie, as in a container whose first process collects no children.
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
    assert list((tmp_path / "out").glob(".pdm-partial-*/features.parquet"))
    check_free(tmp_path / "out", overwrite=False)
    write_output(tmp_path / "out")
    assert_whole(tmp_path / "out", "one")
    assert not list((tmp_path / "out").glob(".pdm-partial-*"))


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP], ids=errno.errorcode.get)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every file system one without locks."""

    def fail(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", fail)


@pytest.mark.usefixtures("without_locks")
def test_output_folder_without_locks_in_the_file_system_is_still_locked(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with swapped_folder(folder) as partial:
        (partial / "table.parquet").write_text("one")
        with pytest.raises(TryAgain, match="another pdm") as caught:
            check_free(folder, overwrite=True)
    holder = f"process {os.getpid()} on host {socket.gethostname()}"
    assert f"if {holder} is no longer running, delete {folder / SOFT_LOCK_FILE}" in str(caught.value.hint)
    assert set(content_of(folder)) == {"table.parquet"}


OF_ANOTHER_HOST = "123456\notherhost?pidns-f00d\n987\n"


def soft_lock_of(folder: Path, content: str, *, is_old: bool) -> Path:
    """Leave the files of a writer that was killed on a file system without locks."""
    folder.mkdir(exist_ok=True)
    for name in (LOCK_FILE, SOFT_LOCK_FILE):
        (folder / name).write_text(content)
        if is_old:
            os.utime(folder / name, (0, 0))
    return folder / SOFT_LOCK_FILE


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize("content", [OF_ANOTHER_HOST, "", "filelock/break\n12\n"])
def test_soft_lock_unchanged_for_a_day_is_replaced(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "out"
    soft_lock_of(folder, content, is_old=True)
    stale = partial_of(folder, "fedc3210-")
    for path in (stale / "features.parquet", stale):
        os.utime(path, (0, 0))
    check_free(folder, overwrite=False)
    soft_lock_of(folder, content, is_old=True)
    write_output(folder)
    assert_whole(folder, "one")
    assert not list(folder.glob(".pdm-partial-*"))


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize(
    ("content", "holder"), [(OF_ANOTHER_HOST, "process 123456 on host otherhost"), ("", "that process")]
)
@pytest.mark.parametrize("changed", ["lock", "partial folder"])
def test_soft_lock_of_a_writer_with_recent_changes_is_respected(
    tmp_path: Path, content: str, holder: str, changed: str
) -> None:
    folder = tmp_path / "out"
    lock = soft_lock_of(folder, content, is_old=changed != "lock")
    if changed == "partial folder":
        partial_of(folder, "0123abcd-")
    with pytest.raises(TryAgain, match="out: another pdm is writing to this folder") as caught:
        write_output(folder)
    hint = str(caught.value.hint)
    assert f"choose another folder with --out; if {holder} is no longer running, delete {lock}" in hint
    assert lock.read_text() == content
    lock.unlink()
    write_output(folder)
    assert manifest.reasons_to_redo(folder, RECIPE) == []


@pytest.mark.usefixtures("without_locks")
def test_abandoned_soft_lock_replaced_by_another_process_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    lock = soft_lock_of(folder, OF_ANOTHER_HOST, is_old=True)
    replace = Path.replace
    faster = "654321\nthirdhost\n123\n"

    def lose_the_race(self: Path, target: Path) -> Path:
        if self == lock:
            lock.write_text(faster)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", lose_the_race)
    with pytest.raises(TryAgain, match="another pdm") as caught:
        write_output(folder)
    assert "process 654321 on host thirdhost" in str(caught.value.hint)
    assert lock.read_text() == faster


@pytest.mark.usefixtures("without_locks")
def test_soft_lock_of_an_ended_process_of_this_host_is_replaced_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with swapped_folder(folder):
        _, host, start = (folder / SOFT_LOCK_FILE).read_text().splitlines()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    soft_lock_of(folder, f"{ended.pid}\n{host}\n{start}\n", is_old=False)
    check_free(folder, overwrite=False)
    write_output(folder)
    assert_whole(folder, "one")


def partial_of(folder: Path, writer: str) -> Path:
    partial = folder / f".pdm-partial-{writer}abc"
    partial.mkdir(parents=True)
    (partial / "features.parquet").write_text("half")
    return partial


def test_partial_folder_of_another_host_is_deleted_after_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    fresh, stale = partial_of(folder, "0123abcd-"), partial_of(folder, "fedc3210-")
    for path in (stale / "features.parquet", stale):
        os.utime(path, (0, 0))
    check_free(folder, overwrite=True)
    write_output(folder)
    # The other host may still be writing, and its locks may not be visible here.
    assert fresh.exists()
    assert not stale.exists()


def write_logs(folder: Path, command: str = LOGS_COMMAND) -> None:
    with output_folder(folder / "logs", Provenance(command, {}, {}, {}, "")) as partial:
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
    message = "contains logs, the output of pdm preprocess"
    assert_refused(tmp_path / "other", overwrite=True, message=message, hint="--out")
    write_logs(tmp_path / "out")
    (tmp_path / "out/logs/mine.txt").write_text("what I saw")
    assert_refused(tmp_path / "out", overwrite=True, message="not written by pdm: logs/mine.txt", hint="--out")


def write_raw(folder: Path, command: str) -> None:
    with output_folder(folder, Provenance(command, {}, {}, {}, "0" * 64)) as partial:
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
    with pytest.raises(UsageError, match=f"contains the output of pdm {command}, not raw tables") as caught:
        check_growable(tmp_path)
    assert "--out" in str(caught.value.hint)


def test_a_folder_of_something_else_is_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"contains files other than raw tables: letter\.txt"):
        check_growable(tmp_path)


def test_a_folder_whose_manifest_cannot_be_read_is_not_added_to(tmp_path: Path) -> None:
    write_raw(tmp_path, "import")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="cannot tell whether pdm created"):
        check_growable(tmp_path)
