from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation import drift
from pdm_cli.evaluation.drift import (
    DIFFERENT,
    MOVED,
    Fingerprint,
    describe_drift,
    has_enough_windows,
    population_stability,
    take_fingerprint,
)
from pdm_cli.timestamps import US_PER_HOUR

# Few distinct numbers, so that atoms, ties with an edge and missing columns are met often.
numbers = st.sampled_from([-7.5, -1.0, 0.0, 0.1, 1.0, 2.0, 3.0, 1e20, math.nan, math.inf])
columns = st.lists(st.one_of(numbers, st.integers(-30, 30).map(float)), min_size=1, max_size=60)
positions = st.lists(st.sampled_from([0.0, 1.0, 3.0, math.nan]), min_size=1, max_size=30)


def matrix(*columns: list[float]) -> np.ndarray:
    return np.array(columns, np.float32).T


def fingerprint_of(column: list[float], *, categorical: bool = False) -> Fingerprint:
    return take_fingerprint(matrix(column), ["x"], ["x"] if categorical else [])


def stability(before: list[float], now: list[float], *, categorical: bool = False) -> float:
    return float(population_stability(fingerprint_of(before, categorical=categorical), matrix(now))[0])


def known_in(column: list[float]) -> list[float]:
    return sorted(float(np.float32(value)) for value in column if math.isfinite(value))


def slow_edges(column: list[float]) -> list[float]:
    known = known_in(column)
    if not known:
        return []
    deciles = [
        min(v for v in known if 10 * sum(w <= v for w in known) >= tenths * len(known)) for tenths in range(1, 10)
    ]
    below = [math.nextafter(known[0], -math.inf)] if deciles[0] == known[0] else []
    return below + sorted(set(deciles))


def slow_shares(column: list[float], edges: list[float]) -> list[float]:
    counts = [0] * (len(edges) + 2)
    for value in (float(np.float32(value)) for value in column):
        counts[sum(value > edge for edge in edges) if math.isfinite(value) else -1] += 1
    return [count / len(column) for count in counts]


def slow_stability(shares: list[float], others: list[float]) -> float:
    floored = [(max(p, 1e-4), max(q, 1e-4)) for p, q in zip(shares, others, strict=True)]
    return math.fsum((p - q) * math.log(p / q) for p, q in floored)


def test_deciles_of_one_to_ten_are_the_first_nine() -> None:
    found = fingerprint_of([3, 1, 2, 10, 9, 8, 7, 4, 5, 6])
    assert found.edges[0][1:] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    # Nothing lies below 1, a tenth in each bin from there, nothing is missing.
    assert found.edges[0][0] < 1
    assert found.shares == [[0.0] + [0.1] * 10 + [0.0]]


def test_twenty_values_have_inner_edges_only() -> None:
    found = fingerprint_of([float(value) for value in range(1, 21)])
    assert found.edges == [[2, 4, 6, 8, 10, 12, 14, 16, 18]]
    assert found.shares == [[0.1] * 10 + [0.0]]


def test_the_index_of_two_bins_worked_by_hand() -> None:
    # Half 0, half 1 in training; now a quarter 0: .25 ln 2 - .25 ln(2/3).
    expected = 0.25 * math.log(2) + 0.25 * math.log(1.5)
    assert stability([0, 1] * 10, [0, 1, 1, 1] * 5) == pytest.approx(expected)
    assert stability([0, 1] * 10, [0, 1, 1, 1] * 5, categorical=True) == pytest.approx(expected)


def test_missing_values_are_a_bin() -> None:
    # From none missing (1e-4) to half of them.
    expected = (1 - 0.5) * math.log(1 / 0.5) + (0.5 - 1e-4) * math.log(0.5 / 1e-4)
    assert stability([5.0] * 8, [5.0, math.nan] * 4) == pytest.approx(expected)
    assert stability([5.0, math.nan] * 4, [5.0, math.nan] * 9) == 0.0


def test_the_same_rows_are_stable_and_a_moved_sensor_is_not() -> None:
    rng = np.random.default_rng(0)
    before, same = rng.normal(size=(2, 5000, 1)).astype(np.float32)
    fingerprint = take_fingerprint(before, ["volt"], [])
    assert population_stability(fingerprint, before)[0] == 0.0
    assert population_stability(fingerprint, same)[0] < 0.02
    assert MOVED < population_stability(fingerprint, same + np.float32(0.4))[0] < DIFFERENT
    assert population_stability(fingerprint, same + np.float32(1))[0] > DIFFERENT


@pytest.mark.parametrize("constant", [0.0, 18.0, -1e20, 1e-30])
def test_a_constant_that_moved_either_way_is_another_population(constant: float) -> None:
    step = max(abs(constant), 1.0) / 100
    assert stability([constant] * 50, [constant] * 20) == 0.0
    assert stability([constant] * 50, [constant - step] * 20) > DIFFERENT
    assert stability([constant] * 50, [constant + step] * 20) > DIFFERENT


def test_categories_are_counted_one_by_one() -> None:
    found = fingerprint_of([0, 0, 2, math.nan], categorical=True)
    assert found.edges == [[0, 1, 2]]
    assert found.shares == [[0.5, 0.0, 0.25, 0.0, 0.25]]
    # A category that training never saw does not hide in its neighbour.
    assert stability([0, 0, 2, 2], [0, 0, 1, 1], categorical=True) > DIFFERENT
    assert stability([0, 0, 2, 2], [0, 0, 3, 3], categorical=True) > DIFFERENT


def test_a_feature_without_any_value_is_found_apart_from_one_that_has_some() -> None:
    found = fingerprint_of([math.nan] * 3)
    assert (found.edges, found.shares) == ([[]], [[0.0, 1.0]])
    assert stability([math.nan] * 3, [math.nan]) == 0.0
    assert stability([math.nan] * 3, [1.0]) > DIFFERENT
    assert fingerprint_of([math.nan], categorical=True).edges == [[]]


@given(columns, columns)
def test_shares_and_index_equal_counting(before: list[float], now: list[float]) -> None:
    found, edges = fingerprint_of(before), slow_edges(before)
    # The edge under the lowest value may stand anywhere between it and lower values.
    assert found.edges[0] == pytest.approx(edges, rel=2e-6, abs=2e-6)
    assert found.shares[0] == slow_shares(before, edges)
    expected = slow_stability(slow_shares(before, edges), slow_shares(now, edges))
    assert stability(before, now) == pytest.approx(expected, abs=1e-12)


@given(positions, positions)
def test_categorical_index_equals_counting(before: list[float], now: list[float]) -> None:
    seen = max((value for value in before if not math.isnan(value)), default=-1)
    bins = [*range(int(seen) + 1), "more", "missing"]

    def shares(column: list[float]) -> list[float]:
        found: list[Any] = ["missing" if math.isnan(v) else int(v) if v <= seen else "more" for v in column]
        return [found.count(name) / len(column) for name in bins]

    assert stability(before, now, categorical=True) == pytest.approx(slow_stability(shares(before), shares(now)))


@given(columns, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_other_features_matter(column: list[float], random: Any) -> None:
    shuffled = random.sample(column, len(column))
    together = take_fingerprint(matrix(column, shuffled), ["x", "y"], [])
    assert together.edges[0] == together.edges[1]
    assert together.shares[0] == together.shares[1] == fingerprint_of(column).shares[0]


@given(columns)
def test_json_knows_no_nan_and_brings_everything_back(column: list[float]) -> None:
    found = take_fingerprint(matrix(column, [math.nan] * len(column)), ["x", "model"], ["model"])
    text = json.dumps(asdict(found), allow_nan=False)
    back = Fingerprint(**json.loads(text))
    assert (back.features, back.edges, back.shares) == (found.features, found.edges, found.shares)
    assert json.dumps(asdict(back), allow_nan=False) == text
    now = matrix([1.0, 2.0], [0.0, math.nan])
    assert population_stability(back, now).tolist() == population_stability(found, now).tolist()


def test_many_rows_are_sampled_without_favouring_an_hour_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "_MAX_ROWS", 1000)
    hour = np.tile(np.arange(8, dtype=np.float32), 1000)[:, None]
    found = take_fingerprint(hour, ["hour"], ["hour"])
    assert found == take_fingerprint(hour, ["hour"], ["hour"])
    assert found.shares[0][:8] == pytest.approx([1 / 8] * 8, abs=0.04)
    assert population_stability(found, hour[:6000])[0] < 0.03


def test_population_stability_without_rows_is_nan() -> None:
    none = np.empty((0, 1), np.float32)
    with pytest.raises(ValueError, match="at least one row"):
        take_fingerprint(none, ["x"], [])
    assert math.isnan(population_stability(fingerprint_of([1.0]), none)[0])


def test_another_number_of_features_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        population_stability(fingerprint_of([1.0]), matrix([1.0], [2.0]))


def test_describe_drift_by_index() -> None:
    found = [describe_drift(index) for index in (None, 0.0, 0.0999, 0.1, 0.2499, 0.25)]
    assert found == ["unknown", "as in training", "as in training", "shifted", "shifted", "different"]


def test_has_enough_windows_counts_windows_that_do_not_overlap() -> None:
    # Two machines over 36 windows of a day each, three hours apart.
    codes, hours = np.repeat([0, 1], 36 * 8 + 1), np.tile(np.arange(36 * 8 + 1) * 3, 2)
    names = ["volt_mean_24h", "volt_trend_25h", "volt_mean_90min", "age", "hours_since_error1"]
    found = has_enough_windows(names, codes, hours * US_PER_HOUR)
    assert found.tolist() == [True, False, True, True, True]
    assert has_enough_windows(["volt_mean_1440min", "volt_mean_1500min"], codes, hours * US_PER_HOUR).tolist() == [
        True,
        False,
    ]
