"""The unmodified client against the emulator: sign-in, hosts, and everything that jobs need."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import AmlCompute, Data, Environment, Model
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from tests.azure.clients import STORE, command_job, connect, open_store, submit
from tests.azure.emulator import CLUSTER, Emulator
from tests.azure.emulator.azurite import FOLDER_VARIABLE, install


@pytest.mark.usefixtures("in_azure")
def test_workspace_read_needs_one_token(emulator: Emulator) -> None:
    emulator.requests.clear()
    found = connect(emulator).workspaces.get()
    assert found.name == emulator.workspace.name
    assert [exchange.status for exchange in emulator.requests] == [200, 200, 200]
    assert emulator.requests[-1].path == emulator.workspace.path


@pytest.mark.usefixtures("in_azure")
def test_sign_in_wrong_secret_fails_as_entra_does(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        connect(emulator).workspaces.get()


@pytest.mark.usefixtures("in_azure")
def test_sign_in_federated_token_works(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # In a folder that is not searched for secrets.
    token = tmp_path_factory.mktemp("federation") / "token"
    token.write_text(emulator.tokens.principals["contributor"].assertion)
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token))
    assert connect(emulator).workspaces.get().name == emulator.workspace.name


@pytest.mark.usefixtures("in_azure")
def test_workspace_unknown_is_not_found(emulator: Emulator) -> None:
    with pytest.raises(ResourceNotFoundError, match=r"ResourceNotFound.*'.*workspaces/other'"):
        connect(emulator, "other").workspaces.get()


@pytest.mark.usefixtures("in_azure")
@pytest.mark.parametrize(("role", "reads"), [("reader", True), ("none", False)])
def test_roles_restrict_requests(
    role: str, reads: bool, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in emulator.environment(tmp_path, role).items():
        monkeypatch.setenv(name, value)
    stranger = connect(emulator)
    if reads:
        assert stranger.compute.get(CLUSTER).name == CLUSTER
    else:
        with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
            stranger.compute.get(CLUSTER)
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        stranger.compute.begin_create_or_update(AmlCompute(name="mine"))


@pytest.mark.usefixtures("in_azure")
def test_token_expired_is_renewed_and_revoked_is_rejected(emulator: Emulator) -> None:
    emulator.tokens.lifetime_seconds = 1
    own = connect(emulator)
    own.compute.get(CLUSTER)
    issued = emulator.tokens.issued
    time.sleep(1.1)
    own.compute.get(CLUSTER)
    assert emulator.tokens.issued > issued
    emulator.tokens.lifetime_seconds = 3600
    own = connect(emulator)
    own.compute.get(CLUSTER)
    emulator.tokens.revoke()
    with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
        own.compute.get(CLUSTER)


def test_compute_missing_is_created(client: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        client.compute.get("fresh")
    asked = AmlCompute(
        name="fresh", size="STANDARD_D2_V2", min_instances=0, max_instances=4, idle_time_before_scale_down=1800
    )
    client.compute.begin_create_or_update(asked).result()
    made = client.compute.get("fresh")
    assert (made.size, made.min_instances, made.max_instances) == ("STANDARD_D2_V2", 0, 4)
    assert made.idle_time_before_scale_down == 1800
    assert made.provisioning_state == "Succeeded"


def test_environment_version_and_label_are_immutable(client: MLClient) -> None:
    for version in ("1", "2"):
        client.environments.create_or_update(Environment(name="versions", version=version, image=f"image:{version}"))
    assert client.environments.get("versions", version="1").image == "image:1"
    assert client.environments.get("versions", label="latest").version == "2"
    other = Environment(name="versions", version="2", image="image:3")
    with pytest.raises(HttpResponseError, match="Conflict"):
        client.environments.create_or_update(other)
    with pytest.raises(ResourceNotFoundError):
        client.environments.get("versions", version="9")


@pytest.mark.parametrize("kind", ["AccountKey", "Sas", "None"])
def test_datastore_every_secret_type_opens_the_blobs(kind: Any, client: MLClient, emulator: Emulator) -> None:
    emulator.datastores.credentials = kind
    with open_store(client, emulator) as container:
        # The signature must cover every character of a name.
        name = f"signed/{kind} ü+&%.txt"
        container.upload_blob(name, b"text", metadata={"a": "b"})
        assert list(container.list_blob_names(name_starts_with=f"signed/{kind}")) == [name]
        assert container.download_blob(name).readall() == b"text"
    assert emulator.refused_hosts == []


def test_data_asset_version_and_latest_feed_a_job(
    client: MLClient, emulator: Emulator, data: Path, tmp_path: Path
) -> None:
    client.data.create_or_update(Data(name="logs", version="1", path=str(data), type="uri_folder"))
    (data / "a.txt").write_text("second")
    client.data.create_or_update(Data(name="logs", version="2", path=str(data), type="uri_folder"))
    assert client.data.get("logs", label="latest").version == "2"
    for address, text in (("azureml:logs:1", tmp_path.name), ("azureml:logs@latest", "second")):
        name = f"asset-{text}"
        job = command_job(name, "cat ${{inputs.d}}/a.txt", inputs={"d": {"type": "uri_folder", "path": address}})
        submit(client, tmp_path, job)
        assert emulator.wait(name).log == text


def test_models_registered_are_listed_and_read(client: MLClient) -> None:
    for auc in ("0.8", "0.9"):
        model = Model(name="compressors", path=f"{STORE}/pdm/model/", type="custom_model", tags={"roc_auc": auc})
        client.models.create_or_update(model)
    assert sorted(each.version for each in client.models.list("compressors")) == ["1", "2"]
    assert client.models.get("compressors", label="latest").tags == {"roc_auc": "0.9"}
    assert client.models.get("compressors", version="1").tags == {"roc_auc": "0.8"}
    with pytest.raises(ResourceNotFoundError):
        client.models.get("valves", version="1")


@pytest.mark.usefixtures("in_azure")
def test_host_unknown_is_rejected(emulator: Emulator) -> None:
    assert requests.get("http://example.com/", timeout=5).status_code == 403
    for host in ("example.com", "other.blob.core.windows.net"):
        with pytest.raises(requests.exceptions.ProxyError, match="403"):
            requests.get(f"https://{host}/", timeout=5)
    assert emulator.refused_hosts == ["example.com", "example.com", "other.blob.core.windows.net"]
    emulator.refused_hosts.clear()


@pytest.mark.usefixtures("in_azure")
def test_host_rejected_can_be_slow(emulator: Emulator) -> None:
    emulator.faults.add(host=r"169\.254", delay=0.3)
    begin = time.monotonic()
    assert requests.get("http://169.254.169.254/metadata/identity", timeout=5).status_code == 403
    assert time.monotonic() - begin >= 0.3
    assert emulator.refused_hosts.pop() == "169.254.169.254"


def test_certificates_work_with_the_standard_library(azure_env: dict[str, str], emulator: Emulator) -> None:
    context = ssl.create_default_context(cafile=azure_env["REQUESTS_CA_BUNDLE"])
    handlers = (
        urllib.request.ProxyHandler({"https": azure_env["HTTPS_PROXY"]}),
        urllib.request.HTTPSHandler(context=context),
    )
    url = f"https://login.microsoftonline.com/{emulator.workspace.tenant}/v2.0/.well-known/openid-configuration"
    with urllib.request.build_opener(*handlers).open(url, timeout=5) as reply:
        assert json.load(reply)["issuer"].startswith("https://login.microsoftonline.com/")


@pytest.mark.ci
def test_process_needs_only_the_environment(azure_env: dict[str, str], emulator: Emulator) -> None:
    program = (
        "import os; from azure.identity import DefaultAzureCredential as C; from azure.ai.ml import MLClient\n"
        "names = ('SUBSCRIPTION_ID', 'RESOURCE_GROUP', 'WORKSPACE')\n"
        "client = MLClient(C(), *(os.environ['PDM_CLI_' + n] for n in names), enable_telemetry=False)\n"
        "print(client.workspaces.get().name)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=azure_env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == emulator.workspace.name, done.stderr
    assert emulator.refused_hosts == []


def test_secrets_are_known_to_the_search(client: MLClient, emulator: Emulator, azure_env: dict[str, str]) -> None:
    store = client.datastores.get("workspaceblobstore", include_secrets=True)
    assert store.credentials.account_key in emulator.secrets
    assert azure_env["AZURE_CLIENT_SECRET"] in emulator.secrets
    assert DefaultAzureCredential().get_token("https://management.azure.com/.default").token in emulator.secrets


def test_azurite_missing_fails_with_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=r"npm install --prefix FOLDER azurite@3"):
        install()


def test_blobs_can_have_hostile_names(client: MLClient, emulator: Emulator) -> None:
    names = ["hostile/../../out.txt", "hostile//etc/passwd", "hostile/C:/x.txt"]
    for name in names:
        emulator.put_blob(name, b"x")
    with open_store(client, emulator) as container:
        assert sorted(container.list_blob_names(name_starts_with="hostile")) == sorted(names)
