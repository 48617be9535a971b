"""Tables of a few rows, and the features made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pdm_cli.features.build import FEATURES, Sources, Vocabulary, build_features
from pdm_cli.features.table import FeatureTable
from tests.builders.fleets import HOUR_US, rows_frame
from tests.builders.problems import context_of


def tables_of(
    rows: list[tuple[Any, float]], events: dict[str, pd.DataFrame] | None = None, machines: pd.DataFrame | None = None
) -> Sources:
    """Return tables with feature rows at the given machines and hours, and telemetry of volt there."""
    frame = rows_frame(rows)
    return Sources(frame.assign(volt_mean_3h=1.5), frame.assign(volt=1.0), HOUR_US, 3 * HOUR_US, events or {}, machines)


def build(sources: Sources, families: Any = FEATURES, vocabulary: Vocabulary | None = None) -> FeatureTable:
    context = context_of(sources)
    return build_features(context if vocabulary is None else replace(context, vocabulary=vocabulary), families)


def column(table: FeatureTable, name: str) -> np.ndarray:
    return table.matrix([name])[:, 0]
