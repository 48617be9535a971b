"""What worker processes do of ``pdm detect-anomalies``: apart from the command, so that they import no command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.settings.model import DetectParams

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.anomalies.detectors import SeriesResult


def warm_up() -> None:
    """Import what :func:`judge_row_group` needs, before it is known what to judge."""


def judge_row_group(
    path: Path, step_us: int, params: DetectParams, group: int
) -> tuple[pd.DataFrame, pd.DataFrame, list[SeriesResult]]:
    """Return the anomalies of a row group, the spans not judged, and what became of each series.

    Parameters
    ----------
    path : Path
        Prepared telemetry.
    step_us : int
        Its step in microseconds.
    params : DetectParams
        Mode and settings.
    group : int
        Number of the row group, from 0.

    Raises
    ------
    DataError
        If it is not as ``pdm preprocess`` leaves it.
    """
    from pdm_cli.anomalies.detectors import find_anomalies, list_unjudged
    from pdm_cli.io import parquet
    from pdm_cli.preparation.cleaning import check_prepared
    from pdm_cli.schema import MACHINE

    telemetry = parquet.read_row_group(path, group)
    check_prepared(telemetry, step_us)
    anomalies, found = find_anomalies(telemetry, step_us=step_us, params=params)
    return anomalies, list_unjudged(found, telemetry[MACHINE].dtype), found
