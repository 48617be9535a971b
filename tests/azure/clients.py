"""The client of the Azure SDK, and small jobs for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from azure.ai.ml import MLClient, load_job
from azure.ai.ml.entities import Job
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient, LinearRetry

from tests.azure.emulator import CLUSTER, Emulator

STORE = "azureml://datastores/workspaceblobstore/paths"


def connect(emulator: Emulator, workspace: str = "") -> MLClient:
    """Return a client from names alone; everything else is in the environment."""
    place = emulator.workspace
    names = (place.subscription_id, place.resource_group, workspace or place.name)
    return MLClient(DefaultAzureCredential(), *names, enable_telemetry=False)


def open_store(client: MLClient, emulator: Emulator) -> ContainerClient:
    """Open the default datastore as a download does: its secrets, then its container."""
    store = client.datastores.get("workspaceblobstore", include_secrets=True)
    secret = getattr(store.credentials, "account_key", None) or getattr(store.credentials, "sas_token", None)
    url = f"https://{emulator.workspace.account}.blob.core.windows.net"
    # By default the storage client waits 15 s before the first retry.
    again = LinearRetry(backoff=1, random_jitter_range=0)
    return ContainerClient(url, store.container_name, credential=secret or DefaultAzureCredential(), retry_policy=again)


def submit(client: MLClient, folder: Path, body: dict[str, Any]) -> Job:
    """Submit a job written as a file in ``folder``."""
    # JSON is YAML, too.
    path = folder / f"{body['name']}.yml"
    path.write_text(json.dumps(body))
    return client.jobs.create_or_update(load_job(path))


def command_job(name: str, command: str, **more: Any) -> dict[str, Any]:
    """Return a command job in the form of YAML."""
    base = {"type": "command", "name": name, "command": command, "environment": "azureml:tests@latest"}
    return base | {"compute": CLUSTER, "experiment_name": "pumps"} | more


def doubling_job(name: str, code: Path, source: str, target: str) -> dict[str, Any]:
    """Return a command job that writes the files of ``source``, doubled, into ``target``."""
    return command_job(
        name,
        "python double.py ${{inputs.d}} ${{outputs.o}}",
        code=str(code),
        inputs={"d": {"type": "uri_folder", "path": source}},
        outputs={"o": {"type": "uri_folder", "path": target}},
    )


def doubling_pipeline(name: str, code: Path, source: str, *, force: bool = False, second: str = "") -> dict[str, Any]:
    """Return a pipeline of two steps, ``one`` and ``two``, the later one written first."""
    step = {"type": "command", "environment": "azureml:tests@latest", "code": str(code)}
    first = step | {
        "command": "python double.py ${{inputs.d}} ${{outputs.o}}",
        "inputs": {"d": "${{parent.inputs.d}}"},
        "outputs": {"o": {"type": "uri_folder"}},
    }
    then = step | {
        "command": second or "python double.py ${{inputs.d}} ${{outputs.o}}; echo ${{inputs.n}}",
        "inputs": {"d": "${{parent.jobs.one.outputs.o}}", "n": "${{parent.inputs.n}}"},
        "outputs": {"o": "${{parent.outputs.p}}"},
    }
    return {
        "type": "pipeline",
        "name": name,
        "experiment_name": "pumps",
        "compute": f"azureml:{CLUSTER}",
        "settings": {"force_rerun": force},
        "inputs": {"d": {"type": "uri_folder", "path": source}, "n": 3},
        "outputs": {"p": {"type": "uri_folder", "path": f"{STORE}/pdm/shared/p/"}},
        "jobs": {"two": then, "one": first},
    }
