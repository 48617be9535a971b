from __future__ import annotations

import math
import tracemalloc
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.anomalies.causal_esd import CausalScores, causal_esd
from pdm_cli.anomalies.esd import critical_values
from pdm_cli.anomalies.windows import DetectWindows
from tests.builders.anomalies import windows_of

HOUR = 3_600_000_000
DAY = 24 * HOUR
# A short season and window keep the slow oracle fast: a season of 4 h, a window of 2 days, a refit every 8 h.
SHORT: dict[str, Any] = {
    "step_us": HOUR,
    "period_hours": 4,
    "window_days": 2,
    "refit_hours": 8,
    "smooth_hours": 0,
    "settle_hours": 5,
}


WINDOWS = ("step_us", "period_hours", "window_days", "smooth_hours", "settle_hours")


def causal_scores(values: np.ndarray, times: np.ndarray, **options: Any) -> CausalScores:
    windows = windows_of(**{name: options.pop(name) for name in WINDOWS if name in options})
    return causal_esd(values, times, windows, **options)


def hourly(rows: int, *, start: int = 400_000 * HOUR + 6 * HOUR) -> np.ndarray:
    return start + np.arange(rows) * HOUR


def noise(rows: int, *, seed: int = 0, season: float = 0.0, period: int = 4) -> np.ndarray:
    daily = season * np.sin(2 * np.pi * np.arange(rows) / period)
    return np.asarray(100 + daily + np.random.default_rng(seed).normal(0, 1, rows))


def same(one: CausalScores, other: CausalScores) -> bool:
    """Whether two results agree in every bit."""
    names = ("value", "expected", "score")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def part(judged: CausalScores, rows: Any) -> CausalScores:
    return CausalScores(judged.value[..., rows], judged.expected[..., rows], judged.score[..., rows])


# The slow oracle: readings by stamp, one reading after the other, nothing carried from one to the next.


def smoothed(readings: dict[int, float], t: int, *, steps: int) -> float:
    seen = [readings[t - lag * HOUR] for lag in range(steps) if t - lag * HOUR in readings]
    return sum(seen) / len(seen) if t in readings and 10 * len(seen) >= 9 * steps else math.nan


def rests(readings: dict[int, float], t: int, settle: int) -> bool:
    """Whether a gap longer than ``settle`` hours ended less than so many hours before t."""
    since = [s for s in readings if s <= t]
    starts = [s for s, before in zip(since, [-math.inf, *since], strict=False) if s - before > (settle + 1) * HOUR]
    return settle > 0 and t - starts[-1] < settle * HOUR


def profile_of(window: dict[int, float], period: int) -> dict[int, float]:
    by_phase = {p: sorted(v for s, v in window.items() if s // HOUR % period == p) for p in range(period)}
    known = {p: values for p, values in by_phase.items() if len(values) >= 3}
    if len(known) < 2:
        return dict.fromkeys(range(period), 0.0)
    medians = {p: median(values) for p, values in known.items()}
    middle = float(np.mean(list(medians.values())))
    quarter = {p: (len(values) - 1) // 4 for p, values in known.items()}
    spread = [((v[len(v) - 1 - quarter[p]] - v[quarter[p]]) / 1.349) ** 2 for p, v in known.items()]
    chance = {p: math.pi / 2 * median(spread) / len(values) for p, values in known.items()}
    season = float(np.mean([(m - middle) ** 2 for m in medians.values()])) - float(np.mean(list(chance.values())))
    if season <= 0:
        return dict.fromkeys(range(period), 0.0)
    return {p: season / (season + chance[p]) * (m - middle) for p, m in medians.items()}


def oracle(values: np.ndarray, times: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return expected values and scores as the docstring of causal_esd words them."""
    o = {**SHORT, "min_share": 0.5, "alpha": 0.005, "direction": "both", **options}
    raw = {int(t): float(v) for t, v in zip(times, values, strict=True) if np.isfinite(v)}
    steps = max(1, round(o["smooth_hours"]))
    readings = {t: smoothed(raw, t, steps=steps) for t in raw}
    expected, score = np.full((2, len(values)), np.nan)
    period, length = o["period_hours"], round(o["window_days"] * DAY)
    for row, t in enumerate(times.tolist()):
        refit = t // round(o["refit_hours"] * HOUR) * round(o["refit_hours"] * HOUR)
        window = {s: v for s, v in readings.items() if refit - length <= s < refit and not math.isnan(v)}
        if math.isnan(readings.get(t, math.nan)) or rests(raw, t, o["settle_hours"]):
            continue
        profile = profile_of(window, period) if period else {0: 0.0}
        left = {
            s: v - profile[s // HOUR % (period or 1)] for s, v in window.items() if s // HOUR % (period or 1) in profile
        }
        phase = t // HOUR % (period or 1)
        if min(len(left), len(window)) < max(3, o["min_share"] * length / HOUR) or phase not in profile:
            continue
        level = float(np.median(list(left.values())))
        sigma = 1.4826 * float(np.median(np.abs(np.array(list(left.values())) - level)))
        if sigma <= 1e-12 * (abs(level) + max(abs(v) for v in profile.values())):
            continue
        limit = critical_values(len(left), 1, alpha=o["alpha"], one_tailed=o["direction"] != "both")[0]
        residual = readings[t] - level - profile[phase]
        side = {"both": abs(residual), "pos": residual, "neg": -residual}[o["direction"]]
        expected[row], score[row] = level + profile[phase], side / sigma / limit
    return expected, score


@st.composite
def series(draw: st.DrawFn, *, most: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Readings with a season or none, missing, infinite and wild ones, plateaus, and absent rows."""
    rows = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = 100 + draw(st.sampled_from([0.0, 1.0, 9.0])) * np.sin(np.arange(rows) * np.pi / 2) + rng.normal(0, 1, rows)
    if draw(st.booleans()):
        values = np.round(values)
    for wild in draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 1e8, -1e8, 1e308, 0.0]), max_size=6)):
        values[rng.integers(rows)] = wild
    times = hourly(rows, start=draw(st.integers(-100, 500_000)) * HOUR)
    for hours in draw(st.lists(st.integers(1, 90), max_size=3)):
        times[rng.integers(rows) :] += hours * HOUR
    kept = rng.random(rows) < draw(st.sampled_from([1.0, 1.0, 0.9, 0.6]))
    kept[-1] = True
    return values[kept], times[kept]


OPTIONS = st.fixed_dictionaries(
    {
        "period_hours": st.sampled_from([0, 4]),
        "refit_hours": st.sampled_from([0.5, 1, 8, 20]),
        "smooth_hours": st.sampled_from([0, 3, 10]),
        "settle_hours": st.sampled_from([0, 5]),
        "direction": st.sampled_from(["both", "pos", "neg"]),
        "min_share": st.sampled_from([0.25, 0.5, 1.0]),
    }
)


@pytest.mark.slow
@given(series(), OPTIONS)
def test_scores_equal_those_of_a_loop_over_readings(drawn: tuple[np.ndarray, np.ndarray], options: Any) -> None:
    values, times = drawn
    values = np.where(np.abs(values) > 1e200, np.nan, values)
    judged = causal_scores(values, times, **{**SHORT, **options})
    expected, score = oracle(values, times, **options)
    np.testing.assert_array_equal(judged.is_scored, ~np.isnan(score))
    np.testing.assert_allclose(judged.expected, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(judged.score, score, rtol=1e-9, atol=1e-9)


@given(series(), OPTIONS, st.data())
def test_cutting_the_future_off_leaves_every_bit_of_the_past(
    drawn: tuple[np.ndarray, np.ndarray], options: Any, data: st.DataObject
) -> None:
    values, times = drawn
    cut = data.draw(st.integers(1, len(values)))
    whole = causal_scores(values, times, **{**SHORT, **options})
    past = causal_scores(values[:cut], times[:cut], **{**SHORT, **options})
    assert same(part(whole, slice(cut)), past)


@given(series(), OPTIONS, st.data())
def test_cutting_off_what_no_window_reaches_leaves_every_bit(
    drawn: tuple[np.ndarray, np.ndarray], options: Any, data: st.DataObject
) -> None:
    values, times = drawn
    cut = data.draw(st.integers(0, len(values) - 1))
    whole = causal_scores(values, times, **{**SHORT, **options})
    rest = causal_scores(values[cut:], times[cut:], **{**SHORT, **options})
    # Window, the refit it waits for, and what smoothing and the rest after a gap look back on.
    late = times[cut:] - times[cut] >= (48 + 20 + 10 + 6 + 5) * HOUR
    assert same(part(part(whole, slice(cut, None)), late), part(rest, late))


@given(series(), OPTIONS, st.integers(2, 5), st.data())
def test_a_series_has_the_same_scores_alone_and_in_any_batch(
    drawn: tuple[np.ndarray, np.ndarray], options: Any, count: int, data: st.DataObject
) -> None:
    values, times = drawn
    place = data.draw(st.integers(0, count - 1))
    batch = np.random.default_rng(count).normal(0, 1, (count, len(values)))
    batch[place] = values
    together = causal_scores(batch, times, **{**SHORT, **options})
    assert same(part(together, slice(None)), together)
    row = CausalScores(together.value[place], together.expected[place], together.score[place])
    assert same(row, causal_scores(values, times, **{**SHORT, **options}))


def test_blocks_of_any_size_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    values = noise(700, season=2.0)
    values[[50, 333]] = np.nan
    whole = causal_scores(values, hourly(700), **SHORT)
    monkeypatch.setattr("pdm_cli.anomalies.causal_esd._BLOCK", 100)
    assert same(whole, causal_scores(values, hourly(700), **SHORT))


@pytest.mark.slow
def test_a_refit_at_every_minute_takes_little_memory() -> None:
    minute, rows = HOUR // 60, 3 * 1440
    times = hourly(1)[0] + np.arange(rows) * minute
    tracemalloc.start()
    judged = causal_scores(
        noise(rows), times, step_us=minute, period_hours=24, window_days=1, smooth_hours=0, refit_hours=1 / 60
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(judged.score) == rows
    # The blocks in hand; one number for each phase of each refit would be 33 MB more.
    assert most < 30e6


def test_a_spike_is_an_anomaly_worth_its_distance_from_level_and_season() -> None:
    values = noise(24 * 60, season=10.0, period=24)
    values[1000] += 12
    judged = causal_scores(values, hourly(len(values)), step_us=HOUR, smooth_hours=0)
    assert judged.is_anomaly[1000]
    assert judged.expected[1000] == pytest.approx(100 + 10 * np.sin(2 * np.pi * 1000 / 24), abs=1.0)
    assert judged.score[1000] == pytest.approx(12 / critical_values(672, 1, alpha=0.005, one_tailed=False)[0], rel=0.25)
    assert judged.is_anomaly.sum() <= 3


@pytest.mark.parametrize(("direction", "found"), [("both", [700, 800]), ("pos", [700]), ("neg", [800])])
def test_only_the_asked_direction_is_found(direction: Any, found: list[int]) -> None:
    values = noise(900)
    values[[700, 800]] += (20, -20)
    judged = causal_scores(values, hourly(900), step_us=HOUR, smooth_hours=0, direction=direction)
    assert np.flatnonzero(judged.is_anomaly).tolist() == found


def test_a_glitch_does_not_affect_later_scores() -> None:
    values = noise(24 * 90, season=3.0, period=24)
    glitched = values.copy()
    glitched[700] = 1e8
    clean, judged = (causal_scores(v, hourly(len(v)), step_us=HOUR, smooth_hours=0) for v in (values, glitched))
    after = np.arange(701, len(values))
    np.testing.assert_allclose(judged.score[after], clean.score[after], atol=0.05)
    # Once it has left the window, nothing remembers it.
    gone = np.arange(701 + 29 * 24, len(values))
    assert same(part(judged, gone), part(clean, gone))


@pytest.mark.parametrize("wrong", [1e300, -1e300, np.inf, -np.inf, np.nan])
def test_an_impossible_reading_leaves_the_other_scores(wrong: float) -> None:
    values = noise(24 * 60)
    clean = causal_scores(values, hourly(len(values)), step_us=HOUR)
    values[800] = wrong
    judged = causal_scores(values, hourly(len(values)), step_us=HOUR)
    others = np.setdiff1d(np.arange(len(values)), np.arange(800, 812))
    assert judged.is_scored[others].tolist() == clean.is_scored[others].tolist()
    assert judged.is_scored[800] == (abs(wrong) == 1e300)


def test_a_season_is_learned_where_there_is_one_and_shrunk_away_where_there_is_none() -> None:
    times, settle = hourly(24 * 120), slice(24 * 28, None)
    common: dict[str, Any] = {"step_us": HOUR, "smooth_hours": 0}
    strong = noise(24 * 120, season=5.0, period=24)
    error = causal_scores(strong, times, **common).expected[settle] - (strong - noise(24 * 120))[settle] - 100
    assert np.sqrt(np.mean(error**2)) < 0.3
    none = noise(24 * 120)
    with_season, without = (causal_scores(none, times, period_hours=p, **common).expected[settle] for p in (24, 0))
    # A full profile would stray by 1.25 / sqrt(28) = 0.24 of the noise.
    assert np.sqrt(np.mean((with_season - without) ** 2)) < 0.12


def test_the_false_alarm_rate_of_noise_is_near_alpha_over_the_window() -> None:
    batch = np.random.default_rng(1).normal(0, 1, (20, 24 * 200))
    judged = causal_scores(batch, hourly(24 * 200), step_us=HOUR, smooth_hours=0, alpha=0.5)
    share = judged.is_anomaly.sum() / judged.is_scored.sum()
    assert 0.5 / 672 / 2 < share < 0.5 / 672 * 4


def test_the_first_window_has_no_scores() -> None:
    times = hourly(24 * 60)
    judged = causal_scores(noise(24 * 60), times, step_us=HOUR, smooth_hours=0)
    first = int(judged.is_scored.argmax())
    assert times[first] % DAY == 0
    assert 14 * 24 <= first <= 15 * 24
    assert judged.is_scored[first:].all()


@pytest.mark.parametrize("absent", [True, False], ids=["rows absent", "readings missing"])
def test_readings_right_after_a_gap_have_no_scores(absent: bool) -> None:
    values, times = noise(24 * 90), hourly(24 * 90)
    gap = slice(24 * 50, 24 * 50 + 30)
    if absent:
        values, times = np.delete(values, gap), np.delete(times, gap)
        rows = np.arange(24 * 50, 24 * 50 + 26)
    else:
        values[gap] = np.nan
        rows = np.arange(24 * 50 + 30, 24 * 50 + 56)
    judged = causal_scores(values, times, step_us=HOUR, smooth_hours=0)
    assert judged.is_scored[rows].tolist() == [False] * 24 + [True] * 2


def test_a_mean_of_part_of_a_day_has_no_score() -> None:
    values = noise(24 * 60, season=2.0, period=24)
    # Two of 24 may be missing; with a third the mean waits until the first has left the window.
    values[24 * 50 + np.array([0, 4, 8])] = np.nan
    judged = causal_scores(values, hourly(len(values)), step_us=HOUR, settle_hours=0)
    assert np.flatnonzero(~judged.is_scored[24 * 45 :]).tolist() == [120, 124, *range(128, 144)]


def test_after_a_gap_longer_than_half_the_window_scores_wait_for_enough_readings() -> None:
    times = hourly(24 * 120)
    times[24 * 60 :] += 20 * DAY
    judged = causal_scores(noise(24 * 120), times, step_us=HOUR, smooth_hours=0)
    again = 24 * 60 + int(judged.is_scored[24 * 60 :].argmax())
    # The eight days that the window still holds from before leave it as fast as new ones come in.
    assert 14 * DAY <= times[again] - times[24 * 60] < 15 * DAY


def test_a_gap_of_centuries_takes_no_memory() -> None:
    times = hourly(24 * 60)
    times[24 * 30 :] += 300 * 365 * DAY
    judged = causal_scores(noise(24 * 60), times, step_us=HOUR)
    assert judged.is_scored[24 * 29 : 24 * 30].all()
    assert not judged.is_scored[24 * 30 : 24 * 43].any()


@pytest.mark.parametrize(
    "values",
    [np.full(300, 170.0), np.zeros(300), np.tile([0.1, 0.7, 0.3, 0.9], 75), np.full(300, np.nan), np.array([])],
    ids=["constant", "zero", "exactly periodic", "all missing", "empty"],
)
def test_a_series_without_spread_has_no_scores(values: np.ndarray) -> None:
    judged = causal_scores(values, hourly(len(values)), **SHORT)
    assert not judged.is_scored.any()
    assert not judged.is_anomaly.any()
    assert np.isnan(judged.expected).all()


def test_a_phase_missing_from_the_window_has_no_score() -> None:
    values = noise(300, season=9.0)
    values[:250:4] = np.nan
    judged = causal_scores(values, hourly(300), **SHORT)
    assert not judged.is_scored[252:256].tolist()[0]
    assert judged.is_scored[253:256].all()


def test_readings_less_often_than_the_refit_each_have_their_own() -> None:
    daily = hourly(200)[0] + np.arange(200) * DAY
    judged = causal_scores(
        noise(200), daily, step_us=DAY, period_hours=168, window_days=56, smooth_hours=0, refit_hours=24
    )
    assert judged.is_scored[28:].all()


def test_the_values_given_are_left_as_they_were() -> None:
    values, times = noise(300), hourly(300)
    causal_scores(values, times, **SHORT)
    np.testing.assert_array_equal(values, noise(300))
    np.testing.assert_array_equal(times, hourly(300))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"period_hours": 1}, "period 1"),
        ({"period_hours": -4}, "period -4"),
        ({"settle_hours": -2}, "settle -2"),
        ({"refit_hours": 0}, "refit_hours"),
        ({"min_share": 0}, "min_share"),
        ({"alpha": 1}, "alpha"),
        ({"direction": "up"}, "direction must be one of both, pos, neg"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        causal_scores(noise(100), hourly(100), **{**SHORT, **wrong})


def test_times_that_do_not_increase_fail() -> None:
    with pytest.raises(ValueError, match="increase by whole steps"):
        causal_scores(noise(3), hourly(3)[::-1], **SHORT)
    with pytest.raises(ValueError, match="whole steps of 7 microseconds"):
        causal_esd(noise(3), [*hourly(2), hourly(3)[2] + 1], DetectWindows(7, 1, 0, 4))
    with pytest.raises(ValueError, match="do not match times"):
        causal_scores(noise(3), hourly(4), **SHORT)
