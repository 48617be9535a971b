from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pdm_cli.app import app
from pdm_cli.commands.simulate import write_fleet
from pdm_cli.core.simulate import simulate_fleet
from tests.outcome import Outcome

Pdm = Callable[..., Outcome]
# A model that is trained in a moment, where the search is not the point.
QUICK = ("--fast", "--trees", 20)


@pytest.fixture(scope="session")
def pdm() -> Pdm:
    def call(*words: object) -> Outcome:
        result = CliRunner().invoke(app, [str(word) for word in words], prog_name="pdm")
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet") / "raw"
    write_fleet(simulate_fleet(machines=16, days=150, seed=1), folder)
    return folder


@pytest.fixture
def raw(fleet: Path, tmp_path: Path) -> Path:
    """A copy of the fleet that a test may spoil."""
    return Path(shutil.copytree(fleet, tmp_path / "raw"))


@pytest.fixture(scope="session")
def work(fleet: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fleet taken through all stages."""
    folder = tmp_path_factory.mktemp("work") / "out"
    outcome = pdm("run", "--data", fleet, "--out", folder, "--jobs", 1, *QUICK)
    assert outcome.code == 0, outcome.stderr
    return folder
