"""The choice of the portfolio: greedy, repeatable, and from the search spaces."""

from __future__ import annotations

import numpy as np

from benchmarks.portfolio import SETTINGS, choose, draw_settings, leave_one_out, random_regret, regret
from pdm_cli.models import ESTIMATORS

SCORES = np.array(
    [
        [0.50, 0.60, 0.40, 0.70, 0.50],
        [0.50, 0.80, 0.40, 0.50, 0.50],
        [0.50, 0.50, 0.95, 0.50, 0.55],
    ]
)


def test_choose_takes_the_largest_gain_first_then_the_next_best() -> None:
    # The last helps only where none of the others is chosen.
    assert choose(SCORES, [0], 8) == [2, 1, 3, 4]
    assert choose(SCORES, [0], 2) == [2, 1]
    assert choose(SCORES, [1, 2, 3], 8) == []


def test_regret_is_the_distance_to_the_best_of_each_fold() -> None:
    np.testing.assert_allclose(regret(SCORES, [0]), [0.2, 0.3, 0.45])
    np.testing.assert_allclose(regret(SCORES, [0, 2, 1, 3]), 0)


def test_leave_one_out_does_not_use_the_fleet() -> None:
    fleets = np.array([0, 1, 2])
    np.testing.assert_allclose(leave_one_out(SCORES, fleets, [0], 2), [0.1, 0.3, 0.45])
    # Of a fleet with two folds, neither is used.
    np.testing.assert_allclose(leave_one_out(SCORES, np.array([0, 0, 1]), [0], 2), [0.2, 0.3, 0.45])


def test_random_portfolios_of_all_settings_leave_no_regret() -> None:
    np.testing.assert_allclose(random_regret(SCORES, [0], 4), 0)
    assert (random_regret(SCORES, [0], 1) > 0).all()


def test_drawn_settings_are_repeatable_and_lie_in_the_search_spaces() -> None:
    drawn = draw_settings()
    assert drawn == draw_settings()
    assert len({candidate.key() for candidate in drawn}) == len(drawn) == sum(SETTINGS.values()) + len(SETTINGS)
    for candidate in drawn:
        algorithm = ESTIMATORS[candidate.algorithm]
        assert set(candidate.hyper) == set(algorithm.defaults)
        assert all(span.low <= candidate.hyper[name] <= span.high for name, span in algorithm.space.items())
