"""Move the alert rules of a trained model to a budget of false alarms, without training again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import UsageError
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    from pdm_cli.io.bundle import Bundle

_OPTION = "--alarm-budget"


def move_alerts(bundle: Bundle, budget: float | None, progress: Progress) -> Bundle:
    """Return the model with the alert rules for a budget of false alarms, and report them; without a budget, as it is.

    Parameters
    ----------
    bundle : Bundle
        The model.
    budget : float or None
        Maximum false alarms of all components together, per machine and month, or per machine and 1,000 cycles.
    progress : Progress
        Gets one line.

    Raises
    ------
    UsageError
        If the false alarms of other rules are unknown.
    """
    from pdm_cli.evaluation.alarm_budget import fit_budget
    from pdm_cli.units import in_rate_unit

    if budget is None:
        return bundle
    _check_curves(bundle)
    places = fit_budget(bundle.curves, budget / in_rate_unit(1.0))
    curves = [replace(curve, chosen=place) for curve, place in zip(bundle.curves, places, strict=True)]
    rules = [curve.current.rule for curve in curves]
    moved = replace(bundle, model=replace(bundle.model, rules=rules), curves=curves)
    progress.info(_describe_move(bundle, moved, budget))
    return moved


def describe_budget(bundle: Bundle, budget: float) -> dict[str, Any]:
    """Return the budget, the rules that :func:`move_alerts` chose for it, and the outcome expected of them.

    ``limit`` is in the unit of the log, the rates are per machine and month.
    """
    from pdm_cli.evaluation.alarm_budget import expected_rate
    from pdm_cli.units import in_rate_unit

    return {
        "limit": budget,
        "limit_per_machine_month": budget / in_rate_unit(1.0),
        "rules": {
            name: {"on": rule.on, "off": rule.off}
            for name, rule in zip(bundle.model.components, bundle.model.rules, strict=True)
        },
        "false_alarms_per_machine_month": expected_rate(bundle.curves),
        "caught": sum(curve.current.caught for curve in bundle.curves),
        "failures": sum(curve.failures for curve in bundle.curves),
    }


def _check_curves(bundle: Bundle) -> None:
    if not bundle.curves:
        raise UsageError(
            f"{_OPTION}: the model was trained by an earlier version of pdm, so the false alarms of other alert "
            "thresholds are unknown",
            hint=f"train the model again, or leave out {_OPTION}",
        )
    if any(len(curve.points) > 1 and not curve.months for curve in bundle.curves):
        raise UsageError(
            f"{_OPTION}: the model was trained on too short a log to count false alarms",
            hint=f"train on a longer log, or leave out {_OPTION}",
        )


def _describe_move(before: Bundle, after: Bundle, budget: float) -> str:
    from pdm_cli.evaluation.alarm_budget import expected_rate
    from pdm_cli.text import name_some, show_count, show_number, show_threshold
    from pdm_cli.units import in_rate_unit, per_machine_time

    moves = [
        f"{name} {show_threshold(old.on)} -> {show_threshold(new.on)}"
        for name, old, new in zip(before.model.components, before.model.rules, after.model.rules, strict=True)
        if old != new
    ]
    found = describe_budget(after, budget)
    rate = in_rate_unit(expected_rate(after.curves))
    return (
        f"alert thresholds for at most {budget:g} false {'alarm' if budget == 1 else 'alarms'} per "
        f"{per_machine_time()} ({_OPTION}): "
        f"{name_some(moves) if moves else 'as trained'}; expected, as counted on the folds of the training: "
        f"{show_number(rate, '.3g')} false alarms, {found['caught']:,} of {show_count(found['failures'], 'failure')} "
        "caught"
    )
