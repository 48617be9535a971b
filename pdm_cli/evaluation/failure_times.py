"""Metrics of the hours to failure: how often the interval is right, and the probabilities at each horizon."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData
from pdm_cli.evaluation.calibration import calibration_error
from pdm_cli.evaluation.evaluate import PredictedSpan
from pdm_cli.evaluation.hours_to_failure import LEVELS
from pdm_cli.evaluation.metrics import average_precision, macro_mean
from pdm_cli.features.events import EventLog
from pdm_cli.features.labels import label_failures, lead_us
from pdm_cli.settings.model import LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]


def evaluate_hours(
    span: PredictedSpan, components: Sequence[str], hours: FloatArray, *, lead: LabelsParams
) -> dict[str, Any]:
    """Return how often the interval of rows with an alert contains the failure, its width, and the median's error.

    Rows count if their outcome is known up to the end of their interval.

    Parameters
    ----------
    span : PredictedSpan
        Predictions and truth of m rows.
    components : sequence of str
        The c components.
    hours : (m, c, 3) array
        Quantiles of the hours to failure; NaN beyond the horizons.
    lead : LabelsParams
        Lead time.
    """
    parts = [_compare(span, column, name, hours[:, column], lead) for column, name in enumerate(components)]
    ahead, known, found = (np.concatenate(each) for each in zip(*parts, strict=True))
    low, median, high = np.where(np.isnan(found), np.inf, found).T
    has_failed = ahead <= known
    is_decided = has_failed | (high <= known)
    is_inside = has_failed & (low <= ahead) & (ahead <= high)
    is_short, has_error = np.isfinite(high), has_failed & np.isfinite(median)
    width, error = high[is_short] - low[is_short], np.abs(median[has_error] - ahead[has_error])
    return {
        "level": round(LEVELS[-1] - LEVELS[0], 6),
        "rows": int(is_decided.sum()),
        "coverage": float(is_inside[is_decided].mean()) if is_decided.any() else None,
        "median_width_hours": float(np.median(width)) if len(width) else None,
        "mean_error_hours": float(error.mean()) if len(error) else None,
    }


def _compare(
    span: PredictedSpan, column: int, component: str, hours: FloatArray, lead: LabelsParams
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the hours to the failure, those until the outcome is known, and the quantiles, of rows with an alert."""
    rows = span.alerts[:, column] & ~np.isnan(span.labels[:, column])
    codes, times = span.rows.codes[rows], span.rows.times[rows]
    log = EventLog(span.failures[span.failures["failure"] == component], span.rows.machines)
    failed = log.next_from(codes, times + lead_us(lead))
    ahead = np.where(np.isnan(failed), np.inf, failed - times) / US_PER_HOUR
    return ahead, (span.known.known_until(codes, times) - times) / US_PER_HOUR, hours[rows]


def evaluate_horizon(
    span: PredictedSpan, components: Sequence[str], probabilities: FloatArray, *, lead: LabelsParams, hours: float
) -> dict[str, Any]:
    """Return the metrics of the probabilities of a failure up to another horizon, as means over the components.

    Parameters
    ----------
    span : PredictedSpan
        The m rows and the truth.
    components : sequence of str
        The c components.
    probabilities : (m, c) array
        Up to that horizon; NaN for components without it.
    lead : LabelsParams
        Lead time.
    hours : float
        The horizon.
    """
    params = replace(lead, horizon_hours=hours)
    labels = label_failures(span.rows, span.failures, list(components), known=span.known, params=params)
    is_known = ~np.isnan(labels[:, 0]) & ~np.isnan(span.labels[:, 0])
    columns = [column for column in range(len(components)) if not np.isnan(probabilities[:, column]).any()]
    found = [_score(labels[is_known, column], probabilities[is_known, column]) for column in columns]
    return {"horizon_hours": hours, "rows": int(is_known.sum()), "components": len(columns), **macro_mean(found)}


def _score(labels: FloatArray, probabilities: FloatArray) -> dict[str, float | None]:
    precision = None
    if len(labels):
        # Undefined without rows of both classes.
        with suppress(NotEnoughData):
            precision = average_precision(labels[:, np.newaxis], probabilities[:, np.newaxis])
    return {
        "average_precision": precision,
        "brier": float(np.mean((probabilities - labels) ** 2)) if len(labels) else None,
        "calibration_error": calibration_error(labels, probabilities),
    }
