"""Learn the profiles of the fleet from prepared telemetry, row group by row group, and hand them to the workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pdm_cli.settings.model import DetectParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pdm_cli.anomalies.fleet_profile import FleetProfiles, Summaries
    from pdm_cli.pipeline.parallel import OrderedMap


@contextmanager
def learned_profiles(path: Path, step_us: int, params: DetectParams, map_ordered: OrderedMap) -> Iterator[Path | None]:
    """Provide a file with the profiles of the fleet, which is deleted at the end of the block; None if not needed.

    The first pass over the telemetry finds the times at which a machine has too few readings of its own, the second one
    summarizes the windows of the other machines before those times.
    """
    import numpy as np

    from pdm_cli.io import parquet

    groups = parquet.count_row_groups(path)
    found = list(map_ordered(partial(_find_refits, path, step_us, params), groups))
    refits = np.unique(np.concatenate(found))
    if not len(refits):
        yield None
        return
    summaries = _gather(map_ordered(partial(_summarize, path, step_us, params, refits), groups))
    with tempfile.TemporaryDirectory(prefix="pdm-fleet-") as folder:
        file = Path(folder) / "profiles.npz"
        np.savez(file, **{name: getattr(summaries, name) for name in summaries.__annotations__})
        yield file


def _gather(parts: Iterator[Summaries]) -> Summaries:
    """Join the summaries of all row groups, of no more machines than are used, so that memory stays bounded."""
    from pdm_cli.anomalies.fleet_profile import Summaries, select_machines

    kept = next(parts)
    for part in parts:
        kept = select_machines(Summaries.join([kept, part]))
    return kept


def _find_refits(path: Path, step_us: int, params: DetectParams, group: int) -> NDArray[np.int64]:
    """Return the refits at which machines of a row group need the fleet."""
    from pdm_cli.anomalies.fleet import find_fleet_refits
    from pdm_cli.io import parquet
    from pdm_cli.preparation.cleaning import check_prepared

    telemetry = parquet.read_row_group(path, group)
    check_prepared(telemetry, step_us)
    return find_fleet_refits(telemetry, step_us=step_us, params=params)


def _summarize(path: Path, step_us: int, params: DetectParams, refits: NDArray[np.int64], group: int) -> Summaries:
    from pdm_cli.anomalies.fleet import summarize_machines
    from pdm_cli.io import parquet

    return summarize_machines(parquet.read_row_group(path, group), refits, step_us=step_us, params=params)


@lru_cache(maxsize=1)
def load_profiles(file: Path) -> FleetProfiles:
    """Read the profiles from a file of :func:`learned_profiles`; a process reads it once."""
    import numpy as np

    from pdm_cli.anomalies.fleet_profile import FleetProfiles, Summaries

    with np.load(file, allow_pickle=False) as arrays:
        return FleetProfiles(Summaries(**{name: arrays[name] for name in Summaries.__annotations__}))
