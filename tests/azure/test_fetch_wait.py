"""Waiting for a submitted job, and everything that ends it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.azure.emulator import Emulator
from tests.azure.processes import Pdm, until
from tests.azure.submissions import made, submit_held


@pytest.fixture
def pdm(emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> Pdm:
    return Pdm(emulator, azure_env | {"PDM_CLI_POLL_SECONDS": "0.5"}, tmp_path)


@pytest.mark.ci
def test_fetch_wait_cancelled_job_exits_8(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    job = submit_held(pdm, emulator, work)
    waiting = pdm.start("fetch-results", job, "--out", tmp_path / "out", "--wait")
    cancelled = pdm("jobs", "cancel", job, "--json")
    assert cancelled.code == 0, cancelled.stderr
    assert cancelled.json["name"] == job
    outcome = pdm.end(waiting)
    assert outcome.code == 8, outcome.stderr
    assert outcome.error == f"error: job {job} was cancelled"
    assert "Canceled already" in pdm("jobs", "cancel", job).stdout


@pytest.mark.ci
def test_fetch_wait_timeout_exits_9_and_job_continues(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    emulator.hold_jobs = True
    out = tmp_path / "out"
    outcome = pdm("submit", "--wait", "--timeout", 1, "preprocess", "--data", work / "raw", "--out", out)
    assert outcome.code == 9, outcome.stderr
    job = outcome.stdout.strip()
    assert f"pdm fetch-results {job} --out {out} --wait" in outcome.hint
    assert pdm("fetch-results", job, "--out", out).code == 9
    emulator.hold_jobs = False
    assert pdm("fetch-results", job, "--out", out, "--wait").code == 0


@pytest.mark.ci
def test_fetch_wait_ctrl_c_leaves_the_job_running(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    job = submit_held(pdm, emulator, work)
    waiting = pdm.start("fetch-results", job, "--out", tmp_path / "out", "--wait")
    until(lambda: any(f"/jobs/{job}" in each.path and each.status == 200 for each in list(emulator.requests)[-3:]))
    outcome = pdm.interrupt(waiting)
    assert outcome.code == 130, outcome.stderr
    assert f"stopped waiting; {job} continues" in outcome.stderr
    emulator.hold_jobs = False
    assert emulator.wait(job).status == "Completed"


@pytest.mark.ci
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_submit_wait_signal_prints_the_job_in_json(
    number: signal.Signals, code: int, pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path
) -> None:
    emulator.hold_jobs = True
    words = ("submit", "--json", "--wait", "--job-file", tmp_path / "job.json", "preprocess", "--data", work / "raw")
    waiting = pdm.start(*words)
    until(lambda: (tmp_path / "job.json").exists() and (tmp_path / "job.json").read_text().endswith("}\n"))
    job = json.loads((tmp_path / "job.json").read_text())["name"]
    until(lambda: any(f"/jobs/{job}" in each.path and each.method == "GET" for each in list(emulator.requests)))
    waiting.send_signal(number)
    outcome = pdm.end(waiting)
    assert outcome.code == code, outcome.stderr
    error = {key: outcome.json[key] for key in ("schema", "code", "exit", "details")}
    assert error == {"schema": "pdm.error/1", "code": "interrupted", "exit": code, "details": {"job": job}}


@pytest.mark.ci
def test_submit_wait_errors_name_the_job_in_json(pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path) -> None:
    emulator.hold_jobs = True
    late = pdm("submit", "--json", "--wait", "--timeout", 0, "preprocess", "--data", work / "raw")
    assert (late.code, late.json["exit"]) == (9, 9)
    assert late.json["details"]["job"] in emulator.jobs
    emulator.hold_jobs = False
    emulator.faults.add(method="GET", path="/std_log", status=403, times=9)
    emulator.faults.add(method="GET", path="/quality.json", status=403, times=9)
    out = tmp_path / "out"
    refused = pdm("submit", "--json", "--wait", "preprocess", "--data", work / "raw", "--out", out)
    assert refused.code == 6, refused.stderr
    assert refused.json["details"]["job"] in emulator.jobs


@pytest.mark.ci
def test_fetch_wait_temporary_errors_and_expired_token_are_survived(
    pdm: Pdm, emulator: Emulator, work: Path, tmp_path: Path
) -> None:
    emulator.tokens.lifetime_seconds = 3
    job = submit_held(pdm, emulator, work)
    looks = f"/jobs/{job}"
    for fault in (
        {"status": 429, "headers": {"Retry-After": "1"}, "times": 2},
        {"status": 503, "times": 2},
        {"drop": "before", "times": 2},
        {"drop": "middle"},
    ):
        emulator.faults.add(method="GET", path=looks, **fault)  # type: ignore[arg-type]
    issued = len(emulator.secrets)
    waiting = pdm.start("fetch-results", job, "--out", tmp_path / "out", "--wait")
    until(lambda: sum(looks in each.path and each.status == 200 for each in list(emulator.requests)) > 6)
    emulator.hold_jobs = False
    outcome = pdm.end(waiting)
    assert outcome.code == 0, outcome.stderr
    assert len(emulator.secrets) >= issued + 2, "the token has been renewed"
    assert made(tmp_path / "out") == made(work / "prepared")
