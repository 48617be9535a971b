"""Labels: whether a component fails within [t + lead time, t + horizon], and later than t."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import EventLog, Instants
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR


def label_failures(
    instants: Instants, failures: pd.DataFrame, components: list[str], *, ends: pd.Series, params: LabelsParams
) -> NDArray[np.float64]:
    """Label every instant for every component.

    Parameters
    ----------
    instants : Instants
        The m rows to label.
    failures : DataFrame
        ``machineID, datetime, failure``.
    components : list of str
        The c components, in the order of the columns.
    ends : Series
        Last telemetry time of each machine, indexed by ``machineID``.
    params : LabelsParams
        Lead time and horizon.

    Returns
    -------
    (m, c) array
        1 if the component fails within [t + lead time, t + horizon], both ends included, 0 if not, and NaN (unknown)
        where t + horizon is after the machine's last telemetry. With a lead time of 0 the span begins after t, because
        features at t include a failure at t.
    """
    lead = lead_us(params)
    horizon = round(params.horizon_hours * US_PER_HOUR)
    labels = np.empty((len(instants.times), len(components)))
    for column, component in enumerate(components):
        log = EventLog(failures[failures["failure"] == component], instants.machines)
        failure = log.next_from(instants.codes, instants.times + lead)
        labels[:, column] = failure <= instants.times + horizon
    last = to_microseconds(ends.reindex(instants.machines))[instants.codes]
    labels[instants.times + horizon > last] = np.nan
    return labels


def lead_us(params: LabelsParams) -> int:
    """Return the lead time in microseconds; at least one, since a failure at the time of a row is already known."""
    return max(round(params.lead_time_hours * US_PER_HOUR), 1)


def last_times(telemetry: pd.DataFrame) -> pd.Series:
    """Return the last time of each machine; the table is sorted by machine, then time."""
    return telemetry.groupby(MACHINE, sort=True)[TIME].last()
