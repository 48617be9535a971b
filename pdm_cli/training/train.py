"""Training: search on the folds, calibration, alert rules, and the final fit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import ModelError
from pdm_cli.evaluation.alarm_budget import AlarmCurve
from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.calibration import Calibration
from pdm_cli.evaluation.chance import placement_test
from pdm_cli.evaluation.metrics import PRIMARY_METRICS
from pdm_cli.features.events import Instants
from pdm_cli.models import ESTIMATORS, Algorithm, Checkpoint, FitOptions, Model, find_load_error, no_checkpoint
from pdm_cli.models.ensemble import Member, TrainedModel, average
from pdm_cli.models.hazard import HazardModel
from pdm_cli.progress import Progress
from pdm_cli.settings.alert_rule import parse_threshold
from pdm_cli.settings.model import TrainParams
from pdm_cli.training.alarm_curves import silent_curve, trace_curve
from pdm_cli.training.alert_rules import NEVER, choose_rule
from pdm_cli.training.calibrate import calibrate
from pdm_cli.training.comparable_folds import choose_comparable
from pdm_cli.training.dataset import Problem
from pdm_cli.training.ensemble_selection import choose_members
from pdm_cli.training.hazard import fit_hazard
from pdm_cli.training.portfolio import PORTFOLIO
from pdm_cli.training.rule_outcomes import AlertTerms, HeldOut
from pdm_cli.training.search import (
    Candidate,
    FoldResult,
    Preview,
    Search,
    SearchBudget,
    SearchSpace,
    search,
)
from pdm_cli.training.splits import Split
from pdm_cli.units import exact_time

FloatArray = NDArray[np.float64]
Clock = Callable[[], float]
# Share of the rows without a failure ahead, and of the trees, for the preview of a trial: an eighth of its time.
_PREVIEW_ROWS, _PREVIEW_TREES = 1 / 4, 1 / 3
# A model that chance equals more often has found no warning signs.
_MOST_CHANCE = 0.05


@dataclass(frozen=True)
class Training:
    """A model fitted on all training rows, and how it was found.

    Attributes
    ----------
    model : TrainedModel
        The model.
    search : Search
        The trials.
    chosen : list of int
        Numbers of the trials that became members.
    chance : dict
        How often chance predicts each learned component as well on the folds, in (0, 1].
    no_signs : list of str
        Components that never alert, because chance does so too often.
    curves : list of AlarmCurve
        Failures caught against false alarms on the folds, one per component.
    hazard : HazardModel
        Shorter and longer horizons.
    """

    model: TrainedModel
    search: Search
    chosen: list[int]
    chance: dict[str, float]
    no_signs: list[str]
    curves: list[AlarmCurve]
    hazard: HazardModel


def choose_algorithms(params: TrainParams, progress: Progress) -> dict[str, Algorithm]:
    """Return the algorithms to search, in order; those that cannot be loaded are reported and left out.

    Raises
    ------
    ModelError
        If none can be loaded.
    """
    names = list(dict.fromkeys(params.algorithms)) or list(ESTIMATORS)
    # A single trial only needs the first that can be loaded: do not import the others.
    limit = 1 if params.fast or params.trials == 1 else len(names)
    chosen: dict[str, Algorithm] = {}
    for name in names:
        if len(chosen) == limit:
            break
        reason = find_load_error(name)
        if reason is None:
            chosen[name] = _with_settings(name, params)
        else:
            progress.info(f"train: left out {reason}")
    if not chosen:
        raise ModelError("no learning algorithm can be loaded", hint="pip install --force-reinstall pdm-cli")
    return chosen


def _with_settings(name: str, params: TrainParams) -> Algorithm:
    """Return the algorithm; the defaults of XGBoost are taken from the settings."""
    algorithm = ESTIMATORS[name]
    if name != "xgboost":
        return algorithm
    defaults = {key: getattr(params, key) for key in algorithm.defaults}
    # The search starts from the defaults, so its space must include them; a logarithmic range cannot include 0.
    space = {
        key: replace(span, low=min(span.low, defaults[key]), high=max(span.high, defaults[key]))
        for key, span in algorithm.space.items()
        if defaults[key] > 0 or not span.log
    }
    return replace(algorithm, defaults=defaults, space=space)


def train_model(problem: Problem, *, storage: Any, clock: Clock, progress: Progress) -> Training:
    """Search on the folds, calibrate, choose alert rules, and fit the best candidates on all training rows.

    Parameters
    ----------
    problem : Problem
        Checked: every fold has failures of every learnable component, and there is one at least.
    storage : object
        Optuna's storage of the trials.
    clock : callable
        Returns monotonic seconds.
    progress : Progress
        Gets a line per trial and fit, and the folds of each trial.
    """
    trials = 1 if problem.train.fast else problem.train.trials
    algorithms = choose_algorithms(problem.train, progress)
    trainer = Trainer(problem, algorithms, trials, clock, progress)
    space = SearchSpace(algorithms, trainer.feature_sets, problem.train.seed, PORTFOLIO)
    budget = SearchBudget(trials, problem.train.time_budget_seconds, clock)
    found = search(trainer.evaluate, space, budget, storage=storage, progress=progress)
    ranked = [trial.number for trial in found.ranked()]
    candidates = {trial.number: trial.candidate for trial in found.trials}
    chosen = choose_members(lambda numbers: trainer.score([candidates[n] for n in numbers]), ranked)
    raw = trainer.hold_out([candidates[n] for n in chosen])
    comparable = [choose_comparable(pieces) for pieces in raw]
    calibrations = [calibrate(pieces) for pieces in comparable]
    held_out = [
        [replace(piece, probabilities=calibration.apply(piece.probabilities)) for piece in pieces]
        for calibration, pieces in zip(calibrations, comparable, strict=True)
    ]
    learned = list(itertools.compress(problem.components, problem.learnable))
    chance = {component: _test_signs(pieces) for component, pieces in zip(learned, raw, strict=True)}
    no_signs = _find_no_signs(chance, problem.train)
    choices = [
        _choose_rule(problem, component, pieces, is_silent=component in no_signs)
        for component, pieces in zip(learned, held_out, strict=True)
    ]
    members = [trainer.fit_member(candidates[n]) for n in chosen]
    model = _complete(problem, members, calibrations, [rule for rule, _ in choices])
    curves = _complete_curves(problem, [curve for _, curve in choices])
    progress.info("train: fitting the time to failure")
    best = candidates[chosen[0]]
    hazard = fit_hazard(problem, best, algorithms[best.algorithm])
    return Training(model, found, chosen, chance, no_signs, curves, hazard)


def _complete(
    problem: Problem, members: list[Member], calibrations: list[Calibration], rules: list[AlertRule]
) -> TrainedModel:
    """Return the model of all components: those that are not learned have their base rate and never alert."""
    own = zip(calibrations, rules, strict=True)
    pairs = [
        next(own) if is_learnable else (Calibration("constant", y=(float(rate),)), NEVER)
        for is_learnable, rate in zip(problem.learnable, problem.base_rates(), strict=True)
    ]
    return TrainedModel(problem.components, members, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _complete_curves(problem: Problem, curves: list[AlarmCurve]) -> list[AlarmCurve]:
    """Return the curves of all components."""
    own = iter(curves)
    return [next(own) if is_learnable else silent_curve() for is_learnable in problem.learnable]


class Trainer:
    """Fits candidates on the folds and finally on all training rows, and keeps their predictions on the folds."""

    def __init__(
        self,
        problem: Problem,
        algorithms: dict[str, Algorithm],
        trials: int,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._problem, self._algorithms, self._trials = problem, algorithms, trials
        self._clock, self._progress = clock, progress
        self._spans = [np.flatnonzero(problem.test_span(fold)) for fold in problem.folds]
        # Labels known within a fold, on the rows of its test span.
        self._labels = [
            np.where(problem.test_rows(fold)[rows, np.newaxis], problem.labels[rows][:, problem.learnable], np.nan)
            for fold, rows in zip(problem.folds, self._spans, strict=True)
        ]
        self._predictions: dict[tuple[str, int], FloatArray] = {}
        self.feature_sets = problem.set_names()

    def evaluate(self, candidate: Candidate, trial: int, checkpoint: Checkpoint) -> Iterator[Preview | FoldResult]:
        """Yield a preview if there are trials to compare with, and the result of each fold."""
        folds = len(self._problem.folds)
        which = f"trial {trial + 1} of {self._trials}"
        self._progress.info(f"train: {which}: trying {candidate.algorithm} on the {candidate.feature_set} feature set")
        with self._progress.track("train: folds", folds) as advance:
            if self._trials > 1:
                yield self._preview(candidate, checkpoint)
            for number in range(folds):
                result = self._evaluate_fold(candidate, number, checkpoint)
                advance(1)
                yield result

    def score(self, candidates: Sequence[Candidate]) -> list[float]:
        """Return the score on each fold of the mean of the candidates' predictions."""
        return [self._score(number, self._predict(candidates, number)) for number in range(len(self._spans))]

    def hold_out(self, candidates: Sequence[Candidate]) -> list[list[HeldOut]]:
        """Return the mean predictions of the candidates on the folds, per learnable component."""
        instants, folds = self._problem.instants, self._problem.folds
        predictions = [self._predict(candidates, number) for number in range(len(folds))]
        spans = [Instants(instants.machines, instants.codes[rows], instants.times[rows]) for rows in self._spans]
        return [
            [
                HeldOut(span, labels[:, column], predicted[:, column], fold, self._problem.known)
                for span, labels, predicted, fold in zip(spans, self._labels, predictions, folds, strict=True)
            ]
            for column in range(np.count_nonzero(self._problem.learnable))
        ]

    def fit_member(self, candidate: Candidate) -> Member:
        """Fit a candidate on all training rows."""
        split = self._problem.split
        rows = self._problem.fitting_rows(split)[0]
        until = exact_time(split.cutoff)
        self._progress.info(f"train: fitting {candidate.algorithm} on {len(rows):,} rows up to {until}")
        features = list(self._problem.columns(candidate.feature_set, split))
        return Member(candidate.algorithm, features, self._fit(candidate, split, no_checkpoint))

    def _predict(self, candidates: Sequence[Candidate], number: int) -> FloatArray:
        for candidate in candidates:
            if (candidate.key(), number) not in self._predictions:
                # After a resumed search, the scores are known but the predictions are not.
                self._evaluate_fold(candidate, number, no_checkpoint)
        return average([self._predictions[candidate.key(), number] for candidate in candidates])

    def _preview(self, candidate: Candidate, checkpoint: Checkpoint) -> Preview:
        """Evaluate a candidate on the first fold, fitted with fewer rows without a failure ahead, and fewer trees."""
        hyper = dict(candidate.hyper)
        if "trees" in hyper:
            hyper["trees"] = max(1, int(hyper["trees"] * _PREVIEW_TREES))
        fold, rows = self._problem.folds[0], self._spans[0]
        model = self._fit(replace(candidate, hyper=hyper), fold, checkpoint, part=_PREVIEW_ROWS)
        matrix = self._problem.table_of(fold).matrix(self._problem.columns(candidate.feature_set, fold), rows)
        return Preview(self._score(0, model.predict(matrix)))

    def _evaluate_fold(self, candidate: Candidate, number: int, checkpoint: Checkpoint) -> FoldResult:
        fold, rows, labels = self._problem.folds[number], self._spans[number], self._labels[number]
        start = self._clock()
        model = self._fit(candidate, fold, checkpoint)
        fitted = self._clock()
        matrix = self._problem.table_of(fold).matrix(self._problem.columns(candidate.feature_set, fold), rows)
        begun = self._clock()
        predictions = self._predictions[candidate.key(), number] = model.predict(matrix)
        seconds = max(self._clock() - begun, 1e-9)
        brier = float(np.nanmean((predictions - labels) ** 2))
        return FoldResult(self._score(number, predictions), brier, fitted - start, len(rows) / seconds)

    def _score(self, number: int, predictions: FloatArray) -> float:
        is_known = ~np.isnan(self._labels[number][:, 0])
        metric = PRIMARY_METRICS[self._problem.train.metric]
        return metric(self._labels[number][is_known], predictions[is_known])

    def _fit(self, candidate: Candidate, split: Split, checkpoint: Checkpoint, *, part: float = 1.0) -> Model:
        problem, table = self._problem, self._problem.table_of(split)
        names = problem.columns(candidate.feature_set, split)
        rows, weights = problem.fitting_rows(split, part=part)
        return (
            self._algorithms[candidate.algorithm]
            .make()
            .fit(
                table.matrix(names, rows),
                problem.fitting_labels(rows),
                FitOptions(candidate.hyper, problem.train.seed, problem.train.threads, checkpoint),
                categorical=[name in table.categorical for name in names],
                weights=weights,
            )
        )


def _test_signs(pieces: Sequence[HeldOut]) -> float:
    """Return how often chance predicts a component as well on the folds as the model does."""
    return placement_test(
        [piece.labels for piece in pieces],
        [piece.probabilities for piece in pieces],
        [piece.rows.codes for piece in pieces],
    )


def _find_no_signs(chance: dict[str, float], train: TrainParams) -> list[str]:
    """Return the components whose failures show no signs, unless the user chose how often to alert."""
    if parse_threshold(train.threshold).how in ("f1", "recall"):
        return []
    return [component for component, share in chance.items() if share > _MOST_CHANCE]


def _choose_rule(
    problem: Problem, component: str, pieces: list[HeldOut], *, is_silent: bool
) -> tuple[AlertRule, AlarmCurve]:
    """Return the alert rule of a component, and its curve."""
    failures = problem.failures[problem.failures["failure"] == component]
    terms = AlertTerms(problem.lead, problem.costs, problem.train.merge_hours)
    rule = NEVER
    if not is_silent:
        rule = choose_rule(pieces, failures, parse_threshold(problem.train.threshold), terms)
    return rule, trace_curve(pieces, failures, rule, terms, is_silent=is_silent)
