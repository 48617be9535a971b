"""How long machines were watched: what counts of alarms and failures are divided by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import lead_us
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HOURS_PER_MONTH = 365.25 * 24 / 12


@dataclass(frozen=True)
class Exposure:
    """Months in which what happens to a machine can be judged; over the whole span rates would come out too low.

    Attributes
    ----------
    alarms : (machines,) array
        Months in which an episode may end so that a whole horizon after it is known.
    failures : (machines,) array
        Months in which a failure may come so that a whole warning before it lies in the span.
    """

    alarms: FloatArray
    failures: FloatArray

    @property
    def alarm_months(self) -> float:
        """Machine-months of alarms; 0 where none can be judged."""
        return float(self.alarms.sum())

    @property
    def failure_months(self) -> float:
        """Machine-months of failures; 0 where none can be judged."""
        return float(self.failures.sum())

    @classmethod
    def together(cls, parts: Sequence[Exposure]) -> Exposure:
        """Return the exposure of several spans, one after the other."""
        return cls(np.concatenate([part.alarms for part in parts]), np.concatenate([part.failures for part in parts]))


def measure_exposure(
    rows: Instants, *, start_us: int | IntArray | None = None, ends_us: IntArray, log_end_us: int, labels: LabelsParams
) -> Exposure:
    """Return how long each machine was watched, by the rules of :class:`pdm_cli.evaluation.metrics.EventJudge`.

    An episode is judged if its last alert + horizon lies in the machine's data: alarms count from the start to the end
    of the data - horizon. A failure is judged if it comes a horizon after the start or later, and a lead time after the
    end of the data at the latest, as far as failures are logged.

    Parameters
    ----------
    rows : Instants
        All rows that may be alerts; a machine without any is not watched.
    start_us : int or (machines,) int array, optional
        First instant of the test, of all machines or of each; else each machine's first row.
    ends_us : (machines,) int array
        Last instant at which each machine is known, in the order of ``rows.machines``.
    log_end_us : int
        Last instant at which failures were logged.
    labels : LabelsParams
        Lead time and horizon.
    """
    horizon = round(labels.horizon_hours * US_PER_HOUR)
    # A machine without rows must not run from the end of time to its beginning.
    has_rows = np.bincount(rows.codes, minlength=len(rows.machines)) > 0
    start = np.where(has_rows, rows.starts() if start_us is None else start_us, 0)
    last_alert = np.minimum(np.where(has_rows, rows.ends(), 0), ends_us - horizon)
    last_failure = np.minimum(ends_us + lead_us(labels), log_end_us)
    alarms, failures = (
        np.where(has_rows, np.maximum(span, 0), 0) / US_PER_HOUR / HOURS_PER_MONTH
        for span in (last_alert - start, last_failure - horizon - start)
    )
    return Exposure(alarms, failures)


def machine_months(rows: Instants) -> FloatArray:
    """Return the months from the first to the last row of each machine, in the order of ``rows.machines``."""
    first = rows.starts()
    # A machine without rows must not run from the end of time to its beginning.
    has_rows = np.bincount(rows.codes, minlength=len(first)) > 0
    return np.where(has_rows, rows.ends() - first, 0) / US_PER_HOUR / HOURS_PER_MONTH
