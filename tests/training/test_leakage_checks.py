from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.errors import ModelError
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.training import leakage_checks
from pdm_cli.training.leakage_checks import (
    check_disjoint,
    check_machines,
    choose_sample,
    compare_truncated,
    find_separating,
)
from pdm_cli.training.splits import split_by_time, time_folds
from tests.builders.fleets import EPOCH_US, HOUR_US, instants_of

HORIZON_US = 48 * HOUR_US
COMPONENTS = ["comp1", "comp2"]

numbers = st.sampled_from([-1.0, 0.0, 0.5, 2.0, math.nan])
# Two features, two labels; unknown labels are unknown for all components.
known_rows = st.tuples(numbers, numbers, st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0]))
labelled_rows = st.lists(st.one_of(known_rows, st.tuples(numbers, numbers, *[st.just(math.nan)] * 2)), min_size=1)


def at(*hours: float) -> np.ndarray:
    return np.array([EPOCH_US + round(hour * HOUR_US) for hour in hours], np.int64)


def separating(rows: Any, *, limit: float = 0.0) -> dict[tuple[str, str], float]:
    table = np.array(rows, float)
    found = find_separating(table[:, :2].astype(np.float32), table[:, 2:], ["a", "b"], COMPONENTS, limit=limit)
    assert [auc for _, _, auc in found] == sorted((auc for _, _, auc in found), reverse=True)
    return {(name, component): auc for name, component, auc in found}


def slow_auc(values: list[float], labels: list[float]) -> float | None:
    """Count the pairs of a failing and another row in which the failing one has the higher value."""
    found = []
    for stand_in in (-math.inf, math.inf):
        filled = [stand_in if math.isnan(value) else value for value in values]
        failing = [v for v, label in zip(filled, labels, strict=True) if label == 1]
        others = [v for v, label in zip(filled, labels, strict=True) if label == 0]
        if not failing or not others:
            return None
        won = sum((v > w) + (v == w) / 2 for v in failing for w in others) / (len(failing) * len(others))
        found += [won, 1 - won]
    return max(found)


def slow_separating(rows: list[tuple[float, ...]]) -> dict[tuple[str, str], float]:
    columns = list(zip(*rows, strict=True))
    aucs = {
        (name, component): slow_auc(columns[feature], columns[2 + number])
        for feature, name in enumerate("ab")
        for number, component in enumerate(COMPONENTS)
    }
    return {key: auc for key, auc in aucs.items() if auc is not None}


@given(labelled_rows)
def test_auc_equals_counting_pairs(rows: list[tuple[float, ...]]) -> None:
    assert separating(rows) == pytest.approx(slow_separating(rows), abs=1e-12)


@given(labelled_rows, st.integers(1, 5))
def test_a_sample_of_negatives_stands_for_all_of_them(rows: list[tuple[float, ...]], times: int) -> None:
    # Equal rows follow one another, so an even sample takes one of each: the AUC is as exact as from all.
    negatives = [row for row in rows if row[2:] == (0.0, 0.0)]
    repeated = [row for row in rows if row[2:] != (0.0, 0.0)] + [row for row in negatives for _ in range(times)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage_checks, "_MAX_NEGATIVES", max(len(negatives), 1))
        assert separating(repeated) == pytest.approx(slow_separating(repeated), abs=1e-12)


def test_an_auc_worked_by_hand() -> None:
    # Failing 2 and 3 against 1, 2: pairs 2>1, 2=2, 3>1, 3>2 make 3.5 of 4; b falls where a rises.
    rows = [(1, -1, 0, 0), (2, -2, 0, 0), (2, -2, 1, 0), (3, -3, 1, 0)]
    assert separating(rows) == {("a", "comp1"): 0.875, ("b", "comp1"): 0.875}


def test_only_features_above_the_limit_are_named() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((4000, 2)) < 0.05).astype(float)
    noise = rng.normal(size=4000)
    # Told by being missing, which is the lowest value: here "a" is known only after comp2 failed.
    rows = np.column_stack([np.where(labels[:, 1] == 1, noise, math.nan), noise + 2 * labels[:, 0], labels])
    assert list(separating(rows, limit=0.999)) == [("a", "comp2")]
    assert list(separating(rows, limit=0.85)) == [("a", "comp2"), ("b", "comp1")]
    turned = np.column_stack([-noise, np.where(labels[:, 1] == 1, math.nan, noise), labels])
    assert separating(turned, limit=0.999) == {("b", "comp2"): 1.0}


def test_find_separating_skips_component_without_failures() -> None:
    assert separating([(1, 2, 0, 1), (2, 1, 0, 0)]).keys() == {("a", "comp2"), ("b", "comp2")}
    assert separating([(1, 2, 1, 1), (2, 1, 1, 1)]) == {}
    assert separating([(1, 2, math.nan, math.nan)]) == {}


def disjoint(training: list[float], test: list[float], *, test_start: float = 100.0) -> None:
    times = at(*training, *test)
    is_training = np.arange(len(times)) < len(training)
    check_disjoint(is_training, ~is_training, times, horizon_us=HORIZON_US, test_start=int(at(test_start)[0]))


def test_check_disjoint_clean_split_passes() -> None:
    disjoint([0, 48, 51.99], [100, 300])
    disjoint([], [100])
    disjoint([0], [])


def test_check_disjoint_label_in_test_span_is_rejected() -> None:
    with pytest.raises(ModelError, match="2015-01-03 04:00 is trained on, but its label depends on the test span from"):
        disjoint([0, 52, 53], [100])


def test_check_disjoint_test_row_before_span_is_rejected() -> None:
    with pytest.raises(ModelError, match="2015-01-05 03:00 is tested on, but lies before the test span"):
        disjoint([0], [99, 100])


def test_check_disjoint_row_in_both_is_rejected() -> None:
    both = np.array([True, True, False])
    with pytest.raises(ModelError, match="2015-01-01 00:00 is both trained and tested on") as caught:
        check_disjoint(both, both, at(0, 3, 6), horizon_us=HORIZON_US, test_start=int(at(0)[0]))
    assert caught.value.exit_code == 5
    assert caught.value.details == {"rows": 2}
    assert "--test-start" in (caught.value.hint or "")


@given(st.floats(0.1, 0.6), st.integers(1, 4), st.floats(0, 100))
def test_every_split_and_fold_we_make_is_disjoint(share: float, folds: int, gap_hours: float) -> None:
    times = np.tile(at(*np.arange(0, 1500, 3)), 2)
    train, labels = TrainParams(test_share=share, gap_hours=gap_hours), LabelsParams(3.0, 48.0)
    split = split_by_time(times, train=train, labels=labels)
    gap = round(max(gap_hours, 48) * HOUR_US)
    for part in [split, *time_folds(times, split, folds=folds, gap_us=gap)]:
        rows = part.training_rows(times, HORIZON_US), part.test_rows(times, HORIZON_US)
        check_disjoint(*rows, times, horizon_us=HORIZON_US, test_start=part.test_start)


def test_check_machines_in_both_parts_is_rejected() -> None:
    codes = np.array([0, 0, 1, 1, 2])
    check_machines(codes == 0, codes > 0, codes)
    with pytest.raises(ModelError, match="1 machine both trained and tested on"):
        check_machines(codes < 2, codes > 0, codes)


grids = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6)), min_size=1, max_size=40, unique=True)


@given(grids, st.integers(1, 15), st.integers(0, 3), st.data())
def test_a_sample_is_few_times_and_repeatable(grid: list[Any], count: int, seed: int, data: st.DataObject) -> None:
    instants = instants_of(grid)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(grid), max_size=len(grid))), bool)
    before = np.array(data.draw(st.lists(st.booleans(), min_size=len(grid), max_size=len(grid))), bool)
    found = choose_sample(instants, allowed, before_failure=before, count=count, seed=seed)
    assert found.tolist() == choose_sample(instants, allowed, before_failure=before, count=count, seed=seed).tolist()
    assert found.tolist() == sorted(set(found.tolist()))
    assert allowed[found].all()
    assert len(found) <= count
    assert len(set(instants.times[found].tolist())) <= 6
    assert len(found) > 0 or not allowed.any()


def test_a_full_grid_is_sampled_at_six_times_of_two_machines() -> None:
    instants = instants_of([(machine, hour) for machine in range(20) for hour in range(0, 300, 3)])
    every = np.ones(len(instants.times), bool)
    found = choose_sample(instants, every, before_failure=~every, seed=0)
    assert np.unique(instants.times[found], return_counts=True)[1].tolist() == [2] * 6
    assert len(set(instants.codes[found].tolist())) > 4
    assert found.tolist() != choose_sample(instants, every, before_failure=~every, seed=1).tolist()


def test_half_of_the_times_have_a_machine_that_is_about_to_fail() -> None:
    instants = instants_of([(machine, hour) for machine in range(20) for hour in range(0, 3000, 3)])
    rare = (instants.codes == 7) & (instants.times % (500 * HOUR_US) < 9 * HOUR_US)
    for seed in range(10):
        found = choose_sample(instants, np.ones(len(rare), bool), before_failure=rare, seed=seed)
        assert len(set(instants.times[found[rare[found]]].tolist())) >= 3


def compare(whole: Any, cut: Any) -> None:
    tables = np.array(whole, np.float32), np.array(cut, np.float32)
    compare_truncated(["volt", "age"], *tables, machines=np.array([7, 8]), times=at(0, 3))


def test_equal_features_pass_and_missing_equals_missing() -> None:
    compare([[1, math.nan], [math.inf, 0]], [[1, math.nan], [math.inf, 0]])


@pytest.mark.parametrize(("whole", "cut"), [(2.0, 1.0), (math.nan, 1.0), (1.0, math.nan), (1.0, 1 + 2.0**-23)])
def test_compare_truncated_first_difference_is_named(whole: float, cut: float) -> None:
    with pytest.raises(ModelError, match="feature age of machine 8 at 2015-01-01 03:00 uses the future") as caught:
        compare([[1, 2], [3, whole]], [[1, 2], [3, cut]])
    assert caught.value.details == {"features": ["age"]}
    shown = f"it is {np.float32(whole)}, but {np.float32(cut)} without"
    assert shown in caught.value.message
    assert str(np.float32(whole)) != str(np.float32(cut))


def test_compare_truncated_lists_all_leaking_features() -> None:
    with pytest.raises(ModelError, match="feature volt of machine 8") as caught:
        compare([[1, 2], [3, 4]], [[1, 2], [5, 6]])
    assert caught.value.details == {"features": ["volt", "age"]}


def test_compare_truncated_different_shapes_is_value_error() -> None:
    with pytest.raises(ValueError, match="shape"):
        compare([[1, 2], [3, 4]], [[1, 2]])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_missing_value_among_the_failing_rows_hides_no_leak(sign: float) -> None:
    labels = np.zeros((4000, 1))
    labels[:200] = 1.0
    leak = np.where(labels[:, 0] == 1, sign * 5.0, 0.0).astype(np.float32)
    leak[:3] = np.nan
    found = find_separating(leak[:, None], labels, ["leak"], ["comp1"])
    assert found == [("leak", "comp1", pytest.approx(1.0))]
