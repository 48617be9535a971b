"""Event logs as known at time t: hours since the last event, and counts of events in trailing windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Instants:
    """Machines and times at which features and labels are computed.

    Attributes
    ----------
    machines : Index
        The distinct machines; codes are positions in it.
    codes : (m,) int array
        Machine of each instant.
    times : (m,) int array
        Microseconds since 1970, UTC.
    """

    machines: pd.Index
    codes: IntArray
    times: IntArray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Instants:
        """Take the instants from the ``machineID`` and ``datetime`` of a table."""
        codes, machines = pd.factorize(frame[MACHINE], sort=True)
        return cls(pd.Index(machines), codes.astype(np.int64), to_microseconds(frame[TIME]))

    def starts(self) -> IntArray:
        """Return the first time of each machine, in the order of ``machines``."""
        first = np.full(len(self.machines), np.iinfo(np.int64).max)
        np.minimum.at(first, self.codes, self.times)
        return first

    def ends(self) -> IntArray:
        """Return the last time of each machine, in the order of ``machines``."""
        last = np.full(len(self.machines), np.iinfo(np.int64).min)
        np.maximum.at(last, self.codes, self.times)
        return last


class EventLog:
    """Events of one type, sorted so that all instants are answered at once by binary search.

    Parameters
    ----------
    events : DataFrame
        ``machineID`` and ``datetime``; any order.
    machines : Index
        Events of other machines are ignored.
    """

    def __init__(self, events: pd.DataFrame, machines: pd.Index) -> None:
        codes = machines.get_indexer(pd.Index(events[MACHINE])).astype(np.int64)
        times = to_microseconds(events[TIME])
        order = np.lexsort((times, codes))
        # Rows of the events in this order; other machines have code -1 and come first.
        self._rows = order[np.count_nonzero(codes < 0) :]
        self.codes, self.times = codes[self._rows], times[self._rows]
        # Ranks instead of times keep the joint key of machine and time small, however many machines there are.
        self._instants, ranks = np.unique(self.times, return_inverse=True)
        self._keys = self.codes * (len(self._instants) + 1) + ranks

    def position(self, codes: IntArray, times: IntArray, side: Literal["left", "right"]) -> IntArray:
        """Return how many events, over all machines in order, precede each machine and time.

        An event exactly at the time counts with ``side="right"``.
        """
        ranks = np.searchsorted(self._instants, times, side=side)
        return np.searchsorted(self._keys, codes * (len(self._instants) + 1) + ranks)

    def last_until(self, instants: Instants) -> FloatArray:
        """Return hours since the machine's last event at or before t; NaN before its first."""
        index = self.position(instants.codes, instants.times, "right") - 1
        hours = np.full(len(index), np.nan)
        known = index >= 0
        known[known] = self.codes[index[known]] == instants.codes[known]
        hours[known] = (instants.times[known] - self.times[index[known]]) / US_PER_HOUR
        return hours

    def first_until(self, instants: Instants) -> FloatArray:
        """Return hours since the machine's first event; NaN before it."""
        index = np.searchsorted(self.codes, instants.codes)
        hours = np.full(len(index), np.nan)
        known = index < len(self.codes)
        known[known] = self.codes[index[known]] == instants.codes[known]
        hours[known] = (instants.times[known] - self.times[index[known]]) / US_PER_HOUR
        hours[hours < 0] = np.nan
        return hours

    def latest(self, instants: Instants, values: FloatArray) -> FloatArray:
        """Return the value of the machine's last event at or before t; NaN before its first.

        ``values`` has one value per event, in the order of the original table.
        """
        index = self.position(instants.codes, instants.times, "right") - 1
        found = np.full(len(index), np.nan)
        known = index >= 0
        known[known] = self.codes[index[known]] == instants.codes[known]
        found[known] = values[self._rows[index[known]]]
        return found

    def next_from(self, codes: IntArray, times: IntArray) -> FloatArray:
        """Return the microseconds since 1970 of the machine's first event at or after each time; NaN after its last."""
        index = self.position(codes, times, "left")
        following = np.full(len(index), np.nan)
        known = index < len(self.codes)
        known[known] = self.codes[index[known]] == codes[known]
        following[known] = self.times[index[known]]
        return following

    def count_within(self, instants: Instants, hours: float) -> FloatArray:
        """Return the number of the machine's events in (t - hours, t]."""
        start = instants.times - round(hours * US_PER_HOUR)
        until_now = self.position(instants.codes, instants.times, "right")
        return (until_now - self.position(instants.codes, start, "right")).astype(np.float64)
