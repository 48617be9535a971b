"""Which steps pipelines reuse, and which they must not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.azure.emulator import Emulator
from tests.azure.emulator.workspace import system_data
from tests.azure.job_builders import STORE, container_of
from tests.azure.processes import Pdm

QUICK = ("--jobs", "1", "--fast", "--trees", "20")


@pytest.fixture
def pdm(emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> Iterator[Pdm]:
    yield Pdm(emulator, azure_env | {"PDM_CLI_POLL_SECONDS": "0.5"}, tmp_path)
    # Held jobs would run during the next test.
    for job in list(emulator.jobs.values()):
        job.cancel()


@pytest.fixture
def raw(emulator: Emulator, work: Path, tmp_path: Path) -> str:
    """Raw tables in the datastore, by their path there."""
    place = f"plant/{tmp_path.name}/raw"
    for path in (work / "raw").iterdir():
        container_of(emulator).upload_blob(f"{place}/{path.name}", path.read_bytes())
    return place


def address_of(path: str) -> str:
    return f"azureml://datastores/{STORE}/paths/{path}/"


def register(emulator: Emulator, name: str, path: str) -> str:
    """Register a path as a data asset, and return its name."""
    address = f"azureml:/{emulator.workspace.path}/datastores/{STORE}/paths/{path}/"
    properties = {"dataUri": address, "dataType": "uri_folder", "isAnonymous": False, "tags": {}, "properties": {}}
    resource = emulator.workspace.resource("data", f"{name}/versions/1", properties)
    emulator.assets.versions["data"][name] = {"1": resource | {"systemData": system_data(0)}}
    return f"azureml:{name}:1"


def drop_errors(emulator: Emulator, path: str) -> None:
    """Drop 50 rows of the errors in the datastore."""
    blob = container_of(emulator).get_blob_client(f"{path}/errors.parquet")
    errors = pd.read_parquet(io.BytesIO(blob.download_blob().readall()))
    blob.upload_blob(errors.iloc[:-50].to_parquet(), overwrite=True)


def runs_of(emulator: Emulator, job: str) -> list[int]:
    """Return how often each step of a pipeline actually ran."""
    return [step.runs for step in emulator.jobs.find(job).children]


@pytest.mark.ci
def test_reuse_changed_data_at_an_address_runs_again(pdm: Pdm, emulator: Emulator, raw: str) -> None:
    words = ("submit", "--wait", "--json", "run", "--data", address_of(raw), *QUICK)
    first, again = pdm(*words), pdm(*words)
    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert [runs_of(emulator, each.json["name"]) for each in (first, again)] == [[1, 1, 1], [0, 0, 0]]
    drop_errors(emulator, raw)
    changed = pdm(*words)
    assert changed.code == 0, changed.stderr
    assert runs_of(emulator, changed.json["name"]) == [1, 1, 1]
    assert "unchanged" not in changed.stderr
    assert not set(changed.json["outputs"].values()) & set(first.json["outputs"].values())


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["address", "asset"])
def test_reuse_same_name_with_changed_data_fails(kind: str, pdm: Pdm, emulator: Emulator, raw: str) -> None:
    emulator.hold_jobs = True
    source = address_of(raw) if kind == "address" else register(emulator, "plant", raw)
    words = ("submit", "--name", f"nightly-{kind}", "preprocess", "--data", source)
    first, again = pdm(*words), pdm(*words)
    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert "not submitted again" in again.stderr
    drop_errors(emulator, raw)
    changed = pdm(*words)
    assert changed.code == 2, changed.stderr
    assert "exists with other data, settings or code" in changed.error


@pytest.mark.ci
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("azureml:/{group}/workspaces/other/datastores/{store}/paths/{raw}/", "workspace other"),
        ("azureml://datastores/{store}/paths/{raw}/none/", "no files"),
        ("azureml://datastores/elsewhere/paths/{raw}/", "datastore elsewhere"),
        ("azureml://jobs/a/outputs/b", "not the address of a path"),
    ],
)
def test_reuse_unlistable_data_counts_as_changed(
    source: str, reason: str, pdm: Pdm, emulator: Emulator, raw: str
) -> None:
    emulator.hold_jobs = True
    address = source.format(group=emulator.workspace.group_path, store=STORE, raw=raw)
    words = ("submit", "--json", "run", "--data", address, *QUICK)
    first, second = pdm(*words), pdm(*words)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    (warning,) = [line for line in second.stderr.splitlines() if line.startswith("warning: ")]
    assert "counts as changed" in warning
    assert reason in warning
    assert not set(first.json["outputs"].values()) & set(second.json["outputs"].values())


@pytest.mark.ci
def test_reuse_concurrent_jobs_have_separate_outputs(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    emulator.hold_jobs = True
    # No other test uses these settings, so there is nothing to reuse.
    words = ("submit", "--json", "run", "--data", work / "raw", *QUICK, "--max-gap-hours", "7.5", "--seed", "21")
    # Two identical ones at the same time, and one that shares only its first two steps.
    outcomes = [pdm.end(process) for process in [pdm.start(*words), pdm.start(*words)]]
    outcomes.append(pdm(*words[:-1], "22"))
    assert [outcome.code for outcome in outcomes] == [0, 0, 0], [outcome.stderr for outcome in outcomes]
    jobs = {outcome.json["name"]: outcome.json["outputs"] for outcome in outcomes}
    assert len({place for places in jobs.values() for place in places.values()}) == 9
    emulator.hold_jobs = False
    for number, job in enumerate(jobs):
        assert emulator.wait(job, timeout=300).status == "Completed", emulator.jobs[job].log
        assert runs_of(emulator, job) == [1, 1, 1]
        fetched = pdm("fetch-results", job, "--out", tmp_path / str(number))
        assert fetched.code == 0, fetched.stderr
    again = pdm(*words)
    assert emulator.wait(again.json["name"]).status == "Completed"
    assert runs_of(emulator, again.json["name"]) == [0, 0, 0], "the running steps have finished, so they are reused"


@pytest.mark.ci
def test_reuse_claim_of_an_ended_job_is_free(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    emulator.hold_jobs = True
    words = ("run", "--data", work / "raw", *QUICK, "--seed", "31")
    first = pdm("submit", "--json", *words).json
    busy = pdm("submit", "--json", *words)
    assert f"{first['name']} with the same content is running" in busy.stderr
    for job in (first["name"], busy.json["name"]):
        emulator.jobs.find(job).cancel()
        emulator.wait(job)
    forced = pdm("submit", "--force-rerun", "--json", *words).json
    assert not set(forced["outputs"].values()) & set(first["outputs"].values())
    assert pdm("submit", "--json", *words).json["outputs"] == first["outputs"]


@pytest.mark.ci
def test_reuse_claim_of_a_job_being_uploaded_holds(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    emulator.hold_jobs = True
    words = ("submit", "--json", "run", "--data", work / "raw", *QUICK, "--seed", "32")
    first = pdm(*words).json
    container = container_of(emulator)
    claims = list(container.list_blob_names(name_starts_with="pdm/claims/"))
    for name in claims:
        container.upload_blob(name, b"still-uploading", overwrite=True)
    second = pdm(*words)
    # Other tests submit the same content.
    for name in claims:
        container.delete_blob(name)
    assert "still-uploading with the same content is running" in second.stderr
    assert not set(first["outputs"].values()) & set(second.json["outputs"].values())


@pytest.mark.ci
def test_reuse_failed_claim_gives_own_outputs(pdm: Pdm, emulator: Emulator, work: Path) -> None:
    emulator.hold_jobs = True
    emulator.faults.add(method="PUT", path="/pdm/claims/", status=403)
    outcome = pdm("submit", "--json", "run", "--data", work / "raw", *QUICK, "--seed", "33")
    assert outcome.code == 0, outcome.stderr
    assert "reusing no steps, with separate output paths: claim pdm/claims/" in outcome.stderr
    assert all(outcome.json["name"] in place for place in outcome.json["outputs"].values())
