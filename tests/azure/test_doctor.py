from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import outcome
from tests.azure import processes
from tests.azure.emulator import CLUSTER, Emulator
from tests.azure.emulator.wire import ARM

LOCAL = ["python", "libraries", "command", "machine", "config"]
REMOTE = ["azure", "azure packages", "sign-in", "workspace", "compute", "datastore"]


class Outcome(outcome.Outcome):
    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        return {check["name"]: check for check in self.json["checks"]}

    @property
    def states(self) -> list[str]:
        return [self.checks[name]["state"] for name in REMOTE]


def doctor(environment: Mapping[str, str], *words: str) -> Outcome:
    # In the home folder, which has no config file.
    done = processes.run([*processes.PROGRAM, "doctor", *words], environment, Path(environment["HOME"]))
    return Outcome(done.code, done.stdout, done.stderr)


def left_behind(emulator: Emulator) -> list[str]:
    container = emulator.blobs.get_container_client(emulator.workspace.blob_container)
    return [blob.name for blob in container.list_blobs(name_starts_with="pdm/.doctor")]


@pytest.mark.ci
def test_doctor_configured_passes_every_check(emulator: Emulator, azure_env: dict[str, str]) -> None:
    outcome = doctor(azure_env, "--json")
    assert outcome.code == 0, outcome.stdout
    assert list(outcome.checks) == [*LOCAL, *REMOTE]
    assert outcome.states == ["ok"] * 6
    assert outcome.checks["sign-in"]["text"] == "signed in by service principal"
    assert outcome.checks["workspace"]["text"] == f"{emulator.workspace.name} in {emulator.workspace.location}"
    assert outcome.checks["compute"]["text"] == f"{CLUSTER}: Succeeded, STANDARD_DS3_V2, 0 to 4 nodes"
    assert left_behind(emulator) == []
    assert emulator.refused_hosts == []


@pytest.mark.ci
def test_doctor_without_terminal_prints_one_line_per_check(azure_env: dict[str, str]) -> None:
    outcome = doctor(azure_env)
    assert outcome.code == 0
    lines = [line for line in outcome.stdout.splitlines() if "hint: " not in line]
    assert [line[9 : 9 + 14].strip() for line in lines] == [*LOCAL, *REMOTE]
    assert all(line.split()[0] in ("ok", "warning") for line in lines)
    assert outcome.stderr == ""


def test_doctor_without_credential_skips_the_rest(azure_env: dict[str, str]) -> None:
    bare = {name: value for name, value in azure_env.items() if name not in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID")}
    outcome = doctor(bare | {"PATH": "/nowhere"}, "--json")
    assert outcome.code == 6
    assert outcome.states == ["ok", "ok", "failed", "skipped", "skipped", "skipped"]
    assert outcome.checks["sign-in"]["text"].startswith("not signed in to Azure by Azure CLI")
    assert "az login" in outcome.checks["sign-in"]["hint"]
    assert outcome.checks["datastore"]["text"] == "skipped: sign-in failed"


def test_doctor_wrong_secret_is_not_printed(azure_env: dict[str, str]) -> None:
    outcome = doctor(azure_env | {"AZURE_CLIENT_SECRET": "guessed-secret"}, "--json")
    assert outcome.code == 6
    assert "AADSTS7000215" in outcome.checks["sign-in"]["text"]
    assert "guessed-secret" not in outcome.stdout + outcome.stderr


def test_doctor_wrong_workspace_fails(azure_env: dict[str, str]) -> None:
    outcome = doctor(azure_env, "--json", "--workspace", "elsewhere")
    assert outcome.code == 6
    assert outcome.states == ["ok", "ok", "ok", "failed", "skipped", "skipped"]
    assert "elsewhere" in outcome.checks["workspace"]["text"]
    assert outcome.checks["workspace"]["hint"] == "check --workspace, --resource-group and --subscription-id"


def test_doctor_without_role_names_it(emulator: Emulator, azure_env: dict[str, str]) -> None:
    stranger = emulator.tokens.principals["none"]
    signed_in = {"AZURE_CLIENT_ID": stranger.client_id, "AZURE_CLIENT_SECRET": stranger.client_secret}
    outcome = doctor(azure_env | signed_in, "--json")
    assert outcome.code == 6
    assert outcome.states == ["ok", "ok", "ok", "failed", "skipped", "skipped"]
    assert "AzureML Data Scientist" in outcome.checks["workspace"]["hint"]


def test_doctor_reader_cannot_write(emulator: Emulator, azure_env: dict[str, str]) -> None:
    reader = emulator.tokens.principals["reader"]
    signed_in = {"AZURE_CLIENT_ID": reader.client_id, "AZURE_CLIENT_SECRET": reader.client_secret}
    outcome = doctor(azure_env | signed_in, "--json")
    assert outcome.code == 6
    assert outcome.states == ["ok", "ok", "ok", "ok", "ok", "failed"]


def test_doctor_missing_compute_is_not_an_error(emulator: Emulator, azure_env: dict[str, str]) -> None:
    emulator.datastores.credentials = "Sas"
    outcome = doctor(azure_env, "--json", "--compute", "not-yet", "--min-nodes", "1")
    assert outcome.code == 0
    text = "not-yet: not found; pdm submit creates it: STANDARD_D2_V2, 1 to 4 nodes"
    assert (outcome.checks["compute"]["state"], outcome.checks["compute"]["text"]) == ("warning", text)
    assert outcome.checks["datastore"]["state"] == "ok"


@pytest.mark.ci
def test_doctor_serverless_needs_no_cluster(emulator: Emulator, azure_env: dict[str, str]) -> None:
    # Without a secret in the datastore, the signed-in user writes.
    emulator.datastores.credentials = "None"
    outcome = doctor(azure_env, "--json", "--compute", "serverless")
    assert outcome.code == 0
    assert outcome.states == ["ok"] * 6
    assert left_behind(emulator) == []


@pytest.mark.ci
def test_doctor_minimum_nodes_are_warned_of(emulator: Emulator, azure_env: dict[str, str]) -> None:
    emulator.computes.add_cluster("eager", min_nodes=2)
    outcome = doctor(azure_env, "--json", "--compute", "eager", "--datastore", "nostore")
    assert outcome.code == 6
    assert outcome.states == [*["ok"] * 4, "warning", "failed"]
    assert outcome.checks["compute"]["text"] == "eager: Succeeded, STANDARD_DS3_V2, 2 to 4 nodes"
    assert "billed even when idle" in outcome.checks["compute"]["hint"]
    assert outcome.checks["datastore"]["text"].startswith("datastore nostore: ")


@pytest.mark.ci
def test_doctor_forbidden_write_names_the_role(emulator: Emulator, azure_env: dict[str, str]) -> None:
    emulator.faults.add(method="PUT", host="blob", path="doctor", status=403)
    outcome = doctor(azure_env, "--json")
    assert outcome.code == 6
    assert "Storage Blob Data Contributor" in outcome.checks["datastore"]["hint"]
    assert left_behind(emulator) == []


@pytest.mark.ci
def test_doctor_lost_responses_leave_no_blob(emulator: Emulator, azure_env: dict[str, str]) -> None:
    for method in ("PUT", "DELETE"):
        emulator.faults.add(method=method, host="blob", path="doctor", drop="after")
    outcome = doctor(azure_env, "--json")
    assert outcome.code == 0, outcome.stdout
    assert left_behind(emulator) == []


@pytest.mark.ci
def test_doctor_azure_unavailable_exits_75(emulator: Emulator, azure_env: dict[str, str]) -> None:
    emulator.faults.add(method="GET", host=ARM, path=rf"{emulator.workspace.name}(\?|$)", status=503, times=20)
    outcome = doctor(azure_env, "--json")
    assert outcome.code == 75
    assert outcome.states == ["ok", "ok", "ok", "failed", "skipped", "skipped"]
