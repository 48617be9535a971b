from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pdm_cli.evaluation.evaluate import PredictedSpan
from pdm_cli.evaluation.timelines import Surroundings, choose_failures, cut_timeline, find_deviating_sensor
from pdm_cli.features.robust_z import ZScores
from tests.builders.fleets import EPOCH_US, HOUR_US, instants_of, running

HOURS = np.arange(0, 200)
FAILED = 100


def stamp(hour: float) -> pd.Timestamp:
    return pd.Timestamp(EPOCH_US + round(hour * HOUR_US), unit="us")


def warnings_of(*rows: tuple[float, float]) -> pd.DataFrame:
    """Hour of the failure, and the warning it had."""
    return pd.DataFrame(
        {
            "machineID": 1,
            "datetime": [stamp(hour) for hour, _ in rows],
            "component": "comp1",
            "warning_hours": [warning for _, warning in rows],
        }
    )


@pytest.fixture
def around() -> Surroundings:
    """Two machines for 200 hours; volt of machine 1 is high in the day before it fails."""
    codes = np.repeat([0, 1], len(HOURS))
    hours = np.tile(HOURS, 2)
    volt = 170.0 + 30.0 * ((codes == 0) & (hours > FAILED - 24) & (hours <= FAILED))
    telemetry = pd.DataFrame(
        {
            "machineID": codes + 1,
            "datetime": [stamp(hour) for hour in hours],
            "volt": volt,
            "rotate": 450.0 + codes,
        }
    )
    z = np.column_stack([(volt - 170) / 15, np.where(hours % 2, 0.5, -0.5)])
    times = EPOCH_US + hours.astype(np.int64) * HOUR_US
    rows = instants_of([(machine, float(hour)) for machine in (1, 2) for hour in range(0, 200, 3)])
    probabilities = np.where((rows.codes == 0) & (rows.times > EPOCH_US + 70 * HOUR_US), 0.8, 0.1)[:, None]
    anomalies = pd.DataFrame(
        {
            "machineID": [1, 1, 1, 2],
            "datetime": [stamp(hour) for hour in (20, 80, 90, 80)],
            "kind": ["volt", "volt", "rotate", "volt"],
            "value": [1.0, 2.0, 3.0, 4.0],
        }
    )
    span = PredictedSpan(
        rows,
        np.zeros_like(probabilities),
        probabilities,
        probabilities > 0.5,
        pd.DataFrame(),
        running([0, 0]),
        np.zeros(2, np.int64),
    )
    scores = ZScores(pd.Index([1, 2]), codes, times, ["volt", "rotate"], z)
    return Surroundings(telemetry, scores, anomalies, span, ["comp1"], 24.0)


def cut(around: Surroundings) -> dict[str, Any]:
    return cut_timeline(warnings_of((FAILED, 24.0)).iloc[0], around)


def test_the_typical_catch_and_the_first_miss_stand_for_all() -> None:
    warnings = warnings_of((9, 48.0), (8, 45.0), (7, 3.0), (6, 45.0), (5, np.nan), (4, np.nan))
    assert choose_failures(warnings) == {"caught": 3, "missed": 5}


def test_where_nothing_was_missed_the_shortest_warning_is_shown() -> None:
    assert choose_failures(warnings_of((9, 48.0), (8, 45.0), (7, 3.0))) == {"caught": 1, "latest": 2}
    assert choose_failures(warnings_of((9, 45.0), (8, 45.0))) == {"caught": 1}
    assert choose_failures(warnings_of((9, np.nan))) == {"missed": 0}
    assert choose_failures(warnings_of()) == {}


def test_find_deviating_sensor_before_the_failure(around: Surroundings) -> None:
    assert find_deviating_sensor(around.scores, 1, EPOCH_US + FAILED * HOUR_US, horizon_hours=24.0) == "volt"
    low = replace(around.scores, z=around.scores.z * [0.0, 1.0] - [0.0, 3.0])
    assert find_deviating_sensor(low, 2, EPOCH_US + FAILED * HOUR_US, horizon_hours=24.0) == "rotate"
    unknown = replace(around.scores, z=np.full_like(around.scores.z, np.nan))
    assert find_deviating_sensor(unknown, 2, EPOCH_US + FAILED * HOUR_US, horizon_hours=24.0) == "volt"


def test_hours_count_from_the_failure_of_that_machine_alone(around: Surroundings) -> None:
    line = cut(around)
    assert (line["machine"], line["component"], line["sensor"], line["warning_hours"]) == (1, "comp1", "volt", 24.0)
    assert line["readings"]["hours"] == [float(hour) for hour in range(-60, 7)]
    assert line["readings"]["values"] == [200.0 if -24 < hour <= 0 else 170.0 for hour in range(-60, 7)]
    assert line["anomalies"] == {"hours": [-20.0], "values": [2.0]}
    said = line["prediction"]
    assert said["hours"] == [float(hour - FAILED) for hour in range(42, 107, 3)]
    assert said["alert"] == [hour > -30 for hour in said["hours"]]


def test_no_anomalies_are_not_the_same_as_none_looked_for(around: Surroundings) -> None:
    assert cut(replace(around, anomalies=None))["anomalies"] is None
    empty = around.anomalies
    assert empty is not None
    assert cut(replace(around, anomalies=empty.head(0)))["anomalies"] == {"hours": [], "values": []}


def test_many_readings_become_means_of_neighbours(around: Surroundings) -> None:
    count = 2001
    hours = np.linspace(FAILED - 60, FAILED + 6, count)
    values = np.arange(count, dtype=np.float64)
    values[:6] = np.nan
    telemetry = pd.DataFrame({"machineID": 1, "datetime": [stamp(h) for h in hours], "volt": values, "rotate": 0.0})
    readings = cut(replace(around, telemetry=telemetry))["readings"]
    assert readings["averaged"] == 6
    assert len(readings["hours"]) == len(readings["values"]) == -(-count // 6)
    assert readings["values"][:3] == [None, 8.5, 14.5]
