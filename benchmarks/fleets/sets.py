"""The sets of the comparison: the reference set, C-MAPSS FD001, Backblaze, and the profiles of the simulator."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.fleets.features import plain_features
from benchmarks.fleets.tools import Prediction, Task, Tool
from pdm_cli import run
from pdm_cli.io import bundle
from pdm_cli.pipeline.prepared import read_sources
from pdm_cli.pipeline.simulate import simulate_blocks, write_fleets
from pdm_cli.progress import Silent
from pdm_cli.simulation.profiles import PROFILES
from pdm_cli.training.dataset import Problem, make_problem

FloatArray = NDArray[np.float64]

MACHINES, DAYS, SEEDS = 60, 450, (0, 1)
"""Size of a simulated fleet: enough failures of each component to train and to test on."""

CMAPSS_COLUMNS = ["unit", "cycle", *(f"os{i}" for i in (1, 2, 3)), *(f"s{i}" for i in range(1, 22))]
CMAPSS_IMPORT = (
    *("--files", "telemetry=train_FD001*"),
    *("--names", ",".join(CMAPSS_COLUMNS), "--cycles", "1h", "--end-is-failure", "engine"),
    *("--columns", "telemetry.machineID=unit", "--columns", "telemetry.datetime=cycle"),
)
BACKBLAZE_IMPORT = (
    *("--columns", "telemetry.machineID=serial_number", "--columns", "telemetry.datetime=date"),
    *("--failure-flag", "failure"),
)


@dataclass(frozen=True)
class FleetSet:
    """Raw tables and the settings of their training; ``write`` puts the tables into a folder unless they exist."""

    name: str
    write: Callable[[Path], Path]
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, folder: Path) -> OpenSet:
        """Train pdm's fixed configuration in ``folder``, unless that was done, and return its rows and labels."""
        own = folder / self.name
        raw = self.write(own / "raw")
        run(raw, out=own / "fast", fast=True, **self.options)
        return OpenSet(self, raw, own)


@dataclass(frozen=True)
class OpenSet:
    """A set with the rows, labels and splits of pdm's own training, which all tools share."""

    fleet: FleetSet
    raw: Path
    folder: Path

    @cached_property
    def problem(self) -> Problem:
        """The labelled rows and splits, with the settings that pdm used."""
        work = self.folder / "fast"
        sources, _ = read_sources(work / "prepared", work / "anomalies", Silent())
        used = bundle.load(work / "model").recipe.settings
        return make_problem(sources, train=used.train, labels=used.labels, costs=used.costs)

    @cached_property
    def key(self) -> str:
        """Digest of the rows, labels and splits: results with another one are out of date."""
        problem, split = self.problem, self.problem.split
        parts = (problem.training_rows(split), problem.test_rows(split), problem.labels, problem.instants.times)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()[:16]

    def train_pdm(self, *, fast: bool, seconds: float) -> tuple[FloatArray, NDArray[np.bool_], float]:
        """Return pdm's probabilities and alerts on the test span, (m, c) arrays, and the seconds of its training."""
        out = self.folder / ("fast" if fast else "default")
        budget = {"fast": True} if fast else {"time_budget_seconds": seconds}
        trained = run(self.raw, out=out, **budget, **self.fleet.options)
        problem = self.problem
        rows = problem.test_span(problem.split)
        predictions = trained.model.predictions
        table = predictions.assign(datetime=predictions["datetime"].dt.tz_localize(None)).pivot(
            index=["machineID", "datetime"], columns="component"
        )
        machines = problem.instants.machines[problem.instants.codes[rows]]
        times = pd.DatetimeIndex(problem.instants.times[rows].astype("datetime64[us]"))
        aligned = table.reindex(pd.MultiIndex.from_arrays([machines, times], names=table.index.names))
        if len(table) != len(aligned) or aligned["alert"].isna().to_numpy().any():
            raise RuntimeError(f"{self.fleet.name}: the predictions of pdm are not those of its test span")
        probabilities, alerts = (aligned[name][problem.components] for name in ("probability", "alert"))
        return (
            probabilities.to_numpy(np.float64),
            alerts.to_numpy(np.bool_),
            sum(trained.metrics["seconds"].values()),
        )

    def run_tool(self, tool: Tool, *, seconds: float) -> list[Prediction]:
        """Return a tool's predictions of the test span, one per component, each after ``seconds`` of search at most."""
        problem = self.problem
        features = plain_features(problem.context.sources, problem.instants, with_level=tool.with_level)
        return [tool.run(self._task(features, column, seconds)) for column in range(len(problem.components))]

    def _task(self, features: pd.DataFrame, column: int, seconds: float) -> Task:
        problem = self.problem
        labels = problem.labels[:, column]
        weights = np.ones(len(labels))
        is_known = ~np.isnan(labels)

        def fitted(split: Any) -> NDArray[np.intp]:
            rows, own = problem.fitting_rows(split)
            weights[rows] = own
            return rows[is_known[rows]]

        folds = [(fitted(fold), np.flatnonzero(problem.test_rows(fold) & is_known)) for fold in problem.folds]
        usable = [fold for fold in folds if all(len(rows) for rows in fold)]
        tested = np.flatnonzero(problem.test_span(problem.split))
        return Task(features, labels, weights, fitted(problem.split), usable, tested, seconds)


def _simulate(profile: str, seed: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        if not (folder / "truth.parquet").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_fleets(simulate_blocks(machines=MACHINES, days=DAYS, seed=seed, profile=profile), folder)
        return folder

    return write


def _import(name: str, words: tuple[str, ...]) -> Callable[[Path], Path]:
    """Return a writer that imports logs of the folder of reference data."""

    def write(folder: Path) -> Path:
        source = reference_folder() / "data" / name
        if not (folder / "telemetry.parquet").exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "pdm_cli", "import", str(source), "--out", str(folder), "--overwrite"]
            subprocess.run([*command, "--quiet", *words], check=True, stdout=subprocess.DEVNULL)
        return folder

    return write


def reference_folder() -> Path:
    try:
        return Path(os.environ["PDM_CLI_REFERENCE"])
    except KeyError:
        raise SystemExit("set PDM_CLI_REFERENCE to the folder that holds data/, or choose --sets") from None


def _azure(_: Path) -> Path:
    return reference_folder() / "data/azure_pdm"


def list_sets() -> dict[str, FleetSet]:
    """Return the sets by name."""
    later = {"cutoff": "2015-10-01", "test_start": "2015-10-15"}
    cycles = {"horizon_hours": 30, "lead_time_hours": 1, "grid_hours": 1, "split": "machine", "test_share": 0.25}
    # Ten days after a cutoff hold too few failures.
    drives = {"lead_time_hours": 24, "horizon_hours": 120, "on_duplicate": "first", "split": "machine"}
    sets = [
        FleetSet("reference-time", _azure),
        FleetSet("reference-later", _azure, later),
        FleetSet("reference-machine", _azure, {"split": "machine"}),
        FleetSet("fd001", _import("cmapss", CMAPSS_IMPORT), cycles),
        FleetSet("backblaze", _import("backblaze", BACKBLAZE_IMPORT), drives),
        *(FleetSet(f"{profile}-{seed}", _simulate(profile, seed)) for profile in PROFILES for seed in SEEDS),
    ]
    return {fleet.name: fleet for fleet in sets}
