"""Exposure: the machine-months by which counts of alarms and failures are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp, lead_us
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import HOURS_PER_MONTH, US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A machine may have a row a day in a fleet of hourly rows; one with two rows years apart is not watched for years.
_MOST_STEPS = 24


@dataclass(frozen=True)
class Exposure:
    """Months in which events of a machine can be evaluated; rates over the whole span would be too low.

    Attributes
    ----------
    alarms : (machines,) array
        Months in which the machine is watched and a whole horizon after the end of an episode is known.
    failures : (machines,) array
        Months in which a failure can occur whose whole warning period lies in the span and is watched in part.
    """

    alarms: FloatArray
    failures: FloatArray

    @property
    def alarm_months(self) -> float:
        """Machine-months of alarms."""
        return float(self.alarms.sum())

    @property
    def failure_months(self) -> float:
        """Machine-months of failures."""
        return float(self.failures.sum())

    @classmethod
    def concatenate(cls, parts: Sequence[Exposure]) -> Exposure:
        """Return the exposure of several spans."""
        return cls(np.concatenate([part.alarms for part in parts]), np.concatenate([part.failures for part in parts]))


def usual_steps(rows: Instants) -> IntArray:
    """Return the usual time between rows of each machine in microseconds, in the order of ``rows.machines``.

    It is the median of the machine's own steps, at most 24 times that of the fleet, which is the median over machines.
    A machine with one row at most has that of the fleet; 0 if that is true of all machines.
    """
    ends = np.cumsum(np.bincount(rows.codes, minlength=len(rows.machines))).tolist()
    spans = zip([0, *ends], ends, strict=False)
    own = np.array([_lower_median(np.diff(rows.times[begin:end])) for begin, end in spans], np.int64)
    is_known = own > 0
    fleet = _lower_median(own[is_known])
    return np.where(is_known, np.minimum(own, _MOST_STEPS * fleet), fleet)


def _lower_median(values: IntArray) -> int:
    """Return the median, of two middle values the lower one: a gap is not a step; 0 without values."""
    middle = (len(values) - 1) // 2
    return int(np.partition(values, middle)[middle]) if len(values) else 0


def measure_exposure(rows: Instants, *, known: FollowUp, log_end_us: int, labels: LabelsParams) -> Exposure:
    """Return the exposure of each machine, by the rules of :class:`pdm_cli.evaluation.events.EventEvaluator`.

    A machine is watched from a row to its next one, for its usual step at most: not in gaps. An episode is evaluated if
    the outcome is known until its last alert + horizon: alarms count from the first row to a horizon before the end of
    the machine's data, or to the failure that ended them. A failure is evaluated if it occurs between the first row +
    horizon and the end of the data + lead time, as long as failures are logged, and if the machine was watched at some
    time in the warning period.

    Parameters
    ----------
    rows : Instants
        All rows that may have alerts, sorted by machine, then time; a machine without rows has no exposure.
    known : FollowUp
        Until when the outcome of each machine is known, in the order of ``rows.machines``.
    log_end_us : int
        End of the failure log.
    labels : LabelsParams
        Lead time and horizon.
    """
    horizon = round(labels.horizon_hours * US_PER_HOUR)
    last_alert = np.minimum(known.failed_us, known.until_us - horizon)
    last_failure = np.minimum(known.failures_until(lead_us(labels)), log_end_us)
    steps, lead = usual_steps(rows)[rows.codes], lead_us(labels)
    alarms = _months(rows, rows.times, np.minimum(rows.times + steps, _next_times(rows)), last_alert)
    # Failures between these times are warned of by the row, or by none.
    warned_from = np.maximum(rows.times + lead, rows.starts()[rows.codes] + horizon)
    warned_until = np.minimum(rows.times + steps + horizon, _next_times(rows, last=NEVER_US) + lead)
    return Exposure(alarms, _months(rows, warned_from, warned_until, last_failure))


def machine_months(rows: Instants) -> FloatArray:
    """Return the months in which each machine was watched, in the order of ``rows.machines``; gaps do not count."""
    until = np.minimum(rows.times + usual_steps(rows)[rows.codes], _next_times(rows))
    return _months(rows, rows.times, until, np.full(len(rows.machines), NEVER_US))


def _next_times(rows: Instants, last: int | None = None) -> IntArray:
    """Return the time of the machine's next row; after its last row ``last``, or by default that row's own time."""
    following = rows.times.copy() if last is None else np.full(len(rows.times), last)
    is_same = np.flatnonzero(np.diff(rows.codes) == 0)
    following[is_same] = rows.times[is_same + 1]
    return following


def _months(rows: Instants, starts: IntArray, ends: IntArray, limits: IntArray) -> FloatArray:
    """Return the months of each machine between the start and the end of each row, up to the limit of the machine."""
    lengths = np.maximum(np.minimum(ends, limits[rows.codes]) - starts, 0)
    return np.bincount(rows.codes, lengths, minlength=len(rows.machines)) / US_PER_HOUR / HOURS_PER_MONTH
