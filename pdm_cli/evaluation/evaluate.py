"""Held-out metrics of a model: per row, per failure, and in costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.alerts import LONGEST_HORIZONS, AlertRule
from pdm_cli.evaluation.calibration import calibration_error, reliability
from pdm_cli.evaluation.cold_start import compare_cold_start
from pdm_cli.evaluation.costs import Lives, compare_costs
from pdm_cli.evaluation.events import EventOutcome, evaluate_events, is_watched, summarise_events, warned_ahead
from pdm_cli.evaluation.exposure import Exposure, measure_exposure
from pdm_cli.evaluation.intervals import event_intervals, precision_interval
from pdm_cli.evaluation.metrics import macro_mean, row_metrics
from pdm_cli.evaluation.shifted_alerts import compare_with_chance, count_shifted
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.labels import FollowUp, lead_us
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.timestamps import US_PER_HOUR

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Warning times in reports, as far as lead time and horizon allow.
_HOURS_AHEAD = (3.0, 6.0, 12.0, 24.0, 36.0, 48.0, 72.0, 96.0, 120.0, 168.0)
_ROW_METRICS = ("roc_auc", "average_precision", "brier", "f1")


@dataclass(frozen=True)
class PredictedSpan:
    """Predictions for a time span, and the truth.

    Attributes
    ----------
    rows : Instants
        The m rows of the span, labelled or not, sorted by machine, then time.
    labels : (m, c) array
        0, 1, or NaN where unknown.
    probabilities : (m, c) array
        Predictions.
    alerts : (m, c) bool array
        Where alerts were on.
    failures : DataFrame
        ``machineID, datetime, failure``.
    known : FollowUp
        Until when the outcome of each machine is known, in the order of ``rows.machines``.
    began_us : (machines,) int array
        First row of each machine's telemetry, which may be long before the span, in microseconds since 1970.
    """

    rows: Instants
    labels: FloatArray
    probabilities: FloatArray
    alerts: BoolArray
    failures: pd.DataFrame
    known: FollowUp
    began_us: IntArray


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation: lead time and horizon, costs, and merging of alerts."""

    labels: LabelsParams
    costs: CostsParams
    merge_hours: float


def evaluate_span(
    span: PredictedSpan,
    components: list[str],
    rules: list[AlertRule],
    *,
    lives: dict[str, Lives],
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """Return the metrics: macro, per component, per event with intervals, and costs.

    The events of all components also have the number of failures since the start that are not evaluated, and why.

    Parameters
    ----------
    span : PredictedSpan
        Predictions and truth.
    components : list of str
        The c components.
    rules : list of AlertRule
        The alert rules; included in the result.
    lives : dict
        Lifetimes of the parts of each component in the training span.
    settings : EvaluationSettings
        Lead time, horizon, costs, and merging.
    """
    exposure = _measure_exposure(span, settings.labels)
    outcomes = {
        component: _evaluate_events(span, column, component, settings.labels, settings.merge_hours)
        for column, component in enumerate(components)
    }
    shifted = [
        count_shifted(span.rows, span.alerts[:, column], outcome, settings.labels)
        for column, outcome in enumerate(outcomes.values())
    ]
    by_component = {
        component: {
            **_evaluate_rows(span, column),
            "threshold": rules[column].on,
            "alert_off": rules[column].off,
            "events": {
                **_describe([outcomes[component]], exposure, settings),
                **_describe_time(span, [column], [outcomes[component]], shifted[column]),
            },
        }
        for column, component in enumerate(components)
    }
    known = ~np.isnan(span.labels)
    return {
        "macro": macro_mean([{name: row[name] for name in _ROW_METRICS} for row in by_component.values()]),
        "intervals": precision_interval(span.labels, span.probabilities, span.rows.codes),
        "components": by_component,
        "events": {
            **_describe(list(outcomes.values()), exposure, settings),
            **_describe_time(span, range(len(components)), list(outcomes.values()), np.sum(shifted, axis=0)),
            "not_judged": _count_not_evaluated(span, components, settings.labels),
        },
        "cold_start": compare_cold_start(
            span.rows, span.labels, span.probabilities, list(outcomes.values()), began_us=span.began_us
        ),
        "calibration_error": calibration_error(span.labels[known], span.probabilities[known]),
        "costs": compare_costs(outcomes, lives, costs=settings.costs, exposure=exposure),
    }


def list_warnings(span: PredictedSpan, components: list[str], *, lead: LabelsParams) -> pd.DataFrame:
    """Return every evaluated failure and its warning time.

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
        ``machineID, datetime, component, warning_hours`` (NaN if missed); component by component, each sorted
        by machine, then time.
    """
    outcomes = [_evaluate_events(span, column, name, lead, 0.0) for column, name in enumerate(components)]
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


def _evaluate_rows(span: PredictedSpan, column: int) -> dict[str, Any]:
    known = ~np.isnan(span.labels[:, column])
    labels, probabilities = span.labels[known, column], span.probabilities[known, column]
    return {
        **row_metrics(labels, probabilities, is_alert=span.alerts[known, column]),
        "calibration_error": calibration_error(labels, probabilities),
        "reliability": reliability(labels, probabilities),
    }


def _evaluate_events(
    span: PredictedSpan, column: int, component: str, lead: LabelsParams, merge_hours: float
) -> EventOutcome:
    is_on, rows = span.alerts[:, column], span.rows
    return evaluate_events(
        Instants(rows.machines, rows.codes[is_on], rows.times[is_on]),
        span.failures[span.failures["failure"] == component],
        watched=rows,
        known=span.known,
        labels=lead,
        merge_hours=merge_hours,
        longest_hours=LONGEST_HORIZONS * lead.horizon_hours,
    )


def _count_not_evaluated(span: PredictedSpan, components: list[str], lead: LabelsParams) -> dict[str, int]:
    """Return how many failures since the start of the span are not evaluated, by reason.

    ``early``: less than a horizon after the start; ``no_telemetry``: the machine's data end before the lead time and
    not with the failure, or it has none in the span or in the warning period.
    """
    rows = span.rows
    failed = EventLog(span.failures[span.failures["failure"].isin(components)], rows.machines)
    horizon_us = round(lead.horizon_hours * US_PER_HOUR)
    has_rows = np.bincount(rows.codes, minlength=len(rows.machines)) > 0
    has_data = has_rows[failed.codes] & (failed.times <= span.known.failures_until(lead_us(lead))[failed.codes])
    is_early = has_data & (failed.times - horizon_us < rows.starts()[failed.codes])
    has_data &= is_early | is_watched(rows, failed, lead)
    is_later = failed.times >= rows.times.min()
    return {"early": int((is_later & is_early).sum()), "no_telemetry": int((is_later & ~has_data).sum())}


def _measure_exposure(span: PredictedSpan, lead: LabelsParams) -> Exposure:
    # The end of the failure log is unknown; it reaches at least the end of the telemetry and its last failure.
    log_end_us = np.concatenate([span.known.ends_us, to_microseconds(span.failures[TIME])]).max()
    return measure_exposure(span.rows, known=span.known, log_end_us=int(log_end_us), labels=lead)


def _describe(outcomes: list[EventOutcome], exposure: Exposure, settings: EvaluationSettings) -> dict[str, Any]:
    lead = settings.labels
    ahead = [hours for hours in _HOURS_AHEAD if lead.lead_time_hours <= hours <= lead.horizon_hours]
    return {
        **summarise_events(outcomes, exposure=exposure),
        "warned_ahead": {f"{hours:g}h": share for hours, share in warned_ahead(outcomes, hours=ahead).items()},
        "intervals": event_intervals(outcomes, exposure),
    }


def _describe_time(
    span: PredictedSpan, columns: Sequence[int], outcomes: list[EventOutcome], shifted: IntArray
) -> dict[str, float | None]:
    """Return the share of rows with an alert of any of the components, and the failures that chance catches then."""
    warning = np.concatenate([outcome.warning_hours for outcome in outcomes])
    expected, p_value = compare_with_chance(shifted, span.rows, int(np.count_nonzero(~np.isnan(warning))))
    return {
        "alert_share": float(span.alerts[:, columns].any(axis=1).mean()),
        "caught_by_chance": expected if len(warning) else None,
        "chance_p_value": p_value if len(warning) else None,
    }
