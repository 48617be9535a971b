from __future__ import annotations

from collections.abc import Callable

import pytest

from pdm_cli.azure.retry import PATIENCE_SECONDS, insist
from pdm_cli.errors import RemoteError, TryAgain


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def read(self) -> float:
        return self.now


def fail(times: int) -> Callable[[], str]:
    left = iter(range(times))

    def call() -> str:
        if next(left, None) is not None:
            raise TryAgain("busy")
        return "done"

    return call


def test_errors_that_pass_are_waited_out_and_told_once() -> None:
    clock, told = Clock(), list[str]()
    assert insist(fail(7), warn=told.append, sleep=clock.sleep, clock=clock.read) == "done"
    assert clock.pauses == [1, 2, 4, 8, 16, 30, 30]
    assert told == ["busy; trying again"]


def test_a_quarter_of_an_hour_of_errors_is_enough() -> None:
    clock = Clock()
    with pytest.raises(TryAgain, match="busy"):
        insist(fail(1000), warn=lambda _: None, sleep=clock.sleep, clock=clock.read)
    assert PATIENCE_SECONDS - 31 < clock.now <= PATIENCE_SECONDS


def test_other_errors_are_not_waited_out() -> None:
    def refuse() -> None:
        raise RemoteError("not found")

    clock = Clock()
    with pytest.raises(RemoteError):
        insist(refuse, warn=lambda _: None, sleep=clock.sleep, clock=clock.read)
    assert clock.pauses == []
