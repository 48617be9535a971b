from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_cli.evaluation.alerts import AlertRule
from pdm_cli.evaluation.exposure import HOURS_PER_MONTH
from pdm_cli.evaluation.metrics import f1_threshold
from pdm_cli.features.events import Instants
from pdm_cli.settings.alert_rule import Threshold, parse_threshold
from pdm_cli.settings.model import CostsParams
from pdm_cli.training.alert_rules import NEVER, choose_rule, rank_by_cost, rank_by_cost_near_f1
from pdm_cli.training.rule_outcomes import HeldOut, count_outcomes
from pdm_cli.training.splits import Split
from tests.builders.examples import FEW
from tests.builders.fleets import HOUR_US, Event, log_frame, running
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


def choose(probabilities: list[float], failures: list[Event], text: str, costs: CostsParams | None = None) -> AlertRule:
    return choose_rule(
        make_pieces(probabilities, failures),
        log_frame(failures, "failure"),
        parse_threshold(text),
        make_terms(costs),
    )


def slow_rules(pieces: list[HeldOut]) -> tuple[list[AlertRule], AlertRule]:
    """All pairs of the levels tried, and the single threshold with the best F1."""
    labels = np.concatenate([piece.labels for piece in pieces])
    probabilities = np.concatenate([piece.probabilities for piece in pieces])
    known = ~np.isnan(labels) & ~np.isnan(probabilities)
    best = f1_threshold(labels[known], probabilities[known])
    ordered = sorted(probabilities[known].tolist(), reverse=True)
    positives = int((labels[known] == 1).sum())
    tried = {best}
    for exponent in np.linspace(-2, 3, 60):
        rows = round(positives * 2**exponent)
        tried.add(ordered[min(max(rows, 1), len(ordered)) - 1])
    return [AlertRule(on, off) for on in tried for off in tried if off <= on], AlertRule(best, best)


ONCE = np.ones((len(FLEET), 1))


def slow_cost(trial: SlowTrial, costs: CostsParams) -> float:
    caught = trial.caught(costs.least_warning_hours or 0.0)
    missed = len(trial.warnings) - caught
    return missed * costs.missed_failure + caught * costs.planned_repair + trial.false_alarms * costs.false_alarm


@settings(max_examples=FEW)
@given(
    folds(),
    st.sampled_from([CostsParams(), CostsParams(3.0, 4.0, 1.0), CostsParams(5.0, 1.0, 2.0, least_warning_hours=9.0)]),
    st.sampled_from([None, 0.0, 12.0]),
)
def test_rank_by_cost_is_that_of_plain_loops(
    case: tuple[list[float], list[Event]], costs: CostsParams, limit: float | None
) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    costs = replace(costs, max_alarms_per_machine_month=limit)
    rules = [*slow_rules(pieces)[0], NEVER]
    outcomes = count_outcomes(pieces, log_frame(failures, "failure"), rules, make_terms(costs))
    trials = [SlowTrial(pieces, failures, rule) for rule in rules]
    months = 2 * len(FLEET) * (ROWS - 1) * STEP / HOURS_PER_MONTH
    # Alarms and failures are evaluated for the same months here: two folds less a horizon each.
    evaluated = 2 * len(FLEET) * ((ROWS - 1) * STEP - LABELS.horizon_hours) / HOURS_PER_MONTH
    expected = [
        slow_cost(trial, costs) / evaluated if limit is None or trial.alarms <= limit * months else math.inf
        for trial in trials
    ]
    assert rank_by_cost(outcomes, ONCE, costs)[:, 0].tolist() == pytest.approx(expected)


@settings(max_examples=FEW)
@given(folds(), st.sampled_from([CostsParams(), CostsParams(3.0, 4.0, 1.0)]))
def test_rank_by_cost_near_f1_is_that_of_plain_loops(case: tuple[list[float], list[Event]], costs: CostsParams) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    rules, single = slow_rules(pieces)
    outcomes = count_outcomes(pieces, log_frame(failures, "failure"), [*rules, single], make_terms(costs))
    bar, months = SlowTrial(pieces, failures, single), 2 * len(FLEET) * ((ROWS - 1) * STEP - LABELS.horizon_hours)
    expected = [
        slow_cost(trial, costs) / months * HOURS_PER_MONTH if trial.f1 >= bar.f1 - 0.01 else math.inf
        for trial in (SlowTrial(pieces, failures, rule) for rule in [*rules, single])
    ]
    assert rank_by_cost_near_f1(outcomes, ONCE, costs, len(rules))[:, 0].tolist() == pytest.approx(expected)


@settings(max_examples=FEW)
@given(folds(), st.sampled_from([0.0, 12.0]))
def test_the_limit_on_alarms_holds_for_the_chosen_rule(case: tuple[list[float], list[Event]], limit: float) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    costs = CostsParams(max_alarms_per_machine_month=limit)
    found = SlowTrial(pieces, failures, choose(probabilities, failures, "cost", costs))
    assert found.alarms <= limit * 2 * len(FLEET) * (ROWS - 1) * STEP / HOURS_PER_MONTH


@settings(max_examples=FEW)
@given(folds(), st.sampled_from([CostsParams(), CostsParams(3.0, 4.0, 1.0)]))
def test_a_rule_by_cost_costs_no_more_than_the_single_threshold(
    case: tuple[list[float], list[Event]], costs: CostsParams
) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    rule = choose(probabilities, failures, "cost", costs) if is_known_failure(pieces) else NEVER
    if rule == NEVER:
        return
    found, bar = (SlowTrial(pieces, failures, each) for each in (rule, slow_rules(pieces)[1]))
    assert slow_cost(found, costs) <= slow_cost(bar, costs) + 1e-9


@settings(max_examples=FEW)
@given(folds())
def test_hysteresis_is_about_as_good_as_f1(case: tuple[list[float], list[Event]]) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    found = SlowTrial(pieces, failures, choose(probabilities, failures, "hysteresis"))
    bar = SlowTrial(pieces, failures, slow_rules(pieces)[1])
    assert found.f1 >= bar.f1 - 0.01
    assert slow_cost(found, CostsParams()) <= slow_cost(bar, CostsParams()) + 1e-9


@pytest.mark.slow
@given(folds(), st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]))
def test_recall_is_reached_by_the_highest_threshold(case: tuple[list[float], list[Event]], recall: float) -> None:
    probabilities, failures = case
    pieces = make_pieces(probabilities, failures)
    if not is_known_failure(pieces):
        return
    rule = choose(probabilities, failures, f"recall={recall}")
    positives = [
        p
        for piece in pieces
        for p, label in zip(piece.probabilities, piece.labels, strict=True)
        if label == 1 and not math.isnan(p)
    ]

    def reached(threshold: float) -> bool:
        return sum(p >= threshold for p in positives) >= recall * len(positives) - 1e-9

    assert rule.on == rule.off
    assert reached(rule.on)
    assert not any(reached(p) for p in positives if p > rule.on)


def between(low: float, high: float) -> float:
    """The probability halfway between two, on the scale of log-odds."""
    odds = math.sqrt(low / (1 - low) * high / (1 - high))
    return odds / (1 + odds)


def test_hysteresis_bridges_a_dip_and_passes_over_a_weak_decoy() -> None:
    # The first warning dips to the level of a decoy: a single threshold must take both or neither.
    dip = [(11, 12, 0.9), (13, 15, 0.4), (16, 19, 0.9)]
    rows = quiet_with({(0, 0): dip, (1, 0): CLEAR, (1, 1): [(4, 4, 0.4)]})
    assert choose(rows, TWO_FAILURES, "f1") == AlertRule(0.4, 0.4)
    rule = choose(rows, TWO_FAILURES, "hysteresis")
    assert (rule.on, rule.off) == pytest.approx((between(0.4, 0.9), between(0.01, 0.4)))


def test_hysteresis_trades_a_little_f1_for_fewer_false_alarms() -> None:
    # Without the first two rows of a warning and two decoys F1 is .941 instead of .947.
    late = [(11, 12, 0.4), (13, 19, 0.9)]
    rows = quiet_with({(0, 0): late, (1, 0): CLEAR, (1, 1): [(4, 4, 0.4), (12, 12, 0.4)]})
    assert choose(rows, TWO_FAILURES, "f1").on == 0.4
    assert choose(rows, TWO_FAILURES, "hysteresis").on == pytest.approx(between(0.4, 0.9))


def test_a_recall_is_reached_whatever_its_binary_fraction() -> None:
    # .28 of 25 rows are 7, though as numbers of the machine they come out a hair above.
    rows = Instants(pd.Index([1]), np.zeros(25, np.int64), np.arange(25))
    piece = HeldOut(rows, np.ones(25), np.arange(25) / 25, Split(0, 0, 25, 25), running([25]))
    threshold = Threshold("recall", 0.28)
    rule = choose_rule([piece], log_frame([]), threshold, make_terms())
    assert rule == AlertRule(18 / 25, 18 / 25)


@pytest.mark.parametrize("text", ["hysteresis", "cost"])
def test_choose_rule_of_a_wide_plateau_turns_on_in_its_middle(text: str) -> None:
    # Every failure is clear, and no quiet row passes .03: all levels in between are equally good. Later failures may
    # peak lower than these.
    rows = quiet_with({(0, 0): [(11, 19, 0.95)], (0, 1): [(3, 3, 0.03)], (1, 0): [(11, 19, 0.96)]})
    rule = choose(rows, TWO_FAILURES, text)
    assert 0.03 < rule.on < 0.6
    assert rule.off <= rule.on


def test_choose_rule_with_few_failures_is_pulled_towards_break_even() -> None:
    # Peaks of noise between the levels of the failures leave a choice of levels without any difference in cost.
    rows = quiet_with({(0, 0): [(11, 15, 0.7), (16, 19, 0.95)], (1, 0): [(11, 15, 0.7), (16, 19, 0.95)]})
    cheap, dear = (choose(rows, TWO_FAILURES, "cost", CostsParams(10.0, cost, 2.0)) for cost in (0.01, 100.0))
    assert cheap.on < dear.on


def test_an_alert_that_never_ends_is_not_cheap() -> None:
    # The first warning is no clearer than noise on the other machine, which as one alarm up to the end of the fold
    # would never be false. Its first 54 h are: on one fold they cost less than the failure, on two they cost more.
    noise = [(0, ROWS - 1, 0.4)]
    rows = quiet_with({(0, 0): [(15, 15, 0.4)], (1, 0): CLEAR, (0, 1): noise})
    assert choose(rows, TWO_FAILURES, "cost", CostsParams(10.0, 7.0, 2.0)).on < 0.4
    rows = quiet_with({(0, 0): [(15, 15, 0.4)], (1, 0): CLEAR, (0, 1): noise, (1, 1): noise})
    assert choose(rows, TWO_FAILURES, "cost", CostsParams(10.0, 7.0, 2.0)).on > 0.4


@pytest.mark.parametrize(("false_alarm", "is_worth_it"), [(7.5, True), (7.8, False)])
def test_choose_rule_costs_are_per_evaluated_months(false_alarm: float, is_worth_it: bool) -> None:
    # Two machines: a failure that is warned of, and a false alarm. Alarms are judged for 66 h each; failures, which are
    # logged for 3 h more, for 69 h. Alerts are worth it where 2 / 69 + cost / 66 < 10 / 69, that is below 7.65.
    fold = make_pieces(quiet_with({(0, 0): [(11, 19, 0.4)], (0, 1): [(2, 2, 0.4)]}), TWO_FAILURES)[0]
    fold = replace(fold, split=replace(fold.split, label_end=fold.split.label_end + 3 * HOUR_US))
    rule = choose_rule(
        [fold],
        log_frame(TWO_FAILURES[:1], "failure"),
        Threshold("cost"),
        make_terms(CostsParams(10.0, false_alarm, 2.0)),
    )
    assert (rule != NEVER) == is_worth_it


def test_where_repairs_cost_more_than_failures_no_alert_is_worth_it() -> None:
    rows = quiet_with({(0, 0): CLEAR, (1, 0): CLEAR})
    assert choose(rows, TWO_FAILURES, "cost", CostsParams(1.0, 1.0, 2.0)) == NEVER


def test_choose_rule_ignores_failures_after_the_fold() -> None:
    rows = quiet_with({(0, 0): CLEAR, (1, 0): [*CLEAR, (ROWS - 9, ROWS - 9, 0.8)]})
    # Two hours after the last row; the alert at .8 would warn of it.
    late = [*TWO_FAILURES, Event(1, (2 * ROWS - 1) * STEP + 2.0, "comp1")]
    pieces = make_pieces(rows, TWO_FAILURES)
    for how in ("hysteresis", "cost"):
        first, second = (
            choose_rule(
                pieces,
                log_frame(failures, "failure"),
                Threshold(how),  # type: ignore[arg-type]
                make_terms(),
            )
            for failures in (TWO_FAILURES, late)
        )
        assert first == second


@pytest.mark.parametrize("text", ["hysteresis", "f1", "cost", "recall=0.9"])
def test_choose_rule_without_failure_in_folds_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="no held-out row lies before a failure"):
        choose(quiet_with({}), [], text)
