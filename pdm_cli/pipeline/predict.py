"""Predict failures: probabilities, alerts, the work list with reasons, data health and drift."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import NotEnoughData
from pdm_cli.pipeline.score import Forecast, cut_forecast, find_trained, score
from pdm_cli.pipeline.stages import SHORTAGE
from pdm_cli.progress import Progress
from pdm_cli.settings.model import PredictParams

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.pipeline.execute import Task
    from pdm_cli.scoring.explanation import Reason
    from pdm_cli.scoring.worklist import Predictions

# Reasons of a line of the work list at most.
_MOST_REASONS = 3
# Components listed as closest to an alert at most.
_MOST_NEAREST = 10


def predict(task: Task) -> dict[str, Any]:
    """Write predictions, alert episodes, work list and drift, and return the summary."""
    import numpy as np

    from pdm_cli.evaluation.drift import AGEING, DIFFERENT
    from pdm_cli.pipeline.alarm_budget import describe_budget
    from pdm_cli.pipeline.by_age import write_by_age
    from pdm_cli.pipeline.choose_windows import report_trained
    from pdm_cli.pipeline.model_test import read_test
    from pdm_cli.scoring.worklist import escape_formulas
    from pdm_cli.text import as_records
    from pdm_cli.timestamps import show
    from pdm_cli.training.validate_settings import check_prediction_span

    params, budget = task.settings.predict, task.settings.alerts.alarm_budget
    check_prediction_span(params)
    forecast = _score(task)
    report_trained(forecast.recipe.settings.labels, task.progress)
    rows = _select_rows(forecast, params)
    times = forecast.instants.times[rows]
    episodes = _write_predictions(task.out, forecast, rows)
    ended = _find_ended(forecast)
    worklist = _rank_work(forecast, ended)
    # One date format, even if all times are midnights.
    escape_formulas(worklist).to_csv(task.out / "worklist.csv", index=False, date_format="%Y-%m-%d %H:%M:%S")
    drift_rows = _select_drift_rows(forecast, params)
    drift = _measure_drift(forecast, drift_rows)
    escape_formulas(drift).to_csv(task.out / "drift.csv", index=False)
    labels, trained = forecast.recipe.settings.labels, forecast.recipe.trained
    return {
        "schema": "pdm.predict/1",
        "rows": int(rows.sum()),
        "machines": len(np.unique(forecast.instants.codes[rows])),
        "start": show(int(times.min())),
        "end": show(int(times.max())),
        "alerts": int(forecast.alerts[rows].sum()),
        "episodes": episodes,
        **_check_health(forecast, ended, task.progress),
        "worklist": as_records(worklist),
        "nearest": as_records(_find_nearest(forecast, ended)),
        "by_age": write_by_age(task.out, forecast, ended),
        "drift_rows": len(drift_rows),
        "drift": as_records(drift[(drift["stability_index"] >= DIFFERENT) & ~drift["family"].isin(AGEING)]),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
        "trained": {key: trained[key] for key in ("cutoff", "test_start")},
        "model_test": read_test(task.inputs["model"]),
        **({} if budget is None else {"alarm_budget": describe_budget(forecast.bundle, budget)}),
        **({SHORTAGE: forecast.shortage} if forecast.shortage else {}),
        **task.units.summary(),
    }


def _score(task: Task) -> Forecast:
    """Return the forecast for the raw tables, up to ``--until``."""
    from pdm_cli.io import bundle
    from pdm_cli.timestamps import microseconds
    from pdm_cli.units import exact_time, option_time

    work, until = task.out / "work", task.settings.predict.until
    work.mkdir()
    loaded = bundle.load(task.inputs["model"])
    forecast = score(loaded, task.inputs["data"], work, settings=task.settings, progress=task.progress)
    shutil.rmtree(work)
    if until is None:
        return forecast
    end = int(forecast.instants.times.max())
    if microseconds(until) > end:
        task.progress.warn(
            f"--until {option_time(microseconds(until))}: the telemetry ends at {exact_time(end)}, so the work list is "
            "as of that time"
        )
    return cut_forecast(forecast, microseconds(until))


def _select_rows(forecast: Forecast, params: PredictParams) -> NDArray[np.bool_]:
    import numpy as np

    from pdm_cli.timestamps import microseconds
    from pdm_cli.units import exact_time

    instants = forecast.instants
    rows = np.ones(len(instants.times), np.bool_)
    if params.latest:
        rows = instants.times == instants.ends()[instants.codes]
    if params.since is not None:
        rows &= instants.times >= microseconds(params.since)
    if params.since is not None and not rows.any():
        raise NotEnoughData(
            f"telemetry.parquet: no reading since {exact_time(microseconds(params.since))} (--since); the last is "
            f"{exact_time(int(instants.times.max()))}",
            hint="set an earlier --since",
        )
    return rows


def _write_predictions(out: Path, forecast: Forecast, rows: NDArray[np.bool_]) -> int:
    """Write the predictions of some rows and the alert episodes since the first of them; return their number."""
    import numpy as np
    import pandas as pd

    from pdm_cli.io import parquet
    from pdm_cli.schema import PREDICTIONS
    from pdm_cli.scoring.worklist import add_hours, find_alert_episodes, list_predictions

    instants, components = forecast.instants, forecast.components
    predictions = list_predictions(instants, forecast.probabilities, forecast.alerts, components, rows=rows)
    hours = forecast.hours_to_failure(np.flatnonzero(rows))
    if hours is not None:
        predictions = add_hours(predictions, hours)
    parquet.write_frame(out / PREDICTIONS.file, predictions)
    merge_hours = forecast.recipe.settings.train.merge_hours
    episodes = find_alert_episodes(instants, forecast.alerts, components, merge_hours=merge_hours)
    first = pd.Timestamp(int(instants.times[rows].min()), unit="us")
    episodes = episodes[episodes["end"] >= first].reset_index(drop=True)
    parquet.write_frame(out / "episodes.parquet", episodes)
    return len(episodes)


def _find_ended(forecast: Forecast) -> NDArray[np.bool_]:
    """Return which machines have failed for good, or were taken out."""
    import pandas as pd

    from pdm_cli.features.labels import follow_up, last_readings
    from pdm_cli.schema import FAILURES, MACHINE, TIME
    from pdm_cli.scoring.data_health import find_ended

    instants, labels = forecast.instants, forecast.recipe.settings.labels
    ends = last_readings(forecast.context.sources.telemetry)
    failures = forecast.renewals.get(FAILURES.name, pd.DataFrame({MACHINE: ends.index[:0], TIME: ends.to_numpy()[:0]}))
    # Later failures are the future that the work list is about.
    known = follow_up(ends, failures[failures[TIME] <= ends.max()], instants.machines, params=labels)
    return find_ended(instants, known, horizon_hours=forecast.silent_hours)


def _gather(forecast: Forecast) -> Predictions:
    from pdm_cli.scoring.worklist import Predictions

    return Predictions(forecast.instants, forecast.probabilities, forecast.alerts, forecast.components)


def _find_now(forecast: Forecast) -> int:
    """Return the newest reading of all machines, in microseconds since 1970."""
    from pdm_cli.schema import TIME
    from pdm_cli.timestamps import microseconds

    return microseconds(forecast.context.sources.telemetry[TIME].max())


def _rank_work(forecast: Forecast, ended: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the work list with the hours to failure, and its reasons."""
    import numpy as np

    from pdm_cli.scoring.data_health import is_silent
    from pdm_cli.scoring.worklist import add_hours, rank_work

    worklist = rank_work(
        _gather(forecast),
        forecast.renewals,
        now_us=_find_now(forecast),
        ended=ended,
        silent=is_silent(forecast.instants, forecast.silent_hours),
        labels=forecast.recipe.settings.labels,
    )
    rows, columns = _find_rows(forecast, worklist)
    hours = forecast.hours_to_failure(rows)
    if hours is not None:
        worklist = add_hours(worklist, hours[np.arange(len(rows)), columns])
    return worklist.assign(reasons=_describe_reasons(forecast, rows, columns))


def _find_rows(forecast: Forecast, worklist: pd.DataFrame) -> tuple[NDArray[np.intp], list[int]]:
    """Return the row and the position of the component of each line of the work list."""
    import numpy as np
    import pandas as pd

    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.scoring.explanation import row_until

    instants = forecast.instants
    codes = instants.machines.get_indexer(pd.Index(worklist[MACHINE])).tolist()
    times = to_microseconds(worklist[TIME]).tolist()
    rows = np.array([row_until(instants, *each) for each in zip(codes, times, strict=True)], np.intp)
    return rows, [forecast.components.index(name) for name in worklist["component"]]


def _describe_reasons(forecast: Forecast, rows: NDArray[np.intp], columns: list[int]) -> list[str]:
    import numpy as np

    from pdm_cli.features.describe import describe_feature, feature_topic, is_unusual
    from pdm_cli.scoring.explanation import top_reasons, typical_values

    table, recipe = forecast.table, forecast.recipe
    added = forecast.bundle.model.explain(table, rows)[np.arange(len(rows)), columns]
    values = table.matrix(table.names, rows)
    known = recipe.vocabulary.categories
    # More than are listed, as some of them may be of no use to a reader.
    reasons = top_reasons(added, table.names, values, most=2 * _MOST_REASONS, categories=known, topic_of=feature_topic)
    usual = typical_values(forecast.bundle.fingerprint, recipe.categorical)

    def describe(row: list[Reason]) -> str:
        seen = [reason for reason in row if is_unusual(reason.name, reason.value, typical=usual[reason.name].median)]
        return "; ".join(
            describe_feature(reason.name, reason.value, typical=usual[reason.name].median)
            for reason in (seen or row)[:_MOST_REASONS]
        )

    return [describe(row) for row in reasons]


def _find_nearest(forecast: Forecast, ended: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the components close to an alert."""
    from pdm_cli.scoring.data_health import is_silent
    from pdm_cli.scoring.worklist import find_nearest

    return find_nearest(
        _gather(forecast),
        forecast.renewals,
        now_us=_find_now(forecast),
        thresholds=[rule.on for rule in forecast.bundle.model.rules],
        left_out=is_silent(forecast.instants, forecast.silent_hours) | ended,
        labels=forecast.recipe.settings.labels,
        most=_MOST_NEAREST,
    )


def _check_health(forecast: Forecast, ended: NDArray[np.bool_], progress: Progress) -> dict[str, Any]:
    """Return ended and silent machines and dead sensors; warn of them, and of telemetry that is too short."""
    from pdm_cli.text import show_count

    _check_span(forecast, progress)
    if ended.any():
        count = int(ended.sum())
        verb, subject = ("has", "it is") if count == 1 else ("have", "they are")
        progress.info(
            f"{count:,} of {show_count(len(ended), 'machine')} {verb} failed, or stopped long ago; {subject} not on "
            "the work list"
        )
    return {
        "ended": int(ended.sum()),
        "silent": _find_silent(forecast, ended, progress),
        "dead_sensors": _find_dead_sensors(forecast, progress),
    }


def _check_span(forecast: Forecast, progress: Progress) -> None:
    from pdm_cli.features.events import Instants
    from pdm_cli.features.machine_levels import LevelWindows
    from pdm_cli.schema import TIME
    from pdm_cli.units import current, show_days

    times, settings = forecast.context.sources.telemetry[TIME], forecast.recipe.settings
    train = settings.train
    windows = (*settings.features.windows_hours, *train.count_hours, train.shift_hours)
    # Each reading in a window is itself standardised by the z-score window before it.
    usual = LevelWindows.of(settings.labels.horizon_hours, train.z_window_hours).usual_hours
    needed = max(max(windows) + train.z_window_hours, usual) / 24
    seconds = (times.max() - times.min()).total_seconds()
    trained_us = forecast.recipe.trained.get("span_us")
    as_trained = trained_us is not None and round(seconds * 1e6) >= trained_us
    # A machine that counts its cycles from 1 has no earlier history.
    last_start = Instants.of(forecast.context.sources.telemetry).starts().max()
    is_complete = current().counts_cycles and current().cycle_of(int(last_start)) <= 1
    if seconds / 86_400 < needed and not is_complete and not as_trained:
        progress.warn(
            f"telemetry spans only {show_days(seconds / 86_400, '.3g')}, but features look back up to "
            f"{show_days(needed, '.3g')}: pass the complete history, not only the newest part"
        )


def _find_silent(forecast: Forecast, ended: NDArray[np.bool_], progress: Progress) -> dict[str, Any]:
    """Return how many machines' telemetry ended long before the others', and the first ones."""
    from pdm_cli.preparation.quality import FIRST_ROWS
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.scoring.data_health import find_silent
    from pdm_cli.text import as_records
    from pdm_cli.timestamps import microseconds
    from pdm_cli.units import exact_time, show_hours

    instants, hours = forecast.instants, forecast.recipe.settings.labels.horizon_hours
    silent = find_silent(instants, ended, horizon_hours=forecast.silent_hours)
    if len(silent):
        first, last = silent[MACHINE].iloc[0], silent[TIME].iloc[0]
        progress.warn(
            f"{len(silent):,} of {len(instants.machines):,} machines sent nothing for more than {show_hours(hours)} "
            f"before the newest reading ({exact_time(int(instants.times.max()))}), first {first} (since "
            f"{exact_time(microseconds(last))}); "
            "their predictions are as of their last reading"
        )
    return {"count": len(silent), "first": as_records(silent.head(FIRST_ROWS))}


def _find_dead_sensors(forecast: Forecast, progress: Progress) -> list[dict[str, Any]]:
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.scoring.data_health import find_dead_sensors
    from pdm_cli.text import as_records
    from pdm_cli.units import exact_time, show_hours

    hours, total = forecast.recipe.settings.labels.horizon_hours, len(forecast.instants.machines)
    dead = find_dead_sensors(forecast.context.sources.telemetry, horizon_hours=hours)
    for row, since in zip(dead.itertuples(), to_microseconds(dead["since"]).tolist(), strict=True):
        progress.warn(
            f"no reading of {row.sensor} for more than {show_hours(hours)} on {row.machines:,} of {total:,} machines, "
            f"first {row.first} (since {exact_time(since)}); their predictions rely on the other sensors"
        )
    return as_records(dead)


def _select_drift_rows(forecast: Forecast, params: PredictParams) -> NDArray[np.intp]:
    """Return the rows to measure drift on: from ``--since`` on, and none that the model may have been trained on."""
    import numpy as np

    from pdm_cli.timestamps import microseconds, read_stamp

    instants, trained = forecast.instants, forecast.recipe.trained
    since = np.ones(len(instants.times), np.bool_)
    if params.since is not None:
        since = instants.times >= microseconds(params.since)
    # Machines unknown to the model are new to it even before its cutoff.
    is_known = find_trained(forecast.recipe, instants.machines)[instants.codes]
    return np.flatnonzero(since & (~is_known | (instants.times > read_stamp(trained["cutoff"]))))


def _measure_drift(forecast: Forecast, rows: NDArray[np.intp]) -> pd.DataFrame:
    """Return the stability index of each feature of the model, largest first; NaN if there are too few rows."""
    import numpy as np
    import pandas as pd

    from pdm_cli.evaluation.drift import MIN_ROWS, has_enough_windows, population_stability

    fingerprint, table = forecast.bundle.fingerprint, forecast.table
    names = fingerprint.features
    family_of = dict(zip(table.names, table.families, strict=True))
    index = np.full(len(names), np.nan)
    if len(rows) >= MIN_ROWS:
        index = population_stability(fingerprint, table.matrix(names, rows))
        instants = forecast.instants
        index[~has_enough_windows(names, instants.codes[rows], instants.times[rows])] = np.nan
    drift = pd.DataFrame({"feature": names, "family": [family_of[name] for name in names], "stability_index": index})
    return drift.sort_values("stability_index", ascending=False, kind="stable").reset_index(drop=True)
