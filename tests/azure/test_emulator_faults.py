"""The unmodified client against the emulator: faults."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import ServiceRequestError, ServiceResponseError

from tests.azure.clients import command_job, open_store, submit
from tests.azure.emulator import CLUSTER, Emulator


@pytest.mark.ci
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"status": 503, "times": 2},
        {"drop": "before"},
        {"drop": "middle"},
        {"delay": 0.5},
    ],
)
def test_client_read_faults_are_retried(fault: dict[str, Any], client: MLClient, emulator: Emulator) -> None:
    emulator.faults.add(method="GET", path=f"/computes/{CLUSTER}", **fault)
    begin = time.monotonic()
    assert client.compute.get(CLUSTER).name == CLUSTER
    statuses = [each.status for each in emulator.requests if each.path.endswith(CLUSTER)]
    assert statuses[-1] == 200
    assert len(statuses) == 1 + ("delay" not in fault) * fault.get("times", 1)
    assert time.monotonic() - begin >= (1.0 if fault.get("status") == 429 else fault.get("delay", 0.0))


def test_submit_lost_response_runs_once(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    emulator.faults.add(method="PUT", path="/jobs/lost", drop="after")
    with contextlib.suppress(ServiceRequestError, ServiceResponseError):
        submit(client, tmp_path, command_job("lost", "true"))
    submit(client, tmp_path, command_job("lost", "true"))
    assert emulator.wait("lost").runs == 1


@pytest.mark.ci
@pytest.mark.parametrize("drop", ["before", "middle"])
def test_blob_dropped_is_read_again(drop: Any, client: MLClient, emulator: Emulator) -> None:
    content = bytes(range(256)) * 4096
    emulator.blobs.get_blob_client(emulator.workspace.blob_container, f"drops/{drop}").upload_blob(content)
    with open_store(client, emulator) as container:
        emulator.faults.add(method="GET", host=r"\.blob\.", path="drops", drop=drop)
        assert container.download_blob(f"drops/{drop}").readall() == content
