"""Logs and instants made by hypothesis, and plain loops over them that say what a table must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from pdm_cli.features.events import Instants
from pdm_cli.features.labels import FollowUp
from pdm_cli.preparation.run_to_failure import NEVER_US

HOUR_US = 3_600_000_000
EPOCH = pd.Timestamp("2015-01-01")
EPOCH_US = EPOCH.value // 1000
DAYS = 5
# Coarse, so that ties, simultaneous events and ends of windows are met often.
_TICKS_AN_HOUR = 2


@dataclass(frozen=True)
class Event:
    """An event in hours since the epoch."""

    machine: Any
    hour: float
    kind: str


def stamps(hours: Sequence[float]) -> pd.Series:
    """Return stamps so many hours after the epoch."""
    us = [EPOCH_US + round(hour * HOUR_US) for hour in hours]
    return pd.Series(np.array(us, "int64").astype("datetime64[us]"), dtype="datetime64[us]")


def log_frame(events: Sequence[Event], column: str = "kind") -> pd.DataFrame:
    """Return events as a table."""
    return pd.DataFrame(
        {
            "machineID": pd.Series([event.machine for event in events], dtype=None if events else "int64"),
            "datetime": stamps([event.hour for event in events]),
            column: pd.Series([event.kind for event in events], dtype="str"),
        }
    )


def rows_frame(rows: Sequence[tuple[Any, float]]) -> pd.DataFrame:
    """Return (machine, hour) rows as ``machineID, datetime``."""
    return pd.DataFrame({"machineID": [m for m, _ in rows], "datetime": stamps([hour for _, hour in rows])})


def instants_of(rows: Sequence[tuple[Any, float]]) -> Instants:
    """Return instants of (machine, hour) rows."""
    return Instants.of(rows_frame(rows))


def running(ends_us: Sequence[int] | np.ndarray) -> FollowUp:
    """Return the follow-up of machines of which none ended with a failure."""
    ends = np.array(ends_us, np.int64)
    return FollowUp(ends, np.full(len(ends), NEVER_US), ends)


def hours(low: float = 0, high: float = DAYS * 24) -> st.SearchStrategy[float]:
    """Multiples of half an hour."""
    return st.integers(round(low * _TICKS_AN_HOUR), round(high * _TICKS_AN_HOUR)).map(lambda n: n / _TICKS_AN_HOUR)


fleets = st.sampled_from([(1, 2, 10), (7,), ("a", "B", "10"), ("m",)])


@st.composite
def rows_and_log(
    draw: st.DrawFn, *, kinds: Sequence[str] = ("x", "y"), most_events: int = 25
) -> tuple[list[tuple[Any, float]], list[Event]]:
    """Rows of a fleet, some machines perhaps without any, and events before, within and after their span.

    The log may name a machine that has no rows, may say the same thing twice, and is in no order.
    """
    fleet = draw(fleets)
    stranger: Any = "stranger" if isinstance(fleet[0], str) else 99
    rows = draw(st.lists(st.tuples(st.sampled_from(fleet), hours()), min_size=1, max_size=25, unique=True))
    event = st.builds(
        Event, st.sampled_from([*fleet, stranger]), hours(-48, DAYS * 24 + 48), st.sampled_from(list(kinds))
    )
    events = draw(st.lists(event, max_size=most_events))
    at_rows = [Event(machine, hour, kinds[0]) for machine, hour in rows if draw(st.integers(0, 5)) == 0]
    return rows, draw(st.permutations(events + at_rows))
