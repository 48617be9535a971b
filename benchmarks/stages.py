"""Wall time and peak memory of each stage as a whole process: ``python -m benchmarks.stages``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.reference import raw_folder

SPLIT = ("--cutoff", "2015-10-01", "--test-start", "2015-10-15")


def measure(*words: object) -> tuple[float, float]:
    """Return wall seconds and peak memory in MB of the largest single process, command or worker."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pdm_cli", *map(str, words), "--quiet"], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"pdm {words[0]} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pdm-benchmark-") as folder:
        prepared, anomalies, model = (Path(folder) / name for name in ("prepared", "anomalies", "model"))
        rows = {
            "simulate 2,000": ("simulate", "--machines", 2000, "--days", 365, "--out", Path(folder) / "fleet"),
            "preprocess": ("preprocess", "--data", raw_folder(), "--out", prepared),
            "detect-anomalies": ("detect-anomalies", "--prepared", prepared, "--out", anomalies),
            "train": ("train", "--prepared", prepared, "--anomalies", anomalies, "--out", model, *SPLIT),
        }
        for name, words in rows.items():
            wall, peak = measure(*words)
            print(f"{name:18}{wall:8.1f} s{peak:8.0f} MB")


if __name__ == "__main__":
    main()
