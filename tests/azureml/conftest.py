from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azureml.emulator import Emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Azure Machine Learning on the loopback address, started once."""
    emulator = Emulator()
    yield emulator
    emulator.close()
    assert not emulator.bugs, "\n".join(emulator.bugs)


@pytest.fixture(autouse=True)
def _good_weather(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no fault and no setting to the next test."""
    yield
    if "emulator" in request.fixturenames:
        request.getfixturevalue("emulator").reset()


@pytest.fixture
def azure_env(emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """The whole environment of a process that shall take the emulator for Azure."""
    home = tmp_path / "home"
    home.mkdir()
    return emulator.environment(home)
