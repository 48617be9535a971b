from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from threading import Timer
from typing import TypeVar

import pytest

from pdm_cli.errors import DataError, TryAgain
from pdm_cli.pipeline.parallel import started

T = TypeVar("T")


@contextmanager
def in_order(work: Callable[[int], T], count: int, *, workers: int) -> Iterator[Iterator[T]]:
    with started(workers, early=0, warm_up=get_ready) as do_in_order:
        yield do_in_order(work, count)


def get_ready() -> None:
    """Nothing to import."""


def square(number: int) -> int:
    return number**2


def tell_process(number: int) -> int:
    # Long enough that the other process gets its share.
    time.sleep(0.05)
    return os.getpid() if number >= 0 else 0


def refuse_third(number: int) -> int:
    if number == 2:
        raise DataError("telemetry.parquet: the third is wrong", hint="mend it")
    return number


def refuse_elsewhere(home: int, number: int) -> int:
    if os.getpid() != home:
        raise DataError(f"telemetry.parquet: piece {number} is wrong", hint="mend it", row=number)
    # Long enough that the other process gets its share.
    time.sleep(0.05)
    return number


def die_elsewhere(home: int, number: int) -> int:
    if os.getpid() != home:
        os._exit(9)
    time.sleep(0.2)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    with in_order(square, 20, workers=workers) as results:
        assert list(results) == [number**2 for number in range(20)]


def test_one_worker_is_this_process_and_two_are_two() -> None:
    with in_order(tell_process, 4, workers=1) as results:
        assert set(results) == {os.getpid()}
    with in_order(tell_process, 100, workers=2) as results:
        processes = set(results)
    assert os.getpid() in processes
    assert len(processes) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_at_its_turn(workers: int) -> None:
    with in_order(refuse_third, 5, workers=workers) as results:
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(DataError, match="the third is wrong") as caught:
            next(results)
    assert caught.value.hint == "mend it"


def test_an_error_of_the_other_process_comes_with_all_it_says() -> None:
    work = partial(refuse_elsewhere, os.getpid())
    with (
        pytest.raises(DataError, match=r"telemetry\.parquet: piece \d+ is wrong") as caught,
        in_order(work, 200, workers=2) as results,
    ):
        list(results)
    assert type(caught.value) is DataError
    assert caught.value.hint == "mend it"
    assert caught.value.exit_code == 4
    assert caught.value.message.endswith(f"piece {caught.value.details['row']} is wrong")


def sleep_elsewhere(home: int, number: int) -> int:
    if os.getpid() != home:
        time.sleep(600)
    time.sleep(0.05)
    return number


def leave_note(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    return number


def test_ctrl_c_waits_for_no_piece() -> None:
    # The first piece is begun elsewhere and never done; this process gets as far ahead as it may.
    work = partial(sleep_elsewhere, os.getpid())
    Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), in_order(work, 1_000_000, workers=2) as results:
        next(results)
    assert time.monotonic() - start < 10
    assert not active_children()


def touch(path: Path) -> None:
    path.touch()


def test_the_other_process_warms_up_before_the_work_is_known(tmp_path: Path) -> None:
    with started(2, early=1, warm_up=partial(touch, tmp_path / "warm")):
        until = time.monotonic() + 10
        while not (tmp_path / "warm").exists() and time.monotonic() < until:
            time.sleep(0.01)
    assert (tmp_path / "warm").exists()
    assert not active_children()


def test_the_other_process_sets_off_before_a_result_is_asked_for(tmp_path: Path) -> None:
    with in_order(partial(leave_note, tmp_path), 1000, workers=2):
        until = time.monotonic() + 10
        while not (tmp_path / "0").exists() and time.monotonic() < until:
            time.sleep(0.01)
    assert (tmp_path / "0").exists()


def test_a_block_that_ends_early_waits_for_no_piece_and_leaves_no_process() -> None:
    start = time.monotonic()
    with in_order(partial(sleep_elsewhere, os.getpid()), 1_000_000, workers=2):
        time.sleep(0.5)
    assert time.monotonic() - start < 10
    assert not active_children()


def test_pieces_are_done_a_bounded_way_ahead_of_the_reader(tmp_path: Path) -> None:
    with in_order(partial(leave_note, tmp_path), 1000, workers=2) as results:
        for number in range(50):
            assert next(results) == number
            done = [int(path.name) for path in tmp_path.iterdir()]
            assert number <= max(done) < number + 8


def test_no_more_processes_start_than_there_is_work_for() -> None:
    with started(24, early=0, warm_up=get_ready) as do_in_order:
        assert list(do_in_order(square, 2)) == [0, 1]
        assert len(active_children()) <= 1


def test_no_work_at_all_is_no_result() -> None:
    with in_order(square, 0, workers=2) as results:
        assert list(results) == []


def test_a_process_that_dies_is_told_as_something_to_try_again() -> None:
    work = partial(die_elsewhere, os.getpid())
    with (
        pytest.raises(TryAgain, match="ended before its work was done"),
        in_order(work, 200, workers=2) as results,
    ):
        list(results)
