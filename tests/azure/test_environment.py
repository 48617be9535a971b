from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from pdm_cli.azure.environment import describe_environment

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
FOUND = describe_environment("image:1")


def test_environment_has_the_local_versions() -> None:
    assert f"numpy=={metadata.version('numpy')}" in FOUND.packages
    assert FOUND.python == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_environment_has_every_dependency_of_jobs() -> None:
    dependencies = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    expected = {re.split(r"[<>=;\s]", text)[0] for text in dependencies}
    # Only the commands that talk to Azure need tenacity, and only import reads logs; neither runs in a job.
    local = ("azure-", "xgboost", "tenacity", "duckdb", "python-calamine")
    expected = {name for name in expected if not name.startswith(local)}
    installed = {package.partition("==")[0] for package in FOUND.packages}
    assert expected <= installed
    assert any(name.startswith("xgboost") for name in installed)
    assert not any(name.startswith("azure-") for name in installed)


def test_environment_version_depends_on_the_content() -> None:
    assert describe_environment("image:1").version == FOUND.version
    assert describe_environment("image:2").version != FOUND.version
    assert replace(FOUND, packages=("numpy==1.0",)).version != FOUND.version
    assert re.fullmatch("[0-9a-f]{16}", FOUND.version)
