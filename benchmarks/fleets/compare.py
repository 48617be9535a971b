"""Scores of a tool on a set, and the comparison of pdm with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.evaluation.alerts import LONGEST_HORIZONS
from pdm_cli.evaluation.events import evaluate_events, summarise_events
from pdm_cli.evaluation.exposure import measure_exposure
from pdm_cli.evaluation.metrics import macro_mean, row_metrics
from pdm_cli.features.events import Instants
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE
from pdm_cli.training.dataset import Problem

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

REPLICATES = 400
LOWER_QUANTILE = 0.05


@dataclass(frozen=True)
class Scored:
    """Labels and probabilities of the test rows of a set, (m, c) arrays, and the machine of each row."""

    labels: FloatArray
    probabilities: FloatArray
    codes: NDArray[np.int64]


def span_labels(problem: Problem) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the labels of the test span, NaN where a row is not evaluated, and the machine of each row."""
    rows = problem.test_span(problem.split)
    labels = np.where(problem.test_rows(problem.split)[:, None], problem.labels, np.nan)[rows]
    return labels, problem.instants.codes[rows]


def score(problem: Problem, probabilities: FloatArray, alerts: BoolArray) -> dict[str, Any]:
    """Return average precision and F1 as means over the components, and the events of all components together."""
    labels, _ = span_labels(problem)
    by_component = {}
    for column, component in enumerate(problem.components):
        known = ~np.isnan(labels[:, column])
        by_component[component] = row_metrics(
            labels[known, column], probabilities[known, column], is_alert=alerts[known, column]
        )
    return {
        **macro_mean(list(by_component.values())),
        **_score_events(problem, alerts),
        "components": {name: row["average_precision"] for name, row in by_component.items()},
    }


def _score_events(problem: Problem, alerts: BoolArray) -> dict[str, Any]:
    """Return failures, caught ones and false alarms, by the rules of ``pdm evaluate``."""
    span = problem.test_span(problem.split)
    instants = problem.instants
    rows = Instants(instants.machines, instants.codes[span], instants.times[span])
    tested = problem.failures[MACHINE].isin(instants.machines[problem.tested_machines(problem.split)])
    failures = problem.failures[tested]
    outcomes = [
        evaluate_events(
            Instants(rows.machines, rows.codes[alerts[:, column]], rows.times[alerts[:, column]]),
            failures[failures["failure"] == component],
            watched=rows,
            known=problem.known,
            labels=problem.lead,
            merge_hours=problem.train.merge_hours,
            longest_hours=LONGEST_HORIZONS * problem.lead.horizon_hours,
        )
        for column, component in enumerate(problem.components)
    ]
    log_end = int(np.concatenate([problem.known.ends_us, to_microseconds(failures["datetime"])]).max())
    exposure = measure_exposure(rows, known=problem.known, log_end_us=log_end, labels=problem.lead)
    summary = summarise_events(outcomes, exposure=exposure)
    return {name: summary[name] for name in ("failures", "caught", "false_alarms", "false_alarms_per_machine_month")}


def weighted_precision(labels: FloatArray, probabilities: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the average precision under each row of ``weights``; NaN without a positive.

    Parameters
    ----------
    labels, probabilities : (m,) arrays
        0 or 1, and predictions.
    weights : (b, m) array
        How often each replicate has drawn each row.
    """
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    # Equal probabilities are one threshold.
    last = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]
    found = np.empty(len(weights))
    for replicate, own in enumerate(weights):
        drawn = own[order]
        hits = np.cumsum(drawn * labels[order])[last]
        seen = np.cumsum(drawn)[last]
        total = hits[-1]
        precision = hits / np.maximum(seen, 1e-300)
        found[replicate] = np.sum(np.diff(hits, prepend=0.0) * precision) / total if total else np.nan
    return found


def replicate_precision(scored: Scored, *, seed: int) -> FloatArray:
    """Return the mean average precision over components for samples of machines drawn with replacement.

    The same seed draws the same machines, so that two tools on the same rows are compared in pairs.
    """
    tested = np.unique(scored.codes)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(tested), np.full(len(tested), 1 / len(tested)), size=REPLICATES)
    weights = counts.astype(np.float64)[:, np.searchsorted(tested, scored.codes)]
    by_component = []
    for column in range(scored.labels.shape[1]):
        known = ~np.isnan(scored.labels[:, column])
        labels = scored.labels[known, column]
        if labels.any() and not labels.all():
            by_component.append(weighted_precision(labels, scored.probabilities[known, column], weights[:, known]))
    mean: FloatArray = np.nanmean(by_component, axis=0)
    return mean


def compare(ours: dict[str, Scored], theirs: dict[str, Scored]) -> tuple[float, float]:
    """Return the mean over the shared sets of pdm's average precision minus another tool's, and its lower bound."""
    shared = [name for name in ours if name in theirs]
    gains = [
        replicate_precision(ours[name], seed=place) - replicate_precision(theirs[name], seed=place)
        for place, name in enumerate(shared)
    ]
    mean = np.nanmean(gains, axis=0)
    return float(np.mean(mean)), float(np.quantile(mean, LOWER_QUANTILE))
