"""``pdm jobs`` as a separate process, on jobs that other processes have submitted."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.azure.emulator import Emulator
from tests.azure.job_builders import new_name, put_job, send_command, send_pipeline
from tests.azure.processes import Pdm, until

COPY = "cp -r ${{inputs.made}}/. ${{outputs.out}}"


@pytest.fixture
def pdm(emulator: Emulator, azure_env: dict[str, str], tmp_path: Path) -> Pdm:
    return Pdm(emulator, azure_env | {"PDM_CLI_POLL_SECONDS": "0.3"}, tmp_path)


@pytest.fixture
def ended(emulator: Emulator, azure_env: dict[str, str], data: Path) -> str:
    """Return a pipeline of two steps, the second of which fails."""
    steps = {
        "first": ("prepared", f"echo 'Grüezi ✓'; {COPY}"),
        "second": ("model", "echo looking; echo 'error: a.txt: no rows'; echo 'hint: give some'; exit 4"),
    }
    job = send_pipeline(emulator, azure_env, data, steps)
    emulator.wait(job)
    return job


@pytest.mark.ci
def test_jobs_show_pipeline_lists_its_steps(pdm: Pdm, ended: str) -> None:
    shown = pdm("jobs", "show", ended, "--json")
    assert shown.code == 0, shown.stderr
    assert (shown.json["schema"], shown.json["name"], shown.json["status"]) == ("pdm.job/1", ended, "Failed")
    assert {step["name"]: step["status"] for step in shown.json["steps"]} == {"first": "Completed", "second": "Failed"}
    assert not any(step["is_reused"] for step in shown.json["steps"])
    assert shown.json["created"] <= shown.json["started"] < shown.json["ended"]
    assert "exited with status code 4" in shown.json["error"]
    table = pdm("jobs", "show", ended)
    assert table.code == 0
    assert re.search(r"second\s+Failed", table.stdout)
    assert re.search(r"duration\s+0:00:\d\d\s", table.stdout)


@pytest.mark.ci
def test_jobs_logs_follow_failure_without_error_uses_the_service_reason(
    pdm: Pdm, emulator: Emulator, azure_env: dict[str, str], data: Path
) -> None:
    job = send_command(emulator, azure_env, data, "exit 3")
    emulator.wait(job)
    outcome = pdm("jobs", "logs", job, "--follow")
    assert (outcome.code, outcome.hint) == (7, f"hint: pdm jobs logs {job}")
    assert outcome.error.startswith(f"error: job {job} failed: Execution failed. User process 'bash' exited with")
    emulator.faults.add(path="/history", status=403, times=9)
    outcome = pdm("jobs", "logs", job, "--follow")
    assert (outcome.code, outcome.error) == (7, f"error: job {job} failed")


@pytest.mark.ci
def test_jobs_logs_pipeline_prints_step_by_step(pdm: Pdm, ended: str) -> None:
    whole = pdm("jobs", "logs", ended)
    assert whole.code == 0, whole.stderr
    told = "looking\nerror: a.txt: no rows\nhint: give some"
    parts = whole.stdout.split("== ")
    assert sorted(parts) == ["", "first\nGrüezi ✓\n", f"second\n{told}\n"]
    only = pdm("jobs", "logs", ended, "--step", "second", "--json")
    assert only.json == {"schema": "pdm.logs/1", "name": ended, "status": "Failed", "logs": {"second": told}}
    unknown = pdm("jobs", "logs", ended, "--step", "third")
    assert (unknown.code, unknown.hint) == (6, "hint: it has first, second")


@pytest.mark.ci
def test_jobs_logs_ascii_terminal_escapes_letters(pdm: Pdm, ended: str) -> None:
    for words in (("--step", "first"), ("--follow",)):
        outcome = pdm("jobs", "logs", ended, *words, PYTHONIOENCODING="ascii")
        assert outcome.code == (7 if words == ("--follow",) else 0), outcome.stderr
        assert "Gr\\xfcezi" in outcome.stdout


@pytest.mark.ci
def test_jobs_logs_follow_prints_to_the_end(pdm: Pdm, ended: str) -> None:
    outcome = pdm("jobs", "logs", ended, "--follow")
    assert sorted(outcome.stdout.splitlines()) == [
        "first | Grüezi ✓",
        "second | error: a.txt: no rows",
        "second | hint: give some",
        "second | looking",
    ]
    assert outcome.code == 7
    assert outcome.error == f"error: job {ended} failed: second: a.txt: no rows"
    assert outcome.hint == "hint: give some"
    only = pdm("jobs", "logs", ended, "--follow", "--step", "first")
    assert (only.code, only.stdout) == (7, "Grüezi ✓\n")
    error = pdm("jobs", "logs", ended, "--follow", "--json").json
    assert (error["schema"], error["exit"], error["hint"]) == ("pdm.error/1", 7, "give some")


@pytest.mark.ci
def test_jobs_logs_follow_prints_while_it_grows(
    pdm: Pdm, emulator: Emulator, azure_env: dict[str, str], data: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "go"
    line = f"printf 'one\\ntw'; until [ -e {flag} ]; do sleep 0.1; done; echo o; {COPY}"
    job = send_command(emulator, azure_env, data, line)
    following = pdm.start("jobs", "logs", job, "--follow")
    assert pdm.read_line(following) == "one\n"
    assert emulator.jobs.find(job).status == "Running"
    flag.touch()
    outcome = pdm.end(following)
    assert (outcome.code, outcome.stdout) == (0, "two\n"), outcome.stderr


def test_jobs_logs_empty_is_reported(pdm: Pdm, emulator: Emulator) -> None:
    job = put_job(emulator, {}, log=None)
    outcome = pdm("jobs", "logs", job)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == f"{job}: Completed, nothing printed\n"


@pytest.mark.ci
def test_jobs_list_latest_first(pdm: Pdm, emulator: Emulator) -> None:
    first, foreign, last = (put_job(emulator, {}) for _ in range(3))
    for job in (first, last):
        emulator.jobs[job].tags["pdm_command"] = "train"
    listed = pdm("jobs", "list", "--max", 2, "--json")
    assert listed.json["schema"] == "pdm.jobs/1"
    assert [(job["name"], job["command"]) for job in listed.json["jobs"]] == [(last, "train"), (first, "train")]
    everything = pdm("jobs", "list", "--all", "--max", 2, "--json").json["jobs"]
    assert [(job["name"], job["command"]) for job in everything] == [(last, "train"), (foreign, None)]
    assert re.search(rf"{last}\s+Completed\s+[-\d]{{5}} [:\d]{{5}}\s+0:00:00", pdm("jobs", "list").stdout)
    emulator.faults.add(path="/history", status=403, times=9)
    assert re.search(rf"{last}\s+Completed\s+[-\d]{{5}} [:\d]{{5}}\s*\n", pdm("jobs", "list").stdout)


@pytest.mark.ci
def test_jobs_cancel_wait_ends_the_job(pdm: Pdm, emulator: Emulator, azure_env: dict[str, str], data: Path) -> None:
    job = send_command(emulator, azure_env, data, "sleep 60")
    emulator.wait_for_status(job, "Running")
    outcome = pdm("jobs", "cancel", job, "--wait", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json == {"schema": "pdm.cancel/1", "name": job, "status": "Canceled"}
    again = pdm("jobs", "cancel", job, "--wait")
    assert (again.code, again.stdout) == (0, f"{job}: Canceled already\n")


@pytest.mark.ci
def test_jobs_cancel_finished_meanwhile_succeeds(pdm: Pdm, emulator: Emulator) -> None:
    job = put_job(emulator, {}, status="Running")
    rejection = emulator.faults.add(method="POST", path=f"/jobs/{job}/cancel", status=400, delay=2)
    ending = pdm.start("jobs", "cancel", job)
    until(lambda: rejection.times == 0)
    emulator.jobs[job].end("Completed")
    outcome = pdm.end(ending)
    assert (outcome.code, outcome.stdout) == (0, f"{job}: Completed\n"), outcome.stderr


@pytest.mark.parametrize("words", [("show",), ("logs",), ("logs", "--follow"), ("cancel",)])
def test_jobs_unknown_job_fails(words: tuple[str, ...], pdm: Pdm, emulator: Emulator) -> None:
    job = new_name()
    outcome = pdm("jobs", *words, job)
    assert outcome.code == 6
    assert outcome.error == f"error: job {job}: not found in workspace {emulator.workspace.name}"
    assert outcome.hint == "hint: run pdm jobs list to see the jobs"


@pytest.mark.ci
@pytest.mark.parametrize("words", [("show",), ("cancel",)])
def test_jobs_temporary_errors_are_retried(words: tuple[str, ...], pdm: Pdm, emulator: Emulator) -> None:
    job = put_job(emulator, {})
    emulator.faults.add(method="GET", path="/jobs", status=429, headers={"Retry-After": "1"})
    emulator.faults.add(method="GET", path="/jobs", drop="before")
    emulator.faults.add(method="GET", path="/jobs", drop="middle")
    outcome = pdm("jobs", *words, job)
    assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_jobs_logs_follow_signal_leaves_the_job_running(
    number: signal.Signals, code: int, pdm: Pdm, emulator: Emulator
) -> None:
    job = put_job(emulator, {}, status="Running", log=b"one\n")
    following = pdm.start("jobs", "logs", job, "--follow")
    assert pdm.read_line(following) == "one\n"
    following.send_signal(number)
    outcome = pdm.end(following)
    assert outcome.code == code
    assert f"warning: stopped waiting; {job} continues: pdm fetch-results {job} --out FOLDER --wait" in outcome.stderr
    assert not emulator.jobs[job].is_cancelled
    emulator.jobs[job].end("Completed")


@pytest.mark.ci
def test_jobs_logs_follow_survives_unavailable_sign_in(pdm: Pdm, emulator: Emulator) -> None:
    emulator.tokens.lifetime_seconds = 2
    job = put_job(emulator, {}, status="Running", log=b"one\n")
    following = pdm.start("jobs", "logs", job, "--follow")
    assert pdm.read_line(following) == "one\n"
    emulator.faults.add(method="POST", host="login", status=503, times=30)
    time.sleep(6)
    emulator.faults.clear()
    emulator.jobs[job].end("Completed")
    outcome = pdm.end(following)
    assert outcome.code == 0, outcome.stderr


@pytest.mark.ci
def test_jobs_logs_follow_expired_secret_fails(pdm: Pdm, emulator: Emulator) -> None:
    emulator.tokens.lifetime_seconds = 2
    job = put_job(emulator, {}, status="Running", log=b"one\n")
    following = pdm.start("jobs", "logs", job, "--follow")
    assert pdm.read_line(following) == "one\n"
    error = {"error": "invalid_client", "error_description": "AADSTS7000222: The secret has expired."}
    emulator.faults.add(
        method="POST",
        host="login",
        status=401,
        body=error,
        headers={"Content-Type": "application/json"},
        times=1000,
    )
    outcome = pdm.end(following)
    assert outcome.code == 6, outcome.stderr
    assert outcome.stderr.count("still waiting") == 1
    assert "AADSTS7000222" in outcome.error
    emulator.jobs[job].end("Completed")


@pytest.mark.ci
@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("/jobs/JOB", {"status": 429, "headers": {"Retry-After": "40"}}),
        ("/jobs/JOB", {"drop": "before", "times": 1000}),
        ("/jobs/JOB", {"delay": 40.0}),
        ("std_log.txt", {"status": 503, "times": 1000}),
        ("std_log.txt", {"delay": 40.0}),
    ],
)
def test_fetch_results_timeout_holds_whatever_azure_does(
    place: str, fault: dict[str, Any], pdm: Pdm, emulator: Emulator, tmp_path: Path
) -> None:
    job = put_job(emulator, {}, status="Running", log=b"one\n")
    trouble = emulator.faults.add(path=place.replace("JOB", job), **fault)
    waiting = pdm.start("fetch-results", job, "--out", tmp_path / "out", "--wait", "--timeout", 3)
    still = trouble.times
    until(lambda: trouble.times < still)
    start = time.monotonic()
    outcome = pdm.end(waiting)
    # A running request gets at least five seconds; the rest is for a busy machine.
    assert time.monotonic() - start < 3 + 5 + 4
    assert outcome.code == 9, outcome.stderr
    assert f"pdm fetch-results {job}" in outcome.hint
