"""Scores and prepared telemetry with gaps, made by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from pdm_cli.features.events import Instants
from pdm_cli.features.robust_z import ZScores
from tests.builders.fleets import EPOCH_US, HOUR_US, stamps


def scores_of(cells: dict[Any, Sequence[int]], z: Any, *, step_hours: float = 1.0) -> ZScores:
    """Return scores of machines that have rows at the given multiples of the step after the epoch."""
    codes = np.repeat(np.arange(len(cells)), [len(own) for own in cells.values()])
    rows = np.concatenate([np.array(own, np.int64) for own in cells.values()])
    scores = np.array(z, float).reshape(len(rows), -1)
    sensors = [f"sensor{i}" for i in range(scores.shape[1])]
    return ZScores(pd.Index(list(cells)), codes, EPOCH_US + rows * round(step_hours * HOUR_US), sensors, scores)


def telemetry_of(scores: ZScores) -> pd.DataFrame:
    """Return prepared telemetry with the scores as readings."""
    hours = (scores.times - EPOCH_US) / HOUR_US
    table = pd.DataFrame({"machineID": scores.machines[scores.codes], "datetime": stamps(hours.tolist())})
    return table.join(pd.DataFrame(scores.z, columns=scores.sensors))


def first_rows(scores: ZScores, until: int) -> ZScores:
    """Return what was known at the time ``until``; machines without rows by then are not known."""
    kept = scores.times <= until
    known, codes = np.unique(scores.codes[kept], return_inverse=True)
    return ZScores(scores.machines[known], codes, scores.times[kept], scores.sensors, scores.z[kept])


@st.composite
def broken_scores(draw: st.DrawFn, *, most_rows: int = 70, steps: Sequence[float] = (1.0,)) -> tuple[ZScores, float]:
    """Two sensors of a fleet with long gaps, missing readings and ties, and the step in hours."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    is_long = draw(st.sampled_from([0.0, 0.02, 0.2]))
    cells = {}
    for machine in draw(st.sampled_from([(1, 2, 10), (7,), ("B", "a")])):
        rows = draw(st.integers(1, most_rows))
        apart = np.where(rng.random(rows) < is_long, rng.choice([2, 5, 30], rows), 1)
        cells[machine] = (np.cumsum(apart) + rng.integers(-40, 40)).tolist()
    rows = sum(len(own) for own in cells.values())
    z = rng.normal(0, 1, (rows, 2)) + 3 * (rng.random((rows, 2)) < 0.1)
    if draw(st.booleans()):
        z = np.round(z)
    z[rng.random(z.shape) < draw(st.sampled_from([0.0, 0.1, 0.7]))] = np.nan
    step_hours = draw(st.sampled_from(list(steps)))
    return scores_of(cells, z, step_hours=step_hours), step_hours


@st.composite
def instants_among(draw: st.DrawFn, scores: ZScores) -> Instants:
    """Instants before, between and after the rows, in no order, also of a machine without rows."""
    stranger: Any = "stranger" if isinstance(scores.machines[0], str) else 99
    fleet = pd.Index([*scores.machines, stranger])[::-1]
    first, last = (scores.times.min() - EPOCH_US) // HOUR_US, (scores.times.max() - EPOCH_US) // HOUR_US
    offsets = st.integers(2 * int(first) - 8, 2 * int(last) + 80)
    rows = draw(st.lists(st.tuples(st.integers(0, len(fleet) - 1), offsets), min_size=1, max_size=40))
    codes, halves = np.array(rows, np.int64).T
    return Instants(fleet, codes, EPOCH_US + halves * (HOUR_US // 2))
