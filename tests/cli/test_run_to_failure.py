"""Machines that start together and run until they fail: the default settings train, and nothing is thrown away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Pdm

pytestmark = pytest.mark.slow

MACHINES = 16
START = pd.Timestamp("2024-01-01 00:00")


def write_fleet(folder: Path, *, rows_after: int = 0) -> Path:
    """Write hourly readings that drift in the last 60 h of each machine, and maybe empty rows after its failure."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    telemetry, failures = [], []
    for machine in range(MACHINES):
        count = int(rng.integers(150, 260))
        drift = np.clip((np.arange(count) - count + 60) / 60, 0, 1) ** 2
        readings = rng.normal(0, 1, (count, 2)) + np.outer(drift, [4, -3]) + [50, 20]
        readings = np.vstack([readings, np.full((rows_after, 2), np.nan)])
        times = START + pd.to_timedelta(np.arange(count + rows_after), unit="h")
        telemetry.append(pd.DataFrame(readings, columns=["temp", "flow"]).assign(datetime=times, machineID=machine))
        failures.append({"datetime": times[count - 1], "machineID": machine, "failure": "pump"})
    for name, table in (("telemetry", pd.concat(telemetry)), ("failures", pd.DataFrame(failures))):
        table.astype({"datetime": "datetime64[us]"}).to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def run(pdm: Pdm, data: Path, out: Path, *words: object) -> Any:
    quick = ("--fast", "--trees", 40, "--negative-share", 1, "--jobs", 1)
    outcome = pdm("run", "--data", data, "--out", out, *quick, *words)
    assert outcome.code == 0, outcome.stderr
    return outcome


@pytest.fixture(scope="module")
def trained(pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run_to_failure")
    outcome = run(pdm, write_fleet(folder / "raw"), folder / "work")
    assert "train: split by machine (--split auto): 16 of 16 machines end with a failure" in outcome.stderr
    return folder


def metrics_of(work: Path) -> dict[str, Any]:
    return json.loads((work / "model/metrics.json").read_text())


def test_run_to_failure_is_learned_by_machine(trained: Path) -> None:
    metrics = metrics_of(trained / "work")
    split = metrics["split"]
    assert (split["kind"], split["chosen_because"]) == ("machine", "16 of 16 machines end with a failure")
    assert (len(split["machines_held_out"]), split["gap_hours"]) == (4, None)
    assert metrics["macro"]["average_precision"] > 0.9
    assert (metrics["events"]["failures"], metrics["events"]["caught"]) == (4, 4)
    assert metrics["events"]["not_judged"] == {"early": 0, "no_telemetry": 0}


def test_run_to_failure_report_says_how_it_was_split_and_why(trained: Path) -> None:
    page = (trained / "work/model/report.html").read_text()
    assert "Trained on other machines, tested on unseen data" in page
    assert "The split is by machine: 16 of 16 machines end with a failure." in page


def test_run_to_failure_settings_keep_the_split_as_given(trained: Path) -> None:
    parameters = json.loads((trained / "work/model/manifest.json").read_text())["parameters"]
    assert parameters["train"]["split"] == "auto"


def test_run_to_failure_every_held_out_row_counts_in_metrics_and_predictions(trained: Path) -> None:
    metrics = metrics_of(trained / "work")
    predictions = pd.read_parquet(trained / "work/model/predictions.parquet")
    assert predictions["label"].notna().all()
    assert set(predictions["machineID"]) == set(metrics["split"]["machines_held_out"])
    assert len(predictions) == metrics["split"]["test_rows"]
    error = predictions["probability"].to_numpy() - predictions["label"].to_numpy(np.float64)
    assert np.mean(error**2) == pytest.approx(metrics["components"]["pump"]["brier"])


@pytest.mark.ci
def test_run_to_failure_with_empty_rows_after_the_failure_has_the_same_metrics(pdm: Pdm, tmp_path: Path) -> None:
    words = ("--grid-hours", 1, "--windows-hours", "1,4,8", "--lead-time-hours", 1, "--horizon-hours", 30)
    found = []
    for rows in (0, 40):
        data = write_fleet(tmp_path / f"raw-{rows}", rows_after=rows)
        run(pdm, data, tmp_path / f"work-{rows}", *words)
        found.append(metrics_of(tmp_path / f"work-{rows}"))
    for name in ("macro", "components", "events", "costs"):
        assert found[0][name] == found[1][name]


def test_run_to_failure_evaluate_scores_the_same_rows(trained: Path, pdm: Pdm) -> None:
    outcome = pdm("evaluate", "--data", trained / "raw", "--model", trained / "work/model", "--json")
    assert outcome.code == 0, outcome.stderr
    metrics = metrics_of(trained / "work")
    for name in ("macro", "events"):
        assert outcome.json[name] == metrics[name]
