"""Learning algorithms: one model a component, saved as data only. One registry line each."""

from __future__ import annotations

import importlib

from pdm_cli.core.estimators.algorithm import Algorithm, Estimator, Model, Range
from pdm_cli.core.estimators.forests import ExtraTrees, HistGradientBoosting
from pdm_cli.core.estimators.light_gbm import LightGBM
from pdm_cli.core.estimators.logistic import LogisticRegression
from pdm_cli.core.estimators.xgboost_booster import XGBoost
from pdm_cli.params import TrainParams

__all__ = ["ESTIMATORS", "Algorithm", "Estimator", "Model", "Range", "unavailable"]

_CORE = "pip install --force-reinstall pdm-cli"
_BOOSTER_SPACE = {
    "trees": Range(100, 600, log=True, integer=True),
    "learning_rate": Range(0.02, 0.2, log=True),
    "max_leaves": Range(8, 127, log=True, integer=True),
    "l2": Range(0.1, 30, log=True),
    "column_share": Range(0.2, 1.0),
}
_SPACE_BY_HESSIAN = {**_BOOSTER_SPACE, "min_child_weight": Range(0.1, 10, log=True)}
_SPACE_BY_ROWS = {**_BOOSTER_SPACE, "min_leaf_rows": Range(5, 100, log=True, integer=True)}

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
        install="pip install 'pdm-cli[lightgbm]', and the system's libgomp1",
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
            "learning_rate": 0.1,
            "max_leaves": 31,
            "min_leaf_rows": 20,
            "l2": 1.0,
            "column_share": 0.5,
        },
        space=_SPACE_BY_ROWS,
        package="sklearn",
        install=_CORE,
        suffix=".ubj",
    ),
    "extra_trees": Algorithm(
        make=ExtraTrees,
        defaults={"trees": 100, "max_leaves": 128, "min_leaf_rows": 2, "column_share": 1.0},
        space={
            "max_leaves": Range(64, 512, log=True, integer=True),
            "min_leaf_rows": Range(1, 20, log=True, integer=True),
            "column_share": Range(0.1, 1.0),
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
