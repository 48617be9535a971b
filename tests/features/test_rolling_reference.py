from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pdm_cli.features.rolling import rolling_features
from pdm_cli.settings.model import FeaturesParams
from tests.builders.rolling_reference import assert_same_features, slow_features
from tests.builders.tables import HOUR_US, clean

REFERENCE = os.environ.get("PDM_CLI_REFERENCE")

pytestmark = pytest.mark.skipif(
    REFERENCE is None,
    reason="the reference set is not ours to ship: set PDM_CLI_REFERENCE to the folder that holds data/",
)


@pytest.fixture(scope="module")
def telemetry() -> pd.DataFrame:
    """Telemetry of machines 1 to 5, one year."""
    path = Path(str(REFERENCE)) / "data" / "azure_pdm" / "telemetry.parquet"
    frame = pq.read_table(path, filters=pc.field("machineID") <= 5).to_pandas()
    columns = ["machineID", "datetime", "volt", "rotate", "pressure", "vibration"]
    return frame[columns].astype({"machineID": "int64"})


def test_cleaning_leaves_the_reference_set_as_it_is(telemetry: pd.DataFrame) -> None:
    cleaned, findings = clean(telemetry)
    pd.testing.assert_frame_equal(cleaned, telemetry)
    assert {name: finding.count for name, finding in findings.items() if finding.count} == {}


@pytest.mark.parametrize("windows", [(3.0, 12.0, 24.0), (4.0, 7.0)])
def test_features_of_the_reference_set_equal_slow_pandas(telemetry: pd.DataFrame, windows: tuple[float, ...]) -> None:
    params = FeaturesParams(windows_hours=windows, statistics=("mean", "std", "min", "max"))
    found = rolling_features(telemetry, step_us=HOUR_US, params=params)
    assert len(found) == 5 * 2921
    assert_same_features(found, slow_features(telemetry, step_hours=1, params=params))
