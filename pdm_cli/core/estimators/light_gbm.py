"""LightGBM: gradient boosted trees, kept as the text that LightGBM writes.

Its wheel needs a libgomp from the system, which slim images lack; so it is an extra, and nothing else needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.core.estimators.algorithm import FloatArray, Matrix, fit_side_by_side, unreadable

# LightGBM keeps seeds in 32 bits.
_SEEDS = 2**31


class LightGBMModel:
    """Boosters of LightGBM, one a component.

    Parameters
    ----------
    dumps : sequence of bytes
        Their texts.
    """

    def __init__(self, dumps: Sequence[bytes]) -> None:
        import lightgbm

        self._dumps = list(dumps)
        self._boosters = [lightgbm.Booster(model_str=dump.decode()) for dump in dumps]

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c)."""
        return self._each(values)

    def dump(self) -> list[bytes]:
        """Return each booster as text."""
        return list(self._dumps)

    def contributions(self, values: Matrix) -> FloatArray:
        """Return exact Shapley values of the log-odds (TreeSHAP), shape (m, c, f)."""
        return self._each(values, pred_contrib=True)[:, :, :-1]

    def _each(self, values: Matrix, **wanted: bool) -> FloatArray:
        # LightGBM refuses a table of no rows: ask of one, keep none.
        rows = values if len(values) else np.zeros((1, values.shape[1]), np.float32)
        found = [booster.predict(rows, num_threads=1, **wanted) for booster in self._boosters]
        return np.stack(found, axis=1)[: len(values)]


class LightGBM:
    """Histogram boosting that grows trees leaf by leaf; components side by side, each on one thread."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        *,
        categorical: Sequence[bool],
        hyper: Mapping[str, float],
        seed: int,
        threads: int,
    ) -> LightGBMModel:
        """Fit one booster a component."""
        import lightgbm

        params = _booster_params(hyper, seed)
        categories = np.flatnonzero(np.array(categorical)).tolist()
        binned = threading.local()

        def fit_component(column: FloatArray, stop: threading.Event) -> bytes:
            # A dataset holds one label at a time: each thread bins the features once for all its components.
            if not hasattr(binned, "dataset"):
                binned.dataset = lightgbm.Dataset(values, column, params=params, categorical_feature=categories)
            binned.dataset.set_label(column)
            booster = lightgbm.Booster(params, binned.dataset)
            for _ in range(int(hyper["trees"])):
                if stop.is_set() or booster.update():
                    break
            return str(booster.model_to_string()).encode()

        return LightGBMModel(fit_side_by_side(fit_component, labels, threads=threads))

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> LightGBMModel:
        """Return the model of ``dumps``.

        Raises
        ------
        ModelError
            If a dump is no booster of that many features.
        """
        import lightgbm

        for number, dump in enumerate(dumps, start=1):
            try:
                _check_text(dump.decode("ascii"), features=len(categorical))
            except ValueError as exc:
                raise unreadable(number, str(exc).splitlines()[0]) from exc
        try:
            return LightGBMModel(dumps)
        except lightgbm.basic.LightGBMError as exc:
            raise unreadable(1, str(exc).splitlines()[0]) from exc


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


def _check_text(text: str, *, features: int) -> None:
    """Refuse a text that LightGBM must not see: it believes every index in it.

    Raises
    ------
    ValueError
        One line on what is wrong.
    """
    head, *blocks = text.split("\n\nTree=")
    fields = _fields(head)
    wanted = {"num_class": "1", "num_tree_per_iteration": "1", "objective": "binary sigmoid:1"}
    if not head.startswith("tree\n") or any(fields.get(name) != value for name, value in wanted.items()):
        raise ValueError("it is a model of another kind")
    found = int(fields.get("max_feature_idx", "-1")) + 1
    if found != features:
        raise ValueError(f"it was fitted on {found} features, the recipe lists {features}")
    if not text.rstrip("\n").endswith("pandas_categorical:null") or "\nend of trees\n" not in blocks[-1]:
        raise ValueError("cut short")
    for block in blocks:
        _check_tree(_fields(block.split("\n\n")[0]), features)


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _check_tree(fields: dict[str, str], features: int) -> None:
    try:
        leaves, categories = int(fields["num_leaves"]), int(fields["num_cat"])
        if leaves < 1 or fields["is_linear"] != "0" or len(_whole(fields["leaf_value"], float)) != leaves:
            raise ValueError("a tree has other leaves than it counts")
        if leaves == 1:
            return
        names = ("split_feature", "left_child", "right_child", "decision_type")
        split, left, right, kinds = (_whole(fields[name], int) for name in names)
        thresholds = _whole(fields["threshold"], float)
    except KeyError as exc:
        raise ValueError(f"a tree has no {exc}") from exc
    if any(len(array) != leaves - 1 for array in (split, left, right, kinds, thresholds)):
        raise ValueError("a tree has arrays of the wrong length")
    if np.any(split < 0) or np.any(split >= features):
        raise ValueError("a tree asks for a feature that is not there")
    here = np.arange(leaves - 1)
    for child in (left, right):
        if not np.where(child < 0, child >= -leaves, (child > here) & (child < leaves - 1)).all():
            raise ValueError("a tree has a branch that leads nowhere")
    _check_categories(fields, thresholds[kinds & 1 == 1], categories)


def _check_categories(fields: dict[str, str], chosen: NDArray[Any], categories: int) -> None:
    """Refuse splits by category whose list is not there."""
    if np.any(chosen < 0) or np.any(chosen >= categories):
        raise ValueError("a tree has splits by category without their categories")
    if categories:
        bounds, lists = _whole(fields.get("cat_boundaries", ""), int), _whole(fields.get("cat_threshold", ""), int)
        if len(bounds) != categories + 1 or bounds[0] != 0 or np.any(np.diff(bounds) < 1) or bounds[-1] != len(lists):
            raise ValueError("a tree has categories that are not there")


def _whole(text: str, kind: type) -> NDArray[Any]:
    return np.array(text.split(), kind)
