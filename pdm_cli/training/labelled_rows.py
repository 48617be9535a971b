"""Labelled rows: the outcomes that are known, and the rows of the training, the folds and the test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp, follow_up, label_failures, last_readings
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.text import name_some, show_count
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.training.choose_split import SplitChoice, choose_split, has_failed
from pdm_cli.training.screening import draw_negatives
from pdm_cli.training.splits import (
    Split,
    hold_out_machines,
    machine_folds,
    more_to_test_on,
    more_to_train_on,
    split_by_time,
    stratify,
    time_folds,
)
from pdm_cli.training.validate_settings import min_gap_us
from pdm_cli.units import exact_time, show_hours, show_two_hours

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]
IntArray = NDArray[np.int64]

# Failures of a component without which not even a single fold has one to train and one to test on.
_LEAST_FAILURES = 2


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with labels, and their splits.

    Attributes
    ----------
    instants : Instants
        Machine and time of the m rows.
    labels : (m, c) array
        0, 1 or NaN where unknown.
    components : list of str
        The c components.
    failures : DataFrame
        ``machineID, datetime, failure``.
    known : FollowUp
        Until when the outcome of each machine is known, in the order of the instants' machines.
    split : Split
        Cutoff and test span.
    folds : list of Split
        Within the training span, in order of time or by machine; none if no component is learnable.
    learnable : (c,) bool array
        Components with rows before a failure, and with other rows, to train and to test on in every fold; the rest only
        get their base rate.
    choice : SplitChoice
        Whether the split is by time, by machine or both, and why.
    held_out : (machines,) bool array
        Test machines, in the order of the instants' machines; all False for a split by time.
    lead : LabelsParams
        Lead time and horizon.
    train : TrainParams
        Settings of features, search and alerts; the split is the chosen one.
    """

    instants: Instants
    labels: FloatArray
    components: list[str]
    failures: pd.DataFrame
    known: FollowUp
    split: Split
    folds: list[Split]
    learnable: BoolArray
    choice: SplitChoice
    held_out: BoolArray
    lead: LabelsParams
    train: TrainParams

    @property
    def horizon_us(self) -> int:
        """Horizon in microseconds."""
        return round(self.lead.horizon_hours * US_PER_HOUR)

    def training_rows(self, split: Split) -> BoolArray:
        """Return the labelled rows that a model of ``split`` may train on."""
        rows = split.training_rows(self.instants.times, self.horizon_us, self.instants.codes)
        return np.asarray(rows & ~np.isnan(self.labels[:, 0]))

    def fitting_rows(self, split: Split, *, part: float = 1.0) -> tuple[IndexArray, FloatArray]:
        """Return the training rows that models are fitted on, and their weights.

        All rows with a failure ahead, and a random share of the others, weighted up. Rows of a machine three hours
        apart are similar, so little is lost. With ``part`` below 1, only that part of the others is drawn.
        """
        has_failure = (self.labels == 1).any(axis=1)
        trained = self.training_rows(split)
        draws = np.random.default_rng(self.train.seed).random(len(has_failure))
        drawn, weight = draw_negatives(trained & ~has_failure, draws, part * self.train.negative_share)
        rows = np.flatnonzero((trained & has_failure) | drawn)
        return rows, np.where(has_failure[rows], 1.0, weight)

    def fitting_labels(self, rows: IndexArray) -> FloatArray:
        """Return the labels of the learnable components on some rows to fit a model on.

        Raises
        ------
        NotEnoughData
            If all labels of a component are equal.
        """
        labels = self.labels[rows]
        for name, column in itertools.compress(zip(self.components, labels.T, strict=True), self.learnable):
            if np.all(column == column[:1]):
                raise NotEnoughData(
                    f"{name}: all {len(column)} rows to train on are {'before' if column.any() else 'without'} a "
                    "failure",
                    hint="set another --horizon-hours, or provide longer telemetry",
                )
        return labels[:, self.learnable]

    def test_rows(self, split: Split) -> BoolArray:
        """Return the labelled rows that ``split`` tests on."""
        rows = split.test_rows(self.instants.times, self.horizon_us, self.instants.codes)
        return np.asarray(rows & ~np.isnan(self.labels[:, 0]))

    def test_span(self, split: Split) -> BoolArray:
        """Return the rows of the test span, labelled or not."""
        return np.asarray(split.span(self.instants.times, self.instants.codes))

    def tested_machines(self, split: Split) -> BoolArray:
        """Return which machines a split tests on."""
        return np.ones(len(self.held_out), np.bool_) if split.tested is None else split.tested

    def trained_machines(self, split: Split) -> BoolArray:
        """Return which machines a model of ``split`` may train on."""
        return np.ones(len(self.held_out), np.bool_) if split.trained is None else split.trained

    def base_rates(self) -> FloatArray:
        """Return the share of the training rows before a failure of each component, (c,).

        As if one more row came before a failure and one more did not: a component that has not failed may fail.
        """
        labels = self.labels[self.training_rows(self.split)]
        return np.asarray((np.sum(labels == 1, axis=0) + 1) / (len(labels) + 2))


def label_rows(
    instants: Instants, telemetry: pd.DataFrame, failures: pd.DataFrame, *, train: TrainParams, labels: LabelsParams
) -> LabelledRows:
    """Label rows, and split them.

    Parameters
    ----------
    instants : Instants
        The m rows.
    telemetry : DataFrame
        Prepared telemetry, sorted by machine and time.
    failures : DataFrame
        ``machineID, datetime, failure``.
    train, labels
        Settings.

    Raises
    ------
    UsageError
        If cutoff and test start are too close.
    DataError
        If there are no failures, or no rows to train or test on.
    """
    components = choose_components(failures["failure"], train)
    known = follow_up(last_readings(telemetry), failures, instants.machines, params=labels)
    outcomes = label_failures(instants, failures, components, known=known, params=labels)
    choice = choose_split(instants, outcomes, components, known, train=train, lead=labels)
    train = replace(train, split=choice.kind)
    strata = stratify(has_failed(instants, outcomes))
    split = _split_outer(instants, strata, train=train, labels=labels)
    folds, learnable = _choose_folds(instants, outcomes, strata, split, train=train, lead=labels)
    return LabelledRows(
        instants=instants,
        labels=outcomes,
        components=components,
        failures=failures,
        known=known,
        split=split,
        folds=folds,
        learnable=learnable,
        choice=choice,
        held_out=np.zeros(len(strata), np.bool_) if split.trained is None else ~split.trained,
        lead=labels,
        train=train,
    )


def _split_outer(instants: Instants, strata: IntArray, *, train: TrainParams, labels: LabelsParams) -> Split:
    """Return the split of the whole log, by time, by machine or both."""
    split = split_by_time(instants.times, train=train, labels=labels)
    if train.split == "time":
        return split
    held_out = hold_out_machines(strata, share=train.test_share, seed=train.seed)
    return replace(split, trained=~held_out, tested=held_out)


def _choose_folds(
    instants: Instants,
    labels: FloatArray,
    strata: IntArray,
    split: Split,
    *,
    train: TrainParams,
    lead: LabelsParams,
) -> tuple[list[Split], BoolArray]:
    """Return the folds within the training rows, and the components that can be learned on all of them.

    The folds are by machine if the split is, else in order of time. There are fewer than ``train.folds`` if more
    components can be learned then: each needs rows before a failure, and other rows, to train and to test on in every
    fold.
    """
    rows = np.flatnonzero(~np.isnan(labels[:, 0]))
    is_ahead, times, codes = labels[rows] == 1, instants.times[rows], instants.codes[rows]
    horizon = round(lead.horizon_hours * US_PER_HOUR)
    best: tuple[list[Split], BoolArray] = [], np.zeros(labels.shape[1], np.bool_)
    for count in range(train.folds, 0, -1):
        if split.is_by_time:
            folds = time_folds(instants.times, split, folds=count, gap_us=min_gap_us(train, lead))
        else:
            folds = machine_folds(split, strata, folds=count, seed=train.seed)
        learnable = np.ones(labels.shape[1], np.bool_)
        for fold in folds:
            for part in (fold.training_rows(times, horizon, codes), fold.test_rows(times, horizon, codes)):
                learnable &= is_ahead[part].any(axis=0) & ~is_ahead[part].all(axis=0)
        if learnable.sum() > best[1].sum():
            best = folds, learnable
        if learnable.all():
            break
    return best


def choose_components(components: pd.Series, train: TrainParams) -> list[str]:
    """Return the components to train on.

    Parameters
    ----------
    components : Series of str
        The component of each failure.
    train : TrainParams
        ``components``; empty for all that failed.

    Raises
    ------
    NotEnoughData
        If there are no failures.
    DataError
        If a chosen component never failed.
    """
    failed = sorted(components.unique())
    if not failed:
        raise NotEnoughData("failures.parquet: the table is empty (0 rows)", hint="training requires past failures")
    unknown = [name for name in train.components if name not in failed]
    if unknown:
        raise DataError(
            f"failures.parquet: no failures of {', '.join(unknown)}", hint=f"--components accepts {', '.join(failed)}"
        )
    return list(dict.fromkeys(train.components)) or failed


def check_rows(rows: LabelledRows, telemetry: pd.DataFrame) -> None:
    """Reject rows without any to test on, or without enough failures to train on.

    Parameters
    ----------
    rows : LabelledRows
        The rows.
    telemetry : DataFrame
        Prepared telemetry, sorted by machine and time.

    Raises
    ------
    NotEnoughData
        Says which of them is missing.
    """
    if not rows.test_rows(rows.split).any():
        raise NotEnoughData(
            f"no labelled row to test on from {exact_time(rows.split.test_start)}",
            hint=f"{more_to_test_on(rows.train)}, or a shorter --horizon-hours",
        )
    _reject_untrainable(rows, telemetry)
    if not rows.learnable.any():
        raise NotEnoughData(
            f"failures.parquet: too few failures of {name_some(rows.components)} to train on in every fold, so the "
            "model would never alert",
            hint=more_failures(rows, rows.components),
            components=rows.components,
        )


def more_failures(rows: LabelledRows, components: list[str]) -> str:
    """Return how to get more failures of components into the folds, with options only if they can help.

    They cannot if there are too few failures, or machines that failed, in the whole log.
    """
    own = rows.failures[rows.failures["failure"].isin(components)].groupby("failure")
    by_time = bool((own[TIME].nunique() >= _LEAST_FAILURES).any())
    # At least one machine is held out for the test.
    by_machine = len(rows.instants.machines) > _LEAST_FAILURES
    by_machine &= bool((own[MACHINE].nunique() >= _LEAST_FAILURES).any())
    kind, fixes = rows.train.split, []
    if by_time if kind == "time" else by_machine:
        fixes.append(more_to_train_on(rows.train))
    if kind == "time" and by_machine:
        fixes.append("test on other machines with --split machine")
    elif kind == "machine" and by_time:
        fixes.append("test on later data with --split time")
    elif kind == "both" and by_time:
        fixes.append("test on later data or other machines only with --split time or machine")
    if not fixes:
        where = " before the cutoff" if kind == "time" else ", on different machines that are not held out"
        return (
            f"provide a longer log (training needs at least {_LEAST_FAILURES} failures of a component{where}: one to "
            "train and one to test on in a fold)"
        )
    return f"provide a longer log{''.join(f', {fix}' for fix in fixes[:-1])}, or {fixes[-1]}"


def _reject_untrainable(rows: LabelledRows, telemetry: pd.DataFrame) -> None:
    """Reject rows if no component has a failure to train on."""
    labels, components = rows.labels, rows.components
    if len(_never_failing(labels[rows.training_rows(rows.split)], components)) < len(components):
        return
    named = name_some(components)
    # Report the first cause that applies to any of them: its fix may help the others, too.
    if outside := [name for name in components if _is_outside(rows, telemetry, name)]:
        count = int(rows.failures["failure"].isin(outside).sum())
        message = f"no failure of {name_some(outside)} ({count:,} in all) is within its machine's telemetry"
        fix = "complete the telemetry, or align the clocks (--timezone)"
    elif len(_never_failing(labels, components)) == len(components):
        lead = rows.lead
        message = (
            f"no row lies {show_two_hours(lead.lead_time_hours, lead.horizon_hours)} before a failure of {named} and "
            f"{show_hours(lead.horizon_hours)} before the end of the telemetry"
        )
        fix = "set another --lead-time-hours or --horizon-hours, or provide longer telemetry"
    else:
        verb = "has" if len(components) == 1 else "have"
        message = f"{named} {verb} no failure {_describe_training(rows)}"
        fix = more_failures(rows, components)
    raise NotEnoughData(f"failures.parquet: {message}", hint=fix, components=components)


def _describe_training(rows: LabelledRows) -> str:
    """Return ``to train on before the cutoff 2015-03-01``, or the machines to train on."""
    before = f"before the cutoff {exact_time(rows.split.cutoff)}" if rows.split.is_by_time else ""
    if not rows.held_out.any():
        return f"to train on {before}"
    machines = show_count(int((~rows.held_out).sum()), "machine")
    return f"{before} on the {machines} to train on (--split {rows.train.split})".lstrip()


def _never_failing(labels: FloatArray, components: list[str]) -> list[str]:
    return [name for column, name in enumerate(components) if not (labels[:, column] == 1).any()]


def _is_outside(rows: LabelledRows, telemetry: pd.DataFrame, component: str) -> bool:
    """Return whether all failures of a component lie outside the telemetry of their machine."""
    spans = telemetry.groupby(MACHINE)[TIME].agg(["first", "last"])
    failures = rows.failures[rows.failures["failure"] == component]
    span = spans.reindex(failures[MACHINE])
    times = failures[TIME].to_numpy()
    return not ((times >= span["first"].to_numpy()) & (times <= span["last"].to_numpy())).any()
