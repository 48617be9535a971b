"""Scan the machines and timestamps of raw telemetry once: order, rows per machine, time grid."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.preparation.quality import Finding
from pdm_cli.preparation.time_range import TimeRange, TimeSurvey
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR
from pdm_cli.units import show_step

# Share of the readings that must have the same time step, or the same offset from the grid.
_REGULAR_SHARE = 0.5
# The grid is found from the first machines, as many as have this number of readings in total.
_GRID_READINGS = 2_000_000
# Clocks jitter: a difference this close to the step, as a share of it, counts as the step.
_JITTER = 0.05
_SAMPLE = 1001
_ROUND_UNITS = (60_000_000, 1_000_000, 1_000)
# A clock is set back by at most this; parts of a log in another order by more.
_LONGEST_SET_BACK = 25 * US_PER_HOUR

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TelemetryScan:
    """The result of a scan of raw telemetry.

    Attributes
    ----------
    rows : dict
        Number of rows per machine, in ascending order of machines.
    in_order : bool
        Whether the rows of each machine are contiguous and machines ascend.
    step_us : int
        Time between two readings of a machine, in microseconds.
    phase_us : int
        Grid times are multiples of the step plus this, in microseconds.
    out_of_order : int
        Rows with an earlier time than the previous row of the same machine.
    first_out_of_order : DataFrame
        Machine and time of the first such row, if any.
    span_us : int
        Time from the first to the last reading, in microseconds.
    time_range : TimeRange
        Times to use; the scan and the batches leave out all other rows.
    days : TimeSurvey
        The days with rows.
    outside : Finding
        The rows outside the range.
    machines_outside : frozenset
        Machines all of whose rows are outside the range.
    ends_us : dict
        First and last time of each machine, in microseconds.
    repeated : int
        Rows with the same machine and time as the previous row of the machine.
    set_back : tuple
        Number of rows that are up to about a day earlier than the previous row of their machine; and of the first such
        row, if any, the machine, the time, and the time it goes back, in microseconds.
    """

    rows: dict[Any, int]
    in_order: bool
    step_us: int
    phase_us: int
    out_of_order: int
    first_out_of_order: pd.DataFrame
    span_us: int
    time_range: TimeRange
    days: TimeSurvey
    outside: Finding
    machines_outside: frozenset[Any]
    ends_us: dict[Any, tuple[int, int]]
    repeated: int
    set_back: tuple[int, tuple[Any, int, int] | None]


class Scanner:
    """Running result of a scan, updated piece by piece in the order of the file."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.in_order = True
        self.out_of_order = 0
        self.first_out_of_order = pd.DataFrame({MACHINE: [], TIME: []})
        self.days = TimeSurvey()
        self.repeated = 0
        self.set_back: tuple[int, tuple[Any, int, int] | None] = (0, None)
        self._last_time: dict[Any, int] = {}
        self._last_machine: Any = None
        self.ends_us: dict[Any, tuple[int, int]] = {}
        self._times: dict[Any, list[IntArray]] = {}
        self._held = 0

    def add(self, machines: pa.ChunkedArray, timestamps: pa.ChunkedArray) -> None:
        """Add the next rows of the file."""
        encoded = machines.combine_chunks().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = encoded.indices.to_numpy()
        times = timestamps.cast(pa.int64()).to_numpy()
        self._check_order(names, codes)
        self.days.add(names, codes, times)
        order = np.arange(len(codes))
        if np.any(np.diff(codes) < 0):
            order = np.argsort(codes, kind="stable")
            codes, times = codes[order], times[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        stops = np.append(starts[1:], len(codes))
        apart = np.diff(times, prepend=times[:1])
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            machine = names[codes[start]]
            # The first row of a machine follows none.
            apart[start] = times[start] - self._last_time.get(machine, times[start] - 1)
            self._last_time[machine] = int(times[stop - 1])
            self._extend(machine, times[start:stop])
            self._hold(machine, times[start:stop])
            self.counts[machine] = self.counts.get(machine, 0) + stop - start
        backwards = np.flatnonzero(apart < 0)
        if len(backwards) and self.first_out_of_order.empty:
            first = backwards[np.argmin(order[backwards])]
            time = pd.Timestamp(int(times[first]), unit="us")
            self.first_out_of_order = pd.DataFrame({MACHINE: [names[codes[first]]], TIME: [time]})
        self.out_of_order += len(backwards)
        self.repeated += int(np.count_nonzero(apart == 0))
        back = backwards[apart[backwards] >= -_LONGEST_SET_BACK]
        if len(back):
            count, first = self.set_back
            at = back[np.argmin(order[back])]
            self.set_back = count + len(back), first or (names[codes[at]], int(times[at]), -int(apart[at]))

    @property
    def span_us(self) -> int:
        """Time from the first to the last reading, in microseconds."""
        return max(last for _, last in self.ends_us.values()) - min(first for first, _ in self.ends_us.values())

    def step(self, file: str) -> int:
        """Return the most common time between readings of a machine, in microseconds.

        Raises
        ------
        NotEnoughData
            If no machine has two readings at different times.
        DataError
            If fewer than half of the readings have the same step.
        """
        apart = np.concatenate([_distances(np.concatenate(held)) for held in self._times.values()])
        if not len(apart):
            raise NotEnoughData(
                f"{file}: cannot find the time step: no machine has two readings at different times",
                hint="set the step with --step-minutes",
            )
        step = _usual_step(apart)
        # Integers take less time to compare than floats.
        jitter = int(_JITTER * step)
        share = float(np.mean((apart >= step - jitter) & (apart <= step + jitter)))
        if share < _REGULAR_SHARE:
            raise DataError(
                f"{file}: no regular time step: the most common one, {show_step(step / 60e6)}, "
                f"fits {share:.0%} of the readings",
                hint="set the step with --step-minutes, or resample the readings to a fixed step",
            )
        return step

    def phase(self, step: int) -> int:
        """Return the offset of the readings from multiples of ``step``, in microseconds: 30 min for a log at hh:30.

        It is 0 unless at least half of the readings have the same offset to the microsecond. The late edge of a
        jittering clock would depend on the whole log: a future reading could then move past ones.
        """
        rests, counts = np.unique(
            np.concatenate([times for held in self._times.values() for times in held]) % step, return_counts=True
        )
        return int(rests[np.argmax(counts)]) if counts.max() >= _REGULAR_SHARE * counts.sum() else 0

    def _extend(self, machine: Any, times: IntArray) -> None:
        first, last = int(times.min()), int(times.max())
        known = self.ends_us.get(machine, (first, last))
        self.ends_us[machine] = min(first, known[0]), max(last, known[1])

    def _check_order(self, names: list[Any], codes: NDArray[np.int32]) -> None:
        if not self.in_order:
            return
        runs = [names[code] for code in codes[np.flatnonzero(np.diff(codes, prepend=-1))]]
        if self._last_machine is not None and runs[0] != self._last_machine:
            runs.insert(0, self._last_machine)
        self._last_machine = runs[-1]
        self.in_order = all(one < other for one, other in pairwise(runs))

    def _hold(self, machine: Any, times: IntArray) -> None:
        if machine not in self._times and (machine in self.counts or self._held >= _GRID_READINGS):
            return
        self._times.setdefault(machine, []).append(times)
        self._held += len(times)
        while self._held > 2 * _GRID_READINGS and len(self._times) > 1:
            _, dropped = self._times.popitem()
            self._held -= sum(map(len, dropped))


def _distances(times: IntArray) -> IntArray:
    """Return the distances between different times in ascending order."""
    apart = np.diff(times)
    if np.any(apart < 0):
        apart = np.diff(np.sort(times))
    distances: IntArray = apart[apart > 0]
    return distances


def _usual_step(apart: IntArray) -> int:
    """Return the step of at least half of the differences, or else the median rounded to a unit of time."""
    likely = int(np.sort(apart[:_SAMPLE])[len(apart[:_SAMPLE]) // 2])
    if np.count_nonzero(apart == likely) > _REGULAR_SHARE * len(apart):
        # More than half: none is more common. This takes less time than to count them all.
        return likely
    steps, counts = np.unique(apart, return_counts=True)
    if counts.max() >= _REGULAR_SHARE * len(apart):
        return int(steps[np.argmax(counts)])
    typical = float(np.median(apart))
    unit = next((unit for unit in _ROUND_UNITS if typical >= 10 * unit), 1)
    return round(typical / unit) * unit
