"""Health index against a rolling z-score and an isolation forest, without failures: ``python -m benchmarks.health``.

Failures are taken away from each set and used to score only: AUC of "any component fails in 3 to 48 h", and failures
caught and hours of warning at the threshold of one false alarm per machine and year. The plant and the reference set
need PDM_CLI_REFERENCE. Only pdm uses the log of errors.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import pdm_cli
from benchmarks.fleets.sets import list_sets, reference_folder
from pdm_cli.evaluation.events import find_episodes
from pdm_cli.features.events import EventLog, Instants
from pdm_cli.features.trailing import LongWindow, trailing_means
from pdm_cli.preparation.cleaning import sensors_of, to_microseconds
from pdm_cli.schema import MACHINE, TIME

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

HOUR_US = 3_600_000_000
LEAD_US, HORIZON_US = 3 * HOUR_US, 48 * HOUR_US
MERGE_HOURS = 24
# An episode of alarms is false if no failure is in it or in the week after it, nor in the four days before it.
AFTER_US, BEFORE_US = 168 * HOUR_US, 96 * HOUR_US
LONGEST_WARNING = 14 * 24.0
YEAR_HOURS = 8766
SIMULATED = ("ramp-0", "wear-0", "step-0", "spikes-0")
PLANT_IMPORT = (
    *("--encoding", "cp1252", "--decimal", ",", "--files", "telemetry=historian_export.csv"),
    *("--long", "Tag", "Value", "--tags", "{machine}.{sensor}", "--columns", "telemetry.datetime=Timestamp"),
    *("--files", "failures=SAP_Auftraege.csv", "--failures-where", "Auftragsart = M2*"),
    *("--columns", "failures.machineID=Technischer Platz", "--columns", "failures.datetime=Stoerungsbeginn"),
    *("--columns", "failures.failure=Kurztext"),
    *("--files", "machines=Equipments.csv", "--columns", "machines.machineID=Technischer Platz"),
)


@dataclass(frozen=True)
class Outcome:
    """False alarms per machine and year, share of the failures caught, and their median hours of warning."""

    false_alarms: float
    caught: float
    warning: float


@dataclass(frozen=True)
class Known:
    """The instants of the m rows that are scored, and the failures of their machines."""

    instants: Instants
    failures: pd.DataFrame

    @property
    def labels(self) -> BoolArray:
        """Whether a failure follows within the horizon."""
        times = self.instants.times
        following = self._log.next_from(self.instants.codes, times + LEAD_US)
        return np.asarray(following - times <= HORIZON_US)

    @property
    def _log(self) -> EventLog:
        return EventLog(self.failures, self.instants.machines)

    def count(self, alarms: BoolArray) -> Outcome:
        """Return how alarms at some of the rows turned out."""
        codes, times = self.instants.codes, self.instants.times
        rows = np.lexsort((times, codes))
        rows = rows[alarms[rows]]
        first, last = find_episodes(codes[rows], times[rows], merge_hours=MERGE_HOURS)
        own, start, end = codes[rows[first]], times[rows[first]], times[rows[last]]
        is_followed = self._log.next_from(own, start) - end <= AFTER_US
        since = self._log.last_until(Instants(self.instants.machines, own, start)) * HOUR_US
        false = np.count_nonzero(~is_followed & ~(since < BEFORE_US))
        step_hours = float(np.median(np.diff(np.unique(times)))) / HOUR_US
        warnings = np.array([_warning(own, start, end, *failure) for failure in self._failures()])
        caught = warnings[~np.isnan(warnings)]
        return Outcome(
            false / (len(times) * step_hours / YEAR_HOURS),
            len(caught) / max(len(warnings), 1),
            float(np.median(caught)) if len(caught) else np.nan,
        )

    def count_at_rate(self, scores: FloatArray, rate: float = 1.0) -> Outcome:
        """Return the outcome at the lowest threshold, by bisection, with at most this many false alarms per year."""
        ordered = np.sort(scores)
        low, high = 0, len(ordered) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.count(scores > ordered[middle]).false_alarms > rate else (low, middle)
        return self.count(scores > ordered[high])

    def _failures(self) -> Iterator[tuple[int, int]]:
        """Yield machine and time of each failure that the rows could warn of."""
        codes = self.instants.machines.get_indexer(pd.Index(self.failures[MACHINE]))
        times = to_microseconds(self.failures[TIME])
        begins, ends = self.instants.starts(), self.instants.ends()
        for code, time in zip(codes.tolist(), times.tolist(), strict=True):
            if code >= 0 and begins[code] + HORIZON_US < time <= ends[code] + HORIZON_US:
                yield code, time


def _warning(codes: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], code: int, time: int) -> float:
    """Return hours from the first alarm of an episode that is on in the horizon before a failure; NaN if none is."""
    is_on = (codes == code) & (start <= time - LEAD_US) & (end >= time - HORIZON_US)
    return min(float(time - start[is_on].min()) / HOUR_US, LONGEST_WARNING) if is_on.any() else np.nan


def rolling_z(telemetry: pd.DataFrame, instants: Instants, step_us: int) -> FloatArray:
    """Return the largest distance of a sensor's last day from its last 30 days, in their standard deviations."""
    sensors = sensors_of(telemetry)
    squares = telemetry.assign(**{sensor: telemetry[sensor] ** 2 for sensor in sensors})
    lengths = {"step_us": step_us, "grid_us": 3 * HOUR_US}
    day, month = (LongWindow.of(count, **lengths) for count in (8, 240))
    recent, level = trailing_means(telemetry, instants, [day, month], grid_us=3 * HOUR_US)
    (power,) = trailing_means(squares, instants, [month], grid_us=3 * HOUR_US)
    spread = np.sqrt(np.maximum(power - level**2, 1e-12))
    return np.nan_to_num(np.abs(recent - level) / spread).max(axis=0)


def isolation_forest(features: pd.DataFrame, is_reference: BoolArray) -> FloatArray:
    """Return the anomaly score of a forest that was fitted on at most 20,000 reference rows."""
    from sklearn.ensemble import IsolationForest

    values = features.drop(columns=[MACHINE, TIME])
    filled = values.fillna(values[is_reference].median()).to_numpy(np.float64)
    rows = np.flatnonzero(is_reference)
    fitted = np.random.default_rng(0).choice(rows, min(20_000, len(rows)), replace=False)
    forest = IsolationForest(n_estimators=200, random_state=0).fit(filled[fitted])
    return -np.asarray(forest.score_samples(filled), dtype=np.float64)


def score_set(raw: Path) -> dict[str, tuple[float, Outcome, Outcome | None]]:
    """Return per method its AUC, the outcome at one false alarm per year, and that of its own alarms, if it has any."""
    from sklearn.metrics import roc_auc_score

    tables = {path.stem: pd.read_parquet(path) for path in raw.glob("*.parquet")}
    failures = tables.pop("failures")
    tables.pop("truth", None)
    prepared = pdm_cli.preprocess(tables)
    index = pdm_cli.health(prepared)
    rows = Instants.of(prepared.features)
    is_tested = np.isin(rows.times, to_microseconds(index.health[TIME]))
    known = Known(Instants(rows.machines, rows.codes[is_tested], rows.times[is_tested]), failures)
    step_us = round(prepared.quality["telemetry"]["step_minutes"] * HOUR_US / 60)
    scores = {
        "pdm": -np.nan_to_num(index.health["health"].to_numpy(), nan=1.0),
        "rolling z": rolling_z(prepared.telemetry, rows, step_us)[is_tested],
        "isolation forest": isolation_forest(prepared.features, ~is_tested)[is_tested],
    }
    alarms = known.count(index.health["alarm"].to_numpy())
    return {
        name: (
            float(roc_auc_score(known.labels, values)),
            known.count_at_rate(values),
            alarms if name == "pdm" else None,
        )
        for name, values in scores.items()
    }


def write_set(name: str, folder: Path) -> Path:
    """Return the folder of the raw tables of a set; write them unless they exist."""
    if name == "plant":
        raw = folder / "raw"
        if not (raw / "telemetry.parquet").is_file():
            source = folder / "logs"
            script = reference_folder() / "data/plant/make_plant.py"
            subprocess.run([sys.executable, str(script), str(source)], check=True)
            command = [sys.executable, "-m", "pdm_cli", "import", str(source), "--out", str(raw), "--quiet"]
            subprocess.run([*command, *PLANT_IMPORT], check=True, stdout=subprocess.DEVNULL)
        return raw
    return list_sets()["reference-time" if name == "reference" else name].write(folder / "raw")


def main() -> None:
    """Print a line per set and method, and the mean AUC of each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=["reference", "plant", *SIMULATED])
    parser.add_argument("--folder", type=Path, help="keeps the raw tables; default: a temporary folder")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pdm-benchmark-"))
    head = f"{'set':10} {'method':17} {'AUC':>6} {'caught*':>8} {'hours*':>7}"
    print(f"{head} {'false/year':>11} {'caught':>7} {'hours':>6}")
    values: dict[str, list[float]] = {}
    for name in options.sets:
        for method, (auc, at_rate, own) in score_set(write_set(name, folder / name)).items():
            values.setdefault(method, []).append(auc)
            alarms = f"{own.false_alarms:11.2f} {own.caught:7.0%} {own.warning:6.0f}" if own else ""
            print(f"{name:10} {method:17} {auc:6.3f} {at_rate.caught:8.0%} {at_rate.warning:7.0f} {alarms}", flush=True)
    for method, found in values.items():
        print(f"{'mean':10} {method:17} {np.mean(found):6.3f}")
    print("* at one false alarm per machine and year; then the alarms that pdm calibrated without failures")


if __name__ == "__main__":
    main()
