"""Jobs that pdm submits, and their reproducible results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.azure.emulator import Emulator
from tests.azure.processes import Pdm

# These contain durations or paths, which differ between runs.
TIMED = {"metrics.json", "leaderboard.csv", "report.html"}


def made(folder: Path) -> dict[str, Any]:
    """Return the hash of each file that a manifest lists, and the metrics without durations."""
    outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
    return {name: facts["sha256"] for name, facts in outputs.items() if name not in TIMED} | timeless(folder)


def timeless(folder: Path) -> dict[str, Any]:
    if not (folder / "metrics.json").exists():
        return {}
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["seconds"]
    for trial in (search := metrics["search"])["leaderboard"]:
        for name in [name for name in trial if "second" in name]:
            del trial[name]
    metrics["search"] = {name: value for name, value in search.items() if "second" not in name}
    return {"metrics": metrics}


def submit_held(pdm: Pdm, emulator: Emulator, work: Path, *options: object) -> str:
    """Submit a job that stays queued, and return its name."""
    emulator.hold_jobs = True
    outcome = pdm("submit", *options, "preprocess", "--data", work / "raw")
    assert outcome.code == 0, outcome.stderr
    return outcome.stdout.strip()
