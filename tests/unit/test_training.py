from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fleet_builders import EPOCH_US, HOUR_US, Event, log_frame

from pdm_cli.core.events import Instants
from pdm_cli.core.features import FeatureTable
from pdm_cli.core.labels import label_failures
from pdm_cli.core.metrics import HOURS_PER_MONTH
from pdm_cli.core.split import split_by_time
from pdm_cli.core.training import Problem, check_components, fold_thresholds, judge_model
from pdm_cli.errors import NotEnoughData
from pdm_cli.params import LabelsParams, TrainParams

FLEET = (1, 2, 3, 4)
DAYS = 60
LABELS = LabelsParams(3.0, 48.0)
TRAIN = TrainParams(trees=8, max_leaves=4, learning_rate=0.3, column_share=1.0, threads=1)
# Each machine fails every ten days, the two components in turn.
FAILURES = [
    Event(machine, float(24 * day + 6 * machine), ("comp1", "comp2")[(day // 10 + machine) % 2])
    for machine in FLEET
    for day in range(5, DAYS, 10)
]


def make_problem(failures: list[Event] = FAILURES, components: tuple[str, ...] = ("comp1", "comp2")) -> Problem:
    """A fleet whose sensor of a component rises in the two days before its failure, with noise over all."""
    hours = np.arange(0, DAYS * 24, 3)
    times = np.tile(EPOCH_US + hours * HOUR_US, len(FLEET)).astype(np.int64)
    instants = Instants(pd.Index(FLEET), np.repeat(np.arange(len(FLEET)), len(hours)), times)
    ends = pd.Series(pd.Timestamp(times.max(), unit="us"), index=pd.Index(FLEET)).astype("datetime64[us]")
    log = log_frame(failures, "failure")
    labels = label_failures(instants, log, list(components), ends=ends, params=LABELS)
    shown = label_failures(instants, log_frame(FAILURES, "failure"), ["comp1", "comp2"], ends=ends, params=LABELS)
    noise = np.random.default_rng(0).normal(size=(len(times), 3))
    noise[:, :2] += 4 * np.nan_to_num(shown)
    table = FeatureTable(instants, ["volt", "rotate", "age"], [], noise.astype(np.float32))
    return Problem(table, labels, list(components), split_by_time(times, train=TRAIN, labels=LABELS), LABELS, TRAIN)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return make_problem()


def with_values(problem: Problem, values: np.ndarray) -> Problem:
    return replace(problem, table=replace(problem.table, values=values))


def silent(_: str) -> None:
    pass


def trained(problem: Problem) -> tuple[list[bytes], list[float], list[dict[str, float | None]]]:
    thresholds, scores = fold_thresholds(problem, silent)
    return problem.fit(problem.training_rows(problem.split)).dump(), thresholds, scores


def test_labels_and_features_after_the_cutoff_change_neither_model_nor_thresholds(problem: Problem) -> None:
    is_late = problem.table.instants.times > problem.split.cutoff
    values, labels = problem.table.values.copy(), problem.labels.copy()
    values[is_late] = -values[is_late] * 7
    # A label span may run past the cutoff from before it: such rows are late, too.
    is_unknown = problem.table.instants.times + problem.horizon_us > problem.split.cutoff
    labels[is_unknown] = np.where(np.isnan(labels[is_unknown]), np.nan, 1 - labels[is_unknown])
    assert trained(replace(with_values(problem, values), labels=labels)) == trained(problem)


def test_features_and_labels_before_the_cutoff_do_change_the_model(problem: Problem) -> None:
    assert trained(with_values(problem, -problem.table.values))[0] != trained(problem)[0]


def test_the_same_seed_gives_the_same_bytes(problem: Problem) -> None:
    assert trained(problem) == trained(make_problem())


def test_the_threshold_of_a_component_is_chosen_on_its_own_rows(problem: Problem) -> None:
    thresholds, scores = fold_thresholds(problem, silent)
    swapped = replace(problem, labels=problem.labels[:, ::-1], components=["comp2", "comp1"])
    assert fold_thresholds(swapped, silent)[0] == thresholds[::-1]
    assert all(0 < threshold < 1 for threshold in thresholds)
    assert len(scores) == TRAIN.folds
    assert all(score["average_precision"] is not None and score["average_precision"] > 0.6 for score in scores)


def test_each_fold_is_told_of(problem: Problem) -> None:
    lines: list[str] = []
    fold_thresholds(problem, lines.append)
    assert [line.split(":")[0] for line in lines] == ["fold 1 of 2", "fold 2 of 2"]


def test_unlabelled_rows_are_neither_trained_nor_tested_on(problem: Problem) -> None:
    labels = problem.labels.copy()
    labels[problem.table.instants.codes == 2] = np.nan
    shortened = replace(problem, labels=labels)
    for rows in (shortened.training_rows(problem.split), shortened.test_rows(problem.split)):
        assert rows.any()
        assert not rows[problem.table.instants.codes == 2].any()


def test_components_that_failed_before_the_cutoff_pass(problem: Problem) -> None:
    check_components(problem)


def test_a_component_without_failures_before_the_cutoff_is_refused_by_name() -> None:
    late = [*FAILURES, Event(1, 24 * 55.0, "comp9")]
    with pytest.raises(NotEnoughData, match="comp9 has no failure to learn from before the cutoff") as caught:
        check_components(make_problem(late, ("comp1", "comp9", "comp2")))
    assert caught.value.exit_code == 4
    assert "--components comp1,comp2" in (caught.value.hint or "")


def test_a_failure_seen_only_through_the_gap_does_not_count_as_learned() -> None:
    cutoff_hour = (make_problem().split.cutoff - EPOCH_US) / HOUR_US
    known = [*FAILURES, Event(1, cutoff_hour, "comp9")]
    check_components(make_problem(known, ("comp9",)))
    with pytest.raises(NotEnoughData, match="comp9"):
        check_components(make_problem([*FAILURES, Event(1, cutoff_hour + 1, "comp9")], ("comp9",)))


def test_the_only_component_without_failures_is_not_told_to_train_on_none() -> None:
    with pytest.raises(NotEnoughData) as caught:
        check_components(make_problem(FAILURES, ("comp9",)))
    assert "--components  " not in (caught.value.hint or "")


def test_a_component_that_no_fold_can_judge_is_refused_by_name() -> None:
    # comp9 fails once, early: every fold can train on it, none can test on it.
    with pytest.raises(NotEnoughData, match="comp9 has no failure in the folds"):
        fold_thresholds(make_problem([*FAILURES, Event(1, 100.0, "comp9")], ("comp1", "comp9")), silent)


def test_a_component_that_no_fold_can_learn_is_the_one_that_is_named() -> None:
    # comp9 fails before the cutoff, but only after the last fold's own cutoff; comp1 is well known.
    last_fold_end = (make_problem().split.cutoff - EPOCH_US) / HOUR_US
    with pytest.raises(NotEnoughData, match="comp9"):
        fold_thresholds(make_problem([*FAILURES, Event(1, last_fold_end - 10, "comp9")], ("comp1", "comp9")), silent)


def judged(problem: Problem, alerts: np.ndarray, **changes: Any) -> dict[str, Any]:
    failures = log_frame(FAILURES, "failure")
    return judge_model(replace(problem, **changes), alerts.astype(float), [0.5] * len(problem.components), failures)


def test_a_model_that_knows_the_labels_catches_every_judged_failure_without_a_false_alarm(problem: Problem) -> None:
    found = judged(problem, np.nan_to_num(problem.labels, nan=0.0))
    start, end = ((us - EPOCH_US) / HOUR_US for us in (problem.split.test_start, problem.split.test_end))
    # Alerts cease where labels are unknown, so a failure near the end is caught only if a labelled row saw it.
    wanted = [event for event in FAILURES if start + 48 <= event.hour <= end]
    assert found["macro"] == {"roc_auc": 1.0, "average_precision": 1.0, "brier": 0.0, "f1": 1.0}
    assert found["events"]["failures"] == len(wanted) > 0
    assert found["events"]["caught"] == len(wanted)
    assert found["events"]["false_alarms"] == 0
    assert found["events"]["warning_hours"]["median"] >= 45


def test_a_silent_model_catches_nothing(problem: Problem) -> None:
    found = judged(problem, np.zeros(problem.labels.shape))
    assert found["events"]["caught"] == found["events"]["false_alarms"] == 0
    assert found["macro"]["f1"] == 0.0


def test_false_alarms_are_counted_per_machine_month_of_the_test_span(problem: Problem) -> None:
    alerts = np.zeros(problem.labels.shape)
    test_times = problem.table.instants.times == problem.split.test_start
    alerts[test_times, 0] = 1
    found = judged(problem, alerts)
    after = (problem.split.test_start - EPOCH_US) / HOUR_US
    followed = {e.machine for e in FAILURES if e.kind == "comp1" and after <= e.hour <= after + 48}
    expected = len(FLEET) - len(followed)
    assert expected > 0
    months = len(FLEET) * (problem.split.test_end - problem.split.test_start) / HOUR_US / HOURS_PER_MONTH
    assert found["events"]["false_alarms"] == expected
    assert found["events"]["false_alarms_per_machine_month"] == pytest.approx(expected / months)


def test_probabilities_outside_the_test_span_are_not_looked_at(problem: Problem) -> None:
    alerts = np.random.default_rng(1).random(problem.labels.shape)
    other = np.where(problem.split.span(problem.table.instants.times)[:, None], alerts, np.nan)
    assert judged(problem, other) == judged(problem, alerts)


def test_events_of_the_components_add_up_to_the_total(problem: Problem) -> None:
    found = judged(problem, np.random.default_rng(1).random(problem.labels.shape) > 0.95)
    for key in ("failures", "caught", "caught_24h", "false_alarms"):
        assert found["events"][key] == sum(c["events"][key] for c in found["components"].values())
    assert [component["threshold"] for component in found["components"].values()] == [0.5, 0.5]


def test_machines_without_a_labelled_row_in_the_test_span_are_refused(problem: Problem) -> None:
    labels = problem.labels.copy()
    labels[problem.split.span(problem.table.instants.times)] = np.nan
    with pytest.raises(NotEnoughData, match="no labelled row to test on"):
        check_components(replace(problem, labels=labels))
