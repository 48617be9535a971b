"""``pdm jobs`` without a workspace: usage errors are reported before connecting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Pdm


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nope",), "no such command 'nope'"),
        (("show",), "missing argument 'JOB'"),
        (("list", "--max", "0"), "--max"),
        (("logs", "job-1", "--tail"), "no such option: --tail"),
        (("cancel", "job-1", "job-2"), "job-2"),
    ],
)
def test_jobs_invalid_arguments_are_usage_errors(words: tuple[str, ...], message: str, pdm: Pdm) -> None:
    outcome = pdm("jobs", *words)
    assert outcome.code == 2
    assert outcome.stdout == ""
    error, hint = outcome.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith(f"hint: see pdm jobs{'' if words == ('nope',) else ' ' + words[0]} --help")
    error_object = pdm("jobs", *words, "--json").json
    assert (error_object["schema"], error_object["exit"]) == ("pdm.error/1", 2)


@pytest.mark.parametrize("words", [("list",), ("show", "job-1"), ("logs", "job-1"), ("cancel", "job-1")])
def test_jobs_without_workspace_fail(
    words: tuple[str, ...], pdm: Pdm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(("AZURE", "PDM_CLI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    outcome = pdm("jobs", *words, "--json")
    assert outcome.code == 3
    assert outcome.json["code"] == "config"
