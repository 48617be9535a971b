from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdm_cli.scoring.health import AlarmLevel, HealthRules, ReferenceTooShort, fit_alarm_level
from pdm_cli.scoring.health_tables import find_health_episodes, list_health, rank_machines
from tests.builders.health import START, day_us, make_telemetry, measure

DAY = pd.Timedelta(days=1)


def spoil(telemetry: pd.DataFrame, machine: int, day: float, **changes: float) -> pd.DataFrame:
    """Add to sensors of a machine from a day on."""
    telemetry = telemetry.copy()
    rows = (telemetry["machineID"] == machine) & (telemetry["datetime"] > START + day * DAY)
    for sensor, change in changes.items():
        telemetry.loc[rows, sensor] += change
    return telemetry


def log(events: list[tuple[int, float]], **columns: str) -> pd.DataFrame:
    """Return events of machines at days."""
    machines, days = zip(*events, strict=True)
    times = (START + np.array(days) * DAY).astype("datetime64[us]")
    return pd.DataFrame({"machineID": machines, "datetime": times, **columns})


@pytest.fixture(scope="module")
def sound() -> pd.DataFrame:
    return make_telemetry()


@pytest.mark.parametrize("days", [41.0, 52.3, 70.0])
def test_health_without_the_future_is_the_same(sound: pd.DataFrame, days: float) -> None:
    telemetry = spoil(sound, 2, 50, shake=1.5)
    # A machine that begins late, and gaps, must not move the others.
    telemetry = telemetry[(telemetry["machineID"] != 4) | (telemetry["datetime"] > START + 48 * DAY)]
    telemetry.loc[telemetry.index[::17], "heat"] = np.nan
    maint = pd.DataFrame(
        {"machineID": [2, 3], "datetime": (START + np.array([45.1, 60]) * DAY).astype("datetime64[us]")}
    )
    telemetry = spoil(spoil(telemetry.assign(leak=0.0), 5, 30, leak=1.0), 3, 51, leak=20.0)
    errors = log([(1, 30.0), (2, 44.0), (5, 51.0), (6, 69.5)], errorID="E1")
    full = list_health(measure(telemetry, maint=maint, errors=errors))
    cut = list_health(measure(telemetry[telemetry["datetime"] <= START + days * DAY], maint=maint, errors=errors))
    expected = full[full["datetime"] <= START + days * DAY].reset_index(drop=True)
    pd.testing.assert_frame_equal(cut, expected, check_exact=True)


def test_damage_of_one_machine_is_an_alarm_of_its_sensor(sound: pd.DataFrame) -> None:
    index = measure(spoil(sound, 3, 74, shake=2.0))
    ranked = rank_machines(index, merge_hours=24, stale_hours=72)
    first = ranked.iloc[0]
    assert (first["machineID"], first["sensors"]) == (3, "shake")
    assert first["health"] < 0.1
    assert pd.Timedelta(0) < first["since"] - (START + 74 * DAY) < DAY
    assert ranked["since"].notna().sum() == 1


@pytest.mark.parametrize("sensors", [["shake"], ["heat", "shake"]])
def test_damage_in_the_reference_is_a_burst_of_its_sensors(sensors: list[str]) -> None:
    telemetry = make_telemetry(load=0)
    for machine in (3, 5):
        telemetry = spoil(telemetry, machine, 20, **dict.fromkeys(sensors, 20.0))
        telemetry = spoil(telemetry, machine, 23, **dict.fromkeys(sensors, -20.0))
    bursts = measure(telemetry).bursts
    assert list(bursts) == ["machineID", "sensor", "start", "end", "times_usual"]
    found = sorted(zip(bursts["machineID"], bursts["sensor"], strict=True))
    assert found == [(machine, sensor) for machine in (3, 5) for sensor in sensors]
    assert (bursts["times_usual"] > 15).all()
    assert bursts["start"].between(START + 20 * DAY, START + 22 * DAY).all()
    assert bursts["end"].between(START + 23 * DAY, START + 25 * DAY).all()


@pytest.mark.parametrize("load", [0.0, 1.0, 5.0])
def test_normal_reference_has_no_bursts(load: float) -> None:
    assert measure(make_telemetry(load=load)).bursts.empty


def test_damage_after_the_reference_or_in_one_of_many_weeks_is_no_burst() -> None:
    telemetry = spoil(spoil(make_telemetry(load=0), 2, 20, shake=20.0), 2, 22, shake=-20.0)
    assert measure(spoil(telemetry, 3, 41, shake=20.0)).bursts.empty


def test_load_that_moves_all_sensors_together_is_no_alarm(sound: pd.DataFrame) -> None:
    loaded = measure(spoil(sound, 3, 74, heat=4.0, shake=2.0))
    assert not loaded.is_alarm[loaded.instants.codes == 2].any()


def test_replacement_ends_the_memory_of_damage(sound: pd.DataFrame) -> None:
    telemetry = spoil(spoil(sound, 3, 74, shake=2.0), 3, 76, shake=-2.0)
    maint = pd.DataFrame({"machineID": [3], "datetime": (START + np.array([76]) * DAY).astype("datetime64[us]")})
    after = day_us(76.5)
    with_log, without = measure(telemetry, maint=maint), measure(telemetry)
    row = (with_log.instants.codes == 2) & (with_log.instants.times == after)
    assert with_log.health[row] > 0.9
    assert with_log.health[row] > without.health[row]


def test_rare_error_lowers_the_health_and_is_named(sound: pd.DataFrame) -> None:
    errors = log([(1, 20.0), (4, 79.5)], errorID="E1")
    with_log, without = measure(sound, errors=errors), measure(sound)
    last = with_log.instants.times == with_log.instants.times.max()
    assert with_log.sensors == ["heat", "shake", "errors"]
    fourth = last & (with_log.instants.codes == 3)
    assert with_log.health[fourth] < without.health[fourth]
    ranked = rank_machines(with_log, merge_hours=24, stale_hours=72).set_index("machineID")
    assert "errors" in ranked.loc[4, "sensors"]
    assert not ranked["sensors"].drop(4).str.contains("errors").any()


def test_frequent_errors_hardly_change_the_health(sound: pd.DataFrame) -> None:
    errors = log([(machine, day) for machine in range(1, 7) for day in range(80)], errorID="E1")
    with_log, without = measure(sound, errors=errors), measure(sound)
    np.testing.assert_array_equal(with_log.health, without.health)


def test_health_without_readings_in_the_longest_window_is_unknown(sound: pd.DataFrame) -> None:
    telemetry = sound.copy()
    gone = (telemetry["machineID"] == 1) & (telemetry["datetime"] > START + 60 * DAY)
    telemetry.loc[gone, ["heat", "shake"]] = np.nan
    index = measure(telemetry)
    own = index.instants.codes == 0
    assert np.isnan(index.health[own & (index.instants.times > day_us(63))]).all()
    assert not index.is_alarm[own & (index.instants.times > day_us(63))].any()
    assert list_health(index)["sensor"].isna().sum() == np.isnan(index.health).sum() > 0


@pytest.mark.slow
def test_alarms_of_sound_machines_come_at_about_the_chosen_rate() -> None:
    index = measure(make_telemetry(machines=20, days=220, seed=1), reference_days=90, per_year=6)
    episodes = find_health_episodes(index, merge_hours=24)
    years = len(index.health) * 3 / 8766
    assert 1 < len(episodes) / years < 12


def test_constant_sensor_has_no_deviation(sound: pd.DataFrame) -> None:
    index = measure(sound.assign(flat=1.0))
    assert list(index.constant) == ["flat"]
    assert index.sensors == ["heat", "shake", "flat"]
    assert np.isnan(index.deviations[2]).all()
    np.testing.assert_array_equal(index.health, measure(sound).health)


def leaking(telemetry: pd.DataFrame, machine: int, day: float) -> pd.DataFrame:
    """Add a leak counter that is 0, on a machine 20 to 50 from a day on."""
    telemetry = spoil(telemetry.assign(leak=0.0), machine, day, leak=20.0)
    leaks = telemetry["leak"] > 0
    telemetry.loc[leaks, "leak"] += np.random.default_rng(0).integers(0, 31, int(leaks.sum()))
    return telemetry


def test_change_of_a_constant_sensor_is_as_rare_as_the_reference_shows(sound: pd.DataFrame) -> None:
    telemetry = leaking(sound, 3, 74)
    alarmed = measure(telemetry, per_year=20)
    first = rank_machines(alarmed, merge_hours=24, stale_hours=72).iloc[0]
    assert (first["machineID"], first["sensors"]) == (3, "leak")
    assert pd.Timedelta(0) < first["since"] - (START + 74 * DAY) < DAY / 4
    # With so rare alarms, a reference of eight machine-months without a leak does not show that it is rarer.
    index = measure(telemetry)
    leaks = (index.instants.codes == 2) & (index.instants.times > day_us(74))
    expected = 1 / (1 + 168 / 8766 * index.alarm.maxima)
    assert index.constant == {"leak": pytest.approx(expected)}
    assert 0.5 < expected < 0.9
    assert index.health[leaks].max() == pytest.approx(expected)
    np.testing.assert_array_equal(index.health[~leaks], measure(sound).health[~leaks])


def test_change_of_a_constant_sensor_that_was_frequent_hardly_counts(sound: pd.DataFrame) -> None:
    telemetry = leaking(sound, 3, 74)
    telemetry.loc[telemetry["datetime"].dt.day_of_week.eq(0), "leak"] = 1.0
    assert measure(telemetry).constant["leak"] > 0.95


def test_machine_where_a_varying_sensor_is_constant_is_watched(sound: pd.DataFrame) -> None:
    telemetry = leaking(sound, 3, 74)
    first = telemetry["machineID"] == 1
    telemetry.loc[first, "leak"] = np.random.default_rng(1).normal(size=int(first.sum()))
    index = measure(telemetry, per_year=20)
    assert index.constant == {}
    assert index.is_alarm[(index.instants.codes == 2) & (index.instants.times == index.instants.times.max())].all()


def test_sensor_without_readings_in_the_reference_does_not_count(sound: pd.DataFrame) -> None:
    telemetry = leaking(sound, 3, 74)
    telemetry.loc[telemetry["datetime"] < START + 41 * DAY, "leak"] = np.nan
    index = measure(telemetry)
    np.testing.assert_equal(index.constant, {"leak": np.nan})
    np.testing.assert_array_equal(index.health, measure(sound).health)


def test_health_of_sensors_that_do_not_vary_is_rejected(sound: pd.DataFrame) -> None:
    with pytest.raises(ReferenceTooShort):
        measure(sound.assign(heat=1.0, shake=2.0))


def test_log_of_three_days_finds_damage_with_short_windows() -> None:
    telemetry = spoil(make_telemetry(days=3), 3, 2.5, shake=4.0)
    index = measure(telemetry, reference_days=1.5, window_hours=9)
    ranked = rank_machines(index, merge_hours=3, stale_hours=9)
    assert (ranked["machineID"].iloc[0], ranked["sensors"].iloc[0]) == (3, "shake")
    assert ranked["health"].iloc[0] < 0.5 < ranked["health"].iloc[1]


def test_single_sensor_has_a_health(sound: pd.DataFrame) -> None:
    assert np.isfinite(measure(sound[["machineID", "datetime", "shake"]]).health).all()


RULES = HealthRules(72.0, 1 / 8766)


def test_alarm_level_of_gumbel_maxima_is_exceeded_at_the_rate() -> None:
    maxima = np.random.default_rng(0).gumbel(3.0, 0.5, 20_000)
    alarm = fit_alarm_level(maxima, np.arange(len(maxima)), RULES)
    per_year = np.mean(maxima > alarm.level) * 8766 / RULES.maximum_hours
    assert per_year == pytest.approx(1, rel=0.2)


def test_alarm_level_with_damage_in_some_spans_hardly_moves() -> None:
    maxima = np.random.default_rng(0).gumbel(3.0, 0.5, 2000)
    sound = fit_alarm_level(maxima, np.arange(2000), RULES)
    damaged = fit_alarm_level(np.where(np.arange(2000) % 10 == 0, 40.0, maxima), np.arange(2000), RULES)
    assert damaged.level < 1.2 * sound.level


def test_alarm_level_is_not_above_the_one_exceeded_at_the_rate() -> None:
    # Errors in half of the spans widen the middle of the distribution, but not its end.
    maxima = 3.0 + 2.0 * (np.arange(2000) % 2) + np.random.default_rng(0).uniform(0, 0.5, 2000)
    alarm = fit_alarm_level(maxima, np.arange(2000), RULES)
    assert 5.4 < alarm.level < 5.5
    few = fit_alarm_level(maxima[:100], np.arange(100), RULES)
    assert few.level > 7


def test_alarm_level_of_too_few_spans_is_rejected() -> None:
    with pytest.raises(ReferenceTooShort) as caught:
        fit_alarm_level(np.array([1.0, 2.0, np.nan]), np.array([0, 1, 2]), RULES)
    assert caught.value.args == (2,)


def test_health_is_a_half_at_the_level_and_has_the_odds_of_the_rate() -> None:
    alarm = AlarmLevel(level=5.0, scale=0.5, maxima=100)
    health = alarm.health(np.array([5.0, 5.0 - 0.5 * np.log(9), 5.0 + 0.5 * np.log(9), -1e6, 1e6, np.nan]))
    np.testing.assert_allclose(health, [0.5, 0.9, 0.1, 1, 0, np.nan])


def test_episodes_join_alarms_and_name_the_lowest_health(sound: pd.DataFrame) -> None:
    index = measure(spoil(spoil(sound, 3, 60, shake=3.0), 3, 63, shake=-3.0))
    episodes = find_health_episodes(index, merge_hours=24)
    own = episodes[episodes["machineID"] == 3]
    assert list(episodes) == ["machineID", "start", "end", "rows", "health", "sensor", "sensors"]
    first = own.iloc[0]
    assert START + 60 * DAY < first["start"] < START + 61 * DAY < first["end"]
    rows = list_health(index)
    rows = rows[(rows["machineID"] == 3) & rows["datetime"].between(first["start"], first["end"])]
    assert first["rows"] == rows["alarm"].sum()
    assert first["health"] == rows["health"].min()


def test_ranking_of_a_silent_machine_marks_it(sound: pd.DataFrame) -> None:
    telemetry = spoil(sound, 3, 60, shake=4.0)
    telemetry = telemetry[(telemetry["machineID"] != 3) | (telemetry["datetime"] <= START + 62 * DAY)]
    first = rank_machines(measure(telemetry), merge_hours=24, stale_hours=72).iloc[0]
    assert (first["machineID"], bool(first["is_stale"])) == (3, True)
    assert first["datetime"] == START + 62 * DAY
