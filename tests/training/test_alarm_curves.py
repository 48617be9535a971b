"""Curves of failures caught against false alarms, compared with plain loops."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli.evaluation.alarm_budget import AlarmCurve, AlarmPoint
from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.exposure import HOURS_PER_MONTH
from pdm_cli.features.events import Instants
from pdm_cli.features.labels import label_failures
from pdm_cli.settings.alert_rule import parse_threshold
from pdm_cli.settings.model import CostsParams
from pdm_cli.training.alarm_curves import silent_curve, trace_curve
from pdm_cli.training.alert_rules import NEVER, choose_rule
from pdm_cli.training.rule_outcomes import AlertTerms, HeldOut
from pdm_cli.training.splits import Split
from tests.builders.alerts import us
from tests.builders.examples import FEW
from tests.builders.fleets import Event, log_frame, running
from tests.builders.rule_trials import (
    CLEAR,
    FLEET,
    LABELS,
    ROWS,
    STEP,
    TWO_FAILURES,
    SlowTrial,
    folds,
    is_known_failure,
    make_pieces,
    make_terms,
    quiet_with,
)


def trace(pieces: list[HeldOut], failures: list[Event], text: str, terms: AlertTerms) -> AlarmCurve:
    log = log_frame(failures, "failure")
    return trace_curve(pieces, log, choose_rule(pieces, log, parse_threshold(text), terms), terms)


def log_odds(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


def shifted(rule: AlertRule, on: float) -> AlertRule:
    """The rule that turns on at another probability, and off as far below it in log-odds."""
    if NEVER in (rule, AlertRule(on, on)) or rule.on == rule.off:
        return AlertRule(on, on)
    odds = log_odds(on) - log_odds(rule.on) + log_odds(rule.off)
    return AlertRule(on, min(on, 1 / (1 + math.exp(-odds))))


def slow_levels(pieces: list[HeldOut]) -> list[float]:
    """The highest probability of rows that alert, and others that more and more rows reach."""
    labels = np.concatenate([piece.labels for piece in pieces])
    probabilities = np.concatenate([piece.probabilities for piece in pieces])
    known = ~np.isnan(labels) & ~np.isnan(probabilities)
    ordered, positives = sorted(probabilities[known].tolist(), reverse=True), int((labels[known] == 1).sum())
    ranks = [round(positives * 2**exponent) for exponent in np.linspace(-6, 3, 75)]
    return sorted({ordered[min(max(rank, 1), len(ordered)) - 1] for rank in ranks})


@settings(max_examples=FEW)
@given(folds(), st.sampled_from(["hysteresis", "f1", "recall=0.8", "cost"]), st.sampled_from([None, 9.0]))
def test_trace_curve_has_the_counts_of_plain_loops_and_leaves_no_better_rule_out(
    case: tuple[list[float], list[Event]], text: str, least: float | None
) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    terms = make_terms(CostsParams(least_warning_hours=least))
    curve = trace(pieces, failures, text, terms)
    trials = [SlowTrial(pieces, failures, point.rule) for point in curve.points]
    assert [(point.false_alarms, point.caught) for point in curve.points] == [
        (trial.false_alarms, trial.caught(least or 0.0)) for trial in trials
    ]
    assert curve.failures == len(trials[0].warnings)
    rule, chosen = curve.current.rule, curve.current
    for on in slow_levels(pieces):
        trial = SlowTrial(pieces, failures, shifted(rule, on))
        found = trial.caught(least or 0.0)
        if trial.false_alarms <= chosen.false_alarms and found > chosen.caught:
            # It breaks the curve, and the chosen rule was preferred to it.
            continue
        assert found <= max(point.caught for point in curve.points if point.false_alarms <= trial.false_alarms)


@settings(max_examples=FEW)
@given(folds(), st.sampled_from(["hysteresis", "f1", "recall=0.8", "cost"]))
def test_trace_curve_contains_the_chosen_rule_and_one_without_false_alarms(
    case: tuple[list[float], list[Event]], text: str
) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    curve, log = trace(pieces, failures, text, make_terms()), log_frame(failures, "failure")
    assert curve.current.rule == choose_rule(pieces, log, parse_threshold(text), make_terms())
    assert curve.points[0].false_alarms == 0
    evaluated = 2 * len(FLEET) * ((ROWS - 1) * STEP - LABELS.horizon_hours) / HOURS_PER_MONTH
    assert curve.months == pytest.approx(evaluated)


def test_trace_curve_of_equal_rules_keeps_the_middle_one() -> None:
    # Turning on at .2, .3 or .5 warns of both failures, with the false alarm at .6; at .7 and .8 of one without it.
    rows = quiet_with(
        {
            (0, 0): [(11, 11, 0.2), (12, 12, 0.3), (13, 19, 0.5)],
            (0, 1): [(3, 3, 0.6)],
            (1, 0): [(11, 13, 0.7), (14, 16, 0.75), (17, 19, 0.8)],
        }
    )
    pieces, log = make_pieces(rows, TWO_FAILURES), log_frame(TWO_FAILURES, "failure")
    curve = trace_curve(pieces, log, AlertRule(0.5, 0.5), make_terms())
    assert [(point.false_alarms, point.caught) for point in curve.points] == [(0, 1), (1, 2)]
    assert 0.7 < curve.points[0].on < 0.75
    assert curve.current == AlarmPoint(0.5, 0.5, 1, 2)


def test_trace_curve_of_a_silent_component_has_no_other_rule() -> None:
    rows = quiet_with({(0, 0): CLEAR, (1, 0): CLEAR})
    pieces, log = make_pieces(rows, TWO_FAILURES), log_frame(TWO_FAILURES, "failure")
    curve = trace_curve(pieces, log, NEVER, make_terms(), is_silent=True)
    assert (curve.points, curve.failures, curve.chosen) == ([AlarmPoint(2.0, 2.0, 0, 0)], 2, 0)
    assert curve.months > 0


def test_silent_curve_is_of_a_component_that_never_alerts() -> None:
    assert silent_curve().current.rule == NEVER


def graded_piece(machines: int) -> tuple[HeldOut, pd.DataFrame]:
    """A fold in which each level catches one more failure with one more false alarm."""
    hours = np.tile(np.arange(ROWS) * STEP, machines)
    times = np.array([us(hour) for hour in hours], np.int64)
    rows = Instants(pd.Index(range(machines)), np.repeat(np.arange(machines), ROWS), times)
    log = log_frame([Event(machine, 60.0, "comp1") for machine in range(0, machines, 2)], "failure")
    probabilities = np.full((machines, ROWS), 0.01)
    probabilities[:, 1:10] = (0.9 * (1 - np.arange(machines) / machines))[:, None]
    probabilities[::2] = np.roll(probabilities[::2], 10, axis=1)
    end = int(times.max())
    known = running([end] * machines)
    labels = label_failures(rows, log, ["comp1"], known=known, params=LABELS)[:, 0]
    return HeldOut(rows, labels, probabilities.ravel(), Split(us(-48), us(0), end, end), known), log


def test_trace_curve_of_many_rules_is_thinned_to_fifty_with_the_chosen_one() -> None:
    piece, log = graded_piece(700)
    for on in (0.3003, 0.4117):
        curve = trace_curve([piece], log, AlertRule(on, on), make_terms())
        # Of 49 that are evenly spaced, the chosen one may be one.
        assert len(curve.points) in (49, 50)
        assert (curve.current.on, curve.points[0].false_alarms, curve.points[-1].caught) == (on, 0, 350)
