"""Score raw tables with a trained model: the path that predict, evaluate and explain share."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.errors import FeatureMismatch, NotEnoughData
from pdm_cli.pipeline.stages import SHORTAGE
from pdm_cli.progress import Progress
from pdm_cli.settings.model import PreprocessParams, Settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pdm_cli.features.build import Context, Sources
    from pdm_cli.features.events import Instants
    from pdm_cli.features.table import FeatureTable
    from pdm_cli.io.bundle import Bundle, Recipe
    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.io.scan import TelemetryScan
    from pdm_cli.units import Units

_MORE_HISTORY = "pass the complete history, not only the newest part, with the sensors of the training"
_AS_SHORT = "pass the complete history, unless the logs of the training were as short"
# More names than this are counted.
_MOST_NAMES = 5


@dataclass(frozen=True)
class Forecast:
    """A model's calibrated probabilities (m, c) and alerts (m, c) for the m instants of raw tables.

    ``bundle`` has the alert rules for ``--alarm-budget``, if that was given.
    """

    bundle: Bundle
    context: Context
    table: FeatureTable
    probabilities: NDArray[np.float64]
    alerts: NDArray[np.bool_]
    # Logs of replacements and failures, also where the model does not use them.
    renewals: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    # Why almost no row can be predicted from, if so.
    shortage: str = ""

    @property
    def instants(self) -> Instants:
        """Machine and time of each row."""
        return self.context.instants

    @property
    def components(self) -> list[str]:
        """Components of the model, in the order of the columns."""
        return self.bundle.model.components

    @property
    def silent_hours(self) -> float:
        """Hours without data after which a machine is silent: the horizon, but never if each machine counts cycles."""
        recipe = self.recipe
        return math.inf if recipe.units.counts_cycles else recipe.settings.labels.horizon_hours

    @property
    def recipe(self) -> Recipe:
        """How the model was trained."""
        return self.bundle.recipe

    def hours_to_failure(self, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """Return quantiles of the hours to failure of some rows, (r, c, 3); ``None`` if the model is an older one."""
        hazard = self.bundle.hazard
        return None if hazard is None else hazard.predict(self.table, self.probabilities, rows)


def score_folder(bundle: Bundle, data: Path, *, settings: Settings, progress: Progress) -> Forecast:
    """Return what :func:`score` does, with the tables in between in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="pdm-score-") as work:
        return score(bundle, data, Path(work), settings=settings, progress=progress)


def score(bundle: Bundle, data: Path, work: Path, *, settings: Settings, progress: Progress) -> Forecast:
    """Preprocess raw tables, detect anomalies and build the features as for the training, and predict.

    Parameters
    ----------
    bundle : Bundle
        The model and its recipe.
    data : Path
        Folder of raw tables.
    work : Path
        Empty folder for the tables in between.
    settings : Settings
        Column names, the user's settings for bad data, and the budget of false alarms; those not given are the model's.
    progress : Progress
        For progress and warnings.

    Raises
    ------
    FeatureMismatch
        If a table, a sensor or the time step differs from the training.
    """
    from pdm_cli.io import parquet
    from pdm_cli.io.raw import RawTelemetry
    from pdm_cli.pipeline.alarm_budget import move_alerts
    from pdm_cli.pipeline.detect import detect_prepared
    from pdm_cli.pipeline.execute import Task
    from pdm_cli.pipeline.prepared import read_sources
    from pdm_cli.pipeline.preprocess import check_ranges, preprocess_scanned
    from pdm_cli.schema import FAILURES, MAINT

    recipe = bundle.recipe
    as_trained = _as_trained(recipe, settings)
    _check_tables(recipe, data)
    raw = RawTelemetry(data, as_trained.columns, as_trained.preprocess)
    _check_sensors(recipe, raw)
    check_ranges(raw, as_trained)
    scan = raw.scan()
    _check_step(recipe, scan)
    units = parquet.find_units(data)
    _check_units(recipe, units)
    bundle = move_alerts(bundle, settings.alerts.alarm_budget, progress)
    prepared, anomalies = work / "prepared", work / "anomalies"
    prepared.mkdir()
    task = Task({"data": data}, prepared, as_trained, progress, units=units)
    quality = preprocess_scanned(task, raw, scan, hint=_MORE_HISTORY)
    if "anomalies" in recipe.tables:
        anomalies.mkdir()
        detect_prepared(Task({"prepared": prepared}, anomalies, as_trained, progress, units=units), hint=_AS_SHORT)
    sources, _ = read_sources(prepared, anomalies if anomalies.is_dir() else None, progress)
    forecast = _predict(bundle, _keep_known(recipe, sources), as_trained, progress)
    renewals = {table.name: sources.events[table.name] for table in (MAINT, FAILURES) if table.name in sources.events}
    shortage = quality.get(SHORTAGE, "") or _find_unscored(forecast, progress)
    _warn_of_late_starts(forecast, units, progress)
    return replace(forecast, renewals=renewals, shortage=shortage)


def _find_unscored(forecast: Forecast, progress: Progress) -> str:
    """Warn if most machines have no row to predict from, and return the warning; else an empty string."""
    from pdm_cli.schema import MACHINE
    from pdm_cli.units import show_hours

    total, scored = forecast.context.sources.telemetry[MACHINE].nunique(), len(forecast.instants.machines)
    if scored >= total / 2:
        return ""
    grid = show_hours(forecast.recipe.settings.features.grid_hours)
    found = (
        f"only {scored:,} of {total:,} machines {'has' if scored == 1 else 'have'} a reading to predict from on the "
        f"{grid} grid; "
        f"{_MORE_HISTORY}"
    )
    progress.warn(f"telemetry.parquet: {found}")
    return found


def _warn_of_late_starts(forecast: Forecast, units: Units, progress: Progress) -> None:
    """Warn of machines whose first cycles are missing, if the model uses their age."""
    from pdm_cli.features.damage_signs import AGE
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import MACHINE, TIME
    from pdm_cli.text import show_count
    from pdm_cli.timestamps import US_PER_HOUR
    from pdm_cli.units import FIRST_CYCLE_US, show_time

    if not units.counts_cycles or not any(AGE in member.features for member in forecast.bundle.model.members):
        return
    begins = forecast.context.sources.telemetry.groupby(MACHINE)[TIME].min()
    late = begins[to_microseconds(begins) > FIRST_CYCLE_US + units.cycle_hours * US_PER_HOUR]
    if len(late):
        progress.warn(
            f"telemetry.parquet: {len(late):,} of {show_count(len(begins), 'machine')} "
            f"{'begins' if len(late) == 1 else 'begin'} late, such as machine "
            f"{late.index[0]} at {show_time(late.iloc[0].isoformat())}, but the model uses their age: {_MORE_HISTORY}"
        )


def _keep_known(recipe: Recipe, sources: Sources) -> Sources:
    """Return the tables and sensors that the model was trained on, the sensors in the order of the training."""
    from pdm_cli.schema import MACHINE, TIME

    return replace(
        sources,
        telemetry=sources.telemetry[[MACHINE, TIME, *recipe.sensors]],
        events={name: events for name, events in sources.events.items() if name in recipe.tables},
        machines=sources.machines if "machines" in recipe.tables else None,
    )


def _predict(bundle: Bundle, sources: Sources, settings: Settings, progress: Progress) -> Forecast:
    from pdm_cli.features.build import Context, build_features, match_states

    recipe = bundle.recipe
    _check_attributes(recipe, sources.machines)
    _warn_of_unseen_categories(recipe, sources, progress)
    context = Context(sources, recipe.vocabulary, settings.train, settings.labels)
    table = build_features(context, recipe.families).join(match_states(context, recipe.states))
    probabilities = bundle.model.predict(table)
    return Forecast(bundle, context, table, probabilities, bundle.model.alert(probabilities, context.instants))


def complete_settings(folders: Mapping[str, Path], settings: Settings) -> Settings:
    """Return the effective settings of ``pdm predict``: those not given by the user are the model's."""
    from pdm_cli.io import bundle

    recipe = bundle.load_recipe(folders["model"])
    return replace(settings, preprocess=_preprocess_as_trained(recipe, settings.preprocess))


def find_trained(recipe: Recipe, machines: pd.Index) -> NDArray[np.bool_]:
    """Return which machines the model was trained on."""
    # As strings: the same fleet may come with numbers here and names there.
    return machines.astype(str).isin([str(machine) for machine in recipe.trained["machines"]])


def cut_forecast(forecast: Forecast, until_us: int) -> Forecast:
    """Return the forecast as if nothing after an instant (microseconds since 1970, UTC) were known.

    Every feature depends on the past only, so dropping the later rows is enough.

    Raises
    ------
    NotEnoughData
        If no row is left.
    """
    from pdm_cli.preparation.cleaning import to_microseconds
    from pdm_cli.schema import TIME
    from pdm_cli.units import exact_time, option_time

    sources, times = forecast.context.sources, forecast.instants.times
    rows = times <= until_us
    if not rows.any():
        raise NotEnoughData(
            f"telemetry.parquet: no reading up to --until {option_time(until_us)}; the first is "
            f"{exact_time(int(times.min()))}",
            hint="set a later --until",
        )

    def cut(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[to_microseconds(frame[TIME]) <= until_us].reset_index(drop=True)

    known = replace(
        sources,
        rolling=cut(sources.rolling),
        telemetry=cut(sources.telemetry),
        events={name: cut(events) for name, events in sources.events.items()},
    )
    return replace(
        forecast,
        context=replace(forecast.context, sources=known),
        table=replace(forecast.table, columns=[column[rows] for column in forecast.table.columns]),
        renewals={name: cut(events) for name, events in forecast.renewals.items()},
        probabilities=forecast.probabilities[rows],
        alerts=forecast.alerts[rows],
    )


def _as_trained(recipe: Recipe, settings: Settings) -> Settings:
    """Return the settings of the training, with the user's columns and settings for bad data."""
    return replace(
        recipe.settings,
        columns=settings.columns,
        preprocess=_preprocess_as_trained(recipe, settings.preprocess),
        detect=replace(recipe.settings.detect, jobs=settings.detect.jobs, strict=False, allow_untested=True),
    )


def _preprocess_as_trained(recipe: Recipe, asked: PreprocessParams) -> PreprocessParams:
    """Return how to preprocess: as the user gave it, even at its default, and otherwise as in the training."""
    own = {name: getattr(asked, name) for name in asked.given}
    # The range of the training's log would exclude later readings.
    unlike = {"phase_minutes": recipe.phase_us / 60e6, "time_range": asked.time_range}
    found = replace(recipe.settings.preprocess, **{**unlike, **own})
    found.note_given(own)
    return found


def _check_tables(recipe: Recipe, data: Path) -> None:
    from pdm_cli.io import parquet
    from pdm_cli.schema import FAILURES, MACHINES, RAW_TABLES, TELEMETRY

    for table in RAW_TABLES:
        if table.name in recipe.tables and parquet.find_table(data, table) is None:
            parquet.require_table(data, TELEMETRY)
            empty = "" if table is MACHINES else " (empty, with its columns, if nothing happened)"
            without = "" if table is FAILURES else ", or train without it"
            raise FeatureMismatch(
                f"{table.file}: not in {data}, but the model was trained with it",
                hint=f"add the table{empty}{without}",
            )


def _check_sensors(recipe: Recipe, raw: RawTelemetry) -> None:
    for name in recipe.sensors:
        if name in raw.ignored:
            raise FeatureMismatch(
                f"telemetry.parquet: column {name} contains {raw.type_of(name)}, expected numbers, as in the training "
                "data",
                hint="convert it, e.g. pandas.to_numeric(…)",
            )
    missing, unknown = sorted(set(recipe.sensors) - set(raw.sensors)), sorted(set(raw.sensors) - set(recipe.sensors))
    parts = [f"{', '.join(names)} {what}" for names, what in ((missing, "missing"), (unknown, "unknown")) if names]
    if parts:
        raise FeatureMismatch(
            f"telemetry.parquet: sensors differ from the model's: {'; '.join(parts)}",
            hint="choose columns with --sensors, or train a new model",
        )


def _check_attributes(recipe: Recipe, machines: pd.DataFrame | None) -> None:
    """Reject attributes that are missing, or numbers in one place and strings in the other."""
    import pandas as pd

    if machines is None:
        return
    vocabulary = recipe.vocabulary
    trained = {**dict.fromkeys(vocabulary.attributes, "numeric"), **dict.fromkeys(vocabulary.categories, "text")}
    for name, expected in trained.items():
        here = "missing"
        if name in machines:
            here = "numeric" if pd.api.types.is_numeric_dtype(machines[name]) else "text"
        if here != expected:
            raise FeatureMismatch(
                f"machines.parquet: {name} is {here}, but was {expected} in the training data",
                hint="provide the attributes that the model was trained with",
            )


def _warn_of_unseen_categories(recipe: Recipe, sources: Sources, progress: Progress) -> None:
    """Warn of event types and categories that have no feature, as the training data had none."""
    from pdm_cli.schema import EVENT_TABLES, MACHINES

    seen = recipe.vocabulary
    unseen = [
        (table.file, sorted(set(sources.events[table.name]["kind"]) - set(seen.kinds.get(table.name, ()))))
        for table in EVENT_TABLES
        if table.name in sources.events
    ]
    if sources.machines is not None:
        unseen += [
            (f"{name} of {MACHINES.file}", sorted(set(sources.machines[name].dropna()) - set(known)))
            for name, known in seen.categories.items()
        ]
    found = [f"{_list_first(names)} in {place}" for place, names in unseen if names]
    if found:
        progress.warn(f"not in the training data, so the model cannot distinguish them: {'; '.join(found)}")


def _list_first(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _check_units(recipe: Recipe, units: Units) -> None:
    """Reject times or readings in other units than those of the training."""
    trained = recipe.units
    if trained.counts_cycles and units.cycle_hours != trained.cycle_hours:
        here = f"cycles of {units.cycle_hours:g} h" if units.counts_cycles else "dates"
        raise FeatureMismatch(
            f"telemetry.parquet: times are {here}; the model was trained on cycles of {trained.cycle_hours:g} h",
            hint=f"import the log with --cycles {trained.cycle_hours:g}h",
        )
    for sensor in recipe.sensors:
        unit, expected = (each.sensors.get(sensor) for each in (units, trained))
        if unit and expected and unit != expected:
            raise FeatureMismatch(
                f"telemetry.parquet: {sensor} is in {unit}; the model was trained on {expected}",
                hint="convert the readings, or train a new model",
            )


def _check_step(recipe: Recipe, scan: TelemetryScan) -> None:
    from pdm_cli.units import show_step

    if scan.step_us != recipe.step_us:
        raise FeatureMismatch(
            f"telemetry.parquet: one reading every {show_step(scan.step_us / 60e6)}; the model was trained on one "
            f"every {show_step(recipe.step_us / 60e6)}",
            hint="use telemetry with the same step, or train a new model",
        )
