"""XGBoost: gradient boosted trees. Its form of a model also serves the other trees, see :mod:`.forests`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models.base import Checkpoint, FloatArray, Matrix, carry_on, fit_side_by_side, unreadable
from pdm_cli.models.xgboost_check import check_booster
from pdm_cli.schema import LARGEST_READING

MISSING_MARK = np.float32(-LARGEST_READING)
OBJECTIVE = "binary:logistic"


class BoosterModel:
    """Boosters of XGBoost that give log-odds, one a component.

    Parameters
    ----------
    boosters : sequence of xgboost.Booster
        One a component.
    feature_types : list of str
        ``c`` for positions in a list of categories, ``q`` for numbers.
    """

    def __init__(self, boosters: Sequence[Any], feature_types: list[str]) -> None:
        self._boosters = boosters
        self._feature_types = feature_types

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        if not len(values):
            return np.zeros((0, len(self._boosters)))
        matrix = self._matrix(values)
        return np.stack([booster.predict(matrix).astype(np.float64) for booster in self._boosters], axis=1)

    def dump(self) -> list[bytes]:
        """Return each booster in universal binary JSON."""
        return [bytes(booster.save_raw("ubj")) for booster in self._boosters]

    def contributions(self, values: Matrix) -> FloatArray:
        """Return exact Shapley values of the log-odds (TreeSHAP), shape (m, c, f)."""
        return self._shapley(values)[:, :, :-1]

    def _shapley(self, values: Matrix) -> FloatArray:
        """Return Shapley values, shape (m, c, f + 1); the last is what the trees give on average."""
        if not len(values):
            return np.zeros((0, len(self._boosters), values.shape[1] + 1))
        matrix = self._matrix(values)
        return np.stack([b.predict(matrix, pred_contribs=True).astype(np.float64) for b in self._boosters], axis=1)

    def _matrix(self, values: Matrix) -> Any:
        import xgboost

        marked = mark_missing(values, self._feature_types)
        return xgboost.DMatrix(marked, feature_types=self._feature_types, nthread=1)


class XGBoost:
    """Histogram boosting that grows trees leaf by leaf.

    Threads inside one booster wait for one another in a busy loop after every step: with another program on the
    machine that made a fit twenty times slower. So components are fitted side by side, each on one thread.
    """

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        *,
        weights: FloatArray | None = None,
        categorical: Sequence[bool],
        hyper: Mapping[str, float],
        seed: int,
        threads: int,
        checkpoint: Checkpoint = carry_on,
    ) -> BoosterModel:
        """Fit one booster a component."""
        import xgboost

        feature_types = _feature_types(categorical)
        marked = mark_missing(values, feature_types)
        binned = threading.local()

        def fit_component(column: FloatArray, heed: Checkpoint) -> Any:
            # A matrix holds one label at a time: each thread bins the features once for all its components.
            if not hasattr(binned, "matrix"):
                binned.matrix = xgboost.QuantileDMatrix(marked, weight=weights, feature_types=feature_types, nthread=1)
            binned.matrix.set_label(column)
            booster = xgboost.Booster(_booster_params(hyper, seed), [binned.matrix])
            for tree in range(int(hyper["trees"])):
                heed()
                booster.update(binned.matrix, tree)
            return booster

        return BoosterModel(
            fit_side_by_side(fit_component, labels, threads=threads, checkpoint=checkpoint), feature_types
        )

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> BoosterModel:
        """Return the model of ``dumps``.

        Raises
        ------
        ModelError
            If a dump is no booster of that many features.
        """
        boosters = load_boosters(dumps, features=len(categorical), objective=OBJECTIVE)
        return BoosterModel(boosters, _feature_types(categorical))


class _StoredBoosters(Sequence[Any]):
    """Boosters that XGBoost reads when the first of them is wanted: to import XGBoost alone takes a second."""

    def __init__(self, dumps: Sequence[bytes]) -> None:
        self._dumps = dumps

    def __len__(self) -> int:
        return len(self._dumps)

    def __getitem__(self, place: Any) -> Any:
        return self._boosters[place]

    @cached_property
    def _boosters(self) -> list[Any]:
        import xgboost

        boosters = []
        for number, dump in enumerate(self._dumps, start=1):
            booster = xgboost.Booster({"nthread": 1})
            try:
                booster.load_model(bytearray(dump))
            except (xgboost.core.XGBoostError, ValueError) as exc:
                raise unreadable(number, str(exc).splitlines()[0]) from exc
            boosters.append(booster)
        return boosters


def load_boosters(dumps: Sequence[bytes], *, features: int, objective: str) -> Sequence[Any]:
    """Return the boosters that ``dumps`` hold, looked through before XGBoost sees them.

    Raises
    ------
    ModelError
        If a dump is no booster of that many features and that objective.
    """
    for number, dump in enumerate(dumps, start=1):
        try:
            check_booster(dump, features=features, objective=objective)
        except ValueError as exc:
            raise unreadable(number, str(exc).splitlines()[0]) from exc
    return _StoredBoosters(dumps)


def _feature_types(categorical: Sequence[bool]) -> list[str]:
    return ["c" if is_category else "q" for is_category in categorical]


def mark_missing(values: Matrix, feature_types: list[str]) -> Matrix:
    """Give missing numbers a value of their own, below every reading; unknown categories stay NaN.

    XGBoost stores a matrix with a single NaN in a wider form and is the slower for it; a split can tell the mark from
    all readings as well as it could tell NaN.
    """
    is_number: NDArray[np.bool_] = np.array([kind == "q" for kind in feature_types])
    return np.where(np.isnan(values) & is_number, MISSING_MARK, values)


def _booster_params(hyper: Mapping[str, float], seed: int) -> dict[str, Any]:
    return {
        "objective": OBJECTIVE,
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": int(hyper["max_leaves"]),
        "learning_rate": hyper["learning_rate"],
        "min_child_weight": hyper["min_child_weight"],
        "reg_lambda": hyper["l2"],
        "colsample_bytree": hyper["column_share"],
        "seed": seed,
        "nthread": 1,
        "verbosity": 0,
    }
