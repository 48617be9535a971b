from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pdm_cli.errors import ModelError
from pdm_cli.models import ESTIMATORS, FitOptions
from pdm_cli.models.logistic import LinearLogOdds, LogisticModel

CATEGORICAL = [False, True, False]
# Two features: a number with weight 2 per unit and mean 1.5, and a category.
BY_HAND = LinearLogOdds(-1.0, [3.0, 0.0], [1.5, 0.25], [2.0, 0.0], [[], [0.5, -0.5]])


def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 10, size=(500, 3)).astype(np.float32)
    values[:, 1] = rng.integers(0, 3, 500)
    labels = (values[:, 0] / 10 + (values[:, 1] == 2) + rng.normal(size=500) > 1).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    return values, labels[:, None]


def fit(values: np.ndarray, labels: np.ndarray, l2: float = 2.0) -> Any:
    algorithm = ESTIMATORS["logistic_regression"]
    return algorithm.make().fit(values, labels, FitOptions({"l2": l2}, seed=0), categorical=CATEGORICAL)


def test_terms_by_hand() -> None:
    values = np.array([[2.0, 0], [np.nan, 1], [1.5, np.nan], [1.5, 7]], np.float32)
    expected = [[1.0, 0.25], [3.0, -0.75], [0.0, -0.25], [0.0, -0.25]]
    np.testing.assert_array_equal(BY_HAND.terms(values), expected)
    np.testing.assert_array_equal(LogisticModel([BY_HAND]).contributions(values)[:, 0], expected)
    probabilities = LogisticModel([BY_HAND]).predict(values)[:, 0]
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(1 - np.sum(expected, axis=1))))


def test_fit_equals_scikit_learn_on_the_same_columns() -> None:
    values, labels = sample()
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    one_hot = OneHotEncoder(categories=[[0.0, 1.0, 2.0]], handle_unknown="ignore", sparse_output=False)
    design = ColumnTransformer([("n", numbers, [0, 2]), ("c", one_hot, [1])])
    oracle = make_pipeline(design, LogisticRegression(C=1 / 2.0, tol=1e-10, max_iter=10_000)).fit(values, labels[:, 0])
    np.testing.assert_allclose(fit(values, labels).predict(values)[:, 0], oracle.predict_proba(values)[:, 1], atol=1e-4)


def test_contributions_have_mean_zero_over_training_rows() -> None:
    values, labels = sample()
    np.testing.assert_allclose(fit(values, labels).contributions(values).mean(axis=0), 0, atol=1e-6)


def test_fit_larger_penalty_gives_smaller_weights() -> None:
    values, labels = sample()
    light, heavy = (np.abs(fit(values, labels, l2).contributions(values)).sum() for l2 in (0.1, 100))
    assert heavy < light


def rejection(dump: bytes, categorical: list[bool]) -> str:
    with pytest.raises(ModelError) as caught:
        ESTIMATORS["logistic_regression"].make().load([dump], categorical=categorical)
    return caught.value.message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "pdm.logistic/2"}, "unexpected model type"),
        ({"constant": float("nan")}, "NaN"),
        ({"constant": float("inf")}, "Infinity"),
        ({"constant": True}, "finite numbers"),
        ({"constant": "1.0"}, "finite numbers"),
        ({"typical": [1.0]}, "different length"),
        ({"mean": [1.0, [2.0]]}, "finite numbers"),
        ({"effects": [[], []]}, "categories"),
        ({"effects": [[], {"__class__": 1.0}]}, "finite numbers"),
        ({"weight": None}, "NoneType"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=str,
)
def test_load_inconsistent_numbers_is_rejected(changes: dict[str, Any], reason: str) -> None:
    content = json.loads(LogisticModel([BY_HAND]).dump()[0])
    assert reason in rejection(json.dumps(content | changes).encode(), [False, True])


def test_load_deep_nesting_is_rejected() -> None:
    rejection(b"[" * 100_000, [False])
