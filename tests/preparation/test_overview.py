"""The overview counts readings over time, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.preparation.overview import Overview
from tests.builders.overviews import HOUR_US, START_US, hours_of, overview_of


def test_present_full_log_is_one_everywhere() -> None:
    found = overview_of({1: hours_of(600)}, volt=[np.arange(600.0)])
    assert found.buckets == 60
    assert found.present(0).tolist() == [1.0] * 60
    assert found.missing_share(0) == 0


def test_present_gap_and_missing_readings_count_as_missing() -> None:
    kept = np.delete(np.arange(600), np.arange(100, 120))
    values = np.where(kept < 10, np.nan, kept.astype(float))
    found = overview_of({1: hours_of(600)[kept]}, volt=[values])
    assert found.present(0)[[0, 1, 10, 11, 12]].tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]
    assert found.missing_share(0) == pytest.approx(30 / 600)


def test_present_short_machine_is_expected_only_between_its_ends() -> None:
    found = overview_of({1: hours_of(600), 2: hours_of(300)}, volt=[np.ones(600), np.ones(300)])
    assert found.missing_share(0) == 0


def test_present_bucket_without_machine_is_unknown() -> None:
    times = {1: hours_of(100), 2: hours_of(600)[500:]}
    found = overview_of(times, volt=[np.ones(100), np.ones(100)])
    assert np.isnan(found.present(0)[20:40]).all()


def test_add_any_order_and_pieces_give_the_same_numbers() -> None:
    rng = np.random.default_rng(0)
    times = np.tile(hours_of(500), 3)
    machines = np.repeat([0, 1, 2], 500)
    values = rng.normal(1e6, 1, 1500)
    values[::7] = np.nan
    whole, pieces = (
        Overview(["volt"], ["a", "b", "c"], first_us=START_US, last_us=int(times[-1]), step_us=HOUR_US)
        for _ in range(2)
    )
    whole.add(["a", "b", "c"], machines, times, {"volt": values})
    order = rng.permutation(1500)
    for part in np.array_split(order, 5):
        # Names in the order in which a piece has them.
        pieces.add(["c", "b", "a"], 2 - machines[part], times[part], {"volt": values[part]})
    for one, other in zip(whole.moments(0), pieces.moments(0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    assert (whole.counts == pieces.counts).all()
    assert (whole.lows == pieces.lows).all()
    assert whole.hour_rows.tolist() == pieces.hour_rows.tolist() == [3] * 500
    # The spread survives a large level.
    assert whole.moments(0)[1].mean() == pytest.approx(1, abs=0.3)


def test_add_infinite_reading_is_missing() -> None:
    found = overview_of({1: hours_of(4)}, volt=[np.array([1.0, np.inf, 1e31, 3.0])])
    assert found.counts.tolist() == [[2]]
    assert (found.lows[0, 0], found.highs[0, 0], found.mean(0)) == (1, 3, 2)


def test_overview_many_machines_is_bounded() -> None:
    machines = list(range(50_000))
    found = Overview([f"s{i}" for i in range(20)], machines, first_us=0, last_us=400 * HOUR_US, step_us=HOUR_US)
    assert found.bucket_counts.size <= 5_000_000
    assert found.detailed < len(machines)
    found.add(machines, np.arange(50_000), np.full(50_000, HOUR_US), {name: np.ones(50_000) for name in found.sensors})
    assert found.missing_share(3) == 0
    assert found.mean(3) == 1
