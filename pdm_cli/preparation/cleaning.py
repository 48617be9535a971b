"""Cleaning of telemetry: duplicates, impossible readings, and a regular time grid, each change counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.errors import DataError, SchemaError
from pdm_cli.preparation.quality import FIRST_ROWS, Finding
from pdm_cli.preparation.repeated_rows import find_copies
from pdm_cli.schema import LARGEST_READING, MACHINE, TIME
from pdm_cli.settings.model import PreprocessParams
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import show_hours

_PREPARE_HINT = "run pdm preprocess to create prepared tables"

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def clean_telemetry(
    frame: pd.DataFrame, findings: dict[str, Finding], *, step_us: int, params: PreprocessParams, phase_us: int = 0
) -> pd.DataFrame:
    """Clean telemetry of whole machines and put it on the grid of multiples of the step, plus the phase.

    A reading moves to the grid time at or after its own, never before, so that a row at t was known at t. Several
    readings in one step become their mean. Nothing is interpolated.

    Parameters
    ----------
    frame : DataFrame
        ``machineID``, ``datetime`` (UTC, us) and float sensors, sorted by machine, then time.
    findings : dict of Finding
        Counts of :data:`pdm_cli.preparation.quality.TELEMETRY_FINDINGS`; updated.
    step_us : int
        Time between readings in microseconds.
    phase_us : int
        Offset of the grid, in microseconds.
    params : PreprocessParams
        Policies. With ``refuse``, the first of the duplicates is kept here; the caller fails by the count.

    Returns
    -------
    DataFrame
        The same columns; each machine's times are distinct, ascending and on the grid. Gaps up to the limit are rows of
        missing readings, longer ones have no rows.
    """
    if frame.empty:
        return frame
    # Impossible readings first, so that means exclude them.
    frame = _blank_impossible(frame, findings, params.ranges)
    frame = _drop_duplicates(frame, findings, params.on_duplicate)
    frame = _snap(frame, findings["off_grid"], step_us, phase_us)
    _find_missing(frame, findings["missing_values"])
    _find_frozen(frame, findings["frozen_sensors"], step_us, params)
    _find_dead(frame, findings["dead_sensors"], params.frozen_hours)
    return _fill_gaps(frame, findings, step_us, params.max_gap_hours)


def same_machine_as_above(frame: pd.DataFrame) -> BoolArray:
    """Return which rows are of the same machine as the row above."""
    machines = frame[MACHINE].to_numpy()
    same = np.zeros(len(frame), bool)
    same[1:] = machines[1:] == machines[:-1]
    return same


def to_microseconds(times: pd.Series) -> IntArray:
    """Return times as whole microseconds since 1970."""
    return times.to_numpy().astype("datetime64[us]").astype(np.int64)


def sensors_of(frame: pd.DataFrame) -> list[str]:
    """Return the columns that are neither machine nor time."""
    return [name for name in frame.columns if name not in (MACHINE, TIME)]


def check_prepared(telemetry: pd.DataFrame, step_us: int) -> None:
    """Check that telemetry of whole machines has the form of the output of :func:`clean_telemetry`.

    Parameters
    ----------
    telemetry : DataFrame
        ``machineID``, ``datetime`` and sensors.
    step_us : int
        Its step in microseconds.

    Raises
    ------
    SchemaError
        If there is no sensor, a sensor is not of type float64, or the times are not datetime64 without a time zone.
    DataError
        If a machine or time is missing, or the rows are not sorted by machine with times that increase by whole steps.
    """
    _check_types(telemetry)
    is_missing = (telemetry[MACHINE].isna() | telemetry[TIME].isna()).to_numpy()
    same, times = same_machine_as_above(telemetry), to_microseconds(telemetry[TIME])
    apart = np.diff(times, prepend=times[:1])
    is_off_grid = same & ((apart < 1) | (apart % step_us != 0))
    is_repeated = ~same & telemetry[MACHINE].duplicated().to_numpy()
    for is_wrong, problem in (
        (is_missing, "machine or time is missing"),
        (is_off_grid, f"not a whole number of steps of {show_hours(step_us / US_PER_HOUR)} after the previous row"),
        (is_repeated, "rows of the machine are not contiguous"),
    ):
        if is_wrong.any():
            first = int(is_wrong.argmax())
            machine, time = telemetry[MACHINE].iloc[first], telemetry[TIME].iloc[first]
            raise DataError(f"telemetry.parquet: machine {machine}, {str(time)[:16]}: {problem}", hint=_PREPARE_HINT)


def _check_types(telemetry: pd.DataFrame) -> None:
    if telemetry[TIME].dtype.kind != "M" or isinstance(telemetry[TIME].dtype, pd.DatetimeTZDtype):
        raise SchemaError(
            f"telemetry.parquet: column {TIME} is {telemetry[TIME].dtype}; "
            "expected datetime64 in UTC without a time zone",
            hint=_PREPARE_HINT,
        )
    if not sensors_of(telemetry):
        raise SchemaError("telemetry.parquet: no sensor columns", hint=_PREPARE_HINT)
    for sensor in sensors_of(telemetry):
        if telemetry[sensor].dtype != np.float64:
            raise SchemaError(
                f"telemetry.parquet: column {sensor} is {telemetry[sensor].dtype}; expected float64", hint=_PREPARE_HINT
            )


def _drop_duplicates(frame: pd.DataFrame, findings: dict[str, Finding], policy: str) -> pd.DataFrame:
    """Leave one row of each machine and time; copies of a row are dropped without a policy."""
    is_duplicate = _find_duplicates(frame)
    if not is_duplicate.any():
        return frame
    readings = {sensor: frame[sensor].to_numpy(np.float64) for sensor in sensors_of(frame)}
    is_copy = find_copies(is_duplicate, readings)
    for name, rows in (("copies", is_copy), ("duplicates", is_duplicate & ~is_copy)):
        findings[name].add(int(rows.sum()), frame.loc[rows, [MACHINE, TIME]])
    distinct, is_first = frame[~is_copy], ~is_duplicate[~is_copy]
    return _merge(distinct, is_first) if policy == "mean" else distinct[is_first].reset_index(drop=True)


def _find_duplicates(frame: pd.DataFrame) -> BoolArray:
    """Return which rows have the machine and time of the row above."""
    times = to_microseconds(frame[TIME])
    is_duplicate = same_machine_as_above(frame)
    is_duplicate[1:] &= times[1:] == times[:-1]
    return is_duplicate


def _merge(frame: pd.DataFrame, is_first: BoolArray) -> pd.DataFrame:
    """Merge each row with ``is_first`` false into the first row above it: the mean of the existing readings."""
    starts = np.flatnonzero(is_first)
    values = frame[sensors_of(frame)].to_numpy()
    there = ~np.isnan(values)
    sums = np.add.reduceat(np.where(there, values, 0.0), starts, axis=0)
    counts = np.add.reduceat(there.astype(np.int64), starts, axis=0)
    merged = frame.iloc[starts].reset_index(drop=True)
    with np.errstate(invalid="ignore"):
        merged[sensors_of(frame)] = sums / counts
    return merged


def _blank_impossible(
    frame: pd.DataFrame, findings: dict[str, Finding], ranges: dict[str, tuple[float, float]]
) -> pd.DataFrame:
    blanked = {}
    for sensor in sensors_of(frame):
        values = frame[sensor].to_numpy()
        low, high = ranges.get(sensor, (-np.inf, np.inf))
        is_infinite = np.abs(values) > LARGEST_READING
        is_outside = ~is_infinite & ((values < low) | (values > high))
        for name, wrong in (("not_finite", is_infinite), ("out_of_range", is_outside)):
            if wrong.any():
                findings[name].add(int(wrong.sum()), _readings(frame, sensor, wrong))
        if (is_infinite | is_outside).any():
            blanked[sensor] = np.where(is_infinite | is_outside, np.nan, values)
    return frame.assign(**blanked) if blanked else frame


def _readings(frame: pd.DataFrame, sensor: str, chosen: BoolArray) -> pd.DataFrame:
    rows = frame.loc[chosen, [MACHINE, TIME, sensor]].head(FIRST_ROWS)
    return rows.rename(columns={sensor: "value"}).assign(sensor=sensor)


def _snap(frame: pd.DataFrame, finding: Finding, step_us: int, phase_us: int) -> pd.DataFrame:
    times = to_microseconds(frame[TIME]) - phase_us
    is_off = times % step_us != 0
    if not is_off.any():
        return frame
    finding.add(int(is_off.sum()), frame.loc[is_off, [MACHINE, TIME]])
    cells = -(-times // step_us)
    is_first = ~same_machine_as_above(frame)
    is_first[1:] |= cells[1:] != cells[:-1]
    snapped = frame.assign(**{TIME: (cells * step_us + phase_us).astype("datetime64[us]")})
    return _merge(snapped, is_first)


def _find_missing(frame: pd.DataFrame, finding: Finding) -> None:
    for sensor in sensors_of(frame):
        missing = np.isnan(frame[sensor].to_numpy())
        if missing.any():
            rows = frame.loc[missing, [MACHINE, TIME]].head(FIRST_ROWS).assign(sensor=sensor)
            finding.add(int(missing.sum()), rows)


def _find_frozen(frame: pd.DataFrame, finding: Finding, step_us: int, params: PreprocessParams) -> None:
    same = same_machine_as_above(frame)
    times = to_microseconds(frame[TIME])
    # A gap that splits the series ends a span, as the values in between are unknown.
    same[1:] &= np.diff(times) - step_us <= params.max_gap_hours * US_PER_HOUR
    for sensor in sensors_of(frame):
        values = frame[sensor].to_numpy()
        repeats = same.copy()
        repeats[1:] &= values[1:] == values[:-1]
        starts = np.flatnonzero(~repeats)
        last = np.append(starts[1:], len(frame)) - 1
        hours = (times[last] - times[starts] + step_us) / US_PER_HOUR
        frozen = (hours >= params.frozen_hours) & (last > starts)
        if frozen.any():
            rows = frame.loc[starts[frozen], [MACHINE, TIME]].assign(sensor=sensor, hours=hours[frozen])
            finding.add(int(frozen.sum()), rows)


def _find_dead(frame: pd.DataFrame, finding: Finding, least_hours: float) -> None:
    """Find sensors whose last reading is long before the machine's last row, or that have none at all."""
    times, rows = to_microseconds(frame[TIME]), np.arange(len(frame))
    starts = np.flatnonzero(~same_machine_as_above(frame))
    ends = np.append(starts[1:], len(frame)) - 1
    for sensor in sensors_of(frame):
        last = np.maximum.reduceat(np.where(np.isnan(frame[sensor].to_numpy()), -1, rows), starts)
        # Without any reading, report the first row of the machine.
        last = np.maximum(last, starts)
        hours = (times[ends] - times[last]) / US_PER_HOUR
        dead = hours >= least_hours
        if dead.any():
            found = frame.loc[last[dead], [MACHINE, TIME]].assign(sensor=sensor, hours=hours[dead])
            finding.add(int(dead.sum()), found)


def _fill_gaps(frame: pd.DataFrame, findings: dict[str, Finding], step_us: int, max_gap_hours: float) -> pd.DataFrame:
    times = to_microseconds(frame[TIME])
    missing = np.zeros(len(frame), np.int64)
    missing[1:] = np.where(same_machine_as_above(frame)[1:], np.diff(times) // step_us - 1, 0)
    is_long = missing * step_us > max_gap_hours * US_PER_HOUR
    for name, is_gap in (("gaps", (missing > 0) & ~is_long), ("long_gaps", is_long)):
        if is_gap.any():
            until = frame.loc[is_gap, [MACHINE, TIME]].rename(columns={TIME: "until"})
            findings[name].add(int(is_gap.sum()), until.assign(hours=missing[is_gap] * step_us / US_PER_HOUR))
    added = np.where(is_long, 0, missing)
    if not added.any():
        return frame
    return _with_empty_rows(frame, times, added, step_us)


def _with_empty_rows(frame: pd.DataFrame, times: IntArray, added: IntArray, step_us: int) -> pd.DataFrame:
    """Insert ``added[i]`` rows of missing readings above row i."""
    source = np.repeat(np.arange(len(frame)), added + 1)
    last = np.cumsum(added + 1) - 1
    back = last[source] - np.arange(len(source))
    filled = frame.iloc[source].reset_index(drop=True)
    filled[TIME] = (times[source] - back * step_us).astype("datetime64[us]")
    filled.loc[back > 0, sensors_of(frame)] = np.nan
    return filled
