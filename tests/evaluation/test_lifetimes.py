from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import poisson

from pdm_cli.evaluation.costs import Lives
from pdm_cli.evaluation.lifetimes import Lifetime, Weibull, fit_lifetime

DAY = 24.0
LOG_DAYS, VISIT_DAYS = 365, 160


def simulate(rng: np.random.Generator, machines: int, shape: float, scale_days: float) -> Lives:
    """Lives of parts that fail or are replaced at random, in a log that begins in the middle of a life."""
    found = []
    for machine in range(machines):
        begin = -rng.uniform(0, scale_days)
        while begin < LOG_DAYS:
            life, visit = scale_days * rng.weibull(shape), rng.exponential(VISIT_DAYS)
            end = begin + min(life, visit)
            if begin >= 0:
                found.append((min(end, LOG_DAYS) - begin, life < visit and end <= LOG_DAYS, machine))
            begin = end
    hours, failed, codes = zip(*found, strict=True)
    return Lives(DAY * np.array(hours), np.array(failed), np.array(codes))


def fit(lives: Lives) -> Lifetime:
    """The lifetime, with the failures of known age as the only ones."""
    machines = int(lives.codes.max()) + 1
    hours = np.bincount(lives.codes, lives.hours, minlength=machines)
    found = fit_lifetime(lives, np.bincount(lives.codes, lives.failed, minlength=machines).astype(float), hours)
    assert found is not None
    return found


def lives_of(hours: list[float], failed: list[bool]) -> Lives:
    return Lives(np.array(hours, float), np.array(failed), np.arange(len(hours)))


def log_likelihood(lives: Lives, shape: float, scale: float) -> float:
    """One life after the other: log density of the failed, log survival of the others."""
    total = 0.0
    for hours, failed in zip(lives.hours, lives.failed, strict=True):
        total -= (hours / scale) ** shape
        if failed:
            total += math.log(shape / scale) + (shape - 1) * math.log(hours / scale)
    return total


@pytest.mark.parametrize(("shape", "seed"), [(0.7, 0), (1.0, 1), (2.5, 2), (5.0, 3)])
def test_fit_has_the_largest_likelihood_of_a_grid(shape: float, seed: int) -> None:
    lives = simulate(np.random.default_rng(seed), 20, shape, 150)
    found = fit(lives).weibull
    assert found is not None
    best = log_likelihood(lives, found.shape, found.scale_hours)
    steps = np.geomspace(0.6, 1.7, 23)
    grid = [log_likelihood(lives, found.shape * one, found.scale_hours * other) for one in steps for other in steps]
    assert max(grid) <= best + 1e-6
    # Even a per cent away it is lower.
    for one, other in ((1.01, 1), (0.99, 1), (1, 1.01), (1, 0.99)):
        assert log_likelihood(lives, found.shape * one, found.scale_hours * other) < best


def test_covariance_is_the_curvature_of_the_likelihood() -> None:
    lives = simulate(np.random.default_rng(0), 20, 2.5, 150)
    # All on one machine: nothing is known of the variance between machines.
    found = fit(Lives(lives.hours, lives.failed, np.zeros_like(lives.codes))).weibull
    assert found is not None

    def at(one: int, other: int) -> float:
        return log_likelihood(lives, found.shape * math.exp(0.01 * one), found.scale_hours * math.exp(0.01 * other))

    by_shape, by_scale = (2 * at(0, 0) - at(*a) - at(*b) for a, b in (((1, 0), (-1, 0)), ((0, 1), (0, -1))))
    joint = (at(1, -1) + at(-1, 1) - at(1, 1) - at(-1, -1)) / 4
    inverse = np.linalg.inv(np.array([[by_shape, joint], [joint, by_scale]]) / 0.01**2)
    assert_allclose(found.covariance, [inverse[0, 0], inverse[0, 1], inverse[1, 1]], rtol=0.02)


def test_lives_that_agree_within_machines_are_less_certain() -> None:
    lives = lives_of([100, 110, 95, 105, 400, 390, 410, 420] * 4, [True] * 32)
    apart = fit(lives).weibull
    together = fit(Lives(lives.hours, lives.failed, np.tile(np.repeat([0, 1], 4), 4) + np.repeat([0, 2, 4, 6], 8)))
    assert apart is not None
    assert together.weibull is not None
    assert together.weibull.covariance[2] > 2 * apart.covariance[2]


@pytest.mark.ci
@pytest.mark.parametrize("machines", [10, 25, 100])
@pytest.mark.parametrize(("shape", "scale_days"), [(1.0, 300), (2.5, 190)])
def test_intervals_contain_the_truth_in_nine_of_ten_fleets(machines: int, shape: float, scale_days: float) -> None:
    rng, hits = np.random.default_rng(machines), []
    ages, hours = DAY * scale_days * np.array([0.1, 0.5, 1.0]), 48.0
    before, until = (ages / DAY / scale_days) ** shape, ((ages + hours) / DAY / scale_days) ** shape
    truth = -np.expm1(before - until)
    for _ in range(400):
        found = fit(simulate(rng, machines, shape, scale_days)).weibull
        if found is not None:
            _, low, high = found.probability(ages, hours)
            inside = found.shape_interval()[0] <= shape <= found.shape_interval()[1]
            hits.append([inside, *((low <= truth) & (truth <= high))])
    assert len(hits) > 360
    shares = np.mean(hits, axis=0)
    assert shares.min() >= 0.85
    assert shares.mean() <= 0.95


@pytest.mark.ci
def test_wear_of_parts_that_fail_at_random_is_claimed_in_one_of_twenty_fleets() -> None:
    rng, claims = np.random.default_rng(0), []
    while len(claims) < 1500:
        lives = simulate(rng, int(rng.integers(8, 30)), 1.0, 300)
        # The fleet has this many failures by chance, not by its lives.
        if 10 <= lives.failed.sum() <= 20:
            claims.append(fit(lives).ageing == "wear")
    # Four standard deviations.
    assert np.mean(claims) == pytest.approx(0.05, abs=0.023)


@pytest.mark.parametrize(("failures", "expected"), [(9, None), (10, "wear")])
def test_ageing_is_claimed_from_ten_failures(failures: int, expected: str | None) -> None:
    lifetime = fit(lives_of([100 + 2 * life for life in range(12)], [life < failures for life in range(12)]))
    assert lifetime.weibull is not None
    assert lifetime.weibull.shape_interval()[0] > 1
    assert lifetime.ageing == expected
    share, _, _ = lifetime.probability(np.array([1.0, 110.0]), 10.0)
    assert (share[0] == share[1]) == (expected is None)


def test_parameters_of_many_lives_are_recovered() -> None:
    found = fit(simulate(np.random.default_rng(0), 400, 2.5, 190)).weibull
    assert found is not None
    assert found.shape == pytest.approx(2.5, rel=0.1)
    assert found.scale_hours == pytest.approx(190 * DAY, rel=0.05)


def test_probability_is_the_share_of_the_survivors_that_fail() -> None:
    weibull = Weibull(2.0, 100.0, (0.01, 0.0, 0.01), 1000.0, 50, 40)
    ages = np.array([0.0, 50.0, 100.0])
    share, low, high = weibull.probability(ages, 10.0)
    survival = [math.exp(-((age / 100) ** 2)) for age in ages]
    later = [math.exp(-(((age + 10) / 100) ** 2)) for age in ages]
    assert_allclose(share, [1 - b / a for a, b in zip(survival, later, strict=True)])
    assert (low < share).all()
    assert (share < high).all()
    assert weibull.age_at(0.1) == pytest.approx(100 * math.sqrt(-math.log(0.9)))


def test_parts_older_than_any_seen_count_as_old_as_that() -> None:
    lifetime = fit(simulate(np.random.default_rng(0), 50, 4.0, 190))
    assert lifetime.weibull is not None
    oldest = lifetime.weibull.longest_hours
    share, _, _ = lifetime.probability(np.array([oldest / 2, oldest, 3 * oldest]), 48.0)
    assert share[0] < share[1] == share[2]


@pytest.mark.parametrize(("shape", "expected"), [(0.5, "early"), (1.0, "random"), (4.0, "wear")])
def test_ageing_follows_the_shape(shape: float, expected: str) -> None:
    assert fit(simulate(np.random.default_rng(4), 60, shape, 200)).ageing == expected


def test_ageing_of_a_wide_interval_is_unknown() -> None:
    lifetime = fit(simulate(np.random.default_rng(4), 6, 1.5, 200))
    assert lifetime.weibull is not None
    low, high = lifetime.weibull.shape_interval()
    assert low < 1 < 1.5 < high
    assert lifetime.ageing is None
    share, _, _ = lifetime.probability(np.array([100.0]), 48.0)
    assert share[0] == lifetime.mean_probability(48.0)[0]


def test_probability_at_random_is_that_of_the_rate() -> None:
    lifetime = fit(simulate(np.random.default_rng(4), 60, 1.0, 200))
    share, low, high = lifetime.probability(np.array([0.0, 5000.0]), 48.0)
    assert_allclose(share, 1 - math.exp(-48 * lifetime.rate))
    assert_allclose([low, high], [[1 - math.exp(-48 * rate)] * 2 for rate in (lifetime.rate_low, lifetime.rate_high)])


def test_two_failures_have_an_exact_rate_and_no_distribution() -> None:
    lives = lives_of([100, 200, 300], [True, True, False])
    found = fit_lifetime(lives, np.array([1.0, 1.0, 0.0]), np.array([400.0, 300.0, 300.0]))
    assert found is not None
    assert (found.weibull, found.ageing, found.rate) == (None, None, 2 / 1000)
    # Of a Poisson number with the mean at each end of the interval, one in twenty is as extreme.
    assert poisson.sf(1, 1000 * found.rate_low) == pytest.approx(0.05)
    assert poisson.cdf(2, 1000 * found.rate_high) == pytest.approx(0.05)


def test_failures_of_a_single_machine_have_the_interval_of_independent_ones() -> None:
    lives = lives_of([90, 110] * 15, [True] * 30)
    found = fit_lifetime(replace(lives, codes=np.zeros(30, np.int64)), np.array([30.0]), np.array([3000.0]))
    assert found is not None
    assert poisson.sf(29, 3000 * found.rate_low) == pytest.approx(0.05)
    assert poisson.cdf(30, 3000 * found.rate_high) == pytest.approx(0.05)


def test_a_fleet_that_was_not_watched_has_no_lifetime() -> None:
    assert fit_lifetime(lives_of([], []), np.zeros(2), np.zeros(2)) is None


def test_no_failure_has_an_upper_limit() -> None:
    found = fit_lifetime(lives_of([100], [False]), np.zeros(1), np.array([1000.0]))
    assert found is not None
    assert (found.rate, found.rate_low) == (0.0, 0.0)
    assert poisson.cdf(0, 1000 * found.rate_high) == pytest.approx(0.05)


def test_lives_that_are_all_equal_have_no_distribution() -> None:
    assert fit(lives_of([100] * 5, [True] * 5)).weibull is None


@given(st.lists(st.tuples(st.floats(0.01, 1e5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_any_lives_give_finite_numbers_or_none(ended: list[tuple[float, bool, int]]) -> None:
    hours, failed, codes = zip(*ended, strict=True)
    found = fit(Lives(np.array(hours), np.array(failed), np.array(codes)))
    numbers = [found.rate, found.rate_low, found.rate_high]
    if found.weibull is not None:
        numbers += [found.weibull.shape, found.weibull.scale_hours, *found.weibull.covariance]
        assert found.weibull.covariance[0] > 0
        assert found.weibull.covariance[2] > 0
    assert np.isfinite(numbers).all()
    share, low, high = found.probability(np.array([0.0, 1.0, 1e5]), 48.0)
    assert ((low >= 0) & (low <= share) & (share <= high) & (high <= 1)).all()
