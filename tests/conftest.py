"""What all tests share: hypothesis profiles, the runner of commands, and one fleet taken through all stages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from typer.testing import CliRunner

from tests.outcome import Outcome
from tests.shared import Shared

settings.register_profile("default", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Trains a model in a moment, where the search is not the point.
QUICK = ("--fast", "--trees", 20)
FAMILIES = "rolling,hours_since,counts,anomalies,attributes,visits,cycle_places,shifts,template"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what can be known by a test's fixtures, its folder or other marks."""
    for item in items:
        if "emulator" in getattr(item, "fixturenames", ()):
            item.add_marker("azure")
        if item.path.is_relative_to(Path(__file__).with_name("browser")):
            item.add_marker("browser")
        # The first test that needs the trained model trains it.
        if item.get_closest_marker("ci") or {"model", "ran"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def call_pdm(*words: object) -> Outcome:
    """Run a command in this process."""
    from pdm_cli.cli.app import app

    result = CliRunner().invoke(app, [str(word) for word in words], prog_name="pdm")
    return Outcome(result.exit_code, result.stdout, result.stderr)


def must(*words: object) -> Outcome:
    outcome = call_pdm(*words)
    assert outcome.code == 0, outcome.stderr
    return outcome


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Creates folders that the workers of a session share."""
    base = tmp_path_factory.getbasetemp()
    shared = Shared(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
    yield shared
    shared.assert_unchanged()


@pytest.fixture(scope="session")
def fleet(shared: Shared) -> Path:
    """The raw tables of a small fleet, in the folder ``raw`` of ``work``; a test that changes them takes a copy."""

    def create(folder: Path) -> None:
        from pdm_cli.pipeline.simulate import write_fleet
        from pdm_cli.simulation.fleet import simulate_fleet

        write_fleet(simulate_fleet(machines=16, days=150, seed=1), folder)

    return shared("work/raw", create)


@pytest.fixture(scope="session")
def work(shared: Shared, fleet: Path) -> Path:
    """A folder with ``raw``, all that ``run`` and ``predict`` write for it, and their stdout in ``*.txt``."""

    def create(folder: Path) -> None:
        run = must("run", "--data", fleet, "--out", folder, "--jobs", 1, *QUICK)
        predict = must("predict", "--data", fleet, "--model", folder / "model", "--out", folder / "predictions")
        for name, outcome in (("run", run), ("predict", predict)):
            (folder / f"{name}.txt").write_text(outcome.stdout)

    return shared("work", create)


@pytest.fixture(scope="session")
def model(shared: Shared, work: Path) -> Path:
    """A model of all feature families, with anomalies and template."""

    def create(folder: Path) -> None:
        tables = ("--prepared", work / "prepared", "--anomalies", work / "anomalies")
        must("train", *tables, "--out", folder, *QUICK, "--families", FAMILIES)

    return shared("model", create)


@pytest.fixture(scope="session")
def predicted(shared: Shared, fleet: Path, model: Path) -> Path:
    """What ``predict`` writes with that model."""

    def create(folder: Path) -> None:
        must("predict", "--data", fleet, "--model", model, "--out", folder)

    return shared("predicted", create)
