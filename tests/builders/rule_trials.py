"""Held-out folds of two machines, and the outcome of an alert rule on them by plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import label_failures
from pdm_cli.settings.model import CostsParams, LabelsParams
from pdm_cli.training.rule_outcomes import AlertTerms, HeldOut
from pdm_cli.training.splits import Split
from tests.builders.alerts import levels, slow_switch, us
from tests.builders.fleets import EPOCH_US, HOUR_US, Event, log_frame, running

# Long enough for warnings of more than a day, and twice of it fits into a fold.
LABELS = LabelsParams(3.0, 27.0)
MERGE_HOURS = 6.0
STEP = 3
ROWS = 32
FLEET = (1, 2)


# Folds: two pieces, one after the other, of two machines with a row every three hours.


def make_pieces(probabilities: list[float], failures: list[Event]) -> list[HeldOut]:
    """Cut the rows of a fleet into two folds; labels as the labelled table has them."""
    log = log_frame([replace(event, kind="comp1") for event in failures], "failure")
    pieces = []
    for number, chunk in enumerate(np.array_split(np.array(probabilities), 2)):
        first = number * ROWS * STEP
        hours = first + np.tile(np.arange(ROWS) * STEP, len(FLEET))
        times = np.array([us(hour) for hour in hours], np.int64)
        instants = Instants(pd.Index(FLEET), np.repeat(np.arange(len(FLEET)), ROWS), times)
        end = int(times.max())
        known = running([end] * len(FLEET))
        labels = label_failures(instants, log, ["comp1"], known=known, params=LABELS)[:, 0]
        pieces.append(HeldOut(instants, labels, chunk, Split(us(first - 48), us(first), end, end), known))
    return pieces


def make_terms(costs: CostsParams | None = None) -> AlertTerms:
    return AlertTerms(LABELS, costs or CostsParams(), MERGE_HOURS)


class SlowTrial:
    """F1, warnings, alarms and false alarms of a rule, by plain loops."""

    def __init__(self, pieces: list[HeldOut], failures: list[Event], rule: AlertRule) -> None:
        self.warnings: list[float] = []
        self.alarms = self.false_alarms = hits = alerted = positives = 0
        for piece in pieces:
            hours = ((piece.rows.times - EPOCH_US) / HOUR_US).tolist()
            codes = piece.rows.codes.tolist()
            is_on = slow_switch(piece.probabilities.tolist(), codes, hours, rule)
            hits += sum(on and label == 1 for on, label in zip(is_on, piece.labels, strict=True))
            alerted += sum(on and not math.isnan(label) for on, label in zip(is_on, piece.labels, strict=True))
            positives += int((piece.labels == 1).sum())
            start, end = hours[0], max(hours)
            for code, machine in enumerate(FLEET):
                alerts = [hour for hour, c, on in zip(hours, codes, is_on, strict=True) if on and c == code]
                failed = [event.hour for event in failures if event.machine == machine and event.hour <= end]
                self._warn(alerts, [hour for hour in failed if hour - LABELS.horizon_hours >= start])
                self._alarm(alerts, failed, end)
        self.f1 = 2 * hits / (alerted + positives)

    def _warn(self, alerts: list[float], failed: list[float]) -> None:
        for hour in failed:
            ahead = [hour - alert for alert in alerts if LABELS.lead_time_hours <= hour - alert <= LABELS.horizon_hours]
            self.warnings.append(max(ahead, default=math.nan))

    def _alarm(self, alerts: list[float], failed: list[float], end: float) -> None:
        episodes: list[list[list[float]]] = []
        for hour in alerts:
            if not episodes or hour - episodes[-1][-1][-1] > MERGE_HOURS:
                episodes.append([[hour]])
                continue
            pieces = (hour - episodes[-1][0][0]) // (2 * LABELS.horizon_hours)
            before = (episodes[-1][-1][-1] - episodes[-1][0][0]) // (2 * LABELS.horizon_hours)
            if pieces == before:
                episodes[-1][-1].append(hour)
            else:
                episodes[-1].append([hour])
        for alarm in [piece for episode in episodes for piece in episode]:
            until = alarm[-1] + LABELS.horizon_hours
            self.alarms += 1
            self.false_alarms += until <= end and not any(alarm[0] <= hour <= until for hour in failed)

    def caught(self, least: float) -> int:
        return sum(hours >= least for hours in self.warnings)


@st.composite
def folds(draw: st.DrawFn) -> tuple[list[float], list[Event]]:
    """Probabilities that mostly rise before failures."""
    failures = draw(
        st.lists(
            st.builds(
                Event, st.sampled_from(FLEET), st.integers(30, 2 * ROWS * STEP + 10).map(float), st.just("comp1")
            ),
            min_size=1,
            max_size=4,
        )
    )
    noise = draw(st.lists(levels | st.just(math.nan), min_size=2 * 2 * ROWS, max_size=2 * 2 * ROWS))
    labels = np.concatenate([piece.labels for piece in make_pieces(noise, failures)])
    return [p if label != 1 else (p + 2) / 3 for p, label in zip(noise, labels, strict=True)], failures


def is_known_failure(pieces: list[HeldOut]) -> bool:
    return any(bool(np.any((piece.labels == 1) & ~np.isnan(piece.probabilities))) for piece in pieces)


def quiet_with(spans: dict[tuple[int, int], list[tuple[int, int, float]]]) -> list[float]:
    """Rows at .01 save for spans (first row, last row, probability) of each (fold, machine)."""
    rows = np.full((2, len(FLEET), ROWS), 0.01)
    for (fold, machine), pieces in spans.items():
        for first, last, p in pieces:
            rows[fold, machine, first : last + 1] = p
    return rows.ravel().tolist()


# Failures of machine 1, at hour 60 of the first fold and of the second.
TWO_FAILURES = [Event(1, 60.0, "comp1"), Event(1, ROWS * STEP + 60.0, "comp1")]
# Rows 11 to 19 lie 27 to 3 h before them.
CLEAR = [(11, 19, 0.9)]
