from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from functools import partial
from threading import Event

import pytest

from pdm_cli.azure.download import Meter, run_all, until
from pdm_cli.azure.retry import insist
from pdm_cli.errors import DataError, TryAgain


def test_bytes_are_told_in_whole_megabytes() -> None:
    told: list[int] = []
    meter = Meter(told.append)
    for count in (600_000, 600_000, 3_000_000, -3_200_000, 1_000_000):
        meter.advance(count)
    assert told == [0, 1, 3, -3, 1]


def test_a_meter_loses_nothing_between_threads() -> None:
    told: list[int] = []
    meter = Meter(told.append)
    run_all([lambda _: [meter.advance(1000) for _ in range(1000)] for _ in range(8)])
    assert sum(told) == 8


def test_all_transfers_are_run() -> None:
    done: list[int] = []
    run_all([partial(lambda number, _: done.append(number), number) for number in range(20)])
    assert sorted(done) == list(range(20))
    run_all([])


def test_the_first_error_ends_the_others() -> None:
    begun: list[str] = []
    ready = threading.Barrier(2)

    def fail(_: Event) -> None:
        ready.wait()
        raise DataError("broken")

    def go_on(stopped: Event) -> None:
        begun.append("endless")
        ready.wait()
        for _ in until(stopped, iter(lambda: b"piece", None)):
            pass

    with pytest.raises(DataError, match="broken"):
        run_all([fail, go_on])
    assert begun == ["endless"]


def test_pieces_end_when_the_transfers_do() -> None:
    stopped = Event()
    pieces = until(stopped, iter([b"a", b"b"]))
    assert next(pieces) == b"a"
    stopped.set()
    with pytest.raises(CancelledError):
        next(pieces)


def test_a_transfer_in_an_outage_ends_with_the_others() -> None:
    calls: list[int] = []
    ready = threading.Barrier(2)

    def break_off() -> bytes:
        calls.append(len(calls))
        # In the pool an error of its own would be swallowed: it ends the test, the count below fails it.
        assert len(calls) < 3
        if len(calls) == 1:
            ready.wait()
        raise TryAgain("no connection")

    def fail(_: Event) -> None:
        ready.wait()
        raise DataError("broken")

    def go_on(stopped: Event) -> None:
        insist(lambda: list(until(stopped, iter(break_off, b""))), warn=lambda _: None, sleep=stopped.wait)

    with pytest.raises(DataError, match="broken"):
        run_all([go_on, fail])
    assert len(calls) == 1


def test_no_piece_is_asked_for_when_the_transfers_have_ended() -> None:
    stopped = Event()
    stopped.set()
    asked = iter([b"a"])
    with pytest.raises(CancelledError):
        next(until(stopped, asked))
    assert list(asked) == [b"a"]
