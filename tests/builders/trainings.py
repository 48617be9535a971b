"""Trainings on a clock of ticks, and what a bundle keeps of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pdm_cli.training.dataset import Problem
from pdm_cli.training.train import Training, train_model
from tests.builders.problems import TRAIN

# Three trials: two algorithms with their defaults, and one that Optuna suggests.
SEARCH = replace(
    TRAIN,
    trials=3,
    time_budget_seconds=1e9,
    algorithms=("xgboost", "logistic_regression"),
    families=("rolling", "counts", "shifts"),
)


def ticks() -> Callable[[], float]:
    """Return a clock on which every look takes a second."""
    return itertools.count().__next__


def silent(_: str) -> None:
    pass


@contextmanager
def unseen(_trial: str, _folds: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def storage() -> Any:
    from optuna.storages import InMemoryStorage

    return InMemoryStorage()


def train(problem: Problem, *, keep: Any = None, note: Callable[[str], None] = silent) -> Training:
    return train_model(problem, storage=keep or storage(), clock=ticks(), note=note, follow=unseen)


def content(trained: Training) -> Any:
    """Return all that a bundle keeps of it."""
    model = trained.model
    members = [(member.algorithm, member.features, member.model.dump()) for member in model.members]
    return members, model.calibrations, model.rules
