"""Prepared tables and learning problems of small fleets, simulated or made by hypothesis."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from pdm_cli.anomalies.detectors import find_anomalies
from pdm_cli.features.build import Context, Sources, learn_vocabulary
from pdm_cli.features.rolling import rolling_features
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.settings.model import CostsParams, DetectParams, FeaturesParams, LabelsParams, TrainParams
from pdm_cli.simulation.fleet import simulate_fleet
from pdm_cli.training.dataset import Problem, make_problem
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, fleets, log_frame, stamps

FOREVER = 2**62
FEATURES_PARAMS = FeaturesParams()
DETECT = DetectParams(window_days=7.0, jobs=1)
LABELS = LabelsParams(3.0, 48.0)
COSTS = CostsParams()
# Small and quick, but no worse than a small fleet deserves.
TRAIN = TrainParams(split="time", trees=12, max_leaves=6, learning_rate=0.3, min_child_weight=0.1, threads=1, trials=1)
WORDS = {"errors": "errorID", "maint": "comp", "failures": "failure"}


@cache
def simulated(machines: int = 8, days: int = 120, seed: int = 0) -> Sources:
    """Return the prepared tables of a simulated fleet and its causal anomalies."""
    fleet = simulate_fleet(machines=machines, days=days, seed=seed)
    sensors = [name for name in fleet.telemetry.columns if name not in ("datetime", "machineID")]
    telemetry = fleet.telemetry[["machineID", "datetime", *sensors]]
    events = {table: getattr(fleet, table).rename(columns={word: "kind"}) for table, word in WORDS.items()}
    anomalies, _ = find_anomalies(telemetry, step_us=HOUR_US, params=DETECT)
    return Sources(
        rolling=rolling_features(telemetry, step_us=HOUR_US, params=FEATURES_PARAMS),
        telemetry=telemetry,
        step_us=HOUR_US,
        grid_us=round(FEATURES_PARAMS.grid_hours * HOUR_US),
        events={**events, "anomalies": anomalies.rename(columns={"sensor": "kind"})},
        machines=fleet.machines,
    )


def without(sources: Sources, *tables: str) -> Sources:
    """Return the sources without some tables."""
    events = {name: log for name, log in sources.events.items() if name not in tables}
    return replace(sources, events=events, machines=None if "machines" in tables else sources.machines)


def known_at(sources: Sources, now_us: int) -> Sources:
    """Return what was known at a time: readings and events with that stamp or an earlier one."""

    def past(table: pd.DataFrame) -> pd.DataFrame:
        return table[to_microseconds(table["datetime"]) <= now_us].reset_index(drop=True)

    events = {name: past(log) for name, log in sources.events.items()}
    return replace(sources, rolling=past(sources.rolling), telemetry=past(sources.telemetry), events=events)


def context_of(
    sources: Sources, *, train: TrainParams = TRAIN, labels: LabelsParams = LABELS, until_us: int = FOREVER
) -> Context:
    return Context(sources, learn_vocabulary(sources, until_us=until_us), train, labels)


def problem_of(
    sources: Sources,
    *,
    train: TrainParams = TRAIN,
    labels: LabelsParams = LABELS,
    components: tuple[str, ...] = ("comp1", "comp2"),
) -> Problem:
    """Return the problem of some components, cut as the settings say."""
    return make_problem(sources, train=replace(train, components=components), labels=labels, costs=COSTS)


@st.composite
def made_sources(draw: st.DrawFn, *, days: int = 8) -> Sources:
    """Telemetry of two sensors with gaps and missing readings, events of all kinds before, within and after it."""
    fleet = draw(fleets)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    parts = []
    for machine in fleet:
        start, length = int(rng.integers(0, 24)), int(rng.integers(1, 24 * days))
        cells = start + np.flatnonzero(rng.random(length) < draw(st.sampled_from([1.0, 0.9])))
        cells = cells if len(cells) else np.array([start])
        parts.append(pd.DataFrame({"machineID": machine, "datetime": stamps(cells.tolist())}))
    telemetry = pd.concat(parts, ignore_index=True).sort_values(["machineID", "datetime"], ignore_index=True)
    readings = rng.normal(0, 1, (len(telemetry), 2)) + 3 * (rng.random((len(telemetry), 1)) < 0.1)
    readings[rng.random(readings.shape) < draw(st.sampled_from([0.0, 0.1]))] = np.nan
    telemetry[["volt", "rotate"]] = readings
    events = {}
    kinds = {"errors": ["e1", "e2"], "maint": ["c1", "c2"], "failures": ["c1", "c2"], "anomalies": ["volt", "rotate"]}
    for table, own in kinds.items():
        if draw(st.integers(0, 3)):
            # Visits stand on a grid, so that there is a cycle to be found.
            step = 24.0 if table == "maint" else 0.5
            count = int(rng.integers(0, 40))
            hours = step * rng.integers(-96 // step, 24 * (days + 2) // step, count)
            log = [Event(fleet[rng.integers(len(fleet))], float(h), own[rng.integers(len(own))]) for h in hours]
            events[table] = log_frame(log)
    if "anomalies" in events:
        # One score a stamp: a sensor has no two anomalies at once.
        events["anomalies"]["score"] = 1.0 + events["anomalies"]["datetime"].dt.hour
    machines = pd.DataFrame(
        {"machineID": list(fleet), "model": ["b", "a", "b"][: len(fleet)], "age": range(len(fleet))}
    )
    return Sources(
        rolling=rolling_features(telemetry, step_us=HOUR_US, params=FEATURES_PARAMS),
        telemetry=telemetry,
        step_us=HOUR_US,
        grid_us=round(FEATURES_PARAMS.grid_hours * HOUR_US),
        events=events,
        machines=machines if draw(st.booleans()) else None,
    )


def microseconds(hour: float) -> int:
    """Return the stamp so many hours after the epoch."""
    return EPOCH_US + round(hour * HOUR_US)
