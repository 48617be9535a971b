"""Waiting for a job: its status is the truth, its log is told as far as it can be had."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from pdm_cli.azure.job_status import CANCELLED, COMPLETED, FAILED, JobState, StepState
from pdm_cli.azure.log_tail import Tail, last_error
from pdm_cli.azure.retry import PATIENCE_SECONDS, RETRY_AFTER
from pdm_cli.errors import AuthError, JobCancelled, JobFailed, JobNotFinished, PdmError, TryAgain
from pdm_cli.progress import Progress

if TYPE_CHECKING:
    from pdm_cli.azure.client import Session

_FIRST_PAUSE = 1.0
_GROWTH = 1.5
# An expired token is renewed in between; a secret that has expired for good is not.
_MOST_REFUSALS = 3

# Takes a step of a pipeline, nothing for a single command, and a line that it has printed.
TellLine = Callable[[str, str], object]


@dataclass(frozen=True)
class Source:
    """Where a job can be looked at.

    Attributes
    ----------
    read_state : callable
        Name of a job to how it stands.
    read_log : callable
        Name of a command job or step, and a byte, to what it has printed from there on.
    within : callable
        Seconds to a context in which each of the two asks once, and waits no longer than that.
    """

    read_state: Callable[[str], JobState]
    read_log: Callable[[str, int], bytes]
    within: Callable[[float], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Clock:
    """Time in seconds, and waiting."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep


def wait_for(
    session: Session,
    name: str,
    *,
    timeout: float | None,
    screen: Progress,
    tell_line: TellLine | None = None,
    out: str | None = None,
) -> JobState:
    """Wait for the end of a job of a workspace; see :func:`wait`."""
    from functools import partial

    from pdm_cli.azure.jobs import read_log, read_state

    source = Source(partial(read_state, session), partial(read_log, session), session.haste.within)
    pause = session.azure.poll_seconds
    return wait(source, name, timeout=timeout, pause=pause, screen=screen, tell_line=tell_line, out=out)


def wait(
    source: Source,
    name: str,
    *,
    timeout: float | None,
    pause: float,
    screen: Progress,
    tell_line: TellLine | None = None,
    out: str | None = None,
    clock: Clock | None = None,
) -> JobState:
    """Wait for the end of a job, and tell what it prints.

    Parameters
    ----------
    source : Source
        Where to look.
    name : str
        The job.
    timeout : float or None
        Seconds to wait; ``None``: as long as it takes.
    pause : float
        Longest time between two looks, in seconds.
    screen : Progress
        For how the job stands, and for warnings.
    tell_line : callable, optional
        Takes what the job prints; the screen does if not given.
    out : str, optional
        Folder that is to get the results, for the hint that tells how to wait again.
    clock : Clock, optional
        The machine's own if not given.

    Returns
    -------
    JobState
        Completed.

    Raises
    ------
    JobFailed, JobCancelled
        As it ended; a failure in the job's own words.
    JobNotFinished
        If the time is over.
    TryAgain
        If Azure was out of reach for a quarter of an hour.
    """
    again = f"pdm fetch-results {name} --out {quote(out or 'FOLDER')} --wait"
    watch = _Watch(source, name, screen, tell_line or _tell_on(screen), clock or Clock(), again)
    with _detaching(name, screen, again):
        state = watch.follow(timeout, pause)
    if state.status == COMPLETED:
        return state
    raise describe_end(state, watch.ends)


def describe_end(state: JobState, ends: dict[str, str]) -> PdmError:
    """Return how a job ended that did not complete.

    Parameters
    ----------
    state : JobState
        Finished.
    ends : dict of str to str
        Step to the end of what it printed.
    """
    hint = f"pdm jobs logs {state.name}"
    if state.status == CANCELLED:
        return JobCancelled(f"job {state.name} was cancelled", hint=hint, job=state.name)
    if state.status != FAILED:
        return JobFailed(f"job {state.name} ended as {state.status}", hint=hint, job=state.name)
    for step in [part.name for part in state.parts() if part.has_failed]:
        told = last_error(ends.get(step, ""))
        if told is not None:
            place = f"{step}: " if state.steps else ""
            return JobFailed(f"job {state.name} failed: {place}{told[0]}", hint=told[1] or hint, job=state.name)
    reason = f": {state.error}" if state.error else ""
    return JobFailed(f"job {state.name} failed{reason}", hint=hint, job=state.name)


def _tell_on(screen: Progress) -> TellLine:
    return lambda step, line: screen.info(f"{step} | {line}" if step else f"| {line}")


class _Watch:
    """One job that is waited for."""

    def __init__(
        self, source: Source, name: str, screen: Progress, tell_line: TellLine, clock: Clock, again: str
    ) -> None:
        self._source, self._name, self._screen, self._clock = source, name, screen, clock
        self._tell_line, self._again = tell_line, again
        self._tails: dict[str, Tail] = {}
        self._read_out: set[str] = set()
        self._told: dict[str, str] = {}
        self._fails_since: float | None = None
        self._refusals = 0
        # Seconds that Azure wants to be left in peace for.
        self._peace = 0.0
        # The last lines of each step: what went wrong stands there.
        self.ends: dict[str, str] = {}

    def follow(self, timeout: float | None, longest: float) -> JobState:
        """Look until the job is finished."""
        end = math.inf if timeout is None else self._clock.now() + timeout
        pause = min(_FIRST_PAUSE, longest)
        while True:
            state = self._look(end)
            if state is not None and state.is_finished:
                # Now that the end is known, the last lines are worth any time.
                self._tell(state)
                return state
            if state is not None:
                with self._source.within(end - self._clock.now()):
                    self._tell(state)
            left = end - self._clock.now()
            if left <= 0:
                raise self._not_finished(state, timeout or 0.0)
            self._clock.sleep(min(max(pause, self._peace), left))
            pause = min(_GROWTH * pause, longest)

    def _look(self, end: float) -> JobState | None:
        """Return how the job stands; ``None`` if it cannot be told just now."""
        try:
            # What goes wrong is borne here, and a pause that Azure asks for is kept here, as far as there is time.
            with self._source.within(end - self._clock.now()):
                state = self._source.read_state(self._name)
        except (TryAgain, AuthError) as error:
            self._bear(error)
            return None
        self._fails_since, self._refusals, self._peace = None, 0, 0.0
        return state

    def _bear(self, error: PdmError) -> None:
        now = self._clock.now()
        asked = error.details.get(RETRY_AFTER)
        self._peace = min(asked, PATIENCE_SECONDS) if isinstance(asked, float) else 0.0
        if self._fails_since is None:
            self._fails_since = now
            self._screen.warn(f"{error.message}; the job goes on, and so does the waiting")
        self._refusals = self._refusals + 1 if isinstance(error, AuthError) else 0
        if self._refusals >= _MOST_REFUSALS or now - self._fails_since >= PATIENCE_SECONDS:
            raise error

    def _tell(self, state: JobState) -> None:
        """Tell how the job and its steps stand, where that has changed, and what they have printed since."""
        for step in state.steps:
            status = "unchanged, taken from an earlier job" if step.is_reused else step.status
            self._tell_status(step.name, f"{step.name}: {status}")
        self._tell_status(state.name, f"{state.name}: {state.status}")
        for part in state.parts():
            if part.has_log and part.name not in self._read_out:
                self._tell_log(part, is_step=bool(state.steps))

    def _tell_status(self, key: str, line: str) -> None:
        if self._told.get(key) != line:
            self._told[key] = line
            self._screen.info(line)

    def _tell_log(self, part: StepState, *, is_step: bool) -> None:
        tail = self._tails.setdefault(part.name, Tail())
        try:
            new = self._source.read_log(part.job, tail.offset)
        except PdmError as error:
            # The log is told as far as it can be had; the status decides.
            self._screen.detail(error.message)
            return
        if part.is_finished:
            self._read_out.add(part.name)
        for line in tail.feed(new, is_last=part.is_finished):
            self.ends[part.name] = "\n".join([*self.ends.get(part.name, "").splitlines()[-20:], line])
            self._tell_line(part.name if is_step else "", line)

    def _not_finished(self, state: JobState | None, timeout: float) -> JobNotFinished:
        status = state.status if state else "not to be told just now"
        return JobNotFinished(
            f"job {self._name}: {status} after {timeout:g} s, not finished",
            hint=f"it goes on; {self._again} waits for it again",
            job=self._name,
        )


@contextmanager
def _detaching(name: str, screen: Progress, again: str) -> Iterator[None]:
    """Say, where the waiting is interrupted, that the job is not."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        screen.warn(f"detached: {name} goes on; {again} waits for it again, pdm jobs cancel {name} ends it")
        raise
