from __future__ import annotations

import json
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.cli.job_command import parse_call, write_options
from pdm_cli.pipeline.stages import STAGES
from pdm_cli.settings.model import (
    MAX_SEED,
    CostsParams,
    DetectParams,
    LabelsParams,
    PreprocessParams,
    Settings,
    TrainParams,
)
from tests.cli.conftest import Pdm

COMPUTING = {"azure", "numpy", "optuna", "pandas", "pyarrow", "scipy", "sklearn", "statsmodels", "xgboost"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def plan(pdm: Pdm, *words: object) -> dict[str, Any]:
    outcome = pdm("submit", "--dry-run", "--json", *words)
    assert outcome.code == 0, outcome.stderr
    return outcome.json


def test_dry_run_prints_the_job(pdm: Pdm, fleet: Path) -> None:
    outcome = pdm("submit", "--dry-run", "--name", "job-1", "--tag", "a=b", "preprocess", "--data", fleet)
    assert outcome.code == 0, outcome.stderr
    job = yaml.safe_load(outcome.stdout)
    assert job["name"] == "job-1"
    assert job["tags"]["a"] == "b"
    assert job["command"].startswith('python -m pdm_cli preprocess --data "${{inputs.data}}" --out "${{outputs.out}}"')
    assert " --step-minutes 0.0 " in job["command"], "defaults are explicit"
    assert sorted(path.name for path in Path(job["code"]).iterdir()) == ["pdm_cli"]
    assert "pdm_cli/cli/app.py" in outcome.stderr
    assert "input data: 5 files" in outcome.stderr


@pytest.mark.ci
@pytest.mark.parametrize("command", ["preprocess", "train", "predict", "run"])
def test_dry_run_document_loads_in_the_azure_client(command: str, pdm: Pdm, fleet: Path, work: Path) -> None:
    options = {
        "preprocess": ("--data", fleet),
        "train": ("--prepared", work / "prepared", "--anomalies", "azureml:anomalies:1"),
        "predict": ("--data", "azureml://datastores/workspaceblobstore/paths/raw/", "--model", work / "model"),
        "run": ("--data", "raw@latest", "--fast"),
    }
    outcome = pdm("submit", "--dry-run", "--name", "job-1", command, *options[command])
    assert outcome.code == 0, outcome.stderr
    # In a separate process, since importing the client prints deprecation warnings.
    script = "import sys; from azure.ai.ml import load_job; job = load_job(sys.stdin); print(job.type, job.name)"
    words = [sys.executable, "-W", "ignore", "-c", script]
    read = subprocess.run(words, input=outcome.stdout, capture_output=True, text=True, check=True).stdout
    assert read == f"{'pipeline' if command == 'run' else 'command'} job-1\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("preprocess", "--data", "FLEET"),
        ("detect-anomalies", "--prepared", "azureml:p:1"),
        ("train", "--prepared", "azureml:p:1", "--cutoff", "2015-10-01", "--alert-rule", "recall=0.9"),
        ("predict", "--data", "azureml:p:1", "--model", "azureml:m:1", "--since", "2015-10-01"),
        ("run", "--data", "FLEET"),
    ],
)
def test_dry_run_imports_no_heavy_library(words: tuple[str, ...], fleet: Path) -> None:
    given = [str(fleet) if word == "FLEET" else word for word in words]
    program = [sys.executable, "-X", "importtime", "-m", "pdm_cli", "submit", "--dry-run"]
    log = subprocess.run([*program, *given], capture_output=True, text=True, check=True).stderr
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in log.splitlines() if "import time" in line}
    assert "typer" in imported
    assert not imported & COMPUTING


PREDICT = ["predict", "--data", "azureml:p:1", "--model", "azureml:m:1"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nope"], "'nope' cannot be submitted"),
        (["evaluate", "--data", "x", "--model", "y"], "'evaluate' cannot be submitted"),
        (["train"], "missing option '--prepared'"),
        (["--out", "x", "train", "--prepared", "y"], "--out: put options of the command after it"),
        (
            ["train", "--prepared", "azureml:p:1", "--trees", "many"],
            "--trees: 'many' is not a whole number",
        ),
        (["train", "--prepared", "azureml:p:1", "--trees", "0"], "--trees: must be at least 1, got 0"),
        (["train", "--prepared", "azureml:p:1", "--algorithms", "magic"], "unknown algorithm 'magic'"),
        (["train", "--prepared", "azureml:p:1", "--dry-run"], "put options of the job before the command"),
        (
            ["train", "--prepared", "azureml:p:1", "--unit", "${{inputs.a}}"],
            "contains a placeholder that Azure ML would replace",
        ),
        ([*PREDICT, "--since", "2015-02-01", "--latest"], "--since: cannot be combined with --latest"),
        ([*PREDICT, "--since", "2015-02-01", "--until", "2015-01-01"], "--since 2015-02-01T00:00 is after --until"),
        (["train", "--prepared", "/no/such/folder"], "no such folder"),
        (["train", "--prepared", "azureml:p"], "not a valid data asset"),
        (["train", "--prepared", "azureml://p"], "not a valid address"),
        (["train", "--prepared", ""], "--prepared is empty"),
        (["--name", "a b", "train", "--prepared", "azureml:p:1"], "not a valid job name"),
        (["--tag", "a", "train", "--prepared", "azureml:p:1"], "not KEY=VALUE"),
        (["--tag", "pdm_content=1", "train", "--prepared", "azureml:p:1"], "not KEY=VALUE"),
        (["--timeout", "3", "train", "--prepared", "azureml:p:1"], "no effect without --wait"),
        (["--if-better", "ap", "train", "--prepared", "azureml:p:1"], "no effect without --register"),
        (["--register", "m", "preprocess", "--data", "azureml:p:1"], "preprocess does not train a model"),
        (["--register", "m m", "train", "--prepared", "azureml:p:1"], "not a valid model name"),
        (["--register", "m", "--if-better", "x", "train", "--prepared", "azureml:p:1"], "unknown metric"),
        (["--min-nodes", "5", "train", "--prepared", "azureml:p:1"], "--min-nodes (5) must not exceed --max-nodes (4)"),
    ],
)
def test_dry_run_usage_errors_are_reported(pdm: Pdm, words: list[str], line: str) -> None:
    outcome = pdm("submit", "--dry-run", *words)
    assert outcome.code == 2, outcome.stderr
    assert line in outcome.stderr.splitlines()[0]
    assert outcome.stdout == ""


def test_dry_run_predict_until_is_in_the_command(pdm: Pdm) -> None:
    outcome = pdm("submit", "--dry-run", *PREDICT, "--until", "2015-12-01")
    assert " --until 2015-12-01T00:00:00" in yaml.safe_load(outcome.stdout)["command"]


def test_dry_run_empty_folder_fails(pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("submit", "--dry-run", "preprocess", "--data", tmp_path)
    assert outcome.code == 4
    assert "nothing to upload" in outcome.stderr
    outcome = pdm("submit", "--dry-run", "train", "--prepared", tmp_path)
    assert outcome.code == 2
    assert f"--prepared {tmp_path}: the folder is empty" in outcome.stderr


def test_submit_without_workspace_fails(pdm: Pdm, fleet: Path) -> None:
    outcome = pdm("submit", "--workspace", "w", "preprocess", "--data", fleet)
    assert outcome.code == 3
    assert outcome.stderr.splitlines()[0] == "error: Azure ML: subscription_id, resource_group not set"


def test_submit_azure_variables_are_understood(pdm: Pdm, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "s")
    monkeypatch.setenv("AZUREML_ARM_RESOURCEGROUP", "r")
    monkeypatch.setenv("AZUREML_WORKSPACE_NAME", "w")
    monkeypatch.setenv("PDM_CLI_AUTH", "workload")
    outcome = pdm("submit", "preprocess", "--data", fleet)
    assert outcome.code == 6
    assert outcome.stderr.splitlines()[0].startswith("error: --auth workload: not set: AZURE_TENANT_ID")


def test_dry_run_minimum_nodes_are_warned_of(pdm: Pdm, fleet: Path) -> None:
    outcome = pdm("submit", "--dry-run", "--min-nodes", 1, "preprocess", "--data", fleet)
    assert "warning: --min-nodes 1:" in outcome.stderr


def test_dry_run_lists_only_tables(pdm: Pdm, raw: Path) -> None:
    (raw / ".env").write_text("SECRET=1")
    (raw / "notes.txt").write_text("…")
    assert sorted(plan(pdm, "preprocess", "--data", raw)["inputs"]["data"]["files"]) == [
        "errors.parquet",
        "failures.parquet",
        "machines.parquet",
        "maint.parquet",
        "telemetry.parquet",
    ]


def test_dry_run_config_works_in_either_place(pdm: Pdm, fleet: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[azure]\ncompute = 'mine'\n[preprocess]\nmax_gap_hours = 5.0\n")
    for words in (["--config", config, "preprocess"], ["preprocess", "--config", config]):
        job = plan(pdm, *words, "--data", fleet)["job"]
        assert job["compute"] == "azureml:mine"
        assert "--max-gap-hours 5.0" in job["command"]


@pytest.mark.slow
def test_dry_run_pipeline_outputs_depend_on_the_inputs(pdm: Pdm, raw: Path) -> None:
    first = plan(pdm, "run", "--data", raw, "--fast")
    again = plan(pdm, "run", "--data", raw, "--fast")
    assert first["job"]["name"] != again["job"]["name"]
    assert first["outputs"] == again["outputs"]
    (raw / "errors.parquet").unlink()
    other = plan(pdm, "run", "--data", raw, "--fast")
    assert not set(first["outputs"].values()) & set(other["outputs"].values())
    assert plan(pdm, "run", "--data", raw, "--fast", "--force")["job"]["settings"]["force_rerun"] is True


def test_dry_run_predict_passes_only_given_preparation(pdm: Pdm, fleet: Path, work: Path) -> None:
    words = ("predict", "--data", fleet, "--model", work / "model", "--timezone", "UTC", "--ranges", "")
    command = plan(pdm, *words)["job"]["command"]
    assert " --timezone UTC --ranges ''" in command
    assert "--on-duplicate" not in command


@pytest.mark.slow
@given(
    detect=st.sampled_from(
        [DetectParams(), DetectParams(mode="batch", only_last="day"), DetectParams(window_days=7.5, strict=True)]
    ),
    seed=st.integers(0, MAX_SEED),
    rate=st.floats(1e-9, 1),
    unit=st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=8).filter(lambda t: "[[" not in t),
    cutoff=st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)),
)
def test_write_options_round_trip_keeps_settings(
    detect: DetectParams, seed: int, rate: float, unit: str, cutoff: datetime | None
) -> None:
    expected = Settings(
        preprocess=PreprocessParams(ranges={"volt": (0.1, 4e2)}, timezone="Europe/Berlin", phase_minutes=30.0),
        detect=detect,
        labels=LabelsParams(horizon_hours=24.5),
        train=TrainParams(seed=seed, learning_rate=rate, cutoff=cutoff, count_hours=(), components=("comp1", "comp 2")),
        costs=CostsParams(unit=unit),
    )
    for command, port in (("preprocess", "--data"), ("detect-anomalies", "--prepared"), ("train", "--prepared")):
        words = shlex.split(" ".join(write_options(STAGES[command], expected)))
        read = parse_call([command, port, "azureml:a:1", *words], config=None).settings
        for section in STAGES[command].sections:
            assert getattr(read, section) == getattr(expected, section)


def test_dry_run_json_is_one_object(pdm: Pdm, fleet: Path) -> None:
    outcome = pdm("submit", "--dry-run", "preprocess", "--data", fleet, "--json")
    assert json.loads(outcome.stdout)["schema"] == "pdm.submit-plan/1"


def test_submit_wait_occupied_out_folder_fails_first(pdm: Pdm, fleet: Path, work: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("mine")
    place = ("--workspace", "w", "--resource-group", "r", "--subscription-id", "s")
    for words in (
        ("preprocess", "--data", fleet, "--out", tmp_path / "notes"),
        ("preprocess", "--data", fleet, "--out", work / "prepared"),
        ("run", "--data", fleet, "--out", work),
    ):
        outcome = pdm("submit", *place, "--wait", *words)
        assert outcome.code == 2
        assert "not empty" in outcome.stderr
    outcome = pdm("submit", *place, "--job-file", tmp_path / "none/job.json", "preprocess", "--data", fleet)
    assert outcome.code == 2
