from __future__ import annotations

import numpy as np
import pytest

from pdm_cli.evaluation.chance import placement_test

MACHINES, ROWS, AHEAD = 20, 200, 12


def draw_fleet(rng: np.random.Generator, sign: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with a run of rows before a failure of each machine, and slowly changing probabilities with a sign."""
    codes = np.repeat(np.arange(MACHINES), ROWS)
    labels = np.zeros((MACHINES, ROWS))
    for machine, failed in enumerate(rng.integers(AHEAD, ROWS, MACHINES)):
        labels[machine, failed - AHEAD : failed] = 1
    noise = rng.normal(size=(MACHINES, ROWS + 30)).cumsum(axis=1)
    drift = (noise[:, 30:] - noise[:, :-30]) / np.sqrt(30)
    return labels.ravel(), (1 / (1 + np.exp(-drift - sign * labels))).ravel(), codes


def test_placement_test_finds_a_sign() -> None:
    labels, probabilities, codes = draw_fleet(np.random.default_rng(0), 2.0)
    assert placement_test([labels], [probabilities], [codes]) < 0.01


@pytest.mark.ci
def test_placement_test_without_a_sign_is_passed_by_chance_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [
        placement_test(*([part] for part in draw_fleet(rng, 0.0)), draws=99)  # type: ignore[arg-type]
        for _ in range(200)
    ]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.1
    assert 0.4 <= np.mean(found) <= 0.6


def test_placement_test_of_equal_probabilities_finds_nothing() -> None:
    labels, _, codes = draw_fleet(np.random.default_rng(0), 2.0)
    assert placement_test([labels], [np.full(len(labels), 0.1)], [codes]) == 1.0


def test_placement_test_ignores_unknown_rows() -> None:
    labels, probabilities, codes = draw_fleet(np.random.default_rng(0), 1.0)
    unknown = np.full(len(labels), np.nan)
    longer = [np.stack([one, other], 1).ravel() for one, other in ((labels, unknown), (probabilities, probabilities))]
    found = placement_test([longer[0]], [longer[1]], [np.repeat(codes, 2)])
    assert found == placement_test([labels], [probabilities], [codes])


def test_placement_test_without_failures_is_one() -> None:
    _, probabilities, codes = draw_fleet(np.random.default_rng(0), 1.0)
    assert placement_test([np.zeros(len(codes))], [probabilities], [codes]) == 1.0


def test_placement_test_of_folds_keeps_machines_apart() -> None:
    rng = np.random.default_rng(2)
    labels, probabilities, codes = zip(draw_fleet(rng, 1.5), draw_fleet(rng, 1.5), strict=True)
    assert placement_test(labels, probabilities, codes) < 0.01


def test_placement_test_finds_machines_at_risk() -> None:
    # The probability does not change in time, but is high on the machines that fail.
    rng = np.random.default_rng(3)
    labels, _, codes = draw_fleet(rng, 0.0)
    labels = labels * (codes < 8)
    probabilities = np.where(codes < 8, 0.3, 0.1) + rng.uniform(0, 0.01, MACHINES)[codes]
    assert placement_test([labels], [probabilities], [codes]) < 0.05


def test_placement_test_has_no_place_for_a_run_in_shorter_series() -> None:
    # A perfect run of 16 rows on a long machine; short ones with rows more probable than it must not hold all of it.
    codes = np.concatenate([np.zeros(200, np.int64), 1 + np.repeat(np.arange(60), 2)])
    labels = (np.arange(320) < 16).astype(float)
    probabilities = np.where(labels == 1, 0.8, 0.1)
    probabilities[200:240] = 0.9
    assert placement_test([labels], [probabilities], [codes]) < 0.02


def test_placement_test_stays_within_a_fold() -> None:
    # The second fold has all failures and higher probabilities, which say nothing about when or where they are.
    rng = np.random.default_rng(4)
    first, second = draw_fleet(rng, 0.0), draw_fleet(rng, 0.0)
    labels = [np.zeros(len(first[0])), second[0]]
    found = placement_test(labels, [first[1] / 10, second[1]], [first[2], second[2]])
    assert found > 0.05
