from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pdm_cli.errors import NotEnoughData, UsageError
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.timestamps import show
from pdm_cli.training.splits import (
    Split,
    hold_out_machines,
    machine_folds,
    split_by_time,
    stratify,
    time_folds,
)
from tests.builders.fleets import EPOCH_US, HOUR_US

HORIZON_US = 48 * HOUR_US
DAY_US = 24 * HOUR_US


def grid(days: float = 40, *, start_hours: float = 6, step_hours: float = 3) -> np.ndarray:
    return EPOCH_US + np.arange(start_hours * HOUR_US, days * DAY_US, step_hours * HOUR_US).astype(np.int64)


def split(times: np.ndarray, *, horizon_hours: float = 48, **train: Any) -> Split:
    return split_by_time(times, train=TrainParams(**train), labels=LabelsParams(0, horizon_hours))


def at(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def test_by_default_the_last_quarter_is_tested_after_a_gap_of_the_horizon() -> None:
    times = grid(40)
    found = split(times)
    # 6:00 on day 0 to 21:00 on day 39: three quarters end on day 29 at 23:15, cut to its midnight.
    assert show(found.cutoff) == "2015-01-30T00:00"
    assert show(found.test_start) == "2015-02-01T00:00"
    assert found.test_end == times.max()
    assert found.label_end == NEVER_US


def test_a_greater_test_share_cuts_earlier() -> None:
    assert split(grid(), test_share=0.5).cutoff < split(grid(), test_share=0.25).cutoff


def test_the_given_cutoff_and_test_start_are_taken_as_they_are() -> None:
    found = split(grid(), cutoff=datetime(2015, 1, 20, 6, 30), test_start=datetime(2015, 1, 25))
    assert (found.cutoff, found.test_start) == (at("2015-01-20T06:30"), at("2015-01-25"))


def test_a_given_cutoff_alone_is_followed_by_the_gap() -> None:
    assert split(grid(), cutoff=datetime(2015, 1, 20)).test_start == at("2015-01-22")
    assert split(grid(), cutoff=datetime(2015, 1, 20), gap_hours=72.0).test_start == at("2015-01-23")


def test_times_with_a_zone_become_utc() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    found = split(
        grid(),
        cutoff=datetime(2015, 1, 20, 5, 30, tzinfo=zone),
        test_start=datetime(2015, 1, 24, 20, tzinfo=timezone(-timedelta(hours=4))),
    )
    assert (found.cutoff, found.test_start) == (at("2015-01-20"), at("2015-01-25"))


def test_times_without_a_zone_are_utc() -> None:
    naive = split(grid(), cutoff=datetime(2015, 1, 20))
    assert naive == split(grid(), cutoff=datetime(2015, 1, 20, tzinfo=UTC))


@pytest.mark.parametrize("hours_after", [-24, 0, 24, 47])
def test_split_gap_shorter_than_horizon_is_rejected(hours_after: float) -> None:
    cutoff = datetime(2015, 1, 20, tzinfo=UTC)
    with pytest.raises(
        UsageError, match=r"--test-start .*: less than the gap of 48 h after --cutoff 2015-01-20T00:00"
    ) as caught:
        split(grid(), cutoff=cutoff, test_start=cutoff + timedelta(hours=hours_after))
    assert caught.value.exit_code == 2
    assert "2015-01-22T00:00" in (caught.value.hint or "")


def test_a_gap_of_exactly_the_horizon_is_taken() -> None:
    cutoff = datetime(2015, 1, 20, tzinfo=UTC)
    assert split(grid(), cutoff=cutoff, test_start=cutoff + timedelta(hours=48)).test_start == at("2015-01-22")


def test_split_test_start_within_gap_is_rejected() -> None:
    cutoff = datetime(2015, 1, 20, tzinfo=UTC)
    with pytest.raises(UsageError, match="gap of 96 h"):
        split(grid(), cutoff=cutoff, test_start=cutoff + timedelta(hours=48), gap_hours=96.0)


@pytest.mark.parametrize("seconds", [0, 30])
def test_split_test_start_from_hint_is_accepted(seconds: int) -> None:
    cutoff = datetime(2015, 1, 20, 0, 0, seconds, tzinfo=UTC)
    with pytest.raises(UsageError) as caught:
        split(grid(), cutoff=cutoff, test_start=cutoff)
    offered = datetime.fromisoformat((caught.value.hint or "").split()[2])
    assert split(grid(), cutoff=cutoff, test_start=offered)


@pytest.mark.parametrize("cutoff", ["2014-06-01 00:00", "2015-01-01 06:00", "2015-01-03 05:00"])
def test_split_without_training_row_is_rejected(cutoff: str) -> None:
    with pytest.raises(NotEnoughData, match=f"no row to train on before the cutoff {cutoff}") as caught:
        split(grid(), cutoff=datetime.fromisoformat(cutoff))
    assert caught.value.exit_code == 4
    assert "2015-01-01 06:00 to 2015-02-09 21:00" in (caught.value.hint or "")


@pytest.mark.parametrize("cutoff", ["2015-02-06T00:00", "2015-02-09T00:00", "2016-01-01T00:00"])
def test_split_without_labelled_test_row_is_rejected(cutoff: str) -> None:
    with pytest.raises(NotEnoughData, match="no labelled row to test on") as caught:
        split(grid(), cutoff=datetime.fromisoformat(cutoff))
    assert caught.value.exit_code == 4


def test_split_telemetry_shorter_than_horizon_is_rejected() -> None:
    with pytest.raises(NotEnoughData):
        split(grid(1.5))


def test_split_outage_over_all_test_rows_is_rejected() -> None:
    times = np.append(grid(20), EPOCH_US + 40 * DAY_US)
    with pytest.raises(NotEnoughData, match="no labelled row to test on"):
        split(times, cutoff=datetime(2015, 1, 25, tzinfo=UTC))


@given(
    hours=st.lists(st.integers(0, 1200), min_size=2, max_size=80),
    share=st.floats(0.05, 0.9),
    horizon=st.sampled_from([1.0, 24.0, 48.0]),
    gap=st.sampled_from([0.0, 30.0, 100.0]),
    folds=st.integers(1, 5),
)
def test_split_and_folds_training_never_overlaps_test(
    hours: list[int], share: float, horizon: float, gap: float, folds: int
) -> None:
    times = EPOCH_US + np.array(hours, np.int64) * HOUR_US
    try:
        outer = split(times, horizon_hours=horizon, test_share=share, gap_hours=gap)
    except NotEnoughData:
        assume(False)
    horizon_us, gap_us = round(horizon * HOUR_US), round(max(horizon, gap) * HOUR_US)
    inner = time_folds(times, outer, folds=folds, gap_us=gap_us)
    assert len(inner) == folds
    for part in [outer, *inner]:
        trained = times[part.training_rows(times, horizon_us)]
        tested = times[part.test_rows(times, horizon_us)]
        assert (trained + horizon_us <= part.cutoff).all()
        assert (tested >= part.cutoff + gap_us).all()
        assert (tested + horizon_us <= part.label_end).all()
        assert set(tested.tolist()) <= set(times[part.span(times)].tolist())
    for part in inner:
        assert part.label_end <= outer.cutoff
        assert part.test_end <= outer.cutoff
        assert (times[part.span(times)] <= outer.cutoff).all()


def test_folds_follow_one_another_and_share_the_last_half_of_the_training_span() -> None:
    times = grid(42, start_hours=0)
    outer = split(times, cutoff=datetime(2015, 1, 31, tzinfo=UTC))
    folds = time_folds(times, outer, folds=3, gap_us=HORIZON_US)
    assert [show(fold.cutoff) for fold in folds] == ["2015-01-16T00:00", "2015-01-21T00:00", "2015-01-26T00:00"]
    assert [show(fold.test_end) for fold in folds] == ["2015-01-21T00:00", "2015-01-26T00:00", "2015-01-31T00:00"]
    assert all(earlier.label_end <= later.cutoff for earlier, later in pairwise(folds))
    assert all(fold.test_rows(times, HORIZON_US).any() for fold in folds)


def test_later_folds_train_on_all_that_earlier_ones_did() -> None:
    times = grid()
    folds = time_folds(times, split(times), folds=3, gap_us=HORIZON_US)
    for earlier, later in pairwise(folds):
        assert (earlier.training_rows(times, HORIZON_US) <= later.training_rows(times, HORIZON_US)).all()


def test_rows_after_the_outer_cutoff_do_not_move_the_folds() -> None:
    times = grid()
    outer = split(times)
    past = times[times <= outer.cutoff]
    folds = time_folds(times, outer, folds=2, gap_us=HORIZON_US)
    assert folds == time_folds(past, replace(outer, test_end=outer.cutoff), folds=2, gap_us=HORIZON_US)


# By machine.

ANY = Split(0, 0, 0, NEVER_US, is_by_time=False)


def test_stratify_groups_machines_by_their_rarest_failed_component() -> None:
    has_failed = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0]], bool)
    assert stratify(has_failed).tolist() == [1, 0, 2, 0, 1]


@given(
    strata=st.lists(st.integers(0, 2), min_size=2, max_size=40),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 9),
)
def test_hold_out_machines_takes_the_share_of_every_stratum(strata: list[int], share: float, seed: int) -> None:
    groups = np.array(strata)
    held_out = hold_out_machines(groups, share=share, seed=seed)
    assert_array_equal(held_out, hold_out_machines(groups, share=share, seed=seed))
    chosen = min(max(1, round(share * len(strata))), len(strata) - 1)
    assert held_out.sum() == chosen
    for group in set(strata):
        own = groups == group
        assert abs(held_out[own].sum() - own.sum() * chosen / len(strata)) < 1


def test_hold_out_machines_depends_on_the_seed() -> None:
    strata = np.zeros(20, np.int64)
    one, other = (hold_out_machines(strata, share=0.3, seed=seed) for seed in (0, 1))
    assert (one != other).any()


@given(
    strata=st.lists(st.integers(0, 2), min_size=4, max_size=40),
    folds=st.integers(1, 4),
    data=st.data(),
)
def test_machine_folds_are_tested_on_other_machines_than_trained_on(
    strata: list[int], folds: int, data: st.DataObject
) -> None:
    groups = np.array(strata)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(strata), max_size=len(strata))))
    split = replace(ANY, trained=allowed, tested=~allowed)
    found = machine_folds(split, groups, folds=folds, seed=3)
    assert len(found) == folds
    tested = np.zeros(len(strata), int)
    for fold in found:
        assert fold.trained is not None
        assert fold.tested is not None
        assert_array_equal(fold.trained | fold.tested, allowed)
        assert not (fold.trained & fold.tested).any()
        tested += fold.tested
        for group in set(strata):
            own = allowed & (groups == group)
            assert abs(fold.tested[own].sum() - own.sum() / max(folds, 2)) < 2
    if folds > 1:
        assert_array_equal(tested, allowed)


def test_machine_folds_have_no_cutoff() -> None:
    times = grid()
    split = replace(split_by_time(times, train=TrainParams(split="machine"), labels=LabelsParams()), trained=None)
    (fold,) = machine_folds(split, np.array([0, 0]), folds=1, seed=0)
    codes = np.zeros(len(times), np.int64) if fold.tested is not None and fold.tested[0] else np.ones(len(times), int)
    assert fold.test_rows(times, HORIZON_US, codes).all()
    assert fold.training_rows(times, HORIZON_US, 1 - codes).all()
    assert not fold.training_rows(times, HORIZON_US, codes).any()
