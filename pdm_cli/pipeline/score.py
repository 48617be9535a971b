"""From raw tables to a model's probabilities, by the very way it was trained; what predict and evaluate share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import FeatureMismatch, NotEnoughData
from pdm_cli.settings.model import PreprocessParams, Settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.features.build import Context, Sources
    from pdm_cli.features.table import FeatureTable
    from pdm_cli.io.bundle import Bundle, Recipe
    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.io.scan import TelemetryScan
    from pdm_cli.progress import Progress

# Of more kinds of event than this only the first are named.
_MOST_NAMES = 5


@dataclass(frozen=True)
class Forecast:
    """What a model says of raw tables.

    Attributes
    ----------
    context : Context
        Prepared tables.
    table : FeatureTable
        Features of the m instants.
    probabilities : (m, c) array
        Calibrated.
    alerts : (m, c) bool array
        Where each component's alert is on.
    """

    context: Context
    table: FeatureTable
    probabilities: NDArray[np.float64]
    alerts: NDArray[np.bool_]


def make_forecast(bundle: Bundle, data: Path, work: Path, *, settings: Settings, progress: Progress) -> Forecast:
    """Prepare the raw tables, find anomalies and make the features as for the training, and foretell.

    Parameters
    ----------
    bundle : Bundle
        The model and its recipe.
    data : Path
        Folder of raw tables.
    work : Path
        Empty folder for what is made on the way.
    settings : Settings
        Names of columns, and as far as the user gave it, how bad data is dealt with.
    progress : Progress
        For progress.

    Raises
    ------
    FeatureMismatch
        If a table, a sensor or the step is not as in the training.
    """
    from pdm_cli.features.build import Context, build_features, match_states
    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.pipeline.detect import detect
    from pdm_cli.pipeline.prepared import read_sources
    from pdm_cli.pipeline.preprocess import check_ranges, prepare_scanned
    from pdm_cli.pipeline.runner import Task
    from pdm_cli.schema import MACHINE, TIME

    recipe = bundle.recipe
    as_trained = _as_trained(recipe, settings)
    _check_tables(recipe, data)
    raw = RawTelemetry(data, as_trained.columns, as_trained.preprocess)
    _check_sensors(recipe, raw)
    check_ranges(raw, as_trained)
    scan = raw.scan()
    _check_step(recipe, scan)
    prepared, anomalies = work / "prepared", work / "anomalies"
    prepared.mkdir()
    prepare_scanned(Task({"data": data}, prepared, as_trained, progress), raw, scan)
    if "anomalies" in recipe.tables:
        anomalies.mkdir()
        detect(Task({"prepared": prepared}, anomalies, as_trained, progress))
    sources, _ = read_sources(prepared, anomalies if anomalies.is_dir() else None, progress)
    # Tables that the model has not seen tell it nothing.
    known = {name: events for name, events in sources.events.items() if name in recipe.tables}
    machines = sources.machines if "machines" in recipe.tables else None
    # Columns may stand in another order; what was learned goes by that of the training.
    telemetry = sources.telemetry[[MACHINE, TIME, *recipe.sensors]]
    sources = replace(sources, telemetry=telemetry, events=known, machines=machines)
    _check_attributes(recipe, machines)
    _warn_of_strangers(recipe, sources, progress)
    context = Context(sources, recipe.vocabulary, as_trained.train, as_trained.labels)
    table = build_features(context, recipe.families).join(match_states(context, recipe.states))
    probabilities = bundle.model.predict(table)
    return Forecast(context, table, probabilities, bundle.model.alert(probabilities, context.instants))


def complete_settings(folders: Mapping[str, Path], settings: Settings) -> Settings:
    """Return the settings of ``pdm predict`` as they take effect: what the user did not give is the model's.

    Parameters
    ----------
    folders : mapping
        Port to folder; ``model`` is looked at.
    settings : Settings
        The user's.
    """
    from pdm_cli.io import bundle

    recipe = bundle.load_recipe(folders["model"])
    return replace(settings, preprocess=_prepare_as_trained(recipe, settings.preprocess))


def find_trained(recipe: Recipe, machines: pd.Index) -> NDArray[np.bool_]:
    """Return which machines the model learned from."""
    # As text: the same fleet may come with numbers here and names there.
    return machines.astype(str).isin([str(machine) for machine in recipe.trained["machines"]])


def cut_forecast(forecast: Forecast, until_us: int) -> Forecast:
    """Return what would have been foretold had nothing after an instant been known.

    All of it goes by what came before, so that leaving out the rest comes to the same.

    Parameters
    ----------
    forecast : Forecast
        Of all that is known.
    until_us : int
        Microseconds since 1970, UTC.

    Raises
    ------
    NotEnoughData
        If it is before the first instant.
    """
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import TIME
    from pdm_cli.timestamps import show

    sources, instants = forecast.context.sources, forecast.context.instants
    rows = instants.times <= until_us
    if not rows.any():
        raise NotEnoughData(
            f"telemetry.parquet: no instant until --until {show(until_us)}; the first is "
            f"{show(int(instants.times.min()))}",
            hint="give a later --until",
        )

    def cut(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[to_microseconds(frame[TIME]) <= until_us].reset_index(drop=True)

    known = replace(
        sources,
        rolling=cut(sources.rolling),
        telemetry=cut(sources.telemetry),
        events={name: cut(events) for name, events in sources.events.items()},
    )
    return Forecast(
        replace(forecast.context, sources=known),
        replace(forecast.table, columns=[column[rows] for column in forecast.table.columns]),
        forecast.probabilities[rows],
        forecast.alerts[rows],
    )


def _as_trained(recipe: Recipe, settings: Settings) -> Settings:
    """Return the settings of the training, with the user's columns and ways to deal with bad data."""
    trained = recipe.settings
    return replace(
        trained,
        columns=settings.columns,
        preprocess=_prepare_as_trained(recipe, settings.preprocess),
        detect=replace(trained.detect, jobs=settings.detect.jobs, strict=False),
    )


def _prepare_as_trained(recipe: Recipe, asked: PreprocessParams) -> PreprocessParams:
    """Return how raw tables are prepared: as the user gave it, even at its default, and else as in the training."""
    own = {name: getattr(asked, name) for name in asked.given}
    found = replace(recipe.settings.preprocess, **{"phase_minutes": recipe.phase_us / 60e6, **own})
    found.note_given(own)
    return found


def _check_tables(recipe: Recipe, data: Path) -> None:
    from pdm_cli.io import parquet
    from pdm_cli.schema import FAILURES, MACHINES, RAW_TABLES, TELEMETRY

    for table in RAW_TABLES:
        if table.name in recipe.tables and parquet.find_table(data, table) is None:
            parquet.require_table(data, TELEMETRY)
            empty = "" if table is MACHINES else ", empty but with its columns if nothing happened"
            without = "" if table is FAILURES else ", or train without it"
            raise FeatureMismatch(
                f"{table.file}: not in {data}, but the model was trained with it",
                hint=f"give the table{empty}{without}",
            )


def _check_sensors(recipe: Recipe, raw: RawTelemetry) -> None:
    here = list(raw.sensors)
    for name in recipe.sensors:
        if name in raw.ignored:
            raise FeatureMismatch(
                f"telemetry.parquet: column {name} is {raw.type_of(name)}, wanted a number, as in the training",
                hint="convert it, e.g. pandas.to_numeric(…)",
            )
    if sorted(here) != sorted(recipe.sensors):
        raise FeatureMismatch(
            f"telemetry.parquet: not the sensors of the model: {_difference(here, recipe.sensors)}",
            hint="--sensors picks columns; train a model for other ones",
        )


def _difference(here: Sequence[str], trained: Sequence[str]) -> str:
    lacking, added = sorted(set(trained) - set(here)), sorted(set(here) - set(trained))
    parts = [
        f"{', '.join(names)} {what}" for names, what in ((lacking, "missing"), (added, "not known to it")) if names
    ]
    return "; ".join(parts)


def _check_attributes(recipe: Recipe, machines: pd.DataFrame | None) -> None:
    """Refuse attributes that are missing, or that are numbers here and texts there."""
    import pandas as pd

    if machines is None:
        return
    trained = {
        **dict.fromkeys(recipe.vocabulary.attributes, "a number"),
        **dict.fromkeys(recipe.vocabulary.categories, "a text"),
    }
    for name, kind in trained.items():
        here = "missing"
        if name in machines:
            here = "a number" if pd.api.types.is_numeric_dtype(machines[name]) else "a text"
        if here != kind:
            raise FeatureMismatch(
                f"machines.parquet: {name} is {here}, the model was trained on {kind}",
                hint="give the attributes that the model was trained with",
            )


def _warn_of_strangers(recipe: Recipe, sources: Sources, progress: Progress) -> None:
    """Tell kinds of event and categories that the model never saw, so that it has no feature of theirs."""
    from pdm_cli.schema import EVENT_TABLES, MACHINES

    seen = recipe.vocabulary
    strange = [
        (table.file, sorted(set(sources.events[table.name]["kind"]) - set(seen.kinds.get(table.name, ()))))
        for table in EVENT_TABLES
        if table.name in sources.events
    ]
    if sources.machines is not None:
        strange += [
            (f"{name} of {MACHINES.file}", sorted(set(sources.machines[name].dropna()) - set(known)))
            for name, known in seen.categories.items()
        ]
    told = [f"{_few(names)} in {place}" for place, names in strange if names]
    if told:
        progress.warn(f"never seen in the training, so the model cannot tell them apart: {'; '.join(told)}")


def _few(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _check_step(recipe: Recipe, scan: TelemetryScan) -> None:
    if scan.step_us != recipe.step_us:
        raise FeatureMismatch(
            f"telemetry.parquet: a reading every {scan.step_us / 60e6:g} min, the model was trained on one every "
            f"{recipe.step_us / 60e6:g} min",
            hint="give telemetry of the same step, or train on this one",
        )
