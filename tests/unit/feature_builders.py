"""Tables of a few rows, and the features made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from fleet_builders import HOUR_US, rows_frame
from problem_builders import context_of

from pdm_cli.core.feature_table import FeatureTable
from pdm_cli.core.features import FEATURES, Sources, Vocabulary, build_features


def tables_of(
    rows: list[tuple[Any, float]], events: dict[str, pd.DataFrame] | None = None, machines: pd.DataFrame | None = None
) -> Sources:
    """Return tables with feature rows at the given machines and hours, and telemetry of volt there."""
    frame = rows_frame(rows)
    return Sources(frame.assign(volt_mean_3h=1.5), frame.assign(volt=1.0), HOUR_US, events or {}, machines)


def build(sources: Sources, families: Any = FEATURES, vocabulary: Vocabulary | None = None) -> FeatureTable:
    context = context_of(sources)
    return build_features(context if vocabulary is None else replace(context, vocabulary=vocabulary), families)


def column(table: FeatureTable, name: str) -> np.ndarray:
    return table.matrix([name])[:, 0]
