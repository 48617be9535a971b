"""Registered models: the tags that tell how good a model is and what it was made from, and which of two is better."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pdm_cli.errors import UsageError
from pdm_cli.evaluation.gates import GATE_METRICS, read_metric

JOB_TAG = "job"
# Names of gates that models are compared by, and whether more is better.
_HIGHER_IS_BETTER = {"ap": True, "auc": True, "f1": True, "brier": False}
# As metrics.json has them, such as average_precision.
_FULL_NAMES = {name: GATE_METRICS[name][-1] for name in _HIGHER_IS_BETTER}
# What the bundle's bytes and its predictions hang on; libraries go by the name they are imported by.
_TAGGED_VERSIONS = {
    "pdm-cli": "pdm_version",
    "python": "python",
    "numpy": "numpy",
    "pandas": "pandas",
    "scikit-learn": "scikit-learn",
    "xgboost-cpu": "xgboost",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
}
_MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,254}", re.ASCII)


def check_name(name: str) -> str:
    """Return ``name`` if a model can be registered under it.

    Raises
    ------
    UsageError
        If not.
    """
    if not _MODEL_NAME.fullmatch(name):
        raise UsageError(f"{name!r}: no name of a model", hint="letters, digits, - . and _, at most 255")
    return name


def find_metric(name: str) -> str:
    """Return the short name of a metric that models are compared by; the full one is understood, too.

    Raises
    ------
    UsageError
        If models cannot be compared by it.

    Examples
    --------
    >>> find_metric("average_precision")
    'ap'
    """
    for short, full in _FULL_NAMES.items():
        if name in (short, full):
            return short
    raise UsageError(f"--if-better {name}: models are not compared by that", hint=f"one of {', '.join(_FULL_NAMES)}")


def tag_of(metric: str) -> str:
    """Return the tag that holds a metric."""
    return f"metric_{_FULL_NAMES[metric]}"


def make_tags(job: str, metrics: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what a registered model tells of itself.

    Parameters
    ----------
    job : str
        The job that made it.
    metrics : mapping
        Its ``metrics.json``.
    manifest : mapping
        Its ``manifest.json``.

    Returns
    -------
    dict of str to str
        Metrics in full precision, those that could not be told left out; one hash over all its inputs; versions; job.
    """
    values = {metric: read_metric(metrics, metric) for metric in _FULL_NAMES}
    tags = {tag_of(metric): repr(value) for metric, value in values.items() if value is not None}
    inputs = json.dumps(manifest["inputs"], sort_keys=True)
    tags["data_sha256"] = hashlib.sha256(inputs.encode()).hexdigest()
    versions = manifest.get("versions") or {}
    tags |= {tag: str(versions[library]) for library, tag in _TAGGED_VERSIONS.items() if library in versions}
    return {**tags, JOB_TAG: job}


def read_tag(tags: Mapping[str, str], metric: str) -> float | None:
    """Return the metric that the tags hold; ``None`` if they hold none, or no number."""
    try:
        return float(tags[tag_of(metric)])
    except (KeyError, TypeError, ValueError):
        return None


def is_better(metric: str, new: float, old: float) -> bool:
    """Return whether ``new`` is truly better than ``old``; never if they are equal, or either is not a number.

    Parameters
    ----------
    metric : str
        ``ap``, ``auc``, ``f1`` (higher is better) or ``brier`` (lower is better).
    """
    return new > old if _HIGHER_IS_BETTER[metric] else new < old
