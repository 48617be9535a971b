"""The training table: which columns a model sees at each instant, one registry line a family of features.

Every family looks at readings and events with stamp <= t only, and falls away by itself where its table is missing.
Most families are the same whatever is trained; those in :data:`LEARNED` learn from past failures, so they are made
anew for each cutoff.
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
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.failure_template import FleetTemplate, learn_template, match_template, template_hours
from pdm_cli.features.level_shifts import Shifts, at_instants, find_shifts, places_in_cycle
from pdm_cli.features.maintenance_cycle import VisitCycle, find_visit_cycle, hours_from_error_to_visit
from pdm_cli.features.robust_z import ZScores, standardise
from pdm_cli.features.table import FeatureTable
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import LabelsParams, TrainParams

FloatArray = NDArray[np.float64]
Columns = Iterator[tuple[str, FloatArray]]

_NO_EVENTS = pd.DataFrame({MACHINE: [], TIME: pd.Series([], dtype="datetime64[us]"), "kind": []})
# A template goes back in steps of three hours; it has nothing to say of a shorter horizon.
_LEAST_TEMPLATE_HOURS = 6


@dataclass(frozen=True)
class Vocabulary:
    """Kinds of event and categories known at the cutoff; they fix the columns of a model.

    Attributes
    ----------
    kinds : dict
        Event table to its kinds, sorted; the sensors for anomalies.
    categories : dict
        Text attribute of the machines to its values, sorted; a column holds positions in the list.
    attributes : list of str
        Numeric attributes of the machines.
    """

    kinds: dict[str, list[str]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """Prepared tables that features are made from.

    Attributes
    ----------
    rolling : DataFrame
        ``machineID, datetime`` and rolling features; one row an instant.
    telemetry : DataFrame
        ``machineID, datetime`` and the sensors, sorted by machine, then time.
    step_us : int
        Time between readings in microseconds.
    events : dict
        Event table to ``machineID, datetime, kind``; missing tables are not in it.
    machines : DataFrame or None
        Attributes by ``machineID``.
    """

    rolling: pd.DataFrame
    telemetry: pd.DataFrame
    step_us: int
    events: dict[str, pd.DataFrame]
    machines: pd.DataFrame | None


@dataclass(frozen=True)
class Context:
    """All that a family of features may look at, and what several of them share.

    Attributes
    ----------
    sources : Sources
        Prepared tables.
    vocabulary : Vocabulary
        Kinds and categories the columns are for; others are not seen.
    params : TrainParams
        Windows of the features.
    labels : LabelsParams
        Horizon, as far as templates of failures look.
    """

    sources: Sources
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
        found = find_shifts(self.scores, step_us=self.sources.step_us, longest_hours=self.params.shift_hours)
        together = at_instants(self.scores, np.hstack([found.statistic, found.age_hours, found.step]), self.instants)
        return Shifts(*np.split(together, 3, axis=1))

    @cached_property
    def visits(self) -> VisitCycle | None:
        """Visit cycle at each instant; ``None`` without a log of maintenance."""
        maint = self.sources.events.get("maint")
        return None if maint is None else find_visit_cycle(maint, self.instants)

    def log_of(self, table: str, kind: str | None = None) -> EventLog:
        """Return the events of a table, or those of one kind."""
        events = self.sources.events[table]
        return EventLog(events if kind is None else events[events["kind"] == kind], self.instants.machines)


def learn_vocabulary(sources: Sources, *, until_us: int) -> Vocabulary:
    """Return the kinds and categories seen up to ``until_us``, so that no column comes from the future."""
    kinds = {}
    for table, events in sources.events.items():
        known = events.loc[to_microseconds(events[TIME]) <= until_us, "kind"]
        kinds[table] = sorted(str(kind) for kind in known.unique())
    if sources.machines is None:
        return Vocabulary(kinds)
    columns = {str(name): column for name, column in sources.machines.items() if name != MACHINE}
    numeric = [name for name, column in columns.items() if pd.api.types.is_numeric_dtype(column)]
    texts = {name: sorted(c.dropna().unique().tolist()) for name, c in columns.items() if name not in numeric}
    return Vocabulary(kinds, texts, numeric)


def build_features(context: Context, families: Iterable[str]) -> FeatureTable:
    """Put together those of the families that need no learning.

    Parameters
    ----------
    context : Context
        Tables and windows.
    families : iterable of str
        Names in :data:`FEATURES`; others are passed over.
    """
    named = [
        (name, family, column)
        for family in families
        if family in FEATURES
        for name, column in FEATURES[family].columns(context)
    ]
    return _table(named, context)


def learn_states(
    context: Context, families: Iterable[str], *, components: list[str], until_us: int, machines: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what the learned families know at a cutoff: family to its state.

    Parameters
    ----------
    context : Context
        Tables and windows.
    families : iterable of str
        Names in :data:`LEARNED`; others are passed over.
    components : list of str
        Components whose failures are learned from.
    until_us : int
        Nothing later is looked at.
    machines : bool array
        Machines that may be learned from, in the order of ``context.instants.machines``.
    """
    chosen = context.instants.machines[machines]
    return {name: LEARNED[name].learn(context, components, until_us, chosen) for name in families if name in LEARNED}


def match_states(context: Context, states: Mapping[str, Any]) -> FeatureTable:
    """Return the columns of learned families, given what they know."""
    named = [(name, f, column) for f, state in states.items() for name, column in LEARNED[f].columns(context, state)]
    return _table(named, context)


def tables_of(families: Iterable[str], sources: Sources) -> list[str]:
    """Return the tables that are there and that some of the families read."""
    there = [*sources.events, *(["machines"] if sources.machines is not None else [])]
    registry: dict[str, Family | LearnedFamily] = {**FEATURES, **LEARNED}
    wanted = {table for family in families for table in registry[family].tables}
    return [table for table in there if table in wanted]


def _table(named: list[tuple[str, str, FloatArray]], context: Context) -> FeatureTable:
    twice = [name for name, count in Counter(name for name, _, _ in named).items() if count > 1]
    if twice:
        raise DataError(
            f"features: two columns would be named {twice[0]!r}", hint="rename the kind of event or attribute"
        )
    names = [name for name, _, _ in named]
    categorical = [name for name in context.vocabulary.categories if name in names]
    # Numbers beyond the range of float32 become infinite, which is as large as a tree wants to know.
    with np.errstate(over="ignore"):
        columns = [feature.astype(np.float32) for _, _, feature in named]
    return FeatureTable(names, [family for _, family, _ in named], categorical, columns)


def _rolling(context: Context) -> Columns:
    rolling = context.sources.rolling
    for name in rolling.columns:
        if name not in (MACHINE, TIME):
            yield name, rolling[name].to_numpy()


# How a feature of an event table is worded.
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
    word, any_word = _EVENT_NAMES[table]
    for kind in context.vocabulary.kinds[table]:
        yield f"hours_since_{word.format(kind=kind)}", context.log_of(table, kind).last_until(context.instants)
    yield f"hours_since_{any_word}", context.log_of(table).last_until(context.instants)


def _counts(context: Context, table: str = "errors") -> Columns:
    if table not in context.sources.events:
        return
    for kind in context.vocabulary.kinds[table]:
        log = context.log_of(table, kind)
        for hours in context.params.count_hours:
            name = f"{_EVENT_NAMES[table][0].format(kind=kind)}_count_{hours:g}h"
            yield name, log.count_within(context.instants, hours)


def _anomalies(context: Context) -> Columns:
    """Hours since and counts of the anomalies of each sensor, and the score of the latest."""
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


def _visits(context: Context) -> Columns:
    if context.visits is None:
        return
    yield "visit_period", context.visits.period_hours
    yield "visit_phase", context.visits.phase
    yield "hours_to_visit", context.visits.hours_to_next


def _cycle_places(context: Context) -> Columns:
    """Where in the visit cycle a shift or an error came."""
    if context.visits is None:
        return
    to_visit = context.visits.hours_to_next
    places = places_in_cycle(context.shifts.statistic, context.shifts.age_hours, to_visit)
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
        components=components,
        kinds=context.vocabulary.kinds.get("errors", []),
        until_us=until_us,
        step_us=context.sources.step_us,
        hours=template_hours(context.labels.horizon_hours),
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


@dataclass(frozen=True)
class Family:
    """A family that is the same whatever is trained.

    Attributes
    ----------
    columns : callable
        Context -> columns.
    tables : tuple of str
        Tables beside the telemetry that it reads; those that are not there fall away.
    """

    columns: Callable[[Context], Columns]
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class LearnedFamily:
    """A family that learns from past failures.

    Attributes
    ----------
    learn : callable
        (context, components, last instant, machines to learn from) -> state.
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


# One line a family; their order fixes the columns of the matrix.
FEATURES: dict[str, Family] = {
    "rolling": Family(_rolling),
    "hours_since": Family(_hours_since, ("errors", "maint", "failures")),
    "counts": Family(_counts, ("errors",)),
    "anomalies": Family(_anomalies, ("anomalies",)),
    "attributes": Family(_attributes, ("machines",)),
    "visits": Family(_visits, ("maint",)),
    "cycle_places": Family(_cycle_places, ("maint", "errors")),
    "shifts": Family(_shifts),
}
LEARNED: dict[str, LearnedFamily] = {
    "template": LearnedFamily(
        _learn_template, _match_template, FleetTemplate.to_json, FleetTemplate.from_json, ("errors", "maint")
    ),
}
_PLAIN = ("rolling", "hours_since", "counts", "attributes")

# Sets of families that the search chooses from; the first one, the best on the folds of the reference set, first.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "full": (*_PLAIN, "visits", "cycle_places", "shifts", "template"),
    "template": (*_PLAIN, "visits", "cycle_places", "template"),
    "anomalies": (*FEATURES, *LEARNED),
    "plain": _PLAIN,
}
