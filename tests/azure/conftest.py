from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.azure.emulator import Emulator
from tests.azure.forks import Fork
from tests.azure.processes import WRITTEN
from tests.azure.secrecy import assert_kept

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

# They would lead this process somewhere else.
FOREIGN = (
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "NO_PROXY",
    "no_proxy",
    "https_proxy",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
)
SCRIPT = """import os, pathlib, sys
source, target = map(pathlib.Path, sys.argv[1:3])
for path in sorted(source.iterdir()):
    (target / path.name).write_text(path.read_text() * 2)
print("doubled", sorted(os.environ))
"""


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
    emulator = request.getfixturevalue("emulator") if "emulator" in request.fixturenames else None
    yield
    if emulator:
        emulator.reset()


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """End what a test that failed has started."""
    yield
    Fork.end_all()


@pytest.fixture(autouse=True)
def _secrets_are_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """Search all that a test has written for the secrets that there are: every file, and what pdm told."""
    emulator, folder = (
        request.getfixturevalue(name) if name in request.fixturenames else None for name in ("emulator", "tmp_path")
    )
    WRITTEN.clear()
    yield
    if emulator:
        assert_kept(emulator, folder, WRITTEN)


@pytest.fixture
def azure_env(emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """The whole environment of a process that shall take the emulator for Azure."""
    home = tmp_path / "home"
    home.mkdir()
    return emulator.environment(home)


@pytest.fixture
def in_azure(azure_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put this process into that environment."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in azure_env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client(emulator: Emulator, in_azure: None) -> MLClient:  # noqa: ARG001 - it is there for what it does
    """The client of the Azure SDK in this process, and an environment ``tests`` for its jobs."""
    from azure.ai.ml.entities import Environment

    from tests.azure.clients import connect

    client = connect(emulator)
    if "tests" not in emulator.assets.versions["environments"]:
        client.environments.create_or_update(Environment(name="tests", image="image:1"))
    return client


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with a script that writes each file of a folder twice over."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "double.py").write_text(SCRIPT)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one file whose text is no other test's."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.txt").write_text(tmp_path.name)
    return folder
