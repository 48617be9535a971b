"""Interfaces of learning algorithms and their models, and the parallel fit of components."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import ModelError, NotEnoughData

Matrix = NDArray[np.float32]
FloatArray = NDArray[np.float64]
Fitted = TypeVar("Fitted")
# Called at every step of a long computation; raises to end it.
Checkpoint = Callable[[], None]


def no_checkpoint() -> None:
    """Never end the computation."""


class Model(Protocol):
    """A fitted model of all components."""

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c), for features of shape (m, f)."""

    def dump(self) -> list[bytes]:
        """Return one byte string per component: data, never code."""

    def contributions(self, values: Matrix) -> FloatArray:
        """Return the contribution of each feature to the log-odds, shape (m, c, f).

        Together with a constant per component they add up to the log-odds of :meth:`predict`.
        """


@dataclass(frozen=True)
class FitOptions:
    """How to fit a model.

    Attributes
    ----------
    hyper : mapping
        A value for each of the algorithm's hyper-parameters.
    seed : int
        Random seed.
    threads : int
        Components fitted in parallel, 0 for one per core; does not change the model.
    checkpoint : callable
        Called in the fitting thread before each tree (of models without trees: each component). An exception it
        raises ends the fit and is passed on.
    """

    hyper: Mapping[str, float]
    seed: int
    threads: int = 1
    checkpoint: Checkpoint = no_checkpoint


class Estimator(Protocol):
    """An algorithm that fits models and reads them back."""

    def fit(
        self,
        values: Matrix,
        labels: FloatArray,
        options: FitOptions,
        *,
        categorical: Sequence[bool],
        weights: FloatArray | None = None,
    ) -> Model:
        """Fit one model per column of ``labels``.

        Parameters
        ----------
        values : (m, f) float32 array
            Features; NaN where missing.
        labels : (m, c) array
            0 or 1, both in every column.
        options : FitOptions
            Hyper-parameters, seed, threads and checkpoint.
        categorical : sequence of bool
            Which of the f features are positions in a list of categories.
        weights : (m,) array, optional
            Row weights; default 1.

        Raises
        ------
        NotEnoughData
            If a column of ``labels`` is all 0 or all 1.
        """

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> Model:
        """Return the model that :meth:`Model.dump` wrote.

        Raises
        ------
        ModelError
            If a dump is from another algorithm, is corrupt, or has another number of features. No code in it is run.
        """


@dataclass(frozen=True)
class Range:
    """Search range of a hyper-parameter, both ends included; ``log``: uniform in the logarithm."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Algorithm:
    """A learning algorithm and its search space.

    Attributes
    ----------
    make : callable
        Returns the estimator; imports nothing heavy.
    defaults : dict
        Default of every hyper-parameter.
    space : dict
        Hyper-parameters that a search may change.
    package : str
        Package that must be importable.
    install : str
        How to install it.
    suffix : str
        Suffix of its model files.
    """

    make: Callable[[], Estimator]
    defaults: dict[str, float]
    space: dict[str, Range]
    package: str
    install: str
    suffix: str


def fit_components(
    fit_component: Callable[[FloatArray, Checkpoint], Fitted], labels: FloatArray, options: FitOptions
) -> list[Fitted]:
    """Fit every column of ``labels`` in parallel, each in a single thread.

    One thread per component makes the result independent of their number, and avoids the busy waiting of threads
    within one fit. ``fit_component`` takes a column and a checkpoint that it must call at every step.
    """
    for number, column in enumerate(labels.T, start=1):
        if np.all(column == column[:1]):
            raise NotEnoughData(f"component {number}: all {len(column)} labels are equal, nothing to train on")
    stop = threading.Event()

    def checkpoint() -> None:
        if stop.is_set():
            raise InterruptedError
        options.checkpoint()

    with ThreadPoolExecutor(min(options.threads or os.cpu_count() or 1, labels.shape[1])) as executor:
        try:
            return list(executor.map(lambda column: fit_component(column, checkpoint), labels.T))
        finally:
            # After Ctrl-C the executor waits for its threads: end them at their next step.
            stop.set()


def unreadable(number: int, error: Exception) -> ModelError:
    """Return the error for the dump of the ``number``-th component, counted from 1."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(f"booster {number} of the model cannot be read: {reason}", hint="train or fetch the model again")
