"""Learning algorithms: one model per component, stored as data only. ESTIMATORS has one entry per algorithm."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from pdm_cli.models.base import Algorithm, Checkpoint, Estimator, FitOptions, Model, Range, no_checkpoint
from pdm_cli.models.extra_trees import ExtraTrees
from pdm_cli.models.lightgbm import LightGBM
from pdm_cli.models.logistic import LogisticRegression
from pdm_cli.models.xgboost import XGBoost
from pdm_cli.settings.model import TrainParams

__all__ = [
    "ESTIMATORS",
    "Algorithm",
    "Checkpoint",
    "Estimator",
    "FitOptions",
    "Model",
    "Range",
    "find_load_error",
    "load_retired",
    "no_checkpoint",
]

_CORE = "pip install --force-reinstall pdm-cli"
# Narrow enough that no candidate takes much longer than a few of the defaults.
_BOOSTER_SPACE = {
    "trees": Range(100, 300, log=True, integer=True),
    "learning_rate": Range(0.03, 0.2, log=True),
    "max_leaves": Range(8, 63, log=True, integer=True),
    "l2": Range(0.1, 30, log=True),
    "column_share": Range(0.2, 0.8),
    "min_child_weight": Range(0.1, 10, log=True),
}

# In search order: the most reliable first, then the fast ones.
ESTIMATORS: dict[str, Algorithm] = {
    "xgboost": Algorithm(
        make=XGBoost,
        defaults={
            "trees": TrainParams.trees,
            "learning_rate": TrainParams.learning_rate,
            "max_leaves": TrainParams.max_leaves,
            "min_child_weight": TrainParams.min_child_weight,
            "l2": TrainParams.l2,
            "column_share": TrainParams.column_share,
        },
        space=_BOOSTER_SPACE,
        package="xgboost",
        install=_CORE,
        suffix=".json",
    ),
    "lightgbm": Algorithm(
        make=LightGBM,
        defaults={
            "trees": 200,
            "learning_rate": 0.05,
            "max_leaves": 31,
            "min_child_weight": 1.0,
            "l2": 1.0,
            "column_share": 0.5,
        },
        space=_BOOSTER_SPACE,
        package="lightgbm",
        install="pip install 'lightgbm>=4.3', and the system's libgomp1",
        suffix=".txt",
    ),
    "logistic_regression": Algorithm(
        make=LogisticRegression,
        defaults={"l2": 1.0},
        space={"l2": Range(1e-3, 1e3, log=True)},
        package="sklearn",
        install=_CORE,
        suffix=".json",
    ),
    "extra_trees": Algorithm(
        make=ExtraTrees,
        defaults={"trees": 70, "max_leaves": 256, "min_leaf_rows": 2, "column_share": 0.7},
        space={
            "max_leaves": Range(64, 512, log=True, integer=True),
            "min_leaf_rows": Range(1, 20, log=True, integer=True),
            "column_share": Range(0.3, 1.0),
        },
        package="sklearn",
        install=_CORE,
        suffix=".json",
    ),
}
# No longer trained. Their models were stored as XGBoost boosters without categorical splits and can still be loaded.
_RETIRED = ("hist_gradient_boosting",)


def load_retired(name: str, dumps: Sequence[bytes], *, features: int) -> Model | None:
    """Return a model of an algorithm that earlier versions trained; None if it is not one of these.

    Parameters
    ----------
    name : str
        Algorithm in the bundle.
    dumps : sequence of bytes
        One booster per component.
    features : int
        Features the model was fitted on.

    Raises
    ------
    ModelError
        If a dump is not such a booster.
    """
    return XGBoost().load(dumps, categorical=[False] * features) if name in _RETIRED else None


def find_load_error(name: str) -> str | None:
    """Return why an algorithm's library cannot be loaded and what to install; None if it can.

    Parameters
    ----------
    name : str
        Key of :data:`ESTIMATORS`.
    """
    algorithm = ESTIMATORS[name]
    try:
        importlib.import_module(algorithm.package)
    # LightGBM raises OSError if a system library is missing.
    except (ImportError, OSError) as exc:
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        subject = name if name == algorithm.package else f"{name}: {algorithm.package}"
        return f"{subject} cannot be loaded ({reason}): {algorithm.install}"
    return None
