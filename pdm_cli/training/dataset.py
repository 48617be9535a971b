"""Training data: labelled rows and their features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.errors import NotEnoughData, SchemaError
from pdm_cli.features.build import (
    FEATURE_SETS,
    FEATURES,
    SELECTABLE,
    Context,
    Sources,
    build_features,
    learn_states,
    learn_vocabulary,
    match_states,
)
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.features.table import FeatureTable
from pdm_cli.models import find_load_error
from pdm_cli.settings.model import CostsParams, LabelsParams, TrainParams
from pdm_cli.training.labelled_rows import LabelledRows, check_rows, label_rows
from pdm_cli.training.screening import choose_columns, count_columns
from pdm_cli.training.splits import Split

# Name of the feature set whose columns depend on the training rows.
SELECTED = "selected"

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem(LabelledRows):
    """Labelled rows with their features.

    Attributes
    ----------
    context : Context
        Data that features are built from.
    table : FeatureTable
        Features of the m rows that are not fitted.
    costs : CostsParams
        Costs of events, for alerts by cost.
    """

    context: Context
    table: FeatureTable
    costs: CostsParams
    _selected: dict[tuple[int, bytes], tuple[str, ...]] = field(default_factory=dict)
    _fitted: dict[tuple[int, bytes], tuple[dict[str, Any], FeatureTable]] = field(default_factory=dict)

    def states(self, split: Split) -> dict[str, Any]:
        """Return the states of the fitted families at the cutoff of a split."""
        return self._fit_families(split)[0]

    def table_of(self, split: Split) -> FeatureTable:
        """Return all features, with the fitted families as of the cutoff of a split."""
        return self.table.join(self._fit_families(split)[1])

    def set_names(self) -> list[str]:
        """Return the names of the feature sets to try, the most reliable first."""
        names = list(self.feature_sets())
        table = self.table_of(self.split)
        is_selected = not self.train.families and find_load_error("xgboost") is None
        is_selected &= len(table.names_of(_selectable(self.known))) > count_columns(int(self.learnable.sum()))
        return [SELECTED, *names] if is_selected else names

    def columns(self, feature_set: str, split: Split) -> tuple[str, ...]:
        """Return the columns of a feature set; :data:`SELECTED` ones are chosen on the training rows of the split."""
        if feature_set != SELECTED:
            return self.feature_sets()[feature_set]
        key = self._key(split)
        if key not in self._selected:
            table, (rows, weights) = self.table_of(split), self.fitting_rows(split)
            names = table.names_of(_selectable(self.known))
            proven = np.isin(names, table.names_of(FEATURE_SETS["full"]))
            chosen = choose_columns(
                table.matrix(names, rows),
                self.fitting_labels(rows),
                weights,
                categorical=[name in table.categorical for name in names],
                proven=proven,
                options=(self.train.seed, self.train.threads),
            )
            self._selected[key] = tuple(names[position] for position in chosen)
        return self._selected[key]

    def feature_sets(self) -> dict[str, tuple[str, ...]]:
        """Return the available feature sets with different columns, in order; a set of chosen families comes first."""
        table = self.table_of(self.split)
        sets = {"chosen": self.train.families, **FEATURE_SETS} if self.train.families else FEATURE_SETS
        allowed = set(self.train.families) or {family for families in FEATURE_SETS.values() for family in families}
        chosen: dict[str, tuple[str, ...]] = {}
        seen: set[tuple[str, ...]] = set()
        for name, families in sets.items():
            columns = tuple(table.names_of(allowed.intersection(families)))
            if columns and columns not in seen:
                seen.add(columns)
                chosen[name] = columns
        return chosen

    def _key(self, split: Split) -> tuple[int, bytes]:
        # Each fold, and the outer split, has a cutoff or machines of its own.
        return split.cutoff, self.trained_machines(split).tobytes()

    def _fit_families(self, split: Split) -> tuple[dict[str, Any], FeatureTable]:
        key, machines = self._key(split), self.trained_machines(split)
        if key not in self._fitted:
            families = self.train.families or tuple({f: None for names in FEATURE_SETS.values() for f in names})
            states = learn_states(
                self.context,
                families,
                components=self.components,
                until_us=split.cutoff,
                machines=machines,
            )
            self._fitted[key] = states, match_states(self.context, states)
        return self._fitted[key]


def make_problem(sources: Sources, *, train: TrainParams, labels: LabelsParams, costs: CostsParams) -> Problem:
    """Build features and labels from prepared tables, and split them.

    Parameters
    ----------
    sources : Sources
        Prepared tables, with failures.
    train, labels, costs
        Settings.

    Raises
    ------
    UsageError
        If cutoff and test start are too close.
    DataError
        If there are no failures, or too few to train and test on.
    """
    if "failures" not in sources.events:
        raise SchemaError("failures.parquet: not in the prepared tables", hint="training requires past failures")
    failures = sources.events["failures"].rename(columns={"kind": "failure"})
    rows = label_rows(Instants.of(sources.rolling), sources.telemetry, failures, train=train, labels=labels)
    check_rows(rows, sources.telemetry)
    train = rows.train
    split = rows.split
    trained = None if split.trained is None else rows.instants.machines[split.trained]
    context = Context(sources, learn_vocabulary(sources, until_us=split.cutoff, machines=trained), train, labels)
    table = build_features(context, _families(train, rows.known))
    problem = Problem(**vars(rows), context=context, table=table, costs=costs)
    if not problem.feature_sets():
        raise NotEnoughData(
            f"no table for the features of --families {','.join(train.families)}",
            hint="drop --families, or provide the log",
        )
    return problem


def _selectable(known: FollowUp) -> tuple[str, ...]:
    """Return the families from which columns are selected."""
    # The time since the first reading is the age of a machine that runs to failure; of others, it is a date.
    return (*SELECTABLE, "usage") if known.runs_to_failure else SELECTABLE


def _families(train: TrainParams, known: FollowUp) -> list[str]:
    """Return the families to build: those chosen, else all that a candidate may use."""
    chosen = train.families or (_selectable(known) if train.fast else FEATURES)
    return [name for name in FEATURES if name in chosen]
