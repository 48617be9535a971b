"""Names and rules that the settings of a training may hold, checked before any long work."""

from __future__ import annotations

from collections.abc import Iterable

from pdm_cli.core.alerts import parse_threshold
from pdm_cli.core.estimators import ESTIMATORS, unavailable
from pdm_cli.core.features import FEATURES, LEARNED
from pdm_cli.errors import UsageError
from pdm_cli.params import TrainParams


def check_choices(train: TrainParams) -> None:
    """Refuse families and algorithms that are not known or do not load, and an alert rule that is none.

    Raises
    ------
    UsageError
        Naming the option and what it takes.
    """
    _check_names("--families", "family", train.families, [*FEATURES, *LEARNED])
    _check_names("--algorithms", "algorithm", train.algorithms, ESTIMATORS)
    _check_one_loads(train.algorithms)
    try:
        parse_threshold(train.alert_rule)
    except ValueError as exc:
        why = str(exc).removeprefix("threshold: ")
        raise UsageError(
            f"--alert-rule (or --threshold of pdm train): {why}", hint="pdm train --help tells what each does"
        ) from exc


def _check_one_loads(chosen: tuple[str, ...]) -> None:
    """Refuse algorithms none of which loads here, with what to install for the first."""
    reasons = []
    for name in chosen:
        reason = unavailable(name)
        if reason is None:
            return
        reasons.append(reason)
    if reasons:
        install = ESTIMATORS[chosen[0]].install
        raise UsageError(f"--algorithms: {reasons[0].removesuffix(f': {install}')}", hint=install)


def _check_names(option: str, what: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    for name in chosen:
        if name not in known:
            raise UsageError(f"{option}: unknown {what} {name!r}", hint=f"known: {', '.join(known)}")
