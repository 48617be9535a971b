from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pdm_cli.cli.app import app
from pdm_cli.pipeline.simulate import write_fleet
from pdm_cli.simulation.fleet import simulate_fleet
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


@pytest.fixture(scope="session")
def model(work: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of all families, anomalies and template too."""
    out = tmp_path_factory.mktemp("model") / "model"
    words = ("--prepared", work / "prepared", "--anomalies", work / "anomalies", "--out", out)
    families = "rolling,hours_since,counts,anomalies,attributes,visits,cycle_places,shifts,template"
    outcome = pdm("train", *words, *QUICK, "--families", families)
    assert outcome.code == 0, outcome.stderr
    return out


@pytest.fixture(scope="session")
def predicted(fleet: Path, model: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted") / "out"
    outcome = pdm("predict", "--data", fleet, "--model", model, "--out", out)
    assert outcome.code == 0, outcome.stderr
    return out


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
