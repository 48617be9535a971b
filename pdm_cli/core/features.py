"""The training table: which columns a model sees at each instant, one registry line a family of features.

Every family looks at readings and events with stamp <= t only, and falls away by itself where its table is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.core.cleaning import to_microseconds
from pdm_cli.core.events import EventLog, Instants
from pdm_cli.errors import DataError
from pdm_cli.schema import MACHINE, TIME

FloatArray = NDArray[np.float64]
Columns = Iterator[tuple[str, FloatArray]]


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
    events : dict
        Event table to ``machineID, datetime, kind``; missing tables are not in it.
    machines : DataFrame or None
        Attributes by ``machineID``.
    """

    rolling: pd.DataFrame
    events: dict[str, pd.DataFrame]
    machines: pd.DataFrame | None


@dataclass(frozen=True)
class FeatureTable:
    """Features at every instant.

    Attributes
    ----------
    instants : Instants
        The m rows.
    names : list of str
        The f columns.
    categorical : list of str
        Those whose values are positions in a list of categories.
    values : (m, f) float32 array
        NaN where unknown.
    """

    instants: Instants
    names: list[str]
    categorical: list[str]
    values: NDArray[np.float32]


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


def build_features(sources: Sources, vocabulary: Vocabulary, *, count_hours: Sequence[float]) -> FeatureTable:
    """Put together all families of :data:`FEATURES`.

    Parameters
    ----------
    sources : Sources
        Prepared tables.
    vocabulary : Vocabulary
        Kinds and categories the columns are for; others are not seen.
    count_hours : sequence of float
        Trailing windows in which events are counted, in hours.
    """
    instants = Instants.of(sources.rolling)
    named = [pair for family in FEATURES.values() for pair in family(sources, instants, vocabulary, count_hours)]
    twice = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twice:
        raise DataError(
            f"features: two columns would be named {twice[0]!r}", hint="rename the kind of event or attribute"
        )
    values = np.empty((len(instants.times), len(named)), np.float32)
    for column, (_, feature) in enumerate(named):
        values[:, column] = feature
    return FeatureTable(instants, [name for name, _ in named], list(vocabulary.categories), values)


def _rolling(sources: Sources, _: Instants, __: Vocabulary, ___: Sequence[float]) -> Columns:
    for name in sources.rolling.columns:
        if name not in (MACHINE, TIME):
            yield name, sources.rolling[name].to_numpy()


# How a feature of an event table is worded.
_EVENT_NAMES = {
    "errors": ("{kind}", "any_error"),
    "maint": ("{kind}_replaced", "any_maint"),
    "failures": ("{kind}_failed", "any_failure"),
    "anomalies": ("{kind}_anomaly", "any_anomaly"),
}
_COUNTED = ("errors", "anomalies")


def _hours_since(sources: Sources, instants: Instants, vocabulary: Vocabulary, _: Sequence[float]) -> Columns:
    for table, events in sources.events.items():
        word, any_word = _EVENT_NAMES[table]
        for kind in vocabulary.kinds[table]:
            log = EventLog(events[events["kind"] == kind], instants.machines)
            yield f"hours_since_{word.format(kind=kind)}", log.last_until(instants)
        yield f"hours_since_{any_word}", EventLog(events, instants.machines).last_until(instants)


def _counts(sources: Sources, instants: Instants, vocabulary: Vocabulary, count_hours: Sequence[float]) -> Columns:
    for table in _COUNTED:
        if table not in sources.events:
            continue
        events = sources.events[table]
        for kind in vocabulary.kinds[table]:
            log = EventLog(events[events["kind"] == kind], instants.machines)
            for hours in count_hours:
                yield f"{_EVENT_NAMES[table][0].format(kind=kind)}_count_{hours:g}h", log.count_within(instants, hours)


def _attributes(sources: Sources, instants: Instants, vocabulary: Vocabulary, _: Sequence[float]) -> Columns:
    if sources.machines is None:
        return
    by_machine = sources.machines.set_index(MACHINE).reindex(instants.machines)
    for name in vocabulary.attributes:
        yield name, by_machine[name].to_numpy(np.float64)[instants.codes]
    for name, categories in vocabulary.categories.items():
        positions = pd.Index(categories).get_indexer(pd.Index(by_machine[name])).astype(np.float64)
        yield name, np.where(positions < 0, np.nan, positions)[instants.codes]


def _anomaly_scores(sources: Sources, instants: Instants, vocabulary: Vocabulary, _: Sequence[float]) -> Columns:
    """Score of the latest anomaly of each sensor."""
    if "anomalies" not in sources.events:
        return
    anomalies = sources.events["anomalies"]
    for kind in vocabulary.kinds["anomalies"]:
        own = anomalies[anomalies["kind"] == kind]
        yield f"{kind}_anomaly_score", EventLog(own, instants.machines).latest(instants, own["score"].to_numpy())


# Family of features to the function that yields its columns; order fixes the columns of the matrix.
FEATURES: dict[str, Callable[[Sources, Instants, Vocabulary, Sequence[float]], Columns]] = {
    "rolling": _rolling,
    "hours_since": _hours_since,
    "counts": _counts,
    "anomaly_scores": _anomaly_scores,
    "attributes": _attributes,
}
