"""The hours to failure of a small fleet: which horizons are fitted, and what they predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pdm_cli.evaluation.hours_to_failure import LEVELS
from pdm_cli.features.events import EventLog
from pdm_cli.models import ESTIMATORS
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.training import hazard as hazard_module
from pdm_cli.training.dataset import Problem
from pdm_cli.training.train import Training
from tests.builders.problems import problem_of, simulated, without
from tests.builders.trainings import train


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_of(without(simulated(machines=10, days=150, seed=3), "anomalies"))


@pytest.fixture(scope="module")
def trained(problem: Problem) -> Training:
    return train(problem)


@pytest.mark.slow
def test_fit_hazard_has_shorter_and_longer_horizons(problem: Problem, trained: Training) -> None:
    hazard = trained.hazard
    assert (hazard.lead_hours, hazard.horizon_hours) == (3.0, 48.0)
    learned = np.flatnonzero(problem.learnable).tolist()
    assert learned
    for component in learned:
        assert set(hazard.hours_of(component)) <= {14.25, 25.5, 36.75, 48.0, 96.0, 168.0}
        assert min(hazard.hours_of(component)) < 48 < max(hazard.hours_of(component))


@pytest.mark.slow
def test_fit_hazard_increases_with_the_horizon_in_every_row(problem: Problem, trained: Training) -> None:
    table, rows = problem.table_of(problem.split), np.arange(len(problem.labels))
    probabilities = trained.model.predict(table)
    for component in range(len(problem.components)):
        hours, found = trained.hazard.spread(component, probabilities[:, component], table, rows)
        assert (np.diff(found, axis=1) >= -1e-15).all()
        assert found[:, hours.index(48.0)].tobytes() == probabilities[:, component].tobytes()


@pytest.mark.slow
def test_fit_hazard_predicts_when_components_fail(problem: Problem, trained: Training) -> None:
    table, rows = problem.table_of(problem.split), np.flatnonzero(problem.test_rows(problem.split))
    probabilities = trained.model.predict(table)
    found = trained.hazard.predict(table, probabilities, rows)
    hours, errors, plain = [], [], []
    for column, component in enumerate(problem.components):
        log = EventLog(problem.failures[problem.failures["failure"] == component], problem.instants.machines)
        own = rows[(probabilities[rows, column] > 0.6) & (problem.labels[rows, column] == 1)]
        place = np.searchsorted(rows, own)
        times = problem.instants.times[own]
        ahead = (log.next_from(problem.instants.codes[own], times + 3 * US_PER_HOUR) - times) / US_PER_HOUR
        hours.extend(zip(found[place, column, 0], ahead, found[place, column, 2], strict=True))
        errors.extend(np.abs(found[place, column, 1] - ahead))
        plain.extend(np.abs(25.5 - ahead))
    assert len(errors) > 20
    # Better than the middle of the horizon.
    assert np.nanmean(errors) < 0.8 * np.mean(plain)
    inside = np.mean([low <= true and not high < true for low, true, high in hours])
    assert inside > 0.6 * (LEVELS[2] - LEVELS[0])


@pytest.mark.slow
def test_fit_hazard_of_given_horizons_has_those_only(problem: Problem, trained: Training) -> None:
    (trial,) = trained.search.trials
    given = replace(problem, train=replace(problem.train, horizons=(168.0, 24.0, 48.0, 24.0)))
    found = hazard_module.fit_hazard(given, trial.candidate, ESTIMATORS["xgboost"])
    assert {tuple(found.hours_of(branch.component)) for branch in found.branches} == {(24.0, 48.0, 168.0)}


@pytest.mark.slow
def test_fit_hazard_leaves_out_horizons_with_too_few_rows(
    problem: Problem, trained: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial,) = trained.search.trials
    monkeypatch.setattr(hazard_module, "_FEWEST", 10**9)
    found = hazard_module.fit_hazard(problem, trial.candidate, ESTIMATORS["xgboost"])
    assert found.branches == []
    at_once = replace(problem, lead=replace(problem.lead, lead_time_hours=48.0))
    monkeypatch.setattr(hazard_module, "_FEWEST", 5)
    found = hazard_module.fit_hazard(at_once, trial.candidate, ESTIMATORS["xgboost"])
    assert not any(branch.is_within for branch in found.branches)
