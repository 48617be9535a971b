"""Lifetimes of parts in the training span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.evaluation.costs import Lives, find_lives
from pdm_cli.evaluation.lifetimes import Lifetime, find_installations, fit_lifetime
from pdm_cli.features.events import EventLog
from pdm_cli.features.labels import first_rows
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.training.dataset import Problem
from pdm_cli.units import Units

IntArray = NDArray[np.int64]


def find_training_lives(problem: Problem, *, units: Units) -> dict[str, Lives]:
    """Return the lifetimes of each component's parts on the training machines, up to the cutoff."""
    watch = _Watch.of(problem)
    maint = problem.context.sources.events.get("maint")
    return {
        component: find_lives(
            _failures_of(problem, component),
            find_installations(maint, component, watch.machines, watch.starts_us, units=units),
            watch.machines,
            start_us=int(watch.starts_us.min()),
            ends_us=watch.ends_us,
        )
        for component in problem.components
    }


def fit_lifetimes(problem: Problem, components: Sequence[str], *, units: Units) -> dict[str, Lifetime]:
    """Return how often some components fail, and how that depends on their age, by the training span.

    Without those that were not watched in it.
    """
    if not components:
        return {}
    watch, lives = _Watch.of(problem), find_training_lives(problem, units=units)
    hours = np.maximum(watch.ends_us - watch.starts_us, 0) / US_PER_HOUR
    fitted = {name: fit_lifetime(lives[name], watch.count(_failures_of(problem, name)), hours) for name in components}
    return {name: lifetime for name, lifetime in fitted.items() if lifetime is not None}


@dataclass(frozen=True)
class _Watch:
    """The training machines, and from when to when each was watched; one that began later ends before it starts."""

    machines: pd.Index
    starts_us: IntArray
    ends_us: IntArray

    @classmethod
    def of(cls, problem: Problem) -> _Watch:
        known, split, is_trained = problem.known, problem.split, ~problem.held_out
        # A failure that ended the telemetry may be logged after the last reading.
        ends = np.where(known.is_ended, np.maximum(known.ends_us, known.failed_us), known.ends_us)
        starts = first_rows(problem.context.sources.telemetry, problem.instants.machines)
        machines = problem.instants.machines[is_trained]
        if split.is_by_time:
            ends = np.minimum(ends, split.cutoff)
        return cls(machines, starts[is_trained], ends[is_trained])

    def count(self, events: pd.DataFrame) -> NDArray[np.float64]:
        """Return the number of events on each machine while it was watched."""
        log = EventLog(events, self.machines)
        is_seen = (log.times >= self.starts_us[log.codes]) & (log.times <= self.ends_us[log.codes])
        return np.bincount(log.codes[is_seen], minlength=len(self.machines)).astype(np.float64)


def _failures_of(problem: Problem, component: str) -> pd.DataFrame:
    return problem.failures[problem.failures["failure"] == component]
