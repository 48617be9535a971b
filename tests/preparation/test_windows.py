"""Grid, windows, lead time and horizon against the step and the span of the telemetry."""

from __future__ import annotations

import pandas as pd
import pytest

from pdm_cli.preparation.windows import (
    Log,
    WindowsDoNotFit,
    check_settings,
    check_windows,
    find_life,
    find_misfits,
    fit_settings,
    propose_windows,
)
from pdm_cli.settings.load import resolve
from pdm_cli.settings.model import FeaturesParams, LabelsParams

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
STEPS = [SECOND, 10 * SECOND, MINUTE, 7 * MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY]


@pytest.mark.parametrize("step_us", STEPS)
@pytest.mark.parametrize("span_us", [HOUR, DAY, 10 * DAY, 40 * DAY, 400 * DAY])
def test_proposal_of_any_step_and_span_fits_both(step_us: int, span_us: int) -> None:
    found = propose_windows(step_us, span_us)
    lengths = (found.grid_us, *found.windows_us, found.lead_time_us, found.horizon_us)
    assert all(length > 0 and length % step_us == 0 for length in lengths)
    assert max(lengths) <= max(span_us, step_us)
    assert found.horizon_us <= max(span_us // 12, step_us)
    assert found.grid_us <= found.lead_time_us <= found.horizon_us
    settings = resolve({**found.features, **found.labels}, environ={}).settings
    assert not find_misfits(step_us, settings.features)
    assert round(settings.labels.horizon_hours * HOUR) == found.horizon_us


@pytest.mark.parametrize("step_us", [SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR])
def test_proposal_where_the_defaults_fit_is_the_defaults(step_us: int) -> None:
    found = propose_windows(step_us, 365 * DAY)
    settings = resolve({**found.features, **found.labels}, environ={}).settings
    assert (settings.features, settings.labels) == (FeaturesParams(), LabelsParams())


def test_misfits_are_all_in_one_error_with_values_that_fit() -> None:
    with pytest.raises(WindowsDoNotFit) as caught:
        check_windows(DAY, FeaturesParams(windows_hours=(3.0, 24.0, 36.0)), span_us=39 * DAY)
    assert caught.value.message == (
        "telemetry: settings do not fit the step of 1d: --grid-hours 3h is shorter than the step; "
        "--windows-hours 3h,36h are not whole numbers of steps"
    )
    assert caught.value.hint == "use --grid-hours 1d --windows-hours 1d,3d,7d"
    hint = caught.value.hint
    with pytest.raises(WindowsDoNotFit) as caught:
        check_settings(Log(DAY, 39 * DAY), FeaturesParams(), LabelsParams(horizon_hours=240))
    assert "--lead-time-hours 3h is shorter" in caught.value.message
    assert "--horizon-hours 10d is too long for telemetry of 39d" in caught.value.message
    assert caught.value.hint == f"{hint} --lead-time-hours 1d --horizon-hours 3d"
    assert caught.value.exit_code == 4


def test_misfits_hint_keeps_set_values_that_fit() -> None:
    values = {"grid_hours": "10min", "windows_hours": "7min", "lead_time_hours": "2h", "horizon_hours": "30h"}
    settings = resolve(values, environ={}).settings
    with pytest.raises(WindowsDoNotFit) as caught:
        check_settings(Log(HOUR, 365 * DAY), settings.features, settings.labels)
    assert caught.value.message == (
        "telemetry: settings do not fit the step of 1h: --grid-hours 10min is shorter than the step; "
        "--windows-hours 7min is not a whole number of steps"
    )
    assert caught.value.hint == "use --grid-hours 1h --windows-hours 1h,4h,8h --lead-time-hours 2h --horizon-hours 30h"
    features = resolve({"grid_hours": "2h", "windows_hours": "90min"}, environ={}).settings.features
    with pytest.raises(WindowsDoNotFit) as caught:
        check_windows(HOUR, features, span_us=365 * DAY)
    assert caught.value.hint == "use --grid-hours 2h --windows-hours 2h,8h,16h"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        # Lives of engines, which all start at cycle 1 and run until they fail.
        (Log(HOUR, 361 * HOUR, 198 * HOUR, is_run_to_failure=True), "1h / 1h,4h,8h / 1h / 30h"),
        # The same lives in a log of calendar time.
        (Log(HOUR, 365 * DAY, 198 * HOUR), "1h / 1h,4h,8h / 1h / 30h"),
        # Disks, a reading per day.
        (Log(DAY, 39 * DAY, 27 * DAY), "1d / 1d,3d,7d / 1d / 3d"),
        (Log(DAY, 365 * DAY, 90 * DAY), "1d / 1d,3d,7d / 1d / 7d"),
        # A plant, and the reference fleet.
        (Log(10 * MINUTE, 365 * DAY, 153 * DAY), "3h / 3h,12h,24h / 3h / 48h"),
        (Log(HOUR, 365 * DAY, 75 * DAY), "3h / 3h,12h,24h / 3h / 48h"),
        (Log(SECOND, HOUR), "15s / 15s,60s,120s / 15s / 5min"),
        (Log(7 * DAY, 730 * DAY), "7d / 7d,21d,49d / 7d / 28d"),
    ],
)
def test_settings_without_a_value_fit_step_span_and_lives(log: Log, shown: str) -> None:
    features, labels = fit_settings(log, FeaturesParams(), LabelsParams())
    grid, windows, lead, horizon = shown.split(" / ")
    given = {"grid_hours": grid, "windows_hours": windows, "lead_time_hours": lead, "horizon_hours": horizon}
    expected = resolve(given, environ={}).settings
    assert (features, labels) == (expected.features, expected.labels)
    assert fit_settings(log, features, labels) == (features, labels)


@pytest.mark.parametrize("step_us", STEPS)
@pytest.mark.parametrize("life_us", [DAY, 10 * DAY, 100 * DAY])
def test_horizon_is_at_most_a_sixth_of_the_life_and_at_least_a_step(step_us: int, life_us: int) -> None:
    _, labels = fit_settings(Log(step_us, 4000 * DAY, life_us), FeaturesParams(), LabelsParams())
    assert step_us <= round(labels.horizon_hours * HOUR) <= max(life_us // 6, step_us)
    assert 0 < labels.lead_time_hours <= labels.horizon_hours


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"horizon_hours": "5d"}, (24.0, (24.0, 72.0, 168.0), 24.0, 120.0)),
        ({"grid_hours": "2d"}, (48.0, (48.0, 144.0, 336.0), 48.0, 72.0)),
        ({"windows_hours": "4d"}, (24.0, (96.0,), 24.0, 72.0)),
        ({"lead_time_hours": "2d"}, (24.0, (24.0, 72.0, 168.0), 48.0, 96.0)),
        ({"lead_time_hours": "0"}, (24.0, (24.0, 72.0, 168.0), 0.0, 72.0)),
        # A set value stays even where it does not fit.
        ({"grid_hours": "3h"}, (3.0, (24.0, 72.0, 168.0), 3.0, 72.0)),
    ],
)
def test_values_that_are_set_stay_and_the_others_follow(given: dict[str, str], shown: tuple[object, ...]) -> None:
    settings = resolve(given, environ={}).settings
    features, labels = fit_settings(Log(DAY, 39 * DAY), settings.features, settings.labels)
    assert (features.grid_hours, features.windows_hours, labels.lead_time_hours, labels.horizon_hours) == shown


def test_life_is_the_median_from_start_or_previous_failure_of_the_component() -> None:
    rows = [
        (1, 10, "pump"),
        (1, 30, "pump"),
        (1, 30, "valve"),
        # At the first reading, of an unknown machine, and long after the telemetry: no life.
        (2, 0, "pump"),
        (9, 7, "pump"),
        (2, 4000, "valve"),
    ]
    failures = pd.DataFrame(
        {
            "machineID": [machine for machine, _, _ in rows],
            "datetime": pd.to_datetime([hour for _, hour, _ in rows], unit="h").astype("datetime64[us]"),
            "failure": [name for _, _, name in rows],
        }
    )
    spans = pd.DataFrame({"first": [0, 0], "last": [40 * HOUR, 40 * HOUR]}, index=[1, 2])
    assert find_life(failures, spans, HOUR) == (20 * HOUR, False)
    assert find_life(failures[:0], spans, HOUR) == (None, False)
    spans = pd.DataFrame({"first": [0, 0], "last": [31 * HOUR, 40 * HOUR]}, index=[1, 2])
    assert find_life(failures[:3], spans, HOUR) == (20 * HOUR, True)


def test_life_of_failures_with_dates_only_is_run_to_failure() -> None:
    days = pd.to_datetime([20, 30], unit="D").astype("datetime64[us]")
    failures = pd.DataFrame({"machineID": [1, 2], "datetime": days, "failure": "pump"})
    spans = pd.DataFrame({"first": 0, "last": [20 * DAY + 17 * HOUR, 30 * DAY + 9 * HOUR]}, index=[1, 2])
    assert find_life(failures, spans, HOUR) == (25 * DAY, True)
    assert find_life(failures, spans + 2 * DAY, HOUR) == (23 * DAY, False)


@pytest.mark.parametrize(
    ("log", "text"),
    [
        (Log(HOUR, 361 * HOUR, 198 * HOUR, is_run_to_failure=True), "a step of 1h and a typical life of 198h"),
        (Log(DAY, 39 * DAY, 648 * HOUR), "a step of 1d, telemetry of 39d and a typical life of 27d"),
        (Log(10 * MINUTE, 525_590 * MINUTE), "a step of 10min and telemetry of 365d"),
        (Log(HOUR, 50_001 * HOUR), "a step of 1h and telemetry of 2,083d"),
    ],
)
def test_reason_of_the_choice_is_readable(log: Log, text: str) -> None:
    assert log.describe() == text
