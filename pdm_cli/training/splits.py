"""Splits: by time (cutoff, gap, test; never shuffled), by machine, or both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData
from pdm_cli.preparation.run_to_failure import NEVER_US
from pdm_cli.preparation.windows import propose_windows, show_options
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.timestamps import US_PER_HOUR, microseconds
from pdm_cli.training.validate_settings import check_gap, min_gap_us
from pdm_cli.units import exact_time, show_hours

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# The folds test on this last share of the training rows; the first one trains on all rows before it.
_FOLDED_SHARE = 0.5


@dataclass(frozen=True)
class Split:
    """A cutoff and its test span, or machines; timestamps in microseconds since 1970, UTC.

    Attributes
    ----------
    cutoff : int
        Last instant that the model may know.
    test_start, test_end : int
        Rows with test_start <= t <= test_end are tested.
    label_end : int
        Last instant that labels of test rows may depend on; ``NEVER_US`` for the whole log.
    is_by_time : bool
        Whether label spans of training rows end at the cutoff at the latest. They need not where the test is on other
        machines.
    trained, tested : (machines,) bool array, optional
        Machines to train and to test on; default: all.
    """

    cutoff: int
    test_start: int
    test_end: int
    label_end: int
    is_by_time: bool = True
    trained: BoolArray | None = field(default=None, compare=False)
    tested: BoolArray | None = field(default=None, compare=False)

    def training_rows(self, times: IntArray, horizon_us: int, codes: IntArray | None = None) -> BoolArray:
        """Return which rows may be trained on; ``codes`` are their machines."""
        rows = times + horizon_us <= self.cutoff if self.is_by_time else np.ones(len(times), np.bool_)
        return rows & _are_of(self.trained, codes)

    def test_rows(self, times: IntArray, horizon_us: int, codes: IntArray | None = None) -> BoolArray:
        """Return which rows of the test span have a label that is known by ``label_end``."""
        return self.span(times, codes) & (times + horizon_us <= self.label_end)

    def span(self, times: IntArray, codes: IntArray | None = None) -> BoolArray:
        """Return which rows lie in the test span, labelled or not."""
        return (times >= self.test_start) & (times <= self.test_end) & _are_of(self.tested, codes)


def _are_of(machines: BoolArray | None, codes: IntArray | None) -> BoolArray:
    return np.ones(1, np.bool_) if machines is None or codes is None else machines[codes]


def split_by_time(times: IntArray, *, train: TrainParams, labels: LabelsParams) -> Split:
    """Return the split of a table, by the given cutoff and test start or by the share of test rows.

    Parameters
    ----------
    times : int array
        Timestamps of the rows, microseconds since 1970.
    train : TrainParams
        ``cutoff``, ``test_start``, ``test_share``, ``gap_hours``.
    labels : LabelsParams
        ``horizon_hours``, the minimum gap.

    Raises
    ------
    UsageError
        If the gap is shorter than the horizon.
    NotEnoughData
        If there is no training row or no test row.
    """
    first, last = int(times.min()), int(times.max())
    horizon = round(labels.horizon_hours * US_PER_HOUR)
    check_gap(train, labels)
    if train.split == "machine":
        # The test is on other machines, so times may overlap.
        return Split(last, first, last, NEVER_US, is_by_time=False)
    if train.cutoff is not None:
        cutoff = microseconds(train.cutoff)
    else:
        # A quantile of the rows: a stray timestamp in 1970 must not move the cutoff by decades.
        midnight = 24 * US_PER_HOUR
        cutoff = int(np.quantile(times, 1 - train.test_share, method="lower")) // midnight * midnight
    gap = min_gap_us(train, labels)
    test_start = microseconds(train.test_start) if train.test_start is not None else cutoff + gap
    span = f"the telemetry spans {exact_time(first)} to {exact_time(last)}"
    if first + horizon + gap + horizon > last:
        raise NotEnoughData(
            f"the telemetry is too short to train and test with a horizon of {show_hours(labels.horizon_hours)} and a "
            f"gap of {show_hours(gap / US_PER_HOUR)}",
            hint=f"{span}; provide longer telemetry, or set a shorter {_show_shorter(times, train, gap)}",
        )
    if not np.any(times + horizon <= cutoff):
        raise NotEnoughData(
            f"no row to train on before the cutoff {exact_time(cutoff)}", hint=f"{span}; {more_to_train_on(train)}"
        )
    if not np.any((times >= test_start) & (times + horizon <= last)):
        raise NotEnoughData(
            f"no labelled row to test on from {exact_time(test_start)}", hint=f"{span}; {more_to_test_on(train)}"
        )
    return Split(cutoff, test_start, last, NEVER_US)


def _show_shorter(times: IntArray, train: TrainParams, gap_us: int) -> str:
    """Return the options to shorten, with values that fit the rows if there are any."""
    options = "--horizon-hours or --gap-hours" if train.gap_hours else "--horizon-hours"
    distinct = np.unique(times)
    if len(distinct) < 2:
        return options
    proposal = propose_windows(int(np.diff(distinct).min()), int(distinct[-1] - distinct[0]))
    if proposal.horizon_us >= gap_us:
        return options
    gap = {"gap_hours": proposal.labels["horizon_hours"]} if train.gap_hours else {}
    return f"{options}, such as {show_options({**proposal.labels, **gap})}"


def more_to_train_on(train: TrainParams) -> str:
    """Return how to get a longer training span, or more machines in it."""
    return "set a later --cutoff" if train.cutoff is not None else "set a smaller --test-share"


def more_to_test_on(train: TrainParams) -> str:
    """Return how to get a longer test span, or more machines in it."""
    if train.test_start is not None:
        return "set an earlier --test-start"
    return "set an earlier --cutoff" if train.cutoff is not None else "set a larger --test-share"


def time_folds(times: IntArray, split: Split, *, folds: int, gap_us: int) -> list[Split]:
    """Cut the training span into folds, each trained on all before its own cutoff.

    Parameters
    ----------
    times : int array
        Timestamps of the rows.
    split : Split
        The outer split; rows after its cutoff are not used.
    folds : int
        Number of folds; their test spans divide the last half of the training rows.
    gap_us : int
        Gap after each cutoff; at least the horizon.
    """
    shares = [1 - _FOLDED_SHARE + _FOLDED_SHARE * i / folds for i in range(folds)]
    known = times[times <= split.cutoff]
    ends = [*np.quantile(known, shares, method="nearest").tolist(), split.cutoff]
    return [
        Split(start, start + gap_us, end, end, trained=split.trained, tested=split.trained)
        for start, end in pairwise(ends)
    ]


def machine_folds(split: Split, strata: IntArray, *, folds: int, seed: int) -> list[Split]:
    """Divide the training machines among folds, each tested on its own and trained on the others.

    Parameters
    ----------
    split : Split
        The outer split, by machine.
    strata : (machines,) int array
        Group of each machine, from :func:`stratify`; every fold gets its share of each.
    folds : int
        Number of folds. A single one is tested on half of the machines.
    seed : int
        Random seed.
    """
    trained = np.ones(len(strata), np.bool_) if split.trained is None else split.trained
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    dealt = shuffled[np.argsort(strata[shuffled], kind="stable")]
    dealt = dealt[trained[dealt]]
    fold_of = np.full(len(strata), -1)
    fold_of[dealt] = np.arange(len(dealt)) % max(folds, 2)
    return [
        replace(split, trained=trained & (fold_of != number), tested=fold_of == number, label_end=NEVER_US)
        for number in range(folds)
    ]


def stratify(has_failed: BoolArray) -> IntArray:
    """Return a group for each machine: the rarest component that failed on it, or none of them.

    Parameters
    ----------
    has_failed : (machines, c) bool array
        Which components failed on each machine.
    """
    rarest_first = np.argsort(has_failed.sum(axis=0), kind="stable")
    ordered = has_failed[:, rarest_first]
    return np.where(ordered.any(axis=1), ordered.argmax(axis=1), len(rarest_first))


def hold_out_machines(strata: IntArray, *, share: float, seed: int) -> BoolArray:
    """Choose test machines at random, reproducibly, with a similar share of each group.

    Parameters
    ----------
    strata : (machines,) int array
        Group of each machine, from :func:`stratify`.
    share : float
        Share to hold out, in (0, 1); at least one machine, but never all.
    seed : int
        Random seed.

    Raises
    ------
    NotEnoughData
        If there is only one machine.
    """
    count = len(strata)
    if count < 2:
        raise NotEnoughData("--split machine and both need at least two machines, found 1", hint="use --split time")
    chosen = min(max(1, round(share * count)), count - 1)
    groups, sizes = np.unique(strata, return_counts=True)
    # Largest remainders; of equal ones the rarest component comes first.
    exact = sizes * chosen / count
    own = np.floor(exact).astype(np.int64)
    own[np.argsort(own - exact, kind="stable")[: chosen - own.sum()]] += 1
    shuffled = np.random.default_rng(seed).permutation(count)
    is_held_out = np.zeros(count, np.bool_)
    for group, number in zip(groups, own, strict=True):
        is_held_out[shuffled[strata[shuffled] == group][:number]] = True
    return is_held_out
