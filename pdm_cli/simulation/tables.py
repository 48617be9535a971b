"""Tables of simulated fleets: their form, and how events become rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FIRST_TIME = np.datetime64("2015-01-01T06:00", "us")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The five raw tables of a fleet and their ground truth, each sorted by machineID, then datetime.

    The names of sensors, errors and components are those of the simulation.

    Attributes
    ----------
    telemetry : pandas.DataFrame
        ``datetime`` (datetime64[us], hourly), ``machineID`` (int32), and the sensors (float64). With a profile, rows
        and readings may be missing.
    errors : pandas.DataFrame
        ``datetime``, ``machineID``, ``errorID``; no duplicates.
    maint : pandas.DataFrame
        ``datetime``, ``machineID``, ``comp``, the replacements; starts before the telemetry.
    failures : pandas.DataFrame
        ``datetime``, ``machineID``, ``failure``. The replacement is in ``maint`` at the same time, or, with a profile,
        at the end of the standstill.
    machines : pandas.DataFrame
        ``machineID``, ``model``, ``age`` (int32, years, 0 .. 20), and with a profile ``site``; one row per machine.
    truth : pandas.DataFrame
        One row per shift of a sensor or span of damage, columns as in `pdm_cli.schema.TRUTH`; includes failures after
        the last reading whose signs have begun, which are not in ``failures`` yet.
    """

    telemetry: pd.DataFrame
    errors: pd.DataFrame
    maint: pd.DataFrame
    failures: pd.DataFrame
    machines: pd.DataFrame
    truth: pd.DataFrame


def check_at_least(least: int, **arguments: int) -> None:
    """Raise ValueError naming the first argument below ``least``."""
    for name, value in arguments.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def cut_events(rows_of: list[NDArray[np.int64]], last_hour: int) -> list[NDArray[np.int64]]:
    """Return each machine's distinct rows of (hour, code) up to the last hour, sorted."""
    return [np.unique(rows[rows[:, 0] <= last_hour], axis=0) for rows in rows_of]


def make_event_table(
    ids: NDArray[np.int32], rows_of: list[NDArray[np.int64]], **labels: NDArray[np.str_]
) -> pd.DataFrame:
    """Return the machines' rows of (hour, code) as a table, with the code's label as column."""
    hours, codes = np.concatenate(rows_of).T
    columns = {column: pd.array(names[codes], dtype="str") for column, names in labels.items()}
    return with_times(np.repeat(ids, [len(rows) for rows in rows_of]), hours).assign(**columns)


def with_times(machine_ids: NDArray[np.int32], hours: NDArray[np.int64]) -> pd.DataFrame:
    """Return the columns datetime and machineID for hours from the start of the telemetry."""
    return pd.DataFrame({"datetime": FIRST_TIME + hours.astype("timedelta64[h]"), "machineID": machine_ids})
