from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from pdm_cli.models import ESTIMATORS, FitOptions, base, find_load_error
from pdm_cli.models.base import fit_components


def fit_long(name: str, checkpoint: Callable[[], None], threads: int) -> None:
    """Start a fit that would take minutes: many trees or, without trees, many components."""
    if find_load_error(name) is not None:
        pytest.skip(f"{name} does not load here")
    values = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    labels = (values[:, 0] > 0.5).astype(float)
    defaults = ESTIMATORS[name].defaults
    columns, hyper = (2, defaults | {"trees": 200_000}) if "trees" in defaults else (20_000, defaults)
    ESTIMATORS[name].make().fit(
        values,
        np.repeat(labels[:, None], columns, axis=1),
        FitOptions(hyper, 0, threads, checkpoint),
        categorical=[False] * 4,
    )


class Spent(Exception):
    """The time budget is spent."""


@pytest.mark.ci
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit_ends_soon_after_checkpoint_raises(name: str, threads: int) -> None:
    due: list[float] = []

    def checkpoint() -> None:
        due.append(time.process_time())
        if len(due) > 20:
            raise Spent

    with pytest.raises(Spent):
        fit_long(name, checkpoint, threads)
    assert time.process_time() - due[20] < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit_ends_soon_after_stop_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is set from outside, as after Ctrl-C."""
    stop = threading.Event()
    begun = threading.Event()
    monkeypatch.setattr(base, "threading", SimpleNamespace(Event=lambda: stop))
    stopped: list[float] = []

    def set_stop() -> None:
        begun.wait(60)
        stop.set()
        stopped.append(time.process_time())

    setter = threading.Thread(target=set_stop)
    setter.start()
    with pytest.raises(InterruptedError):
        fit_long(name, begun.set, threads=1)
    setter.join()
    assert time.process_time() - stopped[0] < 5


def test_fit_components_with_one_failing_stops_the_others() -> None:
    def fit_component(column: np.ndarray, checkpoint: Callable[[], None]) -> None:
        if column[0] == 1:
            raise KeyError("broken")
        while True:
            checkpoint()

    with pytest.raises(KeyError, match="broken"):
        fit_components(fit_component, np.array([[1.0, 0.0], [0.0, 1.0]]), FitOptions({}, 0, threads=2))
