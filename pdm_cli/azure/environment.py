"""The environment of jobs: the local versions of the libraries, on an image of Azure ML."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pdm_cli.io.manifest import RECORDED_LIBRARIES

NAME = "pdm-cli"
# The numeric libraries, and those of the command line and reports; the Azure packages are not needed in a job.
_LIBRARIES = (
    *RECORDED_LIBRARIES,
    *("annotated-types", "filelock", "jinja2", "matplotlib", "platformdirs"),
    *("pydantic", "pydantic-settings", "pyyaml", "rich", "threadpoolctl", "typer"),
    # With these a job logs its training to the workspace.
    *("mlflow", "mlflow-skinny", "azureml-mlflow"),
)


@dataclass(frozen=True)
class Environment:
    """A container image, a Python version, and requirements with exact versions."""

    image: str
    python: str
    packages: tuple[str, ...]

    @property
    def version(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(json.dumps(self.definition(), sort_keys=True).encode()).hexdigest()[:16]

    def definition(self) -> dict[str, Any]:
        """Return the environment in the form of Azure ML's YAML files."""
        dependencies = [f"python={self.python}", "pip", {"pip": list(self.packages)}]
        return {"image": self.image, "conda_file": {"channels": ["conda-forge"], "dependencies": dependencies}}


def describe_environment(image: str) -> Environment:
    """Return the environment with the local library versions, so that jobs write the same bytes."""
    packages = [f"{name}=={version}" for name in _LIBRARIES if (version := _find_version(name))]
    return Environment(image, f"{sys.version_info.major}.{sys.version_info.minor}", tuple(sorted(packages)))


def _find_version(name: str) -> str | None:
    try:
        # A local version, such as 1.2+cpu, is not on any index.
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None
