from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pdm_cli.core.detectors import DETECTORS, Detector, find_anomalies
from pdm_cli.errors import DataError
from pdm_cli.params import DetectParams
from pdm_cli.schema import ANOMALIES

HOUR_US = 3_600_000_000
ROWS = 14 * 24
SPIKE = 200


def seasonal(rows: int = ROWS, *, seed: int = 0, spike: float = 60.0) -> np.ndarray:
    hours = np.arange(rows)
    values = 170 + 10 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(seed).normal(0, 1, rows)
    if rows > SPIKE:
        values[SPIKE] += spike
    return values


@pytest.fixture(params=DETECTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def detector(name: str) -> Detector:
    return DETECTORS[name]


def raw(name: str, **changes: Any) -> DetectParams:
    return DetectParams(detector=name, smooth_hours=0.0, **changes)


@pytest.mark.parametrize(("spike", "direction"), [(60.0, 1), (-60.0, -1)])
def test_an_obvious_spike_in_a_seasonal_series_is_found(
    detector: Detector, name: str, spike: float, direction: int
) -> None:
    found = detector.find(seasonal(spike=spike), 24.0, raw(name))
    assert SPIKE in found.index.tolist()
    at = found.index.tolist().index(SPIKE)
    assert found.direction[at] == direction
    assert abs(found.expected[at] - seasonal(spike=0.0)[SPIKE]) < 10
    assert found.score[at] == found.score.max()


def test_only_the_asked_direction_is_reported(detector: Detector, name: str) -> None:
    assert SPIKE in detector.find(seasonal(), 24.0, raw(name, direction="pos")).index
    assert SPIKE not in detector.find(seasonal(), 24.0, raw(name, direction="neg")).index


def test_anomalies_stand_in_row_order_with_one_score_above_one_each(detector: Detector, name: str) -> None:
    values = seasonal()
    values[[50, 120, 300]] += (-80, 90, 50)
    found = detector.find(values, 24.0, raw(name))
    assert len(found.index) >= 4
    assert (np.diff(found.index) > 0).all()
    assert (found.score > 1).all()
    assert set(found.direction.tolist()) <= {-1, 1}
    assert len(found.index) == len(found.score) == len(found.expected) == len(found.direction)


def test_the_values_given_are_left_as_they_were(detector: Detector, name: str) -> None:
    values = seasonal()
    detector.find(values, 24.0, raw(name))
    np.testing.assert_array_equal(values, seasonal())


def test_a_constant_series_has_no_anomaly(detector: Detector, name: str) -> None:
    assert len(detector.find(np.full(ROWS, 170.0), 24.0, raw(name)).index) == 0


def _too_short() -> np.ndarray:
    return seasonal(30)


def _missing() -> np.ndarray:
    return np.full(ROWS, np.nan)


def _missing_within() -> np.ndarray:
    values = seasonal()
    values[100] = np.nan
    return values


@pytest.mark.parametrize("series", [_too_short, _missing, _missing_within, lambda: np.array([])])
def test_a_series_that_cannot_be_judged_is_refused(
    detector: Detector, name: str, series: Callable[[], np.ndarray]
) -> None:
    with pytest.raises(DataError) as caught:
        detector.find(series(), 24.0, raw(name))
    assert caught.value.message


def test_a_season_that_is_no_whole_number_of_steps_is_refused(detector: Detector, name: str) -> None:
    with pytest.raises(DataError, match="period"):
        detector.find(seasonal(), 24.0, raw(name, period_hours=7.5))


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
    one, split, two, short, dead = identities
    assert [(item.machine, item.sensor) for item in series] == [(m, s) for m in identities for s in ("volt", "rotate")]
    reasons = {(item.machine, item.sensor): item.reason for item in series}
    assert {key for key, reason in reasons.items() if reason} == {
        (split, "volt"),
        (split, "rotate"),
        (short, "volt"),
        (short, "rotate"),
        (dead, "rotate"),
    }
    assert reasons[split, "volt"] == "a gap of 73 h splits the series"
    spike_at = fleet(identities)["datetime"].iloc[SPIKE]
    spikes = found[found["datetime"] == spike_at]
    assert list(zip(spikes["machineID"], spikes["sensor"], strict=True)) == [
        (one, "volt"),
        (two, "volt"),
        (two, "rotate"),
        (dead, "volt"),
    ]
    counted = found.groupby(["machineID", "sensor"]).size().to_dict()
    assert {(item.machine, item.sensor): item.anomalies for item in series if item.anomalies} == counted
    assert {item.readings for item in series if not item.reason} == {ROWS}


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
    together, _ = find_anomalies(fleet((1, 2, 3, 10, 11)), step_us=HOUR_US, params=DetectParams(detector=name))
    alone, _ = find_anomalies(
        machine(3, seasonal(seed=3), seasonal(seed=4)), step_us=HOUR_US, params=DetectParams(detector=name)
    )
    pd.testing.assert_frame_equal(together[together["machineID"] == 3].reset_index(drop=True), alone)


def test_the_value_is_the_reading_as_judged(name: str) -> None:
    telemetry = machine(1, seasonal())
    plain, _ = find_anomalies(telemetry, step_us=HOUR_US, params=raw(name))
    smooth, _ = find_anomalies(telemetry, step_us=HOUR_US, params=DetectParams(detector=name, smooth_hours=3.0))
    volts = telemetry.set_index("datetime")["volt"]
    for anomalies, width in ((plain, 1), (smooth, 3)):
        own = anomalies[anomalies["sensor"] == "volt"]
        assert len(own)
        expected = volts.rolling(width, min_periods=1).mean().loc[own["datetime"]]
        np.testing.assert_allclose(own["value"], expected, rtol=1e-12)
