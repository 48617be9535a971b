"""Splits: by time (cutoff, gap, test; never shuffled), by machine, or both."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData
from pdm_cli.preparation.windows import propose_windows, show_options
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.text import MAX_NAMES, join_list, name_some
from pdm_cli.timestamps import US_PER_HOUR, microseconds
from pdm_cli.training.validate_settings import check_gap, min_gap_us
from pdm_cli.units import exact_time, show_hours

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# The folds test on this last share of the training rows; the first one trains on all rows before it.
_FOLDED_SHARE = 0.5


@dataclass(frozen=True)
class Split:
    """A cutoff and its test span; timestamps in microseconds since 1970, UTC.

    Attributes
    ----------
    cutoff : int
        Last instant that the model may know; label spans of training rows end here at the latest.
    test_start, test_end : int
        Rows with test_start <= t <= test_end are tested.
    label_end : int
        Last instant that labels of test rows may depend on.
    """

    cutoff: int
    test_start: int
    test_end: int
    label_end: int

    def training_rows(self, times: IntArray, horizon_us: int) -> BoolArray:
        """Return which rows may be trained on."""
        return times + horizon_us <= self.cutoff

    def test_rows(self, times: IntArray, horizon_us: int) -> BoolArray:
        """Return which rows of the test span have a label that is known by ``label_end``."""
        return self.span(times) & (times + horizon_us <= self.label_end)

    def span(self, times: IntArray) -> BoolArray:
        """Return which rows lie in the test span, labelled or not."""
        return (times >= self.test_start) & (times <= self.test_end)


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
        return Split(last, first, last, last)
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
    return Split(cutoff, test_start, last, last)


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


def train_without(missing: Collection[str], components: Sequence[str]) -> list[str]:
    """Return how to train without some components, unless there is only one."""
    others = [name for name in components if name not in missing]
    if len(components) == 1:
        return []
    if not others:
        return ["leave out those with the fewest failures with --components"]
    names = shlex.quote(join_list(others)) if len(others) <= MAX_NAMES else "…"
    return [f"train without {name_some(sorted(missing))}: --components {names}"]


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
    return [Split(start, start + gap_us, end, end) for start, end in pairwise(ends)]


def hold_out_machines(count: int, *, share: float, seed: int) -> BoolArray:
    """Choose test machines at random, reproducibly.

    Parameters
    ----------
    count : int
        Number of machines.
    share : float
        Share to hold out, in (0, 1); at least one machine, but never all.
    seed : int
        Random seed.

    Raises
    ------
    NotEnoughData
        If there is only one machine.
    """
    if count < 2:
        raise NotEnoughData("--split machine and both need at least two machines, found 1", hint="use --split time")
    is_held_out = np.zeros(count, np.bool_)
    chosen = min(max(1, round(share * count)), count - 1)
    is_held_out[np.random.default_rng(seed).permutation(count)[:chosen]] = True
    return is_held_out
