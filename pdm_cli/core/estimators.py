"""Learning algorithms: one model a component, saved as data only. One registry line each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pdm_cli.core.cleaning import LARGEST_READING
from pdm_cli.errors import ModelError
from pdm_cli.params import TrainParams

Matrix = NDArray[np.float32]

MISSING_MARK = np.float32(-LARGEST_READING)
FloatArray = NDArray[np.float64]


class Model(Protocol):
    """A fitted model of all components."""

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c), for features of shape (m, f)."""

    def dump(self) -> list[bytes]:
        """Return one byte string a component; data, nothing that runs."""


class Estimator(Protocol):
    """An algorithm that can be fitted, and whose models can be read back."""

    def fit(self, values: Matrix, labels: FloatArray, *, categorical: Sequence[bool], params: TrainParams) -> Model:
        """Fit one model a column of ``labels`` (m, c); ``categorical`` says which of the f features are positions."""

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> Model:
        """Return the model whose :meth:`Model.dump` gave ``dumps``."""


class BoosterModel:
    """Gradient boosted trees of XGBoost, one booster a component."""

    def __init__(self, boosters: Sequence[Any], feature_types: list[str]) -> None:
        self._boosters = boosters
        self._feature_types = feature_types

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        import xgboost

        matrix = xgboost.DMatrix(
            _mark_missing(values, self._feature_types), feature_types=self._feature_types, nthread=1
        )
        return np.stack([booster.predict(matrix).astype(np.float64) for booster in self._boosters], axis=1)

    def dump(self) -> list[bytes]:
        """Return each booster in universal binary JSON."""
        return [bytes(booster.save_raw("ubj")) for booster in self._boosters]


class XGBoost:
    """Histogram boosting that grows trees leaf by leaf.

    Components are fitted side by side, each on one thread. Threads inside one booster wait for one another in a busy
    loop after every step: with another program on the machine that made a fit twenty times slower. And one thread a
    booster gives the same bytes however many there are.
    """

    def fit(
        self, values: Matrix, labels: FloatArray, *, categorical: Sequence[bool], params: TrainParams
    ) -> BoosterModel:
        """Fit one booster a component."""
        import xgboost

        feature_types = _feature_types(categorical)
        marked = _mark_missing(values, feature_types)
        binned = threading.local()
        stop = threading.Event()

        def fit_component(column: NDArray[np.float64]) -> Any:
            # A matrix holds one label at a time: each thread bins the features once for all its components.
            if not hasattr(binned, "matrix"):
                binned.matrix = xgboost.QuantileDMatrix(marked, feature_types=feature_types, nthread=1)
            binned.matrix.set_label(column)
            booster = xgboost.Booster(_booster_params(params), [binned.matrix])
            for tree in range(params.trees):
                if stop.is_set():
                    break
                booster.update(binned.matrix, tree)
            return booster

        workers = min(params.threads or os.cpu_count() or 1, labels.shape[1])
        with ThreadPoolExecutor(workers) as executor:
            try:
                boosters = list(executor.map(fit_component, labels.T))
            finally:
                # After Ctrl-C the executor waits for its threads: let them end with the tree they are at.
                stop.set()
        return BoosterModel(boosters, feature_types)

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> BoosterModel:
        """Return the model of ``dumps``.

        Raises
        ------
        ModelError
            If a dump is no booster.
        """
        import xgboost

        boosters = []
        for number, dump in enumerate(dumps, start=1):
            booster = xgboost.Booster({"nthread": 1})
            try:
                booster.load_model(bytearray(dump))
            except (xgboost.core.XGBoostError, ValueError) as exc:
                raise ModelError(
                    f"booster {number} of the model cannot be read", hint="train or fetch it again"
                ) from exc
            if booster.num_features() != len(categorical):
                raise ModelError(
                    f"booster {number} of the model was fitted on {booster.num_features()} features, "
                    f"the recipe lists {len(categorical)}",
                    hint="train or fetch it again",
                )
            boosters.append(booster)
        return BoosterModel(boosters, _feature_types(categorical))


def _feature_types(categorical: Sequence[bool]) -> list[str]:
    return ["c" if is_category else "q" for is_category in categorical]


def _mark_missing(values: Matrix, feature_types: list[str]) -> Matrix:
    """Give missing numbers a value of their own, below every reading; unknown categories stay NaN.

    XGBoost stores a matrix with a single NaN in a wider form and is the slower for it; a split can tell the mark from
    all readings as well as it could tell NaN.
    """
    is_number = np.array([kind == "q" for kind in feature_types])
    return np.where(np.isnan(values) & is_number, MISSING_MARK, values)


def _booster_params(params: TrainParams) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": params.max_leaves,
        "learning_rate": params.learning_rate,
        "min_child_weight": params.min_child_weight,
        "reg_lambda": params.l2,
        "colsample_bytree": params.column_share,
        "seed": params.seed,
        "nthread": 1,
        "verbosity": 0,
    }


ESTIMATORS: dict[str, Callable[[], Estimator]] = {"xgboost": XGBoost}
