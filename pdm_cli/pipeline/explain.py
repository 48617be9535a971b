"""Explain one prediction: its strongest features, their usual values and the days before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.io.bundle import Bundle
    from pdm_cli.pipeline.score import Forecast
    from pdm_cli.scoring.explanation import TypicalValue


# What is drawn of the days before: a value every six hours of a week.
_SPANS = 28


_SPAN_HOURS = 6


# More machines than this are not all named.
_MOST_MACHINES = 5


def _find_row(loaded: Bundle, forecast: Forecast, machine: str, time_us: int | None, progress: Progress) -> int:
    """Return the machine's last row until a time, or of all, and say so where the time lies between rows."""
    from pdm_cli.scoring.explanation import row_until
    from pdm_cli.timestamps import US_PER_HOUR, show

    instants = forecast.context.instants
    code = _find_machine(machine, instants.machines)
    start, end = int(instants.starts()[code]), int(instants.ends()[code])
    wanted = end if time_us is None else time_us
    grid_us = round(loaded.recipe.settings.features.grid_hours * US_PER_HOUR)
    row = row_until(instants, code, wanted)
    if row is None or wanted >= end + grid_us:
        raise DataError(
            f"--at {show(wanted)}: outside the telemetry of machine {machine}",
            hint=f"it spans {show(start)} to {show(end)} UTC",
        )
    taken = int(instants.times[row])
    if taken != wanted:
        progress.info(f"explain: no prediction at {show(wanted)}; using the last one before it, {show(taken)} UTC")
    return row


def _find_machine(name: str, machines: pd.Index) -> int:
    """Return the position of a machine, which may be a number or a text in the data."""
    from difflib import get_close_matches

    texts = [str(machine) for machine in machines.tolist()]
    if name in texts:
        return texts.index(name)
    close = get_close_matches(name, texts, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    few = ", ".join(texts[:_MOST_MACHINES])
    more = f" … {texts[-1]}" if len(texts) > _MOST_MACHINES else ""
    raise DataError(f"--machine {name}: not in the telemetry", hint=f"{hint}it holds {len(texts):,}: {few}{more}")


def _describe_row(loaded: Bundle, forecast: Forecast, row: int) -> dict[str, Any]:
    """Return which machine and time, and how each component stands."""
    from pdm_cli.scoring.explanation import alert_start
    from pdm_cli.timestamps import show

    instants, labels = forecast.context.instants, loaded.recipe.settings.labels
    components = {}
    for column, name in enumerate(loaded.model.components):
        since = alert_start(forecast.alerts[:, column], instants, row)
        components[name] = {
            "probability": float(forecast.probabilities[row, column]),
            "alert": since is not None,
            "since": None if since is None else show(int(instants.times[since])),
            "threshold": loaded.model.rules[column].on,
        }
    machine = instants.machines[[instants.codes[row]]].tolist()[0]
    return {
        "machineID": machine,
        "datetime": show(int(instants.times[row])),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
        "components": components,
    }


def _describe_reasons(loaded: Bundle, forecast: Forecast, row: int, component: str | None, top: int) -> dict[str, Any]:
    """Return the features that weigh most in one component's log-odds, up or down, and what all others add."""
    import numpy as np

    from pdm_cli.features.describe import describe_feature
    from pdm_cli.scoring.explanation import top_reasons, typical_values

    table, rows, recipe = forecast.table, np.array([row]), loaded.recipe
    names = loaded.model.components
    column = int(forecast.probabilities[row].argmax()) if component is None else names.index(component)
    added = loaded.model.explain(table, rows)[0, column]
    values = table.matrix(table.names, rows)[0]
    known = recipe.vocabulary.categories
    reasons = top_reasons(added[None], table.names, values[None], most=top, categories=known, both_ways=True)[0]
    usual = typical_values(loaded.fingerprint, recipe.categorical)
    return {
        "component": names[column],
        "reasons": [
            {
                "feature": reason.name,
                "value": reason.value,
                "usual": _describe_usual(usual[reason.name], known.get(reason.name)),
                "log_odds": reason.contribution,
                "words": describe_feature(reason.name, reason.value),
            }
            for reason in reasons
        ],
        "others": {
            "count": int(np.count_nonzero(added)) - len(reasons),
            "log_odds": float(added.sum() - sum(reason.contribution for reason in reasons)),
        },
    }


def _describe_usual(usual: TypicalValue, categories: list[str] | None) -> dict[str, Any]:
    """Return where the feature lay in the training; the deciles of a number, the most frequent of categories."""
    deciles: dict[str, Any] = {
        name: None if math.isnan(value) else value if categories is None else categories[int(value)]
        for name, value in (("low", usual.low), ("middle", usual.middle), ("high", usual.high))
    }
    return {**deciles, "missing_share": usual.missing}


def _describe_before(loaded: Bundle, forecast: Forecast, row: int) -> dict[str, Any]:
    """Return the means of the sensors and of the probabilities in spans of the days before."""
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.scoring.explanation import mean_by_span
    from pdm_cli.timestamps import US_PER_HOUR

    instants, telemetry = forecast.context.instants, forecast.context.sources.telemetry
    until, span = int(instants.times[row]), round(_SPAN_HOURS * US_PER_HOUR)
    of_machine = telemetry[telemetry[MACHINE] == instants.machines[instants.codes[row]]]
    rows = instants.codes == instants.codes[row]

    def means(values: Any, times: Any) -> list[float | None]:
        found = mean_by_span(values, times, until_us=until, span_us=span, count=_SPANS)
        return [None if math.isnan(value) else value for value in found.tolist()]

    times = to_microseconds(of_machine[TIME])
    return {
        "span_hours": _SPAN_HOURS,
        "sensors": {name: means(of_machine[name].to_numpy(), times) for name in loaded.recipe.sensors},
        "probabilities": {
            name: means(forecast.probabilities[rows, column], instants.times[rows])
            for column, name in enumerate(loaded.model.components)
        },
    }
