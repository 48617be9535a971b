from __future__ import annotations

from dataclasses import replace
from math import ceil, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pdm_cli.features.events import Instants
from pdm_cli.features.level_shifts import Shifts, at_rows, find_shifts, last_rows, shift_hours_to_visit
from pdm_cli.features.robust_z import ZScores, standardise
from tests.builders.examples import FEW
from tests.builders.fleets import EPOCH_US, HOUR_US, instants_of
from tests.builders.scores import broken_scores, first_rows, instants_among, scores_of
from tests.builders.tables import machine_telemetry


def shifts_of(scores: ZScores, *, step_hours: float = 1.0, longest_hours: float = 72) -> Shifts:
    return find_shifts(scores, step_us=round(step_hours * HOUR_US), longest_hours=longest_hours)


def at_instants(scores: ZScores, values: np.ndarray, instants: Instants) -> np.ndarray:
    return at_rows(values, last_rows(scores, instants))


def last_shift(z: list[float], *, step_hours: float = 1.0, longest_hours: float = 72) -> tuple[float, float, float]:
    found = shifts_of(
        scores_of({1: range(len(z))}, z, step_hours=step_hours), step_hours=step_hours, longest_hours=longest_hours
    )
    return found.statistic[-1, 0], found.age_hours[-1, 0], found.step[-1, 0]


def slow_ratios(scores: ZScores, row: int, sensor: int, *, step_hours: float, longest: int) -> dict[float, float]:
    """Return g by age in hours for all stretches up to the row that fit."""
    ratios = {}
    step_us = round(step_hours * HOUR_US)
    for hours in range(2, longest + 1):
        ages = scores.times[row] - scores.times
        own = (scores.codes == scores.codes[row]) & (ages >= 0) & (ages < hours * HOUR_US)
        rows = ceil(hours / step_hours)
        if set(ages[own]) == {n * step_us for n in range(rows)}:
            ratios[rows * step_hours] = float(np.nansum(scores.z[own, sensor])) / sqrt(rows)
    return ratios


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_dated_and_measured(sign: int) -> None:
    # 4 / sqrt(2) = 2.83, 6 / sqrt(3) = 3.46, 6 / sqrt(4) = 3.
    found = last_shift([0, 0, 0, 2 * sign, 2 * sign, 2 * sign])
    assert_allclose(found, (6 / sqrt(3) * sign, 3, 2 * sign))


def test_the_larger_of_a_rise_and_a_fall_wins() -> None:
    # Of 2, 3 .. 6 rows: 4.2, 1.7, 0, -1.3, -2.4.
    assert_allclose(last_shift([-3, -3, -3, -3, 3, 3]), (6 / sqrt(2), 2, 3))
    assert_allclose(last_shift([-3, -3, -3, -3, 1, 1]), (-10 / sqrt(6), 6, -10 / 6))


def test_missing_readings_count_as_rows_that_add_nothing() -> None:
    # 4 / sqrt(2) = 2.83, 4 / sqrt(3) = 2.3, 6 / sqrt(4) = 3.
    assert_allclose(last_shift([0, 2, nan, 2, 2]), (3, 4, 1.5))
    assert_allclose(last_shift([0, 3, 3, nan]), (6 / sqrt(3), 3, 2))


def test_of_equals_the_shortest_stretch_is_taken() -> None:
    assert last_shift([0.0] * 9) == (0, 2, 0)


def test_a_first_row_is_no_stretch() -> None:
    found = shifts_of(scores_of({1: range(2), 2: range(1)}, [[5], [5], [5]]))
    assert_allclose(found.statistic[:, 0], [nan, 10 / sqrt(2), nan])
    assert_allclose(found.age_hours[:, 0], [nan, 2, nan])
    assert_allclose(found.step[:, 0], [nan, 5, nan])


def test_a_stretch_stops_at_a_gap() -> None:
    found = shifts_of(scores_of({1: [0, 1, 2, 3, 5, 6, 7]}, [4] * 7))
    assert_allclose(found.age_hours[:, 0], [nan, 2, 3, 4, nan, 2, 3])


def test_no_stretch_is_longer_than_the_longest() -> None:
    assert_allclose(last_shift([1.0] * 100), (sqrt(72), 72, 1))
    assert_allclose(last_shift([1.0] * 100, longest_hours=9.5), (3, 9, 1))


@pytest.mark.parametrize(
    ("step_hours", "age"), [(0.25, 72), (0.5, 72), (2.0, 72), (3.0, 72), (5.0, 75), (24.0, 72), (100.0, 100)]
)
def test_ages_are_hours_whatever_the_step(step_hours: float, age: float) -> None:
    rows = ceil(72 / step_hours)
    found = last_shift([1.0] * 2 * rows, step_hours=step_hours)
    assert_allclose(found, (sqrt(rows), age, 1))


def test_rows_of_long_ago_are_forgotten_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    sound = scores_of({1: range(400)}, rng.normal(size=(400, 3)))
    spoiled = replace(sound, z=np.where(np.arange(400)[:, None] < 100, 5.7, sound.z))
    before, after = shifts_of(sound), shifts_of(spoiled)
    assert before.statistic[171:].tobytes() == after.statistic[171:].tobytes()
    assert (before.statistic[:171] != after.statistic[:171]).any()


def test_a_longest_age_below_the_shortest_is_refused() -> None:
    with pytest.raises(ValueError, match="2 or more, got 1"):
        shifts_of(scores_of({1: [0]}, [0]), longest_hours=1)


def test_scores_are_left_as_they_were() -> None:
    scores = scores_of({1: range(30)}, [nan, 1.0] * 15)
    kept = scores.z.copy()
    shifts_of(scores)
    assert_array_equal(scores.z, kept)


@pytest.mark.slow
@settings(max_examples=FEW)
@given(broken=broken_scores(most_rows=30, steps=[0.5, 0.75, 1.0, 3.0]))
def test_any_scores_give_the_shifts_of_slow_loops(broken: tuple[ZScores, float]) -> None:
    scores, step_hours = broken
    found = shifts_of(scores, step_hours=step_hours, longest_hours=12)
    for row, sensor in np.ndindex(scores.z.shape):
        ratios = slow_ratios(scores, row, sensor, step_hours=step_hours, longest=12)
        if not ratios:
            assert np.isnan(found.statistic[row, sensor])
            assert np.isnan(found.age_hours[row, sensor])
            continue
        statistic, age = found.statistic[row, sensor], found.age_hours[row, sensor]
        assert_allclose(abs(statistic), max(map(abs, ratios.values())), atol=1e-12)
        # Of two that differ by rounding alone either may be taken.
        assert_allclose(statistic, ratios[age], atol=1e-12)
        assert_allclose(found.step[row, sensor], statistic / sqrt(age / step_hours), atol=1e-12)


@given(broken=broken_scores(), share=st.floats(0, 1))
def test_cutting_the_future_off_changes_no_past_shift(broken: tuple[ZScores, float], share: float) -> None:
    scores, _ = broken
    until = scores.times.min() + round(share * (scores.times.max() - scores.times.min()))
    early, late = shifts_of(first_rows(scores, until)), shifts_of(scores)
    for name in ("statistic", "age_hours", "step"):
        assert getattr(early, name).tobytes() == getattr(late, name)[scores.times <= until].tobytes()


@given(broken=broken_scores(most_rows=40), seed=st.integers(0, 9))
def test_find_shifts_some_rows_are_bit_identical_and_the_others_unknown(
    broken: tuple[ZScores, float], seed: int
) -> None:
    scores, _ = broken
    asked = np.flatnonzero(np.random.default_rng(seed).random(len(scores.times)) < 0.5)
    whole, some = shifts_of(scores), find_shifts(scores, step_us=HOUR_US, rows=asked)
    for name in ("statistic", "age_hours", "step"):
        assert getattr(some, name)[asked].tobytes() == getattr(whole, name)[asked].tobytes()
        assert np.isnan(np.delete(getattr(some, name), asked, axis=0)).all()


def test_an_instant_has_the_last_row_up_to_it() -> None:
    scores = scores_of({1: [0, 1, 30], 2: [0]}, [10, 11, 12, 20])
    instants = instants_of([(1, 0), (1, 0.5), (1, 1), (1, 25), (1, 25.5), (1, 30), (2, 7), (2, 24), (2, 24.5), (3, 0)])
    assert_array_equal(at_instants(scores, scores.z, instants)[:, 0], [10, 10, 11, 11, nan, 12, 20, 20, nan, nan])


def test_before_its_first_row_a_machine_has_no_value() -> None:
    scores = scores_of({1: [0, 5], 2: [3]}, [10, 11, 20])
    assert_array_equal(at_instants(scores, scores.z, instants_of([(1, 1), (2, 2)]))[:, 0], [10, nan])


def test_without_rows_every_instant_is_unknown() -> None:
    scores = first_rows(scores_of({1: [0]}, [10]), EPOCH_US - 1)
    assert_array_equal(at_instants(scores, scores.z, instants_of([(1, 0)])), [[nan]])


@given(data=st.data(), broken=broken_scores(most_rows=30, steps=[0.5, 1.0, 3.0]))
def test_any_instant_has_the_value_of_a_slow_search(data: st.DataObject, broken: tuple[ZScores, float]) -> None:
    scores, _ = broken
    instants = data.draw(instants_among(scores))
    found = at_instants(scores, scores.z, instants)
    for row, (code, time) in enumerate(zip(instants.codes, instants.times, strict=True)):
        own = scores.machines[scores.codes] == instants.machines[code]
        seen = np.flatnonzero(own & (scores.times <= time))
        is_fresh = len(seen) > 0 and time - scores.times[seen[-1]] <= 24 * HOUR_US
        assert_array_equal(found[row], scores.z[seen[-1]] if is_fresh else [nan, nan])


@given(data=st.data(), broken=broken_scores(most_rows=30))
def test_cutting_the_future_off_changes_no_past_instant(data: st.DataObject, broken: tuple[ZScores, float]) -> None:
    scores, _ = broken
    instants = data.draw(instants_among(scores))
    until = int(np.median(instants.times))
    early = at_instants(first_rows(scores, until), scores.z[scores.times <= until], instants)
    is_past = instants.times <= until
    assert early[is_past].tobytes() == at_instants(scores, scores.z, instants)[is_past].tobytes()


def test_a_striking_shift_has_a_place_in_the_cycle() -> None:
    statistic = np.array([[4.1, -5.0, 4.0], [9.0, nan, -9.0], [9.0, -9.0, 0.0]])
    age = np.array([[20.0, 30.0, 40.0], [10.0, 10.0, 72.0], [1.0, 2.0, 3.0]])
    found = shift_hours_to_visit(statistic, age, np.array([28.0, 360.0, nan]))
    assert_array_equal(found, [[48, 58, nan], [370, nan, 432], [nan, nan, nan]])


def test_a_step_in_readings_is_found_by_way_of_z() -> None:
    volt = np.random.default_rng(3).normal(170, 15, 900)
    volt[860:] += 30
    telemetry = machine_telemetry(1, range(900), volt=volt)
    found = shifts_of(standardise(telemetry, step_us=HOUR_US))
    assert found.statistic[-1, 0] > 7
    assert 37 <= found.age_hours[-1, 0] <= 43
    assert 1.5 < found.step[-1, 0] < 2.5
