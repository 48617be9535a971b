"""Trainings: the search, its members, their calibrations and alert rules."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.calibration import fit_calibration
from pdm_cli.evaluation.metrics import PRIMARY_METRICS
from pdm_cli.features.build import Sources
from pdm_cli.features.events import Instants
from pdm_cli.models import ESTIMATORS, FitOptions
from pdm_cli.progress import Silent
from pdm_cli.settings.alert_rule import parse_threshold
from pdm_cli.training import train as training
from pdm_cli.training.alert_rules import NEVER, choose_rule
from pdm_cli.training.dataset import Problem
from pdm_cli.training.rule_outcomes import AlertTerms, HeldOut
from pdm_cli.training.search import Candidate
from pdm_cli.training.train import Training, train_model
from tests.builders.problems import COSTS, TRAIN, problem_of, simulated, without
from tests.builders.progress import Recorder
from tests.builders.trainings import SEARCH, content, storage, ticks, train


@pytest.fixture(scope="module")
def fleet() -> Sources:
    return without(simulated(machines=10, days=150, seed=3), "anomalies")


@pytest.fixture(scope="module")
def problem(fleet: Sources) -> Problem:
    return problem_of(fleet)


@pytest.fixture(scope="module")
def plain(problem: Problem) -> Training:
    return train(problem)


@pytest.fixture(scope="module")
def searched(fleet: Sources) -> Training:
    return train(problem_of(fleet, train=SEARCH))


@pytest.mark.slow
def test_train_fast_runs_only_the_first_trial(problem: Problem, plain: Training) -> None:
    fast = train(replace(problem, train=replace(TRAIN, fast=True, trials=12), _fitted={}, _selected={}), keep=object())
    assert content(fast) == content(plain)
    (trial,) = fast.search.trials
    assert (trial.candidate.algorithm, trial.candidate.feature_set) == ("xgboost", "selected")
    assert trial.candidate.hyper == {name: getattr(TRAIN, name) for name in ESTIMATORS["xgboost"].defaults}
    assert (fast.chosen, fast.search.requested, fast.search.is_cut_short) == ([0], 1, False)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_train_same_seed_gives_same_bytes_for_any_threads(
    fleet: Sources, plain: Training, searched: Training, threads: int
) -> None:
    for params, expected in ((TRAIN, plain), (SEARCH, searched)):
        found = train(problem_of(fleet, train=replace(params, threads=threads)))
        assert content(found) == content(expected)
        assert [trial.candidate for trial in found.search.trials] == [t.candidate for t in expected.search.trials]


@pytest.mark.slow
def test_train_other_seed_gives_other_model(fleet: Sources, plain: Training) -> None:
    assert content(train(problem_of(fleet, train=replace(TRAIN, seed=1)))) != content(plain)


@pytest.mark.slow
def test_train_data_after_the_cutoff_change_nothing(problem: Problem, plain: Training) -> None:
    times, cutoff = problem.instants.times, problem.split.cutoff
    columns = [np.where(times > cutoff, np.float32(-7) * column, column) for column in problem.table.columns]
    # A label span may run past the cutoff from before it: such rows are late, too.
    is_late = times + problem.horizon_us > cutoff
    labels = np.where(is_late[:, None], 1 - problem.labels, problem.labels)
    stamps = problem.failures["datetime"].to_numpy("datetime64[us]").astype(np.int64)
    assert (stamps > cutoff).any()
    other = replace(
        problem,
        table=replace(problem.table, columns=columns),
        labels=labels,
        failures=problem.failures[stamps <= cutoff],
        _fitted={},
    )
    assert content(train(other)) == content(plain)


@pytest.mark.slow
def test_train_data_before_the_cutoff_change_the_model(problem: Problem, plain: Training) -> None:
    table = problem.table
    columns = [c if name == "model" else -c for name, c in zip(table.names, table.columns, strict=True)]
    other = replace(problem, table=replace(table, columns=columns), _fitted={}, _selected={})
    assert content(train(other))[0] != content(plain)[0]


def test_train_scores_each_fold_by_the_primary_metric(problem: Problem, plain: Training) -> None:
    (trial,) = plain.search.trials
    assert len(trial.folds) == len(problem.folds) == 2
    for fold, result in zip(problem.folds, trial.folds, strict=True):
        rows = problem.test_rows(fold)
        model = fit(problem, trial.candidate, fold)
        raw = model.predict(problem.table_of(fold).matrix(problem.columns("selected", fold), rows))
        labels = problem.labels[rows]
        assert result.score == PRIMARY_METRICS["average_precision"](labels, raw)
        assert result.brier == pytest.approx(np.mean((raw - labels) ** 2))
        assert result.rows_per_second > 0


def fit(problem: Problem, candidate: Candidate, split: Any, *, part: float = 1.0) -> Any:
    """Fit a candidate as a reader of the documentation would."""
    table, names = problem.table_of(split), problem.columns(candidate.feature_set, split)
    rows, weights = problem.fitting_rows(split, part=part)
    return (
        ESTIMATORS[candidate.algorithm]
        .make()
        .fit(
            table.matrix(names, rows),
            problem.labels[rows],
            FitOptions(candidate.hyper, seed=0),
            categorical=[name == "model" for name in names],
            weights=weights,
        )
    )


def test_train_previews_with_a_quarter_of_the_rows_and_a_third_of_the_trees(
    fleet: Sources, plain: Training, searched: Training
) -> None:
    problem = problem_of(fleet, train=SEARCH)
    fold, trial = problem.folds[0], searched.search.trials[0]
    rows, fewer = problem.fitting_rows(fold)[0], problem.fitting_rows(fold, part=0.25)[0]
    has_failure = (problem.labels == 1).any(axis=1)
    assert set(fewer) < set(rows)
    assert np.count_nonzero(has_failure[fewer]) == np.count_nonzero(has_failure[rows])
    assert np.count_nonzero(~has_failure[fewer]) / np.count_nonzero(~has_failure[rows]) == pytest.approx(0.25, abs=0.05)
    small = replace(trial.candidate, hyper={**trial.candidate.hyper, "trees": 4})
    tested = problem.test_rows(fold)
    matrix = problem.table_of(fold).matrix(problem.columns(small.feature_set, fold), tested)
    raw = fit(problem, small, fold, part=0.25).predict(matrix)
    assert trial.preview == PRIMARY_METRICS["average_precision"](problem.labels[tested], raw)
    # A single trial has nothing to be compared with.
    assert plain.search.trials[0].preview is None


def hold_out(problem: Problem, trained: Training) -> list[list[HeldOut]]:
    """Return for each component what the only member foretells on the folds, calibrated."""
    pieces: list[list[HeldOut]] = [[] for _ in problem.components]
    instants = problem.instants
    for fold in problem.folds:
        span = problem.test_span(fold)
        rows = Instants(instants.machines, instants.codes[span], instants.times[span])
        raw = fit(problem, trained.search.trials[0].candidate, fold).predict(
            problem.table_of(fold).matrix(problem.columns("selected", fold), span)
        )
        for column, calibration in enumerate(trained.model.calibrations):
            # Labels that the fold may not know stay unknown.
            labels = np.where(problem.test_rows(fold), problem.labels[:, column], np.nan)[span]
            pieces[column].append(HeldOut(rows, labels, calibration.apply(raw[:, column]), fold, problem.known))
    return pieces


def test_train_member_is_best_candidate_fitted_on_all_rows(problem: Problem, plain: Training) -> None:
    (member,) = plain.model.members
    expected = fit(problem, plain.search.trials[0].candidate, problem.split)
    assert member.features == list(problem.columns("selected", problem.split))
    assert member.model.dump() == expected.dump()


def test_train_component_has_calibration_and_rule_of_its_own_rows(problem: Problem, plain: Training) -> None:
    assert plain.model.components == ["comp1", "comp2"]
    assert len(plain.model.calibrations) == len(plain.model.rules) == 2
    held_out = hold_out(problem, plain)
    for component, rule, pieces in zip(plain.model.components, plain.model.rules, held_out, strict=True):
        own = problem.failures[problem.failures["failure"] == component]
        how = parse_threshold("hysteresis")
        assert rule == choose_rule(pieces, own, how, AlertTerms(problem.lead, COSTS, 6.0))
        assert rule.off <= rule.on


@pytest.mark.slow
def test_train_swapped_components_swap_their_models(fleet: Sources) -> None:
    plain = replace(TRAIN, families=("rolling", "counts", "shifts"), column_share=1.0)
    found = [
        content(train(problem_of(fleet, train=plain, components=components)))
        for components in (("comp1", "comp2"), ("comp2", "comp1"))
    ]
    members, calibrations, rules, _ = zip(*found, strict=True)
    assert [dumps for _, _, dumps in members[0]] == [dumps[::-1] for _, _, dumps in members[1]]
    assert calibrations[0] == calibrations[1][::-1]
    assert rules[0] == rules[1][::-1]


@pytest.mark.slow
def test_train_calibrates_on_fold_predictions(problem: Problem, plain: Training) -> None:
    for column, calibration in enumerate(plain.model.calibrations):
        labels, raw, groups = [], [], []
        for number, fold in enumerate(problem.folds):
            model = fit(problem, plain.search.trials[0].candidate, fold)
            rows = problem.test_rows(fold)
            raw.append(model.predict(problem.table_of(fold).matrix(problem.columns("selected", fold), rows))[:, column])
            labels.append(problem.labels[rows, column])
            groups.append(np.full(np.count_nonzero(rows), number))
        assert calibration == fit_calibration(*(np.concatenate(part) for part in (labels, raw, groups)))


@pytest.mark.slow
def test_train_one_fold_calibrates_over_machines(fleet: Sources) -> None:
    trained = train(problem_of(fleet, train=replace(TRAIN, folds=1)))
    assert all(np.all(np.diff(calibration.y) > 0) for calibration in trained.model.calibrations)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["f1", "recall=0.9", "cost"])
def test_train_applies_the_alert_rule_setting(problem: Problem, plain: Training, how: str) -> None:
    trained = train(replace(problem, train=replace(TRAIN, threshold=how)))
    assert trained.model.calibrations == plain.model.calibrations
    assert trained.model.rules != plain.model.rules
    held_out = hold_out(problem, trained)
    for component, rule, pieces in zip(trained.model.components, trained.model.rules, held_out, strict=True):
        own = problem.failures[problem.failures["failure"] == component]
        assert rule == choose_rule(pieces, own, parse_threshold(how), AlertTerms(problem.lead, COSTS, 6.0))
        assert isinstance(rule, AlertRule)
        assert rule != NEVER


def test_train_tries_defaults_of_every_algorithm_first(searched: Training) -> None:
    trials = searched.search.trials
    assert [trial.candidate.algorithm for trial in trials[:2]] == ["xgboost", "logistic_regression"]
    assert trials[1].candidate.hyper == ESTIMATORS["logistic_regression"].defaults
    assert len(trials) == searched.search.requested == 3
    assert all(trial.state in ("complete", "pruned") for trial in trials)


def test_train_members_are_the_chosen_trials(fleet: Sources, searched: Training) -> None:
    problem = problem_of(fleet, train=SEARCH)
    candidates = [searched.search.trials[number].candidate for number in searched.chosen]
    assert searched.chosen[0] == searched.search.ranked()[0].number
    found = [(member.algorithm, member.features) for member in searched.model.members]
    assert found == [(c.algorithm, list(problem.columns(c.feature_set, problem.split))) for c in candidates]


@pytest.mark.slow
def test_train_ensemble_predicts_and_scores_the_mean_of_members(
    fleet: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problem_of(fleet, train=replace(SEARCH, trials=2))
    told: list[Any] = []

    def both(scores: Any, ranked: Any) -> list[int]:
        told.extend([scores([0]), scores([1]), scores([0, 1])])
        return list(ranked[:2])

    monkeypatch.setattr(training, "choose_members", both)
    trained = train(problem)
    assert {member.algorithm for member in trained.model.members} == {"xgboost", "logistic_regression"}
    assert sorted(trained.chosen) == [0, 1]
    assert told[:2] == [[fold.score for fold in trial.folds] for trial in trained.search.trials]
    means, labels = [], []
    for number, fold in enumerate(problem.folds):
        rows = problem.test_rows(fold)
        raw = [
            fit(problem, trial.candidate, fold).predict(
                problem.table_of(fold).matrix(problem.columns(trial.candidate.feature_set, fold), rows)
            )
            for trial in trained.search.trials
        ]
        means.append((raw[0] + raw[1]) / 2)
        labels.append(problem.labels[rows])
        assert told[2][number] == pytest.approx(PRIMARY_METRICS["average_precision"](labels[-1], means[-1]))
    groups = np.repeat([0, 1], [len(mean) for mean in means])
    for column, calibration in enumerate(trained.model.calibrations):
        truth, foretold = (np.concatenate(part)[:, column] for part in (labels, means))
        assert calibration == fit_calibration(truth, foretold, groups)


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_train_killed_search_resumes_with_the_same_result(fleet: Sources, searched: Training) -> None:
    kept = storage()
    fits: list[int] = []
    clock = ticks()

    def killing() -> float:
        fits.append(1)
        # Into the second trial.
        if len(fits) > 14:
            raise Killed
        return clock()

    with pytest.raises(Killed):
        train_model(problem_of(fleet, train=SEARCH), storage=kept, clock=killing, progress=Silent())
    progress = Recorder()
    resumed = train(problem_of(fleet, train=SEARCH), keep=kept, progress=progress)
    assert resumed.search.resumed > 0
    assert progress.lines[0] == f"train: search resumed after {resumed.search.resumed} of 3 trials"
    assert content(resumed) == content(searched)
    assert resumed.chosen == searched.chosen


@pytest.mark.slow
def test_train_reports_fits(problem: Problem) -> None:
    progress = Recorder()
    train(problem, progress=progress)
    rows = len(problem.fitting_rows(problem.split)[0])
    assert progress.lines == [
        "train: trial 1 of 1: trying xgboost on the selected feature set",
        f"train: fitting xgboost on {rows:,} rows up to 2015-04-23 00:00",
        "train: fitting the time to failure",
    ]


@pytest.mark.slow
def test_train_tracks_folds_of_each_trial(fleet: Sources) -> None:
    progress = Recorder()
    problem = problem_of(fleet, train=replace(SEARCH, trials=2))
    train_model(problem, storage=storage(), clock=ticks(), progress=progress)
    names = ("xgboost", "logistic_regression")
    assert progress.lines[:2] == [
        f"train: trial {number} of 2: trying {name} on the chosen feature set"
        for number, name in enumerate(names, start=1)
    ]
    assert progress.tracked == [("train: folds", 2, 2)] * 2


@pytest.mark.slow
def test_train_spent_budget_ends_trial_within_a_fold(fleet: Sources, plain: Training) -> None:
    """The clock strikes with every tree of the second trial."""
    params = replace(TRAIN, trials=2, algorithms=("xgboost",), time_budget_seconds=20.0)
    progress = Recorder()
    problem = problem_of(fleet, train=params)
    now = itertools.count()
    found = train_model(problem, storage=storage(), clock=now.__next__, progress=progress)
    assert progress.lines[2] == "train: search stopped by --time-budget-seconds 20 s after 1 of 2 trials"
    assert found.search.is_cut_short
    assert content(found) == content(plain)
    # A fold has 24 trees, 12 a component.
    assert 20 < next(now) < 20 + 24


@pytest.mark.ci
@pytest.mark.parametrize("split", ["machine", "both"])
def test_train_held_out_machines_change_nothing(fleet: Sources, split: str) -> None:
    problem = problem_of(fleet, train=replace(TRAIN, split=split))
    theirs = problem.held_out[problem.instants.codes]
    columns = [np.where(theirs, np.float32(99), column) for column in problem.table.columns]
    labels = np.where(theirs[:, None] & ~np.isnan(problem.labels), 1 - problem.labels, problem.labels)
    machines = problem.instants.machines[~problem.held_out]
    other = replace(
        problem,
        table=replace(problem.table, columns=columns),
        labels=labels,
        failures=problem.failures[problem.failures["machineID"].isin(machines)],
        _fitted={},
    )
    assert content(train(other)) == content(train(problem))
