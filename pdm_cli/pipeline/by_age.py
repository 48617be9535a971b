"""Failures by age of the components that never alert, for predict and explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.evaluation.lifetimes import Lifetime
    from pdm_cli.pipeline.score import Forecast
    from pdm_cli.scoring.by_age import Parts

BY_AGE_FILE = "by_age.csv"
# Parts to show; all are in the file.
_MOST_PARTS = 5


def write_by_age(out: Path, forecast: Forecast, ended: NDArray[np.bool_]) -> dict[str, Any]:
    """Write the parts by age, of machines that have not ended, and return what to show of them.

    Returns
    -------
    dict
        ``components``: how often each component fails, with the mean ``probability`` of a failure within the horizon,
        and its interval ``low``, ``high``; ``first``: of the components that wear out, the parts most likely to fail.
    """
    from pdm_cli.scoring.by_age import list_by_age
    from pdm_cli.scoring.worklist import escape_formulas
    from pdm_cli.text import as_records

    lifetimes, horizon = forecast.recipe.lifetimes, forecast.recipe.settings.labels.horizon_hours
    machines, starts, ends = forecast.instants.machines, _find_starts(forecast), forecast.instants.ends()
    running = ~ended
    parts = {name: _find_parts(forecast, name, machines[running], starts[running], ends[running]) for name in lifetimes}
    found = list_by_age(lifetimes, parts, machines[running], horizon_hours=horizon)
    escape_formulas(found).to_csv(out / BY_AGE_FILE, index=False)
    worn = [name for name, lifetime in lifetimes.items() if lifetime.ageing == "wear"]
    return {
        "components": {name: _summarise(lifetime, horizon) for name, lifetime in lifetimes.items()},
        "first": as_records(found[found["component"].isin(worn)].head(_MOST_PARTS)),
    }


def describe_part(forecast: Forecast, component: str, code: int, now_us: int) -> dict[str, Any] | None:
    """Return the age of the part on a machine, the probability of its failure and the interval; ``None`` if unknown."""
    import numpy as np

    from pdm_cli.scoring.by_age import list_by_age
    from pdm_cli.text import as_records

    if component not in forecast.recipe.lifetimes:
        return None
    lifetime = {component: forecast.recipe.lifetimes[component]}
    machine, start = forecast.instants.machines[[code]], _find_starts(forecast)[[code]]
    part = {component: _find_parts(forecast, component, machine, start, np.array([now_us]))}
    horizon = forecast.recipe.settings.labels.horizon_hours
    (row,) = as_records(list_by_age(lifetime, part, machine, horizon_hours=horizon))
    return {key: row[key] for key in ("age_hours", "is_minimum", "probability", "low", "high")}


def _find_starts(forecast: Forecast) -> NDArray[np.int64]:
    """Return the first reading of each machine of the instants."""
    from pdm_cli.features.labels import first_rows

    return first_rows(forecast.context.sources.telemetry, forecast.instants.machines)


def _find_parts(
    forecast: Forecast,
    component: str,
    machines: pd.Index,
    starts_us: NDArray[np.int64],
    now_us: NDArray[np.int64],
) -> Parts:
    from pdm_cli.scoring.by_age import find_parts

    return find_parts(
        component, forecast.renewals, machines, starts_us=starts_us, now_us=now_us, units=forecast.recipe.units
    )


def _summarise(lifetime: Lifetime, horizon_hours: float) -> dict[str, Any]:
    mean = zip(("probability", "low", "high"), lifetime.mean_probability(horizon_hours), strict=True)
    return {**lifetime.summary(), **dict(mean)}
