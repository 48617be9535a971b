"""Quantiles of the hours to failure, by a slow other road and at the edges."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation.hours_to_failure import LEVELS, find_quantiles

STEPS = st.lists(st.floats(0.5, 50), min_size=2, max_size=6)
SHARES = st.lists(st.floats(0, 1), min_size=5, max_size=5)


def walk(hours: list[float], probabilities: list[float], level: float) -> float:
    """Return a quantile by bisection of the distribution, segment by segment."""
    for k in range(1, len(hours)):
        if probabilities[k] < level:
            continue
        low, high = hours[k - 1], hours[k]
        slope = (probabilities[k] - probabilities[k - 1]) / (high - low)
        for _ in range(200):
            middle = (low + high) / 2
            failed = probabilities[k - 1] + slope * (middle - hours[k - 1])
            low, high = (middle, high) if failed < level else (low, middle)
        return high
    return math.nan


@given(STEPS, SHARES)
def test_find_quantiles_of_any_hazard_equal_a_bisection(steps: list[float], shares: list[float]) -> None:
    hours = np.cumsum(steps)
    probabilities = np.append(0.0, np.sort(shares[: len(steps) - 1]))
    found = find_quantiles(hours, probabilities[None])[0]
    expected = [walk(hours.tolist(), probabilities.tolist(), level) for level in LEVELS]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(STEPS, SHARES)
def test_find_quantiles_of_any_hazard_increase_with_the_level(steps: list[float], shares: list[float]) -> None:
    hours = np.cumsum(steps)
    probabilities = np.append(0.0, np.sort(shares[: len(steps) - 1]))
    found = find_quantiles(hours, probabilities[None])[0]
    known = found[~np.isnan(found)]
    assert (np.diff(known) >= 0).all()
    # A higher quantile is missing if a lower one is.
    assert np.isnan(found).tolist() == sorted(np.isnan(found).tolist())
    assert ((known >= hours[0]) & (known <= hours[-1])).all()


def test_find_quantiles_of_a_certain_failure_are_known() -> None:
    found = find_quantiles(np.array([3.0, 48.0]), np.array([[0.0, 1.0], [0.0, 0.05]]))
    np.testing.assert_allclose(found[0], [7.5, 25.5, 43.5])
    assert np.isnan(found[1]).all()


def test_find_quantiles_of_equal_probabilities_take_the_first_horizon() -> None:
    found = find_quantiles(np.array([0.0, 10.0, 20.0]), np.array([[0.0, 0.5, 0.5]]))
    np.testing.assert_allclose(found[0, 1], 10.0)
    assert np.isnan(found[0, 2])
