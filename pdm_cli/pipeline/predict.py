"""Predict failures from raw tables with a trained model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import NotEnoughData
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.io.bundle import Bundle
    from pdm_cli.pipeline.runner import Task
    from pdm_cli.pipeline.score import Forecast


def foretell(task: Task) -> dict[str, Any]:
    """Write predictions, episodes, work list and drift, and return the summary."""
    import numpy as np

    from pdm_cli.evaluation.drift import AGEING, DIFFERENT
    from pdm_cli.io import bundle
    from pdm_cli.pipeline.data_health import find_amiss
    from pdm_cli.pipeline.worklist import look_nearest, rank
    from pdm_cli.scoring.worklist import guard_formulas
    from pdm_cli.text import as_records
    from pdm_cli.timestamps import show

    loaded = bundle.load(task.inputs["model"])
    forecast = _make_forecast(task, loaded)
    instants = forecast.context.instants
    rows = _wanted_rows(forecast, task.settings)
    times = instants.times[rows]
    episodes = _write_predictions(task.out, loaded, forecast, rows)
    worklist = rank(loaded, forecast)
    # One form of dates, also where all of them are midnights.
    guard_formulas(worklist).to_csv(task.out / "worklist.csv", index=False, date_format="%Y-%m-%d %H:%M:%S")
    looked_at = _rows_for_drift(loaded, forecast, task.settings)
    drift = _drift(loaded, forecast, looked_at)
    guard_formulas(drift).to_csv(task.out / "drift.csv", index=False)
    return {
        "schema": "pdm.predict/1",
        "rows": int(rows.sum()),
        "machines": len(np.unique(instants.codes[rows])),
        "start": show(int(times.min())),
        "end": show(int(times.max())),
        "alerts": int(forecast.alerts[rows].sum()),
        "episodes": episodes,
        **find_amiss(loaded, forecast, task.progress),
        "worklist": as_records(worklist),
        "nearest": as_records(look_nearest(loaded, forecast, worklist)),
        "drift_rows": len(looked_at),
        "drift": as_records(drift[(drift["stability_index"] >= DIFFERENT) & ~drift["family"].isin(AGEING)]),
        **_describe_model(loaded),
    }


def _make_forecast(task: Task, loaded: Bundle) -> Forecast:
    """Return what the model says of the raw tables, up to ``--until``."""
    from pdm_cli.pipeline.score import cut_forecast, make_forecast
    from pdm_cli.timestamps import microseconds, show

    work, until = task.out / "work", task.settings.predict.until
    work.mkdir()
    forecast = make_forecast(loaded, task.inputs["data"], work, settings=task.settings, progress=task.progress)
    shutil.rmtree(work)
    if until is None:
        return forecast
    end = int(forecast.context.instants.times.max())
    if microseconds(until) > end:
        task.progress.warn(
            f"--until {show(microseconds(until))}: the telemetry ends {show(end)}; the work list is of then"
        )
    return cut_forecast(forecast, microseconds(until))


def _write_predictions(out: Path, loaded: Bundle, forecast: Forecast, rows: NDArray[np.bool_]) -> int:
    """Write the predictions of some rows and the episodes of alerts since the first of them; return how many."""
    import pandas as pd

    from pdm_cli.io import parquet
    from pdm_cli.schema import PREDICTIONS
    from pdm_cli.scoring.worklist import find_alert_episodes, list_predictions

    instants, components = forecast.context.instants, loaded.model.components
    predictions = list_predictions(instants, forecast.probabilities, forecast.alerts, components, rows=rows)
    parquet.write_frame(out / PREDICTIONS.file, predictions)
    merge_hours = loaded.recipe.settings.train.merge_hours
    episodes = find_alert_episodes(instants, forecast.alerts, components, merge_hours=merge_hours)
    first = pd.Timestamp(int(instants.times[rows].min()), unit="us")
    episodes = episodes[episodes["end"] >= first].reset_index(drop=True)
    parquet.write_frame(out / "episodes.parquet", episodes)
    return len(episodes)


def _describe_model(loaded: Bundle) -> dict[str, Any]:
    labels, trained = loaded.recipe.settings.labels, loaded.recipe.trained
    return {
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
        "trained": {key: trained[key] for key in ("cutoff", "test_start")},
    }


def _wanted_rows(forecast: Forecast, settings: Settings) -> NDArray[np.bool_]:
    import numpy as np

    from pdm_cli.timestamps import microseconds, show

    instants = forecast.context.instants
    rows = np.ones(len(instants.times), np.bool_)
    if settings.predict.latest:
        rows = instants.times == instants.ends()[instants.codes]
    if settings.predict.since is not None:
        rows &= instants.times >= microseconds(settings.predict.since)
    if not rows.any():
        raise NotEnoughData(
            f"telemetry.parquet: no instant from --since on; the last is {show(int(instants.times.max()))}",
            hint="give an earlier --since",
        )
    return rows


def _rows_for_drift(loaded: Bundle, forecast: Forecast, settings: Settings) -> NDArray[np.intp]:
    """Return the rows that drift is told by: from ``--since`` on, and none that the model may have learned from."""
    import numpy as np

    from pdm_cli.evaluation.drift import LEAST_ROWS
    from pdm_cli.pipeline.score import find_trained
    from pdm_cli.timestamps import microseconds, read_stamp

    instants, trained, since = forecast.context.instants, loaded.recipe.trained, settings.predict.since
    wanted = np.ones(len(instants.times), np.bool_)
    if since is not None:
        wanted = instants.times >= microseconds(since)
    is_later = wanted & (instants.times > read_stamp(trained["cutoff"]))
    # Of a fleet that the model never saw, what came before its cutoff is new as well.
    is_enough = is_later.sum() >= LEAST_ROWS or find_trained(loaded.recipe, instants.machines).any()
    return np.flatnonzero(is_later if is_enough else wanted)


def _drift(loaded: Bundle, forecast: Forecast, rows: NDArray[np.intp]) -> pd.DataFrame:
    """Return the stability index of each feature of the model, the most moved first; NaN where rows are too few."""
    import numpy as np
    import pandas as pd

    from pdm_cli.evaluation.drift import LEAST_ROWS, population_stability

    names = loaded.fingerprint.features
    family_of = dict(zip(forecast.table.names, forecast.table.families, strict=True))
    index = np.full(len(names), np.nan)
    if len(rows) >= LEAST_ROWS:
        index = population_stability(loaded.fingerprint, forecast.table.matrix(names, rows))
    drift = pd.DataFrame({"feature": names, "family": [family_of[name] for name in names], "stability_index": index})
    return drift.sort_values("stability_index", ascending=False, kind="stable").reset_index(drop=True)
