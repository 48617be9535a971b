from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from pdm_cli.features.build import Sources
from pdm_cli.training.dataset import Problem
from pdm_cli.training.lifetimes import find_training_lives, fit_lifetimes
from pdm_cli.units import DATES
from tests.builders.problems import TRAIN, problem_of, simulated, without


@pytest.fixture(scope="module")
def fleet() -> Sources:
    return simulated(machines=8, days=120, seed=3)


def with_failures(sources: Sources, failures: pd.DataFrame) -> Sources:
    return replace(sources, events={**sources.events, "failures": failures})


def last_known(problem: Problem) -> pd.Timestamp:
    return pd.Timestamp(problem.split.cutoff, unit="us")


def test_lifetimes_do_not_look_past_the_cutoff(fleet: Sources) -> None:
    problem = problem_of(fleet, train=replace(TRAIN, split="time"))
    failures, cutoff = fleet.events["failures"], last_known(problem)
    is_past = failures["datetime"] <= cutoff
    later = failures[~is_past]
    assert len(later)
    other = problem_of(
        with_failures(fleet, pd.concat([failures[is_past], later.assign(machineID=1, kind="comp1")])),
        train=replace(TRAIN, split="time", cutoff=cutoff.tz_localize("UTC").to_pydatetime()),
    )
    assert other.split.cutoff == problem.split.cutoff
    assert fit_lifetimes(problem, ["comp1"], units=DATES) == fit_lifetimes(other, ["comp1"], units=DATES)


def test_lifetimes_count_only_machines_trained_on(fleet: Sources) -> None:
    problem = problem_of(fleet, train=replace(TRAIN, split="machine"))
    held_out = problem.instants.machines[problem.held_out]
    found = fit_lifetimes(problem, problem.components, units=DATES)
    own = problem.failures[~problem.failures["machineID"].isin(held_out)]
    for name, lifetime in found.items():
        assert lifetime.failures == (own["failure"] == name).sum()
    spans = fleet.telemetry.groupby("machineID")["datetime"].agg(["min", "max"]).drop(index=held_out)
    hours = (spans["max"] - spans["min"]).dt.total_seconds().sum() / 3600
    assert [lifetime.machine_hours for lifetime in found.values()] == pytest.approx([hours, hours])


def test_a_failure_after_the_last_reading_ends_the_life_of_its_part(fleet: Sources) -> None:
    last = fleet.telemetry.groupby("machineID")["datetime"].max()
    failures = fleet.events["failures"]
    ending = failures.iloc[:1].assign(machineID=1, datetime=last[1] + pd.Timedelta(hours=2), kind="comp1")
    earlier = ending.assign(datetime=last[1] - pd.Timedelta(hours=98))
    log = pd.concat([failures[failures["machineID"] != 1], earlier, ending], ignore_index=True)
    sources = without(with_failures(fleet, log), "maint")
    problem = problem_of(sources, train=replace(TRAIN, split="machine", seed=1))
    assert not problem.held_out[0]
    lives = find_training_lives(problem, units=DATES)["comp1"]
    assert lives.hours[(lives.codes == 0) & lives.failed].tolist() == [100]


def test_no_component_needs_no_lifetimes(fleet: Sources) -> None:
    assert fit_lifetimes(problem_of(fleet, train=TRAIN), [], units=DATES) == {}
