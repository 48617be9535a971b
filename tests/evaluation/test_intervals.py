from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, gamma
from sklearn.metrics import average_precision_score

from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.exposure import Exposure
from pdm_cli.evaluation.intervals import event_intervals, precision_interval

MACHINES = 4
METRICS = ("caught_share", "median_warning_hours", "false_alarms_per_machine_month")


def outcome(failures: list[tuple[int, float]], episodes: list[tuple[int, bool]]) -> EventOutcome:
    return EventOutcome(
        np.array([hours for _, hours in failures]),
        sum(false for _, false in episodes),
        np.array([machine for machine, _ in failures], np.int64),
        np.array([machine for machine, _ in episodes], np.int64),
        np.array([false for _, false in episodes], np.bool_),
        np.array([not false for _, false in episodes], np.bool_),
        np.zeros(len(failures), np.int64),
    )


def exposed(months: float, machines: int = MACHINES) -> Exposure:
    return Exposure(np.full(machines, months), np.full(machines, months))


machines = st.integers(0, MACHINES - 1)
hours = st.sampled_from([math.nan, 3.0, 24.0, 30.5, 48.0])
outcomes = st.builds(
    outcome,
    st.lists(st.tuples(machines, hours), max_size=12),
    st.lists(st.tuples(machines, st.booleans()), max_size=12),
)


@given(outcomes, outcomes, st.sampled_from([0.5, 2.0]), st.sampled_from([0.5, 0.9]))
def test_intervals_contain_the_metric_and_pool_components(
    first: EventOutcome, second: EventOutcome, months: float, level: float
) -> None:
    found = event_intervals([first, second], exposed(months), level=level)
    warning = np.concatenate([first.warning_hours, second.warning_hours])
    caught = warning[~np.isnan(warning)]
    share, median, rate = (found[name] for name in METRICS)
    machines = {*first.failure_codes.tolist(), *second.failure_codes.tolist()}
    assert (share is None) == (len(machines) < 2)
    if share is not None:
        assert 0 <= share[0] <= len(caught) / len(warning) <= share[1] <= 1
    if median is not None:
        assert caught.min() <= median[0] <= np.median(caught) <= median[1] <= caught.max()
    assert rate[0] <= (first.false_alarms + second.false_alarms) / (MACHINES * months) <= rate[1]


def test_one_event_a_machine_has_the_interval_of_independent_events() -> None:
    # 20 machines with a failure each, 15 of them caught: the variance between machines is that of a coin, times 20/19.
    fleet = outcome([(m, 24.0 if m < 15 else math.nan) for m in range(20)], [(m, True) for m in range(9)])
    found = event_intervals([fleet], exposed(0.5, 20))
    number = 20 * 19 / 20
    share = beta.ppf([0.05, 0.95], 0.75 * number + 0.5, 0.25 * number + 0.5)
    assert found["caught_share"] == pytest.approx(share.tolist())
    assert found["median_warning_hours"] == [24.0, 24.0]


def test_alike_machines_have_the_interval_of_a_poisson_rate_with_few_machines() -> None:
    # As many false alarms on each machine leave the variance of a Poisson count, and Student's t of three degrees.
    alike = outcome([], [(m, True) for m in range(MACHINES)] * 5)
    effect = (2.353363 / 1.644854) ** 2
    expected = gamma.ppf([0.05, 0.95], 20 / effect + 0.5) * effect / 8
    found = event_intervals([alike], exposed(2.0))["false_alarms_per_machine_month"]
    assert found == pytest.approx(expected.tolist(), rel=1e-5)


def test_clustered_events_have_a_wider_interval() -> None:
    def width(codes: list[int]) -> float:
        caught = [math.nan if number % 4 == 0 else 24.0 for number in range(40)]
        fleet = outcome(list(zip(codes, caught, strict=True)), [])
        low, high = event_intervals([fleet], exposed(1.0, 10))["caught_share"]
        return float(high - low)

    spread = [number % 10 for number in range(40)]
    # All missed failures on the same machines.
    clustered = sorted(range(40), key=lambda number: (number % 4, number))
    codes = np.empty(40, np.int64)
    codes[clustered] = np.arange(40) // 4
    assert width(codes.tolist()) > width(spread)


def test_all_caught_and_no_false_alarm_leave_limits() -> None:
    # Half of .1**.1 ** 10 is .05, and e ** -3 of fleets with 3 alarms on average have none.
    found = event_intervals([outcome([(m % 4, 24.0) for m in range(10)], [])], exposed(2.0))
    assert found["caught_share"] == pytest.approx([0.1**0.1, 1.0])
    assert found["false_alarms_per_machine_month"] == pytest.approx([0.0, -math.log(0.05) / 8])
    missed = event_intervals([outcome([(m % 4, math.nan) for m in range(10)], [])], exposed(2.0))
    assert missed["caught_share"] == pytest.approx([0.0, 1 - 0.1**0.1])
    assert missed["median_warning_hours"] is None


def test_few_warnings_have_no_interval_of_the_median() -> None:
    # The lowest and the highest of four values contain the median in 1 - 2 / 16 of the cases, of six in 1 - 2 / 64.
    def interval(count: int) -> list[float] | None:
        fleet = outcome([(m, float(m)) for m in range(count)], [])
        return event_intervals([fleet], exposed(1.0, count))["median_warning_hours"]

    assert interval(4) is None
    assert interval(6) == [0.0, 5.0]


def test_one_machine_gives_no_interval() -> None:
    alone = outcome([(0, 24.0)] * 15 + [(0, math.nan)] * 5, [(0, True)] * 9)
    found = event_intervals([alone], Exposure(np.array([2.0, 0.0]), np.array([2.0, 0.0])))
    assert [found[name] for name in METRICS] == [None, None, None]


def test_nothing_counted_gives_no_interval() -> None:
    found = event_intervals([outcome([], [])], exposed(0.0))
    assert [found[name] for name in METRICS] == [None, None, None]


ranked_rows = st.lists(
    st.tuples(machines, st.sampled_from([0.0, 1.0, np.nan]), st.integers(0, 5).map(lambda level: level / 5)),
    min_size=1,
    max_size=40,
)


def slow_precision(rows: list[tuple[int, float, float]]) -> list[float] | None:
    """The jackknife with each machine's rows taken out in turn."""
    tested = sorted({machine for machine, _, _ in rows})

    def odds(left_out: int | None) -> float | None:
        kept = [row for row in rows if row[0] != left_out and not np.isnan(row[1])]
        if not any(label for _, label, _ in kept):
            return None
        precision = average_precision_score([row[1] for row in kept], [row[2] for row in kept])
        precision = min(max(precision, 1e-6), 1 - 1e-6)
        return math.log(precision / (1 - precision))

    # Without two machines that have failed, nothing is known of their variance.
    if len({machine for machine, label, _ in rows if label == 1}) < 2:
        return None
    whole, without = odds(None), [value for machine in tested if (value := odds(machine)) is not None]
    assert whole is not None
    error = math.sqrt((len(without) - 1) * np.var(without))
    # Quantiles of Student's t for 1 to 3 degrees of freedom.
    reach = {2: 6.313752, 3: 2.919986, 4: 2.353363}[len(without)] * error
    return [1 / (1 + math.exp(-(whole + way * reach))) for way in (-1, 1)]


@given(ranked_rows)
def test_interval_of_the_average_precision_is_that_of_machines_left_out(rows: list[tuple[int, float, float]]) -> None:
    codes, labels, levels = (np.array(column) for column in zip(*rows, strict=True))
    found = precision_interval(labels[:, None], levels[:, None], codes)["average_precision"]
    slow = slow_precision(rows)
    assert found == (pytest.approx(slow, rel=1e-5, abs=1e-9) if slow else None)


def test_components_count_alike_in_the_average_precision() -> None:
    rows = [(m, label, level) for m in range(3) for label, level in ((1.0, 0.9), (0.0, 0.5 + m / 5), (1.0, 0.4))]
    codes, labels, levels = (np.array(column) for column in zip(*rows, strict=True))
    alone = precision_interval(labels[:, None], levels[:, None], codes)
    twice = precision_interval(np.stack([labels, labels], 1), np.stack([levels, levels], 1), codes)
    assert twice["average_precision"] == pytest.approx(alone["average_precision"])


def test_intervals_of_many_machines_leave_out_groups() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(2_000), 3)
    labels = (rng.random(6_000) < 0.2).astype(float)
    levels = 1 / (1 + np.exp(-labels - rng.normal(size=6_000)))
    low, high = precision_interval(labels[:, None], levels[:, None], codes)["average_precision"]
    assert low < average_precision_score(labels, levels) < high
    assert high - low < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("fleet_size", [10, 25])
def test_intervals_contain_the_true_share_in_about_ninety_percent_of_fleets(fleet_size: int) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        counts = rng.poisson(rng.gamma(2.0, 0.75, fleet_size))
        caught = rng.binomial(counts, rng.beta(8.0, 2.0, fleet_size))
        codes = np.repeat(np.arange(fleet_size), counts)
        is_caught = np.concatenate([np.arange(count) < own for count, own in zip(counts, caught, strict=True)])
        warnings = list(zip(codes.tolist(), np.where(is_caught, 24.0, math.nan).tolist(), strict=True))
        interval = event_intervals([outcome(warnings, [])], exposed(1.0, fleet_size))["caught_share"]
        hits += interval[0] <= 0.8 <= interval[1]
    assert 0.85 <= hits / 400 <= 0.95
