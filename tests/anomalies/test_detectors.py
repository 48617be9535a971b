from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pdm_cli.anomalies.detectors import DETECTORS, SeriesResult, find_anomalies, list_unjudged
from pdm_cli.errors import DataError
from pdm_cli.schema import ANOMALIES, UNJUDGED
from pdm_cli.settings.model import DetectParams

HOUR_US = 3_600_000_000
ROWS = 14 * 24
SPIKE = 200


def seasonal(rows: int = ROWS, *, seed: int = 0, sigma: float = 1.0, spike: float = 60.0) -> np.ndarray:
    hours = np.arange(rows)
    values = 170 + 10 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(seed).normal(0, sigma, rows)
    if rows > SPIKE:
        values[SPIKE] += spike
    return values


@pytest.fixture(params=DETECTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def raw(name: str, **changes: Any) -> DetectParams:
    return DetectParams(mode=name, smooth_hours=0.0, window_days=7.0, **changes)


def find(volt: np.ndarray, params: DetectParams) -> tuple[pd.DataFrame, SeriesResult]:
    """The anomalies of one machine's volt, and what became of the series."""
    found, series = find_anomalies(machine(1, volt).drop(columns="rotate"), step_us=HOUR_US, params=params)
    return found, series[0]


def row_of(found: pd.DataFrame) -> list[int]:
    start = np.datetime64("2015-01-01T06:00", "us")
    return ((found["datetime"].to_numpy() - start) // np.timedelta64(HOUR_US, "us")).tolist()


@pytest.mark.parametrize(("spike", "direction"), [(60.0, "pos"), (-60.0, "neg")])
def test_an_obvious_spike_in_a_seasonal_series_is_found(name: str, spike: float, direction: str) -> None:
    found, _ = find(seasonal(spike=spike), raw(name))
    at = row_of(found).index(SPIKE)
    row = found.iloc[at]
    assert row["direction"] == direction
    assert row["value"] == seasonal(spike=spike)[SPIKE]
    assert abs(row["expected"] - seasonal(spike=0.0)[SPIKE]) < 10
    assert row["score"] == found["score"].max()


def test_only_the_asked_direction_is_reported(name: str) -> None:
    assert SPIKE in row_of(find(seasonal(), raw(name, direction="pos"))[0])
    assert SPIKE not in row_of(find(seasonal(), raw(name, direction="neg"))[0])


def test_anomalies_stand_in_row_order_with_one_score_above_one_each(name: str) -> None:
    values = seasonal()
    values[[150, 220, 300]] += (-80, 90, 50)
    found, series = find(values, raw(name))
    assert {150, 200, 220, 300} <= set(row_of(found))
    assert (np.diff(row_of(found)) > 0).all()
    assert (found["score"] > 1).all()
    assert series.judged <= len(values)


def test_the_values_given_are_left_as_they_were(name: str) -> None:
    values = seasonal()
    find(values, raw(name))
    np.testing.assert_array_equal(values, seasonal())


def _too_short() -> np.ndarray:
    return seasonal(30)


def _missing() -> np.ndarray:
    return np.full(ROWS, np.nan)


def _constant() -> np.ndarray:
    return np.full(ROWS, 0.1)


def _mostly_alike() -> np.ndarray:
    return np.where(np.arange(ROWS) % 31 == 0, np.arange(ROWS), 5.0)


def _exactly_periodic() -> np.ndarray:
    return np.tile(np.arange(24.0), ROWS // 24)


@pytest.mark.parametrize("series", [_too_short, _missing, _constant, _mostly_alike, _exactly_periodic])
def test_a_series_that_cannot_be_judged_has_a_reason(name: str, series: Callable[[], np.ndarray]) -> None:
    found, outcome = find(series(), raw(name))
    assert len(found) == 0
    assert outcome.judged == 0
    assert outcome.reason


def test_only_a_batch_that_reaches_max_anoms_is_capped(name: str) -> None:
    assert not find(seasonal(), raw(name))[1].is_capped
    if name == "batch":
        found, outcome = find(seasonal(), raw(name, max_anoms=0.001))
        assert (len(found), outcome.is_capped) == (1, True)
        # Whether the readings that are reported are fewer for another reason does not matter.
        found, outcome = find(seasonal(), raw(name, max_anoms=0.001, only_last="hour"))
        assert (len(found), outcome.is_capped) == (0, True)


def test_reasons_have_times_and_numbers() -> None:
    assert find(seasonal(40), raw("causal"))[1].reason == "40 readings; a window needs at least 84"
    assert find(seasonal(40), raw("batch"))[1].reason == "40 readings; more than 48 (two seasons) are needed"
    assert find(_exactly_periodic(), raw("causal"))[1].reason == (
        "no window of 7 days has at least 84 readings and a spread"
    )
    assert "more than half of the readings are exactly as expected" in str(
        find(_mostly_alike(), raw("batch"))[1].reason
    )


@pytest.mark.parametrize("sigma", [1.0, 1e-5])
def test_a_glitch_of_a_hundred_million_hides_nothing_but_itself(name: str, sigma: float) -> None:
    values = seasonal(sigma=sigma, spike=30 * sigma)
    values[250] = 1e8
    rows = row_of(find(values, raw(name))[0])
    assert {SPIKE, 250} <= set(rows)


@pytest.mark.parametrize("smooth", [0.0, 12.0])
def test_a_missing_reading_is_never_an_anomaly(name: str, smooth: float) -> None:
    values = seasonal(spike=600.0)
    values[SPIKE + 1 : SPIKE + 6] = np.nan
    found, outcome = find(values, replace(raw(name), smooth_hours=smooth))
    assert not set(range(SPIKE + 1, SPIKE + 6)) & set(row_of(found))
    assert outcome.judged <= np.isfinite(values).sum()
    assert outcome.reason is None


def test_half_a_day_of_a_season_is_no_anomaly(name: str) -> None:
    """At the start, and after a gap, the mean of the readings that are there lies off by itself."""
    hours = np.arange(60 * 24)
    values = 170 + 10 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(0).normal(0, 1, len(hours))
    values[1000:1020] = np.nan
    found, outcome = find(values, DetectParams(mode=name, smooth_hours=24.0))
    # 22 of 24 readings make a mean: the first stands at row 1041, 21 readings after the gap.
    gap_ends = np.datetime64("2015-01-01T06:00", "us") + 1020 * np.timedelta64(HOUR_US, "us")
    assert outcome.unjudged[-1].tolist()[::2] == [gap_ends.astype(np.int64), 21]
    assert not {*range(23), *range(1000, 1041)} & set(row_of(found))
    if name == "batch":
        assert outcome.unjudged[0, 2] == 23
    assert len(found) < 5


def test_daily_readings_have_a_week_for_a_season(name: str) -> None:
    days = np.arange(200)
    volt = 170 + 10.0 * (days % 7) + np.random.default_rng(0).normal(0, 1, 200)
    volt[150] += 300
    stamps = np.datetime64("2015-01-01T06:00", "us") + days * np.timedelta64(24 * HOUR_US, "us")
    telemetry = pd.DataFrame({"machineID": 1, "datetime": stamps, "volt": volt})
    params = replace(raw(name), window_days=98.0, settle_hours=0.0)
    found, _ = find_anomalies(telemetry, step_us=24 * HOUR_US, params=params)
    assert stamps[150] in found["datetime"].to_numpy()


def test_a_season_of_a_fraction_of_steps_fails(name: str) -> None:
    with pytest.raises(DataError, match=r"a period of 7\.5 h is not two or more whole steps"):
        find(seasonal(), raw(name, period_hours=7.5))


@pytest.mark.parametrize(("only_last", "rows"), [("all", [150, 200, 312, 335]), ("day", [312, 335]), ("hour", [335])])
def test_only_anomalies_of_the_last_day_or_hour_are_reported(only_last: str, rows: list[int]) -> None:
    values = seasonal()
    values[[150, 312, 335]] += (-60, 60, 60)
    found, series = find(values, raw("batch", only_last=only_last))
    assert row_of(found) == rows
    every, _ = find(values, raw("batch"))
    pd.testing.assert_frame_equal(found, every[every["datetime"].isin(found["datetime"])].reset_index(drop=True))
    # The whole series is judged all the same.
    assert series.judged == ROWS


@pytest.mark.parametrize(
    ("threshold", "share", "rows"),
    [("none", 0.0, [100, 200, 300]), ("med_max", 0.5, [200, 300]), ("p95", 0.95, [200]), ("p99", 0.99, [200])],
)
def test_only_readings_as_high_as_the_maxima_of_the_days_are_reported(
    threshold: str, share: float, rows: list[int]
) -> None:
    values = seasonal()
    values[[100, 300]] += (-60, 45)
    found, _ = find(values, raw("batch", anomaly_threshold=threshold))
    assert row_of(found) == rows
    maxima = machine(1, values).set_index("datetime")["volt"].resample("D").max()
    assert threshold == "none" or (found["value"] >= maxima.quantile(share)).all()


def test_pieces_of_so_many_days_forgive_a_lasting_change_of_level() -> None:
    values = seasonal(16 * 24)
    values[12 * 24 :] += 40
    changed = set(range(12 * 24, 16 * 24))
    whole, _ = find(values, raw("batch"))
    assert len(changed & set(row_of(whole))) > 30
    pieces, _ = find(values, raw("batch", longterm_days=4.0))
    assert len(changed & set(row_of(pieces))) < 3
    assert SPIKE in row_of(pieces)


def machine(identity: Any, volt: np.ndarray, rotate: np.ndarray | None = None, *, gap_at: int = 0) -> pd.DataFrame:
    steps = np.arange(len(volt))
    if gap_at:
        steps[gap_at:] += 72
    times = np.datetime64("2015-01-01T06:00", "us") + steps * np.timedelta64(HOUR_US, "us")
    rotate = seasonal(len(volt), seed=9, spike=0.0) if rotate is None else rotate
    frame = pd.DataFrame({"datetime": times, "volt": volt, "rotate": rotate})
    frame.insert(0, "machineID", identity)
    return frame


def fleet(identities: tuple[Any, ...]) -> pd.DataFrame:
    """Five machines: sound, split by a gap, sound, too short, one sensor dead."""
    one, split, two, short, dead = identities
    return pd.concat(
        [
            machine(one, seasonal(seed=1)),
            machine(split, seasonal(seed=2), gap_at=150),
            machine(two, seasonal(seed=3), seasonal(seed=4)),
            machine(short, seasonal(20)),
            machine(dead, seasonal(seed=5), np.full(ROWS, np.nan)),
        ],
        ignore_index=True,
    )


IDENTITIES: list[tuple[Any, ...]] = [(1, 2, 3, 10, 11), ("a", "b", "c", "d", "e")]


@pytest.mark.parametrize("identities", IDENTITIES)
def test_series_that_cannot_be_judged_are_reported_and_the_others_go_on(name: str, identities: tuple[Any, ...]) -> None:
    found, series = find_anomalies(fleet(identities), step_us=HOUR_US, params=raw(name))
    one, _, two, short, dead = identities
    assert [(item.machine, item.sensor) for item in series] == [(m, s) for m in identities for s in ("volt", "rotate")]
    reasons = {(item.machine, item.sensor): item.reason for item in series}
    unjudged = {(short, "volt"), (short, "rotate"), (dead, "rotate")}
    assert {key for key, reason in reasons.items() if reason} == unjudged
    spike_at = fleet(identities)["datetime"].iloc[SPIKE]
    spikes = found[found["datetime"] == spike_at]
    seen = list(zip(spikes["machineID"], spikes["sensor"], strict=True))
    assert {(one, "volt"), (two, "volt"), (two, "rotate"), (dead, "volt")} <= set(seen)
    counted = found.groupby(["machineID", "sensor"]).size().to_dict()
    assert {(i.machine, i.sensor): len(i.times) for i in series if len(i.times)} == counted
    assert all(0 < item.judged <= ROWS for item in series if not item.reason)


def test_every_reading_is_judged_or_stands_in_a_span_that_says_why_not(name: str) -> None:
    telemetry = fleet((1, 2, 3, 10, 11))
    telemetry.loc[40:49, "volt"] = np.nan
    _, series = find_anomalies(telemetry, step_us=HOUR_US, params=raw(name))
    spans = list_unjudged(series, telemetry["machineID"].dtype)
    assert [*spans.columns] == [column.name for column in UNJUDGED.columns]
    assert spans["reason"].str.len().min() >= len("after a gap")
    for item in series:
        own = spans[(spans["machineID"] == item.machine) & (spans["sensor"] == item.sensor)]
        readings = telemetry.loc[(telemetry["machineID"] == item.machine) & telemetry[item.sensor].notna()]
        left = [readings["datetime"].between(span.start, span.end).sum() for span in own.itertuples()]
        assert left == own["readings"].tolist()
        assert item.judged + sum(left) == len(readings)
    if name == "causal":
        # The first window, and a day behind the gap, of a machine that is judged elsewhere.
        own = spans[(spans["machineID"] == 2) & (spans["sensor"] == "volt")]
        assert own["reason"].tolist() == ["too few readings before it", "after a gap"]


@pytest.mark.parametrize("identities", IDENTITIES)
@pytest.mark.parametrize("kept", [slice(None), slice(20)], ids=["some", "none found"])
def test_columns_and_types_are_those_of_the_schema(name: str, identities: tuple[Any, ...], kept: slice) -> None:
    telemetry = fleet(identities).iloc[kept]
    found, _ = find_anomalies(telemetry, step_us=HOUR_US, params=raw(name))
    kinds = {
        "machine": telemetry["machineID"].dtype,
        "time": np.dtype("datetime64[us]"),
        "text": pd.Series([], dtype="str").dtype,
        "number": np.dtype("float64"),
    }
    assert dict(found.dtypes) == {column.name: kinds[column.kind] for column in ANOMALIES.columns}
    assert list(found.columns) == [column.name for column in ANOMALIES.columns]
    assert set(found["direction"]) <= {"pos", "neg"}
    assert (found["score"] > 1).all()


def test_anomalies_are_sorted_by_machine_sensor_and_time(name: str) -> None:
    found, _ = find_anomalies(fleet((1, 2, 3, 10, 11)), step_us=HOUR_US, params=raw(name))
    position = found["sensor"].map({"volt": 0, "rotate": 1})
    keys = list(zip(found["machineID"], position, found["datetime"], strict=True))
    assert keys == sorted(set(keys))


def test_what_is_found_in_a_machine_does_not_depend_on_the_others(name: str) -> None:
    together, _ = find_anomalies(fleet((1, 2, 3, 10, 11)), step_us=HOUR_US, params=raw(name))
    alone, _ = find_anomalies(machine(3, seasonal(seed=3), seasonal(seed=4)), step_us=HOUR_US, params=raw(name))
    pd.testing.assert_frame_equal(together[together["machineID"] == 3].reset_index(drop=True), alone)


def test_the_value_is_the_reading_as_judged(name: str) -> None:
    telemetry = machine(1, seasonal())
    plain, _ = find_anomalies(telemetry, step_us=HOUR_US, params=raw(name))
    smooth, _ = find_anomalies(
        telemetry, step_us=HOUR_US, params=DetectParams(mode=name, smooth_hours=3.0, window_days=7.0)
    )
    volts = telemetry.set_index("datetime")["volt"]
    for anomalies, width in ((plain, 1), (smooth, 3)):
        own = anomalies[anomalies["sensor"] == "volt"]
        assert len(own)
        expected = volts.rolling(width, min_periods=1).mean().loc[own["datetime"]]
        np.testing.assert_allclose(own["value"], expected, rtol=1e-12)
