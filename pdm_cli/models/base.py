"""What a learning algorithm is to the rest of pdm: how it fits, how its models are kept, what may be searched."""

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
# Called at every step of long work; raises where the work is to end.
Checkpoint = Callable[[], None]


def carry_on() -> None:
    """Let work go on: the checkpoint of work that nothing ends."""


class Model(Protocol):
    """A fitted model of all components."""

    def predict(self, values: Matrix) -> FloatArray:
        """Return probabilities, shape (m, c), for features of shape (m, f)."""

    def dump(self) -> list[bytes]:
        """Return one byte string a component; data, nothing that runs."""

    def contributions(self, values: Matrix) -> FloatArray:
        """Return what each feature adds to the log-odds, shape (m, c, f).

        With a constant of the component they add up to the log-odds of :meth:`predict`.
        """


class Estimator(Protocol):
    """An algorithm that can be fitted, and whose models can be read back."""

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
    ) -> Model:
        """Fit one model a column of ``labels``.

        Parameters
        ----------
        values : (m, f) float32 array
            Features; NaN where unknown.
        labels : (m, c) array
            0 or 1, both in every column.
        weights : (m,) array, optional
            How many rows each row stands for; default: itself.
        categorical : sequence of bool
            Which of the f features are positions in a list of categories.
        hyper : mapping
            A value for each of the algorithm's hyper-parameters.
        seed : int
            Seed of everything random.
        threads : int
            Components fitted at the same time, 0 for one a core; changes no byte of the model.
        checkpoint : callable
            Called before each tree, or each component where there are no trees, on the thread that fits it. What it
            raises ends the fit and is raised from it.

        Raises
        ------
        NotEnoughData
            If a column of ``labels`` is all 0 or all 1.
        """

    def load(self, dumps: Sequence[bytes], *, categorical: Sequence[bool]) -> Model:
        """Return the model whose :meth:`Model.dump` gave ``dumps``.

        Raises
        ------
        ModelError
            If a dump is not of this algorithm, is damaged, or is of another number of features. Whatever it holds,
            nothing in it runs.
        """


@dataclass(frozen=True)
class Range:
    """Span of a hyper-parameter, both ends in it.

    Attributes
    ----------
    low, high : float
        Ends.
    log : bool
        Whether equal ratios, not equal differences, are equally likely.
    integer : bool
        Whether only whole numbers are meant.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Algorithm:
    """A learning algorithm and what a search has to know of it.

    Attributes
    ----------
    make : callable
        Returns the estimator; imports nothing heavy.
    defaults : dict
        Every hyper-parameter, with a good plain value.
    space : dict
        Those a search may change.
    package : str
        Import name that must load before a fit.
    install : str
        What to install where it does not load.
    suffix : str
        Of the files that keep its models.
    """

    make: Callable[[], Estimator]
    defaults: dict[str, float]
    space: dict[str, Range]
    package: str
    install: str
    suffix: str


def fit_side_by_side(
    fit_component: Callable[[FloatArray, Checkpoint], Fitted],
    labels: FloatArray,
    *,
    threads: int,
    checkpoint: Checkpoint = carry_on,
) -> list[Fitted]:
    """Fit every column of ``labels``, each on one thread.

    One thread a component gives the same bytes however many there are, and none of the busy waiting that threads
    inside one fit do after every step.

    Parameters
    ----------
    fit_component : callable
        Column of labels, and a checkpoint to call at every step -> what was fitted.
    labels : (m, c) array
        0 or 1.
    threads : int
        Columns at the same time; 0: one a core.
    checkpoint : callable
        Raises where the fits are to end; called in their threads.

    Raises
    ------
    NotEnoughData
        If a column is all 0 or all 1.
    """
    for number, column in enumerate(labels.T, start=1):
        if np.all(column == column[:1]):
            raise NotEnoughData(f"component {number}: all {len(column)} labels are alike, so there is nothing to learn")
    stop = threading.Event()

    def heed() -> None:
        if stop.is_set():
            raise InterruptedError
        checkpoint()

    with ThreadPoolExecutor(min(threads or os.cpu_count() or 1, labels.shape[1])) as executor:
        try:
            return list(executor.map(lambda column: fit_component(column, heed), labels.T))
        finally:
            # After Ctrl-C the executor waits for its threads: let them end with the step they are at.
            stop.set()


def unreadable(number: int, why: str) -> ModelError:
    """Return the error for the dump of the ``number``-th component, from 1."""
    return ModelError(f"booster {number} of the model cannot be read: {why}", hint="train or fetch it again")
