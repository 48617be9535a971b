"""What stands on terminals of 80 columns, and what in pipes."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import QUICK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PDM = (sys.executable, "-m", "pdm_cli")
PLAIN = {"TERM": "xterm", "PYTHONPATH": str(ROOT), "COLUMNS": "", "NO_COLOR": "", "FORCE_COLOR": "", "PY_COLORS": ""}


def environ(**variables: str) -> dict[str, str]:
    return {name: value for name, value in {**os.environ, **PLAIN, **variables}.items() if value}


def on_terminal(*words: object, columns: int = 80, **variables: str) -> str:
    """Return what a command writes on a terminal, with its escape codes."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        [*PDM, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs, env=environ(**variables)
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                written += (part := os.read(ours, 65536))
            except OSError:
                break
            if not part:
                break
    os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode().replace("\r\n", "\n")


def without_codes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture(scope="session")
def evaluated(work: Path, fleet: Path) -> str:
    return on_terminal("evaluate", "--model", work / "model", "--data", fleet, "-q")


def test_a_table_of_metrics_fits_80_columns_with_every_digit(evaluated: str) -> None:
    lines = without_codes(evaluated).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert any(re.match(r" comp1 +0\.\d{3} +0\.\d{4} +0\.\d{3} +0\.\d{4} ", line) for line in lines)


@pytest.mark.ci
def test_a_narrow_terminal_breaks_lines_and_loses_no_column(work: Path, fleet: Path) -> None:
    words = ("evaluate", "--model", work / "model", "--data", fleet, "-q")
    assert re.search(r"comp1 +0\.\d{3} +0\.\d{4} ", without_codes(on_terminal(*words, columns=60)))


@pytest.mark.ci
def test_a_terminal_is_told_what_comes_next_and_a_pipe_is_not(work_copy: Path, fleet: Path, tmp_path: Path) -> None:
    words = ("run", "--data", fleet, "--out", work_copy, "--jobs", 1, *QUICK)
    model = work_copy / "model"
    *_, last = without_codes(on_terminal(*words, columns=500)).splitlines()
    assert last == f"next: pdm predict --data {fleet} --model {model} --out predictions"
    assert "next: " not in on_terminal(*words, "-q")
    words = ("predict", "--data", fleet, "--model", model)
    piped = subprocess.run([*PDM, *map(str, words), "--out", tmp_path / "piped"], capture_output=True, text=True)
    assert piped.returncode == 0
    assert "next: " not in piped.stderr
    foretold = pd.read_parquet(tmp_path / "piped" / "predictions.parquet")
    until = foretold.loc[foretold["alert"], "datetime"].max()
    shown = without_codes(on_terminal(*words, "--until", until, "--out", tmp_path / "out", columns=500))
    first = json.loads((tmp_path / "out" / "predictions.json").read_text())["worklist"][0]
    at = f"--machine {first['machineID']} --at {first['datetime'][:16]}"
    assert shown.splitlines()[-1] == f"next: pdm explain --data {fleet} --model {model} {at}"


@pytest.mark.ci
def test_a_work_list_fits_80_columns(work: Path, fleet: Path, tmp_path: Path) -> None:
    words = ("predict", "--model", work / "model", "--data", fleet, "--out", tmp_path / "out", "-q")
    *lines, out = without_codes(on_terminal(*words)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    # A path is for scripts and stays whole.
    assert out == str(tmp_path / "out")


@pytest.mark.parametrize(
    "variables", [{"GITHUB_ACTIONS": "true"}, {"TERM": "dumb"}, {"NO_COLOR": "1"}, {"CI": "true"}, {}], ids=str
)
@pytest.mark.parametrize("words", [("train", "--help"), ("--help",), ("config", "show"), ("trian",)], ids=" ".join)
def test_no_escape_codes_in_pipes(words: tuple[str, ...], variables: dict[str, str]) -> None:
    done = subprocess.run([*PDM, *words], capture_output=True, text=True, env=environ(**variables))
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.ci
def test_no_escape_codes_in_the_results_of_a_job(work: Path, fleet: Path, tmp_path: Path) -> None:
    words = ("predict", "--model", work / "model", "--data", fleet, "--out", tmp_path / "out")
    done = subprocess.run([*PDM, *map(str, words)], capture_output=True, text=True, env=environ(GITHUB_ACTIONS="true"))
    assert done.returncode == 0, done.stderr
    assert "predict: wrote" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_no_colours_on_a_terminal_that_wants_none() -> None:
    assert "\x1b[" in on_terminal("--help")
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert not re.search(r"\x1b\[[0-9;]*3\dm", on_terminal("--help", **variables))
