from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli.anomalies.detectors import find_anomalies
from pdm_cli.anomalies.esd import critical_values
from pdm_cli.anomalies.fleet import find_fleet_refits, summarize_machines
from pdm_cli.anomalies.fleet_profile import (
    FEWEST_MACHINES,
    MOST_MACHINES,
    FleetProfiles,
    Summaries,
    hash_machine,
    select_machines,
)
from pdm_cli.settings.model import DetectParams
from tests.builders.anomalies import learn_fleet

HOUR = 3_600_000_000
START = 400_000
# A season of 4 h, a window of 2 days of which half must be there, a refit every 8 h.
SHORT: dict[str, Any] = {
    "smooth_hours": 0.0,
    "period_hours": 4.0,
    "window_days": 2.0,
    "refit_hours": 8.0,
    "settle_hours": 0.0,
}


def machine(name: Any, start: int, rows: int, *, level: float = 100.0, season: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(abs(hash(name)) % 2**32 if isinstance(name, int) else 0)
    hours = START + start + np.arange(rows)
    own = level + rng.normal(0, 2)
    values = own + rng.normal(0, 1, (rows, 2)) + season * np.sin(np.pi * hours / 2)[:, None]
    times = (hours * HOUR).astype("datetime64[us]")
    return pd.DataFrame({"machineID": name, "datetime": times, "volt": values[:, 0], "rotate": values[:, 1]})


def fleet_of(starts: list[int], rows: int = 120, **options: Any) -> pd.DataFrame:
    return pd.concat([machine(n, start, rows, **options) for n, start in enumerate(starts)], ignore_index=True)


def scores(telemetry: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    """All readings that are tested: with alpha near 1, nearly every score is above 1, so raise them all."""
    params = DetectParams(**{**SHORT, **changes})
    fleet = learn_fleet(telemetry, step_us=HOUR, params=params)
    found, _ = find_anomalies(telemetry, step_us=HOUR, params=params, fleet=fleet)
    return found


# The slow oracle: readings by hour, one reading after the other.


def summary(readings: dict[int, float], refit: int) -> tuple[float, float, dict[int, float]] | None:
    window = {hour: value for hour, value in readings.items() if refit - 48 <= hour < refit}
    if len(window) < 24:
        return None
    by_phase = {p: [v for h, v in window.items() if h % 4 == p] for p in range(4)}
    medians = {p: median(values) for p, values in by_phase.items() if values}
    mean = sum(medians.values()) / len(medians)
    season = {p: value - mean for p, value in medians.items()}
    rest = [value - season[hour % 4] for hour, value in window.items()]
    level = median(rest)
    sigma = 1.4826 * median([abs(value - level) for value in rest])
    return level, sigma * math.sqrt(len(rest) / (len(rest) - 4)), season


def oracle(telemetry: pd.DataFrame, sensor: str) -> dict[tuple[int, int], tuple[float, float]]:
    """Expected value and score of each reading of a machine whose own window has fewer than 24 readings."""
    hours = (telemetry["datetime"].to_numpy().astype(np.int64) // HOUR).tolist()
    every: dict[int, dict[int, float]] = {}
    for name, hour, value in zip(telemetry["machineID"], hours, telemetry[sensor], strict=True):
        if np.isfinite(value):
            every.setdefault(int(name), {})[hour] = float(value)
    limit = critical_values(48, 1, alpha=0.9999, one_tailed=False)[0]
    found = {}
    for name, readings in every.items():
        for hour, value in readings.items():
            refit = hour // 8 * 8
            if sum(refit - 48 <= other < refit for other in readings) >= 24:
                continue
            others = sorted(other for other in every if other != name)
            known = [(hash_machine(other), summary(every[other], refit)) for other in others]
            used = [own for _, own in sorted(item for item in known if item[1] is not None)][:MOST_MACHINES]
            if len(used) < FEWEST_MACHINES:
                continue
            level = median([own[0] for own in used])
            between = 1.4826 * median([abs(own[0] - level) for own in used])
            within = median([own[1] for own in used])
            sigma = math.sqrt(within**2 + between**2 * (1 + math.pi / 2 / len(used)))
            at_phase = [own[2][hour % 4] for own in used if hour % 4 in own[2]]
            if at_phase and sigma > 0:
                expected = level + median(at_phase)
                found[name, hour] = (expected, abs(value - expected) / sigma / limit)
    return found


@st.composite
def fleets(draw: st.DrawFn) -> pd.DataFrame:
    """Fleets that start together or one by one, with missing readings and gaps."""
    count = draw(st.integers(9, 14))
    starts = sorted(draw(st.lists(st.integers(0, 90), min_size=count, max_size=count)))
    telemetry = fleet_of(starts, rows=draw(st.integers(20, 70)), season=draw(st.sampled_from([0.0, 5.0])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    telemetry.loc[rng.random(len(telemetry)) < draw(st.sampled_from([0.0, 0.1])), "volt"] = np.nan
    is_kept = rng.random(len(telemetry)) >= draw(st.sampled_from([0.0, 0.05]))
    return telemetry[is_kept].reset_index(drop=True)


@settings(max_examples=15)
@given(fleets())
def test_scores_by_fleet_equal_those_of_a_loop_over_readings(telemetry: pd.DataFrame) -> None:
    found = scores(telemetry, alpha=0.9999)
    for sensor in ("volt", "rotate"):
        expected = {key: pair for key, pair in oracle(telemetry, sensor).items() if pair[1] > 1}
        own = found[(found["sensor"] == sensor) & (found["by"] == "fleet")]
        hours = own["datetime"].to_numpy().astype(np.int64) // HOUR
        ours = dict(
            zip(
                zip(own["machineID"], hours.tolist(), strict=True),
                zip(own["expected"], own["score"], strict=True),
                strict=True,
            )
        )
        assert ours.keys() == expected.keys()
        for key, pair in ours.items():
            assert pair == pytest.approx(expected[key], rel=1e-9)


@settings(max_examples=30)
@given(fleets(), st.integers(0, 160), st.data())
def test_cutting_the_future_of_all_machines_off_leaves_every_bit_of_the_past(
    telemetry: pd.DataFrame, cut: int, data: st.DataObject
) -> None:
    end = np.datetime64((START + cut) * HOUR, "us")
    smooth = data.draw(st.sampled_from([0.0, 3.0]))
    past = telemetry[telemetry["datetime"] < end].reset_index(drop=True)
    whole = scores(telemetry, alpha=0.9999, smooth_hours=smooth)
    known = whole[whole["datetime"] < end].reset_index(drop=True)
    if past.empty:
        assert known.empty
    else:
        pd.testing.assert_frame_equal(scores(past, alpha=0.9999, smooth_hours=smooth), known, check_exact=True)


@settings(max_examples=10)
@given(fleets(), st.randoms(use_true_random=False))
def test_profiles_do_not_depend_on_the_order_and_the_groups_of_machines(telemetry: pd.DataFrame, random: Any) -> None:
    params = DetectParams(**SHORT)
    refits = find_fleet_refits(telemetry, step_us=HOUR, params=params)
    parts = [
        summarize_machines(own.reset_index(drop=True), refits, step_us=HOUR, params=params)
        for _, own in telemetry.groupby("machineID")
    ]
    random.shuffle(parts)
    kept = parts[0]
    for part in parts[1:]:
        kept = select_machines(Summaries.join([kept, part]))
    together = learn_fleet(telemetry, step_us=HOUR, params=params)
    if together is None:
        assert not len(refits)
        return
    for name in Summaries.__annotations__:
        assert getattr(kept, name).tobytes() == getattr(together.summaries, name).tobytes()


def test_a_profile_uses_a_limited_number_of_machines_and_not_that_which_is_tested() -> None:
    names = np.arange(120)
    hashes = np.array([hash_machine(name) for name in names.tolist()])
    count, zeros = len(names), np.zeros(len(names), np.int64)
    level = np.random.default_rng(0).normal(0, 1, count)
    fleet = FleetProfiles(Summaries(zeros, zeros, hashes, level, np.ones(count), np.zeros((count, 1))))
    assert len(fleet.summaries.level) == MOST_MACHINES + 1
    first = np.argsort(hashes)
    for tested, used in ((first[0], first[1 : MOST_MACHINES + 1]), (first[-1], first[:MOST_MACHINES])):
        fit = fleet.find(0, 0, hashes[tested])
        assert fit is not None
        assert fit.level == np.median(level[used])


@pytest.mark.parametrize("machines", [FEWEST_MACHINES, FEWEST_MACHINES + 1])
def test_a_new_machine_unlike_the_fleet_is_found_by_it(machines: int) -> None:
    old = fleet_of([0] * machines, rows=200)
    new = [machine(name, 150, 50, level=level) for name, level in ((98, 100.0), (99, 160.0))]
    found = scores(pd.concat([old, *new], ignore_index=True))
    by_fleet = found[found["by"] == "fleet"]
    # Until the first refit with 24 readings of its own.
    assert set(by_fleet["machineID"]) == {99}
    assert len(by_fleet) == 2 * (24 + (8 - (START + 150 + 24) % 8) % 8)
    assert set(by_fleet["direction"]) == {"pos"}


def test_too_few_machines_have_no_profile() -> None:
    telemetry = pd.concat(
        [fleet_of([0] * (FEWEST_MACHINES - 1), rows=200), machine(99, 150, 50, level=160.0)], ignore_index=True
    )
    assert "fleet" not in set(scores(telemetry)["by"])


def test_machines_with_history_are_tested_by_their_own() -> None:
    telemetry = fleet_of([0] * 15, rows=300)
    params = DetectParams(**SHORT, alpha=0.9)
    fleet = learn_fleet(telemetry, step_us=HOUR, params=params)
    with_fleet, results = find_anomalies(telemetry, step_us=HOUR, params=params, fleet=fleet)
    alone, own = find_anomalies(telemetry, step_us=HOUR, params=params)
    of_machine = with_fleet[with_fleet["by"] == "machine"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_machine, alone)
    for one, other in zip(results, own, strict=True):
        assert one.judged - one.judged_by_fleet == other.judged
        assert one.judged + one.unjudged[:, 2].sum() == 300
