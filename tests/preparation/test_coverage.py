"""Almost no rolling features: whether it is noticed, and its cause and remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pdm_cli.features.rolling import rolling_features
from pdm_cli.preparation.coverage import Coverage, Shortage
from pdm_cli.settings.model import FeaturesParams

SECOND = 1_000_000
START = pd.Timestamp("2020-03-09 10:00")


def find_shortage(
    seconds: list[int], *, step: int, volt: float = 1.0, params: FeaturesParams | None = None
) -> Shortage | None:
    params = params or FeaturesParams()
    times = (START + pd.to_timedelta(seconds, unit="s")).astype("datetime64[us]")
    telemetry = pd.DataFrame({"machineID": 1, "datetime": times, "volt": volt})
    coverage = Coverage(step * SECOND)
    coverage.add(telemetry, rolling_features(telemetry, step_us=step * SECOND, params=params))
    return coverage.find_shortage(params)


def test_enough_features_are_no_shortage() -> None:
    assert find_shortage(list(range(0, 40 * 3600, 3600)), step=3600) is None


def test_short_runs_between_gaps_are_named_with_windows_that_fit_them() -> None:
    # Experiments of 20 minutes, as on a test rig.
    seconds = [hour * 3600 + second for hour in range(0, 60, 6) for second in range(0, 1200, 10)]
    shortage = find_shortage(seconds, step=10)
    assert shortage is not None
    assert not shortage.is_total or shortage.message.startswith("0 feature rows")
    assert "10 pieces without gaps, the longest 20min, but the grid is 3h and the windows are 3h, 12h, 1d" in (
        shortage.message
    )
    assert shortage.hint == "set --grid-hours 10s --windows-hours 10s,40s,80s"


def test_telemetry_shorter_than_the_grid_leaves_nothing() -> None:
    shortage = find_shortage([0, 600, 1200], step=600)
    assert shortage is not None
    assert shortage.is_total
    assert shortage.message.startswith("0 feature rows of 3 telemetry rows: the readings come in 1 piece")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_finite_reading_is_the_cause(value: float) -> None:
    shortage = find_shortage(list(range(0, 40 * 3600, 3600)), step=3600, volt=value)
    assert shortage == Shortage(
        "0 feature rows of 40 telemetry rows: no sensor has a finite reading",
        "add readings, or check --sensors and --ranges",
        is_total=True,
    )


def test_few_rows_of_a_short_log_ask_for_more() -> None:
    shortage = find_shortage(list(range(0, 20 * 3600, 3600)), step=3600, params=FeaturesParams(windows_hours=(3.0,)))
    assert shortage is not None
    assert shortage.warning() == (
        "only 6 feature rows of 20 telemetry rows: the readings cover 20h, for a grid of 3h; provide longer telemetry, "
        "or set a shorter --grid-hours"
    )
