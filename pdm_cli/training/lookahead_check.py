"""Features made anew with the future cut off, so that a look ahead shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pdm_cli.anomalies.detectors import find_anomalies
from pdm_cli.features.build import FEATURES, Context, build_features, match_states
from pdm_cli.features.rolling import rolling_features
from pdm_cli.preparation.cleaning import to_microseconds
from pdm_cli.schema import MACHINE, TIME
from pdm_cli.settings.model import DetectParams, FeaturesParams


def rebuild_cut(
    context: Context,
    positions: NDArray[np.intp],
    names: list[str],
    states: Mapping[str, Any],
    *,
    features: FeaturesParams,
    detect: DetectParams,
) -> NDArray[np.float32]:
    """Return the features of some instants, made from nothing later than each of them.

    Parameters
    ----------
    context : Context
        What the whole table was made from.
    positions : int array
        The k instants.
    names : list of str
        Columns wanted.
    states : mapping
        What the learned families know; it is not learned anew.
    features, detect : FeaturesParams, DetectParams
        How rolling features were made and anomalies found.

    Returns
    -------
    (k, len(names)) float32 array
        NaN where unknown.
    """
    instants = context.instants
    values = np.empty((len(positions), len(names)), np.float32)
    times = instants.times[positions]
    for time in np.unique(times).tolist():
        asked = np.flatnonzero(times == time)
        machines = instants.machines[instants.codes[positions[asked]]]
        cut = _cut(context, machines, time, features=features, detect=detect)
        table = build_features(cut, FEATURES).join(match_states(cut, states))
        values[asked] = table.matrix(names)[cut.instants.machines.get_indexer(machines)]
    return values


def _cut(context: Context, machines: pd.Index, time: int, *, features: FeaturesParams, detect: DetectParams) -> Context:
    """Return a context of some machines at one instant that knows nothing after it."""
    sources = context.sources
    telemetry = sources.telemetry
    is_known = telemetry[MACHINE].isin(machines).to_numpy() & (to_microseconds(telemetry[TIME]) <= time)
    past = telemetry[is_known].reset_index(drop=True)
    rolling = rolling_features(past, step_us=sources.step_us, params=features)
    # Of the whole fleet: what machines do together is part of some features.
    events = {name: log[to_microseconds(log[TIME]) <= time] for name, log in sources.events.items()}
    if "anomalies" in events:
        found, _ = find_anomalies(past, step_us=sources.step_us, params=detect)
        events["anomalies"] = found.rename(columns={"sensor": "kind"})
    cut = replace(
        sources,
        rolling=rolling[to_microseconds(rolling[TIME]) == time].reset_index(drop=True),
        telemetry=past,
        events=events,
    )
    return replace(context, sources=cut)
