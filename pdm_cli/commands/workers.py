"""Work on several cores: this process takes part, others are started beside it.

The others are started anew (spawned), not forked: Arrow has threads, and a fork of a process with threads can hang.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from multiprocessing import connection, get_context, parent_process
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from pdm_cli.errors import TryAgain

Result = TypeVar("Result")


def in_order(work: Callable[[int], Result], count: int, *, workers: int) -> Generator[Result, None, None]:
    """Yield ``work(0)``, ``work(1)`` … with up to ``workers`` of them done at the same time.

    Parameters
    ----------
    work : callable
        Can be pickled, as what it returns can; must not depend on what was done before.
    count : int
        How many pieces of work there are.
    workers : int
        Processes, this one included. At most twice as many pieces are done ahead of the reader, so that memory stays
        flat.

    Raises
    ------
    TryAgain
        If another process ends before its work is done.
    """
    places: SimpleQueue[Callable[[int], Result]] = SimpleQueue()

    def do_somewhere(number: int) -> Result:
        place = places.get()
        try:
            return place(number)
        finally:
            places.put(place)

    with ExitStack() as stack:
        for _ in range(workers - 1):
            others = ProcessPoolExecutor(1, get_context("spawn"), initializer=_follow_parent)
            stack.callback(others.shutdown, cancel_futures=True)
            places.put(partial(_do_in, others, work))
        places.put(work)
        threads = ThreadPoolExecutor(workers)
        stack.callback(threads.shutdown, cancel_futures=True)
        begun: deque[Future[Result]] = deque()
        for number in range(count):
            begun.append(threads.submit(do_somewhere, number))
            if len(begun) > 2 * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _do_in(others: ProcessPoolExecutor, work: Callable[[int], Result], number: int) -> Result:
    try:
        return others.submit(work, number).result()
    except BrokenProcessPool as exc:
        raise TryAgain(
            "a worker process ended before its work was done", hint="is memory short? --jobs 1 takes the least"
        ) from exc


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
