"""Failures caught by chance in the same time under alert: the same alerts, shifted in time by machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.events import EventOutcome, find_rows
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import lead_us
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def count_shifted(rows: Instants, is_alert: BoolArray, outcome: EventOutcome, labels: LabelsParams) -> IntArray:
    """Return how many failures alerts would catch, had all alerts of a machine come a number of rows later.

    Alerts that leave the machine's last row come back at its first: the time under alert stays the same.

    Parameters
    ----------
    rows : Instants
        The m rows of the test span, sorted by machine, then time.
    is_alert : (m,) bool array
        Where the alert of a component was on.
    outcome : EventOutcome
        Its evaluated failures.
    labels : LabelsParams
        Lead time and horizon.

    Returns
    -------
    (m,) int array
        For the k-th row of a machine, counted from 0, the number of its failures caught by alerts k rows later.
    """
    horizon = round(labels.horizon_hours * US_PER_HOUR)
    failed = outcome.failure_times
    first, after = find_rows(rows, outcome.failure_codes, failed - horizon, failed - lead_us(labels))
    sizes = np.bincount(rows.codes, minlength=len(rows.machines))
    begins = np.cumsum(sizes) - sizes
    counts = np.zeros(len(is_alert), np.int64)
    for code in np.unique(outcome.failure_codes):
        own = slice(begins[code], begins[code] + sizes[code])
        alerts = is_alert[own]
        if not alerts.any():
            continue
        # Alerts before each row of two turns around the machine's rows.
        before = np.concatenate([[0], np.cumsum(np.tile(alerts, 2))])
        shifts = np.arange(len(alerts))
        of_machine = outcome.failure_codes == code
        for start, end in zip(first[of_machine] - own.start, after[of_machine] - own.start, strict=True):
            # Alerts k rows later are in the period if they are in the one k rows earlier now.
            earlier = (start - shifts) % len(alerts)
            counts[own] += before[earlier + end - start] > before[earlier]
    return counts


def compare_with_chance(shifted: IntArray, rows: Instants, caught: int) -> tuple[float, float]:
    """Return how many failures are caught on average if each machine's alerts are shifted at random, and the p-value.

    All shifts of a machine are equally likely, and machines are shifted independently of each other; the distribution
    is exact.

    Parameters
    ----------
    shifted : (m,) int array
        From :func:`count_shifted`, of one component or added up over several.
    rows : Instants
        The same m rows.
    caught : int
        The number of failures caught.

    Returns
    -------
    expected : float
        Number of failures that chance catches.
    p_value : float
        Probability that chance catches at least as many, in (0, 1].
    """
    sizes = np.bincount(rows.codes, minlength=len(rows.machines))
    ends = np.cumsum(sizes)
    likely, expected = np.ones(1), 0.0
    # Other machines catch nothing, however they are shifted.
    for code in np.unique(rows.codes[shifted > 0]):
        own = np.bincount(shifted[ends[code] - sizes[code] : ends[code]]) / sizes[code]
        expected += float(own @ np.arange(len(own)))
        likely = np.convolve(likely, own)
    return expected, min(float(likely[caught:].sum()), 1.0)
