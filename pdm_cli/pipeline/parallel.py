"""Process pool for independent pieces of work: ordered results, bounded look-ahead, clean exit on Ctrl-C.

Processes are spawned, not forked: Arrow has threads, and a fork of a process with threads can hang.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread
from typing import Any, Protocol, TypeVar

from pdm_cli.errors import TryAgain

Result = TypeVar("Result")
# Pieces begun ahead of the reader, per process: memory stays bounded, and a slow piece does not stop the others.
_AHEAD = 4


class OrderedMap(Protocol):
    """Yields ``work(0)`` … ``work(count - 1)`` in order; ``work`` and its results must be picklable."""

    def __call__(self, work: Callable[[int], Result], count: int) -> Iterator[Result]:
        """Yield the results; errors are raised at their turn."""


class _Context(SpawnContext):
    """Spawns processes and remembers them: the caller may have children of its own, which must live on."""

    def __init__(self) -> None:
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        """Return a new process, not started yet."""
        process = SpawnProcess(*args, **options)
        self.started.append(process)
        return process


@contextmanager
def process_pool(workers: int, *, early: int, warm_up: Callable[[], None]) -> Iterator[OrderedMap]:
    """Provide a map over processes, which are terminated at the end of the block.

    Parameters
    ----------
    workers : int
        Number of processes, started when there is work for them; with 1 the work is done in this one.
    early : int
        Number of them to start at once.
    warm_up : callable
        Called first in those, such as for slow imports.

    Raises
    ------
    TryAgain
        If a process dies.
    """
    if workers == 1:
        yield lambda work, count: map(work, range(count))
        return
    context = _Context()
    pool = ProcessPoolExecutor(workers, context, initializer=_follow_parent)
    try:
        for _ in range(min(early, workers)):
            _submit(pool, warm_up)
        yield lambda work, count: _map_ordered(pool, work, count, ahead=_AHEAD * workers)
    except BrokenProcessPool as error:
        raise TryAgain(
            "a worker process died",
            hint="out of memory? --jobs 1 (or PDM_CLI_JOBS=1) uses the least; a Python script must call pdm under "
            'if __name__ == "__main__":',
        ) from error
    finally:
        # They have nothing to clean up, and a regular shutdown would wait for the pieces begun.
        for process in context.started:
            if process.pid is not None:
                process.terminate()
        pool.shutdown(cancel_futures=True)


def _map_ordered(
    pool: ProcessPoolExecutor, work: Callable[[int], Result], count: int, *, ahead: int
) -> Iterator[Result]:
    begun: deque[Future[Result]] = deque()
    for number in range(count):
        begun.append(_submit(pool, work, number))
        if len(begun) == ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _submit(pool: ProcessPoolExecutor, work: Callable[..., Result], *arguments: int) -> Future[Result]:
    """Submit work with Ctrl-C blocked: a process that starts meanwhile must not receive it half started."""
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(work, *arguments)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, *arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and exit when it exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
