from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdm_cli.evaluation.events import EventOutcome, evaluate_events
from pdm_cli.evaluation.shifted_alerts import compare_with_chance, count_shifted
from pdm_cli.features.events import Instants
from pdm_cli.settings.model import LabelsParams
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, instants_of, log_frame, running

LABELS = LabelsParams(2.0, 6.0)
END = 60.0
SIZES = (7, 0, 9)


def evaluate(rows: Instants, is_alert: np.ndarray, failures: list[Event]) -> EventOutcome:
    return evaluate_events(
        Instants(rows.machines, rows.codes[is_alert], rows.times[is_alert]),
        log_frame(failures, "failure"),
        watched=rows,
        known=running([EPOCH_US + round(END * HOUR_US)] * len(rows.machines)),
        labels=LABELS,
        merge_hours=0.0,
    )


def roll(rows: Instants, is_alert: np.ndarray, shifts: tuple[int, ...]) -> np.ndarray:
    parts = [np.roll(is_alert[rows.codes == code], shift) for code, shift in enumerate(shifts)]
    return np.concatenate(parts)


def caught_by(outcome: EventOutcome) -> int:
    return int(np.count_nonzero(~np.isnan(outcome.warning_hours)))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Instants, np.ndarray, list[Event]]:
    """Rows of three machines, one of them without any, at irregular times, with alerts and failures."""
    every = st.lists(st.integers(0, 58), unique=True)
    own = [sorted(draw(st.lists(st.integers(0, 58), min_size=size, max_size=size, unique=True))) for size in SIZES]
    rows = instants_of([(machine, float(hour)) for machine, hours in enumerate(own) for hour in hours])
    codes = np.repeat(np.arange(len(SIZES)), SIZES)
    alerts = draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)))
    failures = [
        Event(machine, float(hour), "a") for machine in range(len(SIZES)) for hour in draw(every.map(lambda h: h[:3]))
    ]
    return Instants(pd.Index(range(len(SIZES))), codes, rows.times), np.array(alerts), failures


@given(fleets())
def test_chance_equals_evaluation_of_every_shift(fleet: tuple[Instants, np.ndarray, list[Event]]) -> None:
    rows, is_alert, failures = fleet
    outcome = evaluate(rows, is_alert, failures)
    caught = [
        caught_by(evaluate(rows, roll(rows, is_alert, shifts), failures))
        for shifts in product(*(range(max(size, 1)) for size in SIZES))
    ]
    expected, p_value = compare_with_chance(count_shifted(rows, is_alert, outcome, LABELS), rows, caught_by(outcome))
    assert expected == pytest.approx(np.mean(caught))
    assert p_value == pytest.approx(np.mean(np.array(caught) >= caught_by(outcome)))


def test_chance_of_a_constant_alert_is_certain() -> None:
    rows = instants_of([(machine, float(hour)) for machine in (1, 2) for hour in range(60)])
    failures = [Event(1, 30.0, "a"), Event(2, 40.0, "a"), Event(2, 50.0, "a")]
    always = np.ones(120, np.bool_)
    counts = count_shifted(rows, always, evaluate(rows, always, failures), LABELS)
    assert compare_with_chance(counts, rows, 3) == pytest.approx((3.0, 1.0))
    never = ~always
    counts = count_shifted(rows, never, evaluate(rows, never, failures), LABELS)
    assert compare_with_chance(counts, rows, 0) == (0.0, 1.0)


def test_chance_of_a_single_alert_is_the_share_of_rows_in_time() -> None:
    rows = instants_of([(1, float(hour)) for hour in range(60)])
    alert = np.arange(60) == 27
    counts = count_shifted(rows, alert, evaluate(rows, alert, [Event(1, 30.0, "a")]), LABELS)
    # An alert 2 to 6 h before the failure is in time: five of sixty rows.
    assert compare_with_chance(counts, rows, 1) == pytest.approx((5 / 60, 5 / 60))
