"""Overviews of made-up telemetry, one row per hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdm_cli.preparation.overview import Overview

HOUR_US = 3_600_000_000
# 2023-01-01 00:00
START_US = 1_672_531_200_000_000


def hours_of(count: int, step_hours: float = 1.0) -> NDArray[np.int64]:
    """Return times from the start on."""
    return START_US + (np.arange(count) * step_hours * HOUR_US).astype(np.int64)


def overview_of(
    times: Mapping[Any, NDArray[np.int64]], step_us: int = HOUR_US, **sensors: Sequence[NDArray[np.float64]]
) -> Overview:
    """Return an overview of machines: the times of each, and for every sensor its readings in the same order."""
    everything = np.concatenate(list(times.values()))
    first, last = int(everything.min()), int(everything.max())
    found = Overview(list(sensors), list(times), first_us=first, last_us=last, step_us=step_us)
    for place, (machine, own) in enumerate(times.items()):
        found.add([machine], np.zeros(len(own), np.int64), own, {name: sensors[name][place] for name in sensors})
    return found
