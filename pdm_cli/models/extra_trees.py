"""Extremely randomised trees of scikit-learn, stored as an XGBoost booster.

scikit-learn can only store a model as a pickle. So its trees are converted to XGBoost's format, exactly: data only,
loaded in milliseconds without scikit-learn, faster to predict, and with exact Shapley values. Categories are split as
numbers, by their position.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models.base import Checkpoint, FitOptions, FloatArray, Matrix, fit_components
from pdm_cli.models.xgboost import NO_PARENT, BoosterModel, load_boosters

OBJECTIVE = "reg:squarederror"
# scikit-learn accepts 32-bit seeds.
_SEEDS = 2**32
# Probabilities closer to 0 or 1 than this have no useful log-odds.
_MIN_PROBABILITY = 1e-6
# Each tree sees this share of the rows without a failure, weighted up; other trees see other rows.
_ROW_SHARE = 0.3


class ExtraTreesModel(BoosterModel):
    """Trees whose mean is the probability; missing values stay NaN."""

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        return np.clip(super().predict(values), 0.0, 1.0)

    def contributions(self, values: Matrix) -> FloatArray:
        """Return Shapley values of the probability, scaled to log-odds, shape (m, c, f).

        The values of a row are multiplied by one factor, so that they add up to the difference in log-odds between its
        probability and the mean one.
        """
        shapley = self._shapley(values)
        base = np.clip(shapley[:, :, -1], _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        found = np.clip(shapley.sum(axis=2), _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        difference = found - base
        is_near = np.abs(difference) < _MIN_PROBABILITY
        # Without a difference to divide by, the factor is the slope of the log-odds.
        slope = 1 / (base * (1 - base))
        scale = np.where(is_near, slope, (_logit(found) - _logit(base)) / np.where(is_near, 1.0, difference))
        return shapley[:, :, :-1] * scale[:, :, None]

    def _matrix(self, values: Matrix) -> Any:
        import xgboost

        return xgboost.DMatrix(values, nthread=1)


class ExtraTrees:
    """Extremely randomised trees; components in parallel, each in one thread."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        options: FitOptions,
        *,
        categorical: Sequence[bool],  # noqa: ARG002 - split as numbers
        weights: FloatArray | None = None,
    ) -> ExtraTreesModel:
        """Fit the trees of each component."""
        from sklearn.tree import ExtraTreeClassifier

        features, hyper = values.shape[1], options.hyper
        # A node reads one feature after the other, so each of them is stored contiguously.
        by_feature = np.ascontiguousarray(values.T)
        seeds = np.random.default_rng(options.seed).integers(_SEEDS, size=int(hyper["trees"])).tolist()

        def fit_component(column: FloatArray, checkpoint: Checkpoint) -> Any:
            trees = []
            for tree_seed in seeds:
                checkpoint()
                rows, row_weights = _draw_rows(column, weights, tree_seed)
                tree = ExtraTreeClassifier(
                    criterion="log_loss",
                    max_leaf_nodes=int(hyper["max_leaves"]),
                    min_samples_leaf=int(hyper["min_leaf_rows"]),
                    max_features=hyper["column_share"],
                    random_state=tree_seed,
                )
                tree.fit(by_feature.take(rows, axis=1).T, column[rows], sample_weight=row_weights)
                trees.append(tree.tree_)
            return _to_booster(trees, features=features)

        return ExtraTreesModel(fit_components(fit_component, labels, options), ["q"] * features)

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> ExtraTreesModel:
        """Return the model of ``dumps``; raises ModelError if one is not such a booster with that many features."""
        features = len(categorical)
        return ExtraTreesModel(load_boosters(dumps, features=features, objective=OBJECTIVE), ["q"] * features)


def _draw_rows(
    column: FloatArray, weights: FloatArray | None, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the rows of a tree, all with a failure ahead and a share of the others, and their weights."""
    has_failure = column == 1
    others = np.flatnonzero(~has_failure)
    drawn = np.random.default_rng(seed).choice(others, math.ceil(_ROW_SHARE * len(others)), replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(has_failure), drawn]))
    weight = np.ones(len(rows)) if weights is None else weights[rows]
    return rows, np.where(has_failure[rows], weight, weight * len(others) / len(drawn))


def _to_booster(trees: Sequence[Any], *, features: int) -> Any:
    """Return an XGBoost booster that predicts the mean of scikit-learn's trees."""
    import xgboost

    count = len(trees)
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
        "iteration_indptr": list(range(count + 1)),
        "tree_info": [0] * count,
        "trees": [_convert(tree, number, features, share=1 / count) for number, tree in enumerate(trees)],
    }
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {
            "base_score": "0",
            "boost_from_average": "1",
            "num_class": "0",
            "num_feature": str(features),
            "num_target": "1",
        },
        "objective": {"name": OBJECTIVE, "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(json.dumps({"learner": learner, "version": [3, 0, 0]}).encode()))
    return booster


def _convert(tree: Any, number: int, features: int, *, share: float) -> dict[str, Any]:
    """Return a tree of scikit-learn in XGBoost's model format, its leaves multiplied by ``share``.

    XGBoost expects a right child just after the left one, or Shapley values are wrong: the children of the k-th inner
    node become nodes 2 k + 1 and 2 k + 2.
    """
    count, inner = tree.node_count, np.flatnonzero(tree.children_left != -1)
    first = 2 * np.arange(len(inner)) + 1
    place = np.zeros(count, np.intp)
    place[tree.children_left[inner]], place[tree.children_right[inner]] = first, first + 1
    order = np.argsort(place)
    left, parents = np.full(count, -1), np.full(count, NO_PARENT)
    left[place[inner]] = first
    parents[first] = parents[first + 1] = place[inner]
    is_leaf = left == -1
    value = np.where(is_leaf, (tree.value[:, 0, 1] * share)[order], 0.0)
    zeros = [0] * count
    return {
        "base_weights": _shortest(value),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": np.where(is_leaf, 0, tree.missing_go_to_left[order]).tolist(),
        "id": number,
        "left_children": left.tolist(),
        "loss_changes": _shortest(np.zeros(count)),
        "parents": parents.tolist(),
        "right_children": np.where(is_leaf, -1, left + 1).tolist(),
        "split_conditions": _shortest(np.where(is_leaf, value, _next_above(tree.threshold)[order])),
        "split_indices": np.where(is_leaf, 0, tree.feature[order]).tolist(),
        "split_type": zeros,
        "sum_hessian": _shortest(tree.weighted_n_node_samples[order]),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _shortest(values: FloatArray) -> list[float]:
    """Return numbers that JSON writes as the shortest decimals of their float32.

    XGBoost parses longer decimals by a function that depends on the process's locale.
    """
    decimals: list[float] = values.astype(np.float32).astype(str).astype(np.float64).tolist()
    return decimals


def _next_above(threshold: FloatArray) -> Matrix:
    """Return t such that x < t is equivalent to x <= threshold for every float32 x."""
    rounded = threshold.astype(np.float32)
    at_most = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return np.nextafter(at_most, np.float32(np.inf))


def _logit(probability: FloatArray) -> FloatArray:
    return np.log(probability) - np.log1p(-probability)
