"""Measure the health of machines in prepared telemetry, without a log of failures."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import NotEnoughData
from pdm_cli.timestamps import HOURS_PER_MONTH, US_PER_HOUR, show

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.features.events import Instants
    from pdm_cli.pipeline.execute import Task
    from pdm_cli.scoring.health import HealthIndex, HealthRules

_WINDOW_HOURS, _HORIZONS = 72.0, 1.5
# Share of the log that is the reference by default: half of it up to the least number of windows, and at most another.
_SHARE, _LEAST_WINDOWS, _MOST_WINDOWS = 0.25, 7, 30
# If fewer machines than this have an alarm, those nearest to one are listed.
_FEW = 5
# Of the episodes of alarms, and of the bursts in the reference, so many are in the summary.
_MOST_EPISODES = 100
# From fewer maxima than this the rate of alarms is uncertain.
_FEW_MAXIMA = 20
EPISODES_FILE, RANKING_FILE = "episodes.parquet", "ranking.csv"


@dataclass(frozen=True)
class _Prepared:
    """Prepared tables, and the lengths of their steps in microseconds."""

    telemetry: pd.DataFrame
    instants: Instants
    logs: dict[str, pd.DataFrame]
    step_us: int
    grid_us: int

    def choose_days(self, window_hours: float) -> float:
        """Return the length of the reference unless it is set."""
        days = int(self.instants.times.max() - self.instants.times.min()) / US_PER_HOUR / 24
        least, most = (count * window_hours / 24 for count in (_LEAST_WINDOWS, _MOST_WINDOWS))
        return min(max(_SHARE * days, min(days / 2, least)), most)


def measure_health(task: Task) -> dict[str, Any]:
    """Write health, episodes of alarms and the ranked machines, and return the summary."""
    from pdm_cli.io import parquet
    from pdm_cli.report.findings import describe_bursts, describe_constant_sensors
    from pdm_cli.schema import HEALTH
    from pdm_cli.scoring.health import HealthRules
    from pdm_cli.scoring.health_tables import find_health_episodes, list_health, rank_machines
    from pdm_cli.scoring.worklist import escape_formulas
    from pdm_cli.text import show_count
    from pdm_cli.units import show_hours

    folder, params = task.inputs["prepared"], task.settings.health
    window = params.health_window_hours or _choose_window(folder)
    rules = HealthRules(window, params.alarms_per_machine_year / (12 * HOURS_PER_MONTH))
    prepared = _read(folder)
    days = params.reference_days or prepared.choose_days(window)
    index = _find_index(prepared, days, rules)
    if index.alarm.maxima < _FEW_MAXIMA:
        task.progress.warn(
            f"health: the rate of alarms is uncertain: calibrated on only {show_count(index.alarm.maxima, 'span')} of "
            f"{show_hours(rules.maximum_hours)}, all machines together; set more --reference-days"
        )
    merge_hours = window / 3
    described = {**_describe(index), "reference_days": days}
    for line in describe_constant_sensors(described):
        task.progress.warn(f"health: {line}")
    if doubts := describe_bursts(described):
        task.progress.warn(f"health: {doubts[0]}; {doubts[1]}")
    episodes = find_health_episodes(index, merge_hours=merge_hours)
    # Machines that count cycles have clocks of their own.
    stale_hours = math.inf if task.units.counts_cycles else window
    ranking = rank_machines(index, merge_hours=merge_hours, stale_hours=stale_hours)
    parquet.write_frame(task.out / HEALTH.file, list_health(index))
    parquet.write_frame(task.out / EPISODES_FILE, episodes)
    escape_formulas(ranking).to_csv(task.out / RANKING_FILE, index=False, date_format="%Y-%m-%d %H:%M:%S")
    return {
        "schema": "pdm.health/1",
        **described,
        "alarms_per_machine_year": params.alarms_per_machine_year,
        "window_hours": window,
        "episodes": len(episodes),
        "latest_episodes": _list_latest(episodes),
        **_list_machines(ranking),
        **task.units.summary(),
    }


def _choose_window(folder: Path) -> float:
    """Return the longest window: as usual, or as the horizon that preprocess chose."""
    from pdm_cli.pipeline.choose_windows import read_choice

    chosen = read_choice(folder)
    return _WINDOW_HOURS if chosen is None else _HORIZONS * float(chosen["horizon_hours"])


def _read(folder: Path) -> _Prepared:
    """Read the prepared tables.

    Raises
    ------
    DataError
        If a table is missing or damaged.
    NotEnoughData
        If there is no row of features.
    """
    from pdm_cli.features.events import Instants
    from pdm_cli.io import parquet
    from pdm_cli.preparation.cleaning import check_prepared
    from pdm_cli.schema import ERRORS, FEATURES, MACHINE, MAINT, TELEMETRY, TIME
    from pdm_cli.settings import load

    path = parquet.require_file(folder, TELEMETRY)
    rows = parquet.read_frame(parquet.require_file(folder, FEATURES), [MACHINE, TIME])
    if rows.empty:
        raise NotEnoughData(
            f"{TELEMETRY.file}: no feature rows, because no sensor has a finite reading",
            hint="add readings, or check --sensors and --ranges",
        )
    sections = json.loads(parquet.read_metadata(path).get("settings", "{}"))
    grid_hours = load.restore(sections, "prepared tables").features.grid_hours
    telemetry, step_us = parquet.read_frame(path), parquet.read_step(path)
    check_prepared(telemetry, step_us)
    logs = {
        table.name: parquet.read_frame(folder / table.file)
        for table in (ERRORS, MAINT)
        if (folder / table.file).is_file()
    }
    return _Prepared(telemetry, Instants.of(rows), logs, step_us, round(grid_hours * US_PER_HOUR))


def _find_index(prepared: _Prepared, days: float, rules: HealthRules) -> HealthIndex:
    """Return the health after a reference of this many days.

    Raises
    ------
    NotEnoughData
        If the reference is too short to calibrate alarms, or nothing comes after it.
    """
    from pdm_cli.scoring.health import FEWEST_MAXIMA, ReferenceTooShort, find_health
    from pdm_cli.text import show_count
    from pdm_cli.units import exact_time, show_hours, show_whole_days

    times = prepared.instants.times
    until = int(times.min()) + round(24 * days * US_PER_HOUR)
    if int(times.max()) <= until:
        raise NotEnoughData(
            f"telemetry.parquet: no row after the reference of {show_whole_days(days)} (--reference-days), which ends "
            f"at {exact_time(until)}",
            hint="set fewer --reference-days, or add telemetry",
        )
    try:
        return find_health(
            prepared.telemetry,
            prepared.instants,
            prepared.logs,
            until_us=until,
            rules=rules,
            step_us=prepared.step_us,
            grid_us=prepared.grid_us,
        )
    except ReferenceTooShort as exc:
        span = show_hours(rules.maximum_hours, ".4g")
        raise NotEnoughData(
            f"telemetry.parquet: the first {show_whole_days(days)} (--reference-days) are too short to calibrate "
            f"alarms: {show_count(exc.args[0], 'span')} of {span} with varying sensors, all machines together, and at "
            f"least {FEWEST_MAXIMA} are needed; the first {span} of each machine do not count",
            hint="use a longer log, or set more --reference-days or a shorter --health-window-hours",
        ) from exc


def _describe(index: HealthIndex) -> dict[str, Any]:
    import numpy as np

    from pdm_cli.text import as_records

    instants, known, alarm = index.instants, ~np.isnan(index.health), index.alarm
    return {
        "rows": len(known),
        "known_rows": int(known.sum()),
        "machines": len(np.unique(instants.codes)),
        "start": show(int(instants.times.min())),
        "end": show(int(instants.times.max())),
        "alarms": int(index.is_alarm.sum()),
        "level": {"deviation": alarm.level, "scale": alarm.scale, "maxima": alarm.maxima},
        "constant_sensors": [
            {"sensor": sensor, "health": None if math.isnan(health) else health}
            for sensor, health in index.constant.items()
        ],
        "reference_bursts": as_records(index.bursts.head(_MOST_EPISODES)),
    }


def _list_latest(episodes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the latest episodes of alarms, newest first."""
    from pdm_cli.text import as_records

    latest = episodes.sort_values("end", ascending=False, kind="stable").head(_MOST_EPISODES)
    return as_records(latest[["machineID", "start", "end", "health", "sensors"]])


def _list_machines(ranking: pd.DataFrame) -> dict[str, Any]:
    """Return the machines with an alarm, and if they are few, those nearest to one."""
    from pdm_cli.text import as_records

    is_on = ranking["since"].notna()
    nearest = ranking[~is_on & ~ranking["is_stale"]].head(max(_FEW - int(is_on.sum()), 0))
    columns = ["machineID", "health", "datetime", "sensors"]
    return {"ranking": as_records(ranking[is_on]), "nearest": as_records(nearest[columns])}
