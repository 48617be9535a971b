"""Whole-process anomaly detection, against statsmodels on a sample: ``python -m benchmarks.detection``."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.reference import raw_folder
from benchmarks.stages import measure
from pdm_cli.anomalies.esd import critical_values
from pdm_cli.anomalies.stl_statsmodels import statsmodels_stl
from pdm_cli.features.robust_z import MAD_TO_SIGMA
from pdm_cli.features.rolling import trailing_mean
from pdm_cli.io import parquet

SERIES, SAMPLE, RUNS, LARGER = 400, 4, 5, 10


def naive_esd(residuals: np.ndarray, k: int) -> None:
    """Run a naive ESD: recompute median and MAD at each of k steps, for timing only."""
    rest = residuals.copy()
    for _ in range(k):
        middle = np.median(rest)
        far = np.abs(rest - middle)
        _ = far.max() / (MAD_TO_SIGMA * np.median(far))
        rest = np.delete(rest, far.argmax())
    critical_values(len(residuals), k, alpha=0.005, one_tailed=False)


def seconds_of_references(path: Path) -> tuple[float, float]:
    """Return the seconds statsmodels' STL and a naive ESD would take for all series, extrapolated from a sample."""
    frame = parquet.read_row_group(path, 0)
    machine = frame[frame["machineID"] == frame["machineID"].iloc[0]]
    stl = esd = 0.0
    for sensor in list(machine)[2 : 2 + SAMPLE]:
        values = trailing_mean(machine[sensor].to_numpy(), 12)
        start = time.perf_counter()
        parts = statsmodels_stl(values, period=24)
        middle = time.perf_counter()
        naive_esd(values - parts.seasonal - np.median(values), int(0.1 * len(values)))
        stl, esd = stl + middle - start, esd + time.perf_counter() - middle
    return stl * SERIES / SAMPLE, esd * SERIES / SAMPLE


def replicate(path: Path, out: Path, times: int) -> None:
    """Write a fleet several times as large: copies with their own machine IDs."""
    machines = 1 + max(int(parquet.read_row_group(path, i)["machineID"].max()) for i in range(_groups(path)))
    with parquet.TableWriter(out, parquet.read_metadata(path)) as writer:
        for copy in range(times):
            for group in range(_groups(path)):
                frame = parquet.read_row_group(path, group)
                writer.write(frame.assign(machineID=frame["machineID"] + copy * machines))


def _groups(path: Path) -> int:
    return parquet.count_row_groups(path)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pdm-benchmark-") as folder:
        prepared, out = Path(folder) / "prepared", Path(folder) / "anomalies"
        measure("preprocess", "--data", raw_folder(), "--out", prepared)
        words = ("detect-anomalies", "--prepared", prepared, "--out", out, "--overwrite", "--mode")
        walls: dict[str, float] = {}
        print(f"median of {RUNS} runs; MB: largest single process, command or worker")
        for mode in ("batch", "causal"):
            for jobs in (1, 2):
                runs = [measure(*words, mode, "--jobs", jobs) for _ in range(RUNS)]
                wall = walls[f"{mode}{jobs}"] = statistics.median(run[0] for run in runs)
                print(f"{mode:7} --jobs {jobs}{wall:8.2f} s{max(run[1] for run in runs):7.0f} MB")
        large = Path(folder) / "large"
        large.mkdir()
        replicate(prepared / "telemetry.parquet", large / "telemetry.parquet", LARGER)
        for mode in ("batch", "causal"):
            wall, most = measure(
                "detect-anomalies", "--prepared", large, "--out", out, "--overwrite", "--mode", mode, "--jobs", 1
            )
            print(f"{mode:7} --jobs 1{wall:8.2f} s{most:7.0f} MB with {LARGER} times the machines")
        stl, esd = seconds_of_references(prepared / "telemetry.parquet")
        print(
            f"statsmodels STL {stl:.0f} s, naive ESD {esd:.0f} s (sample of {SAMPLE} series, extrapolated to {SERIES})"
        )
        print(f"batch in one process: {(stl + esd) / walls['batch1']:.0f} times faster")
        print(f"causal takes {walls['causal1'] / walls['batch1']:.2f} times as long as batch")


if __name__ == "__main__":
    main()
