"""Commands submitted to the emulator, which runs them, and their fetched results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.azure.emulator import CLUSTER, Emulator
from tests.azure.processes import Pdm
from tests.azure.submissions import made, submit_held

QUICK = ("--fast", "--trees", "20")


@pytest.fixture
def pdm(emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> Pdm:
    return Pdm(emulator, azure_env | {"PDM_CLI_POLL_SECONDS": "0.5"}, tmp_path)


def runs_of(emulator: Emulator, job: str) -> dict[str, int]:
    """Return how often each step of a pipeline actually ran."""
    return {step.display_name: step.runs for step in emulator.jobs.find(job).children}


@pytest.mark.parametrize(
    ("command", "ports", "options", "folder"),
    [
        ("preprocess", {"data": "raw"}, (), "prepared"),
        pytest.param("detect-anomalies", {"prepared": "prepared"}, ("--jobs", "1"), "anomalies", marks=pytest.mark.ci),
        pytest.param("train", {"prepared": "prepared", "anomalies": "anomalies"}, QUICK, "model", marks=pytest.mark.ci),
        pytest.param("predict", {"data": "raw", "model": "model"}, (), "predictions", marks=pytest.mark.ci),
    ],
)
def test_submit_wait_gives_the_same_bytes_as_locally(
    command: str, ports: dict[str, str], options: tuple[str, ...], folder: str, pdm: Pdm, work: Path, tmp_path: Path
) -> None:
    words = [word for port, name in ports.items() for word in (f"--{port}", work / name)]
    outcome = pdm("submit", "--wait", command, *words, *options, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert made(tmp_path / "out") == made(work / folder)
    job = outcome.stdout.strip()
    assert job.startswith(f"pdm-{command}-"), "stdout is the bare name of the job"
    assert f"| {command}: wrote" in outcome.stderr, "the log of the job is shown"
    prefixes = ("submit: ", "| ", f"{job}: ", "fetch-results: ")
    assert [line for line in outcome.stderr.splitlines() if not line.startswith(prefixes)] == []
    assert (tmp_path / "out/logs" / f"{job}.txt").is_file()


@pytest.mark.ci
def test_submit_run_reuses_unchanged_steps(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    words = ("run", "--data", work / "raw", "--jobs", "1", *QUICK)
    first = pdm("submit", *words)
    assert first.code == 0, first.stderr
    job = first.stdout.strip()
    fetched = pdm("fetch-results", job, "--out", tmp_path / "out", "--wait")
    assert fetched.code == 0, fetched.stderr
    for folder in ("prepared", "anomalies", "model"):
        assert made(tmp_path / "out" / folder) == made(work / folder)
    assert runs_of(emulator, job) == {"preprocess": 1, "detect_anomalies": 1, "train": 1}

    again = pdm("submit", "--wait", *words, "--out", tmp_path / "again")
    assert again.code == 0, again.stderr
    assert set(runs_of(emulator, again.stdout.strip()).values()) == {0}, again.stderr
    assert made(tmp_path / "again/model") == made(work / "model")
    assert "train: unchanged, reused from an earlier job" in again.stderr

    other = pdm("submit", "--wait", *words, "--seed", "7")
    assert runs_of(emulator, other.stdout.strip()) == {"preprocess": 0, "detect_anomalies": 0, "train": 1}

    forced = pdm("submit", "--wait", "--force-rerun", *words)
    assert forced.code == 0, forced.stderr
    assert set(runs_of(emulator, forced.stdout.strip()).values()) == {1}


@pytest.fixture
def duplicated(work: Path, tmp_path: Path) -> Path:
    """Raw tables with two different readings of each machine and time."""
    raw = Path(shutil.copytree(work / "raw", tmp_path / "duplicated"))
    telemetry = pd.read_parquet(raw / "telemetry.parquet")
    pd.concat([telemetry, telemetry.assign(volt=0.0)]).to_parquet(raw / "telemetry.parquet")
    return raw


@pytest.mark.ci
@pytest.mark.parametrize("command", ["preprocess", "run"])
def test_submit_failing_job_reports_its_own_error(command: str, pdm: Pdm, duplicated: Path, tmp_path: Path) -> None:
    outcome = pdm("submit", "--wait", command, "--data", duplicated, "--out", tmp_path / "out")
    assert outcome.code == 7
    assert "duplicate (machineID, datetime) rows" in outcome.error
    assert ("preprocess: " in outcome.error) == (command == "run")
    assert "--on-duplicate" in outcome.hint
    fetched = pdm("fetch-results", outcome.stdout.strip(), "--out", tmp_path / "again")
    assert fetched.code == 7
    assert fetched.error == outcome.error
    for folder in (tmp_path / "out", tmp_path / "again"):
        assert [path.name for path in folder.iterdir()] == ["logs"]
        assert "duplicate (machineID, datetime)" in "".join(path.read_text() for path in (folder / "logs").iterdir())


@pytest.mark.ci
def test_submit_same_name_is_sent_once(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    job = submit_held(pdm, emulator, work, "--name", "nightly-1", "--tag", "team=pumps", "--display-name", "Nightly")
    assert job == "nightly-1"
    assert emulator.jobs.find(job).tags["team"] == "pumps"
    assert emulator.jobs.find(job).display_name == "Nightly"
    emulator.requests.clear()
    again = pdm("submit", "--name", job, "preprocess", "--data", work / "raw")
    assert (again.code, again.stdout.strip()) == (0, job)
    assert "not submitted again" in again.stderr
    assert not [each for each in emulator.requests if each.method == "PUT"]
    other = pdm("submit", "--name", job, "preprocess", "--data", work / "raw", "--max-gap-hours", "5")
    assert other.code == 2
    assert "exists with other data, settings or code" in other.error


@pytest.mark.ci
def test_submit_name_of_a_failed_job_fails(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    job = submit_held(pdm, emulator, work, "--name", "nightly-2")
    assert pdm("jobs", "cancel", job, "--wait").code == 0
    again = pdm("submit", "--name", job, "preprocess", "--data", work / "raw")
    assert again.code == 8, again.stderr
    assert "nightly-2 was submitted before, and ended as Canceled" in again.error
    assert "another --name to run it again" in again.hint
    assert not again.stdout


@pytest.mark.ci
def test_submit_concurrent_uploads_both_succeed(pdm: Pdm, work: Path, tmp_path: Path) -> None:
    # Data that was not uploaded before, so that both upload it.
    raw = Path(shutil.copytree(work / "raw", tmp_path / "raw"))
    errors = pd.read_parquet(raw / "errors.parquet")
    errors.iloc[:-1].to_parquet(raw / "errors.parquet")
    both = [pdm.start("submit", "--wait", "preprocess", "--data", raw) for _ in range(2)]
    outcomes = [pdm.end(process) for process in both]
    assert [outcome.code for outcome in outcomes] == [0, 0], [outcome.stderr for outcome in outcomes]
    assert outcomes[0].stdout != outcomes[1].stdout


@pytest.mark.ci
def test_submit_uploaded_content_is_not_sent_again(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    submit_held(pdm, emulator, work)
    emulator.requests.clear()
    submit_held(pdm, emulator, work)
    sent = [each.path.split("?")[0].rstrip("0123456789abcdef-") for each in emulator.requests if each.method == "PUT"]
    assert len(sent) == 1, "the job alone"
    assert "/jobs/" in sent[0]


@pytest.mark.ci
def test_submit_missing_cluster_is_created(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    emulator.hold_jobs = True
    options = ("--compute", "night", "--vm-size", "STANDARD_D4_V2", "--max-nodes", "2", "--idle-seconds", "600")
    outcome = pdm("submit", *options, "preprocess", "--data", work / "raw")
    assert outcome.code == 0, outcome.stderr
    made_of: Any = emulator.computes["night"]["properties"]["properties"]
    assert made_of["vmSize"] == "STANDARD_D4_V2"
    scale = made_of["scaleSettings"]
    assert (scale["minNodeCount"], scale["maxNodeCount"], scale["nodeIdleTimeBeforeScaleDown"]) == (0, 2, "PT10M")


@pytest.mark.ci
def test_submit_serverless_needs_no_cluster(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    for command in ("preprocess", "run"):
        emulator.hold_jobs = True
        outcome = pdm("submit", "--compute", "serverless", command, "--data", work / "raw")
        assert outcome.code == 0, outcome.stderr
        assert not [each for each in emulator.requests if "/computes/serverless" in each.path]


@pytest.mark.parametrize(
    ("role", "options", "error", "hint"),
    [
        ("contributor", ("--workspace", "nowhere"), "nowhere", "--workspace"),
        ("contributor", ("--compute", "none", "--no-create-compute"), "compute none: not found", "serverless"),
        ("reader", ("--compute", "none"), "creating compute none", "role"),
        ("reader", (), "", "role"),
        ("none", (), "", "role"),
    ],
)
def test_submit_rejected_by_azure_gives_a_hint(
    role: str, options: tuple[str, ...], error: str, hint: str, emulator: Emulator, work: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    pdm = Pdm(emulator, emulator.environment(home, role), tmp_path)
    outcome = pdm("submit", *options, "preprocess", "--data", work / "raw", "--json")
    assert outcome.code == 6, outcome.stderr
    assert error in outcome.error
    assert hint in outcome.hint
    assert outcome.json["schema"] == "pdm.error/1"


def test_submit_unknown_data_asset_fails(pdm: Pdm) -> None:
    outcome = pdm("submit", "preprocess", "--data", "azureml:nope@latest")
    assert outcome.code == 6, outcome.stderr
    assert outcome.error.startswith("error: data asset nope@latest: ")
    assert len(outcome.error) > len("error: data asset nope@latest: ")


def test_submit_wrong_secret_prints_one_line(pdm: Pdm, work: Path) -> None:
    outcome = pdm("submit", "preprocess", "--data", work / "raw", AZURE_CLIENT_SECRET="wrong-secret")
    assert outcome.code == 6
    assert "AADSTS7000215" in outcome.error
    assert "wrong-secret" not in outcome.stderr


@pytest.mark.ci
def test_submit_job_file_names_the_job(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    job = submit_held(pdm, emulator, work, "--job-file", tmp_path / "job.json", "--experiment", "nightly")
    facts = json.loads((tmp_path / "job.json").read_text())
    assert (facts["schema"], facts["name"]) == ("pdm.submit/1", job)
    assert facts["studio_url"].startswith("https://ml.azure.com/runs/")
    shown = pdm("jobs", "show", job, "--json").json
    assert (shown["experiment"], shown["command"], shown["status"]) == ("nightly", "preprocess", "Queued")
    listed = pdm("jobs", "list", "--json").json["jobs"]
    assert listed[0]["name"] == job


REGISTER = """
import sys
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Data
from azure.identity import EnvironmentCredential

*place, address = sys.argv[1:]
client = MLClient(EnvironmentCredential(), *place, enable_telemetry=False)
print(client.data.create_or_update(Data(name="prepared", path=address, type="uri_folder")).version)
"""


@pytest.mark.ci
def test_submit_inputs_on_azure_are_used(
    pdm: Pdm, emulator: Emulator, azure_env: dict[str, str], work: Path, tmp_path: Path
) -> None:
    first = pdm("submit", "--wait", "preprocess", "--data", work / "raw")
    address = emulator.jobs.find(first.stdout.strip()).submitted["outputs"]["out"]["uri"]
    workspace = emulator.workspace
    place = (workspace.subscription_id, workspace.resource_group, workspace.name)
    words = [sys.executable, "-W", "ignore", "-c", REGISTER, *place, address]
    done = subprocess.run(words, env=azure_env, capture_output=True, text=True, check=True)
    version = done.stdout.strip()
    for number, source in enumerate((address, f"azureml:prepared:{version}", "prepared@latest")):
        out = tmp_path / f"anomalies-{number}"
        outcome = pdm("submit", "--wait", "detect-anomalies", "--prepared", source, "--jobs", 1, "--out", out)
        assert outcome.code == 0, outcome.stderr
        assert made(out) == made(work / "anomalies")
    for name in ("nope@latest", "azureml:nope:1"):
        unknown = pdm("submit", "detect-anomalies", "--prepared", name)
        assert unknown.code == 6
        assert "data asset nope" in unknown.error
    assert pdm("submit", "--datastore", "nope", "preprocess", "--data", work / "raw").code == 6


@pytest.mark.ci
def test_submit_same_pipeline_twice_has_separate_outputs(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    emulator.hold_jobs = True
    words = ("submit", "run", "--data", work / "raw", "--jobs", "1", *QUICK, "--seed", "11")
    first, second = pdm(*words, "--json").json, pdm(*words, "--json").json
    assert not set(first["outputs"].values()) & set(second["outputs"].values())


@pytest.mark.ci
def test_submit_register_copies_the_model(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    train = ("train", "--prepared", work / "prepared", "--anomalies", work / "anomalies", *QUICK)
    first = pdm("submit", "--register", "pistons", "--json", *train)
    assert first.code == 0, first.stderr
    kept = emulator.assets.versions["models"]["pistons"]["1"]["properties"]["modelUri"]
    assert f"/paths/pdm/models/{first.json['name']}" in kept
    assert kept not in first.json["outputs"].values()


@pytest.mark.ci
def test_submit_same_name_again_succeeds(pdm: Pdm, work: Path, tmp_path: Path) -> None:
    words = ("submit", "--name", "again-1", "--wait", "preprocess", "--data", work / "raw", "--out", tmp_path / "out")
    for _ in range(2):
        outcome = pdm(*words)
        assert outcome.code == 0, outcome.stderr


@pytest.mark.ci
def test_submit_if_better_rejects_an_equal_model(pdm: Pdm, work: Path) -> None:
    train = ("train", "--prepared", work / "prepared", "--anomalies", work / "anomalies", *QUICK)
    first = pdm("submit", "--register", "turbines", "--json", *train)
    assert first.code == 0, first.stderr
    assert (first.json["model"], first.json["version"], first.json["status"]) == ("turbines", "1", "Completed")
    again = pdm("submit", "--register", "turbines", "--if-better", "ap", *train)
    assert again.code == 10, again.stderr


@pytest.mark.ci
def test_jobs_logs_of_another_process_are_read(pdm: Pdm, work: Path) -> None:
    job = pdm("submit", "--wait", "preprocess", "--data", work / "raw").stdout.strip()
    logs = pdm("jobs", "logs", job)
    assert logs.code == 0, logs.stderr
    assert "preprocess: wrote" in logs.stdout
    assert pdm("jobs", "logs", job, "--step", "nope").code == 6
    unknown = pdm("jobs", "show", "nope")
    assert unknown.code == 6
    assert unknown.hint == "hint: run pdm jobs list to see the jobs"


def test_local_commands_without_azure_packages_work(pdm: Pdm, work: Path, tmp_path: Path) -> None:
    script = "import sys; sys.modules['azure'] = None; from pdm_cli.__main__ import main; main()"
    program = (sys.executable, "-c", script)
    assert pdm("preprocess", "--data", work / "raw", "--out", tmp_path / "out", program=program).code == 0
    assert pdm("submit", "--dry-run", "preprocess", "--data", work / "raw", program=program).code == 0
    outcome = pdm("submit", "preprocess", "--data", work / "raw", program=program)
    assert outcome.code == 6
    assert "pip install" in outcome.hint


@pytest.mark.ci
def test_submit_without_credential_fails_quickly(pdm: Pdm, work: Path, tmp_path: Path) -> None:
    nothing = {"AZURE_TENANT_ID": "", "AZURE_CLIENT_ID": "", "AZURE_CLIENT_SECRET": ""}
    slow = tmp_path / "slow"
    slow.mkdir()
    for name, script in (("az", "sleep 2; echo 'run az login' >&2; exit 1"), ("pwsh", "sleep 5"), ("azd", "sleep 5")):
        (slow / name).write_text(f"#!/bin/sh\n{script}\n")
        (slow / name).chmod(0o755)
    seconds = []
    for path in (os.environ["PATH"], f"{slow}:{os.environ['PATH']}"):
        start = time.monotonic()
        outcome = pdm("submit", "preprocess", "--data", work / "raw", PATH=path, **nothing)
        seconds.append(time.monotonic() - start)
        assert outcome.code == 6
        assert len(outcome.stderr.splitlines()) == 2
        assert "Azure CLI" in outcome.error
    assert seconds[0] < 5
    assert seconds[1] - seconds[0] < 4, "slow programs are given up soon, however long pdm takes to start"


def test_submit_uses_the_configured_cluster(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    job = submit_held(pdm, emulator, work)
    assert emulator.jobs.find(job).submitted["computeId"].endswith(f"/{CLUSTER}")
