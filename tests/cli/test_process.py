"""What only a real process shows: signals, pipes, the module form."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PDM = [sys.executable, "-m", "pdm_cli"]
# Presses Ctrl-C in the middle of the import of Optuna.
SIGNAL_AT_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "optuna.storages":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""


def test_module_form_works_without_the_script() -> None:
    assert subprocess.run([*PDM, "--version"], capture_output=True, text=True, check=True).stdout.startswith("pdm-cli")


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_the_work_and_leaves_nothing_half_done(
    number: signal.Signals, code: int, word: str, work: Path, tmp_path: Path
) -> None:
    words = ["train", "--prepared", work / "prepared", "--out", tmp_path / "model", "--fast", "--trees", "100000"]
    process = subprocess.Popen([*PDM, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "trying" in line:
            break
    time.sleep(0.2)
    process.send_signal(number)
    sent = time.monotonic()
    rest = process.stderr.read()
    assert process.wait(timeout=30) == code
    assert time.monotonic() - sent < 5
    assert rest == f"warning: {word}; existing outputs were not changed\n"
    assert not (tmp_path / "model").exists()


@pytest.mark.ci
def test_a_signal_tells_what_is_kept_of_a_run_and_of_its_search(work: Path, fleet: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(work, tmp_path / "out"))
    # Many folds of few trees: time enough for a signal between the trials, and none is long.
    words = [*PDM, *map(str, ["run", "--data", fleet, "--out", out, "--jobs", 1, "--trees", 10])]
    process = subprocess.Popen([*words, "--trials", "9"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "trial 2 of 9" in line:
            break
    process.send_signal(signal.SIGINT)
    *_, trials, stages, warning = process.stderr.read().splitlines()
    assert process.wait(timeout=30) == 130
    kept = re.fullmatch(r"train: (\d) finished trials? kept; run the same command again to resume", trials)
    assert kept is not None, trials
    assert stages == "prepared and anomalies finished; run the same command again to resume"
    assert warning.startswith("warning: interrupted")
    count = int(kept[1])
    (log,) = (out / "model").glob(".pdm-partial-kept-*/search.log")
    trials_kept = log.read_bytes()
    again = subprocess.run([*words, "--trials", str(count + 1)], stderr=subprocess.PIPE, text=True, check=True)
    assert f"train: search resumed after {count} of {count + 1} trials" in again.stderr
    # A log that cannot be read fails one run, and not all that follow.
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"no log\n" + trials_kept)
    spoiled = [*words, "--trials", "2", "--alert-rule", "f1"]
    assert subprocess.run(spoiled, capture_output=True, check=False).returncode != 0
    assert subprocess.run(spoiled, capture_output=True, check=False).returncode == 0


@pytest.mark.ci
def test_a_signal_while_optuna_is_loaded_is_no_bug(work: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SIGNAL_AT_IMPORT)
    words = [*PDM, "train", "--prepared", str(work / "prepared"), "--out", str(tmp_path / "model"), "--trials", "2"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 130, done.stderr
    assert done.stderr.endswith("warning: interrupted; existing outputs were not changed\n")


@pytest.mark.ci
@pytest.mark.parametrize("closed", [">&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(closed: str, work: Path, fleet: Path, tmp_path: Path) -> None:
    words = [*PDM, "predict", "--data", fleet, "--model", work / "model", "--out", tmp_path / "out"]
    done = subprocess.run(["bash", "-c", f"{shlex.join(map(str, words))} {closed}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "worklist.csv").is_file()


@pytest.mark.ci
def test_one_that_was_killed_and_that_nobody_asked_after_blocks_no_folder(work: Path, tmp_path: Path) -> None:
    words = [*PDM, "train", "--prepared", str(work / "prepared"), "--out", str(tmp_path / "model"), "--fast"]
    process = subprocess.Popen([*words, "--trees", "100000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "trying" in line:
            break
    process.kill()
    # Not waited for: it stays a zombie, whose number is in use.
    process.stderr.read()
    again = subprocess.run([*words, "--trees", "5"], capture_output=True, text=True, check=False)
    process.wait()
    assert again.returncode == 0, again.stderr


def test_a_terminal_shows_the_folds_of_a_trial(work: Path, tmp_path: Path) -> None:
    words = ["train", "--prepared", work / "prepared", "--out", tmp_path / "model", "--fast", "--trees", "20"]
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*PDM, *words], stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    # At the end of a terminal that has gone reading is an error.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert b"train: trial 1 of 1: trying xgboost on the selected feature set" in shown
    assert b"folds" in shown
    assert b"2/2" in shown


@pytest.mark.ci
def test_a_killed_run_leaves_no_manifest_and_the_next_one_works(work: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    words = ["train", "--prepared", work / "prepared", "--out", model, "--fast", "--trees"]
    process = subprocess.Popen([*PDM, *words, "100000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "trying" in line:
            break
    process.kill()
    process.wait(timeout=30)
    process.stderr.close()
    assert not (model / "manifest.json").exists()
    subprocess.run([*PDM, *words, "2"], capture_output=True, check=True)
    assert {path.name for path in model.iterdir()} >= {"manifest.json", "metrics.json"}
    assert not list(model.glob(".pdm-partial-*"))


def test_a_reader_that_goes_away_is_exit_141(work_copy: Path, fleet: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = ["run", "--data", fleet, "--out", work_copy, "--jobs", "1", "--fast", "--trees", "20", "--json"]
    process = subprocess.run([*PDM, *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert process.returncode == 141
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_a_reader_that_goes_away_from_the_help_is_exit_141(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*PDM, *words], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert process.returncode == 141
    assert process.stderr == ""


def test_piped_output_has_no_escape_codes(work_copy: Path, fleet: Path) -> None:
    words = ["run", "--data", fleet, "--out", work_copy, "--jobs", "1", "--fast", "--trees", "20"]
    env = {**os.environ, "GITHUB_ACTIONS": "true", "TERM": "dumb"}
    done = subprocess.run([*PDM, *words], capture_output=True, text=True, check=True, env=env)
    assert "\x1b" not in done.stdout + done.stderr


def test_ctrl_c_before_the_command_line_is_there_is_one_line_and_130() -> None:
    script = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["pdm", "--help"]
from pdm_cli.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "warning: interrupted; nothing was started\n")
