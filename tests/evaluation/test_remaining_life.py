"""Metrics of the remaining life, by hand and by another road."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation.evaluate import PredictedSpan
from pdm_cli.evaluation.hours_to_failure import find_mean
from pdm_cli.evaluation.remaining_life import evaluate_life, score_error
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.timestamps import US_PER_HOUR


def make_span() -> PredictedSpan:
    """Return a machine that fails at hour 100, with rows at 10, 40 and 90, and one that still runs."""
    codes, hours = np.array([0, 0, 0, 1]), np.array([10, 40, 90, 10])
    rows = Instants(pd.Index([1, 2]), codes, hours * US_PER_HOUR)
    ends = np.array([100, 200]) * US_PER_HOUR
    known = FollowUp(ends, np.array([100 * US_PER_HOUR, NEVER_US]), ends)
    nothing = np.zeros((4, 1))
    return PredictedSpan(rows, nothing, nothing, nothing > 0, pd.DataFrame(), known, np.zeros(2, np.int64))


def test_evaluate_life_by_hand() -> None:
    # True lives: 90, capped at 70; 60; 10.
    life = np.array([70.0, 57.0, 14.0, 5.0])
    hours = np.array([[math.nan] * 3, [30.0, 50.0, math.nan], [11.0, 14.0, 30.0], [1.0, 2.0, 3.0]])
    found = evaluate_life(make_span(), life, hours, cap_hours=70.0, unit_hours=2.0)
    assert found == {
        "cap_hours": 70.0,
        "machines": 1,
        "rows": 3,
        "rmse_hours": pytest.approx(math.sqrt((9 + 16) / 3)),
        "constant_rmse_hours": pytest.approx(float(np.std([70, 60, 10]))),
        "score": pytest.approx((math.expm1(1.5 / 13) + math.expm1(2 / 10)) / 3),
        "coverage": pytest.approx(2 / 3),
    }


def test_evaluate_life_without_an_ended_machine_is_unknown() -> None:
    span = make_span()
    ends = span.known.ends_us
    running = FollowUp(ends, np.full(2, NEVER_US), ends)
    other = PredictedSpan(**{**vars(span), "known": running})
    assert evaluate_life(other, np.zeros(4), np.zeros((4, 3)), cap_hours=70.0, unit_hours=1.0) is None


def test_score_error_late_costs_more_than_early() -> None:
    early, late = score_error(np.array([-20.0, 20.0]))
    assert (early, late) == (pytest.approx(math.exp(20 / 13) - 1), pytest.approx(math.exp(2) - 1))


@given(st.lists(st.floats(0.5, 50), min_size=2, max_size=6), st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_find_mean_equals_a_numerical_integral(steps: list[float], shares: list[float]) -> None:
    hours = np.cumsum(steps)
    probabilities = np.append(0.0, np.sort(shares[: len(steps) - 1]))
    grid = np.linspace(0, hours[-1], 40_001)
    survival = 1 - np.interp(grid, hours, probabilities)
    expected = np.mean((survival[1:] + survival[:-1]) / 2) * hours[-1]
    np.testing.assert_allclose(find_mean(hours, probabilities[None]), expected, atol=1e-2)
