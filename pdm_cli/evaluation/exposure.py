"""Exposure: the machine-months by which counts of alarms and failures are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp, lead_us
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import HOURS_PER_MONTH, US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Exposure:
    """Months in which events of a machine can be evaluated; rates over the whole span would be too low.

    Attributes
    ----------
    alarms : (machines,) array
        Months in which an episode can end such that a whole horizon after it is known.
    failures : (machines,) array
        Months in which a failure can occur such that its whole warning period lies in the span.
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


def measure_exposure(
    rows: Instants, *, start_us: int | IntArray | None = None, known: FollowUp, log_end_us: int, labels: LabelsParams
) -> Exposure:
    """Return the exposure of each machine, by the rules of :class:`pdm_cli.evaluation.events.EventEvaluator`.

    An episode is evaluated if the outcome is known until its last alert + horizon: alarms count from the start to a
    horizon before the end of the machine's data, or to the failure that ended them. A failure is evaluated if it occurs
    between start + horizon and the end of the data + lead time, as long as failures are logged.

    Parameters
    ----------
    rows : Instants
        All rows that may have alerts; a machine without rows has no exposure.
    start_us : int or (machines,) int array, optional
        Start of the test, for all machines or for each; default: each machine's first row.
    known : FollowUp
        Until when the outcome of each machine is known, in the order of ``rows.machines``.
    log_end_us : int
        End of the failure log.
    labels : LabelsParams
        Lead time and horizon.
    """
    horizon = round(labels.horizon_hours * US_PER_HOUR)
    # Starts and ends of machines without rows are extreme values.
    has_rows = np.bincount(rows.codes, minlength=len(rows.machines)) > 0
    start = np.where(has_rows, rows.starts() if start_us is None else start_us, 0)
    last_row = np.minimum(np.where(has_rows, rows.ends(), 0), known.failed_us)
    last_alert = np.minimum(last_row, known.until_us - horizon)
    last_failure = np.minimum(known.failures_until(lead_us(labels)), log_end_us)
    alarms, failures = (
        np.where(has_rows, np.maximum(span, 0), 0) / US_PER_HOUR / HOURS_PER_MONTH
        for span in (last_alert - start, last_failure - horizon - start)
    )
    return Exposure(alarms, failures)


def machine_months(rows: Instants) -> FloatArray:
    """Return the months between the first and the last row of each machine, in the order of ``rows.machines``."""
    first = rows.starts()
    # Starts and ends of machines without rows are extreme values.
    has_rows = np.bincount(rows.codes, minlength=len(first)) > 0
    return np.where(has_rows, rows.ends() - first, 0) / US_PER_HOUR / HOURS_PER_MONTH
