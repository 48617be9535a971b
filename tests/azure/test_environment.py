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


def test_each_package_has_the_version_of_this_machine() -> None:
    assert f"numpy=={metadata.version('numpy')}" in FOUND.packages
    assert FOUND.python == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_every_dependency_but_those_of_azure_is_there() -> None:
    dependencies = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    wanted = {re.split(r"[<>=;\s]", text)[0] for text in dependencies}
    wanted = {name for name in wanted if not name.startswith(("azure-", "xgboost"))}
    there = {package.partition("==")[0] for package in FOUND.packages}
    assert wanted <= there
    assert any(name.startswith("xgboost") for name in there)
    assert not any(name.startswith("azure-") for name in there)


def test_the_version_is_that_of_the_content() -> None:
    assert describe_environment("image:1").version == FOUND.version
    assert describe_environment("image:2").version != FOUND.version
    assert replace(FOUND, packages=("numpy==1.0",)).version != FOUND.version
    assert re.fullmatch("[0-9a-f]{16}", FOUND.version)
