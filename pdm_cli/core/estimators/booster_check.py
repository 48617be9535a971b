"""Whether bytes are a booster that XGBoost may read: every index in them points to what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.core.estimators import ubj

# What a node has, and of which kind: whole number or number.
_NODE_ARRAYS = {
    "left_children": "i",
    "right_children": "i",
    "parents": "i",
    "split_indices": "i",
    "split_conditions": "f",
    "split_type": "u",
    "default_left": "u",
    "base_weights": "f",
    "loss_changes": "f",
    "sum_hessian": "f",
}
# XGBoost keeps a category as float32 and takes no higher one.
_MOST_CATEGORIES = 2**24


def check_booster(dump: bytes, *, features: int, objective: str) -> None:
    """Refuse what is no booster of single trees.

    Parameters
    ----------
    dump : bytes
        Universal binary JSON.
    features : int
        Features the booster must have been fitted on.
    objective : str
        Objective it must have; it says what the sum of the leaves means.

    Raises
    ------
    ValueError
        One line on what is wrong.
    """
    document = ubj.decode(dump)
    try:
        learner = document["learner"]
        found = int(learner["learner_model_param"]["num_feature"])
        if found != features:
            raise ValueError(f"it was fitted on {found} features, the recipe lists {features}")
        if learner["objective"]["name"] != objective or learner["gradient_booster"]["name"] != "gbtree":
            raise ValueError("it is a model of another kind")
        _check_trees(learner, features)
    except (KeyError, TypeError, AttributeError, IndexError) as exc:
        raise ValueError(f"{type(exc).__name__} {exc}: not a booster") from exc


def _check_trees(learner: Any, features: int) -> None:
    shape = learner["learner_model_param"]
    if int(shape["num_class"]) != 0 or int(shape["num_target"]) != 1:
        raise ValueError("it does not give one number a row")
    model = learner["gradient_booster"]["model"]
    trees, info = model["trees"], np.asarray(model["tree_info"])
    sizes = model["gbtree_model_param"]
    if model.get("cats", {}).get("enc"):
        raise ValueError("it has categories by name")
    if int(sizes["num_trees"]) != len(trees) or info.shape != (len(trees),) or np.any(info != 0):
        raise ValueError("its trees are not those it counts")
    steps = np.asarray(model.get("iteration_indptr", [0]))
    if np.any(np.diff(steps) < 0) or steps[0] != 0 or steps[-1] > len(trees) or int(sizes["num_parallel_tree"]) < 1:
        raise ValueError("its rounds do not fit its trees")
    for tree in trees:
        _check_tree(tree, features)


def _check_tree(tree: Any, features: int) -> None:
    nodes, leaf_size = int(tree["tree_param"]["num_nodes"]), int(tree["tree_param"]["size_leaf_vector"])
    if nodes < 1 or leaf_size > 1:
        raise ValueError("a tree has leaves of the wrong size")
    if any(tree[name].shape != (nodes,) or tree[name].dtype.kind != kind for name, kind in _NODE_ARRAYS.items()):
        raise ValueError("a tree has arrays of the wrong length or type")
    left, right = tree["left_children"], tree["right_children"]
    here = np.flatnonzero(left != -1)
    # Parents stand before their children, so no row goes round in circles; XGBoost counts on a right child just
    # behind the left one.
    is_inside = (here < left[here]) & (left[here] < nodes - 1) & (right[here] == left[here] + 1)
    if not is_inside.all() or np.any(right[left == -1] != -1):
        raise ValueError("a tree has a branch that leads nowhere")
    _check_splits(tree, here, features)


def _check_splits(tree: Any, here: NDArray[np.intp], features: int) -> None:
    split = tree["split_indices"]
    if np.any(split[here] < 0) or np.any(split[here] >= features):
        raise ValueError("a tree asks for a feature that is not there")
    values, nodes = np.asarray(tree["categories"]), np.asarray(tree["categories_nodes"])
    starts, sizes = np.asarray(tree["categories_segments"]), np.asarray(tree["categories_sizes"])
    if not len(nodes) == len(starts) == len(sizes) or not set(here[tree["split_type"][here] == 1]) == set(nodes):
        raise ValueError("a tree has splits by category without their categories")
    # Compared so that no sum can run over.
    if np.any(sizes < 1) or np.any(sizes > len(values)) or np.any(starts < 0) or np.any(starts > len(values) - sizes):
        raise ValueError("a tree has categories that are not there")
    if np.any(values < 0) or np.any(values >= _MOST_CATEGORIES):
        raise ValueError("a tree has categories out of range")
