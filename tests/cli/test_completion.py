"""``pdm completion``: a shell that has read the script completes commands and options of both names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Pdm, assert_clear

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both programs, as an installation makes them."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("pdm", "pdm-cli"):
        program = folder / name
        program.write_text(f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m pdm_cli \"$@\"\n")
        program.chmod(0o755)
    return folder


def complete(programs: Path, *words: str) -> list[str]:
    """Return what bash offers for the last word, as when Tab is pressed."""
    # What readline does: it sets these variables, calls the function that `complete` named, and reads COMPREPLY.
    script = f"""
        source <(pdm completion bash)
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1}
        function=$(complete -p {words[0]} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function {words[0]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    words_of_bash = [str(BASH), "--norc", "-c", script]
    found = subprocess.run(words_of_bash, capture_output=True, text=True, check=True, env=environ)
    assert found.stderr == ""
    return found.stdout.split()


@pytest.mark.ci
@pytest.mark.skipif(BASH is None, reason="no bash on this machine")
@pytest.mark.parametrize("name", ["pdm", "pdm-cli"])
def test_bash_completes_commands_and_options(name: str, programs: Path) -> None:
    assert complete(programs, name, "tr") == ["train"]
    assert complete(programs, name, "train", "--horizon-") == ["--horizon-hours"]
    # Advanced options are completed, former names are not.
    assert complete(programs, name, "train", "--max-l") == ["--max-leaves"]
    assert complete(programs, name, "train", "--alert") == []
    assert {"list", "show", "logs"} <= set(complete(programs, name, "jobs", ""))
    assert complete(programs, name, "preprocess", "--on-duplicate", "fi") == ["first"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_both_names(shell: str, pdm: Pdm) -> None:
    outcome = pdm("completion", shell)
    assert outcome.code == 0
    assert f"complete_{shell}" in outcome.stdout
    assert outcome.stdout.count("_PDM_COMPLETE=") >= 2
    assert "pdm-cli" in outcome.stdout
    assert outcome.stderr == ""


def test_other_shells_are_refused_with_those_that_are_known(pdm: Pdm) -> None:
    assert_clear(pdm("completion", "tcsh"), 2, "'tcsh' is not one of 'bash', 'zsh', 'fish'", "pdm completion --help")
    assert_clear(
        pdm("completion"), 2, "missing argument 'SHELL'. Choose from: bash, zsh, fish", "pdm completion --help"
    )
