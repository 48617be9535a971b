"""Leakage checks: features must not use the future, and tests must not overlap the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.anomalies.detectors import find_anomalies
from pdm_cli.errors import ModelError
from pdm_cli.features.build import FEATURES, Context, build_features, match_states
from pdm_cli.features.events import Instants
from pdm_cli.features.rolling import rolling_features
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import DetectParams, FeaturesParams
from pdm_cli.text import show_count
from pdm_cli.units import exact_time

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Matrix = NDArray[np.float32]

# Rows without a failure ahead are sampled: there are many, and they are similar.
_MAX_NEGATIVES = 30_000
# Each distinct time of a sample requires one rebuild of the features.
_SAMPLE_TIMES = 6


def find_separating(
    values: Matrix, labels: FloatArray, names: Sequence[str], components: Sequence[str], *, limit: float = 0.999
) -> list[tuple[str, str, float]]:
    """Return the features that predict a component's failures almost perfectly on their own, a sign of leakage.

    Parameters
    ----------
    values : (m, f) float32 array
        Features; missing values count as lowest or as highest, whichever separates better.
    labels : (m, c) array
        0, 1 or NaN where unknown (then for all components).
    names : sequence of str
        The f features.
    components : sequence of str
        The c components.
    limit : float
        ROC AUC above which a feature is suspicious, 0.5 to 1; in either direction.

    Returns
    -------
    list of (feature, component, AUC)
        Highest AUC first. Exact up to 30,000 rows without a failure ahead, otherwise from an even sample.

    References
    ----------
    .. [1] H. B. Mann, D. R. Whitney (1947), Annals of Mathematical Statistics 18(1), 50-60.
    """
    rows, weights = _even_sample(labels)
    if not len(rows):
        return []
    is_failing = (labels[rows] == 1).astype(np.float64)
    failing = is_failing.sum(axis=0)
    others = weights.sum() - failing
    aucs = np.empty((len(names), len(components)))
    for feature, column in enumerate(np.ascontiguousarray(values[rows].T)):
        is_missing = np.isnan(column)
        both = []
        for substitute in (-np.inf, np.inf) if is_missing.any() else (0.0,):
            below = _weight_below(np.where(is_missing, substitute, column), weights)
            # Within the failing rows, half of all pairs are in order.
            above_others = below @ is_failing - failing**2 / 2
            with np.errstate(invalid="ignore"):
                auc = above_others / (failing * others)
            both.append(np.maximum(auc, 1 - auc))
        # Rounding of the weights may give a perfect feature slightly more than 1.
        aucs[feature] = np.minimum(np.max(both, axis=0), 1.0)
    # Components that never or always fail have an AUC of NaN, which compares as False.
    found = [(names[f], components[c], float(aucs[f, c])) for f, c in np.argwhere(aucs > limit)]
    return sorted(found, key=lambda finding: -finding[2])


def _even_sample(labels: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return all labelled rows with a failure ahead, an even sample of the others, and their weights."""
    is_failing = (labels == 1).any(axis=1)
    failing = np.flatnonzero(is_failing)
    negatives = np.flatnonzero(~is_failing & ~np.isnan(labels).any(axis=1))
    taken = np.linspace(0, len(negatives) - 1, min(len(negatives), _MAX_NEGATIVES)).astype(np.int64)
    each = len(negatives) / max(len(taken), 1)
    weights = np.concatenate([np.ones(len(failing)), np.full(len(taken), each)])
    return np.concatenate([failing, negatives[taken]]), weights


def _weight_below(values: Matrix, weights: FloatArray) -> FloatArray:
    """Return the weight of the rows with a lower value than each row, plus half of those with the same one."""
    order = np.argsort(values)
    ordered = values[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    upto = np.cumsum(weights[order])[ends]
    before = np.concatenate([[0.0], upto[:-1]])
    below = np.empty(len(values))
    below[order] = np.repeat((before + upto) / 2, np.diff(ends, prepend=-1))
    return below


def check_disjoint(
    training_rows: BoolArray, test_rows: BoolArray, times: IntArray, *, horizon_us: int, test_start: int
) -> None:
    """Reject a split whose training rows overlap the test span.

    Parameters
    ----------
    training_rows, test_rows : (m,) bool arrays
        Training rows and test rows.
    times : (m,) int array
        Timestamps of the rows, microseconds since 1970.
    horizon_us : int
        Horizon of the labels, in microseconds.
    test_start : int
        Start of the test span, microseconds since 1970.

    Raises
    ------
    ModelError
        If a row is in both, the label of a training row depends on the test span, or a test row lies before it.
    """
    start = exact_time(test_start)
    looks_in = training_rows & (times + horizon_us >= test_start)
    wrongs = (
        (training_rows & test_rows, "is both trained and tested on"),
        (looks_in, f"is trained on, but its label depends on the test span from {start}"),
        (test_rows & (times < test_start), f"is tested on, but lies before the test span from {start}"),
    )
    for is_wrong, problem in wrongs:
        if is_wrong.any():
            raise ModelError(
                f"split: the row of {exact_time(int(times[is_wrong].min()))} {problem}",
                hint="set a later --test-start, or a longer --gap-hours",
                rows=int(is_wrong.sum()),
            )


def check_machines(training_rows: BoolArray, test_rows: BoolArray, codes: IntArray) -> None:
    """Reject a split by machine that trains and tests on the same machine.

    Parameters
    ----------
    training_rows, test_rows : (m,) bool arrays
        Training rows and test rows.
    codes : (m,) int array
        Machine of each row.

    Raises
    ------
    ModelError
        If a machine is in both.
    """
    both = np.intersect1d(codes[training_rows], codes[test_rows])
    if len(both):
        raise ModelError(f"split: {show_count(len(both), 'machine')} both trained and tested on", hint="report a bug")


def choose_sample(
    instants: Instants, rows: BoolArray, *, before_failure: BoolArray, count: int = 12, seed: int
) -> IntArray:
    """Return rows to check features for leakage from the future: six times, several machines at each.

    Half of the times are shortly before a failure, because leakage from failures, or from the repairs and errors
    around them, only shows there.

    Parameters
    ----------
    instants : Instants
        The m rows.
    rows : (m,) bool array
        Rows to choose from.
    before_failure : (m,) bool array
        Rows with a failure ahead.
    count : int
        Maximum number of rows, at least 1.
    seed : int
        Random seed.

    Returns
    -------
    int array
        Positions, increasing; fewer than ``count`` if the chosen times have fewer machines.
    """
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    # At each time, machines that are about to fail come first.
    candidates = np.concatenate([drawn[before_failure[drawn]], drawn[~before_failure[drawn]]])
    eventful, ordinary = (_first_times(instants.times[part]) for part in (drawn[before_failure[drawn]], drawn))
    half = min(_SAMPLE_TIMES, count) // 2
    chosen = list(dict.fromkeys([*eventful[:half], *ordinary]))[: min(_SAMPLE_TIMES, count)]
    found = [candidates[instants.times[candidates] == time][: count // len(chosen)] for time in chosen]
    return np.sort(np.concatenate([candidates[:0], *found]))


def _first_times(times: IntArray) -> list[int]:
    """Return the distinct times in order of first appearance."""
    distinct, firsts = np.unique(times, return_index=True)
    return [int(time) for time in distinct[np.argsort(firsts)]]


def rebuild_truncated(
    context: Context,
    positions: NDArray[np.intp],
    names: list[str],
    states: Mapping[str, Any],
    *,
    features: FeaturesParams,
    detect: DetectParams,
    families: Iterable[str] | None = None,
) -> NDArray[np.float32]:
    """Return the features of some instants, each built without any later data.

    Parameters
    ----------
    context : Context
        Data that the whole table was built from.
    positions : int array
        The k instants.
    names : list of str
        Columns to return.
    states : mapping
        States of the fitted families; not fitted again.
    features, detect : FeaturesParams, DetectParams
        Settings of rolling features and anomaly detection.
    families : iterable of str, optional
        Families of the columns; default: all.

    Returns
    -------
    (k, len(names)) float32 array
        NaN where missing.
    """
    instants = context.instants
    values = np.empty((len(positions), len(names)), np.float32)
    chosen = set(FEATURES if families is None else families)
    if "anomalies" not in chosen:
        context = _without_anomalies(context)
    times = instants.times[positions]
    for time in np.unique(times).tolist():
        own = np.flatnonzero(times == time)
        machines = instants.machines[instants.codes[positions[own]]]
        truncated = _truncate(context, machines, time, features=features, detect=detect)
        table = build_features(truncated, [name for name in FEATURES if name in chosen]).join(
            match_states(truncated, states)
        )
        values[own] = table.matrix(names)[truncated.instants.machines.get_indexer(machines)]
    return values


def _without_anomalies(context: Context) -> Context:
    """Return the context without the table of anomalies, whose detection takes long."""
    events = {name: log for name, log in context.sources.events.items() if name != "anomalies"}
    return replace(context, sources=replace(context.sources, events=events))


def _truncate(
    context: Context, machines: pd.Index, time: int, *, features: FeaturesParams, detect: DetectParams
) -> Context:
    """Return a context of some machines at one instant, without later data."""
    sources = context.sources
    telemetry = sources.telemetry
    is_known = telemetry[MACHINE].isin(machines).to_numpy() & (to_microseconds(telemetry[TIME]) <= time)
    past = telemetry[is_known].reset_index(drop=True)
    rolling = rolling_features(past, step_us=sources.step_us, params=features)
    # Of the whole fleet: some features depend on other machines.
    events = {name: log[to_microseconds(log[TIME]) <= time] for name, log in sources.events.items()}
    if "anomalies" in events:
        found, _ = find_anomalies(past, step_us=sources.step_us, params=detect)
        events["anomalies"] = found.rename(columns={"sensor": "kind"})
    past_sources = replace(
        sources,
        rolling=rolling[to_microseconds(rolling[TIME]) == time].reset_index(drop=True),
        telemetry=past,
        events=events,
    )
    return replace(context, sources=past_sources)


def compare_truncated(
    names: Sequence[str], whole: Matrix, truncated: Matrix, machines: Sequence[object], times: IntArray
) -> None:
    """Reject features that change if later data are removed.

    Parameters
    ----------
    names : sequence of str
        The f features.
    whole : (k, f) array
        Features of k rows, built from the whole tables.
    truncated : (k, f) array
        Features of the same rows, built from readings and events up to the time of each row only.
    machines : sequence
        Machine of each row.
    times : (k,) int array
        Timestamp of each row, microseconds since 1970.

    Raises
    ------
    ModelError
        If any value differs at all; two missing values are equal. Names the first one by row, then feature.
    ValueError
        If the shapes differ.
    """
    if whole.shape != truncated.shape:
        raise ValueError(f"features of shape {whole.shape} compared with {truncated.shape}")
    differs = (whole != truncated) & ~(np.isnan(whole) & np.isnan(truncated))
    if not differs.any():
        return
    row, column = np.argwhere(differs)[0].tolist()
    raise ModelError(
        f"feature {names[column]} of machine {machines[row]} at {exact_time(int(times[row]))} uses the future: it is "
        f"{whole[row, column]}, but {truncated[row, column]} without later readings and events",
        hint="run pdm preprocess and detect-anomalies --mode causal again; if the error persists, report a bug",
        features=[name for name, is_ahead in zip(names, differs.any(axis=0), strict=True) if is_ahead],
    )
