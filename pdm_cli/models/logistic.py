"""Logistic regression: a baseline for the other models, stored as numbers in JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models.base import Checkpoint, FitOptions, FloatArray, Matrix, fit_components, unreadable

FORMAT = "pdm.logistic/1"
_MAX_ITERATIONS = 100


@dataclass(frozen=True)
class LinearLogOdds:
    """Log-odds: a constant plus one term per feature, whose mean over the training rows is 0."""

    constant: float
    # Median of each feature, in place of missing numbers.
    typical: list[float]
    # Subtracted from a number, or from the effect of a category.
    mean: list[float]
    # Log-odds per unit of each feature; 0 for categories.
    weight: list[float]
    # Log-odds of each category, by position; empty for numbers. Unknown categories have effect 0.
    effects: list[list[float]]

    def terms(self, values: Matrix) -> FloatArray:
        """Return the contribution of each feature to the log-odds, shape (m, f)."""
        known = np.where(np.isnan(values), self.typical, values.astype(np.float64))
        terms = np.asarray(self.weight) * (known - self.mean)
        for column, effects in enumerate(self.effects):
            if effects:
                # One more, for values that are missing or were not seen in training.
                table = np.array([*effects, 0.0])
                terms[:, column] = table[_positions(values[:, column], len(effects))] - self.mean[column]
        return terms


class LogisticModel:
    """Linear log-odds, one per component."""

    def __init__(self, components: Sequence[LinearLogOdds]) -> None:
        self._components = components

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        from scipy.special import expit

        log_odds = [component.constant + component.terms(values).sum(axis=1) for component in self._components]
        return np.asarray(expit(np.stack(log_odds, axis=1)))

    def dump(self) -> list[bytes]:
        """Return the numbers of each component as JSON."""
        return [json.dumps({"format": FORMAT, **asdict(item)}).encode() for item in self._components]

    def contributions(self, values: Matrix) -> FloatArray:
        """Return weight times deviation from the mean, shape (m, c, f)."""
        return np.stack([component.terms(values) for component in self._components], axis=1)


class LogisticRegression:
    """Logistic regression with an L2 penalty on standardised features."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        options: FitOptions,
        *,
        categorical: Sequence[bool],
        weights: FloatArray | None = None,
    ) -> LogisticModel:
        """Fit one model per component; nothing is random."""
        from sklearn import linear_model
        from threadpoolctl import threadpool_limits

        typical = [_median(column) for column in values.T]
        design = _Design(values, categorical, typical)

        def fit_component(column: FloatArray, checkpoint: Checkpoint) -> LinearLogOdds:
            checkpoint()
            model = linear_model.LogisticRegression(
                C=1 / options.hyper["l2"], solver="newton-cholesky", max_iter=_MAX_ITERATIONS
            )
            model.fit(design.matrix, column, sample_weight=weights)
            return design.unfold(model.coef_[0], float(model.intercept_[0]))

        # Sums differ in the last bits with the number of threads.
        with threadpool_limits(limits=1, user_api="blas"):
            return LogisticModel(fit_components(fit_component, labels, options))

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> LogisticModel:
        """Return the model of ``dumps``; raises ModelError if one is not such a model with that many features."""
        components = []
        for number, dump in enumerate(dumps, start=1):
            try:
                components.append(_read(dump, list(categorical)))
            except (ValueError, TypeError, KeyError, RecursionError) as exc:
                raise unreadable(number, exc) from exc
        return LogisticModel(components)


class _Design:
    """Design matrix: standardised numbers, and one column per category."""

    def __init__(self, values: Matrix, categorical: Sequence[bool], typical: list[float]) -> None:
        self._typical = typical
        self._columns: list[NDArray[np.intp]] = []
        parts, width = [], 0
        for column, is_category, middle in zip(values.T, categorical, typical, strict=True):
            part = _one_hot(column) if is_category else np.where(np.isnan(column), middle, column)[:, None]
            parts.append(part.astype(np.float64))
            self._columns.append(np.arange(width, width + part.shape[1]))
            width += part.shape[1]
        self._categorical = list(categorical)
        self.matrix = np.concatenate(parts, axis=1)
        self._mean = self.matrix.mean(axis=0)
        is_flag = np.repeat(self._categorical, [len(columns) for columns in self._columns])
        # Do not divide by the spread of a constant column, which is 0.
        is_constant = np.ptp(self.matrix, axis=0) == 0
        self._spread = np.where(is_flag | is_constant, 1.0, self.matrix.std(axis=0))
        self.matrix -= self._mean
        self.matrix /= self._spread
        self.matrix[:, is_constant] = 0.0

    def unfold(self, weights: FloatArray, constant: float) -> LinearLogOdds:
        """Return the fitted weights by feature instead of by column."""
        weights = weights / self._spread
        mean, weight, effects = [], [], []
        for is_category, columns in zip(self._categorical, self._columns, strict=True):
            own = weights[columns]
            effects.append(own.tolist() if is_category else [])
            weight.append(0.0 if is_category else float(own[0]))
            mean.append(float(np.sum(own * self._mean[columns])) if is_category else float(self._mean[columns[0]]))
        return LinearLogOdds(constant, self._typical, mean, weight, effects)


def _median(column: Matrix) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else 0.0


def _positions(column: Matrix, count: int) -> NDArray[np.intp]:
    """Return positions from 0 to ``count`` - 1; ``count`` for anything else."""
    is_known = (column >= 0) & (column < count)
    return np.where(is_known, column, count).astype(np.intp)


def _one_hot(column: Matrix) -> FloatArray:
    known = column[~np.isnan(column)]
    count = int(known.max()) + 1 if len(known) else 1
    return np.eye(count + 1)[_positions(column, count)][:, :count]


def _read(dump: bytes, categorical: list[bool]) -> LinearLogOdds:
    content = json.loads(dump, parse_constant=_reject)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError("unexpected model type")
    found = LinearLogOdds(**content)
    if len(found.weight) != len(categorical):
        raise ValueError(f"fitted on {len(found.weight)} features, but the recipe lists {len(categorical)}")
    rows = [[found.constant], found.typical, found.mean, found.weight, *found.effects]
    if any(type(number) is not float or not math.isfinite(number) for row in rows for number in row):
        raise ValueError("not all values are finite numbers")
    if {len(found.typical), len(found.mean), len(found.effects)} != {len(categorical)}:
        raise ValueError("parts of different length")
    if [bool(effects) for effects in found.effects] != categorical:
        raise ValueError("categories differ from the recipe")
    return found


def _reject(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")
