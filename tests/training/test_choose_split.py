from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import follow_up, label_failures
from pdm_cli.settings.model import LabelsParams, TrainParams
from pdm_cli.training.choose_split import SplitChoice, choose_split
from tests.builders.alerts import us
from tests.builders.fleets import Event, log_frame, stamps

LEAD = LabelsParams(3.0, 24.0)
DAYS = 40


def choose(events: list[Event], ends: dict[int, float], **train: Any) -> SplitChoice:
    """Choose the split of machines that start at hour 0 with a row every 6 h."""
    parts = [(machine, hour) for machine, end in ends.items() for hour in np.arange(0, end + 1, 6)]
    machines = pd.Index(list(ends))
    instants = Instants(
        machines,
        machines.get_indexer([machine for machine, _ in parts]).astype(np.int64),
        np.array([us(hour) for _, hour in parts]),
    )
    failures = log_frame(events, "failure")
    last = pd.Series(stamps(list(ends.values())).to_numpy(), index=machines)
    known = follow_up(last, failures, machines, params=LEAD)
    components = sorted({event.kind for event in events})
    labels = label_failures(instants, failures, components, known=known, params=LEAD)
    return choose_split(instants, labels, components, known, train=TrainParams(**train), lead=LEAD)


RUNNING = dict.fromkeys(range(8), DAYS * 24.0)


def spread(component: str, machines: range, days: list[float]) -> list[Event]:
    return [Event(machine, 24 * day, component) for machine in machines for day in days]


def test_choose_split_one_long_calendar_is_by_time() -> None:
    assert choose(spread("a", range(8), [5, 20, 36]), RUNNING).kind == "time"


def test_choose_split_machines_that_run_to_failure_are_by_machine() -> None:
    ends = {machine: 200.0 + 40 * machine for machine in range(8)}
    found = choose([Event(machine, end, "a") for machine, end in ends.items()], ends)
    assert found == SplitChoice("machine", "8 of 8 machines end with a failure")


def test_choose_split_few_that_end_with_a_failure_are_by_time() -> None:
    ends = {**RUNNING, 0: 500.0, 1: 860.0, 2: 870.0}
    assert choose([*spread("a", range(3, 8), [5, 20, 36]), *(Event(m, ends[m], "a") for m in range(3))], ends).kind == (
        "time"
    )


def test_choose_split_no_late_failures_is_by_machine() -> None:
    found = choose(spread("a", range(8), [5, 12]), RUNNING)
    assert found.kind == "machine"
    assert found.reason == "by time, no failure of a would be left to train or to test on"


def test_choose_split_one_rare_component_of_three_does_not_decide() -> None:
    others = [*spread("a", range(8), [5, 20, 36]), *spread("b", range(8), [8, 25, 37])]
    assert choose([*others, *spread("c", range(4), [6])], RUNNING).kind == "time"


@pytest.mark.parametrize("train", [{"cutoff": datetime(2015, 1, 20)}, {"split": "time"}, {"split": "both"}])
def test_choose_split_settings_decide(train: dict[str, Any]) -> None:
    ends = {machine: 200.0 + 40 * machine for machine in range(8)}
    found = choose([Event(machine, end, "a") for machine, end in ends.items()], ends, **train)
    assert found.kind == train.get("split", "time")


def test_choose_split_few_machines_that_failed_are_by_time() -> None:
    ends = {0: 200.0, 1: 300.0, 2: 400.0}
    found = choose([Event(machine, end, "a") for machine, end in ends.items()], ends)
    assert found == SplitChoice("time", "fewer than 4 machines failed")


def test_choose_split_failures_right_after_the_start_of_the_test_do_not_count() -> None:
    # The test begins on day 31: the warning period of a failure at noon begins before it.
    assert choose(spread("a", range(8), [5, 20, 31.5]), RUNNING).kind == "machine"
    assert choose(spread("a", range(8), [5, 20, 32.5]), RUNNING).kind == "time"
