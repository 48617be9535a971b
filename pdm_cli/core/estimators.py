"""Learning algorithms: one model a component, saved as data only. One registry line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import ModelError
from pdm_cli.params import TrainParams

Matrix = NDArray[np.float32]
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

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool], threads: int) -> Model:
        """Return the model whose :meth:`Model.dump` gave ``dumps``."""


class BoosterModel:
    """Gradient boosted trees of XGBoost, one booster a component."""

    def __init__(self, boosters: Sequence[Any], feature_types: list[str], threads: int) -> None:
        self._boosters = boosters
        self._feature_types = feature_types
        self._threads = threads

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        import xgboost

        matrix = xgboost.DMatrix(values, feature_types=self._feature_types, nthread=self._threads or None)
        return np.stack([booster.predict(matrix).astype(np.float64) for booster in self._boosters], axis=1)

    def dump(self) -> list[bytes]:
        """Return each booster in universal binary JSON."""
        return [bytes(booster.save_raw("ubj")) for booster in self._boosters]


class XGBoost:
    """Histogram boosting that grows trees leaf by leaf."""

    def fit(
        self, values: Matrix, labels: FloatArray, *, categorical: Sequence[bool], params: TrainParams
    ) -> BoosterModel:
        """Fit one booster a component on one shared quantile matrix."""
        import xgboost

        feature_types = _feature_types(categorical)
        matrix = xgboost.QuantileDMatrix(values, feature_types=feature_types, nthread=params.threads or None)
        boosters = []
        for component in range(labels.shape[1]):
            matrix.set_label(labels[:, component])
            boosters.append(xgboost.train(_booster_params(params), matrix, num_boost_round=params.trees))
        return BoosterModel(boosters, feature_types, params.threads)

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool], threads: int) -> BoosterModel:
        """Return the model of ``dumps``.

        Raises
        ------
        ModelError
            If a dump is no booster.
        """
        import xgboost

        boosters = []
        for number, dump in enumerate(dumps):
            booster = xgboost.Booster({"nthread": threads} if threads else {})
            try:
                booster.load_model(bytearray(dump))
            except (xgboost.core.XGBoostError, ValueError) as exc:
                raise ModelError(
                    f"booster {number} of the model cannot be read", hint="train or fetch it again"
                ) from exc
            boosters.append(booster)
        return BoosterModel(boosters, _feature_types(categorical), threads)


def _feature_types(categorical: Sequence[bool]) -> list[str]:
    return ["c" if is_category else "q" for is_category in categorical]


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
        "nthread": params.threads or None,
        "verbosity": 0,
    }


ESTIMATORS: dict[str, Callable[[], Estimator]] = {"xgboost": XGBoost}
