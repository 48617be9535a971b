"""Overview of telemetry: number and level of readings per machine, sensor and bucket of time, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.schema import LARGEST_READING
from pdm_cli.timestamps import US_PER_HOUR

# Buckets of a picture, and the fewest in which a change of level can be seen.
_MOST_BUCKETS, _LEAST_BUCKETS = 60, 12
# Machines times sensors times buckets, of 20 bytes each.
_MOST_CELLS = 4_000_000
# Rows per hour are counted over at most half a century.
_MOST_HOURS = 440_000

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class Overview:
    """Counts and levels of readings by machine, sensor and bucket of time, updated piece by piece in any order.

    Parameters
    ----------
    sensors : sequence of str
        Names of the sensors.
    machines : sequence
        All machines.
    first_us, last_us : int
        Times of the first and the last row.
    step_us : int
        Time between the readings of a machine; 0 if it is unknown.

    Attributes
    ----------
    machines : list
        All machines. Only the first ``detailed`` of them have buckets of their own; the others share one.
    counts, lows, highs : (sensors, machines) array
        Number of readings, and the least and the largest one, by machine.
    bucket_rows, bucket_counts, bucket_sums, bucket_squares : (sensors, machines, buckets) array
        Rows (without sensors), readings, and sums and squares of their differences from ``references``.
    """

    def __init__(
        self, sensors: Sequence[str], machines: Sequence[Any], *, first_us: int, last_us: int, step_us: int
    ) -> None:
        self.sensors, self.machines = list(sensors), list(machines)
        self.first_us, self.last_us, self.step_us = first_us, last_us, step_us
        shape = (len(self.sensors), len(self.machines))
        series = max(shape[0], 1) * shape[1]
        number = int(np.clip(_MOST_CELLS // max(series, 1), _LEAST_BUCKETS, _MOST_BUCKETS))
        self.detailed = min(shape[1], _MOST_CELLS // (_LEAST_BUCKETS * max(shape[0], 1)))
        step = max(step_us, 1)
        self.width_us = -(-(last_us - first_us + 1) // (number * step)) * step
        self.buckets = int((last_us - first_us) // self.width_us + 1)
        self._places = {machine: place for place, machine in enumerate(self.machines)}
        self.starts_us = np.full(shape[1], np.iinfo(np.int64).max)
        self.ends_us = np.full(shape[1], np.iinfo(np.int64).min)
        self.counts = np.zeros(shape, np.int64)
        self.lows, self.highs = np.full(shape, np.nan), np.full(shape, np.nan)
        cells = (min(self.detailed + 1, shape[1]), self.buckets)
        self.bucket_rows = np.zeros(cells, np.int64)
        self.bucket_counts = np.zeros((shape[0], *cells), np.int32)
        self.bucket_sums, self.bucket_squares = np.zeros((shape[0], *cells)), np.zeros((shape[0], *cells))
        self.references = np.full(shape[0], np.nan)
        hours = last_us // US_PER_HOUR - first_us // US_PER_HOUR + 1
        self.first_hour = first_us // US_PER_HOUR
        self.hour_rows = np.zeros(hours if hours <= _MOST_HOURS else 0, np.int64)

    def add(
        self,
        names: Sequence[Any],
        codes: NDArray[np.integer[Any]],
        times: IntArray,
        readings: Mapping[str, FloatArray],
    ) -> None:
        """Add rows: the position of each row's machine in ``names``, its time in microseconds, and its readings."""
        if not len(times):
            return
        machines = self.place_of(names)[codes]
        if len(self.hour_rows):
            self.hour_rows += np.bincount(times // US_PER_HOUR - self.first_hour, minlength=len(self.hour_rows))
        cells = machines * self.buckets + (times - self.first_us) // self.width_us
        order = None if np.all(cells[1:] >= cells[:-1]) else np.argsort(cells, kind="stable")
        if order is not None:
            cells, times = cells[order], times[order]
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        at, bucket = np.divmod(cells[starts], self.buckets)
        np.minimum.at(self.starts_us, at, np.minimum.reduceat(times, starts))
        np.maximum.at(self.ends_us, at, np.maximum.reduceat(times, starts))
        shared = np.minimum(at, self.detailed)
        np.add.at(self.bucket_rows, (shared, bucket), np.diff(starts, append=len(cells)))
        for place, sensor in enumerate(self.sensors):
            values = readings[sensor] if order is None else readings[sensor][order]
            self._add_sensor(place, values, starts, at, (shared, bucket))

    def place_of(self, names: Sequence[Any]) -> IntArray:
        """Return the positions of machines."""
        return np.array([self._places[name] for name in names], np.int64)

    def _add_sensor(
        self, place: int, values: FloatArray, starts: IntArray, at: IntArray, cells: tuple[IntArray, IntArray]
    ) -> None:
        # Comparisons with NaN are false.
        there = np.abs(values) <= LARGEST_READING
        if not there.any():
            return
        if np.isnan(self.references[place]):
            # Squares of differences from a reading do not lose the digits that those of the readings would.
            self.references[place] = values[np.argmax(there)]
        kept = np.where(there, values, np.nan)
        apart = np.where(there, values - self.references[place], 0.0)
        counts = np.add.reduceat(there, starts, dtype=np.int64)
        np.add.at(self.counts[place], at, counts)
        np.fmin.at(self.lows[place], at, np.fmin.reduceat(kept, starts))
        np.fmax.at(self.highs[place], at, np.fmax.reduceat(kept, starts))
        np.add.at(self.bucket_counts[place], cells, counts.astype(np.int32))
        np.add.at(self.bucket_sums[place], cells, np.add.reduceat(apart, starts))
        np.add.at(self.bucket_squares[place], cells, np.add.reduceat(apart * apart, starts))

    @property
    def edges_us(self) -> IntArray:
        """Times between the buckets, and their first and last end."""
        return self.first_us + self.width_us * np.arange(self.buckets + 1)

    @cached_property
    def expected_rows(self) -> FloatArray:
        """The rows that each bucket would have without gaps, from each machine's first row to its last.

        Used after all rows were added.
        """
        rows: FloatArray = self.bucket_rows.sum(axis=0).astype(np.float64)
        if not self.step_us:
            return rows
        edges = self.edges_us
        has_rows = self.ends_us >= self.starts_us
        starts, ends = self.starts_us[has_rows], self.ends_us[has_rows] + self.step_us
        covered = [
            np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0, None).sum() / self.step_us
            for low, high in pairwise(edges.tolist())
        ]
        # Rows at irregular times may be more than one per step.
        expected: FloatArray = np.maximum(rows, covered)
        return expected

    def present(self, place: int) -> FloatArray:
        """Return the share of the expected readings of a sensor that exist, by bucket; NaN where none are expected."""
        expected = self.expected_rows
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.minimum(self.bucket_counts[place].sum(axis=0) / expected, 1.0))

    def missing_share(self, place: int) -> float:
        """Return the share of the expected readings of a sensor that are missing."""
        return max(0.0, 1.0 - float(self.counts[place].sum() / max(self.expected_rows.sum(), 1.0)))

    def levels(self, place: int) -> FloatArray:
        """Return the mean reading of a sensor by bucket; NaN without any."""
        counts = self.bucket_counts[place].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.references[place] + self.bucket_sums[place].sum(axis=0) / counts)

    def moments(self, place: int) -> tuple[FloatArray, FloatArray, IntArray]:
        """Return mean, standard deviation and number of the readings of a sensor, by detailed machine and bucket."""
        own = slice(0, self.detailed)
        counts = self.bucket_counts[place][own].astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.bucket_sums[place][own] / counts
            spread = np.sqrt(np.maximum(self.bucket_squares[place][own] / counts - means**2, 0.0))
        return self.references[place] + means, spread, counts

    def mean(self, place: int) -> float:
        """Return the mean of all readings of a sensor; NaN if there is none."""
        count = int(self.counts[place].sum())
        return float(self.references[place] + self.bucket_sums[place].sum() / count) if count else float("nan")
