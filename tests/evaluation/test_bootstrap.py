from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import average_precision_score

from pdm_cli.evaluation.bootstrap import bootstrap_events, bootstrap_precision
from pdm_cli.evaluation.events import EventOutcome
from pdm_cli.evaluation.exposure import Exposure

MACHINES = 4
METRICS = ("caught_share", "median_warning_hours", "false_alarms_per_machine_month")


def outcome(failures: list[tuple[int, float]], episodes: list[tuple[int, bool]]) -> EventOutcome:
    return EventOutcome(
        np.array([hours for _, hours in failures]),
        sum(false for _, false in episodes),
        np.array([machine for machine, _ in failures], np.int64),
        np.array([machine for machine, _ in episodes], np.int64),
        np.array([false for _, false in episodes], np.bool_),
        np.zeros(len(failures), np.int64),
    )


def exposed(months: float) -> Exposure:
    return Exposure(np.full(MACHINES, months), np.full(MACHINES, months))


machines = st.integers(0, MACHINES - 1)
outcomes = st.builds(
    outcome,
    st.lists(st.tuples(machines, st.sampled_from([math.nan, 3.0, 24.0, 30.5, 48.0])), max_size=12),
    st.lists(st.tuples(machines, st.booleans()), max_size=12),
)


def slow_bootstrap(
    found: list[EventOutcome], months: list[float], alarm_months: list[float], resamples: int, seed: int, level: float
) -> dict:
    """Build each fleet drawn, machine after machine, and look at it."""
    # Machines without a month were not tested and are not drawn, unless all are such.
    tested = [float(span > 0 or not any(months)) for span in months]
    share = np.array(tested) / sum(tested)
    draws = np.random.default_rng(seed).multinomial(int(sum(tested)), share, size=resamples)
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for draw in draws:
        warning, false, span = [], 0, 0.0
        for machine, times in enumerate(draw):
            for _ in range(times):
                span += alarm_months[machine]
                for one in found:
                    warning += one.warning_hours[one.failure_codes == machine].tolist()
                    false += int(one.is_false[one.episode_codes == machine].sum())
        caught = [hours for hours in warning if not math.isnan(hours)]
        if warning:
            values["caught_share"].append(len(caught) / len(warning))
        if caught:
            values["median_warning_hours"].append(float(np.median(caught)))
        if span:
            values["false_alarms_per_machine_month"].append(false / span)
    ends = ((1 - level) / 2, (1 + level) / 2)
    return {name: np.quantile(values[name], ends).tolist() if values[name] else None for name in METRICS}


@given(
    st.lists(outcomes, min_size=1, max_size=2),
    st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=MACHINES, max_size=MACHINES),
    st.sampled_from([0.0, 0.25, 0.5]),
    st.integers(0, 5),
    st.sampled_from([0.5, 0.9]),
)
def test_intervals_equal_brute_force(
    found: list[EventOutcome], months: list[float], less: float, seed: int, level: float
) -> None:
    # Failures may be judged for somewhat longer than alarms.
    alarm_months = [max(0.0, span - less) for span in months]
    exposure = Exposure(np.array(alarm_months), np.array(months))
    fast = bootstrap_events(found, exposure, resamples=30, seed=seed, level=level)
    assert (fast.pop("level"), fast.pop("resamples")) == (level, 30)
    slow = slow_bootstrap(found, months, alarm_months, 30, seed, level)
    assert list(fast) == list(slow)
    for name, interval in slow.items():
        assert (fast[name] is None) == (interval is None)
        if interval is not None:
            assert_allclose(fast[name], interval, rtol=1e-12)


def test_machines_that_are_all_alike_leave_no_doubt() -> None:
    alike = outcome([(m, 24.0) for m in range(MACHINES)], [(m, True) for m in range(MACHINES)])
    found = bootstrap_events([alike], exposed(2.0), seed=0)
    assert found == {
        "level": 0.9,
        "resamples": 500,
        "caught_share": [1.0, 1.0],
        "median_warning_hours": [24.0, 24.0],
        "false_alarms_per_machine_month": [0.5, 0.5],
    }


def test_nothing_judged_gives_no_interval() -> None:
    found = bootstrap_events([outcome([], [])], exposed(0.0), seed=0)
    assert [found[name] for name in METRICS] == [None, None, None]


def test_the_seed_alone_decides_the_draw() -> None:
    mixed = outcome([(0, 24.0), (1, math.nan), (2, 48.0), (3, 3.0)], [(0, True), (1, False)])
    first, again, other = (bootstrap_events([mixed], exposed(1.0), resamples=20, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


ranked_rows = st.lists(
    st.tuples(
        machines,
        st.sampled_from([0.0, 1.0, np.nan]),
        st.integers(0, 5).map(lambda level: level / 5),
    ),
    min_size=1,
    max_size=40,
)


def slow_precision(rows: list[tuple[int, float, float]], resamples: int, seed: int) -> list[float]:
    """Average precision of every fleet drawn, its rows written out one by one."""
    tested = sorted({machine for machine, _, _ in rows})
    draws = np.random.default_rng(seed).multinomial(len(tested), [1 / len(tested)] * len(tested), size=resamples)
    found = []
    for draw in draws:
        times = dict(zip(tested, draw, strict=True))
        drawn = [row for row in rows for _ in range(times[row[0]]) if not np.isnan(row[1])]
        labels, levels = [row[1] for row in drawn], [row[2] for row in drawn]
        if sum(labels):
            found.append(average_precision_score(labels, levels))
    return found


@pytest.mark.slow
@given(ranked_rows)
def test_interval_of_the_average_precision_is_that_of_fleets_written_out(rows: list[tuple[int, float, float]]) -> None:
    codes, labels, levels = (np.array(column) for column in zip(*rows, strict=True))
    found = bootstrap_precision(labels[:, None], levels[:, None], codes, resamples=30, seed=7)["average_precision"]
    slow = slow_precision(rows, 30, 7)
    assert found == (pytest.approx(np.quantile(slow, [0.05, 0.95]).tolist()) if slow else None)


def test_components_count_alike_in_the_average_precision() -> None:
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    levels = np.array([[0.9, 0.9], [0.5, 0.5], [0.1, 0.1]])
    found = bootstrap_precision(labels, levels, np.zeros(3, np.int64), resamples=5, seed=0)
    assert found["average_precision"] == [0.75, 0.75]
