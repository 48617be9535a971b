"""Trees of scikit-learn: histogram boosting and extremely randomised trees.

scikit-learn can keep a model only as a pickle. So its trees are handed over, exactly, to XGBoost: the same answers
from data only, loaded in milliseconds without scikit-learn, faster, and with exact Shapley values. Categories are
split as numbers, by their position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models import ubjson
from pdm_cli.models.base import Checkpoint, FloatArray, Matrix, carry_on, fit_side_by_side
from pdm_cli.models.xgboost import OBJECTIVE as LOG_ODDS
from pdm_cli.models.xgboost import BoosterModel, load_boosters, mark_missing
from pdm_cli.models.xgboost_check import NO_PARENT

PROBABILITY = "reg:squarederror"
# scikit-learn takes seeds of 32 bits.
_SEEDS = 2**32
# Probabilities closer to 0 or 1 than this have no useful log-odds.
_LEAST = 1e-6


@dataclass(frozen=True)
class Tree:
    """A decision tree as arrays over its n nodes, parents before children.

    Attributes
    ----------
    left, right : (n,) int arrays
        Children; anything at leaves.
    is_leaf : (n,) bool array
        Where rows end.
    feature : (n,) int array
        Feature that an inner node looks at.
    threshold : (n,) array
        Rows go left where the feature is at most this.
    missing_left : (n,) array
        Whether rows without the feature go left.
    value : (n,) array
        What a leaf gives.
    weight : (n,) array
        Training rows that came by.
    """

    left: NDArray[Any]
    right: NDArray[Any]
    is_leaf: NDArray[np.bool_]
    feature: NDArray[Any]
    threshold: FloatArray
    missing_left: NDArray[Any]
    value: FloatArray
    weight: NDArray[Any]


# What each random tree sees of the rows without the failure: weights make up for the others, and other trees see them.
_ROW_SHARE = 0.3
# As many as scikit-learn tells apart.
_BINS = 255


class MeanForestModel(BoosterModel):
    """Trees whose mean is the probability; missing values are left as they are."""

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        return np.clip(super().predict(values), 0.0, 1.0)

    def contributions(self, values: Matrix) -> FloatArray:
        """Return Shapley values of the probability, stretched to log-odds, shape (m, c, f).

        A row's values are all multiplied by one factor, so that they add up to the distance in log-odds between its
        probability and the mean one.
        """
        shapley = self._shapley(values)
        base = np.clip(shapley[:, :, -1], _LEAST, 1 - _LEAST)
        found = np.clip(shapley.sum(axis=2), _LEAST, 1 - _LEAST)
        away = found - base
        is_near = np.abs(away) < _LEAST
        # Where there is no distance to divide by, the slope of the log-odds is the factor.
        slope = 1 / (base * (1 - base))
        stretch = np.where(is_near, slope, (_logit(found) - _logit(base)) / np.where(is_near, 1.0, away))
        return shapley[:, :, :-1] * stretch[:, :, None]

    def _matrix(self, values: Matrix) -> Any:
        import xgboost

        return xgboost.DMatrix(values, nthread=1)


class HistGradientBoosting:
    """Histogram boosting of scikit-learn; components side by side, each on one thread."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        *,
        weights: FloatArray | None = None,
        categorical: Sequence[bool],  # noqa: ARG002 - split as numbers
        hyper: Mapping[str, float],
        seed: int,
        threads: int,
        checkpoint: Checkpoint = carry_on,
    ) -> BoosterModel:
        """Fit boosted trees a component."""
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        features = values.shape[1]
        bins = _Bins(mark_missing(values, _all_numbers(features)))

        def fit_component(column: FloatArray, heed: Checkpoint) -> Any:
            def score(*_: Any, **__: Any) -> float:
                heed()
                return 0.0

            # Scores are asked for before each tree, so they are where a fit can be ended; as many without a gain are
            # allowed as there are trees, so no tree is left out.
            patience = int(hyper["trees"])
            model = HistGradientBoostingClassifier(
                **_boosting_params(hyper, seed),
                early_stopping=True,
                validation_fraction=None,
                scoring=score,
                n_iter_no_change=patience,
            )
            # Sums come out a bit differently on another number of threads; the limit is the calling thread's own.
            with threadpool_limits(limits=1, user_api="openmp"):
                model.fit(bins.codes, column, sample_weight=weights)
            trees = [bins.restore(tree) for tree in _boosted_trees(model)]
            return _to_booster(trees, features=features, objective=LOG_ODDS)

        return BoosterModel(
            fit_side_by_side(fit_component, labels, threads=threads, checkpoint=checkpoint), _all_numbers(features)
        )

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> BoosterModel:
        """Return the model of ``dumps``.

        Raises
        ------
        ModelError
            If a dump is no such model of that many features.
        """
        features = len(categorical)
        return BoosterModel(load_boosters(dumps, features=features, objective=LOG_ODDS), _all_numbers(features))


class ExtraTrees:
    """Extremely randomised trees of scikit-learn; components side by side, each on one thread."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        *,
        weights: FloatArray | None = None,
        categorical: Sequence[bool],  # noqa: ARG002 - split as numbers
        hyper: Mapping[str, float],
        seed: int,
        threads: int,
        checkpoint: Checkpoint = carry_on,
    ) -> MeanForestModel:
        """Fit trees a component."""
        from sklearn.tree import ExtraTreeClassifier

        features = values.shape[1]
        # A node looks at one feature after the other, so each of them lies in one piece.
        by_feature = np.ascontiguousarray(values.T)
        seeds = np.random.default_rng(seed).integers(_SEEDS, size=int(hyper["trees"])).tolist()

        def fit_component(column: FloatArray, heed: Checkpoint) -> Any:
            trees = []
            for tree_seed in seeds:
                heed()
                rows, row_weights = _draw_rows(column, weights, tree_seed)
                tree = ExtraTreeClassifier(
                    criterion="log_loss",
                    max_leaf_nodes=int(hyper["max_leaves"]),
                    min_samples_leaf=int(hyper["min_leaf_rows"]),
                    max_features=hyper["column_share"],
                    random_state=tree_seed,
                )
                tree.fit(by_feature.take(rows, axis=1).T, column[rows], sample_weight=row_weights)
                trees.append(_random_tree(tree.tree_, share=1 / len(seeds)))
            return _to_booster(trees, features=features, objective=PROBABILITY)

        return MeanForestModel(
            fit_side_by_side(fit_component, labels, threads=threads, checkpoint=checkpoint), _all_numbers(features)
        )

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> MeanForestModel:
        """Return the model of ``dumps``.

        Raises
        ------
        ModelError
            If a dump is no such model of that many features.
        """
        features = len(categorical)
        return MeanForestModel(load_boosters(dumps, features=features, objective=PROBABILITY), _all_numbers(features))


def _draw_rows(
    column: FloatArray, weights: FloatArray | None, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the rows of a tree, all that have the failure and a share of the others, and their weights."""
    has_failure = column == 1
    others = np.flatnonzero(~has_failure)
    drawn = np.random.default_rng(seed).choice(others, math.ceil(_ROW_SHARE * len(others)), replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(has_failure), drawn]))
    weight = np.ones(len(rows)) if weights is None else weights[rows]
    return rows, np.where(has_failure[rows], weight, weight * len(others) / len(drawn))


class _Bins:
    """Features as numbers of bins, made once for all components.

    scikit-learn bins anew in each fit, and with weights takes longer for it than for the trees; numbers of bins it
    takes as they are.

    Parameters
    ----------
    values : (m, f) float32 array
        Features without NaN.

    Attributes
    ----------
    codes : (m, f) array
        Whole numbers from 0, in the type of scikit-learn.
    """

    def __init__(self, values: Matrix) -> None:
        self.codes: FloatArray = np.empty(values.shape)
        self._edges: FloatArray = np.zeros((values.shape[1], _BINS))
        for feature, column in enumerate(values.T):
            edges = _edges(column)
            self._edges[feature, : len(edges)] = edges
            self.codes[:, feature] = np.searchsorted(edges, column)

    def restore(self, tree: Tree) -> Tree:
        """Return a tree that was grown on the codes as one that looks at the features."""
        last = np.where(tree.is_leaf, 0, np.floor(tree.threshold)).astype(np.intp)
        return replace(tree, threshold=self._edges[tree.feature, last])


def _edges(column: Matrix) -> FloatArray:
    """Return the upper ends of all bins but the last, ascending."""
    found = np.sort(column).astype(np.float64)
    distinct = found[np.flatnonzero(np.diff(found, prepend=-np.inf))]
    if len(distinct) <= _BINS:
        return (distinct[1:] + distinct[:-1]) / 2
    places = len(found) * np.arange(1, _BINS) // _BINS
    return np.unique((found[places - 1] + found[places]) / 2)


def _all_numbers(features: int) -> list[str]:
    return ["q"] * features


def _boosting_params(hyper: Mapping[str, float], seed: int) -> dict[str, Any]:
    return {
        "max_iter": int(hyper["trees"]),
        "learning_rate": hyper["learning_rate"],
        "max_leaf_nodes": int(hyper["max_leaves"]),
        "min_samples_leaf": int(hyper["min_leaf_rows"]),
        "l2_regularization": hyper["l2"],
        "max_features": hyper["column_share"],
        "random_state": seed % _SEEDS,
    }


def _boosted_trees(model: Any) -> list[Tree]:
    trees: list[Tree] = []
    start = float(model._baseline_prediction.item())
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        trees.append(
            Tree(
                left=nodes["left"],
                right=nodes["right"],
                is_leaf=nodes["is_leaf"].astype(bool),
                feature=nodes["feature_idx"],
                threshold=nodes["num_threshold"],
                missing_left=nodes["missing_go_to_left"],
                # The log-odds that boosting starts from go into the leaves of the first tree.
                value=nodes["value"] + (0.0 if trees else start),
                weight=nodes["count"],
            )
        )
    return trees


def _random_tree(tree: Any, *, share: float) -> Tree:
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        is_leaf=tree.children_left == -1,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left,
        value=tree.value[:, 0, 1] * share,
        weight=tree.weighted_n_node_samples,
    )


def _to_booster(trees: list[Tree], *, features: int, objective: str) -> Any:
    """Return a booster of XGBoost whose margin is the sum of the trees."""
    import xgboost

    base = "5E-1" if objective == LOG_ODDS else "0"
    count = len(trees)
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
        "iteration_indptr": list(range(count + 1)),
        "tree_info": [0] * count,
        "trees": [_describe(tree, number, features) for number, tree in enumerate(trees)],
    }
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {
            "base_score": base,
            "boost_from_average": "1",
            "num_class": "0",
            "num_feature": str(features),
            "num_target": "1",
        },
        "objective": {"name": objective, "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(ubjson.encode({"learner": learner, "version": [3, 0, 0]})))
    return booster


def _describe(tree: Tree, number: int, features: int) -> dict[str, Any]:
    """Return a tree in the words of XGBoost's model format.

    There a right child stands just behind the left one, and Shapley values go wrong where it does not: the children
    of the k-th inner node become nodes 2 k + 1 and 2 k + 2.
    """
    count, inner = len(tree.left), np.flatnonzero(~tree.is_leaf)
    first = 2 * np.arange(len(inner), dtype=np.int32) + 1
    place = np.zeros(count, np.int32)
    place[tree.left[inner]], place[tree.right[inner]] = first, first + 1
    order = np.argsort(place)
    left, parents = np.full(count, -1, np.int32), np.full(count, NO_PARENT, np.int32)
    left[place[inner]] = first
    parents[first] = parents[first + 1] = place[inner]
    is_leaf = left == -1
    value = np.where(is_leaf, tree.value[order], 0.0).astype(np.float32)
    return {
        "base_weights": value,
        "categories": np.zeros(0, np.int32),
        "categories_nodes": np.zeros(0, np.int32),
        "categories_segments": np.zeros(0, np.int64),
        "categories_sizes": np.zeros(0, np.int64),
        "default_left": np.where(is_leaf, 0, tree.missing_left[order]).astype(np.uint8),
        "id": number,
        "left_children": left,
        "loss_changes": np.zeros(count, np.float32),
        "parents": parents,
        "right_children": np.where(is_leaf, -1, left + 1).astype(np.int32),
        "split_conditions": np.where(is_leaf, value, _just_above(tree.threshold)[order]),
        "split_indices": np.where(is_leaf, 0, tree.feature[order]).astype(np.int32),
        "split_type": np.zeros(count, np.uint8),
        "sum_hessian": tree.weight[order].astype(np.float32),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def _just_above(threshold: FloatArray) -> Matrix:
    """Return t for which x < t is x <= threshold, for every x in float32."""
    rounded = threshold.astype(np.float32)
    at_most = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return np.nextafter(at_most, np.float32(np.inf))


def _logit(probability: FloatArray) -> FloatArray:
    return np.log(probability) - np.log1p(-probability)
