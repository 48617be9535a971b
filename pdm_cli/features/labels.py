"""Labels: whether a component fails within [t + lead time, t + horizon], as far as that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.features.events import EventLog, Instants
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.preparation.run_to_failure import NEVER_US, RUN_TO_FAILURE_SHARE, find_ending_failures
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class FollowUp:
    """Until when the outcome of each machine is known: the follow-up of survival analysis.

    Attributes
    ----------
    ends_us : (machines,) int array
        Last reading of each machine, in microseconds since 1970.
    failed_us : (machines,) int array
        The failure that ended the machine's telemetry; ``NEVER_US`` if none did.
    until_us : (machines,) int array
        Until when the outcome is known for rows up to that failure; the last reading if there is none.
    """

    ends_us: IntArray
    failed_us: IntArray
    until_us: IntArray

    @property
    def is_ended(self) -> NDArray[np.bool_]:
        """Which machines ended with a failure."""
        return self.failed_us < NEVER_US

    @property
    def runs_to_failure(self) -> bool:
        """Whether at least half of the machines ended with a failure."""
        return int(self.is_ended.sum()) >= RUN_TO_FAILURE_SHARE * len(self.ends_us)

    def known_until(self, codes: IntArray, times: IntArray) -> IntArray:
        """Return until when the outcome of each row is known; ``codes`` are positions of machines."""
        return np.where(times <= self.failed_us[codes], self.until_us[codes], self.ends_us[codes])

    def failures_until(self, lead_us: int) -> IntArray:
        """Return until when a failure of each machine could have been warned of: a lead time after its last reading.

        The failure that ended the telemetry counts in any case.
        """
        return np.maximum(self.ends_us + lead_us, np.where(self.is_ended, self.failed_us, -NEVER_US))

    def cut(self, end_us: int) -> FollowUp:
        """Return what is known at a given time about machines that are all watched until then at most."""
        ends = np.minimum(self.ends_us, end_us)
        failed = np.where(self.failed_us <= end_us, self.failed_us, NEVER_US)
        return FollowUp(ends, failed, np.where(failed < NEVER_US, np.minimum(self.until_us, end_us), ends))


def follow_up(ends: pd.Series, failures: pd.DataFrame, machines: pd.Index, *, params: LabelsParams) -> FollowUp:
    """Find the machines that ended with a failure, and until when the outcome of every machine is known.

    Nothing can happen any more to a machine that ended with a failure (see
    :func:`~pdm_cli.preparation.run_to_failure.find_ending_failures`), so its outcome stays known for as long as it
    would have been watched without the failure: the median by the reverse Kaplan-Meier estimate [1]_, in which the
    other machines' last readings are the events. In a fleet that is watched up to one date, this is that date; if all
    machines ended with a failure, there is no end. The outcome of other machines, which still run or were taken out,
    is known until their last reading.

    Parameters
    ----------
    ends : Series
        Last reading of each machine, indexed by ``machineID``.
    failures : DataFrame
        ``machineID, datetime`` of the failures of all components.
    machines : Index
        The machines, in the order of the result.
    params : LabelsParams
        ``horizon_hours``.

    References
    ----------
    .. [1] M. Schemper, T. L. Smith (1996), A note on quantifying follow-up in studies of failure time, Controlled
       Clinical Trials 17(4), 343-346.
    """
    horizon = round(params.horizon_hours * US_PER_HOUR)
    last = to_microseconds(ends.reindex(machines))
    log = EventLog(failures, machines)
    failed = find_ending_failures(log.codes, log.times, last, horizon)
    is_ended = failed < NEVER_US
    # A log of failures that is longer than the telemetry does not show that other machines were watched until then.
    watched = _watched_until(np.minimum(failed, last), last[~is_ended], failed[is_ended])
    until = np.where(is_ended, np.maximum(watched, last), last)
    return FollowUp(last, failed, until)


def _watched_until(times: IntArray, ends: IntArray, failed: IntArray) -> IntArray:
    """Return the median end of the watch of machines that were watched at some times.

    ``ends`` are the last readings of the machines that did not end with a failure; those that ended at ``failed`` would
    have been watched longer.
    """
    events, counts = np.unique(ends, return_counts=True)
    at_risk = len(ends) - np.searchsorted(np.sort(ends), events) + len(failed)
    at_risk -= np.searchsorted(np.sort(failed), events, "right")
    survival = np.cumprod(1 - counts / at_risk)
    # A machine watched at an event has not come to it yet.
    before = np.append(1.0, survival)[np.searchsorted(events, times)]
    # The tolerance keeps a half a half despite rounding.
    median = np.searchsorted(-survival, -before / 2 - 1e-9)
    return np.append(events, NEVER_US)[np.maximum(median, np.searchsorted(events, times))]


def label_failures(
    instants: Instants, failures: pd.DataFrame, components: list[str], *, known: FollowUp, params: LabelsParams
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
    known : FollowUp
        Until when the outcome of each machine is known, in the order of ``instants.machines``.
    params : LabelsParams
        Lead time and horizon.

    Returns
    -------
    (m, c) array
        1 if the component fails within [t + lead time, t + horizon], both ends included, 0 if not, and NaN where the
        outcome is not known until t + horizon. With a lead time of 0 the span begins after t, because features at t
        include a failure at t.
    """
    lead = lead_us(params)
    horizon = round(params.horizon_hours * US_PER_HOUR)
    labels = np.empty((len(instants.times), len(components)))
    for column, component in enumerate(components):
        log = EventLog(failures[failures["failure"] == component], instants.machines)
        failure = log.next_from(instants.codes, instants.times + lead)
        labels[:, column] = failure <= instants.times + horizon
    labels[instants.times + horizon > known.known_until(instants.codes, instants.times)] = np.nan
    return labels


def lead_us(params: LabelsParams) -> int:
    """Return the lead time in microseconds; at least one, since a failure at the time of a row is already known."""
    return max(round(params.lead_time_hours * US_PER_HOUR), 1)


def first_rows(telemetry: pd.DataFrame, machines: pd.Index) -> IntArray:
    """Return the first row of each machine, which has rows, in microseconds since 1970; the table is sorted."""
    return to_microseconds(telemetry.groupby(MACHINE, sort=True)[TIME].first().reindex(machines))


def last_readings(telemetry: pd.DataFrame) -> pd.Series:
    """Return the time of the last reading of each machine; of its last row if it has none.

    The table is sorted by machine, then time. Rows without any reading, such as those that end an empty log, do not
    count.
    """
    sensors = [name for name in telemetry.columns if name not in (MACHINE, TIME)]
    rows = telemetry.groupby(MACHINE, sort=True)[TIME].last()
    has_reading = telemetry[sensors].notna().any(axis=1)
    if not sensors or has_reading.all():
        return rows
    read = telemetry.loc[has_reading, [MACHINE, TIME]].groupby(MACHINE, sort=True)[TIME].last()
    return read.reindex(rows.index).fillna(rows)
