"""Windows of commands against the step of the telemetry."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Pdm, assert_clear, edit
from tests.conftest import QUICK


@pytest.fixture
def daily(raw: Path) -> Path:
    edit("telemetry", lambda t: t[t["datetime"].dt.hour == 0])(raw)
    return raw


def test_run_with_windows_that_do_not_fit_names_all_and_its_hint_works(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("run", "--data", daily, "--out", tmp_path / "out", *QUICK)
    outcome = pdm(*words, "--windows-hours", "3h,1d")
    assert_clear(
        outcome, 4, "--grid-hours 3 is shorter; --windows-hours 3 is not a whole number of steps", "use --grid"
    )
    assert "--lead-time-hours 3 is shorter" in outcome.stderr
    hint = outcome.stderr.split("hint: use ")[1]
    outcome = pdm(*words, *shlex.split(hint))
    assert outcome.code == 0, outcome.stderr
