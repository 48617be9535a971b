"""``pdm fetch-results`` as a separate process, on jobs that have ended."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pdm_cli.cli.app import app
from pdm_cli.io import manifest
from tests.azure.emulator import ROOT, Emulator
from tests.azure.job_builders import (
    container_of,
    place_of,
    put_blob_by_any_name,
    put_job,
    send_command,
    send_pipeline,
)
from tests.azure.processes import Outcome, Pdm, until

Files = dict[str, bytes]
# Runs pdm and prints its peak memory in kB on the last line of stderr. getrusage would report that of the tests if it
# is higher: the kernel keeps the peak of a process when it becomes another program.
MEASURED = """
import atexit, pathlib, re, sys
from pdm_cli.__main__ import main
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1], file=sys.stderr))
main()
"""
MEGABYTE = 10**6


Fetch = Callable[..., Outcome]


@pytest.fixture
def pdm(emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> Pdm:
    return Pdm(emulator, azure_env, tmp_path)


@pytest.fixture
def fetch(pdm: Pdm) -> Fetch:
    return partial(pdm, "fetch-results")


@pytest.fixture
def result(tmp_path: Path) -> Files:
    return make_result(tmp_path / "made", {"a.txt": b"one", "parts/b.txt": b"two" * 1000, "c.txt": b"three"})


def make_result(folder: Path, files: Files) -> Files:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest.write(folder, manifest.Provenance("demo", {}, {}, {}, "0"))
    return content_of(folder)


def content_of(folder: Path) -> Files:
    """All files except logs and leftovers of killed runs."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(("logs/", ".pdm-partial"))}


def fetched(emulator: Emulator, job: str) -> list[str]:
    """Return the files of the job's outputs that were downloaded since the last call."""
    asked = [each.path.partition(f"/{job}/")[2] for each in list(emulator.requests) if each.method == "GET"]
    emulator.requests.clear()
    names = [name.partition("/")[2] for name in asked if name.partition("/")[2]]
    return sorted(name for name in names if name != "manifest.json")


@pytest.mark.ci
@pytest.mark.parametrize("folder", ["prepared", "anomalies", "model", "predictions"])
def test_fetch_results_outputs_are_identical(
    folder: str, emulator: Emulator, fetch: Fetch, work: Path, tmp_path: Path
) -> None:
    job = put_job(emulator, {"out": content_of(work / folder)})
    outcome = fetch(job, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert content_of(tmp_path / "out") == content_of(work / folder)
    assert outcome.json["schema"] == "pdm.fetch/1"
    made = json.loads((work / folder / "manifest.json").read_text())
    assert outcome.json["command"] == made["command"]
    assert outcome.json["outputs"]["out"]["fetched"] == len(made["outputs"])
    assert (tmp_path / f"out/logs/{job}.txt").read_text() == "train: done\n"


@pytest.mark.ci
@pytest.mark.parametrize(("folder", "command"), [("model", "run"), ("predictions", "predict")])
def test_fetch_results_prints_what_the_command_prints(
    folder: str, command: str, emulator: Emulator, fetch: Fetch, work: Path, tmp_path: Path
) -> None:
    job = put_job(emulator, {"out": content_of(work / folder)})
    outcome = fetch(job, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    shown = (work / f"{command}.txt").read_text().splitlines()
    assert outcome.stdout.splitlines()[:-1] == shown[:-1]
    assert outcome.stdout.splitlines()[-1] == str(tmp_path / "out")


@pytest.mark.ci
def test_fetch_results_folder_works_with_later_commands(
    emulator: Emulator, azure_env: dict[str, str], fetch: Fetch, work: Path, tmp_path: Path
) -> None:
    line = f"PYTHONPATH={ROOT} python -m pdm_cli preprocess --data ${{{{inputs.made}}}} --out ${{{{outputs.out}}}}"
    job = send_command(emulator, azure_env, work / "raw", line)
    assert emulator.wait(job).status == "Completed", emulator.jobs[job].log
    out = tmp_path / "prepared"
    assert fetch(job, "--out", out).code == 0
    here, there = (json.loads((folder / "manifest.json").read_text()) for folder in (work / "prepared", out))
    # The report names the command that made it.
    assert all(made["outputs"].pop("report.html") for made in (here, there))
    assert there["outputs"] == here["outputs"]
    assert "preprocess: wrote" in (out / f"logs/{job}.txt").read_text()
    words = ("preprocess", "--data", str(work / "raw"), "--out", str(out), "--overwrite")
    assert CliRunner().invoke(app, words).exit_code == 0


@pytest.mark.ci
def test_fetch_results_pipeline_gets_a_folder_per_step(
    emulator: Emulator, azure_env: dict[str, str], fetch: Fetch, work: Path, tmp_path: Path
) -> None:
    steps = {
        step: (folder, f"echo {step} at work; cp -r ${{{{inputs.made}}}}/{folder}/. ${{{{outputs.out}}}}")
        for step, folder in (("preprocess", "prepared"), ("detect_anomalies", "anomalies"), ("train", "model"))
    }
    job = send_pipeline(emulator, azure_env, work, steps)
    assert emulator.wait(job).status == "Completed"
    outcome = fetch(job, "--out", tmp_path / "model only", "--output", "model", "--json")
    assert outcome.code == 0, outcome.stderr
    assert content_of(tmp_path / "model only") == {f"model/{n}": c for n, c in content_of(work / "model").items()}
    assert fetch(job, "--out", work / "prepared").code == 2, "not next to the files of a single command"
    outcome = fetch(job, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    for step, (folder, _) in steps.items():
        assert content_of(tmp_path / "out" / folder) == content_of(work / folder)
        assert (tmp_path / f"out/logs/{step}.txt").read_text() == f"{step} at work\n"
    assert outcome.stdout.splitlines()[:-1] == (work / "run.txt").read_text().splitlines()[:-1]
    outcome = fetch(job, "--out", tmp_path / "out", "--output", "modle")
    assert (outcome.code, outcome.stderr) == (
        6,
        f"error: job {job}: no output modle; it has: anomalies, model, prepared\n",
    )


def test_fetch_results_again_fetches_only_differences(
    emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    job, out = put_job(emulator, {"out": result}), tmp_path / "out"
    assert fetch(job, "--out", out).code == 0
    assert fetched(emulator, job) == ["a.txt", "c.txt", "parts/b.txt"]
    again = fetch(job, "--out", out)
    assert "complete, nothing to fetch" in again.stderr
    # Neither a file nor a log.
    assert fetched(emulator, job) == []
    (out / "a.txt").unlink()
    (out / "c.txt").write_bytes(b"THREE")
    again = fetch(job, "--out", out)
    assert again.code == 0
    assert f"warning: {out / 'c.txt'}: changed since it was fetched; fetching again" in again.stderr
    assert fetched(emulator, job) == ["a.txt", "c.txt"]
    assert content_of(out) == result


def test_fetch_results_killed_resumes(
    emulator: Emulator, pdm: Pdm, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    job, out = put_job(emulator, {"out": result}), tmp_path / "out"
    emulator.faults.add(method="GET", path="parts/b.txt", delay=20)
    process = pdm.start("fetch-results", job, "--out", out)
    sizes = {"a.txt": len(result["a.txt"]), "c.txt": len(result["c.txt"])}
    until(lambda: {path.name: path.stat().st_size for path in out.glob(".pdm-partial-kept-*/*.txt")} == sizes)
    process.kill()
    assert pdm.end(process).code == -signal.SIGKILL
    assert content_of(out) == {}
    emulator.requests.clear()
    assert fetch(job, "--out", out).code == 0
    # The request of the killed call may be answered, and listed, only now.
    assert set(fetched(emulator, job)) == {"parts/b.txt"}
    assert content_of(out) == result
    assert not list(out.glob(".pdm-partial*"))


def test_fetch_results_changed_blob_replaces_nothing(
    emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    before = make_result(out, {"a.txt": b"older"})
    job = put_job(emulator, {"out": {**result, "parts/b.txt": b"TWO" * 1000}})
    outcome = fetch(job, "--out", out, "--overwrite", "--json")
    assert outcome.code == 4
    assert outcome.json["message"].startswith(f"output out of {job}: parts/b.txt: sha256 ")
    assert json.loads(result["manifest.json"])["outputs"]["parts/b.txt"]["sha256"][:12] in outcome.json["message"]
    assert outcome.json["message"].endswith("; available: a.txt, c.txt, manifest.json, parts/b.txt")
    assert content_of(out) == before
    container_of(emulator).upload_blob(place_of(job, "out") + "parts/b.txt", result["parts/b.txt"], overwrite=True)
    assert fetch(job, "--out", out, "--overwrite").code == 0
    assert content_of(out) == result


@pytest.mark.ci
def test_fetch_results_blob_changed_meanwhile_fails(
    emulator: Emulator, pdm: Pdm, result: Files, tmp_path: Path
) -> None:
    job = put_job(emulator, {"out": result})
    emulator.faults.add(method="GET", path="out/a.txt", delay=3)
    process = pdm.start("fetch-results", job, "--out", tmp_path / "out")
    until(lambda: any("/out/manifest.json" in each.path for each in list(emulator.requests)))
    container_of(emulator).upload_blob(place_of(job, "out") + "a.txt", b"ONE", overwrite=True)
    outcome = pdm.end(process)
    assert outcome.code == 4
    assert outcome.error == f"error: blob {place_of(job, 'out')}a.txt: was changed while it was fetched"
    assert content_of(tmp_path / "out") == {}


@pytest.mark.ci
@pytest.mark.parametrize("name", ["c:evil.txt", "a/../../../../up.txt", "/etc/passwd", "aux"])
def test_fetch_results_hostile_name_writes_nothing(
    name: str, emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    job = put_job(emulator, {"out": result})
    put_blob_by_any_name(emulator, place_of(job, "out") + name, b"evil")
    outcome = fetch(job, "--out", tmp_path / "out")
    assert outcome.code == 4
    assert "not a valid file name" in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.ci
def test_fetch_results_temporary_errors_are_retried(
    emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    job = put_job(emulator, {"out": result})
    emulator.faults.add(method="GET", path="parts/b.txt", drop="middle", times=2)
    emulator.faults.add(method="GET", path="out/a.txt", drop="before")
    emulator.faults.add(method="GET", path="out/c.txt", status=503)
    emulator.faults.add(method="GET", path=f"jobs/{job}", status=429, headers={"Retry-After": "1"})
    assert fetch(job, "--out", tmp_path / "out").code == 0
    assert content_of(tmp_path / "out") == result


@pytest.mark.ci
@pytest.mark.parametrize("credentials", ["Sas", "None"])
def test_fetch_results_sas_and_identity_stores_are_read(
    credentials: Any, emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    job = put_job(emulator, {"out": result})
    emulator.datastores.credentials = credentials
    emulator.faults.add(method="GET", path="out/a.txt", drop="before")
    assert fetch(job, "--out", tmp_path / "out", "--debug").code == 0
    assert content_of(tmp_path / "out") == result


@pytest.mark.ci
def test_fetch_results_large_output_needs_little_memory(emulator: Emulator, fetch: Fetch, tmp_path: Path) -> None:
    made = tmp_path / "made"
    files = {f"{number}.bin": bytes(50 * MEGABYTE) for number in range(2)} | {"big.bin": bytes(100 * MEGABYTE)}
    job = put_job(emulator, {"out": make_result(made, files)})
    del files
    outcome = fetch(job, "--out", tmp_path / "out", program=(sys.executable, "-c", MEASURED))
    assert outcome.code == 0, outcome.stderr
    assert manifest.is_whole(tmp_path / "out", manifest.read(tmp_path / "out") or {})
    assert 0 < int(outcome.stderr.splitlines()[-1]) * 1024 < 200 * MEGABYTE


@pytest.mark.ci
@pytest.mark.parametrize(
    ("outputs", "code", "message"),
    [
        ({}, 6, "no outputs; it has: none"),
        ({"out": {}}, 6, "output out of JOB: no files in pdm/JOB/out of datastore workspaceblobstore"),
        ({"out": {"a.txt": b"one", "b": b""}}, 4, "no manifest.json, so it is incomplete; available: a.txt, b"),
        ({"out": {"manifest.json": b"{"}}, 4, "manifest.json: corrupt"),
    ],
)
def test_fetch_results_incomplete_output_fails(
    outputs: dict[str, Files], code: int, message: str, emulator: Emulator, fetch: Fetch, tmp_path: Path
) -> None:
    job = put_job(emulator, outputs)
    outcome = fetch(job, "--out", tmp_path / "out")
    assert outcome.code == code
    assert message.replace("JOB", job) in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_fetch_results_missing_file_fails(emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path) -> None:
    del result["a.txt"]
    job = put_job(emulator, {"out": result})
    outcome = fetch(job, "--out", tmp_path / "out")
    assert outcome.code == 4
    assert f"output out of {job}: a.txt is missing; available: c.txt, manifest.json, parts/b.txt" in outcome.stderr


def test_fetch_results_unknown_job_fails(fetch: Fetch, tmp_path: Path) -> None:
    outcome = fetch("no-such-job", "--out", tmp_path / "out")
    assert outcome.code == 6
    assert "no-such-job: not found in workspace" in outcome.stderr
    assert "hint: run pdm jobs list to see the jobs" in outcome.stderr


@pytest.mark.parametrize(
    ("status", "code", "message", "hint"),
    [
        ("Running", 9, "Running, not finished", "wait for it with --wait"),
        ("Failed", 7, "failed: failures.parquet: no failure", "give later telemetry"),
        ("Canceled", 8, "was cancelled", "pdm jobs logs"),
    ],
)
def test_fetch_results_unsuccessful_job_sets_the_exit_code(
    status: str, code: int, message: str, hint: str, emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    log = b"train: features\nerror: failures.parquet: no failure\nhint: give later telemetry\n"
    job = put_job(emulator, {"out": result}, status=status, log=log)
    outcome = fetch(job, "--out", tmp_path / "out", "--json")
    assert outcome.code == code
    assert outcome.json["message"].startswith(f"job {job}")
    assert message in outcome.json["message"]
    assert hint in outcome.json["hint"]
    assert content_of(tmp_path / "out") == {}
    assert (tmp_path / f"out/logs/{job}.txt").exists() == (status != "Running")


def test_fetch_results_without_log_succeeds(emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path) -> None:
    job = put_job(emulator, {"out": result}, log=None)
    assert fetch(job, "--out", tmp_path / "out", "--json").json["logs"] == {}
    assert content_of(tmp_path / "out") == result


@pytest.mark.ci
def test_fetch_results_other_files_need_overwrite(
    emulator: Emulator, fetch: Fetch, result: Files, tmp_path: Path
) -> None:
    job, out = put_job(emulator, {"out": result}), tmp_path / "out"
    before = make_result(out, {"a.txt": b"older", "gone.txt": b"x"})
    outcome = fetch(job, "--out", out)
    assert (outcome.code, content_of(out)) == (2, before)
    assert "--overwrite" in outcome.stderr
    assert fetch(job, "--out", out, "--overwrite").code == 0
    assert content_of(out) == result
    (out / "thesis.txt").write_text("mine")
    (out / "a.txt").unlink()
    outcome = fetch(job, "--out", out, "--overwrite")
    assert outcome.code == 2
    assert "not written by pdm: thesis.txt" in outcome.stderr
    assert (out / "thesis.txt").read_text() == "mine"


@pytest.mark.ci
def test_fetch_results_wait_fetches_when_finished(
    emulator: Emulator, azure_env: dict[str, str], pdm: Pdm, fetch: Fetch, work: Path, tmp_path: Path
) -> None:
    emulator.hold_jobs = True
    line = "cp -r ${{inputs.made}}/. ${{outputs.out}}"
    job = send_command(emulator, azure_env, work / "model", line)
    outcome = fetch(job, "--out", tmp_path / "out", "--wait", "--timeout", 2)
    assert outcome.code == 9
    assert "--wait resumes waiting" in outcome.hint
    process = pdm.start("fetch-results", job, "--out", tmp_path / "out", "--wait")
    emulator.hold_jobs = False
    assert pdm.end(process).code == 0
    assert content_of(tmp_path / "out") == content_of(work / "model")


@pytest.mark.ci
def test_fetch_results_wait_failed_job_leaves_its_log(
    emulator: Emulator, azure_env: dict[str, str], fetch: Fetch, work: Path, tmp_path: Path
) -> None:
    line = "ls ${{inputs.made}} ${{outputs.out}}; echo error: no failures >&2; exit 4"
    job = send_command(emulator, azure_env, work / "raw", line)
    outcome = fetch(job, "--out", tmp_path / "out", "--wait")
    assert (outcome.code, outcome.error) == (7, f"error: job {job} failed: no failures")
    assert "error: no failures" in (tmp_path / f"out/logs/{job}.txt").read_text()
    # The log of a failed job does not get in the way.
    job = put_job(emulator, {"out": content_of(work / "prepared")})
    assert fetch(job, "--out", tmp_path / "out").code == 0


def test_fetch_results_timeout_without_wait_is_a_usage_error(fetch: Fetch, tmp_path: Path) -> None:
    outcome = fetch("job", "--out", tmp_path / "out", "--timeout", 5)
    assert (outcome.code, outcome.hint) == (2, "hint: add --wait")
