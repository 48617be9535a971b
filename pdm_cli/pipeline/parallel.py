"""Work on several cores: this process takes part, others are started beside it.

The others are started anew (spawned), not forked: Arrow has threads, and a fork of a process with threads can hang.
This process does its share in its main thread, where Ctrl-C arrives: nothing has to be waited for then.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, connection, get_context, parent_process
from threading import Thread
from typing import Generic, Protocol, TypeVar

from pdm_cli.errors import TryAgain

Result = TypeVar("Result")

# One piece that another process is at, and one that it finds when that is done.
_IN_HAND = 2
# How far ahead of the reader, in pieces a process: memory stays flat, and a slow piece holds nobody up.
_AHEAD = 4


class InOrder(Protocol):
    """Gives ``work(0)`` … ``work(count - 1)`` in order, several of them done at the same time."""

    def __call__(self, work: Callable[[int], Result], count: int) -> Iterator[Result]:
        """Give the results in order.

        Parameters
        ----------
        work : callable
            Can be pickled, as what it returns can; must not depend on what was done before. The other processes
            import its module: a small one lets them begin sooner.
        count : int
            How many pieces of work there are.

        Returns
        -------
        iterator
            The results. At most four times as many pieces as there are processes are done ahead of the reader, so
            that memory stays flat.

        Raises
        ------
        TryAgain
            If another process ends before its work is done.
        """


@contextmanager
def started(workers: int, *, early: int, warm_up: Callable[[], None]) -> Iterator[InOrder]:
    """Give a way to do pieces of work on up to ``workers`` processes, some of which set off when the block begins.

    What this process has to do before it knows the work, such as its slow imports, takes no time of theirs. They
    have ended when the block ends.

    Parameters
    ----------
    workers : int
        Processes, this one included.
    early : int
        Of the others, as many as are sure to get work; the rest start when there is some for them.
    warm_up : callable
        What these processes do first, such as their slow imports; can be pickled.

    Yields
    ------
    InOrder
        To be called once the work is known.
    """
    if workers == 1:
        yield lambda work, count: map(work, range(count))
        return
    with _others(workers - 1) as pool:
        for _ in range(min(early, workers - 1)):
            with _without_interrupt():
                pool.submit(warm_up)
        yield lambda work, count: map(_Pieces(pool, work, count, workers).result, range(count))


class _Pieces(Generic[Result]):
    """The pieces that are begun or done and not yet wanted, and where the next ones are done."""

    def __init__(self, pool: ProcessPoolExecutor, work: Callable[[int], Result], count: int, workers: int) -> None:
        self._pool, self._work = pool, work
        self._count, self._workers = count, workers
        self._begun: dict[int, Future[Result]] = {}
        self._next = 0
        self._keep_others_busy(self._stop(0))

    def result(self, number: int) -> Result:
        """Return the result of a piece, and do others here until it is there."""
        stop = self._stop(number)
        self._keep_others_busy(stop)
        while number not in self._begun or not self._begun[number].done():
            if self._next < stop:
                self._begun[self._next] = _do_here(self._work, self._next)
                self._next += 1
                self._keep_others_busy(stop)
            else:
                wait([self._begun[number]])
        return self._begun.pop(number).result()

    def _stop(self, number: int) -> int:
        """Return how far to go before a piece has been taken by the reader."""
        return min(self._count, number + _AHEAD * self._workers)

    def _keep_others_busy(self, stop: int) -> None:
        in_hand = sum(not future.done() for future in self._begun.values())
        # The very last piece is left to this process: it would else wait for one that queues behind another.
        stop = min(stop, self._count - 1)
        for number in range(self._next, min(stop, self._next + _IN_HAND * (self._workers - 1) - in_hand)):
            with _without_interrupt():
                self._begun[number] = self._pool.submit(self._work, number)
            self._next = number + 1


@contextmanager
def _others(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give other processes; they end at once when the block ends, for then nobody wants what they may be at."""
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_follow_parent)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise TryAgain(
            "a worker process ended before its work was done", hint="is memory short? --jobs 1 takes the least"
        ) from error
    finally:
        # They have nothing to tidy up, and to ask them to leave takes a tenth of a second.
        for child in active_children():
            child.terminate()
        pool.shutdown(cancel_futures=True)


def _do_here(work: Callable[[int], Result], number: int) -> Future[Result]:
    """Do a piece in this process; an error of it waits for its turn, as those of the others do."""
    done: Future[Result] = Future()
    try:
        done.set_result(work(number))
    except Exception as error:  # noqa: BLE001 - raised where the result is wanted
        done.set_exception(error)
    return done


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back: a process started meanwhile never sees it, and none is left half started."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
