from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.models import ubjson
from pdm_cli.models.xgboost_check import check_booster

OBJECTIVE = "binary:logistic"


@cache
def dumped() -> bytes:
    """Two trees over a number and a category, with a split by category in each."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=300), rng.integers(0, 4, 300)], axis=1).astype(np.float32)
    labels = np.isin(values[:, 1], (1, 3)) & (values[:, 0] > 0)
    data = xgboost.QuantileDMatrix(values, labels, feature_types=["q", "c"])
    booster = xgboost.train({"objective": OBJECTIVE, "max_depth": 3, "max_cat_to_onehot": 1}, data, 2)
    return bytes(booster.save_raw("ubj"))


def check(dump: bytes) -> None:
    check_booster(dump, features=2, objective=OBJECTIVE)


def write(value: Any) -> Any:
    """Arrays in this machine's order of bytes, which the writer takes."""
    if isinstance(value, dict):
        return {key: write(item) for key, item in value.items()}
    if isinstance(value, list):
        return [write(item) for item in value]
    return value.astype(value.dtype.newbyteorder("=")) if isinstance(value, np.ndarray) else value


def with_change(change: Callable[[dict[str, Any]], object]) -> bytes:
    learner = write(ubjson.decode(dumped()))["learner"]
    change(learner)
    return ubjson.encode({"learner": learner, "version": [3, 0, 0]})


def trees(learner: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = learner["gradient_booster"]["model"]["trees"]
    return found


def set_item(array: str, place: int, value: float) -> Callable[[dict[str, Any]], object]:
    return lambda learner: trees(learner)[1][array].__setitem__(place, value)


def set_array(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda learner: trees(learner)[1].__setitem__(name, value)


def set_shape(name: str, value: str) -> Callable[[dict[str, Any]], object]:
    return lambda learner: learner["learner_model_param"].__setitem__(name, value)


def test_a_booster_passes() -> None:
    check(dumped())
    check(with_change(lambda _: None))
    assert any(tree["split_type"].any() for tree in trees(ubjson.decode(dumped())["learner"]))


CHANGES = {
    "a child outside": (set_item("left_children", 0, 10_000), "leads nowhere"),
    "a child that is its parent": (set_item("left_children", 0, 0), "leads nowhere"),
    "children apart": (set_item("right_children", 0, 1), "leads nowhere"),
    "a leaf with a child": (set_item("right_children", -1, 1), "leads nowhere"),
    "a parent outside": (set_item("parents", 1, 10_000), "its parent's child"),
    "a root with a parent": (set_item("parents", 0, 0), "its parent's child"),
    "a feature outside": (set_item("split_indices", 0, 2), "not there"),
    "a feature below": (set_item("split_indices", 0, -1), "not there"),
    "a leaf that is no number": (set_item("split_conditions", -1, np.nan), "no number"),
    "a negative weight": (set_item("sum_hessian", 0, -1), "no number"),
    "a category too high": (set_item("categories", 0, 2**24), "out of range"),
    "a category below": (set_item("categories", 0, -1), "out of range"),
    "a list outside": (set_item("categories_segments", 0, 2**62), "not there"),
    "a list too long": (set_item("categories_sizes", 0, 2**62), "not there"),
    "an empty list": (set_item("categories_sizes", 0, 0), "not there"),
    "a list of another node": (set_item("categories_nodes", 0, 10_000), "without their categories"),
    "no list": (set_array("categories_nodes", np.zeros(0, np.int32)), "without their categories"),
    "an array too short": (set_array("default_left", np.zeros(1, np.uint8)), "wrong length or type"),
    "an array of another type": (set_array("left_children", np.zeros(5, np.float32)), "wrong length or type"),
    "a list for an array": (set_array("parents", []), "not a booster"),
    "another count of nodes": (set_array("tree_param", {"num_nodes": "1", "size_leaf_vector": "1"}), "wrong length"),
    "leaves of two numbers": (set_array("tree_param", {"num_nodes": "1", "size_leaf_vector": "2"}), "wrong size"),
    "no tree": (lambda learner: trees(learner).clear(), "not those it counts"),
    "rounds of more trees": (
        lambda learner: learner["gradient_booster"]["model"].__setitem__("iteration_indptr", [0, 9]),
        "rounds",
    ),
    "trees of another class": (
        lambda learner: learner["gradient_booster"]["model"].__setitem__("tree_info", [0, 7]),
        "not those it counts",
    ),
    "categories by name": (
        lambda learner: learner["gradient_booster"]["model"].__setitem__("cats", {"enc": ["a"]}),
        "by name",
    ),
    "two numbers a row": (set_shape("num_class", "2"), "one number a row"),
    "a start that is no number": (set_shape("base_score", "[NaN]"), "no number"),
    "another objective": (lambda learner: learner.__setitem__("objective", {"name": "reg:x"}), "another kind"),
    "another booster": (lambda learner: learner["gradient_booster"].__setitem__("name", "dart"), "another kind"),
    "no objective": (lambda learner: learner.pop("objective"), "not a booster"),
}


@pytest.mark.parametrize(("change", "why"), CHANGES.values(), ids=CHANGES)
def test_what_leads_out_of_the_model_is_refused(change: Callable[[dict[str, Any]], object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check(with_change(change))


@given(st.integers(0, len(dumped()) - 1), st.binary(min_size=1, max_size=8))
def test_changed_bytes_are_refused_by_value_error_or_harmless(at: int, new: bytes) -> None:
    content = bytearray(dumped())
    content[at : at + len(new)] = new
    try:
        check(bytes(content))
    except ValueError:
        return
    booster = xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(content)
    except xgboost.core.XGBoostError:
        return
    booster.predict(xgboost.DMatrix(np.zeros((2, 2), np.float32), feature_types=["q", "c"]))
