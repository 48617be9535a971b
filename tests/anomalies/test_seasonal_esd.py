from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.anomalies.seasonal_esd import Anomalies, find_outliers, seasonal_hybrid_esd, split_rows
from pdm_cli.anomalies.stl import Decomposition
from pdm_cli.errors import DataError, NotEnoughData
from tests.builders.anomalies import single_esd


def series_with(spikes: dict[int, float], *, n: int = 480, period: int = 24) -> np.ndarray:
    values = 50 + 10 * np.sin(2 * np.pi * np.arange(n) / period) + np.random.default_rng(3).normal(size=n)
    for row, height in spikes.items():
        values[row] += height
    return values


def flat(values: np.ndarray, *, period: int) -> Decomposition:
    """A substitute for STL, of one series or of columns, that costs nothing and rounds nothing."""
    assert len(values) > 2 * period
    return Decomposition(np.zeros(values.shape), np.broadcast_to(np.median(values, axis=0), values.shape))


def assert_same(one: Anomalies, other: Anomalies) -> None:
    assert one.index.tolist() == other.index.tolist()
    assert one.score.tolist() == other.score.tolist()
    assert one.expected.tolist() == other.expected.tolist()
    assert one.direction.tolist() == other.direction.tolist()


def test_spikes_are_found_with_side_and_expected_value() -> None:
    spikes = {300: 30.0, 100: -25.0, 47: 20.0}
    found = single_esd(series_with(spikes), period=24)
    assert found.index.tolist() == [47, 100, 300]
    assert found.direction.tolist() == [1, -1, 1]
    assert found.direction.dtype == np.int8
    np.testing.assert_allclose(found.expected, series_with({})[found.index], atol=3.0)
    assert (found.score > 1).all()
    assert found.score.argmax() == 2


@pytest.mark.parametrize(("direction", "rows"), [("pos", [47, 300]), ("neg", [100]), ("both", [47, 100, 300])])
def test_direction_picks_the_side(direction: str, rows: list[int]) -> None:
    values = series_with({300: 30.0, 100: -25.0, 47: 20.0})
    assert single_esd(values, period=24, direction=direction).index.tolist() == rows


def test_drift_is_an_anomaly_because_the_median_replaces_the_trend() -> None:
    values = series_with({})
    values[460:] += np.linspace(0, 40, 20)
    found = single_esd(values, period=24)
    assert set(range(465, 480)) <= set(found.index.tolist())


def test_longterm_pieces_forgive_a_lasting_change_of_level() -> None:
    values = series_with({}, n=480)
    values[432:] += 40
    assert single_esd(values, period=24).index.size >= 40
    assert single_esd(values, period=24, longterm_rows=144).index.size < 20


def test_max_anoms_caps_the_count_and_always_allows_one() -> None:
    values = series_with(dict.fromkeys(range(10, 470, 40), 40.0))
    assert single_esd(values, period=24, max_anoms=0.01).index.size == 4
    assert single_esd(values, period=24, max_anoms=0.0001).index.size == 1
    assert single_esd(values, period=24, max_anoms=0.0).index.size == 1


@given(
    values=st.lists(st.integers(-50, 50) | st.integers(-(10**6), 10**6), min_size=6, max_size=80),
    direction=st.sampled_from(["both", "pos", "neg"]),
    max_anoms=st.floats(0.01, 0.49),
)
def test_anomalies_come_in_row_order_with_scores_above_one(values: list[int], direction: str, max_anoms: float) -> None:
    found = single_esd(values, period=2, max_anoms=max_anoms, alpha=0.2, direction=direction, decompose=flat)
    assert (np.diff(found.index) > 0).all()
    assert (found.score > 1).all()
    assert found.index.size <= max(1, len(values) * max_anoms)
    assert set(found.direction.tolist()) <= {"both": {1, -1}, "pos": {1}, "neg": {-1}}[direction]


@given(
    values=st.lists(st.integers(-50, 50) | st.integers(-(10**6), 10**6), min_size=6, max_size=80),
    shift=st.integers(-1000, 1000),
    power=st.integers(-20, 20),
)
def test_shift_and_positive_scale_leave_the_anomalies(values: list[int], shift: int, power: int) -> None:
    plain = single_esd(values, period=2, max_anoms=0.4, decompose=flat)
    moved = single_esd((np.array(values) + shift) * 2.0**power, period=2, max_anoms=0.4, decompose=flat)
    assert moved.index.tolist() == plain.index.tolist()
    assert moved.score.tolist() == plain.score.tolist()
    assert moved.expected.tolist() == ((plain.expected + shift) * 2.0**power).tolist()


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1000.0), (1000.0, 1.0), (-300.0, 0.25)])
def test_shift_and_positive_scale_leave_the_anomalies_of_real_stl(shift: float, scale: float) -> None:
    values = series_with({300: 30.0, 100: -25.0, 47: 20.0})
    plain = single_esd(values, period=24)
    moved = single_esd(values * scale + shift, period=24)
    assert moved.index.tolist() == plain.index.tolist()
    np.testing.assert_allclose(moved.score, plain.score, rtol=1e-6)


def test_masked_reading_takes_the_score_of_the_step_that_let_it_in() -> None:
    # 9, 8 and 6 hide each other: statistic over critical value is 0.58, 0.90 and then 1.57.
    values = np.array([3.0, -5, -5, -3, -5, 9, 6, 8, 0])
    found = find_outliers(values, flat(values, period=2), max_count=3, alpha=0.05, direction="pos")
    assert found.index.tolist() == [5, 6, 7]
    assert found.score.round(2).tolist() == [1.57, 1.57, 1.57]


def test_missing_readings_at_the_ends_are_dropped_and_rows_still_count_from_the_start() -> None:
    values = series_with({300: 30.0, 100: -25.0})
    padded = np.concatenate([np.full(5, np.nan), values, np.full(3, np.nan)])
    plain, found = single_esd(values, period=24), single_esd(padded, period=24)
    assert found.index.tolist() == (plain.index + 5).tolist()
    assert found.expected.tolist() == plain.expected.tolist()


def test_dropped_readings_still_count_towards_max_anoms() -> None:
    values = np.concatenate([np.arange(10.0) % 3, [90.0, 80.0, 70.0, 60.0], np.full(14, np.nan)])
    found = single_esd(values, period=2, max_anoms=0.1, alpha=0.05, direction="pos", decompose=flat)
    assert found.index.tolist() == [10, 11]


def test_more_dropped_readings_than_kept_ones_is_no_error() -> None:
    values = np.concatenate([[0.0, 1, 2, 1, 0, 90], np.full(94, np.nan)])
    assert single_esd(values, period=2, max_anoms=0.49, alpha=0.05, decompose=flat).index.tolist() == [5]


def test_row_in_two_pieces_is_reported_once_as_the_first_piece_says() -> None:
    values = series_with({200: 40.0}, n=250)
    found = single_esd(values, period=24, longterm_rows=240)
    first = single_esd(values[:240], period=24)
    row = found.index.tolist().index(200)
    assert found.index.tolist().count(200) == 1
    assert found.score[row] == pytest.approx(first.score[first.index == 200][0], rel=1e-9)
    assert found.expected[row] == pytest.approx(first.expected[first.index == 200][0], rel=1e-9)


def test_piece_longer_than_the_series_changes_nothing() -> None:
    values = series_with({200: 40.0})
    assert_same(single_esd(values, period=24, longterm_rows=9999), single_esd(values, period=24))


@given(n_rows=st.integers(0, 200), piece_rows=st.integers(1, 60))
def test_pieces_cover_every_row_and_are_of_one_length(n_rows: int, piece_rows: int) -> None:
    cut = split_rows(n_rows, piece_rows=piece_rows)
    assert sorted({row for piece in cut for row in range(n_rows)[piece]}) == list(range(n_rows))
    assert {piece.stop - piece.start for piece in cut} <= {min(piece_rows, n_rows)}
    assert all(one.stop == two.start for one, two in pairwise(cut[:-1]))


@pytest.mark.parametrize("level", [0.0, 5.0, -0.1, 1e-9, 1e12])
def test_constant_series_has_no_anomalies(level: float) -> None:
    assert single_esd(np.full(100, level), period=7).index.size == 0


def test_exactly_periodic_series_has_no_anomalies() -> None:
    assert single_esd(np.tile([0.1, 0.7, 5.3, 2.2, 9.9, 1.1, 3.3], 60), period=7).index.size == 0


@pytest.mark.parametrize(("unit", "rows"), [(2.0**-46, []), (2.0**-20, [50])])
def test_rounding_errors_are_not_noise(unit: float, rows: list[int]) -> None:
    dust = np.random.default_rng(4).integers(-3, 4, size=100).astype(float)
    dust[50] = 1000
    values = 100 + dust * unit
    assert single_esd(values, period=7, decompose=flat).index.tolist() == rows


def test_one_wild_reading_does_not_make_the_noise_of_the_others_rounding() -> None:
    values = 100 + 1e-5 * np.random.default_rng(4).normal(size=100)
    values[[50, 60]] = 1e8, 100 + 30e-5
    assert single_esd(values, period=7, decompose=flat).index.tolist() == [50, 60]


def test_input_is_left_as_it_was() -> None:
    values = series_with({100: 30.0})
    before = values.copy()
    single_esd(values, period=24)
    assert (values == before).all()


@pytest.mark.parametrize(
    ("rows", "bad", "error", "message"),
    [
        ([7, 9], np.nan, DataError, r"2 missing .* first at row 7"),
        ([0, 50], np.nan, DataError, r"1 missing .* first at row 50"),
        ([60], np.inf, DataError, r"1 infinite .* first at row 60"),
        ([0], -np.inf, DataError, r"1 infinite .* first at row 0"),
        (range(100), np.nan, NotEnoughData, "no readings"),
        (range(14, 100), np.nan, NotEnoughData, r"rows 0 to 99 have 14 .* two periods \(14\)"),
        (range(30), 1.7e308, DataError, "too large"),
    ],
)
def test_bad_readings_raise_an_error_with_a_hint(rows: list[int], bad: float, error: type, message: str) -> None:
    values = series_with({}, n=100, period=7)
    values[list(rows)] = bad
    with pytest.raises(error, match=message) as caught:
        single_esd(values, period=7)
    assert caught.type is error
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_empty_series_is_not_enough_data() -> None:
    with pytest.raises(NotEnoughData, match="no readings"):
        single_esd([], period=7)


@pytest.mark.parametrize("n", [13, 14])
def test_two_periods_are_not_enough(n: int) -> None:
    with pytest.raises(NotEnoughData, match="more than two periods"):
        single_esd(np.arange(n), period=7)


def test_piece_without_enough_readings_is_named() -> None:
    values = series_with({}, n=100, period=7)
    values[:30] = np.nan
    with pytest.raises(NotEnoughData, match="rows 0 to 39 have 10"):
        single_esd(values, period=7, longterm_rows=40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"period": 1}, "period"),
        ({"max_anoms": -0.1}, "max_anoms"),
        ({"max_anoms": 0.5}, "max_anoms"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.5}, "alpha"),
        ({"direction": "up"}, "direction"),
        ({"longterm_rows": 14}, "longterm_rows"),
        ({"values": np.zeros((50, 2))}, "one-dimensional"),
    ],
)
def test_wrong_argument_is_named(change: dict, message: str) -> None:
    arguments = {"values": series_with({}, n=100, period=7), "period": 7} | change
    with pytest.raises(ValueError, match=message):
        single_esd(arguments.pop("values"), **arguments)


@pytest.mark.parametrize(("n_rows", "piece_rows"), [(10, 0), (1, -3)])
def test_split_rows_without_rows_per_piece_fails(n_rows: int, piece_rows: int) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        split_rows(n_rows, piece_rows=piece_rows)


def test_anomalies_report_missing_spread_and_reached_cap() -> None:
    flat_but_three = np.zeros(100)
    flat_but_three[[40, 60, 80]] = (1.0, -1.0, 5.0)
    found = single_esd(flat_but_three, period=4, decompose=flat)
    assert (found.has_spread, found.is_capped, found.index.size) == (False, False, 0)
    spikes = {100: 30.0, 200: 40.0, 300: 50.0}
    # 1 % of 480 readings are four, 0.5 % are two.
    capped = single_esd(series_with(spikes), period=24, max_anoms=0.005)
    free = single_esd(series_with(spikes), period=24, max_anoms=0.01)
    assert (capped.is_capped, capped.index.size) == (True, 2)
    assert (free.is_capped, free.index.size) == (False, 3)
    assert capped.keep(np.array([True, False])).is_capped


def spiky(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = 50 + 10 * np.sin(2 * np.pi * np.arange(n) / 24) + rng.normal(size=n)
    values[rng.integers(0, n, size=3)] += 40
    return values


def assert_alike(one: Anomalies | DataError, other: Anomalies) -> None:
    """The same readings; side by side, series are decomposed with other rounding."""
    assert isinstance(one, Anomalies)
    assert one.index.tolist() == other.index.tolist()
    assert one.direction.tolist() == other.direction.tolist()
    np.testing.assert_allclose(one.score, other.score, rtol=1e-9)
    np.testing.assert_allclose(one.expected, other.expected, rtol=1e-9)


@pytest.mark.parametrize("longterm_rows", [None, 120])
def test_series_of_any_lengths_give_the_same_in_a_batch_as_alone(longterm_rows: int | None) -> None:
    series = [spiky(n, seed) for seed, n in enumerate([240, 481, 240, 100, 350, 481])]
    series[1][:7] = np.nan
    series[4][-3:] = np.nan
    together = seasonal_hybrid_esd(series, period=24, longterm_rows=longterm_rows)
    assert len(together) == len(series)
    for values, found in zip(series, together, strict=True):
        alone = single_esd(values, period=24, longterm_rows=longterm_rows)
        assert alone.index.size > 0
        assert_alike(found, alone)


def test_row_in_two_pieces_of_a_batch_is_reported_once_as_the_first_piece_says() -> None:
    values = series_with({200: 40.0}, n=250)
    found = seasonal_hybrid_esd([values, spiky(250, 1)], period=24, longterm_rows=240)[0]
    assert_alike(found, single_esd(values, period=24, longterm_rows=240))


def test_one_bad_series_is_an_error_in_its_place_and_the_others_are_tested() -> None:
    good = spiky(240, 1)
    missing, infinite, huge = (np.where(np.arange(240) == 100, bad, good) for bad in (np.nan, np.inf, 1.7e308))
    huge[90:110] = 1.7e308
    found = seasonal_hybrid_esd([missing, good, infinite, huge, good[:40], good], period=24)
    says = ["1 missing", None, "1 infinite", "too large", "have 40", None]
    for outcome, words in zip(found, says, strict=True):
        if words is None:
            assert_alike(outcome, single_esd(good, period=24))
        else:
            assert isinstance(outcome, DataError)
            assert words in outcome.message


@pytest.mark.parametrize("bad", [np.nan, 1.7e308], ids=["too few readings", "too large"])
def test_a_later_piece_that_fails_fails_its_series_alone(bad: float) -> None:
    good, failing = spiky(480, 1), spiky(480, 2)
    failing[400:] = bad
    with pytest.raises(DataError) as alone:
        single_esd(failing, period=24, longterm_rows=120)
    found = seasonal_hybrid_esd([failing, good], period=24, longterm_rows=120)
    assert isinstance(found[0], DataError)
    assert found[0].message == alone.value.message
    assert_alike(found[1], single_esd(good, period=24, longterm_rows=120))


def test_columns_of_an_array_are_series() -> None:
    columns = np.column_stack([spiky(240, seed) for seed in range(3)])
    found = seasonal_hybrid_esd(columns, period=24)
    assert len(found) == 3
    for outcome, listed in zip(found, seasonal_hybrid_esd(list(columns.T), period=24), strict=True):
        assert isinstance(outcome, Anomalies)
        assert isinstance(listed, Anomalies)
        assert_same(outcome, listed)


def test_no_series_give_no_anomalies_and_a_flat_array_fails() -> None:
    assert seasonal_hybrid_esd([], period=24) == []
    assert seasonal_hybrid_esd(np.empty((240, 0)), period=24) == []
    with pytest.raises(ValueError, match=r"one series per column, got shape \(240,\)"):
        seasonal_hybrid_esd(spiky(240, 1), period=24)
