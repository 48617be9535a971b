"""Several transfers at once, that end together, and how far they have come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from threading import Event, Lock

MEGABYTE = 10**6
_AT_ONCE = 4


class Meter:
    """Bytes from several threads, told in whole megabytes.

    Parameters
    ----------
    tell : callable
        Told the megabytes that were completed since the last time; fewer than none if a transfer begins anew.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._bytes = 0
        self._lock = Lock()

    def advance(self, count: int) -> None:
        """Count ``count`` bytes more."""
        with self._lock:
            before = self._bytes // MEGABYTE
            self._bytes += count
            self._tell(self._bytes // MEGABYTE - before)


def run_all(transfers: Sequence[Callable[[Event], object]]) -> None:
    """Run the transfers, a few at a time; the first error or an interrupt ends all.

    Parameters
    ----------
    transfers : sequence of callable
        Each takes an event that is set when it should end; see :func:`until`.
    """
    stopped = Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(transfer, stopped) for transfer in transfers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def until(stopped: Event, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give the pieces on, and end in an error when ``stopped`` is set; not even the first piece is asked for then.

    Raises
    ------
    CancelledError
        If the transfers end without this one.
    """
    _check_going(stopped)
    for piece in pieces:
        _check_going(stopped)
        yield piece


def _check_going(stopped: Event) -> None:
    if stopped.is_set():
        raise CancelledError
