from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.azure.jobs import JobState, StepState
from pdm_cli.azure.wait import Clock, LogTail, OnLine, Source, WaitOptions, clean_line, last_error, wait
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import AuthError, JobCancelled, JobFailed, JobNotFinished, PdmError, RemoteError, TryAgain

RUNNING = JobState("job-1", "Running")
DONE = replace(RUNNING, status="Completed")
FAILED = replace(RUNNING, status="Failed")


@dataclass
class Azure:
    """Gives its answers in order, and repeats the last one; errors are raised."""

    answers: Iterable[JobState | BaseException]
    log: bytes = b""
    log_error: PdmError | None = None
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rest: Iterator[JobState | BaseException] = iter(self.answers)
        self._last: JobState | BaseException = RUNNING

    def read_state(self, name: str) -> JobState:
        assert name == "job-1"
        self._last = next(self._rest, self._last)
        if isinstance(self._last, BaseException):
            raise self._last
        return self._last

    def read_log(self, run: str, offset: int) -> bytes:
        assert run in ("job-1", "run-2")
        self.reads.append(run)
        if self.log_error:
            raise self.log_error
        return self.log[offset:]

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def wait(self, *, timeout: float | None = None, pause: float = 15.0, on_line: OnLine | None = None) -> JobState:
        clock = Clock(lambda: self.now, self.sleep)
        source = Source(self.read_state, self.read_log)
        options = WaitOptions(timeout, poll_seconds=pause, on_line=on_line, clock=clock)
        return wait(source, "job-1", Screen(), options)


Printed = Callable[[], list[str]]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return lambda: capsys.readouterr().err.splitlines()


def test_wait_completed_returns_the_state(printed: Printed) -> None:
    azure = Azure([RUNNING, RUNNING, DONE], log=b"train: trained\nwrote it")
    assert azure.wait() == DONE
    assert printed() == ["job-1: Running", "| train: trained", "job-1: Completed", "| wrote it"]


def test_wait_pauses_grow_to_the_poll_interval() -> None:
    azure = Azure([RUNNING] * 10 + [DONE])
    azure.wait(pause=5.0)
    assert azure.pauses == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_wait_failed_reports_the_error_in_the_log() -> None:
    with pytest.raises(JobFailed) as caught:
        Azure([RUNNING, FAILED], log=b"error: telemetry.parquet: no rows\nhint: give some\n").wait()
    assert caught.value.message == "job job-1 failed: telemetry.parquet: no rows"
    assert caught.value.hint == "give some"
    assert caught.value.exit_code == 7


def test_wait_failed_without_error_points_to_the_log() -> None:
    with pytest.raises(JobFailed) as caught:
        Azure([FAILED], log=b"Killed\n").wait()
    assert (caught.value.message, caught.value.hint) == ("job job-1 failed", "pdm jobs logs job-1")


def test_wait_failed_pipeline_names_the_step(printed: Printed) -> None:
    steps = (StepState("preprocess", "run-1", "Completed", is_reused=True), StepState("train", "run-2", "Failed"))
    with pytest.raises(JobFailed) as caught:
        Azure([replace(FAILED, steps=steps)], log=b"error: too short\n").wait()
    assert caught.value.message == "job job-1 failed: train: too short"
    assert printed() == [
        "preprocess: unchanged, reused from an earlier job",
        "train: Failed",
        "job-1: Failed",
        "train | error: too short",
    ]


def test_wait_step_log_is_read_while_it_runs() -> None:
    looks = [
        replace(RUNNING, steps=(StepState("train", "run-2", status),))
        for status in ("NotStarted", "Queued", "Running", "Finalizing", "Completed", "Completed")
    ]
    azure = Azure([*looks, replace(DONE, steps=looks[-1].steps)], log=b"one\ntwo")
    lines: list[tuple[str, str]] = []
    azure.wait(on_line=lambda step, line: lines.append((step, line)))
    assert azure.reads == ["run-2"] * 3
    assert lines == [("train", "one"), ("train", "two")]


def test_wait_single_command_lines_have_no_step(printed: Printed) -> None:
    lines: list[tuple[str, str]] = []
    Azure([DONE], log=b"one\n").wait(on_line=lambda step, line: lines.append((step, line)))
    assert lines == [("", "one")]
    assert printed() == ["job-1: Completed"]


def test_wait_not_responding_fails() -> None:
    with pytest.raises(JobFailed, match="job job-1 ended as NotResponding"):
        Azure([replace(RUNNING, status="NotResponding")]).wait()


def test_wait_cancelled_raises_its_own_error() -> None:
    with pytest.raises(JobCancelled) as caught:
        Azure([replace(RUNNING, status="Canceled")]).wait()
    assert caught.value.exit_code == 8


def test_wait_timeout_raises_not_finished() -> None:
    azure = Azure([RUNNING])
    with pytest.raises(JobNotFinished) as caught:
        azure.wait(timeout=20.0)
    assert azure.now == 20.0
    assert caught.value.exit_code == 9
    assert "--wait resumes waiting" in str(caught.value.hint)


def test_wait_zero_timeout_polls_once() -> None:
    azure = Azure([DONE])
    assert azure.wait(timeout=0.0) == DONE
    assert azure.pauses == []


def test_wait_temporary_errors_warn_once(printed: Printed) -> None:
    azure = Azure([RUNNING, TryAgain("no answer"), TryAgain("no answer"), AuthError("expired"), RUNNING, DONE])
    azure.wait()
    assert printed() == [
        "job-1: Running",
        "warning: no answer; job still running; still waiting",
        "job-1: Completed",
    ]


def test_wait_retry_after_is_honoured_within_the_timeout() -> None:
    busy = TryAgain("too many requests", retry_after_seconds=40.0)
    azure = Azure([RUNNING, busy, RUNNING, DONE])
    assert azure.wait() == DONE
    assert azure.pauses == [1.0, 40.0, 2.25], "only the pause after the failed poll"
    azure = Azure([busy])
    with pytest.raises(JobNotFinished):
        azure.wait(timeout=3.0)
    assert azure.now == 3.0


def test_wait_requests_get_the_remaining_time() -> None:
    given: list[float] = []
    azure = Azure([RUNNING])
    source = Source(azure.read_state, azure.read_log, lambda seconds: nullcontext(given.append(seconds)))
    clock = Clock(lambda: azure.now, azure.sleep)
    with pytest.raises(JobNotFinished):
        wait(source, "job-1", Screen(), WaitOptions(timeout=2.0, clock=clock))
    assert given == [2.0, 2.0, 1.0, 1.0, 0.0, 0.0], "for the status and the log"


def test_wait_fifteen_minutes_of_errors_raise() -> None:
    azure = Azure([TryAgain("no answer")])
    with pytest.raises(TryAgain):
        azure.wait()
    assert 900 <= azure.now < 920


def test_wait_repeated_auth_errors_raise() -> None:
    azure = Azure([RUNNING, AuthError("the secret has expired")])
    with pytest.raises(AuthError):
        azure.wait()
    assert azure.now < 10


def test_wait_permanent_error_raises_at_once() -> None:
    azure = Azure([RemoteError("job job-1: not found")])
    with pytest.raises(RemoteError):
        azure.wait()
    assert azure.pauses == []


def test_wait_unreadable_log_is_ignored(printed: Printed) -> None:
    assert Azure([RUNNING, DONE], log_error=TryAgain("no log")).wait() == DONE
    assert printed() == ["job-1: Running", "job-1: Completed"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(143)])
def test_wait_interrupted_says_how_to_resume(interrupt: BaseException, printed: Printed) -> None:
    with pytest.raises(type(interrupt)):
        Azure([RUNNING, interrupt]).wait()
    assert printed()[-1].startswith(
        "warning: stopped waiting; job-1 continues: pdm fetch-results job-1 --out FOLDER --wait"
    )


@pytest.mark.parametrize("status", ["Failed", "Canceled", "NotResponding", "Running"])
def test_wait_errors_carry_the_job_name(status: str) -> None:
    with pytest.raises(PdmError) as caught:
        Azure([replace(RUNNING, status=status)], log=b"error: x\n").wait(timeout=0.0)
    assert caught.value.details == {"job": "job-1"}


_TEXT = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))


@given(
    lines=st.lists(st.text(_TEXT, max_size=12), max_size=8),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_log_tail_chunks_give_the_same_lines(lines: list[str], cuts: list[int]) -> None:
    whole = "".join(line + "\n" for line in lines).encode()
    ends = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    tail, found = LogTail(), []
    for begin, end in zip([0, *ends], ends, strict=False):
        assert tail.offset == begin
        found += tail.feed(whole[begin:end])
    found += tail.feed(b"", is_last=True)
    assert found == [line.rstrip() for line in lines]


def test_log_tail_last_line_may_lack_a_newline() -> None:
    tail = LogTail()
    assert tail.feed("Grü".encode()[:-1]) == []
    assert tail.feed("Grü".encode()[-1:] + b"ezi") == []
    assert tail.feed(b"", is_last=True) == ["Grüezi"]


def test_log_tail_invalid_utf8_is_replaced() -> None:
    assert LogTail().feed(b"a\xff\n") == ["a�"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31merror\x1b[0m: x", "error: x"),
        ("10 %\r50 %\rdone", "done"),
        ("done\r", "done"),
        ("\x1b]0;title\x07text", "text"),
        ("bell\x07", "bell"),
    ],
)
def test_clean_line_terminal_sequences_are_removed(line: str, shown: str) -> None:
    assert clean_line(line) == shown


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", None),
        ("all is well\n", None),
        ("error: a\n", ("a", None)),
        ("error: a\nhint: b\n", ("a", "b")),
        ("error: a\nhint: b\nerror: c\nbye\n", ("c", None)),
        ("| error: a\n", None),
        ("\x1b[31merror: a\x1b[0m\r\nhint: b", ("a", "b")),
    ],
)
def test_last_error_returns_the_last_one_with_its_hint(text: str, error: tuple[str, str | None] | None) -> None:
    assert last_error(text) == error
