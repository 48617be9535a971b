"""Process pool: ordered results, bounded look-ahead, clean exits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from threading import Timer
from typing import TypeVar

import pytest

from pdm_cli.errors import DataError, TryAgain
from pdm_cli.pipeline.parallel import process_pool

T = TypeVar("T")


@contextmanager
def in_order(work: Callable[[int], T], count: int, *, workers: int) -> Iterator[Iterator[T]]:
    with process_pool(workers, early=0, warm_up=import_nothing) as map_ordered:
        yield map_ordered(work, count)


def import_nothing() -> None:
    """Has nothing to import."""


def square(number: int) -> int:
    return number**2


def find_process(_: int) -> int:
    # Long enough that the other process gets a share.
    time.sleep(0.02)
    return os.getpid()


def reject_third(number: int) -> int:
    if number == 2:
        raise DataError("telemetry.parquet: the third is wrong", hint="fix it", row=number)
    return number


def die(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def sleep(_: int) -> None:
    time.sleep(600)


def touch(path: Path) -> None:
    path.touch()


def leave_note(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    return number


def wait_for(path: Path) -> bool:
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return path.exists()


@pytest.mark.slow
def test_process_pool_leaves_other_child_processes_alone() -> None:
    other = get_context("spawn").Process(target=sleep, args=(0,))
    other.start()
    try:
        with in_order(square, 2, workers=2) as results:
            assert list(results) == [0, 1]
        assert other.is_alive()
    finally:
        other.kill()
        other.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    with in_order(square, 20, workers=workers) as results:
        assert list(results) == [number**2 for number in range(20)]


@pytest.mark.slow
def test_one_worker_is_this_process_and_two_are_others() -> None:
    with in_order(find_process, 4, workers=1) as results:
        assert set(results) == {os.getpid()}
    with in_order(find_process, 100, workers=2) as results:
        processes = set(results)
    assert os.getpid() not in processes
    assert len(processes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_error_is_raised_at_its_turn_with_hint_and_details(workers: int) -> None:
    with in_order(reject_third, 5, workers=workers) as results:
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(DataError, match="the third is wrong") as caught:
            next(results)
    assert (caught.value.hint, caught.value.exit_code, caught.value.details) == ("fix it", 4, {"row": 2})


@pytest.mark.slow
def test_ctrl_c_waits_for_no_piece() -> None:
    Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), in_order(sleep, 1_000_000, workers=2) as results:
        next(results)
    assert time.monotonic() - start < 10
    assert not active_children()


@pytest.mark.slow
def test_early_processes_warm_up_before_the_work_is_known(tmp_path: Path) -> None:
    with process_pool(2, early=1, warm_up=partial(touch, tmp_path / "warm")):
        assert wait_for(tmp_path / "warm")
    assert not active_children()


def test_block_that_ends_early_waits_for_no_piece_and_leaves_no_process() -> None:
    start = time.monotonic()
    with process_pool(2, early=2, warm_up=partial(sleep, 0)):
        time.sleep(0.2)
    assert time.monotonic() - start < 10
    assert not active_children()


@pytest.mark.slow
def test_pieces_are_begun_a_bounded_way_ahead_of_the_reader(tmp_path: Path) -> None:
    with in_order(partial(leave_note, tmp_path), 1000, workers=2) as results:
        for number in range(50):
            assert next(results) == number
            done = [int(path.name) for path in tmp_path.iterdir()]
            assert number <= max(done) < number + 8


@pytest.mark.slow
def test_no_more_processes_start_than_there_is_work_for() -> None:
    with process_pool(24, early=0, warm_up=import_nothing) as map_ordered:
        assert list(map_ordered(square, 2)) == [0, 1]
        assert len(active_children()) <= 2


def test_no_work_at_all_has_no_result() -> None:
    with in_order(square, 0, workers=2) as results:
        assert list(results) == []


@pytest.mark.slow
def test_dead_worker_is_an_error_to_try_again() -> None:
    with pytest.raises(TryAgain, match="a worker process died"), in_order(die, 200, workers=2) as results:
        list(results)
