"""Learning algorithms: one model a component, saved as data only. One registry line each."""

from __future__ import annotations

import importlib

from pdm_cli.models.base import Algorithm, Checkpoint, Estimator, Model, Range, carry_on
from pdm_cli.models.lightgbm import LightGBM
from pdm_cli.models.logistic import LogisticRegression
from pdm_cli.models.sklearn_trees import ExtraTrees, HistGradientBoosting
from pdm_cli.models.xgboost import XGBoost
from pdm_cli.settings.model import TrainParams

__all__ = ["ESTIMATORS", "Algorithm", "Checkpoint", "Estimator", "Model", "Range", "carry_on", "unavailable"]

_CORE = "pip install --force-reinstall pdm-cli"
# Narrow enough that no setting takes much longer than a few of the defaults.
_BOOSTER_SPACE = {
    "learning_rate": Range(0.03, 0.2, log=True),
    "max_leaves": Range(8, 63, log=True, integer=True),
    "l2": Range(0.1, 30, log=True),
    "column_share": Range(0.2, 0.8),
}
_TREES = Range(100, 300, log=True, integer=True)
_SPACE_BY_HESSIAN = {"trees": _TREES, **_BOOSTER_SPACE, "min_child_weight": Range(0.1, 10, log=True)}

# In the order in which a search tries them: the one to rely on first, then the quick ones.
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
        space=_SPACE_BY_HESSIAN,
        package="xgboost",
        install=_CORE,
        suffix=".ubj",
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
        space=_SPACE_BY_HESSIAN,
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
    "hist_gradient_boosting": Algorithm(
        make=HistGradientBoosting,
        defaults={
            "trees": 100,
            "learning_rate": 0.08,
            "max_leaves": 15,
            "min_leaf_rows": 10,
            "l2": 10.0,
            "column_share": 0.3,
        },
        space={
            "trees": Range(50, 150, log=True, integer=True),
            **_BOOSTER_SPACE,
            "min_leaf_rows": Range(5, 100, log=True, integer=True),
        },
        package="sklearn",
        install=_CORE,
        suffix=".ubj",
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
        suffix=".ubj",
    ),
}


def unavailable(name: str) -> str | None:
    """Return why an algorithm cannot be used here and what to install; None if it can.

    Parameters
    ----------
    name : str
        Key of :data:`ESTIMATORS`.
    """
    algorithm = ESTIMATORS[name]
    try:
        importlib.import_module(algorithm.package)
    # LightGBM raises OSError where its shared library needs one that the system lacks.
    except (ImportError, OSError) as exc:
        why = (str(exc).splitlines() or [type(exc).__name__])[0]
        return f"{name}: {algorithm.package} cannot be loaded ({why}): {algorithm.install}"
    return None
