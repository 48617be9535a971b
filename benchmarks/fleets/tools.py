"""The tools that pdm is compared with: each learns one component from plain features, on the rows that pdm uses."""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

SEED = 0
TREES, RATE, COLUMN_SHARE, LEAVES = 200, 0.05, 0.5, 31


@dataclass(frozen=True)
class Task:
    """One component to learn: features, labels and weights of all rows, and the rows to fit and to predict.

    ``folds`` are pairs of rows to fit and to predict, within the training span; ``weights`` apply where a row is
    fitted. A tool that searches has ``seconds``.
    """

    features: pd.DataFrame
    labels: FloatArray
    weights: FloatArray
    fitted: Rows
    folds: list[tuple[Rows, Rows]]
    tested: Rows
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """Probabilities of the tested rows, and held-out ones with their labels to choose a threshold by."""

    tested: FloatArray
    held_out: FloatArray
    held_out_labels: FloatArray


@dataclass(frozen=True)
class Tool:
    """A tool; ``with_level`` adds the recent means minus the machine's own trailing level to the features."""

    run: Callable[[Task], Prediction]
    with_level: bool


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=TREES,
        learning_rate=RATE,
        num_leaves=LEAVES,
        colsample_bytree=COLUMN_SHARE,
        n_jobs=1,
        verbose=-1,
        random_state=SEED,
    )


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=TREES,
        learning_rate=RATE,
        max_leaves=LEAVES,
        max_depth=0,
        grow_policy="lossguide",
        tree_method="hist",
        colsample_bytree=COLUMN_SHARE,
        n_jobs=1,
        random_state=SEED,
    )


class _Logistic:
    """Logistic regression on standardised features, missing values replaced by the median."""

    def fit(self, features: pd.DataFrame, labels: FloatArray, sample_weight: FloatArray) -> None:
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        steps = SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
        self._model = make_pipeline(*steps, LogisticRegression(C=0.05, max_iter=200))
        with warnings.catch_warnings():
            # So many correlated columns take long to converge, and the last steps change little.
            warnings.simplefilter("ignore")
            self._model.fit(features, labels, logisticregression__sample_weight=sample_weight)

    def predict_proba(self, features: pd.DataFrame) -> FloatArray:
        return self._model.predict_proba(features)  # type: ignore[no-any-return]


def _fit_all(make: Callable[[], Any], task: Task) -> Prediction:
    """Fit and predict the folds, then all training rows."""

    def predict(fitted: Rows, predicted: Rows) -> FloatArray:
        labels = task.labels[fitted]
        if labels.min() == labels.max():
            return np.full(len(predicted), labels[0])
        model = make()
        model.fit(task.features.iloc[fitted], labels.astype(int), sample_weight=task.weights[fitted])
        return np.asarray(model.predict_proba(task.features.iloc[predicted])[:, 1], dtype=np.float64)

    held_out = [predict(*fold) for fold in task.folds]
    labels = [task.labels[predicted] for _, predicted in task.folds]
    return Prediction(predict(task.fitted, task.tested), np.concatenate(held_out), np.concatenate(labels))


def _flaml(task: Task) -> Prediction:
    """Let FLAML search on the last fold, then fit the estimator that it found."""
    from flaml import AutoML
    from sklearn.base import clone

    fitted, validated = _last_fold(task)
    search = AutoML()
    search.fit(
        X_train=task.features.iloc[fitted],
        y_train=task.labels[fitted].astype(int),
        sample_weight=task.weights[fitted],
        X_val=task.features.iloc[validated],
        y_val=task.labels[validated].astype(int),
        task="classification",
        metric="ap",
        time_budget=task.seconds,
        estimator_list=["lgbm", "xgboost", "xgb_limitdepth", "rf", "extra_tree"],
        n_jobs=1,
        seed=SEED,
        verbose=0,
    )
    return _fit_all(lambda: clone(search.model.estimator), task)


def _autogluon(python: str) -> Callable[[Task], Prediction]:
    """Return AutoGluon as a tool, run by the interpreter of an environment of its own."""

    def run(task: Task) -> Prediction:
        fitted, validated = _last_fold(task)
        with tempfile.TemporaryDirectory(prefix="pdm-benchmark-") as name:
            folder = Path(name)
            for part, rows in {"train": fitted, "validation": validated, "test": task.tested}.items():
                frame = task.features.iloc[rows].assign(_label=task.labels[rows], _weight=task.weights[rows])
                frame.to_parquet(folder / f"{part}.parquet", index=False)
            script = Path(__file__).with_name("autogluon_process.py")
            subprocess.run([python, str(script), str(folder), str(task.seconds)], check=True)
            tested, held_out = (
                pd.read_parquet(folder / f"{part}-probabilities.parquet")["probability"].to_numpy(np.float64)
                for part in ("test", "validation")
            )
        return Prediction(tested, held_out, task.labels[validated])

    return run


def _last_fold(task: Task) -> tuple[Rows, Rows]:
    """Return the last fold with failures in both parts; without any, all training rows twice."""
    usable = [fold for fold in task.folds if all(np.unique(task.labels[rows]).size == 2 for rows in fold)]
    return usable[-1] if usable else (task.fitted, task.fitted)


def find_tools(autogluon_python: str) -> dict[str, Tool]:
    """Return the tools by name, in the order of the table; those with ``-level`` have the level among the features."""

    def plain(make: Callable[[], Any]) -> Callable[[Task], Prediction]:
        return lambda task: _fit_all(make, task)

    return {
        "lightgbm": Tool(plain(_lightgbm), with_level=False),
        "lightgbm-level": Tool(plain(_lightgbm), with_level=True),
        "xgboost": Tool(plain(_xgboost), with_level=False),
        "xgboost-level": Tool(plain(_xgboost), with_level=True),
        "logistic-level": Tool(plain(_Logistic), with_level=True),
        "flaml-level": Tool(_flaml, with_level=True),
        "autogluon-level": Tool(_autogluon(autogluon_python), with_level=True),
    }
