"""What is amiss in the data that a forecast goes by: warned of, and told in its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdm_cli.io.bundle import Bundle
    from pdm_cli.pipeline.score import Forecast
    from pdm_cli.progress import Progress


def find_amiss(loaded: Bundle, forecast: Forecast, progress: Progress) -> dict[str, Any]:
    """Return the machines and sensors that no longer send; warn of them, and of telemetry that begins too late."""
    _check_span(loaded, forecast, progress)
    return {
        "silent": _find_silent(loaded, forecast, progress),
        "dead_sensors": _find_dead_sensors(loaded, forecast, progress),
    }


def _check_span(loaded: Bundle, forecast: Forecast, progress: Progress) -> None:
    from pdm_cli.schema import TIME

    times, settings = forecast.context.sources.telemetry[TIME], loaded.recipe.settings
    train = settings.train
    windows = (*settings.features.windows_hours, *train.count_hours, train.shift_hours)
    # Windows look at readings that are themselves judged by the window of z before them.
    needed = (max(windows) + train.z_window_hours) / 24
    days = (times.max() - times.min()).total_seconds() / 86_400
    if days < needed:
        progress.warn(
            f"telemetry spans only {days:.3g} days; features look back up to {needed:.3g}: give the whole log, not "
            "only what is new"
        )


def _find_silent(loaded: Bundle, forecast: Forecast, progress: Progress) -> dict[str, Any]:
    """Return how many machines' telemetry ended long before the others', and the first ones."""
    from pdm_cli.preparation.quality import FIRST_ROWS
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.scoring.data_health import find_silent
    from pdm_cli.text import as_records
    from pdm_cli.timestamps import show

    instants, hours = forecast.context.instants, loaded.recipe.settings.labels.horizon_hours
    silent = find_silent(instants, horizon_hours=hours)
    if len(silent):
        first, last = silent[MACHINE].iloc[0], silent[TIME].iloc[0]
        progress.warn(
            f"silent for more than {hours:g} h before the newest reading ({show(int(instants.times.max()))}): "
            f"{len(silent):,} of {len(instants.machines):,} machines, first {first} (since {last:%Y-%m-%dT%H:%M}); "
            "what is foretold of them is of then, not of now"
        )
    return {"count": len(silent), "first": as_records(silent.head(FIRST_ROWS))}


def _find_dead_sensors(loaded: Bundle, forecast: Forecast, progress: Progress) -> list[dict[str, Any]]:
    from pdm_cli.scoring.data_health import find_dead_sensors
    from pdm_cli.text import as_records

    hours, total = loaded.recipe.settings.labels.horizon_hours, len(forecast.context.instants.machines)
    dead = find_dead_sensors(forecast.context.sources.telemetry, horizon_hours=hours)
    for row in dead.itertuples():
        progress.warn(
            f"no reading of {row.sensor} for more than {hours:g} h on {row.machines:,} of {total:,} machines, first "
            f"{row.first} (since {row.since:%Y-%m-%dT%H:%M}); what is foretold of them goes by the other sensors"
        )
    return as_records(dead)
