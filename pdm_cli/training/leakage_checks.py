"""Guards that a model is honest: its features see no future, and its tests are of time it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import ModelError, NotEnoughData
from pdm_cli.features.events import Instants
from pdm_cli.settings.model import TrainParams
from pdm_cli.text import name_some
from pdm_cli.timestamps import US_PER_HOUR, show
from pdm_cli.training.splits import Split, more_to_train_on, train_without

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Matrix = NDArray[np.float32]

# Rows without any failure ahead are looked at in a sample: they are by far the most, and much alike.
_MOST_NEGATIVES = 30_000
# Each distinct time of a sample costs one rebuild of the features.
_SAMPLE_TIMES = 6


def find_separating(
    values: Matrix, labels: FloatArray, names: Sequence[str], components: Sequence[str], *, limit: float = 0.999
) -> list[tuple[str, str, float]]:
    """Return the features that tell a component's failures all by themselves, a sign that they know of the future.

    Parameters
    ----------
    values : (m, f) float32 array
        Features; missing ones count as the lowest value or as the highest, whichever separates better.
    labels : (m, c) array
        0, 1 or NaN where unknown, for all components at once.
    names : sequence of str
        The f features.
    components : sequence of str
        The c components.
    limit : float
        ROC AUC above which a feature is too good, 0.5 to 1; high or low values may be those that tell.

    Returns
    -------
    list of (feature, component, AUC)
        Highest AUC first. Exact up to 30,000 rows without a failure ahead, of more from an even sample.

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
        for stand_in in (-np.inf, np.inf) if is_missing.any() else (0.0,):
            below = _weight_below(np.where(is_missing, stand_in, column), weights)
            # Of the pairs within the failing rows, each row stands above half.
            above_others = below @ is_failing - failing**2 / 2
            with np.errstate(invalid="ignore"):
                auc = above_others / (failing * others)
            both.append(np.maximum(auc, 1 - auc))
        # Weights round, so that a perfect feature may come out above 1 by a hair.
        aucs[feature] = np.minimum(np.max(both, axis=0), 1.0)
    # Components that never fail, or always, have no AUC, and NaN is above no limit.
    found = [(names[f], components[c], float(aucs[f, c])) for f, c in np.argwhere(aucs > limit)]
    return sorted(found, key=lambda finding: -finding[2])


def _even_sample(labels: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return all labelled rows with a failure ahead and some without, and how many rows each stands for."""
    is_failing = (labels == 1).any(axis=1)
    failing = np.flatnonzero(is_failing)
    negatives = np.flatnonzero(~is_failing & ~np.isnan(labels).any(axis=1))
    taken = np.linspace(0, len(negatives) - 1, min(len(negatives), _MOST_NEGATIVES)).astype(np.int64)
    each = len(negatives) / max(len(taken), 1)
    weights = np.concatenate([np.ones(len(failing)), np.full(len(taken), each)])
    return np.concatenate([failing, negatives[taken]]), weights


def _weight_below(values: Matrix, weights: FloatArray) -> FloatArray:
    """Return for each row the weight of the rows with a lower value, and half of those with the same one."""
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
    """Refuse a split whose training rows know anything of the test span.

    Parameters
    ----------
    training_rows, test_rows : (m,) bool arrays
        Which rows are trained on, and tested on.
    times : (m,) int array
        Stamps of the rows, microseconds since 1970.
    horizon_us : int
        How far ahead labels look, in microseconds.
    test_start : int
        First instant of the test span, microseconds since 1970.

    Raises
    ------
    ModelError
        If a row is in both, a training row's label looks into the test span, or a test row lies before it.
    """
    looks_in = training_rows & (times + horizon_us >= test_start)
    wrongs = (
        (training_rows & test_rows, "is both trained and tested on"),
        (looks_in, f"is trained on, but its label looks into the test span from {show(test_start)}"),
        (test_rows & (times < test_start), f"is tested on, but lies before the test span from {show(test_start)}"),
    )
    for is_wrong, what in wrongs:
        if is_wrong.any():
            raise ModelError(
                f"split: the row of {show(int(times[is_wrong].min()))} {what}",
                hint="set a later --test-start, or a longer --gap-hours",
                rows=int(is_wrong.sum()),
            )


def check_folds(
    folds: Sequence[Split],
    labels: FloatArray,
    times: IntArray,
    *,
    components: Sequence[str],
    horizon_us: int,
    train: TrainParams,
) -> None:
    """Refuse folds that cannot learn or cannot judge a component.

    Parameters
    ----------
    folds : sequence of Split
        In the order of time.
    labels : (m, c) array
        0, 1 or NaN where unknown.
    times : (m,) int array
        Stamps of the rows, microseconds since 1970.
    components : sequence of str
        The c components.
    horizon_us : int
        How far ahead labels look, in microseconds.
    train : TrainParams
        ``split`` and ``cutoff``, for the way out.

    Raises
    ------
    NotEnoughData
        If a fold has no row to test on, or no training row, or no test row, of it has a failure of a component ahead.
    """
    for number, fold in enumerate(folds, start=1):
        if not fold.test_rows(times, horizon_us).any():
            hours = (fold.test_end - fold.cutoff) / US_PER_HOUR
            raise NotEnoughData(
                f"fold {number} of {len(folds)} is too short: its {hours:g} h from {show(fold.cutoff)} on leave no row "
                "to test on after the gap and before the horizon",
                hint=_more_for_folds(len(folds), train, is_short=True),
                fold=number,
            )
    lacks = _find_lacks(folds, labels == 1, times, components, horizon_us)
    if lacks:
        lack = lacks[0]
        # One hint for the lacks of all folds, so that not each of them takes a call to find out.
        missing = {name for each in lacks for name in each.missing}
        verb = "has" if len(lack.missing) == 1 else "have"
        raise NotEnoughData(
            f"failures.parquet: {name_some(lack.missing)} {verb} no failure to {lack.what} in fold {lack.number} of "
            f"{len(folds)}, {lack.when}",
            hint=", or ".join([*train_without(missing, components), _more_for_folds(len(folds), train)]),
            fold=lack.number,
            components=[name for name in components if name in missing],
        )


class _Lack(NamedTuple):
    """Components without a failure in a part of a fold: its number from 1, what the part is for, when it is."""

    missing: list[str]
    number: int
    what: str
    when: str


def _find_lacks(
    folds: Sequence[Split], is_failing: BoolArray, times: IntArray, components: Sequence[str], horizon_us: int
) -> list[_Lack]:
    lacks = []
    for number, fold in enumerate(folds, start=1):
        until, test = f"until {show(fold.cutoff)}", f"from {show(fold.test_start)} to {show(fold.test_end)}"
        for rows, what, when in (
            (fold.training_rows(times, horizon_us), "learn from", until),
            (fold.test_rows(times, horizon_us), "test on", test),
        ):
            missing = [name for column, name in enumerate(components) if not is_failing[rows, column].any()]
            if missing:
                lacks.append(_Lack(missing, number, what, when))
    return lacks


def _more_for_folds(folds: int, train: TrainParams, *, is_short: bool = False) -> str:
    """Return what to set so that folds are longer, or hold more failures, as far as the kind of split allows it."""
    # Other machines in the training make its folds no longer.
    way = "give longer telemetry" if is_short and train.split == "machine" else more_to_train_on(train)
    return f"set fewer --folds, or {way}" if folds > 1 else way


def choose_sample(
    instants: Instants, rows: BoolArray, *, before_failure: BoolArray, count: int = 12, seed: int
) -> IntArray:
    """Return rows at which to try whether features see the future: six times, some machines at each.

    Half of the times are such that some machine fails soon after, for a feature that knows of failures, or of the
    repairs and errors around them, shows there and not where nothing happens.

    Parameters
    ----------
    instants : Instants
        The m rows.
    rows : (m,) bool array
        Which rows may be chosen.
    before_failure : (m,) bool array
        Rows with a failure ahead.
    count : int
        Most rows, at least 1.
    seed : int
        Of the choice.

    Returns
    -------
    int array
        Positions, rising; fewer than ``count`` where the times chosen have fewer machines.
    """
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(rows))
    # At each time the machines that are about to fail come first.
    candidates = np.concatenate([drawn[before_failure[drawn]], drawn[~before_failure[drawn]]])
    eventful, ordinary = (_first_times(instants.times[part]) for part in (drawn[before_failure[drawn]], drawn))
    half = min(_SAMPLE_TIMES, count) // 2
    chosen = list(dict.fromkeys([*eventful[:half], *ordinary]))[: min(_SAMPLE_TIMES, count)]
    found = [candidates[instants.times[candidates] == time][: count // len(chosen)] for time in chosen]
    return np.sort(np.concatenate([candidates[:0], *found]))


def _first_times(times: IntArray) -> list[int]:
    """Return the distinct times in the order of their first appearance."""
    distinct, firsts = np.unique(times, return_index=True)
    return [int(time) for time in distinct[np.argsort(firsts)]]


def compare_cut(names: Sequence[str], whole: Matrix, cut: Matrix, machines: Sequence[object], times: IntArray) -> None:
    """Refuse features that change when everything after their own time is cut off.

    Parameters
    ----------
    names : sequence of str
        The f features.
    whole : (k, f) array
        Features of k rows, made from the whole tables.
    cut : (k, f) array
        Features of the same rows, each made from readings and events up to its own time only.
    machines : sequence
        Machine of each row.
    times : (k,) int array
        Stamp of each row, microseconds since 1970.

    Raises
    ------
    ModelError
        If any value differs, however little; missing equals missing. It names the first in the order of rows, then
        features.
    ValueError
        If the two tables differ in shape.
    """
    if whole.shape != cut.shape:
        raise ValueError(f"features of shape {whole.shape} compared with {cut.shape}")
    differs = (whole != cut) & ~(np.isnan(whole) & np.isnan(cut))
    if not differs.any():
        return
    row, column = np.argwhere(differs)[0].tolist()
    raise ModelError(
        f"feature {names[column]} of machine {machines[row]} at {show(int(times[row]))} looks ahead: it is "
        f"{whole[row, column]}, but {cut[row, column]} without later readings and events",
        hint="run pdm preprocess and detect-anomalies --mode causal again; if it stays, please report it as a fault",
        features=[name for name, is_ahead in zip(names, differs.any(axis=0), strict=True) if is_ahead],
    )
