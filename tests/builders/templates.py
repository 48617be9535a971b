"""Fleets and templates, by hand or made by hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from numpy.typing import NDArray

from pdm_cli.features.failure_template import FleetTemplate, TemplateScope, learn_template, match_template
from pdm_cli.features.robust_z import ZScores
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, instants_of, log_frame

SENSORS, COMPONENTS, KINDS = ["volt", "rotate"], ["pump", "motor"], ["hot", "loud"]


@dataclass(frozen=True)
class Reading:
    """Robust z of all sensors at so many hours since the epoch."""

    machine: int
    hour: float
    z: tuple[float, ...]


@dataclass(frozen=True)
class Fleet:
    readings: list[Reading]
    errors: list[Event]
    failures: list[Event]
    step: float

    def until(self, hour: float) -> Fleet:
        """Cut the future off."""
        readings, errors, failures = (
            [record for record in records if record.hour <= hour]
            for records in (self.readings, self.errors, self.failures)
        )
        return Fleet(readings, errors, failures, self.step)


def scores_of(readings: Sequence[Reading], sensors: Sequence[str] = SENSORS) -> ZScores:
    ordered = sorted(readings, key=lambda r: (r.machine, r.hour))
    codes, machines = pd.factorize(np.array([r.machine for r in ordered], np.int64))
    times = np.array([EPOCH_US + round(r.hour * HOUR_US) for r in ordered], np.int64)
    z = np.array([r.z for r in ordered], np.float64).reshape(len(ordered), len(sensors))
    return ZScores(pd.Index(machines), codes.astype(np.int64), times, list(sensors), z)


def learn(fleet: Fleet, *, hours: int, until: float = 1e6, kinds: Sequence[str] = KINDS) -> FleetTemplate:
    return learn_template(
        scores_of(fleet.readings),
        log_frame(fleet.errors),
        log_frame(fleet.failures, "failure"),
        TemplateScope(COMPONENTS, list(kinds), hours),
        until_us=EPOCH_US + round(until * HOUR_US),
        step_us=round(fleet.step * HOUR_US),
    )


def match(
    template: FleetTemplate, fleet: Fleet, rows: list[tuple[int, float]], visits: list[float] | None = None, **grid: Any
) -> dict[str, NDArray[np.float64]]:
    scores = scores_of(fleet.readings, template.sensors)
    to_visit = None if visits is None else np.array(visits)
    return dict(match_template(template, scores, log_frame(fleet.errors), instants_of(rows), to_visit, **grid))


def template_of(mean_z: Any, error_share: Any, base_share: Any, **names: list[str]) -> FleetTemplate:
    parts = (np.array(part, np.float64) for part in (mean_z, error_share, base_share))
    named = {"components": COMPONENTS, "sensors": SENSORS, "kinds": KINDS} | names
    return FleetTemplate(named["components"], named["sensors"], named["kinds"], *parts)


# --- fleets made by hypothesis

MACHINES = (1, 2, 3)
# Coarse, so that hours are shared and their ends are hit.
half_hours = st.integers(0, 80).map(lambda n: n / 2)
z_values = st.sampled_from([math.nan, -2.0, 0.0, 0.5, 1.0, 3.0])


def events(kinds: Sequence[str], most: int) -> st.SearchStrategy[list[Event]]:
    return st.lists(
        st.builds(Event, st.sampled_from((*MACHINES, 9)), half_hours, st.sampled_from(kinds)), max_size=most
    )


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Two machines with readings, perhaps with gaps, some hours with two; the third machine has none."""
    step = draw(st.sampled_from([0.5, 1.0, 3.0]))
    seed = draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    readings = [
        Reading(machine, start + i * step, tuple(rng.choice([np.nan, -2.0, 0.0, 0.5, 1.0, 3.0], 2)))
        for machine, start in ((1, 0.0), (2, draw(half_hours)))
        for i in range(round(40 / step))
        if rng.random() < 0.9
    ]
    return Fleet(readings, draw(events(KINDS, 12)), draw(events(COMPONENTS, 6)), step)


@st.composite
def templates(draw: st.DrawFn) -> FleetTemplate:
    hours = draw(st.integers(4, 11))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    mean_z = rng.choice([0.0, 0.0, -1.5, 2.0], (2, hours, 2))
    return template_of(mean_z, rng.uniform(0.01, 0.6, (2, hours, 2)), rng.uniform(0.01, 0.3, 2))


rows_asked = st.lists(st.tuples(st.sampled_from(MACHINES), half_hours), min_size=1, max_size=8, unique=True)
