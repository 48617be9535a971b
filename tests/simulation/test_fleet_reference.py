"""Simulated fleets behave like the reference set."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pdm_cli.simulation.fleet import COMPONENTS, SENSORS, SHIFT_HOURS, Component, Fleet, simulate_fleet

Tables = dict[str, pd.DataFrame]
REFERENCE = os.environ.get("PDM_CLI_REFERENCE")

pytestmark = pytest.mark.skipif(
    REFERENCE is None,
    reason="the reference set is not ours to ship: set PDM_CLI_REFERENCE to the folder that holds data/",
)

MACHINES, HOURS = 100, 365 * 24 + 1
START = pd.Timestamp("2015-01-01 06:00")
TOLERANCES = {
    # Relative, save where the number is a share or a correlation.
    "mean": pytest.approx(1.0, rel=0.01),
    "deviation": pytest.approx(1.0, rel=0.02),
    "noise": pytest.approx(1.0, rel=0.01),
    "skew": pytest.approx(0.0, abs=0.05),
    "autocorrelation": pytest.approx(0.0, abs=0.02),
    "shift": pytest.approx(1.0, rel=0.06),
    "failures": pytest.approx(1.0, rel=0.2),
    "errors": pytest.approx(1.0, rel=0.1),
    "errors before": pytest.approx(0.0, abs=0.03),
}


@pytest.fixture(scope="module")
def fleets() -> tuple[Tables, Tables]:
    """The simulated fleet and the reference set, the same size."""
    simulated = simulate_fleet(machines=MACHINES, days=365, seed=0)
    folder = Path(str(REFERENCE)) / "data" / "azure_pdm"
    names = [table.name for table in fields(Fleet) if table.name != "truth"]
    reference = {name: pd.read_parquet(folder / f"{name}.parquet") for name in names}
    reference["telemetry"] = reference["telemetry"].sort_values(["machineID", "datetime"], ignore_index=True)
    return {name: getattr(simulated, name) for name in names}, reference


def readings_of(tables: Tables, sensor: str) -> np.ndarray:
    return tables["telemetry"][sensor].to_numpy().reshape(MACHINES, HOURS)


def hours_of(events: pd.DataFrame) -> np.ndarray:
    return ((events["datetime"] - START) // pd.Timedelta(hours=1)).to_numpy()


def mean_shift(tables: Tables, component: str, sensor: str, lags: range) -> float:
    """Return how far a sensor is off its median at ``lags`` from the component's failures, on average."""
    failures = tables["failures"][tables["failures"]["failure"] == component]
    failures = failures[hours_of(failures) > 3 * SHIFT_HOURS]
    readings = readings_of(tables, sensor)
    at = hours_of(failures)[:, np.newaxis] + np.array(lags)
    found = readings[failures["machineID"].to_numpy()[:, np.newaxis] - 1, np.minimum(at, HOURS - 1)]
    return float(found.mean() - np.median(readings))


def share_with_error_before(tables: Tables, component: str, error: str) -> float:
    """Return the share of the component's failures with the error in the two days before."""
    failures = tables["failures"][tables["failures"]["failure"] == component]
    errors = tables["errors"][tables["errors"]["errorID"] == error]
    pairs = failures.reset_index().merge(errors, on="machineID", suffixes=("", "_error"))
    lead = pairs["datetime"] - pairs["datetime_error"]
    near = pairs[(lead >= pd.Timedelta(0)) & (lead <= pd.Timedelta(hours=SHIFT_HOURS))]
    return near["index"].nunique() / len(failures)


def autocorrelation(readings: np.ndarray, lag: int) -> float:
    centred = readings - readings.mean(axis=1, keepdims=True)
    return float((centred[:, lag:] * centred[:, :-lag]).mean() / np.square(centred).mean())


@pytest.mark.parametrize("sensor", SENSORS)
def test_readings_have_its_level_noise_and_memory(sensor: str, fleets: tuple[Tables, Tables]) -> None:
    ours, theirs = (readings_of(tables, sensor) for tables in fleets)
    assert ours.mean() / theirs.mean() == TOLERANCES["mean"]
    assert ours.std() / theirs.std() == TOLERANCES["deviation"]
    assert np.diff(ours).std() / np.diff(theirs).std() == TOLERANCES["noise"]
    skews = [pd.Series(readings.ravel()).skew() for readings in (ours, theirs)]
    assert skews[0] - skews[1] == TOLERANCES["skew"]
    for lag in (1, 6, 24, 48, 168):
        assert autocorrelation(ours, lag) - autocorrelation(theirs, lag) == TOLERANCES["autocorrelation"]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_failures_are_as_common_and_announce_themselves_alike(
    component: Component, fleets: tuple[Tables, Tables]
) -> None:
    name, sensor = component.name, component.sensor
    counts = [(tables["failures"]["failure"] == name).sum() for tables in fleets]
    assert counts[0] / counts[1] == TOLERANCES["failures"]
    for lags in (range(-48, -24), range(-24, 1)):
        both = [mean_shift(tables, name, sensor, lags) for tables in fleets]
        assert both[0] / both[1] == TOLERANCES["shift"]
    for lags in (range(-72, -49), range(1, 24)):
        assert abs(mean_shift(fleets[0], name, sensor, lags)) < 0.15 * abs(component.step)
    for error in component.own_errors:
        both = [share_with_error_before(tables, name, error) for tables in fleets]
        assert both[0] - both[1] == TOLERANCES["errors before"]


def test_the_events_are_as_many(fleets: tuple[Tables, Tables]) -> None:
    ours, theirs = fleets
    assert len(ours["failures"]) / len(theirs["failures"]) == TOLERANCES["failures"]
    assert len(ours["maint"]) / len(theirs["maint"]) == pytest.approx(1.0, rel=0.1)
    kinds = [tables["errors"]["errorID"].value_counts().sort_index() for tables in fleets]
    assert kinds[0].index.tolist() == kinds[1].index.tolist()
    for share in (kinds[0] / kinds[1]).tolist():
        assert share == TOLERANCES["errors"]


def test_a_few_machines_never_fail_and_old_ones_fail_more(
    fleets: tuple[Tables, Tables],
) -> None:
    for tables in fleets:
        counts = tables["failures"].groupby("machineID").size().reindex(tables["machines"]["machineID"], fill_value=0)
        assert 1 <= (counts == 0).sum() <= 4
        assert np.corrcoef(counts, tables["machines"]["age"])[0, 1] > 0.25
        by_model = counts.groupby(tables["machines"]["model"].to_numpy()).mean()
        assert by_model[["model1", "model2"]].min() > by_model[["model3", "model4"]].max()
