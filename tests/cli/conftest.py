from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import QUICK, call_pdm
from tests.outcome import Outcome

__all__ = ["QUICK"]

Pdm = Callable[..., Outcome]


@pytest.fixture(scope="session")
def pdm() -> Pdm:
    return call_pdm


@pytest.fixture(autouse=True)
def _no_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the plots of reports, half the time of a small training, unless a test is about them."""
    if "plots" not in request.fixturenames and "PDM_TESTS_PLOTS" not in os.environ:
        monkeypatch.setattr("pdm_cli.report.plots.draw", lambda *_, name, **__: f'<svg id="{name}"></svg>')


@pytest.fixture
def plots() -> None:
    """Let the commands of a test draw."""


@pytest.fixture
def raw(fleet: Path, tmp_path: Path) -> Path:
    """A copy of the fleet that a test may spoil."""
    return Path(shutil.copytree(fleet, tmp_path / "raw"))


@pytest.fixture
def work_copy(work: Path, tmp_path: Path) -> Path:
    """A copy of ``work`` that a test may write to."""
    return Path(shutil.copytree(work, tmp_path / "work"))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def edit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        path = raw / f"{name}.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)

    return spoil


def assert_clear(outcome: Outcome, code: int, message: str, hint: str) -> None:
    assert outcome.code == code, outcome.stderr
    error, advice = outcome.stderr.strip().splitlines()[-2:]
    assert error.startswith("error: ")
    assert message in error
    assert advice.startswith("hint: ")
    assert hint in advice
    assert "Traceback" not in outcome.stderr
