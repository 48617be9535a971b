"""LightGBM: gradient-boosted trees, stored as LightGBM's text format.

Its wheel needs the system's libgomp, which slim images lack; so it is an optional extra. LightGBM trusts every number
and index in a file that it loads, so they are checked first.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.models.base import Checkpoint, FitOptions, FloatArray, Matrix, fit_components, unreadable

# LightGBM accepts 31-bit seeds.
_SEEDS = 2**31
_END = "end of trees\n"
_HEAD = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
)
_FIXED = {
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "objective": "binary sigmoid:1",
}
# A threshold may be infinite: then all known values go left.
_LINE = re.compile(r"[a-z_]+=[-+.e0-9 ]*|threshold=([-+.e0-9 ]|inf)*")
# Arrays with one value per split, and with one per leaf.
_SPLITS = {"split_feature": int, "left_child": int, "right_child": int, "decision_type": int, "threshold": float}
_SPLITS |= dict.fromkeys(("split_gain", "internal_value", "internal_weight"), float) | {"internal_count": int}
_LEAVES = {"leaf_value": float, "leaf_weight": float, "leaf_count": int}
_DECISION_TYPES = 16


class LightGBMModel:
    """LightGBM boosters, one per component."""

    def __init__(self, dumps: Sequence[bytes]) -> None:
        import lightgbm

        self._dumps = list(dumps)
        self._boosters = [lightgbm.Booster(model_str=dump.decode()) for dump in dumps]

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        return self._predict_each(values)

    def dump(self) -> list[bytes]:
        """Return each booster as text."""
        return list(self._dumps)

    def contributions(self, values: Matrix) -> FloatArray:
        """Return exact Shapley values of the log-odds (TreeSHAP), shape (m, c, f)."""
        return self._predict_each(values, pred_contrib=True)[:, :, :-1]

    def _predict_each(self, values: Matrix, **options: bool) -> FloatArray:
        # LightGBM rejects a table without rows: predict one and drop it.
        rows = values if len(values) else np.zeros((1, values.shape[1]), np.float32)
        found = [np.asarray(booster.predict(rows, num_threads=1, **options)) for booster in self._boosters]
        return np.stack(found, axis=1)[: len(values)]


class LightGBM:
    """Histogram boosting with leaf-wise growth; components in parallel, each in one thread."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        options: FitOptions,
        *,
        categorical: Sequence[bool],
        weights: FloatArray | None = None,
    ) -> LightGBMModel:
        """Fit one booster per component."""
        import lightgbm

        params = _booster_params(options.hyper, options.seed)
        categories = np.flatnonzero(np.array(categorical)).tolist()
        binned = threading.local()

        def fit_component(column: FloatArray, checkpoint: Checkpoint) -> bytes:
            # A dataset holds one label at a time: each thread bins the features once for all its components.
            if not hasattr(binned, "dataset"):
                binned.dataset = lightgbm.Dataset(
                    values, column, weight=weights, params=params, categorical_feature=categories
                )
            binned.dataset.set_label(column)
            booster = lightgbm.Booster(params, binned.dataset)
            for _ in range(int(options.hyper["trees"])):
                checkpoint()
                if booster.update():
                    break
            return _keep_trees(booster.model_to_string()).encode()

        return LightGBMModel(fit_components(fit_component, labels, options))

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> LightGBMModel:
        """Return the model of ``dumps``; raises ModelError if one is not a booster with that many features."""
        import lightgbm

        for number, dump in enumerate(dumps, start=1):
            try:
                check_text(dump.decode("ascii"), features=len(categorical))
            except ValueError as exc:
                raise unreadable(number, exc) from exc
        try:
            return LightGBMModel(dumps)
        except lightgbm.basic.LightGBMError as exc:
            raise unreadable(1, exc) from exc


def _booster_params(hyper: Mapping[str, float], seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "num_leaves": int(hyper["max_leaves"]),
        "learning_rate": hyper["learning_rate"],
        "min_sum_hessian_in_leaf": hyper["min_child_weight"],
        "lambda_l2": hyper["l2"],
        "feature_fraction": hyper["column_share"],
        "seed": seed % _SEEDS,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _keep_trees(text: str) -> str:
    """Drop what prediction does not need: settings, importances, and the byte offsets of the trees."""
    head, trees = text.split("\n\n", 1)
    lines = [line for line in head.split("\n") if line.split("=")[0] in ("tree", *_HEAD)]
    return "\n".join(lines) + "\n\n" + trees[: trees.index(_END)] + _END


def check_text(text: str, *, features: int) -> None:
    """Reject a text that LightGBM must not read; raises ValueError with one line."""
    if not text.endswith("\n\n\n" + _END):
        raise ValueError("truncated")
    head, *blocks = text[: -len("\n\n\n" + _END)].split("\n\n")
    name, *lines = head.split("\n")
    fields = _fields(lines)
    if name != "tree" or set(fields) != set(_HEAD) or any(fields[key] != value for key, value in _FIXED.items()):
        raise ValueError("unexpected model type")
    found = int(fields["max_feature_idx"]) + 1
    if found != features:
        raise ValueError(f"fitted on {found} features, but the recipe lists {features}")
    if len(fields["feature_names"].split(" ")) != features or len(fields["feature_infos"].split(" ")) != features:
        raise ValueError("wrong number of feature names")
    # LightGBM ends a tree with two empty lines, so all but the first begin with one.
    for number, block in enumerate(blocks):
        _check_tree(block.removeprefix("\n").split("\n"), number, features)


def _fields(lines: list[str]) -> dict[str, str]:
    if any(line.count("=") != 1 for line in lines):
        raise ValueError("line without a name or a value")
    fields = dict(line.split("=") for line in lines)
    if len(fields) != len(lines):
        raise ValueError("duplicate line")
    return fields


def _check_tree(lines: list[str], number: int, features: int) -> None:
    if lines[0] != f"Tree={number}" or not all(_LINE.fullmatch(line) for line in lines[1:]):
        raise ValueError(f"unexpected line in tree {number}")
    fields = _fields(lines[1:])
    try:
        leaves, categories = int(fields.pop("num_leaves")), int(fields.pop("num_cat"))
        if leaves < 1 or fields.pop("is_linear") != "0" or len(_numbers(fields.pop("shrinkage"), float)) != 1:
            raise ValueError("unexpected tree type")
        lists = [_numbers(fields.pop(name), int) for name in ("cat_boundaries", "cat_threshold")] if categories else []
        splits = {name: _numbers(fields.pop(name), number_type) for name, number_type in _SPLITS.items()}
        sizes = [len(_numbers(fields.pop(name), number_type)) for name, number_type in _LEAVES.items()]
    except KeyError as exc:
        raise ValueError(f"tree without {exc}") from exc
    if fields or set(sizes) != {leaves} or {len(array) for array in splits.values()} != {leaves - 1}:
        raise ValueError("unknown tree array, or one of the wrong length")
    _check_splits(splits, leaves, features)
    is_list = splits["decision_type"] & 1 == 1
    _check_categories(splits["threshold"][is_list], categories, lists)


def _check_splits(splits: dict[str, NDArray[Any]], leaves: int, features: int) -> None:
    here = np.arange(leaves - 1)
    for child in (splits["left_child"], splits["right_child"]):
        # Leaves are counted down from -1. Parents precede their children, so there are no cycles.
        if not np.where(child < 0, child >= -leaves, (child > here) & (child < leaves - 1)).all():
            raise ValueError("invalid child index in a tree")
    reached = np.sort(np.concatenate([splits["left_child"], splits["right_child"]]))
    if leaves > 1 and not np.array_equal(reached, [*range(-leaves, 0), *range(1, leaves - 1)]):
        raise ValueError("a tree node without exactly one parent")
    split, decisions = splits["split_feature"], splits["decision_type"]
    if np.any((split < 0) | (split >= features) | (decisions < 0) | (decisions >= _DECISION_TYPES)):
        raise ValueError("a tree splits on an unknown feature")


def _check_categories(chosen: NDArray[Any], categories: int, lists: list[NDArray[Any]]) -> None:
    if np.any(chosen < 0) or np.any(chosen >= categories) or np.any(chosen % 1 != 0):
        raise ValueError("splits by category without categories")
    if lists:
        bounds, words = lists
        if len(bounds) != categories + 1 or bounds[0] != 0 or np.any(np.diff(bounds) < 1) or bounds[-1] != len(words):
            raise ValueError("invalid list of categories in a tree")


def _numbers(text: str, number_type: type) -> NDArray[Any]:
    try:
        values = [number_type(word) for word in text.split(" ") if word]
        return np.array(values, np.int64 if number_type is int else np.float64)
    except OverflowError as exc:
        raise ValueError("number too large") from exc
