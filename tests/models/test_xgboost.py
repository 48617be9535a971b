from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.errors import ModelError
from pdm_cli.models.xgboost import BoosterModel, XGBoost, check_booster

OBJECTIVE = "binary:logistic"


@cache
def booster() -> xgboost.Booster:
    """Two trees over a number and a category, with a split by category in each."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=300), rng.integers(0, 4, 300)], axis=1).astype(np.float32)
    labels = np.isin(values[:, 1], (1, 3)) & (values[:, 0] > 0)
    data = xgboost.QuantileDMatrix(values, labels, feature_types=["q", "c"])
    return xgboost.train({"objective": OBJECTIVE, "max_depth": 3, "max_cat_to_onehot": 1}, data, 2)


@cache
def dumped(raw_format: str = "json") -> bytes:
    return bytes(booster().save_raw(raw_format))


def check(dump: bytes) -> None:
    check_booster(dump, features=2, objective=OBJECTIVE)


def with_change(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(dumped())
    change(document["learner"])
    # XGBoost writes no spaces.
    return json.dumps(document, separators=(",", ":")).encode()


def trees(learner: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = learner["gradient_booster"]["model"]["trees"]
    return found


def set_item(array: str, place: int, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda learner: trees(learner)[1][array].__setitem__(place, value)


def set_array(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda learner: trees(learner)[1].__setitem__(name, value)


def set_shape(name: str, value: str) -> Callable[[dict[str, Any]], object]:
    return lambda learner: learner["learner_model_param"].__setitem__(name, value)


@pytest.mark.parametrize("raw_format", ["json", "ubj"])
def test_check_booster_of_xgboost_passes(raw_format: str) -> None:
    check(dumped(raw_format))


def test_sample_has_splits_by_category() -> None:
    check(with_change(lambda _: None))
    assert any(any(tree["split_type"]) for tree in trees(json.loads(dumped())["learner"]))


CHANGES = {
    "a child outside": (set_item("left_children", 0, 10_000), "invalid child index"),
    "a child that is its parent": (set_item("left_children", 0, 0), "invalid child index"),
    "children apart": (set_item("right_children", 0, 1), "invalid child index"),
    "a leaf with a child": (set_item("right_children", -1, 1), "invalid child index"),
    "a parent outside": (set_item("parents", 1, 10_000), "invalid parent index"),
    "a root with a parent": (set_item("parents", 0, 0), "invalid parent index"),
    "a feature outside": (set_item("split_indices", 0, 2), "unknown feature"),
    "a feature below": (set_item("split_indices", 0, -1), "unknown feature"),
    "a leaf that is not finite": (set_item("split_conditions", -1, np.nan), "invalid leaf value or weight"),
    "a negative weight": (set_item("sum_hessian", 0, -1), "invalid leaf value or weight"),
    "a category too high": (set_item("categories", 0, 2**24), "out of range"),
    "a leaf beyond float32": (set_item("split_conditions", -1, 1e300), "invalid leaf value or weight"),
    "a category below": (set_item("categories", 0, -1), "out of range"),
    "a list outside": (set_item("categories_segments", 0, 2**62), "invalid list of categories"),
    "a list too long": (set_item("categories_sizes", 0, 2**62), "invalid list of categories"),
    "an empty list": (set_item("categories_sizes", 0, 0), "invalid list of categories"),
    "a list of another node": (set_item("categories_nodes", 0, 10_000), "without categories"),
    "no list": (set_array("categories_nodes", []), "without categories"),
    "an array too short": (set_array("default_left", [0]), "wrong length"),
    "a fraction for an index": (set_item("left_children", 0, 1.5), "wrong type"),
    "a string for an index": (set_item("left_children", 0, "1"), "wrong type"),
    "a list for an index": (set_item("left_children", 0, [1]), "."),
    "an index beyond 64 bits": (set_item("left_children", 0, 2**64), "wrong type"),
    "an object for an array": (set_array("parents", {}), "wrong length"),
    "another count of nodes": (set_array("tree_param", {"num_nodes": "1", "size_leaf_vector": "1"}), "wrong length"),
    "leaves of two numbers": (set_array("tree_param", {"num_nodes": "1", "size_leaf_vector": "2"}), "vector leaves"),
    "no tree": (lambda learner: trees(learner).clear(), "wrong number of trees"),
    "rounds of more trees": (
        lambda learner: learner["gradient_booster"]["model"].__setitem__("iteration_indptr", [0, 9]),
        "rounds",
    ),
    "trees of another class": (
        lambda learner: learner["gradient_booster"]["model"].__setitem__("tree_info", [0, 7]),
        "wrong number of trees",
    ),
    "categories by name": (
        lambda learner: learner["gradient_booster"]["model"].__setitem__("cats", {"enc": ["a"]}),
        "named categories",
    ),
    "two numbers a row": (set_shape("num_class", "2"), "more than one prediction"),
    "a start that is not finite": (set_shape("base_score", "[NaN]"), "base_score"),
    "another objective": (lambda learner: learner.__setitem__("objective", {"name": "reg:x"}), "unexpected model type"),
    "another booster": (
        lambda learner: learner["gradient_booster"].__setitem__("name", "dart"),
        "unexpected model type",
    ),
    "a probability above 1 to start from": (set_shape("base_score", "5E0"), "not a probability"),
    "a probability of 1 in float32": (set_shape("base_score", "9.99999999999E-1"), "not a probability"),
    "a probability of 0 in float32": (set_shape("base_score", "[1E-60]"), "not a probability"),
    "a negative probability": (set_shape("base_score", "[-5E-1]"), "not a probability"),
    "digits with an underscore": (set_shape("base_score", "0.1_5"), "base_score"),
    "features by name": (lambda learner: learner.__setitem__("feature_names", ["a", "b"]), "named features"),
    "no list of feature names": (lambda learner: learner.__setitem__("feature_names", None), "named features"),
    "types of other features": (lambda learner: learner.__setitem__("feature_types", ["q"]), "feature types"),
    "an unknown type": (lambda learner: learner.__setitem__("feature_types", ["q", "x"]), "feature types"),
    "a duplicate tree id": (set_array("id", 0), "not numbered in order"),
    "a tree id outside": (set_array("id", 2), "not numbered in order"),
    "trees in another order": (lambda learner: trees(learner).reverse(), "not numbered in order"),
    "a tree id of another type": (set_array("id", 1.0), "wrong type"),
    "an infinite weight": (set_item("sum_hessian", 0, np.inf), "invalid leaf value or weight"),
    "a weight beyond float32": (set_item("sum_hessian", 0, 1e300), "invalid leaf value or weight"),
    "a weight that is not a number": (set_item("sum_hessian", 0, np.nan), "invalid leaf value or weight"),
    "a split without weight": (set_item("sum_hessian", 0, 0.0), "weighs less"),
    "a child heavier than its parent": (set_item("sum_hessian", -1, 3e38), "weighs less"),
    "weights whose sums overflow": (set_item("sum_hessian", 0, 3e38), "too large"),
    "leaves whose sums overflow": (set_item("split_conditions", -1, 3e38), "too large"),
    "no objective": (lambda learner: learner.pop("objective"), "not a booster"),
}


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES)
def test_check_booster_with_invalid_part_is_rejected(change: Callable[[dict[str, Any]], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check(with_change(change))


def test_check_booster_in_binary_json_with_duplicate_tree_id_is_rejected() -> None:
    before = b"L" + (2).to_bytes(8, "big") + b"idi"
    content = dumped("ubj")
    assert content.count(before + b"\x01") == 1
    with pytest.raises(ValueError, match="not numbered in order"):
        check(content.replace(before + b"\x01", before + b"\x00"))


def test_check_booster_in_binary_json_with_version_in_doubles_is_rejected() -> None:
    content = dumped("ubj")
    start = content.index(b"version") + len(b"version")
    doubles = b"[$D#L" + (3).to_bytes(8, "big") + struct.pack(">3d", 3, 0, 0)
    with pytest.raises(ValueError, match="wrong type"):
        check(content[:start] + doubles + b"}")


@pytest.mark.parametrize("base_score", ["0", "[0E0]", "-1.5E+0", "[2E-1]", "7"])
def test_check_booster_of_values_with_any_finite_base_score_passes(base_score: str) -> None:
    def change(learner: dict[str, Any]) -> None:
        learner["objective"]["name"] = "reg:squarederror"
        learner["learner_model_param"]["base_score"] = base_score

    check_booster(with_change(change), features=2, objective="reg:squarederror")


def leaf_places(value: object, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the keys and positions of all values but objects and long lists, of which the first and last item."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaf_places(item, (*place, key))]
    if isinstance(value, list):
        ends = sorted({0, len(value) - 1}) if value else []
        return [place, *(leaf for end in ends for leaf in leaf_places(value[end], (*place, end)))]
    return [place]


NEW_VALUES: list[Any] = [None, True, -1, 0, 3, 2**40, 0.0, 1e-45, 3e38, np.nan, np.inf, "-1", "5E0", [], ["a"], {}]
ROWS = np.array([[0.5, 1], [-0.5, 3], [np.nan, np.nan], [0, 0]], np.float32)


@pytest.mark.parametrize("new", NEW_VALUES, ids=repr)
def test_load_with_any_changed_value_is_rejected_or_gives_finite_results(new: object) -> None:
    document = json.loads(dumped())
    for *path, last in leaf_places(document):
        parent = document
        for step in path:
            parent = parent[step]
        old, parent[last] = parent[last], new
        dump = json.dumps(document, separators=(",", ":")).encode()
        parent[last] = old
        try:
            model = XGBoost().load([dump], categorical=[False, True])
            results = [model.predict(ROWS), model.contributions(ROWS)]
        except ModelError:
            continue
        assert all(np.isfinite(result).all() for result in results), (*path, last)


@pytest.mark.parametrize("method", ["predict", "contributions"])
def test_load_booster_that_xgboost_rejects_at_first_use_is_model_error(method: str) -> None:
    # XGBoost accepts no whole number among fractions.
    dump = with_change(set_item("loss_changes", 0, 1))
    model = XGBoost().load([dumped(), dump], categorical=[False, True])
    with pytest.raises(ModelError, match="booster 2 of the model cannot be read"):
        getattr(model, method)(ROWS)


@pytest.mark.parametrize("method", ["predict", "contributions"])
def test_booster_that_fails_in_use_is_model_error(method: str) -> None:
    invalid = booster().copy()
    invalid.set_param({"base_score": 5})
    with pytest.raises(ModelError, match="booster 2 of the model cannot be read"):
        getattr(BoosterModel([booster(), invalid], ["q", "c"]), method)(ROWS)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"id":0', b'"id":0,"id":0', "duplicate key"),
        (b'"id":0', b'"i\\u0064":0', "escaped"),
        (b'"id":0', '"ïd":0'.encode(), "non-ASCII"),
        (b'"version"', b'"deep":' + b"[" * 5000, "not a booster"),
        (b'"version":[3,', b'"version":[' + b"9" * 5000 + b",", "."),
        (b'"version":[', b'"version":[3,', "invalid version"),
        (b'"num_trees":"2"', b'"num_trees":"0_2"', "not a count"),
        (b'"num_trees":"2"', b'"num_trees":" 2"', "not a count"),
    ],
)
def test_check_booster_with_ambiguous_json_is_rejected(old: bytes, new: bytes, reason: str) -> None:
    assert old in dumped()
    with pytest.raises(ValueError, match=reason):
        check(dumped().replace(old, new, 1))


@given(
    st.sampled_from(["json", "ubj"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=8) | st.text('0189-. ,[]E{}":', min_size=1, max_size=6).map(str.encode),
)
def test_check_booster_with_changed_bytes_is_rejected_or_harmless(raw_format: str, share: float, new: bytes) -> None:
    content = bytearray(dumped(raw_format))
    at = int(len(content) * share)
    content[at : at + len(new)] = new
    try:
        check(bytes(content))
    except ValueError:
        return
    loaded = xgboost.Booster({"nthread": 1})
    try:
        loaded.load_model(content)
    except xgboost.core.XGBoostError:
        return
    loaded.predict(xgboost.DMatrix(np.zeros((2, 2), np.float32), feature_types=["q", "c"]))
