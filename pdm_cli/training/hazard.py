"""Fit of the hazard: when a component fails, given that it fails within the horizon, or not within it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import label_failures
from pdm_cli.models import Algorithm, FitOptions, Model
from pdm_cli.models.ensemble import Member
from pdm_cli.models.hazard import Branch, HazardModel
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.training.calibrate import calibrate
from pdm_cli.training.dataset import Problem
from pdm_cli.training.rule_outcomes import HeldOut
from pdm_cli.training.screening import draw_negatives
from pdm_cli.training.search import Candidate
from pdm_cli.training.splits import Split

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]
# Shorter horizons, as shares of the time from the lead time to the horizon, and longer ones, in horizons.
_WITHIN, _BEYOND = (0.25, 0.5, 0.75), (2.0, 3.5)
# Of machines that run to failure the remaining life matters, so that their horizons are denser: thirds of the horizon.
_OF_LIFE = tuple(thirds / 3 for thirds in range(1, 14))
# Share of the rows without a failure, and the factor by which trees learn faster, at most up to a rate; half as many
# remain otherwise. As good on the reference set, in a third of the time of the model.
_ROWS, _SPEED, _MOST_RATE = 1 / 8, 3.0, 0.3
# Rows on either side that a horizon needs in the training and in the test of every fold.
_FEWEST = 5


@dataclass(frozen=True)
class _Side:
    """Rows of one component on one side of the horizon: ``rows``, and ``labels`` (m, k) at each horizon, in hours."""

    component: int
    is_within: bool
    hours: list[float]
    rows: BoolArray
    labels: FloatArray

    def training_rows(self, problem: Problem, split: Split) -> BoolArray:
        instants = problem.instants
        return self.rows & split.training_rows(instants.times, self._span_us(problem), instants.codes)

    def test_rows(self, problem: Problem, split: Split) -> BoolArray:
        instants = problem.instants
        return self.rows & split.test_rows(instants.times, self._span_us(problem), instants.codes)

    def _span_us(self, problem: Problem) -> int:
        return max(problem.horizon_us, round(self.hours[-1] * US_PER_HOUR))


def fit_hazard(problem: Problem, candidate: Candidate, algorithm: Algorithm) -> HazardModel:
    """Fit shorter and longer horizons of the components that are learned.

    Each is fitted with the features of a candidate and with fewer trees than its settings have, and calibrated on the
    folds. Horizons with too few rows on either side in a fold are left out.

    Parameters
    ----------
    problem : Problem
        Labelled rows and their features.
    candidate : Candidate
        Features and hyper-parameters.
    algorithm : Algorithm
        The candidate's.
    """
    lead, horizon = problem.lead.lead_time_hours, problem.lead.horizon_hours
    chosen = sorted(set(problem.train.horizons) or _default_horizons(problem))
    within = [hours for hours in chosen if lead < hours < horizon]
    beyond = [hours for hours in chosen if hours > horizon]
    fitter = _Fitter(problem, _speed_up(candidate), algorithm)
    labels = {hours: _label(problem, hours) for hours in (*within, *beyond)}
    sides = [
        _choose_side(problem, component, hours, labels)
        for component in np.flatnonzero(problem.learnable).tolist()
        for hours in (within, beyond)
    ]
    return HazardModel(lead, horizon, fitter.fit_branches([side for side in sides if side is not None]))


def _default_horizons(problem: Problem) -> set[float]:
    lead, horizon = problem.lead.lead_time_hours, problem.lead.horizon_hours
    if problem.known.runs_to_failure:
        return {factor * horizon for factor in _OF_LIFE}
    return {*(lead + share * (horizon - lead) for share in _WITHIN), *(factor * horizon for factor in _BEYOND)}


def _speed_up(candidate: Candidate) -> Candidate:
    """Return the candidate with fewer trees, which learn faster."""
    hyper, speed = dict(candidate.hyper), 1.0
    if "learning_rate" in hyper:
        speed = min(max(_MOST_RATE / hyper["learning_rate"], 1.0), _SPEED)
        hyper["learning_rate"] *= speed
    if "trees" in hyper:
        hyper["trees"] = max(1, int(hyper["trees"] / (2 * speed)))
    return replace(candidate, hyper=hyper)


def _label(problem: Problem, hours: float) -> FloatArray:
    """Return the labels of all rows and components at another horizon."""
    params = replace(problem.lead, horizon_hours=hours)
    return label_failures(problem.instants, problem.failures, problem.components, known=problem.known, params=params)


def _choose_side(
    problem: Problem, component: int, hours: Sequence[float], labels: dict[float, FloatArray]
) -> _Side | None:
    """Return the rows on one side of the horizon, with the horizons that can be fitted on every fold, if any."""
    main, chosen = problem.labels[:, component], list(hours)
    while chosen:
        is_within = chosen[-1] < problem.lead.horizon_hours
        columns = np.stack([labels[each][:, component] for each in chosen], axis=1)
        # The outcome at the longest horizon may be unknown where that at the main one is known.
        side = _Side(component, is_within, chosen, (main == is_within) & ~np.isnan(columns[:, -1]), columns)
        kept = [each for each, is_enough in zip(chosen, _find_learnable(problem, side), strict=True) if is_enough]
        if kept == chosen:
            return side
        chosen = kept
    return None


def _find_learnable(problem: Problem, side: _Side) -> BoolArray:
    parts = [rows(problem, fold) for fold in problem.folds for rows in (side.training_rows, side.test_rows)]
    parts.append(side.training_rows(problem, problem.split))
    failed = np.array([np.sum(side.labels[part] == 1, axis=0) for part in parts])
    counts = np.array([np.count_nonzero(part) for part in parts])[:, np.newaxis]
    return np.asarray((np.minimum(failed, counts - failed) >= _FEWEST).all(axis=0))


class _Fitter:
    """Fits the branches of a problem."""

    def __init__(self, problem: Problem, candidate: Candidate, algorithm: Algorithm) -> None:
        self._problem, self._candidate, self._algorithm = problem, candidate, algorithm
        self._draws = np.random.default_rng(problem.train.seed).random(len(problem.labels))

    def fit_branches(self, sides: Sequence[_Side]) -> list[Branch]:
        """Fit each side on every fold and on all training rows, in parallel, each in one thread."""
        splits = [*self._problem.folds, self._problem.split]
        for split in splits:
            # Columns are chosen once, before threads share them.
            self._columns(split)
        tasks = [(side, split) for side in sides for split in splits]
        with ThreadPoolExecutor(
            max(min(self._problem.train.threads or os.cpu_count() or 1, len(tasks)), 1)
        ) as executor:
            try:
                models = list(executor.map(lambda task: self._fit(*task), tasks))
            finally:
                executor.shutdown(cancel_futures=True)
        count = len(splits)
        return [self._make_branch(side, models[count * n : count * (n + 1)]) for n, side in enumerate(sides)]

    def _make_branch(self, side: _Side, models: list[Model]) -> Branch:
        """Return a branch of the last model, calibrated on what those of the folds predict."""
        problem = self._problem
        held_out = [self._hold_out(side, *each) for each in zip(problem.folds, models[:-1], strict=True)]
        calibrations = [calibrate([pieces[column] for pieces in held_out]) for column in range(len(side.hours))]
        member = Member(self._candidate.algorithm, list(self._columns(problem.split)), models[-1])
        return Branch(side.component, side.is_within, side.hours, member, calibrations)

    def _hold_out(self, side: _Side, fold: Split, model: Model) -> list[HeldOut]:
        """Return the predictions on the test rows of a fold, for each horizon."""
        problem = self._problem
        rows = np.flatnonzero(side.test_rows(problem, fold))
        predicted = model.predict(self._matrix(rows, fold))
        span = Instants(problem.instants.machines, problem.instants.codes[rows], problem.instants.times[rows])
        return [
            HeldOut(span, side.labels[rows, column], predicted[:, column], fold, problem.known)
            for column in range(len(side.hours))
        ]

    def _fit(self, side: _Side, split: Split) -> Model:
        problem, table = self._problem, self._problem.table_of(split)
        trained, is_ahead = side.training_rows(problem, split), np.asarray((side.labels == 1).any(axis=1))
        share = 1.0 if side.is_within else _ROWS * problem.train.negative_share
        drawn, weight = draw_negatives(trained & ~is_ahead, self._draws, share)
        rows = np.flatnonzero((trained & is_ahead) | drawn)
        return self._algorithm.make().fit(
            self._matrix(rows, split),
            side.labels[rows],
            FitOptions(self._candidate.hyper, problem.train.seed),
            categorical=[name in table.categorical for name in self._columns(split)],
            weights=np.where(is_ahead[rows], 1.0, weight),
        )

    def _matrix(self, rows: IndexArray, split: Split) -> NDArray[np.float32]:
        return self._problem.table_of(split).matrix(self._columns(split), rows)

    def _columns(self, split: Split) -> tuple[str, ...]:
        return self._problem.columns(self._candidate.feature_set, split)
