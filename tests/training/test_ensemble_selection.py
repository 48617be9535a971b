"""Ensemble members: the best trial, and those whose mean prediction with it is better on the folds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.training.ensemble_selection import NOISE, choose_members


def table(joint: dict[tuple[int, ...], list[float]]) -> object:
    """Return a function that looks the scores of some members up, in any order; pairs not listed are poor."""
    known = {tuple(sorted(members)): scores for members, scores in joint.items()}
    return lambda members: known.get(tuple(sorted(members)), [0.0, 0.0])


def test_choose_members_takes_the_one_that_helps_most() -> None:
    scores = table({(7,): [0.5, 0.5], (7, 4): [0.52, 0.52], (7, 1): [0.6, 0.6], (7, 1, 4): [0.62, 0.6]})
    assert choose_members(scores, [7, 4, 1]) == [7, 1, 4]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pair", "expected"), [([0.504, 0.504], [7]), ([0.9, 0.45], [7, 4]), ([0.52, 0.5], [7, 4]), ([0.509, 0.5], [7])]
)
def test_choose_members_needs_more_than_noise_in_the_mean(pair: list[float], expected: list[int]) -> None:
    scores = table({(7,): [0.5, 0.5], (7, 4): pair})
    assert choose_members(scores, [7, 4]) == expected  # type: ignore[arg-type]


def test_choose_members_equal_ones_the_higher_rank_wins() -> None:
    scores = table({(7,): [0.5, 0.5], (7, 4): [0.6, 0.6], (7, 1): [0.6, 0.6]})
    assert choose_members(scores, [7, 4, 1], max_members=2) == [7, 4]  # type: ignore[arg-type]
    assert choose_members(scores, [7, 1, 4], max_members=2) == [7, 1]  # type: ignore[arg-type]


def test_choose_members_one_trial_is_not_scored() -> None:
    def scores(_: Sequence[int]) -> list[float]:
        raise AssertionError

    assert choose_members(scores, [3]) == [3]
    assert choose_members(scores, [3, 4], max_members=1) == [3]


def test_choose_members_fits_no_trial_but_the_best_eight() -> None:
    asked: set[int] = set()

    def scores(members: Sequence[int]) -> list[float]:
        asked.update(members)
        return [0.5]

    choose_members(scores, range(20))
    assert asked == set(range(8))


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 4))
def test_choose_members_is_between_the_best_trial_and_the_best_subset(seed: int, trials: int, most: int) -> None:
    """Trials predict a truth with errors; a score is minus the mean squared error of their mean on a fold."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(2, 5))
    predicted = truth + rng.normal(size=(trials, 2, 5)) * rng.uniform(0.1, 0.5, (trials, 1, 1))

    def scores(members: Sequence[int]) -> list[float]:
        found: list[float] = (-((predicted[list(members)].mean(axis=0) - truth) ** 2).mean(axis=1)).tolist()
        return found

    ranked = sorted(range(trials), key=lambda trial: -fmean(scores([trial])))
    chosen = choose_members(scores, ranked, max_members=most)
    subsets = [subset for size in range(1, most + 1) for subset in combinations(range(trials), size)]
    reached, alone = fmean(scores(chosen)), fmean(scores(ranked[:1]))
    assert alone <= reached <= max(fmean(scores(subset)) for subset in subsets) + 1e-12
    # Every member pays for itself.
    assert chosen[0] == ranked[0]
    assert len(set(chosen)) == len(chosen) <= most
    assert reached - alone >= 0.999 * NOISE * (len(chosen) - 1)


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_choose_members_of_two_is_the_best_pair(seed: int, trials: int) -> None:
    joint = np.random.default_rng(seed).random((trials, trials, 2))

    def scores(members: Sequence[int]) -> list[float]:
        return joint[min(members), max(members)].tolist()  # type: ignore[no-any-return]

    alone = fmean(scores([0]))
    best = max((fmean(scores([0, other])) for other in range(1, trials)), default=0.0)
    chosen = choose_members(scores, range(trials), max_members=2)
    assert fmean(scores(chosen)) == (best if best - alone > NOISE else alone)
