"""What settings may hold beside one another, checked before any long work, and without data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from pdm_cli.errors import UsageError
from pdm_cli.settings.model import LabelsParams, PredictParams, TrainParams, types_of
from pdm_cli.timestamps import US_PER_HOUR, microseconds, show
from pdm_cli.training.threshold_spec import parse_threshold


def check_choices(train: TrainParams) -> None:
    """Refuse families and algorithms that are not known or do not load, and an alert rule that is none.

    Raises
    ------
    UsageError
        Naming the option and what it takes.
    """
    # Where nothing was chosen there is nothing to load the libraries for that the registries need.
    if train.families:
        _check_families(train.families)
    if train.algorithms:
        _check_algorithms(train.algorithms)
    try:
        parse_threshold(train.threshold)
    except ValueError as exc:
        why = str(exc).removeprefix("threshold: ")
        hint = "pdm train --help describes the alert rules"
        if train.threshold in get_args(types_of("detect")["anomaly_threshold"]):
            hint = f"--anomaly-threshold {train.threshold} filters the anomalies"
        raise UsageError(f"--threshold: {why}", hint=hint) from exc


def _check_families(chosen: tuple[str, ...]) -> None:
    from pdm_cli.features.build import FEATURES, LEARNED

    _check_names("--families", "family", chosen, [*FEATURES, *LEARNED])


def _check_algorithms(chosen: tuple[str, ...]) -> None:
    """Refuse unknown algorithms, and those none of which loads here, with what to install for the first."""
    from pdm_cli.models import ESTIMATORS, find_load_error

    _check_names("--algorithms", "algorithm", chosen, ESTIMATORS)
    reasons = []
    for name in chosen:
        reason = find_load_error(name)
        if reason is None:
            return
        reasons.append(reason)
    install = ESTIMATORS[chosen[0]].install
    raise UsageError(f"--algorithms: {reasons[0].removesuffix(f': {install}')}", hint=install)


def _check_names(option: str, what: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    for name in chosen:
        if name not in known:
            raise UsageError(f"{option}: unknown {what} {name!r}", hint=f"known: {', '.join(known)}")


def least_gap_us(train: TrainParams, labels: LabelsParams) -> int:
    """Return the gap after a cutoff in microseconds: as set, and at least the horizon."""
    return round(max(labels.horizon_hours, train.gap_hours) * US_PER_HOUR)


def check_gap(train: TrainParams, labels: LabelsParams) -> None:
    """Refuse a given cutoff and test start that are too close; needs no data.

    Raises
    ------
    UsageError
        If the gap between them is shorter than it must be.
    """
    if train.split == "machine" and train.cutoff is not None:
        raise UsageError("--cutoff: has no effect with --split machine", hint="--split both, or leave it out")
    if train.cutoff is None or train.test_start is None:
        return
    cutoff, test_start, gap = microseconds(train.cutoff), microseconds(train.test_start), least_gap_us(train, labels)
    if test_start - cutoff < gap:
        raise UsageError(
            f"--test-start {show(test_start)}: less than the gap of {gap / US_PER_HOUR:g} h after --cutoff "
            f"{show(cutoff)}",
            hint=f"--test-start {show(cutoff + gap)} or later: labels look {labels.horizon_hours:g} h ahead",
        )


def check_wanted(predict: PredictParams) -> None:
    """Refuse to write parts of the predictions that do not go together; needs no data.

    Raises
    ------
    UsageError
        If there is a first instant beside the latest ones, or beyond the last one.
    """
    if predict.since is None:
        return
    if predict.latest:
        raise UsageError(
            "--since: has no meaning beside --latest, which writes one prediction a machine",
            hint="leave one of the two out",
        )
    if predict.until is not None and microseconds(predict.since) > microseconds(predict.until):
        raise UsageError(
            f"--since {show(microseconds(predict.since))} is after --until {show(microseconds(predict.until))}",
            hint="give an earlier --since, or leave one of the two out",
        )
