"""Explain one prediction: its strongest features, their usual values and the days before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError, UsageError
from pdm_cli.pipeline.score import Forecast, score_folder
from pdm_cli.progress import Progress
from pdm_cli.settings.model import Settings
from pdm_cli.units import current, exact_time, option_time, using, utc

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.scoring.explanation import TypicalValue


# Features to list at most.
MAX_TOP = 1000
# The days before are drawn as one value per six hours of a week.
_SPANS = 28
_SPAN_HOURS = 6
# More machines than this are not all named.
_MOST_MACHINES = 5


@dataclass(frozen=True)
class Question:
    """Which prediction to explain; by default the machine's last, of the most probable component."""

    machine: str
    time: datetime | None = None
    component: str | None = None
    top: int = 8

    def __post_init__(self) -> None:
        if not (isinstance(self.top, int) and 1 <= self.top <= MAX_TOP):
            hint = "see pdm explain --help"
            raise UsageError(f"--top: expected a number from 1 to {MAX_TOP}, got {self.top!r}", hint=hint)


def parse_time(text: str) -> datetime:
    """Return the time of ``--at``, which may be a cycle.

    Raises
    ------
    UsageError
        If it is not a time.
    """
    from pdm_cli.settings.cycles import parse_time_or_cycle

    try:
        return parse_time_or_cycle(text)
    except ValueError as exc:
        number = text.strip() if text.strip().isdigit() else "187"
        hint = f"such as 2015-10-01T06:00, or 'cycle {number}' if the log counts cycles"
        raise UsageError(f"--at: {text!r} is not a time", hint=hint) from exc


def explain(
    data: str | Path, model: str | Path, question: Question, *, settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Return the features that drove a prediction, their usual values and the days before.

    Raises
    ------
    UsageError
        If a folder is missing.
    DataError
        If the machine, the time or the component is not in the data or the model.
    FeatureMismatch
        If the tables differ from those of the training.
    """
    from pdm_cli.io import bundle
    from pdm_cli.pipeline.execute import check_inputs, find_units
    from pdm_cli.pipeline.stages import STAGES
    from pdm_cli.settings.cycles import convert_cycles

    folders = check_inputs(STAGES["predict"], {"data": str(data), "model": str(model)})
    loaded = bundle.load(folders["model"])
    component, known = question.component, loaded.model.components
    if component is not None and component not in known:
        raise DataError(f"--component {component}: not in the model", hint=f"the model predicts {', '.join(known)}")
    units = find_units(folders)
    settings = convert_cycles(settings, units)
    with using(units):
        forecast = score_folder(loaded, folders["data"], settings=settings, progress=progress)
        row = _find_row(forecast, question, progress)
        return {
            "schema": "pdm.explain/1",
            **_describe_row(forecast, row),
            **_describe_reasons(forecast, row, question),
            "before": _describe_before(forecast, row),
            **units.summary(),
        }


def _find_row(forecast: Forecast, question: Question, progress: Progress) -> int:
    """Return the machine's last row, or its last one until a time; report it if there is none at that time."""
    from pdm_cli.scoring.explanation import row_until
    from pdm_cli.settings.cycles import convert_time
    from pdm_cli.timestamps import US_PER_HOUR, microseconds

    instants = forecast.instants
    code = _find_machine(question.machine, instants.machines)
    start, end = int(instants.starts()[code]), int(instants.ends()[code])
    asked = end if question.time is None else microseconds(convert_time(question.time, current(), "--at"))
    grid_us = round(forecast.recipe.settings.features.grid_hours * US_PER_HOUR)
    row = row_until(instants, code, asked)
    if row is None or asked >= end + grid_us:
        raise DataError(
            f"--at {_name_asked(question.time, asked)}: outside the telemetry of machine {question.machine}",
            hint=f"it spans {exact_time(start)} to {exact_time(end)}{utc()}",
        )
    taken = int(instants.times[row])
    if taken != asked:
        last = f"{exact_time(taken)}{utc()}"
        progress.info(f"explain: no prediction at {exact_time(asked)}; using the last one before it, {last}")
    return row


def _name_asked(time: datetime | None, asked_us: int) -> str:
    """Return the time that is outside the telemetry as it was given: a date may be given for a log of cycles."""
    from pdm_cli.settings.cycles import CycleTime
    from pdm_cli.timestamps import show

    if time is None or isinstance(time, CycleTime) or not current().counts_cycles:
        return option_time(asked_us)
    return f"{show(asked_us)} (a date, but the times of the telemetry are cycles)"


def _find_machine(name: str, machines: pd.Index) -> int:
    """Return the position of a machine, which may be a number or a string in the data."""
    from difflib import get_close_matches

    names = [str(machine) for machine in machines.tolist()]
    if name in names:
        return names.index(name)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    more = f" … {names[-1]}" if len(names) > _MOST_MACHINES else ""
    raise DataError(
        f"--machine {name}: not in the telemetry",
        hint=f"{hint}it has {len(names):,} machines: {', '.join(names[:_MOST_MACHINES])}{more}",
    )


def _describe_row(forecast: Forecast, row: int) -> dict[str, Any]:
    """Return machine and time, and the probability, alert and hours to failure of each component."""
    import numpy as np

    from pdm_cli.pipeline.by_age import describe_part
    from pdm_cli.scoring.explanation import alert_start
    from pdm_cli.timestamps import show

    instants, labels = forecast.instants, forecast.recipe.settings.labels
    code, time = int(instants.codes[row]), int(instants.times[row])
    hours = forecast.hours_to_failure(np.array([row]))
    components = {}
    for column, name in enumerate(forecast.components):
        since = alert_start(forecast.alerts[:, column], instants, row)
        components[name] = {
            "probability": float(forecast.probabilities[row, column]),
            "alert": since is not None,
            "since": None if since is None else show(int(instants.times[since])),
            "threshold": forecast.bundle.model.rules[column].on,
            "by_age": describe_part(forecast, name, code, time),
            **({} if hours is None else _describe_hours(hours[0, column])),
        }
    machine = instants.machines[[code]].tolist()[0]
    return {
        "machineID": machine,
        "datetime": show(time),
        "lead_time_hours": labels.lead_time_hours,
        "horizon_hours": labels.horizon_hours,
        "components": components,
    }


def _describe_hours(hours: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the hours to failure; ``None`` where they are beyond the horizons."""
    from pdm_cli.scoring.worklist import HOURS_TO_FAILURE

    return {
        name: None if math.isnan(value) else value for name, value in zip(HOURS_TO_FAILURE, hours.tolist(), strict=True)
    }


def _describe_reasons(forecast: Forecast, row: int, question: Question) -> dict[str, Any]:
    """Return the features with the largest effect on one component's log-odds, and the sum of all others."""
    import numpy as np

    from pdm_cli.features.describe import describe_feature
    from pdm_cli.scoring.explanation import top_reasons, typical_values

    table, rows, recipe = forecast.table, np.array([row]), forecast.recipe
    names, component = forecast.components, question.component
    column = int(forecast.probabilities[row].argmax()) if component is None else names.index(component)
    added = forecast.bundle.model.explain(table, rows)[0, column]
    values = table.matrix(table.names, rows)[0]
    known = recipe.vocabulary.categories
    reasons = top_reasons(added[None], table.names, values[None], most=question.top, categories=known, both_ways=True)[
        0
    ]
    usual = typical_values(forecast.bundle.fingerprint, recipe.categorical)
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
    """Return a feature's values in the training: deciles of a number, the most frequent categories."""
    values: dict[str, Any] = {
        name: None if math.isnan(value) else value if categories is None else categories[int(value)]
        for name, value in (("low", usual.low), ("middle", usual.middle), ("high", usual.high))
    }
    return {**values, "missing_share": usual.missing}


def _describe_before(forecast: Forecast, row: int) -> dict[str, Any]:
    """Return means of the sensors and probabilities in spans of the days before."""
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.scoring.explanation import mean_by_span
    from pdm_cli.timestamps import US_PER_HOUR

    instants, telemetry = forecast.instants, forecast.context.sources.telemetry
    until, span = int(instants.times[row]), round(_SPAN_HOURS * US_PER_HOUR)
    of_machine = telemetry[telemetry[MACHINE] == instants.machines[instants.codes[row]]]
    rows = instants.codes == instants.codes[row]

    def means(values: Any, times: Any) -> list[float | None]:
        found = mean_by_span(values, times, until_us=until, span_us=span, count=_SPANS)
        return [None if math.isnan(value) else value for value in found.tolist()]

    times = to_microseconds(of_machine[TIME])
    return {
        "span_hours": _SPAN_HOURS,
        "sensors": {name: means(of_machine[name].to_numpy(), times) for name in forecast.recipe.sensors},
        "probabilities": {
            name: means(forecast.probabilities[rows, column], instants.times[rows])
            for column, name in enumerate(forecast.components)
        },
    }
