"""Wait for a job: poll its status and stream its log."""

from __future__ import annotations

import codecs
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from shlex import quote
from typing import TYPE_CHECKING

from pdm_cli.azure.client import PATIENCE_SECONDS, requested_pause
from pdm_cli.azure.jobs import CANCELLED, COMPLETED, FAILED, JobState, StepState, read_log, read_state
from pdm_cli.errors import AuthError, JobCancelled, JobFailed, JobNotFinished, PdmError, TryAgain
from pdm_cli.progress import Progress
from pdm_cli.text import plain

if TYPE_CHECKING:
    from pdm_cli.azure.client import Session

_FIRST_PAUSE = 1.0
_GROWTH = 1.5
# The credential renews an expired token by itself, but an expired secret fails for good.
_MAX_AUTH_ERRORS = 3
# Lines of a log that are kept to find its last error.
_KEPT_LINES = 20
_ERROR = "error: "
_HINT = "hint: "

# Takes a step of a pipeline (empty for a single command), and a line that it printed.
OnLine = Callable[[str, str], object]


@dataclass(frozen=True)
class Source:
    """Access to a job: its status, and the log of a run from a byte on."""

    read_state: Callable[[str], JobState]
    read_log: Callable[[str, int], bytes]
    # Takes seconds; in this context each request is sent once, with that timeout.
    within: Callable[[float], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Clock:
    """Time and sleep, in seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True)
class WaitOptions:
    """How to wait for a job."""

    # Seconds; None: without limit.
    timeout: float | None = None
    # Longest time between two polls.
    poll_seconds: float = 15.0
    # Receives the lines of the log; None: the screen does.
    on_line: OnLine | None = None
    # The folder for the results, for the hint how to resume.
    out: str | None = None
    clock: Clock = Clock()


def wait_for(session: Session, name: str, screen: Progress, options: WaitOptions | None = None) -> JobState:
    """Wait until a job has completed, and stream its log.

    Parameters
    ----------
    session : Session
        The workspace.
    name : str
        The job.
    screen : Progress
        Receives status changes, the log and warnings.
    options : WaitOptions
        How to wait; the poll interval is that of the settings.

    Returns
    -------
    JobState
        Completed.

    Raises
    ------
    JobFailed, JobCancelled
        If it ended so; a failure with the error in its log.
    JobNotFinished
        After the timeout.
    TryAgain
        If Azure was unreachable for 15 minutes.
    """
    source = Source(partial(read_state, session), partial(read_log, session), session.limits.within)
    return wait(source, name, screen, replace(options or WaitOptions(), poll_seconds=session.azure.poll_seconds))


def wait(source: Source, name: str, screen: Progress, options: WaitOptions) -> JobState:
    """Wait as :func:`wait_for` does, with any access to the job."""
    watch = _Watch(source, name, screen, options)
    with _detaching(name, screen, watch.resume):
        state = watch.follow()
    if state.status == COMPLETED:
        return state
    raise describe_end(state, watch.log_ends)


def describe_end(state: JobState, log_ends: dict[str, str]) -> PdmError:
    """Return the error for a finished job that did not complete; ``log_ends`` maps steps to the ends of their logs."""
    hint = f"pdm jobs logs {state.name}"
    if state.status == CANCELLED:
        return JobCancelled(f"job {state.name} was cancelled", hint=hint, job=state.name)
    if state.status != FAILED:
        return JobFailed(f"job {state.name} ended as {state.status}", hint=hint, job=state.name)
    for step in [part.name for part in state.parts() if part.has_failed]:
        error = last_error(log_ends.get(step, ""))
        if error is not None:
            place = f"{step}: " if state.steps else ""
            return JobFailed(f"job {state.name} failed: {place}{error[0]}", hint=error[1] or hint, job=state.name)
    reason = f": {state.error}" if state.error else ""
    return JobFailed(f"job {state.name} failed{reason}", hint=hint, job=state.name)


class _Watch:
    """Polls one job until it is finished."""

    def __init__(self, source: Source, name: str, screen: Progress, options: WaitOptions) -> None:
        self._source, self._name, self._screen = source, name, screen
        self._timeout, self._longest_pause, self._clock = options.timeout, options.poll_seconds, options.clock
        self._on_line = options.on_line or self._print_line
        self.resume = f"pdm fetch-results {name} --out {quote(options.out or 'FOLDER')} --wait"
        self._tails: dict[str, LogTail] = {}
        self._fully_read: set[str] = set()
        self._reported: dict[str, str] = {}
        self._failing_since: float | None = None
        self._auth_errors = 0
        # Seconds that Azure asked to wait.
        self._requested_pause = 0.0
        # The last lines of each step, which contain its error.
        self.log_ends: dict[str, str] = {}

    def follow(self) -> JobState:
        """Poll until the job is finished."""
        end = math.inf if self._timeout is None else self._clock.now() + self._timeout
        pause = min(_FIRST_PAUSE, self._longest_pause)
        while True:
            state = self._poll(end)
            if state is not None and state.is_finished:
                # The result is known: reading the rest of the log may take longer than the timeout.
                self._report(state)
                return state
            if state is not None:
                with self._source.within(end - self._clock.now()):
                    self._report(state)
            remaining = end - self._clock.now()
            if remaining <= 0:
                raise self._not_finished(state)
            self._clock.sleep(min(max(pause, self._requested_pause), remaining))
            pause = min(_GROWTH * pause, self._longest_pause)

    def _poll(self, end: float) -> JobState | None:
        """Return the state of the job; ``None`` after a temporary error."""
        try:
            # No retries here: this loop retries by itself, and keeps Retry-After within the timeout.
            with self._source.within(end - self._clock.now()):
                state = self._source.read_state(self._name)
        except (TryAgain, AuthError) as error:
            self._tolerate(error)
            return None
        self._failing_since, self._auth_errors, self._requested_pause = None, 0, 0.0
        return state

    def _tolerate(self, error: PdmError) -> None:
        """Warn at the first error, and raise it after 15 minutes or when sign-in keeps failing."""
        now = self._clock.now()
        self._requested_pause = requested_pause(error)
        if self._failing_since is None:
            self._failing_since = now
            self._screen.warn(f"{error.message}; job still running; still waiting")
        self._auth_errors = self._auth_errors + 1 if isinstance(error, AuthError) else 0
        if self._auth_errors >= _MAX_AUTH_ERRORS or now - self._failing_since >= PATIENCE_SECONDS:
            raise error

    def _report(self, state: JobState) -> None:
        """Report changes of status, and new lines of the logs."""
        for step in state.steps:
            status = "unchanged, reused from an earlier job" if step.is_reused else step.status
            self._report_status(step.name, f"{step.name}: {status}")
        self._report_status(state.name, f"{state.name}: {state.status}")
        for part in state.parts():
            if part.has_log and part.name not in self._fully_read:
                self._report_log(part, is_step=bool(state.steps))

    def _report_status(self, key: str, line: str) -> None:
        if self._reported.get(key) != line:
            self._reported[key] = line
            self._screen.info(line)

    def _report_log(self, part: StepState, *, is_step: bool) -> None:
        tail = self._tails.setdefault(part.name, LogTail())
        try:
            new = self._source.read_log(part.job, tail.offset)
        except PdmError as error:
            # Logs are best effort; the status decides.
            self._screen.detail(error.message)
            return
        if part.is_finished:
            self._fully_read.add(part.name)
        for line in tail.feed(new, is_last=part.is_finished):
            kept = self.log_ends.get(part.name, "").splitlines()[-_KEPT_LINES:]
            self.log_ends[part.name] = "\n".join([*kept, line])
            self._on_line(part.name if is_step else "", line)

    def _print_line(self, step: str, line: str) -> None:
        self._screen.info(f"{step} | {line}" if step else f"| {line}")

    def _not_finished(self, state: JobState | None) -> JobNotFinished:
        status = state.status if state else "status unknown"
        return JobNotFinished(
            f"job {self._name}: {status}, not finished after {self._timeout or 0:g} s",
            hint=f"it continues on Azure; {self.resume} resumes waiting",
            job=self._name,
        )


@contextmanager
def _detaching(name: str, screen: Progress, resume: str) -> Iterator[None]:
    """Say, when waiting is interrupted, that the job continues."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        screen.warn(f"stopped waiting; {name} continues: {resume} waits again, pdm jobs cancel {name} cancels it")
        raise


class LogTail:
    """Splits a growing log into lines, each returned once."""

    def __init__(self) -> None:
        self.offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, new: bytes, *, is_last: bool = False) -> list[str]:
        """Take the bytes from ``offset`` on, and return the complete lines; with ``is_last`` the rest is one, too."""
        self.offset += len(new)
        text = self._rest + self._decoder.decode(new, is_last)
        *lines, self._rest = text.replace("\r\n", "\n").split("\n")
        if is_last and self._rest:
            lines, self._rest = [*lines, self._rest], ""
        return [clean_line(line) for line in lines]


def clean_line(line: str) -> str:
    """Return a line as a terminal shows it in the end, without what a progress bar has overwritten."""
    return plain(line.rstrip("\r").rpartition("\r")[2]).rstrip()


def last_error(text: str) -> tuple[str, str | None] | None:
    r"""Return the last error that pdm printed in a log, and its hint.

    Examples
    --------
    >>> last_error("train: …\nerror: telemetry.parquet: empty\nhint: give another\n")
    ('telemetry.parquet: empty', 'give another')
    """
    lines = [clean_line(line) for line in text.splitlines()]
    for line, after in reversed(list(pairwise([*lines, ""]))):
        if line.startswith(_ERROR):
            return line.removeprefix(_ERROR), after.removeprefix(_HINT) if after.startswith(_HINT) else None
    return None
