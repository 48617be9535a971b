"""Trainings on a clock of ticks, and what a bundle keeps of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pdm_cli.progress import Progress, Silent
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


def storage() -> Any:
    from optuna.storages import InMemoryStorage

    return InMemoryStorage()


def train(problem: Problem, *, keep: Any = None, progress: Progress | None = None) -> Training:
    return train_model(problem, storage=keep or storage(), clock=ticks(), progress=progress or Silent())


def content(trained: Training) -> Any:
    """Return all that a bundle keeps of it."""
    model = trained.model
    members = [(member.algorithm, member.features, member.model.dump()) for member in model.members]
    branches = [
        (branch.component, branch.hours, branch.member.model.dump(), branch.calibrations)
        for branch in trained.hazard.branches
    ]
    return members, model.calibrations, model.rules, branches
