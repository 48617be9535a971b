"""Checks of settings against each other, before any long computation and without data."""

from __future__ import annotations

from collections.abc import Iterable

from pdm_cli.errors import UsageError
from pdm_cli.settings.model import LabelsParams, PredictParams, TrainParams
from pdm_cli.timestamps import US_PER_HOUR, microseconds
from pdm_cli.units import option_time, show_hours


def check_choices(train: TrainParams) -> None:
    """Reject unknown families, and unknown or unavailable algorithms.

    Raises
    ------
    UsageError
        Names the option and its valid values.
    """
    # The registries import large libraries: do not load them for nothing.
    if train.families:
        _check_families(train.families)
    if train.algorithms:
        _check_algorithms(train.algorithms)


def _check_families(chosen: tuple[str, ...]) -> None:
    from pdm_cli.features.build import FEATURES, LEARNED

    _check_names("--families", "family", chosen, [*FEATURES, *LEARNED])


def _check_algorithms(chosen: tuple[str, ...]) -> None:
    """Reject unknown algorithms, and a list of which none can be loaded."""
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


def _check_names(option: str, noun: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    for name in chosen:
        if name not in known:
            raise UsageError(f"{option}: unknown {noun} {name!r}", hint=f"known: {', '.join(known)}")


def check_horizons(train: TrainParams, labels: LabelsParams) -> None:
    """Reject further horizons within the lead time.

    Raises
    ------
    UsageError
        Names the option.
    """
    least = min(train.horizons, default=labels.horizon_hours)
    if least <= labels.lead_time_hours < labels.horizon_hours:
        raise UsageError(
            f"--horizons: {show_hours(least)} is within the lead time of {show_hours(labels.lead_time_hours)}",
            hint="set longer ones, or a shorter --lead-time-hours",
        )


def min_gap_us(train: TrainParams, labels: LabelsParams) -> int:
    """Return the gap after a cutoff in microseconds: the setting, but at least the horizon."""
    return round(max(labels.horizon_hours, train.gap_hours) * US_PER_HOUR)


def check_gap(train: TrainParams, labels: LabelsParams) -> None:
    """Reject a test start without a cutoff, or too close to it.

    Raises
    ------
    UsageError
        Names the options.
    """
    gap = min_gap_us(train, labels)
    if train.split == "machine" and train.cutoff is not None:
        raise UsageError("--cutoff: has no effect with --split machine", hint="use --split both, or drop --cutoff")
    if train.test_start is None:
        return
    if train.split == "machine":
        raise UsageError(
            "--test-start: has no effect with --split machine", hint="use --split both, or drop --test-start"
        )
    if train.cutoff is None:
        raise UsageError(
            "--test-start needs --cutoff", hint=f"add --cutoff, at least {show_hours(gap / US_PER_HOUR)} earlier"
        )
    cutoff, test_start = microseconds(train.cutoff), microseconds(train.test_start)
    shown = show_hours(gap / US_PER_HOUR)
    if test_start - cutoff < gap:
        raise UsageError(
            f"--test-start {option_time(test_start)}: less than the gap of {shown} after --cutoff "
            f"{option_time(cutoff)}",
            hint=f"use --test-start {option_time(cutoff + gap)} or later: the horizon is "
            f"{show_hours(labels.horizon_hours)}",
        )


def check_prediction_span(predict: PredictParams) -> None:
    """Reject ``since`` together with ``latest``, or after ``until``.

    Raises
    ------
    UsageError
        Names the options.
    """
    if predict.since is None:
        return
    if predict.latest:
        raise UsageError(
            "--since: cannot be combined with --latest, which writes one prediction per machine",
            hint="drop one of the two",
        )
    if predict.until is not None and microseconds(predict.since) > microseconds(predict.until):
        raise UsageError(
            f"--since {option_time(microseconds(predict.since))} is after --until "
            f"{option_time(microseconds(predict.until))}",
            hint="set an earlier --since, or drop one of the two",
        )
