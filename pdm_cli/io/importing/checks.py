"""Checks of an imported table: values that are almost all missing, tags left out, and times that cannot be right."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pdm_cli.io import parquet
from pdm_cli.io.importing.convert import Facts, Reading
from pdm_cli.io.importing.engine import Engine
from pdm_cli.io.importing.sources import sql_path
from pdm_cli.io.importing.survey import TableSurvey
from pdm_cli.preparation.coverage import Shortage
from pdm_cli.preparation.time_range import DAY_US, YEAR_US, TimeRange, TimeSurvey
from pdm_cli.schema import TELEMETRY
from pdm_cli.text import name_some, show_count

# With a smaller share of the values or tags, almost nothing is imported.
_FEW = 0.1


def find_shortage(survey: TableSurvey, reading: Reading, facts: Facts) -> Shortage | None:
    """Return why almost no readings of a telemetry table are imported, if so."""
    left_out, tags = len(survey.other_tags), len(survey.tags)
    if left_out and tags < _FEW * (tags + left_out):
        message = f"{left_out:,} of {tags + left_out:,} tags are left out, first {name_some(survey.other_tags[:3])}"
        return Shortage(message, "correct --tags, or add them to the CSV file of --tags", is_total=not tags)
    sensors = len(reading.numbers - set(survey.left_out()))
    if not sensors or survey.long is not None:
        return None
    total = facts.rows * sensors
    if facts.values >= _FEW * total:
        return None
    number = "none" if not facts.values else f"only {facts.values:,}"
    verb = "is a number" if facts.values < 2 else "are numbers"
    message = (
        f"{number} of {show_count(total, 'value')} of {show_count(sensors, 'sensor')} {verb}; the others are missing"
    )
    hint = "check the columns (--columns), and that --na-values names only words for a missing value"
    return Shortage(message, hint, is_total=not facts.values)


class TimeCheck:
    """Finds times that cannot be right: of telemetry, and after it of event tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._telemetry: TimeSurvey | None = None

    def describe(self, survey: TableSurvey, path: Path, scanned: TimeSurvey | None = None) -> str:
        """Return a warning of such times in an imported table; empty if there are none.

        Parameters
        ----------
        survey : TableSurvey
            The table; a telemetry table comes before the others.
        path : Path
            Its Parquet file.
        scanned : TimeSurvey, optional
            The days of the telemetry, if they are known.
        """
        if not survey.time or survey.options.cycle_seconds:
            return ""
        is_telemetry = survey.table is TELEMETRY
        if is_telemetry and scanned is not None:
            days = scanned
        else:
            days = TimeSurvey() if self._telemetry is None else self._telemetry.copy()
            self._add_days(days, survey, path)
        if is_telemetry:
            self._telemetry = days
        allowed = days.find_range(least_gap_us=DAY_US if is_telemetry else YEAR_US)
        if days.is_within(allowed):
            return ""
        count, first, machine, total = self._find_outside(allowed, survey, path)
        if not count:
            # Those of the telemetry have a warning of their own.
            return ""
        rows = f"{count:,} of {show_count(total, 'row')}"
        return (
            f"{survey.name}: {rows}: time {allowed.describe()}, first {first:%Y-%m-%d %H:%M} (machine {machine}); "
            "pdm preprocess sets them aside, unless its --time-range includes them"
        )

    def _add_days(self, days: TimeSurvey, survey: TableSurvey, path: Path) -> None:
        rows = self._engine.fetch(
            f"SELECT time // {DAY_US}, min(time), max(time), count(*), min(machine), max(machine) "
            f"FROM {_keys_of(survey, path)} GROUP BY 1 ORDER BY 1"
        )
        for number, first, last, count, low, high in rows:
            for machine, times in ((low, count), (high, 0)):
                days.add_day(number, first, last, rows=times, machine=machine, is_single=low == high)

    def _find_outside(
        self, allowed: TimeRange, survey: TableSurvey, path: Path
    ) -> tuple[int, pd.Timestamp, object, int]:
        ends = [f"time < {allowed.first}"] if allowed.first is not None else []
        ends += [f"time > {allowed.last}"] if allowed.last is not None else []
        outside = " OR ".join(ends) or "FALSE"
        ((count, first, machine, total),) = self._engine.fetch(
            f"SELECT count(*) FILTER ({outside}), min(time) FILTER ({outside}), "
            f"arg_min(machine, time) FILTER ({outside}), count(*) FROM {_keys_of(survey, path)}"
        )
        return count, pd.Timestamp(first or 0, unit="us"), machine, total


def _keys_of(survey: TableSurvey, path: Path) -> str:
    """Return the SQL relation of the times, in microseconds, and machines of an imported table."""
    names = parquet.open_file(path).schema_arrow.names
    # By position: names may differ only in case.
    columns = ", ".join(f"c{number}" for number in range(len(names)))
    time, machine = (f"c{names.index(name)}" for name in (survey.time, survey.machine))
    keys = f"SELECT epoch_us({time}) AS time, {machine} AS machine"
    return f"({keys} FROM read_parquet({sql_path(str(path))}) AS rows({columns}))"
