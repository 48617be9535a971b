from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.azure.emulator import Emulator
from tests.azure.emulator.jobs import Job
from tests.azure.emulator.wire import ARM
from tests.azure.processes import PROGRAM, Outcome, run

STORE = "azureml://datastores/workspaceblobstore/paths/"
SCORES = {"roc_auc": 0.99, "average_precision": 0.9548689261974153, "brier": 0.0028, "f1": 0.8}
VERSIONS = {"python": "3.11.7", "pdm-cli": "0.1.0", "numpy": "2.4.6", "xgboost-cpu": "3.2.0"}


def register(environment: Mapping[str, str], *words: str) -> Outcome:
    return run([*PROGRAM, "jobs", "register", *words], environment, Path(environment["HOME"]))


def put_job(
    emulator: Emulator, command: str = "train", *, status: str = "Completed", tail: bytes = b"", **scores: float | None
) -> str:
    """Create a finished job of pdm with the metrics, plus a later ``tail``, and the manifest of its model."""
    name = f"pdm-{command}-{uuid.uuid4().hex[:8]}"
    output = "model" if command == "run" else "out"
    path = f"pdm/{name}/{output}/"
    declared = {output: {"jobOutputType": "uri_folder", "uri": STORE + path}}
    body: dict[str, Any] = {"jobType": "Command", "command": "true", "environmentId": "azureml:python:1"}
    body |= {"outputs": declared, "experimentName": "pdm", "displayName": name, "inputs": {}, "properties": {}}
    job = Job(name, body, tags={"pdm_command": command})
    job.outputs = {output: STORE + path}
    job.start()
    job.end(status)
    emulator.jobs[name] = job
    metrics = json.dumps({"macro": {**SCORES, **scores}}).encode()
    facts = {"sha256": hashlib.sha256(metrics).hexdigest(), "bytes": len(metrics)}
    made = {"schema": "pdm.manifest/1", "parameters": {}, "inputs": {"prepared": {}}, "versions": VERSIONS}
    container = emulator.blobs.get_container_client(emulator.workspace.blob_container)
    container.upload_blob(path + "metrics.json", metrics + tail)
    container.upload_blob(path + "manifest.json", json.dumps({**made, "outputs": {"metrics.json": facts}}))
    return name


def versions_of(emulator: Emulator, model: str) -> dict[str, dict[str, Any]]:
    versions = emulator.assets.versions["models"].get(model, {})
    return {version: resource["properties"] for version, resource in versions.items()}


@pytest.mark.ci
def test_register_same_job_is_registered_once(emulator: Emulator, azure_env: dict[str, str]) -> None:
    job = put_job(emulator)
    outcome = register(azure_env, job, "valves", "--json")
    assert outcome.code == 0, outcome.stderr
    assert {key: outcome.json[key] for key in ("schema", "job", "model", "version", "registered")} == {
        "schema": "pdm.registration/1",
        "job": job,
        "model": "valves",
        "version": "1",
        "registered": True,
    }
    made = versions_of(emulator, "valves")["1"]
    assert made["modelType"] == "custom_model"
    assert made["modelUri"].endswith(f"/datastores/workspaceblobstore/paths/pdm/models/{job}/")
    assert made["tags"] == {
        "metric_average_precision": "0.9548689261974153",
        "metric_roc_auc": "0.99",
        "metric_brier": "0.0028",
        "metric_f1": "0.8",
        "data_sha256": hashlib.sha256(b'{"prepared": {}}').hexdigest(),
        "pdm_version": "0.1.0",
        "python": "3.11.7",
        "numpy": "2.4.6",
        "xgboost": "3.2.0",
        "job": job,
    }
    again = register(azure_env, job, "valves", "--if-better", "ap")
    assert (again.code, again.stdout) == (0, "valves:1\n")
    assert "already registered as valves:1" in again.stderr
    assert list(versions_of(emulator, "valves")) == ["1"]


@pytest.mark.ci
def test_register_if_better_needs_a_better_model(emulator: Emulator, azure_env: dict[str, str]) -> None:
    first = put_job(emulator, "run")
    assert register(azure_env, first, "fans", "--if-better", "brier").stdout == "fans:1\n"
    equal = register(azure_env, put_job(emulator), "fans", "--if-better", "average_precision")
    assert (equal.code, equal.stdout) == (10, "")
    assert "average_precision is 0.9548689261974153, that of fans:1 is 0.9548689261974153" in equal.stderr
    better = register(azure_env, put_job(emulator, brier=0.002, f1=None), "fans", "--if-better", "brier", "--json")
    assert better.code == 0
    assert better.json["compared"] == {"metric": "brier", "new": 0.002, "old": 0.0028, "old_version": "1"}
    # The newest version counts, not the first.
    worse = register(azure_env, put_job(emulator, brier=0.0025), "fans", "--if-better", "brier", "--json")
    assert worse.code == 10
    assert worse.json["details"] == {"metric": "brier", "new": 0.0025, "old": 0.002, "old_version": "2"}
    unknown = register(azure_env, put_job(emulator), "fans", "--if-better", "f1")
    assert unknown.code == 6
    assert "model fans:2: tag metric_f1 is not a number" in unknown.stderr
    assert "once without --if-better" in unknown.stderr
    assert list(versions_of(emulator, "fans")) == ["1", "2"]


@pytest.mark.ci
@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        ({"status": "Failed"}, 7, "failed\nhint: pdm jobs logs pdm-train-"),
        ({"tail": b" "}, 4, "metrics.json: does not match the hash in its manifest"),
    ],
)
def test_register_incomplete_model_fails(
    facts: dict[str, Any], code: int, words: str, emulator: Emulator, azure_env: dict[str, str]
) -> None:
    outcome = register(azure_env, put_job(emulator, **facts), "belts")
    assert outcome.code == code
    assert words in outcome.stderr
    assert versions_of(emulator, "belts") == {}


def test_register_unknown_job_fails(azure_env: dict[str, str]) -> None:
    outcome = register(azure_env, "pdm-train-none", "belts")
    assert outcome.code == 6
    assert "job pdm-train-none: not found in workspace" in outcome.stderr
    assert "pdm jobs list" in outcome.stderr


def test_register_reader_is_rejected(emulator: Emulator, azure_env: dict[str, str]) -> None:
    reader = emulator.tokens.principals["reader"]
    signed_in = {"AZURE_CLIENT_ID": reader.client_id, "AZURE_CLIENT_SECRET": reader.client_secret}
    outcome = register(azure_env | signed_in, put_job(emulator), "belts")
    assert outcome.code == 6
    assert "AzureML Data Scientist" in outcome.stderr


@pytest.mark.ci
def test_register_temporary_errors_create_one_version(emulator: Emulator, azure_env: dict[str, str]) -> None:
    emulator.faults.add(method="GET", host=ARM, path="/jobs/", status=429, headers={"Retry-After": "1"})
    emulator.faults.add(method="GET", host="blob", path="metrics", drop="middle")
    emulator.faults.add(method="PUT", host=ARM, path="/models/", drop="after")
    outcome = register(azure_env, put_job(emulator), "mills")
    assert outcome.code == 0, outcome.stderr
    assert list(versions_of(emulator, "mills")) == ["1"]
