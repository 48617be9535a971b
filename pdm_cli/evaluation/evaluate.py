"""Held-out metrics of a model: per row, per failure, and in money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.alerts import LONGEST_HORIZONS, AlertRule
from pdm_cli.evaluation.bootstrap import bootstrap_events, bootstrap_precision
from pdm_cli.evaluation.calibration import calibration_error, reliability
from pdm_cli.evaluation.costs import Lives, compare_costs
from pdm_cli.evaluation.exposure import Exposure, measure_exposure
from pdm_cli.evaluation.metrics import (
    EventOutcome,
    judge_events,
    macro_mean,
    row_metrics,
    summarise_events,
    warned_ahead,
)
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.labels import lead_us
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Warnings are reported at these, as far as the model looks.
_HOURS_AHEAD = (3.0, 6.0, 12.0, 24.0, 36.0, 48.0, 72.0, 96.0, 120.0, 168.0)
_ROW_METRICS = ("roc_auc", "average_precision", "brier", "f1")


@dataclass(frozen=True)
class PredictedSpan:
    """What a model said of a span, and what came of it.

    Attributes
    ----------
    rows : Instants
        The m rows of the span, labelled or not, sorted by machine, then time.
    labels : (m, c) array
        0, 1, or NaN where the future is not known.
    probabilities : (m, c) array
        Of the model.
    alerts : (m, c) bool array
        Where its alerts were on.
    failures : DataFrame
        ``machineID, datetime, failure``.
    ends_us : (machines,) int array
        Last instant at which each machine is known, in the order of ``rows.machines``.
    """

    rows: Instants
    labels: FloatArray
    probabilities: FloatArray
    alerts: BoolArray
    failures: pd.DataFrame
    ends_us: IntArray


def judge_span(
    span: PredictedSpan,
    components: list[str],
    rules: list[AlertRule],
    *,
    lead: LabelsParams,
    costs: CostsParams,
    lives: dict[str, Lives],
    merge_hours: float,
    seed: int,
) -> dict[str, Any]:
    """Return the metrics: macro, per component, per event with intervals, and what it all would have cost.

    All events together also tell how many failures since the span began are not judged, and why.

    Parameters
    ----------
    span : PredictedSpan
        Predictions and truth.
    components : list of str
        The c components.
    rules : list of AlertRule
        What the alerts were made by; told along.
    lead : LabelsParams
        Lead time and horizon.
    costs : CostsParams
        What events cost.
    lives : dict
        Lives of parts of each component in the training span.
    merge_hours : float
        See :func:`pdm_cli.evaluation.metrics.find_episodes`.
    seed : int
        Of the bootstrap.
    """
    exposure = _measure_exposure(span, lead)
    outcomes = {
        component: _judge_events(span, column, component, lead=lead, merge_hours=merge_hours)
        for column, component in enumerate(components)
    }
    judged = {
        component: {
            **_judge_rows(span, column),
            "threshold": rules[column].on,
            "alert_off": rules[column].off,
            "events": _describe([outcomes[component]], exposure, lead=lead, seed=seed),
        }
        for column, component in enumerate(components)
    }
    known = ~np.isnan(span.labels)
    return {
        "macro": macro_mean([{name: row[name] for name in _ROW_METRICS} for row in judged.values()]),
        "intervals": bootstrap_precision(span.labels, span.probabilities, span.rows.codes, seed=seed),
        "components": judged,
        "events": {
            **_describe(list(outcomes.values()), exposure, lead=lead, seed=seed),
            "not_judged": _count_unjudged(span, components, lead=lead),
        },
        "calibration_error": calibration_error(span.labels[known], span.probabilities[known]),
        "costs": compare_costs(outcomes, lives, costs=costs, exposure=exposure),
    }


def list_warnings(span: PredictedSpan, components: list[str], *, lead: LabelsParams) -> pd.DataFrame:
    """Return every judged failure and how early its first alert came.

    Parameters
    ----------
    span : PredictedSpan
        Predictions and truth.
    components : list of str
        The c components.
    lead : LabelsParams
        Lead time and horizon.

    Returns
    -------
    DataFrame
        ``machineID, datetime, component, warning_hours``, NaN where nothing warned; component by component, each
        sorted by machine, then time.
    """
    outcomes = [
        _judge_events(span, column, component, lead=lead, merge_hours=0.0)
        for column, component in enumerate(components)
    ]
    codes, times, hours = (
        np.concatenate([getattr(outcome, name) for outcome in outcomes])
        for name in ("failure_codes", "failure_times", "warning_hours")
    )
    return pd.DataFrame(
        {
            MACHINE: span.rows.machines[codes],
            TIME: times.astype("datetime64[us]"),
            "component": np.repeat(components, [len(outcome.warning_hours) for outcome in outcomes]),
            "warning_hours": hours,
        }
    )


def _judge_rows(span: PredictedSpan, column: int) -> dict[str, Any]:
    known = ~np.isnan(span.labels[:, column])
    labels, probabilities = span.labels[known, column], span.probabilities[known, column]
    return {
        **row_metrics(labels, probabilities, is_alert=span.alerts[known, column]),
        "calibration_error": calibration_error(labels, probabilities),
        "reliability": reliability(labels, probabilities),
    }


def _judge_events(
    span: PredictedSpan, column: int, component: str, *, lead: LabelsParams, merge_hours: float
) -> EventOutcome:
    is_on, rows = span.alerts[:, column], span.rows
    return judge_events(
        Instants(rows.machines, rows.codes[is_on], rows.times[is_on]),
        span.failures[span.failures["failure"] == component],
        start_us=span.rows.starts(),
        ends_us=span.ends_us,
        labels=lead,
        merge_hours=merge_hours,
        longest_hours=LONGEST_HORIZONS * lead.horizon_hours,
    )


def _count_unjudged(span: PredictedSpan, components: list[str], *, lead: LabelsParams) -> dict[str, int]:
    """Return how many failures since the span began are not judged, by the reason.

    ``early``: an alert a horizon ahead would have lain before the span; ``no_telemetry``: the machine's data end before
    the lead time, or none of it lies in the span.
    """
    rows = span.rows
    failed = EventLog(span.failures[span.failures["failure"].isin(components)], rows.machines)
    horizon_us = round(lead.horizon_hours * US_PER_HOUR)
    has_rows = np.bincount(rows.codes, minlength=len(rows.machines)) > 0
    has_data = has_rows[failed.codes] & (failed.times - lead_us(lead) <= span.ends_us[failed.codes])
    is_early = has_data & (failed.times - horizon_us < rows.starts()[failed.codes])
    is_later = failed.times >= rows.times.min()
    return {"early": int((is_later & is_early).sum()), "no_telemetry": int((is_later & ~has_data).sum())}


def _measure_exposure(span: PredictedSpan, lead: LabelsParams) -> Exposure:
    # Nothing says when the log of failures ends; it is known to reach the end of the telemetry, and its last line.
    log_end_us = np.concatenate([span.ends_us, to_microseconds(span.failures[TIME])]).max()
    return measure_exposure(span.rows, ends_us=span.ends_us, log_end_us=int(log_end_us), labels=lead)


def _describe(outcomes: list[EventOutcome], exposure: Exposure, *, lead: LabelsParams, seed: int) -> dict[str, Any]:
    ahead = [hours for hours in _HOURS_AHEAD if lead.lead_time_hours <= hours <= lead.horizon_hours]
    return {
        **summarise_events(outcomes, exposure=exposure),
        "warned_ahead": {f"{hours:g}h": share for hours, share in warned_ahead(outcomes, hours=ahead).items()},
        "intervals": bootstrap_events(outcomes, exposure, seed=seed),
    }
