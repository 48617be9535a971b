"""XGBoost: gradient-boosted trees, stored as XGBoost's own JSON.

XGBoost trusts the files it loads: a corrupt one can crash the process. So every index in a file is checked first, and
every number that could make a prediction or a Shapley value overflow.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models import ubjson
from pdm_cli.models.base import Checkpoint, FitOptions, FloatArray, Matrix, fit_components, unreadable
from pdm_cli.schema import LARGEST_READING

# XGBoost's parent index of the root.
NO_PARENT = 2**31 - 1
OBJECTIVE = "binary:logistic"
_MISSING = np.float32(-LARGEST_READING)
# XGBoost stores categories as float32 and accepts none above this.
_CATEGORY_LIMIT = 2**24
# Arrays with one value per node.
_INTEGERS = ("left_children", "right_children", "parents", "split_indices", "split_type", "default_left")
_FLOATS = ("split_conditions", "base_weights", "loss_changes", "sum_hessian")
_COUNT = re.compile(r"[0-9]{1,9}")
_BASE_SCORE = re.compile(r"\[?(-?[0-9.]+(?:E[-+]?[0-9]+)?)\]?")
_VERSION_PARTS = 3
_LARGEST = float(np.finfo(np.float32).max)
# The hessians of two children may exceed their parent's by this share; rounding to float32 needs 1e-7.
_ROUNDING = 1e-3


class BoosterModel:
    """XGBoost boosters, one per component; ``feature_types`` has ``c`` for categories, ``q`` for numbers."""

    def __init__(self, boosters: Sequence[Any], feature_types: list[str]) -> None:
        self._boosters = boosters
        self._feature_types = feature_types

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        if not len(values):
            return np.zeros((0, len(self._boosters)))
        return self._predict(values)

    def dump(self) -> list[bytes]:
        """Return each booster as XGBoost's JSON."""
        return [bytes(booster.save_raw("json")) for booster in self._boosters]

    def gains(self) -> FloatArray:
        """Return the sum of the gains of all splits on each feature, shape (c, f)."""
        found = np.zeros((len(self._boosters), len(self._feature_types)))
        for row, booster in zip(found, self._boosters, strict=True):
            for name, gain in booster.get_score(importance_type="total_gain").items():
                row[int(name.removeprefix("f"))] = gain
        return found

    def contributions(self, values: Matrix) -> FloatArray:
        """Return exact Shapley values of the log-odds (TreeSHAP), shape (m, c, f)."""
        return self._shapley(values)[:, :, :-1]

    def _shapley(self, values: Matrix) -> FloatArray:
        """Return Shapley values, shape (m, c, f + 1); the last is the mean prediction of the trees."""
        if not len(values):
            return np.zeros((0, len(self._boosters), values.shape[1] + 1))
        return self._predict(values, pred_contribs=True)

    def _predict(self, values: Matrix, **options: bool) -> FloatArray:
        """Return the output of each booster, stacked along axis 1; raises ModelError if XGBoost rejects one."""
        from xgboost.core import XGBoostError

        matrix = self._matrix(values)
        found = []
        for number, booster in enumerate(self._boosters, start=1):
            try:
                found.append(booster.predict(matrix, **options).astype(np.float64))
            except XGBoostError as exc:
                raise unreadable(number, exc) from exc
        return np.stack(found, axis=1)

    def _matrix(self, values: Matrix) -> Any:
        import xgboost

        marked = _mark_missing(values, self._feature_types)
        return xgboost.DMatrix(marked, feature_types=self._feature_types, nthread=1)


class XGBoost:
    """Histogram boosting with leaf-wise growth.

    Threads within one booster busy-wait for each other after every step, which made a fit twenty times slower next to
    another busy program. So components are fitted in parallel, each in one thread.
    """

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        options: FitOptions,
        *,
        categorical: Sequence[bool],
        weights: FloatArray | None = None,
    ) -> BoosterModel:
        """Fit one booster per component."""
        import xgboost

        feature_types = _feature_types(categorical)
        marked = _mark_missing(values, feature_types)
        binned = threading.local()

        def fit_component(column: FloatArray, checkpoint: Checkpoint) -> Any:
            # A matrix holds one label at a time: each thread bins the features once for all its components.
            if not hasattr(binned, "matrix"):
                binned.matrix = xgboost.QuantileDMatrix(marked, weight=weights, feature_types=feature_types, nthread=1)
            binned.matrix.set_label(column)
            booster = xgboost.Booster(_booster_params(options.hyper, options.seed), [binned.matrix])
            for tree in range(int(options.hyper["trees"])):
                checkpoint()
                booster.update(binned.matrix, tree)
            return booster

        return BoosterModel(fit_components(fit_component, labels, options), feature_types)

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> BoosterModel:
        """Return the model of ``dumps``; raises ModelError if one is not a booster with that many features."""
        boosters = load_boosters(dumps, features=len(categorical), objective=OBJECTIVE)
        return BoosterModel(boosters, _feature_types(categorical))


class _LazyBoosters(Sequence[Any]):
    """Boosters that are loaded at first use, because importing XGBoost takes a second."""

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
                raise unreadable(number, exc) from exc
            boosters.append(booster)
        return boosters


def load_boosters(dumps: Sequence[bytes], *, features: int, objective: str) -> Sequence[Any]:
    """Return the boosters in ``dumps``, checked before XGBoost reads them; raises ModelError."""
    for number, dump in enumerate(dumps, start=1):
        try:
            check_booster(dump, features=features, objective=objective)
        except ValueError as exc:
            raise unreadable(number, exc) from exc
    return _LazyBoosters(dumps)


def _feature_types(categorical: Sequence[bool]) -> list[str]:
    return ["c" if is_category else "q" for is_category in categorical]


def _mark_missing(values: Matrix, feature_types: list[str]) -> Matrix:
    """Replace missing numbers by a value below every reading; missing categories stay NaN.

    XGBoost stores a matrix with a single NaN in a wider and slower format. A split separates the mark from all
    readings as well as it separates NaN.
    """
    is_number: NDArray[np.bool_] = np.array([letter == "q" for letter in feature_types])
    return np.where(np.isnan(values) & is_number, _MISSING, values)


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


def check_booster(dump: bytes, *, features: int, objective: str) -> None:
    """Reject a dump that XGBoost must not read; raises ValueError with one line.

    Only boosters of scalar trees with this objective and number of features pass, and only if every index in them
    points to something that exists.
    """
    try:
        document = _parse(dump)
        learner = document["learner"]
        found = _count(learner["learner_model_param"]["num_feature"])
        if found != features:
            raise ValueError(f"fitted on {found} features, but the recipe lists {features}")
        if learner["objective"]["name"] != objective or learner["gradient_booster"]["name"] != "gbtree":
            raise ValueError("unexpected model type")
        # XGBoost aborts the process for a version in an array of doubles.
        if len(_integers(document["version"])) != _VERSION_PARTS:
            raise ValueError("invalid version of XGBoost")
        _check_columns(learner, features)
        _check_base_score(learner["learner_model_param"]["base_score"], objective)
        _check_trees(learner, features)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as exc:
        raise ValueError(f"not a booster ({type(exc).__name__}: {exc})") from exc


def _parse(dump: bytes) -> Any:
    """Return the document that XGBoost would see; it distinguishes the two formats by the same bytes."""
    if not dump.startswith(b'{"'):
        return ubjson.decode(dump)
    # XGBoost writes neither. Parsers differ in their treatment of escapes, so that keys could differ.
    if b"\\" in dump or not dump.isascii():
        raise ValueError("escaped or non-ASCII character")
    return json.loads(dump, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("duplicate key")
    return found


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise ValueError(f"{text[:20]!r} is not a count")
    return int(text)


def _check_columns(learner: Any, features: int) -> None:
    # XGBoost rejects data without the names in a booster, and boosters of pdm have none.
    if learner.get("feature_names", []) != []:
        raise ValueError("named features are not supported")
    feature_types = learner.get("feature_types", [])
    if feature_types != [] and (len(feature_types) != features or not set(feature_types) <= {"c", "q"}):
        raise ValueError("unexpected feature types")


def _check_base_score(text: str, objective: str) -> None:
    found = _BASE_SCORE.fullmatch(text)
    base_score = float(_floats([float(found[1])])[0]) if found else math.nan
    if not math.isfinite(base_score):
        raise ValueError("base_score is not finite")
    if objective == OBJECTIVE and not 0 < base_score < 1:
        raise ValueError("base_score is not a probability between 0 and 1")


def _check_trees(learner: Any, features: int) -> None:
    shape = learner["learner_model_param"]
    if _count(shape["num_class"]) != 0 or _count(shape["num_target"]) != 1:
        raise ValueError("more than one prediction per row")
    model = learner["gradient_booster"]["model"]
    trees, sizes = model["trees"], model["gbtree_model_param"]
    info = _integers(model["tree_info"])
    if model.get("cats", {}).get("enc"):
        raise ValueError("named categories are not supported")
    if _count(sizes["num_trees"]) != len(trees) or len(info) != len(trees) or np.any(info != 0):
        raise ValueError("wrong number of trees")
    # XGBoost stores each tree at its id: a duplicate one would leave a place without a tree.
    if not np.array_equal(_integers([tree["id"] for tree in trees]), np.arange(len(trees))):
        raise ValueError("trees are not numbered in order")
    rounds = _integers(model.get("iteration_indptr", [0]))
    if np.any(np.diff(rounds) < 0) or rounds[0] != 0 or rounds[-1] > len(trees):
        raise ValueError("boosting rounds do not match the trees")
    if _count(sizes["num_parallel_tree"]) < 1:
        raise ValueError("boosting rounds without trees")
    if any(_count(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees):
        raise ValueError("vector leaves are not supported")
    _check_nodes(trees, features)


def _check_nodes(trees: Any, features: int) -> None:
    """Check the nodes of all trees at once, which is ten times as fast as tree by tree."""
    counts = [_count(tree["tree_param"]["num_nodes"]) for tree in trees]
    if min(counts, default=1) < 1:
        raise ValueError("empty tree")
    if any([len(tree[name]) for tree in trees] != counts for name in (*_INTEGERS, *_FLOATS)):
        raise ValueError("tree array of the wrong length")
    left, right, parents, split, split_type, _ = (_integers(_join(trees, name)) for name in _INTEGERS)
    conditions, _, _, weights = (_floats(_join(trees, name)) for name in _FLOATS)
    here = np.concatenate([np.arange(count) for count in [0, *counts]])
    is_leaf = left == -1
    # Parents precede their children, so there are no cycles; XGBoost expects right children to follow left ones.
    is_inside = (here < left) & (left + 1 < np.repeat(counts, counts)) & (right == left + 1)
    if not np.where(is_leaf, right == -1, is_inside).all():
        raise ValueError("invalid child index in a tree")
    inner = np.flatnonzero(~is_leaf)
    expected = np.full(len(left), NO_PARENT)
    children = inner - here[inner] + left[inner]
    expected[children] = expected[children + 1] = here[inner]
    if not np.array_equal(parents, expected):
        raise ValueError("invalid parent index in a tree")
    if np.any(~is_leaf & ((split < 0) | (split >= features))):
        raise ValueError("a tree splits on an unknown feature")
    _check_overflow(leaves=conditions[is_leaf], weights=weights, inner=inner, children=children)
    by_category = np.flatnonzero((split_type != 0) & ~is_leaf)
    _check_categories(trees, here[by_category], np.repeat(np.arange(len(trees)), counts)[by_category])


def _check_overflow(*, leaves: Matrix, weights: Matrix, inner: NDArray[np.intp], children: NDArray[np.int64]) -> None:
    """Reject leaves and weights (hessians) for which predictions or Shapley values are not finite.

    TreeSHAP divides the weight of a child by its parent's, and sums values times weights, in float32.
    """
    # Thresholds may be infinite (then all known values go left), leaves may not.
    if not np.isfinite(leaves).all() or not np.all((weights >= 0) & (weights < np.inf)):
        raise ValueError("invalid leaf value or weight in a tree")
    exact = weights.astype(np.float64)
    below = exact[children] + exact[children + 1]
    if np.any(exact[inner] == 0) or np.any(below > exact[inner] * (1 + _ROUNDING)):
        raise ValueError("a tree node weighs less than its children")
    total = np.abs(leaves.astype(np.float64)).sum()
    if max(1.0, total) * max(1.0, exact.max(initial=0.0)) * 2 > _LARGEST:
        raise ValueError("leaf values or weights are too large")


def _check_categories(trees: Any, nodes: NDArray[Any], tree_of_node: NDArray[Any]) -> None:
    """Check the categories of all splits by category, given by node and tree."""
    names = ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    found, starts, sizes, values = (_integers(_join(trees, name)) for name in names)
    counts = [len(tree["categories_nodes"]) for tree in trees]
    if any([len(tree[name]) for tree in trees] != counts for name in names[1:3]):
        raise ValueError("splits by category without categories")
    trees_of_found = np.repeat(np.arange(len(trees)), counts)
    if not (np.array_equal(found, nodes) and np.array_equal(trees_of_found, tree_of_node)):
        raise ValueError("splits by category without categories")
    lengths = np.repeat([len(tree["categories"]) for tree in trees], counts)
    # Compared so that no sum overflows.
    if np.any((sizes < 1) | (sizes > lengths) | (starts < 0) | (starts > lengths - sizes)):
        raise ValueError("invalid list of categories in a tree")
    if np.any((values < 0) | (values >= _CATEGORY_LIMIT)):
        raise ValueError("category out of range in a tree")


def _join(trees: Any, name: str) -> list[Any]:
    return list(chain.from_iterable(tree[name] for tree in trees))


def _integers(values: list[Any]) -> NDArray[np.int64]:
    found = np.array(values)
    if found.shape != (len(values),) or (len(values) and found.dtype != np.int64):
        raise ValueError("tree array of the wrong type")
    return found.astype(np.int64)


def _floats(values: list[Any]) -> Matrix:
    found = np.array(values)
    if found.shape != (len(values),) or (len(values) and found.dtype.kind not in "if"):
        raise ValueError("tree array of the wrong type")
    with np.errstate(over="ignore"):
        return found.astype(np.float32)
