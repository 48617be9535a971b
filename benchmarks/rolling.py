"""Rolling features against pandas' groupby.rolling on the same columns: ``python -m benchmarks.rolling``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.reference import raw_folder
from pdm_cli.features.rolling import rolling_features
from pdm_cli.io.raw import RawTelemetry
from pdm_cli.settings.model import ColumnsParams, FeaturesParams, PreprocessParams

PAIRS = 7


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    raw = RawTelemetry(raw_folder(), ColumnsParams(), PreprocessParams())
    scan = raw.scan()
    batches = list(raw.batches(scan, Path()))
    whole = pd.concat(batches, ignore_index=True).set_index("datetime")
    params = FeaturesParams()

    def ours() -> None:
        for batch in batches:
            rolling_features(batch, step_us=scan.step_us, params=params)

    def pandas_rolling() -> None:
        grouped = whole.groupby("machineID")[list(raw.sensors)]
        for hours in params.windows_hours:
            for statistic in params.statistics:
                getattr(grouped.rolling(int(hours * 3.6e9 / scan.step_us), min_periods=2), statistic)()

    pairs = [(seconds(ours), seconds(pandas_rolling)) for _ in range(PAIRS + 1)][1:]
    ratio = statistics.median(theirs / own for own, theirs in pairs)
    own, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    columns = len(raw.sensors) * len(params.windows_hours) * len(params.statistics)
    print(f"{len(whole):,} rows, {columns} features; medians of {PAIRS} pairs")
    print(f"pdm {own:.3f} s   pandas groupby.rolling {theirs:.3f} s   ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
