"""What pipelines take over from one another, and what they must not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.azureml.emulator import Emulator
from tests.azureml.job_builders import STORE, container_of
from tests.azureml.processes import Pdm
from tests.azureml.workspace import system_data

QUICK = ("--jobs", "1", "--fast", "--trees", "20")
OUTPUTS = ("prepared", "anomalies", "model")


@pytest.fixture
def pdm(emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> Iterator[Pdm]:
    yield Pdm(emulator, azure_env | {"PDM_CLI_POLL_SECONDS": "0.5"}, tmp_path)
    # What is still held would run beside the next test.
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
    """Make a path a data asset, and return how it is named."""
    address = f"azureml:/{emulator.workspace.path}/datastores/{STORE}/paths/{path}/"
    properties = {"dataUri": address, "dataType": "uri_folder", "isAnonymous": False, "tags": {}, "properties": {}}
    resource = emulator.workspace.resource("data", f"{name}/versions/1", properties)
    emulator.assets.versions["data"][name] = {"1": resource | {"systemData": system_data(0)}}
    return f"azureml:{name}:1"


def drop_errors(emulator: Emulator, path: str) -> None:
    """Take 50 rows from the errors in the datastore."""
    blob = container_of(emulator).get_blob_client(f"{path}/errors.parquet")
    errors = pd.read_parquet(io.BytesIO(blob.download_blob().readall()))
    blob.upload_blob(errors.iloc[:-50].to_parquet(), overwrite=True)


def runs_of(emulator: Emulator, job: str) -> list[int]:
    """Return how often each step of a pipeline was really run."""
    return [step.runs for step in emulator.jobs.find(job).children]


def test_changed_data_behind_an_address_is_computed_anew(pdm: Pdm, emulator: Emulator, raw: str) -> None:
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


@pytest.mark.parametrize("kind", ["address", "asset"])
def test_a_name_is_not_taken_for_sent_when_the_data_behind_it_has_changed(
    kind: str, pdm: Pdm, emulator: Emulator, raw: str
) -> None:
    emulator.hold_jobs = True
    source = address_of(raw) if kind == "address" else register(emulator, "plant", raw)
    words = ("submit", "--name", f"nightly-{kind}", "preprocess", "--data", source)
    first, again = pdm(*words), pdm(*words)
    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert "nothing is sent" in again.stderr
    drop_errors(emulator, raw)
    changed = pdm(*words)
    assert changed.code == 2, changed.stderr
    assert "made of other data, settings or code" in changed.error


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("azureml:/{group}/workspaces/other/datastores/{store}/paths/{raw}/", "workspace other"),
        ("azureml://datastores/{store}/paths/{raw}/none/", "no files"),
        ("azureml://datastores/elsewhere/paths/{raw}/", "datastore elsewhere"),
        ("azureml://jobs/a/outputs/b", "not the address of a path"),
    ],
)
def test_data_that_cannot_be_looked_at_is_taken_for_changed(
    source: str, reason: str, pdm: Pdm, emulator: Emulator, raw: str
) -> None:
    emulator.hold_jobs = True
    address = source.format(group=emulator.workspace.group_path, store=STORE, raw=raw)
    words = ("submit", "--json", "run", "--data", address, *QUICK)
    first, second = pdm(*words), pdm(*words)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    (warning,) = [line for line in second.stderr.splitlines() if line.startswith("warning: ")]
    assert "taken for changed" in warning
    assert reason in warning
    assert not set(first.json["outputs"].values()) & set(second.json["outputs"].values())
