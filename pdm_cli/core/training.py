"""From a training table to a fitted model, its thresholds, and held-out metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.core.estimators import ESTIMATORS, Model
from pdm_cli.core.events import US_PER_HOUR, Instants
from pdm_cli.core.features import FeatureTable
from pdm_cli.core.metrics import (
    HOURS_PER_MONTH,
    f1_threshold,
    judge_events,
    macro_mean,
    row_metrics,
    summarise_events,
)
from pdm_cli.core.split import Split, least_gap_us, show, time_folds
from pdm_cli.errors import NotEnoughData
from pdm_cli.params import LabelsParams, TrainParams

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Note = Callable[[str], None]


@dataclass(frozen=True)
class Problem:
    """A labelled training table and how it is cut.

    Attributes
    ----------
    table : FeatureTable
        Features of m rows.
    labels : (m, c) array
        0, 1 or NaN where unknown.
    components : list of str
        The c components.
    split : Split
        Cutoff and test span.
    lead : LabelsParams
        Lead time and horizon.
    train : TrainParams
        Folds, estimator and its setting.
    """

    table: FeatureTable
    labels: FloatArray
    components: list[str]
    split: Split
    lead: LabelsParams
    train: TrainParams

    @property
    def horizon_us(self) -> int:
        """Horizon in microseconds."""
        return round(self.lead.horizon_hours * US_PER_HOUR)

    def training_rows(self, split: Split) -> BoolArray:
        """Return the labelled rows that a model of ``split`` may train on."""
        return split.training_rows(self.table.instants.times, self.horizon_us) & ~np.isnan(self.labels[:, 0])

    def test_rows(self, split: Split) -> BoolArray:
        """Return the labelled rows that ``split`` tests on."""
        return split.test_rows(self.table.instants.times, self.horizon_us) & ~np.isnan(self.labels[:, 0])

    def fit(self, rows: BoolArray) -> Model:
        """Fit the estimator on the given rows."""
        categorical = [name in self.table.categorical for name in self.table.names]
        return (
            ESTIMATORS[self.train.estimator]
            .make()
            .fit(
                self.table.values[rows],
                self.labels[rows],
                categorical=categorical,
                hyper=hyper_parameters(self.train),
                seed=self.train.seed,
                threads=self.train.threads,
            )
        )


def hyper_parameters(params: TrainParams) -> dict[str, float]:
    """Return the algorithm's hyper-parameters: its defaults, and what the settings change of them.

    A setting at its default, which is one for XGBoost, leaves another algorithm its own.
    """
    plain = TrainParams()
    defaults = ESTIMATORS[params.estimator].defaults
    set_here = {
        name: getattr(params, name) for name in defaults if getattr(params, name, None) != getattr(plain, name, None)
    }
    return {**defaults, **set_here}


def check_components(problem: Problem) -> None:
    """Refuse components that cannot be learned.

    Raises
    ------
    NotEnoughData
        If a component has no failure that a training row can see, or there is no labelled row to test on.
    """
    if not problem.test_rows(problem.split).any():
        raise NotEnoughData(
            f"no labelled row to test on from {show(problem.split.test_start)}", hint="set an earlier --cutoff"
        )
    rows = problem.training_rows(problem.split)
    for component, labels in zip(problem.components, problem.labels.T, strict=True):
        if not np.any(labels[rows] == 1):
            cutoff = show(problem.split.cutoff)
            raise NotEnoughData(
                f"failures.parquet: {component} has no failure to learn from before the cutoff {cutoff}",
                hint=f"set a later --cutoff{_without(component, problem)}",
            )


def _without(component: str, problem: Problem) -> str:
    others = [name for name in problem.components if name != component]
    return f", or train without it: --components {','.join(others)}" if others else ""


def fold_thresholds(problem: Problem, note: Note) -> tuple[list[float], list[dict[str, float | None]]]:
    """Choose each component's alert threshold by F1 on time-ordered folds inside the training span.

    Returns
    -------
    thresholds : list of float
        One a component.
    scores : list of dict
        Macro row metrics of each fold, at these thresholds.

    Raises
    ------
    NotEnoughData
        If no fold sees a failure of a component.
    """
    gap = least_gap_us(problem.train, problem.lead)
    folds = time_folds(problem.table.instants.times, problem.split, folds=problem.train.folds, gap_us=gap)
    held_out = []
    for number, fold in enumerate(folds, start=1):
        rows, test = problem.training_rows(fold), problem.test_rows(fold)
        unknown = [c for c, labels in zip(problem.components, problem.labels[rows].T, strict=True) if not labels.any()]
        if unknown or not test.any():
            why = f"{', '.join(unknown)} did not fail before it" if unknown else "no labelled row to test on"
            note(f"fold {number} of {len(folds)} left out: {why}")
            continue
        note(f"fold {number} of {len(folds)}: {rows.sum():,} rows to {show(fold.cutoff)}, tested on {test.sum():,}")
        held_out.append((problem.labels[test], problem.fit(rows).predict(problem.table.values[test])))
    if not held_out:
        raise _no_fold(problem, folds[-1])
    thresholds = [_pooled_threshold(problem, held_out, column) for column in range(len(problem.components))]
    scores = [
        macro_mean(
            [row_metrics(y, p, threshold=t) for y, p, t in zip(labels.T, probabilities.T, thresholds, strict=True)]
        )
        for labels, probabilities in held_out
    ]
    return thresholds, scores


def _no_fold(problem: Problem, last: Split) -> NotEnoughData:
    """Name the component that even the last fold has nothing to learn of."""
    labels = problem.labels[problem.training_rows(last)]
    unknown = [c for c, column in zip(problem.components, labels.T, strict=True) if not column.any()]
    if not unknown:
        return NotEnoughData("no fold has a labelled row to test on", hint="set a later --cutoff or fewer --folds")
    return NotEnoughData(
        f"failures.parquet: {unknown[0]} has no failure before {show(last.cutoff)}, so no fold can learn of it",
        hint=f"set a later --cutoff{_without(unknown[0], problem)}",
    )


def _pooled_threshold(problem: Problem, held_out: list[tuple[FloatArray, FloatArray]], column: int) -> float:
    labels = np.concatenate([labels[:, column] for labels, _ in held_out])
    if not np.any(labels == 1):
        component = problem.components[column]
        raise NotEnoughData(
            f"failures.parquet: {component} has no failure in the folds to choose the alert threshold on",
            hint=f"set a later --cutoff or fewer --folds{_without(component, problem)}",
        )
    return f1_threshold(labels, np.concatenate([probabilities[:, column] for _, probabilities in held_out]))


def judge_model(
    problem: Problem, probabilities: FloatArray, thresholds: list[float], failures: pd.DataFrame
) -> dict[str, Any]:
    """Return the metrics of the test span: macro, per component, and per event.

    Parameters
    ----------
    problem : Problem
        The table, labels and split.
    probabilities : (m, c) array
        Predictions for every row; those outside the test span are not looked at.
    thresholds : list of float
        Alert thresholds.
    failures : DataFrame
        ``machineID, datetime, failure``.
    """
    rows = problem.test_rows(problem.split)
    in_span = problem.split.span(problem.table.instants.times)
    months = _machine_months(problem)
    components: dict[str, Any] = {}
    outcomes = []
    for column, component in enumerate(problem.components):
        threshold = thresholds[column]
        scores = row_metrics(problem.labels[rows, column], probabilities[rows, column], threshold=threshold)
        alerts = _alerts(problem.table.instants, in_span & (probabilities[:, column] >= threshold))
        outcome = judge_events(
            alerts,
            failures[failures["failure"] == component],
            start_us=problem.split.test_start,
            ends_us=problem.table.instants.ends(),
            labels=problem.lead,
            merge_hours=problem.train.merge_hours,
        )
        outcomes.append(outcome)
        events = summarise_events([outcome], machine_months=months)
        components[component] = {**scores, "threshold": threshold, "events": events}
    names = ("roc_auc", "average_precision", "brier", "f1")
    macro = macro_mean([{name: component[name] for name in names} for component in components.values()])
    return {
        "macro": macro,
        "components": components,
        "events": summarise_events(outcomes, machine_months=months),
    }


def _alerts(instants: Instants, is_alert: BoolArray) -> Instants:
    return Instants(instants.machines, instants.codes[is_alert], instants.times[is_alert])


def _machine_months(problem: Problem) -> float:
    """Return machine-months of the test span, each machine counted as long as it has rows."""
    instants = problem.table.instants
    in_span = problem.split.span(instants.times)
    times = pd.Series(instants.times[in_span]).groupby(instants.codes[in_span])
    return float((times.max() - times.min()).sum() / US_PER_HOUR / HOURS_PER_MONTH)
