"""The split of a log that has none set: by time, or by machine where a date would not separate failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.text import name_some, show_count
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.training.splits import split_by_time

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# A failing machine to train and one to test on, in each of two folds.
_LEAST_MACHINES = 4


@dataclass(frozen=True)
class SplitChoice:
    """The split to use, and why if it was chosen from the data."""

    kind: Literal["time", "machine", "both"]
    reason: str | None = None


def choose_split(
    instants: Instants,
    labels: FloatArray,
    components: list[str],
    known: FollowUp,
    *,
    train: TrainParams,
    lead: LabelsParams,
) -> SplitChoice:
    """Return the split of the settings; ``auto`` is decided by the data.

    It is by machine if at least half of the machines end with a failure, since such machines are compared by age, and
    if at least half of the components have no failure before the cutoff of a split by time, or none after it. Otherwise
    it is by time. It is always by time with a given cutoff, or with fewer than four machines that fail.

    Parameters
    ----------
    instants : Instants
        The m rows.
    labels : (m, c) array
        0, 1 or NaN where unknown.
    components : list of str
        The c components.
    known : FollowUp
        Which machines ended with a failure.
    train : TrainParams
        ``split`` and the settings of a split by time.
    lead : LabelsParams
        Horizon.
    """
    if train.split != "auto":
        return SplitChoice(train.split)
    if train.cutoff is not None:
        return SplitChoice("time", "--cutoff is set")
    failing = has_failed(instants, labels)
    machines, ended = len(instants.machines), int(known.is_ended.sum())
    if failing.any(axis=1).sum() < _LEAST_MACHINES:
        return SplitChoice("time", f"fewer than {_LEAST_MACHINES} machines failed")
    if known.runs_to_failure:
        return SplitChoice("machine", f"{ended:,} of {show_count(machines, 'machine')} end with a failure")
    rare = _missing_by_time(instants, labels, train=train, lead=lead) & (failing.sum(axis=0) >= _LEAST_MACHINES)
    if rare.mean() >= 1 / 2:
        names = name_some([name for name, is_rare in zip(components, rare, strict=True) if is_rare])
        return SplitChoice("machine", f"by time, no failure of {names} would be left to train or to test on")
    return SplitChoice("time", "most components have failures before and after the cutoff")


def has_failed(instants: Instants, labels: FloatArray) -> BoolArray:
    """Return which components have a labelled failure on each machine, (machines, c)."""
    found = np.zeros((len(instants.machines), labels.shape[1]), np.bool_)
    np.logical_or.at(found, instants.codes, labels == 1)
    return found


def _missing_by_time(instants: Instants, labels: FloatArray, *, train: TrainParams, lead: LabelsParams) -> BoolArray:
    """Return which components have no failure to train on, or none that counts in the test, in a split by time."""
    horizon = round(lead.horizon_hours * US_PER_HOUR)
    try:
        split = split_by_time(instants.times, train=train, labels=lead)
    except NotEnoughData:
        return np.ones(labels.shape[1], np.bool_)
    trained, tested = split.training_rows(instants.times, horizon), split.test_rows(instants.times, horizon)
    # Only failures whose whole warning period is tested count, that is, those whose first row ahead follows another.
    is_next = tested[1:] & tested[:-1] & (np.diff(instants.codes) == 0)
    begins = (labels[1:] == 1) & (labels[:-1] == 0) & is_next[:, None]
    return ~np.asarray((labels[trained] == 1).any(axis=0) & begins.any(axis=0))
