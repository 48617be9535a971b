"""One look at machines and stamps of raw telemetry: order, rows a machine, time step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.schema import MACHINE, TIME

# A step that fewer of the readings keep than this is no step.
_REGULAR_SHARE = 0.5


@dataclass(frozen=True)
class TelemetryScan:
    """What one look at machines and stamps tells about raw telemetry.

    Attributes
    ----------
    rows : dict
        Machine to its number of rows, machines in ascending order.
    in_order : bool
        Whether each machine's rows stand together and machines ascend.
    step_us : int
        Most common time between two readings of a machine, in microseconds.
    out_of_order : int
        Rows whose stamp lies before the row above of the same machine.
    first_out_of_order : DataFrame
        Machine and stamp of the first such row, if any.
    """

    rows: dict[Any, int]
    in_order: bool
    step_us: int
    out_of_order: int
    first_out_of_order: pd.DataFrame


class Look:
    """Running result of a scan: fed piece by piece, in the order of the file."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.in_order = True
        self.out_of_order = 0
        self.first_out_of_order = pd.DataFrame({MACHINE: [], TIME: []})
        self._steps: Counter[int] = Counter()
        self._last_stamp: dict[Any, int] = {}
        self._last_machine: Any = None

    def add(self, machines: pa.ChunkedArray, stamps: pa.ChunkedArray) -> None:
        """Take in the next rows of the file."""
        encoded = machines.combine_chunks().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = encoded.indices.to_numpy()
        times = stamps.cast(pa.int64()).to_numpy()
        self._check_order(names, codes)
        if np.any(np.diff(codes) < 0):
            order = np.argsort(codes, kind="stable")
            codes, times = codes[order], times[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        stops = np.append(starts[1:], len(codes))
        apart = np.diff(times, prepend=times[0])
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            machine = names[codes[start]]
            apart[start] = times[start] - self._last_stamp.get(machine, times[start])
            self.counts[machine] = self.counts.get(machine, 0) + stop - start
            self._last_stamp[machine] = int(times[stop - 1])
        backwards = np.flatnonzero(apart < 0)
        if len(backwards) and self.first_out_of_order.empty:
            first = backwards[0]
            stamp = pd.Timestamp(int(times[first]), unit="us")
            self.first_out_of_order = pd.DataFrame({MACHINE: [names[codes[first]]], TIME: [stamp]})
        self.out_of_order += len(backwards)
        steps, counts = np.unique(apart[apart > 0], return_counts=True)
        self._steps.update(dict(zip(steps.tolist(), counts.tolist(), strict=True)))

    def _check_order(self, names: list[Any], codes: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        if not self.in_order:
            return
        runs = [names[code] for code in codes[np.flatnonzero(np.diff(codes, prepend=-1))]]
        if self._last_machine is not None and runs[0] != self._last_machine:
            runs.insert(0, self._last_machine)
        self._last_machine = runs[-1]
        self.in_order = all(one < other for one, other in pairwise(runs))

    def step(self, file: str) -> int:
        """Return the most common time between readings of a machine, in microseconds.

        Raises
        ------
        NotEnoughData
            If no machine has two readings at different times.
        DataError
            If fewer than half of the readings keep the same step.
        """
        if not self._steps:
            raise NotEnoughData(
                f"{file}: no machine has two readings at different times, so the time step cannot be found",
                hint="--step-minutes gives it",
            )
        step, count = min(self._steps.items(), key=lambda item: (-item[1], item[0]))
        share = count / self._steps.total()
        if share < _REGULAR_SHARE:
            raise DataError(
                f"{file}: no regular time step: the most common, {step / 60e6:g} min, "
                f"is that of {share:.0%} of the readings",
                hint="--step-minutes puts the readings on a grid of that step",
            )
        return int(step)
