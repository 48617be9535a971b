"""Log trainings to MLflow if ``MLFLOW_TRACKING_URI`` is set, as in jobs of Azure ML."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pdm_cli.progress import Progress

VARIABLE = "MLFLOW_TRACKING_URI"
# The second one is only needed for workspaces of Azure ML.
_PACKAGES = ("mlflow-skinny", "azureml-mlflow")
_SECTIONS = ("macro", "components", "events", "costs")
_FILES = ("metrics.json", "leaderboard.csv", "report.html")
# MLflow would retry for many minutes, and print the address, possibly with a password, to stdout.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# Name and password before a host, and query values such as a signature.
_SECRETS = re.compile(r"(?<=//)\S+(?=@)|(?<=[?&])[^\s'\")]+")
_NOT_IN_NAMES = re.compile(r"[^\w.\- :/]")
_LONGEST_REASON = 200


def track_training(folder: Path, metrics: Mapping[str, Any], parameters: Mapping[str, Any], progress: Progress) -> None:
    """Log parameters, metrics and files of a finished training; any error is only a warning.

    Parameters
    ----------
    folder : Path
        Model folder.
    metrics : mapping
        As in ``metrics.json``.
    parameters : mapping
        Section to its settings.
    progress : Progress
        For the warning.
    """
    if not os.environ.get(VARIABLE):
        return
    missing = _missing(os.environ[VARIABLE])
    if missing:
        # A job has the packages of the computer that it was submitted from.
        place = "" if missing == _PACKAGES[:1] else " where jobs are submitted"
        progress.warn(f"{VARIABLE} is set, but MLflow is not installed: pip install {' '.join(missing)}{place}")
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Outside the try block: an error here is a bug, not a server problem.
    given = {f"{section}.{key}": value for section, values in parameters.items() for key, value in values.items()}
    numbers = dict(flatten({name: metrics[name] for name in _SECTIONS}))
    files = [folder / name for name in _FILES if (folder / name).is_file()]
    try:
        with _quietly():
            _log(given, numbers, files)
    except Exception as error:  # noqa: BLE001 - a server problem must not fail a training
        progress.warn(_not_logged(error))


def _missing(address: str) -> tuple[str, ...]:
    """Return the packages to install for an address; all of them if one is missing."""
    needed = _PACKAGES if address.startswith("azureml:") else _PACKAGES[:1]
    return () if all(_is_installed(name) for name in needed) else needed


def _is_installed(package: str) -> bool:
    # The full MLflow package has the same module as the skinny one.
    return bool(find_spec("mlflow")) if package == "mlflow-skinny" else bool(list(metadata.distributions(name=package)))


def flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers in nested mappings with their paths, such as ``events.warning_hours.median``."""
    for key, value in values.items():
        name = path + _NOT_IN_NAMES.sub("_", key)
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)


def _log(parameters: Mapping[str, Any], metrics: Mapping[str, float], files: Sequence[Path]) -> None:
    import mlflow

    # Continues the run of MLFLOW_RUN_ID, such as that of a job.
    with mlflow.start_run():
        mlflow.log_params(parameters)
        mlflow.log_metrics(metrics)
        for file in files:
            mlflow.log_artifact(str(file))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Discard MLflow's output: stdout is for the result, and addresses may contain passwords."""
    nowhere, before = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _not_logged(error: Exception) -> str:
    reason = " ".join(str(error).split())
    for secret in _SECRETS.findall(os.environ[VARIABLE]):
        # Also without the address around it, and the password alone.
        for part in (secret, secret.partition(":")[2]):
            reason = reason.replace(part, "…") if part else reason
    reason = _SECRETS.sub("…", reason)
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + "…"
    return f"{VARIABLE} is set, but logging to MLflow failed: {type(error).__name__}: {reason}"
