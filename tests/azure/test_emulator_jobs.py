"""The unmodified client against the emulator: running jobs and pipelines."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import HttpResponseError

from tests.azure.clients import STORE, command_job, doubling_job, doubling_pipeline, submit
from tests.azure.conftest import SCRIPT
from tests.azure.emulator import Emulator
from tests.azure.emulator.pipelines import order_of
from tests.azure.emulator.runner import fill_in


def read(emulator: Emulator, blob: str) -> str:
    container = emulator.workspace.blob_container
    return emulator.blobs.get_blob_client(container, blob).download_blob().readall().decode()


def test_command_job_runs_in_a_clean_environment(
    client: MLClient, emulator: Emulator, code: Path, data: Path, tmp_path: Path
) -> None:
    sent = submit(client, tmp_path, doubling_job("double", code, str(data), f"{STORE}/pdm/double/o/"))
    assert sent.name == "double"
    job = emulator.wait("double")
    assert (job.status, job.exit_code, job.runs) == ("Completed", 0, 1), job.log
    assert read(emulator, "pdm/double/o/a.txt") == tmp_path.name * 2
    assert client.jobs.get("double").status == "Completed"
    assert "AZUREML_RUN_ID" in job.log
    assert not re.search("PROXY|AZURE_|PYTHONPATH", job.log)
    log = emulator.blobs.get_blob_client("azureml", "ExperimentRun/dcid.double/user_logs/std_log.txt")
    assert log.download_blob().readall().decode() == job.log
    assert "double" in {each.name for each in client.jobs.list(max_results=50)}


def test_upload_same_content_is_sent_once(
    client: MLClient, emulator: Emulator, code: Path, data: Path, tmp_path: Path
) -> None:
    for name in ("once-1", "once-2"):
        emulator.requests.clear()
        submit(client, tmp_path, doubling_job(name, code, str(data), f"{STORE}/pdm/{name}/"))
    blob_host = f"{emulator.workspace.account}.blob.core.windows.net"
    assert not [each for each in emulator.requests if each.host == blob_host and each.method == "PUT"]


def test_command_job_failed_keeps_outputs_and_reason(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    command = "echo half > ${{outputs.o}}/half.txt; echo 'no such column: volt' >&2; exit 4"
    job = command_job("fails", command, outputs={"o": {"type": "uri_folder"}})
    submit(client, tmp_path, job)
    failed = emulator.wait("fails")
    assert (failed.status, failed.exit_code) == ("Failed", 4)
    assert read(emulator, "azureml/fails/o/half.txt") == "half\n"
    error = client.jobs._runs_operations.get_run_details("fails").error.error
    assert error.code == "UserError"
    assert "status code 4" in error.message
    assert "no such column: volt" in error.message
    with pytest.raises(Exception, match="no such column: volt"):
        client.jobs.stream("fails")


def test_command_job_log_grows_and_cancel_stops_all(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    submit(client, tmp_path, command_job("long", "echo begun; sleep 60 & sleep 61; echo done"))
    emulator.wait_for_status("long", "Running")
    end = time.monotonic() + 10
    while "begun" not in emulator.jobs["long"].log and time.monotonic() < end:
        time.sleep(0.02)
    assert client.jobs.get("long").status == "Running"
    client.jobs.begin_cancel("long").result()
    assert client.jobs.get("long").status == "Canceled"
    assert emulator.jobs["long"].log == "begun\n"
    assert emulator.jobs["long"].exit_code != 0


def test_jobs_held_stay_queued(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    emulator.hold_jobs = True
    for name in ("held", "dropped"):
        submit(client, tmp_path, command_job(name, "true"))
        emulator.wait_for_status(name, "Queued")
    client.jobs.begin_cancel("dropped").result()
    assert emulator.jobs["dropped"].runs == 0
    emulator.hold_jobs = False
    assert emulator.wait("held").status == "Completed"


def test_job_name_is_unique(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    for _ in range(2):
        submit(client, tmp_path, command_job("named", "true"))
    assert emulator.wait("named").runs == 1
    with pytest.raises(HttpResponseError, match="already exists"):
        submit(client, tmp_path, command_job("named", "false"))


def test_tags_change_with_an_update(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    submit(client, tmp_path, command_job("tagged", "true", tags={"a": "1"}))
    job = client.jobs.get("tagged")
    job.tags = {"b": "2"}
    client.jobs.create_or_update(job)
    assert emulator.jobs["tagged"].tags == {"a": "1", "b": "2"}


@pytest.mark.parametrize("wrong", [{"compute": "nowhere"}, {"environment": "azureml:absent:1"}])
def test_job_with_missing_reference_is_rejected(
    wrong: dict[str, Any], client: MLClient, emulator: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(HttpResponseError, match=r"not found|NotFound"):
        submit(client, tmp_path, command_job("refused", "true", **wrong))
    assert "refused" not in emulator.jobs


def test_job_serverless_needs_no_cluster(client: MLClient, emulator: Emulator, tmp_path: Path) -> None:
    submit(client, tmp_path, command_job("serverless-job", "true", compute="serverless"))
    assert emulator.wait("serverless-job").status == "Completed"


def test_command_job_missing_input_fails(client: MLClient, emulator: Emulator, code: Path, tmp_path: Path) -> None:
    job = doubling_job("no-input", code, f"{STORE}/absent/", f"{STORE}/pdm/no-input/o/")
    submit(client, tmp_path, job)
    failed = emulator.wait("no-input")
    assert (failed.status, failed.runs) == ("Failed", 0)
    assert failed.error
    assert "NotFound" in failed.error["message"]


@pytest.mark.ci
def test_pipeline_passes_folders_and_reuses_steps(
    client: MLClient, emulator: Emulator, code: Path, data: Path, tmp_path: Path
) -> None:
    def steps_of(name: str, **more: Any) -> list[tuple[str, int, bool]]:
        submit(client, tmp_path, doubling_pipeline(name, code, str(data), **more))
        done = emulator.wait(name)
        assert done.status == "Completed", [step.log for step in done.children]
        return [(step.display_name, step.runs, bool(step.reused_from)) for step in done.children]

    assert steps_of("pipe-1") == [("one", 1, False), ("two", 1, False)]
    assert read(emulator, "pdm/shared/p/a.txt") == tmp_path.name * 4
    assert "3" in emulator.jobs["pipe-1"].children[1].log
    assert steps_of("pipe-2") == [("one", 0, True), ("two", 0, True)]
    assert steps_of("pipe-3", second="python double.py ${{inputs.d}} ${{outputs.o}}") == [
        ("one", 0, True),
        ("two", 1, False),
    ]
    assert steps_of("pipe-4", force=True) == [("one", 1, False), ("two", 1, False)]
    (code / "double.py").write_text(SCRIPT + "# changed")
    assert steps_of("pipe-5") == [("one", 1, False), ("two", 1, False)]


def test_pipeline_children_show_reuse_and_outputs(
    client: MLClient, emulator: Emulator, code: Path, data: Path, tmp_path: Path
) -> None:
    for name in ("family-1", "family-2"):
        submit(client, tmp_path, doubling_pipeline(name, code, str(data)))
        emulator.wait(name)
    first, second = (list(client.jobs.list(parent_job_name=name)) for name in ("family-1", "family-2"))
    assert [child.display_name for child in second] == ["one", "two"]
    assert [child.properties.get("azureml.reusedrunid") for child in second] == [child.name for child in first]
    assert {child.properties.get("azureml.isreused") for child in second} == {"true"}
    assert client.jobs.get(second[0].name).status == "Completed"
    outputs = client.jobs._runs_operations.get_run_data(second[0].name).run_metadata.outputs
    assert {name: each.type for name, each in outputs.items()} == {"o": "UriFolder"}
    resolved = client.jobs._dataset_dataplane_operations.get_batch_dataset_uris([outputs["o"].asset_id])
    assert [each.uri for each in resolved.values_property.values()] == [f"{STORE}/azureml/{first[0].name}/o/"]
    assert client.jobs.get("family-2").outputs["p"].path == f"{STORE}/pdm/shared/p/"


def test_pipeline_failed_step_stops_the_rest(
    client: MLClient, emulator: Emulator, code: Path, data: Path, tmp_path: Path
) -> None:
    body = doubling_pipeline("broken", code, str(data))
    body["jobs"]["one"]["command"] = "exit 4"
    submit(client, tmp_path, body)
    job = emulator.wait("broken")
    assert job.status == "Failed"
    assert [(step.display_name, step.status) for step in job.children] == [("one", "Failed")]


@pytest.mark.ci
def test_pipeline_cancelled_stops_its_step(
    client: MLClient, emulator: Emulator, code: Path, data: Path, tmp_path: Path
) -> None:
    body = doubling_pipeline("stopped", code, str(data))
    body["jobs"]["one"]["command"] = "sleep 60"
    submit(client, tmp_path, body)
    client.jobs.begin_cancel("stopped").result()
    job = emulator.wait("stopped")
    assert job.status == "Canceled"
    assert {step.status for step in job.children} <= {"Canceled"}


def test_pipeline_steps_are_ordered_by_bindings() -> None:
    nodes = {
        name: {"inputs": {"d": f"${{{{parent.jobs.{need}.outputs.o}}}}"}} for name, need in (("c", "b"), ("b", "a"))
    }
    assert order_of(nodes | {"a": {}}) == ["a", "b", "c"]


def test_command_optional_parts_need_their_input() -> None:
    command = "run ${{inputs.a}} $[[--b ${{inputs.b}}]] $[[--c ${{ inputs.c }}]] ${{outputs.o}}"
    assert fill_in(command, {"a": "1", "c": "3"}, {"o": "/o"}) == "run 1  --c 3 /o"
