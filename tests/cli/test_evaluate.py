"""``pdm evaluate``: a model folder scored on new raw tables, and gates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pdm_cli.pipeline.simulate import write_fleet
from pdm_cli.simulation.fleet import simulate_fleet
from tests.cli.conftest import QUICK, Pdm, assert_clear, edit
from tests.cli.forecasts import evaluate, metrics_of, predict


@pytest.mark.ci
def test_data_without_any_failure_of_late_can_be_predicted_and_scored_as_far_as_possible(
    raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit("failures", lambda t: t[t["datetime"] < "2015-04-20"])(raw)
    assert predict(pdm, raw, model, tmp_path / "out").code == 0
    outcome = evaluate(pdm, raw, model)
    assert outcome.code == 0, outcome.stderr
    assert "no failure in the test span" in outcome.stdout
    assert "warning: no failure in the test span: AP, AUC and F1 cannot be computed\n" in outcome.stderr
    told = evaluate(pdm, raw, model, "--fail-on", "ap<0.1")
    assert_clear(told, 10, "failed --fail-on ap<0.1: ap is undefined", "use data that has failures")


def test_evaluate_empty_failures_is_warned_of(raw: Path, model: Path, pdm: Pdm) -> None:
    edit("failures", lambda t: t.iloc[:0])(raw)
    outcome = evaluate(pdm, raw, model)
    assert outcome.code == 0, outcome.stderr
    assert "warning: no failure in the test span: AP, AUC and F1 cannot be computed\n" in outcome.stderr


def test_evaluate_says_of_the_test_span_what_train_said(model: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = evaluate(pdm, fleet, model, "--json")
    assert outcome.code == 0, outcome.stderr
    ours, theirs = outcome.json, metrics_of(model)
    assert ours["schema"] == "pdm.evaluate/1"
    for key in ("macro", "components", "events", "calibration_error"):
        assert ours[key] == theirs[key]
    assert ours["costs"]["alerts"] == theirs["costs"]["alerts"]
    for key in ("test_start", "test_end", "test_rows", "horizon_hours"):
        assert ours["split"][key] == theirs["split"][key]


@pytest.mark.ci
@pytest.mark.parametrize("split", ["machine", "both"])
def test_evaluate_looks_at_the_machines_that_were_held_out(
    split: str, work: Path, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    words = ("--prepared", work / "prepared", "--anomalies", work / "anomalies", "--out", tmp_path / "m")
    assert pdm("train", *words, *QUICK, "--split", split, "--folds", 1).code == 0
    outcome = evaluate(pdm, fleet, tmp_path / "m", "--json")
    assert "scoring only the 4 machines that the model was not trained on" in outcome.stderr
    for key in ("macro", "events"):
        assert outcome.json[key] == metrics_of(tmp_path / "m")[key]


def test_machines_of_another_fleet_are_scored_from_their_first_row(model: Path, pdm: Pdm, tmp_path: Path) -> None:
    other = simulate_fleet(machines=4, days=60, seed=9)
    for table in (other.telemetry, other.errors, other.maint, other.failures, other.machines):
        table["machineID"] += 100
    write_fleet(other, tmp_path / "raw")
    outcome = evaluate(pdm, tmp_path / "raw", model, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["split"]["test_start"].startswith("2015-01-01")


@pytest.mark.ci
def test_gates_end_with_exit_10_and_tell_the_metric(model: Path, fleet: Path, pdm: Pdm) -> None:
    passed = evaluate(pdm, fleet, model, "--fail-on", "ap<0.05,false_alarms>100")
    assert passed.code == 0, passed.stderr
    failed = evaluate(pdm, fleet, model, "--fail-on", "auc<0.05,ap<1.1")
    assert_clear(failed, 10, "failed --fail-on ap<1.1: ap is 0.", "newer training data may help")
    assert "all: mean scores and total counts" in failed.stdout
    # One object on stdout, and all conditions that hold.
    both = evaluate(pdm, fleet, model, "--fail-on", "f1<1.1,ap<1.1", "--json")
    assert both.code == 10
    assert both.json["schema"] == "pdm.error/1"
    assert re.fullmatch(r"failed --fail-on f1<1\.1: f1 is 0\.\d+; ap<1\.1: ap is 0\.\d+", both.json["message"])
    assert set(both.json["details"]["metrics"]["macro"]) >= {"average_precision", "f1"}
    for empty in ("", " ", ","):
        assert_clear(evaluate(pdm, fleet, model, "--fail-on", empty), 2, "--fail-on: is empty", "unset")
    for bad in ("ap", "ap<many", "beauty<1"):
        assert_clear(evaluate(pdm, fleet, model, "--fail-on", bad), 2, "--fail-on: ", "ap<0.9")


def test_each_of_several_gates_counts(model: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = evaluate(pdm, fleet, model, "--fail-on", "ap<1.01", "--fail-on", "ap<0.001")
    assert_clear(outcome, 10, "failed --fail-on ap<1.01: ap is ", "the component with the lowest AP")
    assert "passed --fail-on ap<0.001" in outcome.stderr


def test_evaluate_needs_the_failures_and_later_data(raw: Path, model: Path, pdm: Pdm) -> None:
    edit("telemetry", lambda t: t[t["datetime"] <= "2015-04-01"])(raw)
    assert_clear(evaluate(pdm, raw, model), 4, "the model has seen every row", "later telemetry")


@pytest.mark.ci
def test_evaluate_knows_failures_that_the_model_does_not_use(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--prepared", work / "prepared", "--out", tmp_path / "m", *QUICK, "--families", "rolling")
    assert pdm("train", *words).code == 0
    outcome = evaluate(pdm, fleet, tmp_path / "m", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["events"] == metrics_of(tmp_path / "m")["events"]
