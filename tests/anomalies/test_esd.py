from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from pdm_cli.anomalies.esd import Direction, critical_values, extreme_deviates

DIRECTIONS = st.sampled_from(["both", "pos", "neg"])

# Whole numbers below 2**40 and their halves subtract without rounding, so that slow and fast roads see the same ties.
PLATEAUS = st.integers(-3, 3)
ORDINARY = st.integers(-(2**20), 2**20)
EXTREME = st.integers(-(2**40), 2**40)
RESIDUALS = st.one_of(
    st.lists(PLATEAUS, min_size=3, max_size=60),
    st.lists(ORDINARY, min_size=3, max_size=60),
    st.lists(st.one_of(PLATEAUS, ORDINARY, EXTREME), min_size=3, max_size=60),
).map(lambda values: np.array(values, dtype=float))


def naive_removals(residuals, *, max_count, direction):
    """Straight from the definition: median and MAD of the survivors anew at each step."""
    sign = {"both": np.abs, "pos": np.positive, "neg": np.negative}[direction]
    survivors = list(range(len(residuals)))
    removed, statistics = [], []
    for _ in range(max_count):
        values = residuals[survivors]
        median = np.median(values)
        sigma = 1.4826 * np.median(np.abs(values - median))
        if sigma == 0:
            break
        deviations = sign(values - median)
        farthest = int(np.argmax(deviations))  # the first of equal ones
        removed.append(survivors.pop(farthest))
        statistics.append(deviations[farthest] / sigma)
    return removed, statistics


def naive_critical_value(n, i, *, alpha, one_tailed):
    share = alpha / (n - i + 1) / (1 if one_tailed else 2)
    quantile = student.ppf(1 - share, n - i - 1)
    return quantile * (n - i) / np.sqrt((n - i - 1 + quantile**2) * (n - i + 1))


@given(residuals=RESIDUALS, direction=DIRECTIONS, share=st.floats(0, 1), alpha=st.sampled_from([0.001, 0.05, 0.5]))
def test_fast_test_equals_the_definition(
    residuals: np.ndarray, direction: Direction, share: float, alpha: float
) -> None:
    max_count = int(share * (residuals.size - 2))
    found = extreme_deviates(residuals, max_count=max_count, alpha=alpha, direction=direction)
    removed, statistics = naive_removals(residuals, max_count=max_count, direction=direction)

    assert found.positions.tolist() == removed
    np.testing.assert_allclose(found.test_statistics, statistics, rtol=1e-14)
    limits = [
        naive_critical_value(residuals.size, i + 1, alpha=alpha, one_tailed=direction != "both")
        for i in range(len(removed))
    ]
    np.testing.assert_allclose(found.critical_values, limits, rtol=1e-9)
    passed = [i + 1 for i, limit in enumerate(found.critical_values) if statistics[i] > limit]
    assert found.n_accepted == max(passed, default=0)


@pytest.mark.parametrize("direction", ["both", "pos", "neg"])
def test_fast_test_equals_the_definition_on_a_long_series(direction: Direction) -> None:
    residuals = np.random.default_rng(7).standard_t(2, size=1500).round(2)
    found = extreme_deviates(residuals, max_count=700, alpha=0.05, direction=direction)
    removed, statistics = naive_removals(residuals, max_count=700, direction=direction)
    assert found.positions.tolist() == removed
    np.testing.assert_allclose(found.test_statistics, statistics, rtol=1e-12)


@given(residuals=RESIDUALS, direction=DIRECTIONS, shift=st.integers(-(2**40), 2**40), power=st.integers(-30, 30))
def test_shift_and_positive_scale_change_nothing(
    residuals: np.ndarray, direction: Direction, shift: int, power: int
) -> None:
    # Whole-number shifts and powers of two do not round.
    arguments = {"max_count": (residuals.size - 2) // 2, "alpha": 0.05, "direction": direction}
    plain = extreme_deviates(residuals, **arguments)
    moved = extreme_deviates((residuals + shift) * 2.0**power, **arguments)
    assert moved.positions.tolist() == plain.positions.tolist()
    assert moved.n_accepted == plain.n_accepted
    assert moved.test_statistics.tolist() == plain.test_statistics.tolist()


@given(residuals=RESIDUALS)
def test_mirrored_residuals_swap_the_sides(residuals: np.ndarray) -> None:
    arguments = {"max_count": (residuals.size - 2) // 2, "alpha": 0.05}
    high = extreme_deviates(residuals, direction="pos", **arguments)
    low = extreme_deviates(-residuals, direction="neg", **arguments)
    assert high.positions.tolist() == low.positions.tolist()
    assert high.from_above.all()
    assert not low.from_above.any()


def test_rosner_1983_example_has_three_outliers() -> None:
    # The 54 values and the critical values of the example in Rosner's paper, as the NIST handbook reprints them.
    limits = critical_values(54, 10, alpha=0.05, one_tailed=False)
    assert limits.round(3).tolist() == [3.159, 3.151, 3.144, 3.136, 3.128, 3.120, 3.112, 3.103, 3.094, 3.085]


def test_critical_values_keep_their_digits_for_a_tiny_alpha() -> None:
    limits = critical_values(1000, 3, alpha=1e-14, one_tailed=False)
    quantile = student.isf(1e-14 / 2000, 998)
    assert limits[0] == pytest.approx(quantile * 999 / np.sqrt((998 + quantile**2) * 1000), rel=1e-12)


def test_cached_critical_values_cannot_be_overwritten() -> None:
    limits = critical_values(100, 5, alpha=0.05, one_tailed=True)
    with pytest.raises(ValueError, match="read-only"):
        limits[0] = 0.0


def test_equal_values_leave_in_row_order_at_both_ends() -> None:
    residuals = np.array([-9.0, 0, 9, 1, 9, -1, -9, 0, 1, -1, 0.5])
    found = extreme_deviates(residuals, max_count=4, alpha=0.05, direction="both")
    # Farthest first; the median moves with each removal, so the sides take turns.
    assert found.positions.tolist() == naive_removals(residuals, max_count=4, direction="both")[0]
    assert found.positions[found.from_above].tolist() == [2, 4]
    assert found.positions[~found.from_above].tolist() == [0, 6]


def test_masked_outlier_is_accepted_with_the_later_step() -> None:
    residuals = np.array([3.0, -5, -5, -3, -5, 9, 6, 8, 0])
    found = extreme_deviates(residuals, max_count=3, alpha=0.05, direction="pos")
    assert (found.test_statistics > found.critical_values).tolist() == [False, False, True]
    assert found.positions[: found.n_accepted].tolist() == [5, 7, 6]


def test_all_equal_residuals_remove_nothing() -> None:
    found = extreme_deviates(np.zeros(50), max_count=20, alpha=0.05, direction="both")
    assert found.positions.size == found.n_accepted == 0


def test_spread_below_zero_sigma_counts_as_none() -> None:
    residuals = np.array([1e-15, -1e-15, 2e-15, 0, 5e-15, -3e-15, 1.0])
    arguments = {"max_count": 2, "alpha": 0.05, "direction": "both"}
    assert extreme_deviates(residuals, zero_sigma=0.0, **arguments).n_accepted > 0
    assert extreme_deviates(residuals, zero_sigma=1e-12, **arguments).positions.size == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"max_count": -1}, "remove"),
        ({"max_count": 9}, "remove"),
        ({"direction": "up"}, "direction"),
        ({"residuals": np.array([1.0, np.nan, 2, 3, 4])}, "finite"),
        ({"residuals": np.zeros((5, 2))}, "one-dimensional"),
        ({"residuals": np.zeros(2), "max_count": 0}, "three"),
    ],
)
def test_wrong_argument_is_named(change: dict, message: str) -> None:
    arguments = {"residuals": np.arange(10.0), "max_count": 2, "alpha": 0.05, "direction": "both"} | change
    with pytest.raises(ValueError, match=message):
        extreme_deviates(arguments.pop("residuals"), **arguments)
