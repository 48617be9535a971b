"""Failures that a model can be trained on: readings before them, and enough of each component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.preparation.overview import Overview
from pdm_cli.preparation.problems import Problem, show_day
from pdm_cli.preparation.run_to_failure import NEVER_US, RUN_TO_FAILURE_SHARE, find_ending_failures
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.duration import show_length
from pdm_cli.text import name_some, show_count
from pdm_cli.timestamps import show
from pdm_cli.units import show_time

IntArray = NDArray[np.int64]

# With fewer failures, models of a component and their metrics depend on chance.
_LEAST_FAILURES = 10
# Machines that must fail for a split by machine.
_LEAST_MACHINES = 4
_US_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class Spans:
    """Ends of the training spans of the first fold and of the whole, and the start of the test, in microseconds."""

    first_fold: int
    cutoff: int
    test_start: int


class FailureCoverage:
    """The last reading before each failure, updated with rows in any order.

    Parameters
    ----------
    failures : DataFrame
        ``machineID``, ``datetime`` and ``failure``.
    overview : Overview
        Knows the machines and the span of the telemetry.
    """

    def __init__(self, failures: pd.DataFrame, overview: Overview) -> None:
        places = {machine: place for place, machine in enumerate(overview.machines)}
        machines = np.array([places.get(machine, -1) for machine in failures[MACHINE]], np.int64)
        self.overview = overview
        self._seconds = (overview.last_us - overview.first_us) // _US_PER_SECOND
        self.failures = failures.assign(_place=machines, _key=self._keys(machines, to_microseconds(failures[TIME])))
        known = self.failures.loc[machines >= 0, "_key"]
        self._sorted = np.unique(known.to_numpy(np.int64))
        self._last = np.full(len(self._sorted), np.iinfo(np.int64).min)

    def _keys(self, machines: IntArray, times: IntArray) -> IntArray:
        """Return numbers in the order of machines, then times; times outside the telemetry are next to its ends."""
        seconds = np.clip((times - self.overview.first_us) // _US_PER_SECOND, -1, self._seconds + 1)
        return machines * (self._seconds + 3) + seconds + 1

    def add(self, machines: IntArray, times: IntArray) -> None:
        """Add rows: the positions of their machines in the overview, and their times in microseconds."""
        if not len(self._sorted):
            return
        keys = self._keys(machines, times)
        at = np.searchsorted(self._sorted, keys)
        inside = at < len(self._sorted)
        at, keys, times = at[inside], keys[inside], times[inside]
        # The next failure may be one of the next machine.
        width = self._seconds + 3
        is_own = self._sorted[at] // width == keys // width
        np.maximum.at(self._last, at[is_own], times[is_own])

    def is_covered(self, horizon_us: int) -> NDArray[np.bool_]:
        """Return which failures have a reading of their machine at most ``horizon_us`` before them."""
        last = self._last.copy()
        if len(last):
            machines = self._sorted // (self._seconds + 3)
            # Rows are noted at the first failure after them only.
            for start, stop in _runs(machines):
                last[start:stop] = np.maximum.accumulate(last[start:stop])
        places, keys = self.failures["_place"].to_numpy(), self.failures["_key"].to_numpy()
        at = np.minimum(np.searchsorted(self._sorted, keys), max(len(last) - 1, 0))
        before = last[at] if len(last) else np.full(len(keys), np.iinfo(np.int64).min)
        times = to_microseconds(self.failures[TIME])
        return np.asarray((places >= 0) & (before >= times - horizon_us))


def _runs(values: IntArray) -> list[tuple[int, int]]:
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(values)], strict=True))


def count_failures(
    failures: pd.DataFrame, is_covered: NDArray[np.bool_], spans: Spans | None
) -> dict[str, dict[str, int]]:
    """Return the failures of each component: all, those with readings before, and those per span of them.

    ``first_fold``, ``training`` and ``test`` count failures with readings before them: up to the end of the training
    span of the first fold, up to the cutoff, and from the start of the test on. A split by machine has no spans.
    """
    times = to_microseconds(failures[TIME])
    counts = {}
    for component in sorted(failures["failure"].unique()):
        own = (failures["failure"] == component).to_numpy()
        usable = own & is_covered
        counts[str(component)] = {
            "failures": int(own.sum()),
            "with_readings": int(usable.sum()),
        }
        if spans is not None:
            counts[str(component)] |= {
                "first_fold": int((usable & (times <= spans.first_fold)).sum()),
                "training": int((usable & (times <= spans.cutoff)).sum()),
                "test": int((usable & (times >= spans.test_start)).sum()),
            }
    return counts


def check_failures(
    failures: pd.DataFrame, is_covered: NDArray[np.bool_], spans: Spans | None, horizon_us: int
) -> list[Problem]:
    """Return the problems of failures without readings, and of components with too few to train and test on."""
    counts = count_failures(failures, is_covered, spans)
    short = _find_few(counts) if spans is None else [*_find_untrained(counts, spans), *_find_few(counts)]
    if spans is not None:
        short += _find_untested(counts, spans)
    return [*_find_uncovered(failures, is_covered, horizon_us), *short]


def _find_uncovered(failures: pd.DataFrame, is_covered: NDArray[np.bool_], horizon_us: int) -> list[Problem]:
    missing = failures[~is_covered]
    if missing.empty:
        return []
    first = missing.iloc[0]
    at = int(to_microseconds(missing[TIME].iloc[:1])[0])
    text = (
        f"{len(missing):,} of {show_count(len(failures), 'failure')} "
        f"{'has' if len(missing) == 1 else 'have'} no readings of the machine in the "
        f"{show_length(horizon_us)} before, first {first['failure']} of machine {first[MACHINE]}, "
        f"{show_time(at)}"
    )
    hint = "no model can be trained on such failures; is the telemetry complete, and do both tables use the same clock?"
    facts = {"count": len(missing), "first": _plain(first[MACHINE]), "at": show(at)}
    return [Problem("failures_without_readings", text, hint, facts=facts)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _find_few(counts: dict[str, dict[str, int]]) -> list[Problem]:
    few = [
        name
        for name, count in counts.items()
        if count.get("training", 1) and 0 < count["with_readings"] < _LEAST_FAILURES
    ]
    return _describe_short(
        "few_failures",
        counts,
        few,
        f"fewer than {_LEAST_FAILURES} failures: the model and its metrics will be unreliable",
        "provide a longer log, give rare failures of one cause the same name, or train without them (--components)",
    )


def _find_untrained(counts: dict[str, dict[str, int]], spans: Spans) -> list[Problem]:
    return _describe_short(
        "no_failure_to_train_on",
        counts,
        [name for name, count in counts.items() if not count["training"]],
        f"no failure to train on before {show_day(spans.cutoff)}, the end of the default training span: expect only "
        "a constant probability",
        "set another --cutoff or --test-share, or train without them (--components)",
    )


def _find_untested(counts: dict[str, dict[str, int]], spans: Spans) -> list[Problem]:
    trained = {name: count for name, count in counts.items() if count["training"]}
    untested = [name for name, count in trained.items() if not count["test"]]
    are_few = all(trained[name]["training"] < _LEAST_FAILURES for name in untested)
    return [
        *_describe_short(
            "no_failure_in_first_fold",
            counts,
            [name for name, count in trained.items() if not count["first_fold"]],
            f"no failure before {show_day(spans.first_fold)}, the end of the first fold: expect fewer folds, or only a "
            "constant probability",
            "provide a longer log, or test on other machines with --split machine",
        ),
        *_describe_short(
            "no_failure_to_test_on",
            counts,
            untested,
            f"no failure from {show_day(spans.test_start)} on, the default test span: its metrics are unknown",
            # With a few failures a longer test leaves none to train on.
            "provide a longer log" if are_few else "set an earlier --cutoff or a larger --test-share",
        ),
    ]


def _describe_short(
    kind: str, counts: dict[str, dict[str, int]], names: list[str], text: str, hint: str
) -> list[Problem]:
    """Return the problem of components with too few failures, if there are any."""
    if not names:
        return []
    shown = name_some([f"{name} ({counts[name]['with_readings']:,})" for name in names])
    return [Problem(kind, f"{shown}: {text}", hint, facts={"components": names})]


def is_split_by_machine(
    coverage: FailureCoverage, is_covered: NDArray[np.bool_], spans: Spans, horizon_us: int
) -> bool:
    """Return whether the default split is by machine, as far as failures alone decide it.

    It is if half of the machines end with a failure, or half of the components have none to train or to test on by
    time although machines enough fail.
    """
    failures, overview = coverage.failures, coverage.overview
    places = failures["_place"].to_numpy()
    known = places >= 0
    if len(np.unique(places[known])) < _LEAST_MACHINES:
        return False
    times = to_microseconds(failures[TIME])
    ending = find_ending_failures(places[known], times[known], overview.ends_us, horizon_us)
    if (ending < NEVER_US).sum() >= RUN_TO_FAILURE_SHARE * len(overview.machines):
        return True
    counts = count_failures(failures, is_covered, spans)
    machines = failures[known].groupby("failure")[MACHINE].nunique()
    rare = [
        not (count["training"] and count["test"]) and machines.get(name, 0) >= _LEAST_MACHINES
        for name, count in counts.items()
    ]
    return bool(sum(rare) >= len(rare) / 2)


def find_spans(overview: Overview, shares: Sequence[float], gap_us: int) -> Spans:
    """Return the spans of a split by time; ``shares`` of the rows come before the end of the first fold and of all."""
    rows = overview.bucket_rows.sum(axis=0)
    total = np.concatenate([[0.0], np.cumsum(rows) / max(rows.sum(), 1)])
    step = max(overview.step_us, 1)
    after = (int(np.interp(share, total, overview.edges_us)) - overview.first_us for share in shares)
    first_fold, cutoff = (overview.first_us + elapsed // step * step for elapsed in after)
    return Spans(first_fold, cutoff, cutoff + gap_us)
