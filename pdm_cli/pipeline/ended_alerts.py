"""Alerts of the work list that are off at the machine's last reading, from the files of a predict folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def mark_ended_alerts(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of predictions with a mark on each row of the work list whose alert has turned off.

    The mark is for screens and pages; the files do not have it.

    Parameters
    ----------
    folder : Path
        Written by ``pdm predict``; without its predictions, nothing is marked.
    summary : dict
        Of the folder.

    Returns
    -------
    dict
        Rows with a mark have ``ended``: ``since``, the first row with the alert off, ``None`` if that row was not
        written; and ``probability``, that of the machine's last row.
    """
    from pdm_cli.io import parquet
    from pdm_cli.schema import MACHINE, PREDICTIONS

    work, path = summary["worklist"], folder / PREDICTIONS.file
    if not work or not path.is_file():
        return summary
    frame = parquet.read_frame(path)
    frame = frame[frame[MACHINE].isin([row[MACHINE] for row in work])]
    predictions = dict(iter(frame.groupby([MACHINE, "component"], sort=False)))
    return {**summary, "worklist": [_mark(row, predictions.get((row[MACHINE], row["component"]))) for row in work]}


def _mark(row: dict[str, Any], predictions: pd.DataFrame | None) -> dict[str, Any]:
    """Return a row of the work list, with a mark if there are later predictions than the last with the alert on."""
    import pandas as pd

    from pdm_cli.schema import TIME

    last_on = pd.Timestamp(row[TIME])
    if predictions is None or predictions[TIME].max() <= last_on:
        return row
    own = predictions.sort_values(TIME)
    later = own[own[TIME] > last_on]
    # With --latest or --since, the first row with the alert off may be missing.
    has_start = bool((own[TIME] == last_on).any())
    since = later[TIME].iloc[0].isoformat() if has_start else None
    return {**row, "ended": {"since": since, "probability": float(later["probability"].iloc[-1])}}
