"""Trainings logged to MLflow, where its variable is set."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pdm_cli.cli.screen import Screen
from pdm_cli.pipeline.mlflow import flatten, track_training
from tests.cli.conftest import Pdm

ROOT = Path(__file__).parents[2]
HAS_MLFLOW = importlib.util.find_spec("mlflow") is not None
METRICS = {
    "macro": {"roc_auc": 0.9, "f1": None},
    "components": {"comp 1!": {"brier": 0.1, "events": {"caught": 3}}},
    "events": {"warning_hours": {"median": 40.5}, "is_odd": True, "list": [1]},
    "costs": {"unit": "units", "alerts": 2.0},
}


def test_numbers_are_named_by_their_way() -> None:
    assert dict(flatten(METRICS)) == {
        "macro.roc_auc": 0.9,
        "components.comp 1_.brier": 0.1,
        "components.comp 1_.events.caught": 3.0,
        "events.warning_hours.median": 40.5,
        "costs.alerts": 2.0,
    }


def train(work: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    words = ["train", "--prepared", str(work / "prepared"), "--out", str(out), "--fast", "--trees", "2", "--json"]
    command = [sys.executable, "-X", "importtime", "-m", "pdm_cli", *words]
    # In a folder of its own: whatever MLflow writes beside its store must not land here.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=out.parent, env=environ)


def warnings_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("warning: ")]


@pytest.mark.ci
def test_nothing_is_imported_without_the_variable(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = train(work, tmp_path / "model")
    assert not re.search(r"\| +mlflow", done.stderr)
    assert warnings_of(done) == []


@pytest.mark.skipif(not HAS_MLFLOW, reason="needs mlflow-skinny; .ci/run installs it and runs this")
def test_parameters_metrics_and_files_are_logged(work: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    done = train(work, tmp_path / "model", MLFLOW_TRACKING_URI=f"file:{store}", MLFLOW_ALLOW_FILE_STORE="true")
    metrics = json.loads(done.stdout)
    assert warnings_of(done) == []
    (run,) = (path.parent for path in store.glob("*/*/params"))
    assert (run / "params/train.trees").read_text() == "2"
    assert (run / "params/labels.horizon_hours").read_text() == "48.0"
    logged = float((run / "metrics/macro.roc_auc").read_text().split()[1])
    assert logged == pytest.approx(metrics["macro"]["roc_auc"])
    assert (run / "metrics/components.comp1.brier").is_file()
    assert (run / "metrics/events.caught").is_file()
    assert {"metrics.json", "leaderboard.csv"} <= {path.name for path in (run / "artifacts").iterdir()}
    assert "status: 3" in (run / "meta.yaml").read_text()


@pytest.mark.skipif(not HAS_MLFLOW, reason="needs mlflow-skinny; .ci/run installs it and runs this")
def test_a_server_that_does_not_answer_costs_no_training_and_tells_no_secret(work: Path, tmp_path: Path) -> None:
    uri = "http://bob:pass@word@127.0.0.1:9/?sig=signature"
    done = train(work, tmp_path / "model", MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    (warning,) = warnings_of(done)
    assert warning.startswith("warning: MLFLOW_TRACKING_URI is set, but logging to MLflow failed: ")
    assert not any(secret in done.stdout + warning for secret in ("bob", "word@", "signature"))
    assert json.loads(done.stdout)["schema"] == "pdm.train/1"
    assert (tmp_path / "model/bundle.json").is_file()


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("http://bob:secret@host", "mlflow-skinny"),
        ("azureml://westeurope.api.azureml.ms/mlflow", "mlflow-skinny azureml-mlflow where jobs are submitted"),
    ],
)
def test_missing_mlflow_is_one_warning(
    address: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for name in ("MAX_RETRIES", "TIMEOUT"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "1")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    track_training(tmp_path, METRICS, {}, Screen(quiet=True))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (f"warning: MLFLOW_TRACKING_URI is set, but MLflow is not installed: pip install {wanted}\n")


def test_a_kept_model_is_not_logged_again(
    work_copy: Path, fleet: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    outcome = pdm("run", "--data", fleet, "--out", work_copy, "--jobs", 1, "--fast", "--trees", 20)
    assert outcome.code == 0
    assert "train: unchanged" in outcome.stderr
    assert "MLFLOW" not in outcome.stderr
