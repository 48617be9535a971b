"""Whether a text is a model that LightGBM may read: it believes every number and index in it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

END = "end of trees\n"
HEAD = (
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
# A threshold may be infinite: all that is known goes left.
_LINE = re.compile(r"[a-z_]+=[-+.e0-9 ]*|threshold=([-+.e0-9 ]|inf)*")
# Whole numbers and numbers, one a split; numbers, one a leaf; and what lists of categories need.
_SPLITS = {"split_feature": int, "left_child": int, "right_child": int, "decision_type": int, "threshold": float}
_SPLITS |= dict.fromkeys(("split_gain", "internal_value", "internal_weight"), float) | {"internal_count": int}
_LEAVES = {"leaf_value": float, "leaf_weight": float, "leaf_count": int}
_KINDS = 16


def check_text(text: str, *, features: int) -> None:
    """Refuse what is no model of single trees.

    Parameters
    ----------
    text : str
        Head and trees as LightGBM writes them, without settings and importances.
    features : int
        Features the model must have been fitted on.

    Raises
    ------
    ValueError
        One line on what is wrong.
    """
    if not text.endswith("\n\n\n" + END):
        raise ValueError("cut short")
    head, *blocks = text[: -len("\n\n\n" + END)].split("\n\n")
    name, *lines = head.split("\n")
    fields = _fields(lines)
    if name != "tree" or set(fields) != set(HEAD) or any(fields[key] != value for key, value in _FIXED.items()):
        raise ValueError("it is a model of another kind")
    found = int(fields["max_feature_idx"]) + 1
    if found != features:
        raise ValueError(f"it was fitted on {found} features, the recipe lists {features}")
    if len(fields["feature_names"].split(" ")) != features or len(fields["feature_infos"].split(" ")) != features:
        raise ValueError("its features are not those it counts")
    # LightGBM ends a tree with two empty lines, so all but the first begin with one.
    for number, block in enumerate(blocks):
        _check_tree(block.removeprefix("\n").split("\n"), number, features)


def _fields(lines: list[str]) -> dict[str, str]:
    if any(line.count("=") != 1 for line in lines):
        raise ValueError("it has a line without a name or a value")
    fields = dict(line.split("=") for line in lines)
    if len(fields) != len(lines):
        raise ValueError("it has a line twice")
    return fields


def _check_tree(lines: list[str], number: int, features: int) -> None:
    if lines[0] != f"Tree={number}" or not all(_LINE.fullmatch(line) for line in lines[1:]):
        raise ValueError(f"tree {number} has a line that is not one of a tree")
    fields = _fields(lines[1:])
    try:
        leaves, categories = int(fields.pop("num_leaves")), int(fields.pop("num_cat"))
        if leaves < 1 or fields.pop("is_linear") != "0" or len(_numbers(fields.pop("shrinkage"), float)) != 1:
            raise ValueError("a tree is of another kind")
        lists = [_numbers(fields.pop(name), int) for name in ("cat_boundaries", "cat_threshold")] if categories else []
        splits = {name: _numbers(fields.pop(name), kind) for name, kind in _SPLITS.items()}
        sizes = [len(_numbers(fields.pop(name), kind)) for name, kind in _LEAVES.items()]
    except KeyError as exc:
        raise ValueError(f"a tree has no {exc}") from exc
    if fields or set(sizes) != {leaves} or {len(array) for array in splits.values()} != {leaves - 1}:
        raise ValueError("a tree has arrays of the wrong length or none of a tree")
    _check_splits(splits, leaves, features)
    is_list = splits["decision_type"] & 1 == 1
    _check_categories(splits["threshold"][is_list], categories, lists)


def _check_splits(splits: dict[str, NDArray[Any]], leaves: int, features: int) -> None:
    here = np.arange(leaves - 1)
    for child in (splits["left_child"], splits["right_child"]):
        # Leaves are counted from -1 down. Parents stand before their children, so no row goes round in circles.
        if not np.where(child < 0, child >= -leaves, (child > here) & (child < leaves - 1)).all():
            raise ValueError("a tree has a branch that leads nowhere")
    reached = np.sort(np.concatenate([splits["left_child"], splits["right_child"]]))
    if leaves > 1 and not np.array_equal(reached, [*range(-leaves, 0), *range(1, leaves - 1)]):
        raise ValueError("a tree has a node that is not one parent's child")
    split, kinds = splits["split_feature"], splits["decision_type"]
    if np.any(split < 0) or np.any(split >= features) or np.any(kinds < 0) or np.any(kinds >= _KINDS):
        raise ValueError("a tree asks for a feature that is not there")


def _check_categories(chosen: NDArray[Any], categories: int, lists: list[NDArray[Any]]) -> None:
    """Refuse splits by category whose list is not there."""
    if np.any(chosen < 0) or np.any(chosen >= categories) or np.any(chosen % 1 != 0):
        raise ValueError("a tree has splits by category without their categories")
    if lists:
        bounds, words = lists
        if len(bounds) != categories + 1 or bounds[0] != 0 or np.any(np.diff(bounds) < 1) or bounds[-1] != len(words):
            raise ValueError("a tree has categories that are not there")


def _numbers(text: str, kind: type) -> NDArray[Any]:
    try:
        return np.array([kind(word) for word in text.split(" ") if word], np.int64 if kind is int else np.float64)
    except OverflowError as exc:
        raise ValueError("a number is too large") from exc
