"""Stages that yield nothing fail and say why; those that yield almost nothing say so first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Pdm, assert_clear, edit

START = pd.Timestamp("2020-03-09 10:00")


def write_rig(folder: Path, *, runs: int, step: str = "10s", readings: int = 120, machines: int = 1) -> Path:
    """Write experiments of a test rig: short runs, six hours apart."""
    folder.mkdir()
    times = [START + pd.Timedelta(hours=6 * run) + np.arange(readings) * pd.Timedelta(step) for run in range(runs)]
    rows = [pd.DataFrame({"datetime": run, "machineID": machine}) for machine in range(machines) for run in times]
    telemetry = pd.concat(rows, ignore_index=True)
    telemetry["volt"] = np.random.default_rng(0).normal(170, 5, len(telemetry))
    telemetry.astype({"datetime": "datetime64[us]"}).to_parquet(folder / "telemetry.parquet", index=False)
    return folder


def test_preprocess_without_a_feature_fails_with_cause_and_options_that_work(pdm: Pdm, tmp_path: Path) -> None:
    raw = write_rig(tmp_path / "raw", runs=1, readings=90)
    words = ("preprocess", "--data", raw, "--out", tmp_path / "out")
    outcome = pdm(*words, "--grid-hours", "3h", "--windows-hours", "3h")
    assert_clear(
        outcome, 4, "telemetry.parquet: 0 feature rows of 90 telemetry rows: the readings come in 1 piece", "set"
    )
    assert not (tmp_path / "out").exists()
    options = outcome.stderr.split("hint: set ")[1].split()
    again = pdm(*words, *options, "--json")
    assert again.code == 0, again.stderr
    assert again.json["features"]["rows"] > 10
    assert "shortage" not in again.json


def test_preprocess_with_almost_no_features_says_so_first_and_why(pdm: Pdm, tmp_path: Path) -> None:
    raw = write_rig(tmp_path / "raw", runs=8)
    words = (
        "preprocess",
        "--data",
        raw,
        "--out",
        tmp_path / "out",
        "--grid-hours",
        "10min",
        "--windows-hours",
        "20min,3h",
    )
    outcome = pdm(*words, "--max-gap-hours", 0)
    assert "almost no data" not in outcome.stdout
    edit("telemetry", lambda table: table[table["datetime"] < START + pd.Timedelta("13h")])(raw)
    outcome = pdm(*words, "--max-gap-hours", 0, "--overwrite")
    assert outcome.code == 0, outcome.stderr
    first = outcome.stdout.splitlines()[0]
    assert first == (
        "almost no data: only 6 feature rows of 360 telemetry rows: the readings cover 1h, for a grid of 10min; "
        "provide longer telemetry, or set a shorter --grid-hours"
    )
    assert "warning: telemetry.parquet: only 6 feature rows" in outcome.stderr
    quality = json.loads((tmp_path / "out" / "quality.json").read_text(encoding="utf-8"))
    assert quality["shortage"].startswith("only 6 feature rows")


@pytest.mark.parametrize(
    ("mode", "message", "hint"),
    [
        ("batch", "no reading of 2 series is tested; 2 series skipped, first machine 0, volt: ", "--mode causal"),
        ("causal", "no reading of 2 series is tested; 2 series skipped, first machine 0, volt: ", "--window-days"),
    ],
)
def test_detection_that_tests_nothing_fails_unless_allowed(
    mode: str, message: str, hint: str, pdm: Pdm, tmp_path: Path
) -> None:
    raw = write_rig(tmp_path / "raw", runs=3, step="1h", readings=40, machines=2)
    edit(
        "telemetry",
        lambda table: table[~table["datetime"].dt.day.isin([10])].drop_duplicates(["machineID", "datetime"]),
    )(raw)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared", "--max-gap-hours", 0).code == 0
    words = ("detect-anomalies", "--prepared", tmp_path / "prepared", "--out", tmp_path / "a", "--mode", mode)
    assert_clear(pdm(*words), 4, message, hint)
    assert not (tmp_path / "a").exists()
    outcome = pdm(*words, "--allow-untested")
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.startswith(f"almost no data: {message}")
    assert f"warning: detect-anomalies: {message}" in outcome.stderr


@pytest.mark.ci
def test_run_goes_on_without_anomalies_if_the_log_is_too_short_for_them(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    def shorten(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(volt=1.0, rotate=1.0, pressure=1.0, vibration=1.0)

    edit("telemetry", shorten)(raw)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--jobs", 1, "--fast", "--trees", 5)
    assert outcome.code == 0, outcome.stderr
    assert "warning: detect-anomalies: no reading of 64 series is tested; 64 series skipped" in outcome.stderr
    assert "the series is constant; choose sensors whose readings vary" in outcome.stderr


def test_prediction_from_almost_nothing_says_so_first(fleet: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    raw = Path(shutil.copytree(fleet, tmp_path / "raw"))
    words = ("predict", "--data", raw, "--model", model, "--out", tmp_path / "out")
    end = pd.read_parquet(raw / "telemetry.parquet")["datetime"].max()
    # One machine with a day of readings, the others with an hour between two times of the grid.
    late = end.floor("3h") - pd.Timedelta("1h")
    since = late - pd.Timedelta("48h")
    edit("telemetry", lambda t: t[(t["machineID"].eq(1) & t["datetime"].gt(since)) | t["datetime"].eq(late)])(raw)
    outcome = pdm(*words)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.startswith(
        "almost no data: only 1 of 16 machines has a reading to predict from on the 3 h grid"
    )
    assert "warning: telemetry.parquet: only 1 of 16 machines" in outcome.stderr
    assert "pass the complete history, unless the logs of the training were as short" in outcome.stderr
    edit("telemetry", lambda t: t[t["datetime"].eq(late)])(raw)
    assert_clear(
        pdm(*words, "--overwrite", "--step-minutes", 60),
        4,
        "telemetry.parquet: 0 feature rows of 16 telemetry rows: the readings come in 16 pieces without gaps",
        "pass the complete history",
    )
