from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from pdm_cli.errors import DataError, NotEnoughData, SchemaError
from pdm_cli.features.build import FEATURE_SETS, LEARNED, Sources
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.settings.model import LabelsParams
from pdm_cli.training.dataset import Problem
from pdm_cli.training.splits import Split
from pdm_cli.units import exact_time
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, log_frame
from tests.builders.problems import LABELS, TRAIN, problem_of, simulated, without

HORIZON_US = 48 * HOUR_US
SPLITS = ("time", "machine", "both")
COMPONENTS = ("comp1", "comp2")


@pytest.fixture(scope="module")
def fleet() -> Sources:
    return simulated(machines=8, days=120, seed=3)


@pytest.fixture(scope="module")
def problems(fleet: Sources) -> dict[str, Problem]:
    return {kind: problem_of(fleet, train=replace(TRAIN, split=kind)) for kind in SPLITS}


def machines_of(problem: Problem, rows: Any) -> set[int]:
    return set(problem.instants.machines[problem.instants.codes[rows]].tolist())


def held_out(problem: Problem) -> set[int]:
    return set(problem.instants.machines[problem.held_out].tolist())


@pytest.mark.slow
def test_by_time_all_machines_are_trained_on_before_and_tested_on_after_the_cutoff(
    problems: dict[str, Problem],
) -> None:
    problem = problems["time"]
    split, times = problem.split, problem.instants.times
    trained, tested = problem.training_rows(split), problem.test_rows(split)
    assert not problem.held_out.any()
    assert machines_of(problem, trained) == machines_of(problem, tested) == set(range(1, 9))
    assert_array_equal(trained, times + HORIZON_US <= split.cutoff)
    assert_array_equal(tested, (times >= split.test_start) & (times + HORIZON_US <= split.test_end))
    assert split.test_start - split.cutoff == HORIZON_US
    assert_array_equal(problem.test_span(split), times >= split.test_start)


def test_by_machine_others_are_tested_at_all_times(problems: dict[str, Problem]) -> None:
    problem = problems["machine"]
    split = problem.split
    assert problem.held_out.sum() == 2
    assert machines_of(problem, problem.training_rows(split)) == set(range(1, 9)) - held_out(problem)
    is_theirs = problem.held_out[problem.instants.codes]
    assert_array_equal(problem.test_rows(split), is_theirs & ~np.isnan(problem.labels[:, 0]))
    assert_array_equal(problem.test_span(split), is_theirs)
    assert_array_equal(problem.training_rows(split), ~is_theirs & ~np.isnan(problem.labels[:, 0]))


def test_by_both_others_are_tested_at_later_times(problems: dict[str, Problem]) -> None:
    by_time, problem = problems["time"], problems["both"]
    split = problem.split
    assert split == by_time.split
    is_theirs = problem.held_out[problem.instants.codes]
    assert_array_equal(problem.training_rows(split), by_time.training_rows(split) & ~is_theirs)
    assert_array_equal(problem.test_rows(split), by_time.test_rows(split) & is_theirs)
    assert problem.test_rows(split).any()


@pytest.mark.parametrize("kind", SPLITS)
def test_folds_keep_to_the_machines_of_the_training(problems: dict[str, Problem], kind: str) -> None:
    problem = problems[kind]
    others = set(range(1, 9)) - held_out(problem)
    for fold in problem.folds:
        trained, tested = problem.training_rows(fold), problem.test_rows(fold)
        assert machines_of(problem, trained | tested) == others
        assert machines_of(problem, tested) == machines_of(problem, problem.test_span(fold))
        assert not np.any(trained & tested)
        if kind != "machine":
            assert machines_of(problem, trained) == machines_of(problem, tested) == others
            assert fold.label_end <= problem.split.cutoff


def test_folds_by_machine_test_every_training_machine_once_at_all_times(problems: dict[str, Problem]) -> None:
    problem = problems["machine"]
    trained = problem.training_rows(problem.split)
    for fold in problem.folds:
        theirs = problem.tested_machines(fold)[problem.instants.codes]
        assert_array_equal(problem.test_rows(fold), trained & theirs)
        assert_array_equal(problem.training_rows(fold), trained & ~theirs)
    assert_array_equal(sum(problem.test_rows(fold).astype(int) for fold in problem.folds), trained)


@pytest.mark.parametrize("kind", SPLITS)
def test_unlabelled_rows_are_neither_trained_nor_tested_on(problems: dict[str, Problem], kind: str) -> None:
    problem = problems[kind]
    labels = problem.labels.copy()
    is_gone = problem.instants.codes % 3 == 0
    labels[is_gone] = np.nan
    shortened = replace(problem, labels=labels)
    for rows in (shortened.training_rows(problem.split), shortened.test_rows(problem.split)):
        assert rows.any()
        assert not rows[is_gone].any()
    assert_array_equal(shortened.test_span(problem.split), problem.test_span(problem.split))


def test_component_with_a_failure_ahead_of_every_row_is_not_learnable(fleet: Sources) -> None:
    always = [Event(machine, 24.0 * day, "daily") for machine in range(1, 9) for day in range(-30, 150)]
    start = to_microseconds(fleet.telemetry["datetime"]).min()
    log = log_frame(always)
    log["datetime"] += pd.Timedelta(int(start - EPOCH_US), "us")
    events = {**fleet.events, "failures": pd.concat([fleet.events["failures"], log], ignore_index=True)}
    problem = problem_of(replace(fleet, events=events), components=("comp1", "daily"))
    assert problem.learnable.tolist() == [True, False]
    assert problem.base_rates()[1] > 0.99
    rows, weights = problem.fitting_rows(problem.split)
    assert_array_equal(weights, 1.0)
    assert problem.fitting_labels(rows).shape == (len(rows), 1)
    with pytest.raises(NotEnoughData, match=r"daily: all .* rows to train on are before a failure"):
        replace(problem, learnable=np.ones(2, bool)).fitting_labels(rows)


def without_machines(problem: Problem, machines: set[int], *tables: str) -> Problem:
    """Return the problem with no event of some machines in some tables, and the same split."""
    sources = problem.context.sources
    events = {
        name: log[~log["machineID"].isin(machines)] if name in tables else log for name, log in sources.events.items()
    }
    return replace(problem, context=replace(problem.context, sources=replace(sources, events=events)), _fitted={})


def dumped(problem: Problem, split: Split) -> dict[str, Any]:
    return {family: LEARNED[family].dump(state) for family, state in problem.states(split).items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["machine", "both"])
def test_states_held_out_machines_change_nothing(problems: dict[str, Problem], kind: str) -> None:
    problem = problems[kind]
    other = without_machines(problem, held_out(problem), "failures")
    for split in (problem.split, *problem.folds):
        assert dumped(other, split) == dumped(problem, split)
    # Without them it is another template: they did have something to teach.
    everyone = replace(problem.split, trained=None)
    assert dumped(problem, everyone)["template"] != dumped(problem, problem.split)["template"]


def test_states_of_a_fold_by_machine_do_not_depend_on_the_machines_it_tests(problems: dict[str, Problem]) -> None:
    problem = problems["machine"]
    fold = problem.folds[0]
    tested = problem.instants.machines[problem.tested_machines(fold)]
    other = without_machines(problem, set(tested), "failures", "errors")
    assert set(dumped(problem, fold)) == set(LEARNED)
    assert dumped(other, fold) == dumped(problem, fold)
    assert dumped(other, problem.split)["template"] != dumped(problem, problem.split)["template"]


def test_each_fold_knows_only_what_was_known_at_its_cutoff(fleet: Sources, problems: dict[str, Problem]) -> None:
    problem = problems["time"]
    fold = problem.folds[0]
    failures = fleet.events["failures"]
    past = {**fleet.events, "failures": failures[to_microseconds(failures["datetime"]) <= fold.cutoff]}
    sources = replace(problem.context.sources, events=past)
    earlier = replace(problem, context=replace(problem.context, sources=sources), _fitted={})
    assert earlier.states(fold)["template"].to_json() == problem.states(fold)["template"].to_json()
    assert problem.states(fold)["template"].to_json() != problem.states(problem.split)["template"].to_json()
    tables = [problem.table_of(split) for split in (fold, problem.split)]
    assert tables[0].names == tables[1].names
    plain = problem.table.names
    assert tables[0].names[: len(plain)] == plain
    assert_array_equal(tables[0].matrix(plain), tables[1].matrix(plain))


@pytest.mark.parametrize("kind", SPLITS)
def test_all_failing_rows_and_a_share_of_the_others_are_fitted_on(problems: dict[str, Problem], kind: str) -> None:
    problem = problems[kind]
    for split in (problem.split, *problem.folds):
        rows, weights = problem.fitting_rows(split)
        allowed = problem.training_rows(split)
        is_failing = (problem.labels == 1).any(axis=1)
        assert allowed[rows].all()
        assert np.all(np.diff(rows) > 0)
        assert_array_equal(rows[is_failing[rows]], np.flatnonzero(allowed & is_failing))
        assert_array_equal(weights, np.where(is_failing[rows], 1.0, 2.5))
        others = np.count_nonzero(allowed & ~is_failing)
        # Five standard deviations of a draw of four in ten.
        assert abs(np.count_nonzero(~is_failing[rows]) - 0.4 * others) < 5 * (0.24 * others) ** 0.5
        assert weights.sum() == pytest.approx(np.count_nonzero(allowed), rel=0.1)


def test_fitting_rows_depend_on_the_seed(problems: dict[str, Problem]) -> None:
    problem = problems["time"]
    rows = problem.fitting_rows(problem.split)[0]
    assert_array_equal(problem.fitting_rows(problem.split)[0], rows)
    # A row is drawn or not, whatever split asks.
    assert set(problem.fitting_rows(problem.folds[0])[0].tolist()) <= set(rows.tolist())
    other = replace(problem, train=replace(TRAIN, seed=1)).fitting_rows(problem.split)[0]
    assert not np.array_equal(other, rows)


def test_fitting_rows_share_of_one_is_every_row(problems: dict[str, Problem]) -> None:
    problem = replace(problems["time"], train=replace(TRAIN, negative_share=1.0))
    rows, weights = problem.fitting_rows(problem.split)
    assert_array_equal(rows, np.flatnonzero(problem.training_rows(problem.split)))
    assert set(weights.tolist()) == {1.0}


def test_feature_sets_are_those_of_the_registry_where_all_tables_are_there(problems: dict[str, Problem]) -> None:
    problem = problems["time"]
    found, table = problem.feature_sets(), problem.table_of(problem.split)
    assert list(found) == list(FEATURE_SETS)
    for name, columns in found.items():
        assert list(columns) == table.names_of(FEATURE_SETS[name])
    assert {name for columns in found.values() for name in columns} == set(table.names)


def test_sets_of_equal_columns_are_tried_once(fleet: Sources) -> None:
    quiet = problem_of(without(fleet, "anomalies"))
    # Without anomalies to look at, the set with them is the full one.
    assert list(quiet.feature_sets()) == ["full", "slow", "template", "usage", "plain"]


def test_feature_sets_chosen_families_are_the_only_set(fleet: Sources) -> None:
    problem = problem_of(fleet, train=replace(TRAIN, families=("visits", "template")))
    assert problem.feature_sets() == {"chosen": tuple(problem.table_of(problem.split).names)}
    assert set(problem.table_of(problem.split).families) == {"visits", "template"}
    rolling = problem_of(fleet, train=replace(TRAIN, families=("rolling",)))
    assert rolling.feature_sets() == {"chosen": tuple(fleet.rolling.columns[2:])}
    assert problem_of(fleet, train=replace(TRAIN, families=("visits",))).states(problem.split) == {}


def with_failures(fleet: Sources, *events: Event) -> Sources:
    log = pd.concat([fleet.events["failures"], log_frame(list(events))], ignore_index=True)
    return replace(fleet, events={**fleet.events, "failures": log})


def test_component_without_failure_before_the_cutoff_is_not_learned(fleet: Sources) -> None:
    late = with_failures(fleet, Event(1, 24 * 110.0, "comp9"))
    problem = problem_of(late, components=("comp1", "comp9", "comp2"))
    assert problem.learnable.tolist() == [True, False, True]
    rows = problem.training_rows(problem.split).sum()
    assert problem.base_rates()[1] == 1 / (rows + 2)
    ahead = (problem.labels[problem.training_rows(problem.split), 0] == 1).sum()
    assert problem.base_rates()[0] == (ahead + 1) / (rows + 2)


@pytest.mark.slow
def test_check_problem_no_component_with_a_failure_before_the_cutoff_is_rejected(fleet: Sources) -> None:
    cutoff_hour = (problem_of(fleet).split.cutoff - EPOCH_US) / HOUR_US
    with pytest.raises(NotEnoughData, match="too few failures of comp9 to train on in every fold, so the") as caught:
        problem_of(with_failures(fleet, Event(1, cutoff_hour, "comp9")), components=("comp9",))
    needed = (
        "provide a longer log (training needs at least 2 failures of a component before the cutoff: one to train and "
        "one to test on in a fold)"
    )
    assert caught.value.hint == needed
    late = with_failures(fleet, Event(1, cutoff_hour + 1, "comp9"))
    with pytest.raises(NotEnoughData, match="comp9 has no failure to train on before the cutoff") as caught:
        problem_of(late, components=("comp9",))
    assert caught.value.exit_code == 4
    assert caught.value.hint == needed
    twice = with_failures(fleet, Event(1, cutoff_hour + 1, "comp9"), Event(1, cutoff_hour + 200, "comp9"))
    with pytest.raises(NotEnoughData, match="comp9 has no failure to train on before the cutoff") as caught:
        problem_of(twice, components=("comp9",))
    assert caught.value.hint == "provide a longer log, or set a smaller --test-share"
    by_machine = replace(TRAIN, split="machine")
    with pytest.raises(NotEnoughData) as caught:
        problem_of(twice, train=by_machine, components=("comp9",))
    assert caught.value.hint == "provide a longer log, or test on later data with --split time"
    with pytest.raises(NotEnoughData) as caught:
        problem_of(late, train=by_machine, components=("comp9",))
    assert caught.value.hint is not None
    assert "at least 2 failures of a component, on different machines that are not held out: one" in caught.value.hint


def test_folds_are_fewer_where_more_components_can_be_learned_then(
    fleet: Sources, problems: dict[str, Problem]
) -> None:
    """Days 10 and 80 are in one fold of two at most; a single one is trained until day 44 and tested until day 89."""
    rare = with_failures(fleet, Event(1, 24 * 10.0, "comp9"), Event(2, 24 * 80.0, "comp9"))
    problem = problem_of(rare, components=("comp1", "comp9"))
    assert len(problems["time"].folds) == 2
    (fold,) = problem.folds
    assert problem.learnable.all()
    for rows in (problem.training_rows(fold), problem.test_rows(fold)):
        assert (problem.labels[rows] == 1).any(axis=0).all()


@pytest.mark.parametrize("kind", SPLITS)
def test_folds_have_failures_of_each_learnable_component(fleet: Sources, kind: str) -> None:
    problem = problem_of(fleet, train=replace(TRAIN, split=kind, folds=5), components=())
    assert problem.learnable.any()
    assert len(problem.folds) <= 5
    for fold in problem.folds:
        for rows in (problem.training_rows(fold), problem.test_rows(fold)):
            assert (problem.labels[rows] == 1).any(axis=0)[problem.learnable].all()


@pytest.mark.slow
def test_choose_components_given_or_all_that_failed(fleet: Sources) -> None:
    assert problem_of(fleet, components=("comp2", "comp1", "comp2")).components == ["comp2", "comp1"]
    assert problem_of(fleet, components=()).components == ["comp1", "comp2", "comp3", "comp4"]
    with pytest.raises(DataError, match="no failures of comp9") as caught:
        problem_of(fleet, components=("comp1", "comp9"))
    assert "comp1, comp2, comp3, comp4" in (caught.value.hint or "")


def test_choose_components_without_failures_is_rejected(fleet: Sources) -> None:
    with pytest.raises(SchemaError, match=r"failures\.parquet: not in the prepared tables"):
        problem_of(without(fleet, "failures"))
    none = fleet.events["failures"].iloc[:0]
    with pytest.raises(NotEnoughData, match="the table is empty"):
        problem_of(replace(fleet, events={**fleet.events, "failures": none}))


def test_without_a_table_for_the_families_they_are_named(fleet: Sources) -> None:
    with pytest.raises(NotEnoughData, match="no table for the features of --families anomalies"):
        problem_of(without(fleet, "anomalies"), train=replace(TRAIN, families=("anomalies",)))


def test_without_a_labelled_row_to_test_on_the_start_of_the_test_is_named(
    fleet: Sources, problems: dict[str, Problem]
) -> None:
    problem = problems["both"]
    ended = pd.Timestamp(problem.split.cutoff, unit="us")

    def known(table: pd.DataFrame) -> pd.DataFrame:
        is_theirs = table["machineID"].isin(held_out(problem))
        return table[~is_theirs | (table["datetime"] < ended)].reset_index(drop=True)

    train = replace(problem.train, cutoff=ended.to_pydatetime())
    with pytest.raises(NotEnoughData, match=f"no labelled row to test on from {exact_time(problem.split.test_start)}"):
        problem_of(replace(fleet, rolling=known(fleet.rolling), telemetry=known(fleet.telemetry)), train=train)


@pytest.mark.slow
def test_training_rows_depend_on_the_horizon(fleet: Sources) -> None:
    short = problem_of(fleet, labels=LabelsParams(3.0, 24.0))
    assert short.horizon_us == 24 * HOUR_US
    assert short.split.test_start - short.split.cutoff == 24 * HOUR_US
    longer = problem_of(fleet, labels=LABELS)
    assert short.training_rows(short.split).sum() > longer.training_rows(longer.split).sum()
