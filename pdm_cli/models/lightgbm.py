"""LightGBM: gradient boosted trees, kept as the text that LightGBM writes.

Its wheel needs a libgomp from the system, which slim images lack; so it is an extra, and nothing else needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdm_cli.models.base import Checkpoint, FloatArray, Matrix, carry_on, fit_side_by_side, unreadable
from pdm_cli.models.lightgbm_check import END, HEAD, check_text

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
        found = [np.asarray(booster.predict(rows, num_threads=1, **wanted)) for booster in self._boosters]
        return np.stack(found, axis=1)[: len(values)]


class LightGBM:
    """Histogram boosting that grows trees leaf by leaf; components side by side, each on one thread."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        *,
        weights: FloatArray | None = None,
        categorical: Sequence[bool],
        hyper: Mapping[str, float],
        seed: int,
        threads: int,
        checkpoint: Checkpoint = carry_on,
    ) -> LightGBMModel:
        """Fit one booster a component."""
        import lightgbm

        params = _booster_params(hyper, seed)
        categories = np.flatnonzero(np.array(categorical)).tolist()
        binned = threading.local()

        def fit_component(column: FloatArray, heed: Checkpoint) -> bytes:
            # A dataset holds one label at a time: each thread bins the features once for all its components.
            if not hasattr(binned, "dataset"):
                binned.dataset = lightgbm.Dataset(
                    values, column, weight=weights, params=params, categorical_feature=categories
                )
            binned.dataset.set_label(column)
            booster = lightgbm.Booster(params, binned.dataset)
            for _ in range(int(hyper["trees"])):
                heed()
                if booster.update():
                    break
            return _keep_trees(booster.model_to_string()).encode()

        return LightGBMModel(fit_side_by_side(fit_component, labels, threads=threads, checkpoint=checkpoint))

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
                check_text(dump.decode("ascii"), features=len(categorical))
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


def _keep_trees(text: str) -> str:
    """Leave out what a model does not need: settings, importances, and where in the text each tree begins."""
    head, trees = text.split("\n\n", 1)
    lines = [line for line in head.split("\n") if line.split("=")[0] in ("tree", *HEAD)]
    return "\n".join(lines) + "\n\n" + trees[: trees.index(END)] + END
