"""Learn the profiles of a fleet from telemetry, group of machines by group of machines, in two passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pdm_cli.anomalies.detectors import causal_rules, group_series
from pdm_cli.anomalies.fleet_profile import Summaries, empty_summaries, find_refits, summarize
from pdm_cli.anomalies.windows import choose_windows
from pdm_cli.settings.model import DetectParams

IntArray = npt.NDArray[np.int64]


def find_fleet_refits(telemetry: pd.DataFrame, *, step_us: int, params: DetectParams) -> IntArray:
    """Return the refits at which a machine of prepared telemetry needs the profile of the fleet: the first pass."""
    rules = causal_rules(choose_windows(step_us, params), params)
    refits = [np.empty(0, np.int64)]
    for machine in group_series(telemetry):
        batch = np.stack([series.values for series in machine])
        refits.append(find_refits(batch, machine[0].times, rules))
    return np.unique(np.concatenate(refits))


def summarize_machines(telemetry: pd.DataFrame, refits: IntArray, *, step_us: int, params: DetectParams) -> Summaries:
    """Summarize the machines of prepared telemetry at some refits: the second pass."""
    rules = causal_rules(choose_windows(step_us, params), params)
    parts = [empty_summaries(rules)]
    for machine in group_series(telemetry):
        batch = np.stack([series.values for series in machine])
        parts.append(summarize(batch, machine[0].times, machine[0].machine, refits, rules))
    return Summaries.join(parts)
