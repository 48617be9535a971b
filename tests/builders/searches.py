"""Searches over candidates that are scored by formula."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend

from pdm_cli.errors import ModelError
from pdm_cli.models import Checkpoint
from pdm_cli.training.search import Candidate, FoldResult, Preview, Search, SearchBudget, SearchSpace, Trial, search
from tests.builders.progress import Recorder


@dataclass(frozen=True)
class Range:
    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class Algorithm:
    defaults: dict[str, float]
    space: dict[str, Range]


TREES = Algorithm(
    {"trees": 200, "rate": 0.05, "share": 0.5},
    {"trees": Range(50, 400, log=True, integer=True), "rate": Range(0.01, 0.3, log=True), "share": Range(0.2, 1.0)},
)
ALGORITHMS = {"boost": TREES, "forest": Algorithm({"leaves": 31.0}, {"leaves": Range(8, 64, integer=True)})}
ALGORITHMS["line"] = Algorithm({"l2": 1.0}, {"l2": Range(0.01, 100, log=True)})
FEATURES = ["full", "plain"]
BASE = {"boost": 0.9, "forest": 0.8, "line": 0.6}
FOLDS = (0.08, 0.0, 0.01)


def score(candidate: Candidate, fold: int) -> float:
    gain = BASE[candidate.algorithm] - 0.02 * (candidate.feature_set == "plain")
    if candidate.algorithm == "boost":
        gain -= 0.02 * abs(math.log(candidate.hyper["rate"] / 0.1)) + 0.05 * abs(candidate.hyper["share"] - 0.4)
    return gain + FOLDS[fold]


@dataclass
class Fake:
    """Evaluates candidates by formula, each fold a second long, and remembers what it was asked.

    At each of the steps of a fold it calls the checkpoint. A preview takes a tenth of a second.
    """

    kill_at: int | None = None
    broken: dict[str, str] = field(default_factory=dict)
    steps: int = 0
    has_preview: bool = False
    asked: list[Candidate] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    folds: int = 0
    closed: int = 0
    now: float = 1000.0
    progress: Recorder = field(default_factory=Recorder)

    def evaluate(self, candidate: Candidate, number: int, checkpoint: Checkpoint) -> Iterator[Preview | FoldResult]:
        self.asked.append(candidate)
        self.numbers.append(number)
        try:
            if self.has_preview:
                self.now += 0.1
                yield Preview(score(candidate, 0) - 0.2)
            for fold in range(len(FOLDS)):
                if self.folds == self.kill_at:
                    raise KeyboardInterrupt
                self.folds += 1
                for _ in range(self.steps):
                    self.now += 1.0 / self.steps
                    checkpoint()
                self.now += 1.0 if not self.steps else 0.0
                if fold == 1 and candidate.algorithm in self.broken:
                    raise ModelError(self.broken[candidate.algorithm])
                value = score(candidate, fold)
                yield FoldResult(value, brier=1 - value, fit_seconds=self.now, rows_per_second=self.now)
        finally:
            self.closed += 1

    def search(self, **changes: Any) -> Search:
        how: dict[str, Any] = {
            "algorithms": ALGORITHMS,
            "feature_sets": FEATURES,
            "trials": 9,
            "budget_seconds": 1e9,
            "seed": 3,
            "portfolio": (),
            "storage": None,
        }
        how.update(changes)
        space = SearchSpace(how["algorithms"], how["feature_sets"], how["seed"], how["portfolio"])
        budget = SearchBudget(how["trials"], how["budget_seconds"], lambda: self.now)
        storage = how["storage"] or optuna.storages.InMemoryStorage()
        return search(self.evaluate, space, budget, storage=storage, progress=self.progress)


def timeless(trials: list[Trial]) -> list[Trial]:
    return [
        replace(trial, seconds=0.0, folds=[replace(fold, fit_seconds=0.0, rows_per_second=0.0) for fold in trial.folds])
        for trial in trials
    ]


def journal(path: Path) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
