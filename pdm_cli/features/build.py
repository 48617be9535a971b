"""The feature table: the columns that a model sees at each instant, one registry line per family of features.

Every family uses readings and events up to t only, and is skipped where its table is missing. Most families do not
depend on the training data; those in :data:`LEARNED` are estimated from past failures, so they are rebuilt for each
cutoff.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.errors import DataError
from pdm_cli.features.damage_signs import excursion_columns, extreme_columns, trend_columns, usage_columns
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.failure_template import (
    FleetTemplate,
    TemplateScope,
    learn_template,
    match_template,
    template_hours,
)
from pdm_cli.features.level_shifts import Shifts, at_rows, find_shifts, last_rows, shift_hours_to_visit
from pdm_cli.features.machine_levels import (
    LevelWindows,
    MachineLevels,
    SensorRelation,
    find_healthy,
    find_levels,
    learn_relation,
    level_columns,
    residual_columns,
)
from pdm_cli.features.maintenance_cycle import VisitCycle, find_visit_cycle, hours_from_error_to_visit
from pdm_cli.features.robust_z import ZScores, standardise
from pdm_cli.features.table import FeatureTable
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams, TrainParams

FloatArray = NDArray[np.float64]
Columns = Iterator[tuple[str, NDArray[np.floating[Any]]]]

_NO_EVENTS = pd.DataFrame({MACHINE: [], TIME: pd.Series([], dtype="datetime64[us]"), "kind": []})
# A template has steps of three hours, too coarse for a shorter horizon.
_LEAST_TEMPLATE_HOURS = 6


@dataclass(frozen=True)
class Vocabulary:
    """Event types and categories known at the cutoff; they determine the columns of a model.

    ``kinds`` maps each event table to its sorted types (the sensors for anomalies), ``categories`` each text attribute
    of the machines to its sorted values, of which columns hold the positions; ``attributes`` are the numeric ones.
    """

    kinds: dict[str, list[str]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """Prepared tables that features are computed from.

    Attributes
    ----------
    rolling : DataFrame
        ``machineID, datetime`` and rolling features; one row per instant.
    telemetry : DataFrame
        ``machineID, datetime`` and the sensors, sorted by machine, then time.
    step_us : int
        Time between readings in microseconds.
    grid_us : int
        Length of the feature grid in microseconds.
    events : dict
        Event table to its ``machineID``, ``datetime`` and ``kind``; missing tables are absent.
    machines : DataFrame or None
        Attributes by ``machineID``.
    """

    rolling: pd.DataFrame
    telemetry: pd.DataFrame
    step_us: int
    grid_us: int
    events: dict[str, pd.DataFrame]
    machines: pd.DataFrame | None


@dataclass(frozen=True)
class Context:
    """Input of all feature families, with the intermediate results that several of them share."""

    sources: Sources
    # Other event types and categories are ignored.
    vocabulary: Vocabulary
    params: TrainParams
    labels: LabelsParams

    @cached_property
    def instants(self) -> Instants:
        """The m instants of the table."""
        return Instants.of(self.sources.rolling)

    @cached_property
    def scores(self) -> ZScores:
        """Robust z of every reading."""
        return standardise(
            self.sources.telemetry, step_us=self.sources.step_us, window_hours=self.params.z_window_hours
        )

    @cached_property
    def shifts(self) -> Shifts:
        """Latest shift of each sensor at each instant, (m, s) arrays."""
        rows = last_rows(self.scores, self.instants)
        found = find_shifts(
            self.scores,
            step_us=self.sources.step_us,
            longest_hours=self.params.shift_hours,
            rows=np.unique(rows[rows >= 0]),
        )
        return Shifts(*(at_rows(values, rows) for values in (found.statistic, found.age_hours, found.step)))

    @property
    def windows(self) -> LevelWindows:
        """Windows of slow damage."""
        return LevelWindows.of(self.labels.horizon_hours, self.params.z_window_hours)

    @property
    def lengths(self) -> dict[str, int]:
        """Step of the telemetry and of the feature grid in microseconds, as keywords."""
        return {"step_us": self.sources.step_us, "grid_us": self.sources.grid_us}

    @cached_property
    def levels(self) -> MachineLevels:
        """Levels of each sensor compared with its usual level, (s, m) arrays."""
        return find_levels(self.sources.telemetry, self.instants, self.windows, **self.lengths)

    @cached_property
    def visits(self) -> VisitCycle | None:
        """Visit cycle at each instant; ``None`` without a log of maintenance."""
        maint = self.sources.events.get("maint")
        return None if maint is None else find_visit_cycle(maint, self.instants)

    def log_of(self, table: str, kind: str | None = None) -> EventLog:
        """Return the events of a table, or those of one type."""
        events = self.sources.events[table]
        return EventLog(events if kind is None else events[events["kind"] == kind], self.instants.machines)


def learn_vocabulary(sources: Sources, *, until_us: int, machines: pd.Index | None = None) -> Vocabulary:
    """Return the event types and categories of some machines up to ``until_us``, so that no column is from later.

    Of all machines by default.
    """
    kinds = {}
    for table, events in sources.events.items():
        is_known = to_microseconds(events[TIME]) <= until_us
        if machines is not None:
            is_known = is_known & events[MACHINE].isin(machines).to_numpy()
        kinds[table] = sorted(str(kind) for kind in events.loc[is_known, "kind"].unique())
    attributes = sources.machines
    if attributes is None:
        return Vocabulary(kinds)
    if machines is not None:
        attributes = attributes[attributes[MACHINE].isin(machines)]
    columns = {str(name): column for name, column in attributes.items() if name != MACHINE}
    numeric = [name for name, column in columns.items() if pd.api.types.is_numeric_dtype(column)]
    texts = {name: sorted(c.dropna().unique().tolist()) for name, c in columns.items() if name not in numeric}
    return Vocabulary(kinds, texts, numeric)


def build_features(context: Context, families: Iterable[str]) -> FeatureTable:
    """Return the columns of the families that are not learned.

    Parameters
    ----------
    context : Context
        Tables and windows.
    families : iterable of str
        Names in :data:`FEATURES`; others are ignored.
    """
    return _table(((family, FEATURES[family].columns(context)) for family in families if family in FEATURES), context)


def learn_states(
    context: Context, families: Iterable[str], *, components: list[str], until_us: int, machines: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the state of the learned families at a cutoff: family to state.

    Parameters
    ----------
    context : Context
        Tables and windows.
    families : iterable of str
        Names in :data:`LEARNED`; others are ignored.
    components : list of str
        Components whose failures are used.
    until_us : int
        Later records are not used.
    machines : bool array
        Machines to train on, in the order of ``context.instants.machines``.
    """
    chosen = context.instants.machines[machines]
    return {name: LEARNED[name].learn(context, components, until_us, chosen) for name in families if name in LEARNED}


def match_states(context: Context, states: Mapping[str, Any]) -> FeatureTable:
    """Return the columns of learned families, given their states."""
    return _table(((family, LEARNED[family].columns(context, state)) for family, state in states.items()), context)


def tables_of(families: Iterable[str], sources: Sources) -> list[str]:
    """Return the existing tables that some of the families read."""
    existing = [*sources.events, *(["machines"] if sources.machines is not None else [])]
    registry: dict[str, Family | LearnedFamily] = {**FEATURES, **LEARNED}
    read = {table for family in families for table in registry[family].tables}
    return [table for table in existing if table in read]


def _table(parts: Iterable[tuple[str, Columns]], context: Context) -> FeatureTable:
    """Return the table of the families' columns, converted one by one: there may be hundreds of long ones."""
    names: list[str] = []
    families: list[str] = []
    values = []
    for family, columns in parts:
        for name, column in columns:
            names.append(name)
            families.append(family)
            # Numbers beyond the range of float32 become infinite, which trees can split on.
            with np.errstate(over="ignore"):
                values.append(column.astype(np.float32))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"features: duplicate column {twice[0]!r}", hint="rename the event type or the attribute")
    categorical = [name for name in context.vocabulary.categories if name in names]
    return FeatureTable(names, families, categorical, values)


def _rolling(context: Context) -> Columns:
    rolling = context.sources.rolling
    for name in rolling.columns:
        if name not in (MACHINE, TIME):
            yield name, rolling[name].to_numpy()


# Name patterns of the features of an event table.
_EVENT_NAMES = {
    "errors": ("{kind}", "any_error"),
    "maint": ("{kind}_replaced", "any_maint"),
    "failures": ("{kind}_failed", "any_failure"),
    "anomalies": ("{kind}_anomaly", "any_anomaly"),
}


def _hours_since(context: Context) -> Columns:
    for table in context.sources.events:
        if table != "anomalies":
            yield from _hours_since_events(context, table)


def _hours_since_events(context: Context, table: str) -> Columns:
    pattern, any_name = _EVENT_NAMES[table]
    for kind in context.vocabulary.kinds[table]:
        yield f"hours_since_{pattern.format(kind=kind)}", context.log_of(table, kind).last_until(context.instants)
    yield f"hours_since_{any_name}", context.log_of(table).last_until(context.instants)


def _counts(context: Context, table: str = "errors") -> Columns:
    if table not in context.sources.events:
        return
    for kind in context.vocabulary.kinds[table]:
        log = context.log_of(table, kind)
        for hours in context.params.count_hours:
            name = f"{_EVENT_NAMES[table][0].format(kind=kind)}_count_{hours:g}h"
            yield name, log.count_within(context.instants, hours)


def _anomalies(context: Context) -> Columns:
    """Yield hours since and counts of the anomalies of each sensor, and the score of the latest."""
    if "anomalies" not in context.sources.events:
        return
    yield from _hours_since_events(context, "anomalies")
    yield from _counts(context, "anomalies")
    anomalies = context.sources.events["anomalies"]
    for kind in context.vocabulary.kinds["anomalies"]:
        scores = anomalies.loc[anomalies["kind"] == kind, "score"].to_numpy()
        yield f"{kind}_anomaly_score", context.log_of("anomalies", kind).latest(context.instants, scores)


def _attributes(context: Context) -> Columns:
    if context.sources.machines is None:
        return
    instants = context.instants
    by_machine = context.sources.machines.set_index(MACHINE).reindex(instants.machines)
    for name in context.vocabulary.attributes:
        yield name, by_machine[name].to_numpy(np.float64)[instants.codes]
    for name, categories in context.vocabulary.categories.items():
        positions = pd.Index(categories).get_indexer(pd.Index(by_machine[name])).astype(np.float64)
        yield name, np.where(positions < 0, np.nan, positions)[instants.codes]


def _shifts(context: Context) -> Columns:
    for column, sensor in enumerate(context.scores.sensors):
        yield f"{sensor}_shift", context.shifts.statistic[:, column]
        yield f"{sensor}_shift_age", context.shifts.age_hours[:, column]
        yield f"{sensor}_shift_step", context.shifts.step[:, column]


def _levels(context: Context) -> Columns:
    return level_columns(context.levels)


def _trends(context: Context) -> Columns:
    return trend_columns(context.sources.telemetry, context.instants, context.windows, **context.lengths)


def _extremes(context: Context) -> Columns:
    sources = context.sources
    return extreme_columns(
        sources.telemetry, context.instants, context.windows, context.levels, grid_us=sources.grid_us
    )


def _excursions(context: Context) -> Columns:
    telemetry = context.sources.telemetry
    return excursion_columns(telemetry, context.scores, context.instants, context.windows, **context.lengths)


def _usage(context: Context) -> Columns:
    replaced = {kind: context.log_of("maint", kind) for kind in context.vocabulary.kinds.get("maint", [])}
    return usage_columns(context.sources.telemetry, replaced, context.instants, step_us=context.sources.step_us)


def _visits(context: Context) -> Columns:
    if context.visits is None:
        return
    yield "visit_period", context.visits.period_hours
    yield "visit_phase", context.visits.phase
    yield "hours_to_visit", context.visits.hours_to_next


def _cycle_places(context: Context) -> Columns:
    """Yield when in the visit cycle a shift or an error occurred."""
    if context.visits is None:
        return
    to_visit = context.visits.hours_to_next
    places = shift_hours_to_visit(context.shifts.statistic, context.shifts.age_hours, to_visit)
    for column, sensor in enumerate(context.scores.sensors):
        yield f"{sensor}_shift_to_visit", places[:, column]
    for kind in context.vocabulary.kinds.get("errors", []):
        since = context.log_of("errors", kind).last_until(context.instants)
        yield f"{kind}_to_visit", hours_from_error_to_visit(since, to_visit)


def _learn_template(context: Context, components: list[str], until_us: int, machines: pd.Index) -> FleetTemplate:
    failures, errors = (context.sources.events.get(name, _NO_EVENTS) for name in ("failures", "errors"))
    return learn_template(
        context.scores.only(machines),
        errors[errors[MACHINE].isin(machines)],
        failures[failures[MACHINE].isin(machines)].rename(columns={"kind": "failure"}),
        TemplateScope(
            components,
            context.vocabulary.kinds.get("errors", []),
            template_hours(context.labels.horizon_hours),
        ),
        until_us=until_us,
        step_us=context.sources.step_us,
    )


def _match_template(context: Context, template: FleetTemplate) -> Columns:
    if context.labels.horizon_hours < _LEAST_TEMPLATE_HOURS:
        return
    yield from match_template(
        template,
        context.scores,
        context.sources.events.get("errors", _NO_EVENTS),
        context.instants,
        None if context.visits is None else context.visits.hours_to_next,
        reach_hours=context.labels.horizon_hours,
    )


def _learn_relation(context: Context, _: list[str], until_us: int, machines: pd.Index) -> SensorRelation:
    instants, failures = context.instants, context.sources.events.get("failures", _NO_EVENTS)
    is_healthy = find_healthy(
        instants,
        failures[failures[MACHINE].isin(machines)],
        until_us=until_us,
        horizon_hours=context.labels.horizon_hours,
    )
    return learn_relation(context.levels, is_healthy & instants.machines.isin(machines)[instants.codes])


def _residuals(context: Context, relation: SensorRelation) -> Columns:
    return residual_columns(context.levels, relation)


@dataclass(frozen=True)
class Family:
    """A family that does not depend on the training data.

    ``columns`` takes the context; ``tables`` are those it reads besides the telemetry; missing ones are skipped.
    """

    columns: Callable[[Context], Columns]
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class LearnedFamily:
    """A family estimated from past failures.

    Attributes
    ----------
    learn : callable
        (context, components, last instant, machines to train on) -> state.
    columns : callable
        (context, state) -> columns.
    dump, load : callable
        State to JSON types and back.
    tables : tuple of str
        As in :class:`Family`.
    """

    learn: Callable[[Context, list[str], int, pd.Index], Any]
    columns: Callable[[Context, Any], Columns]
    dump: Callable[[Any], dict[str, Any]]
    load: Callable[[dict[str, Any]], Any]
    tables: tuple[str, ...] = ()


# One line per family; their order determines the columns of the matrix.
FEATURES: dict[str, Family] = {
    "rolling": Family(_rolling),
    "hours_since": Family(_hours_since, ("errors", "maint", "failures")),
    "counts": Family(_counts, ("errors",)),
    "anomalies": Family(_anomalies, ("anomalies",)),
    "attributes": Family(_attributes, ("machines",)),
    "visits": Family(_visits, ("maint",)),
    "cycle_places": Family(_cycle_places, ("maint", "errors")),
    "shifts": Family(_shifts),
    "levels": Family(_levels),
    "trends": Family(_trends),
    "extremes": Family(_extremes),
    "excursions": Family(_excursions),
    "usage": Family(_usage, ("maint",)),
}
LEARNED: dict[str, LearnedFamily] = {
    "template": LearnedFamily(
        _learn_template, _match_template, FleetTemplate.to_json, FleetTemplate.from_json, ("errors", "maint")
    ),
    "residuals": LearnedFamily(_learn_relation, _residuals, SensorRelation.to_json, SensorRelation.from_json),
}
_PLAIN = ("rolling", "hours_since", "counts", "attributes")

# The best where failures show within the horizon: there, more columns only dilute those that matter.
_FULL = (*_PLAIN, "visits", "cycle_places", "shifts", "template")

# Families from which the columns that matter most are selected.
SELECTABLE = tuple(family for family in (*FEATURES, *LEARNED) if family not in ("anomalies", "usage"))

# Sets of families for the search to choose from, the most reliable one first.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "full": _FULL,
    "slow": (*_PLAIN, "levels", "residuals", "trends", "extremes", "excursions"),
    "template": (*_PLAIN, "visits", "cycle_places", "template"),
    "usage": (*_FULL, "usage"),
    "anomalies": (*_FULL, "anomalies"),
    "plain": _PLAIN,
}
