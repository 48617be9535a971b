"""``--alarm-budget``: alert thresholds moved to a budget of false alarms, without training again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pdm_cli
from pdm_cli.errors import UsageError
from pdm_cli.evaluation.alarm_budget import AlarmCurve, expected_rate, fit_budget
from pdm_cli.evaluation.alerts import AlertRule, switch_alerts
from pdm_cli.io import bundle, manifest
from tests.builders import bundles
from tests.cli.conftest import Pdm, assert_clear, edit
from tests.cli.forecasts import evaluate, predict, read


def curves_of(model: Path) -> dict[str, AlarmCurve]:
    found = bundle.load(model)
    return dict(zip(found.model.components, found.curves, strict=True))


def summary_of(out: Path) -> dict:
    return json.loads((out / "predictions.json").read_text())


def assert_alerts(predictions: pd.DataFrame, rules: dict[str, dict[str, float]]) -> None:
    """Check the alerts of each component against its rule."""
    for component, own in predictions.groupby("component"):
        own = own.sort_values(["machineID", "datetime"])
        codes, times = own["machineID"].to_numpy(np.int64), own["datetime"].to_numpy("datetime64[us]").astype(np.int64)
        rule = AlertRule(**rules[str(component)])
        alerts = switch_alerts(own["probability"].to_numpy(), codes, times, rule)
        assert alerts.tolist() == own["alert"].tolist()


def test_train_keeps_a_curve_of_each_component_with_its_rule(model: Path) -> None:
    loaded = bundle.load(model)
    assert [curve.current.rule for curve in loaded.curves] == loaded.model.rules
    assert all(curve.points[0].false_alarms == 0 for curve in loaded.curves)
    assert all(len(curve.points) <= 50 for curve in loaded.curves)
    assert sum(len(curve.points) for curve in loaded.curves) > len(loaded.curves)


def test_predict_within_a_budget_applies_the_rules_of_the_curve_and_records_them(
    model: Path, fleet: Path, predicted: Path, pdm: Pdm, tmp_path: Path
) -> None:
    outcome = predict(pdm, fleet, model, tmp_path / "out", "--alarm-budget", "0")
    assert outcome.code == 0, outcome.stderr
    found, curves = summary_of(tmp_path / "out")["alarm_budget"], curves_of(model)
    places = fit_budget(list(curves.values()), 0.0)
    chosen = {name: curve.points[place] for (name, curve), place in zip(curves.items(), places, strict=True)}
    assert found == {
        "limit": 0.0,
        "limit_per_machine_month": 0.0,
        "rules": {name: {"on": point.on, "off": point.off} for name, point in chosen.items()},
        "false_alarms_per_machine_month": 0.0,
        "caught": sum(point.caught for point in chosen.values()),
        "failures": sum(curve.failures for curve in curves.values()),
    }
    ours, theirs = read(tmp_path / "out"), read(predicted)
    pd.testing.assert_frame_equal(ours.drop(columns="alert"), theirs.drop(columns="alert"), check_exact=True)
    assert_alerts(ours, found["rules"])
    assert ours["alert"].sum() < theirs["alert"].sum()
    (line,) = [line for line in outcome.stderr.splitlines() if "--alarm-budget" in line]
    assert line.startswith("alert thresholds for at most 0 false alarms per machine and month (--alarm-budget): ")
    assert " -> " in line
    expected = f"0 false alarms, {found['caught']} of {found['failures']} failures caught"
    assert line.endswith(f"; expected, as counted on the folds of the training: {expected}")
    recorded = manifest.read(tmp_path / "out")
    assert recorded is not None
    assert recorded["parameters"]["alerts"] == {"alarm_budget": 0.0}


def test_predict_with_the_budget_of_the_training_gives_the_alerts_of_the_training(
    model: Path, fleet: Path, predicted: Path, pdm: Pdm, tmp_path: Path
) -> None:
    budget = expected_rate(list(curves_of(model).values()))
    outcome = predict(pdm, fleet, model, tmp_path / "out", "--alarm-budget", repr(budget))
    assert outcome.code == 0, outcome.stderr
    assert "(--alarm-budget): as trained; expected" in outcome.stderr
    pd.testing.assert_frame_equal(read(tmp_path / "out"), read(predicted), check_exact=True)


def test_predict_without_a_budget_records_none(predicted: Path) -> None:
    assert "alarm_budget" not in summary_of(predicted)


def test_evaluate_and_explain_apply_the_budget(model: Path, fleet: Path, pdm: Pdm) -> None:
    curves = curves_of(model)
    expected = {
        name: curve.points[place].on
        for (name, curve), place in zip(curves.items(), fit_budget(list(curves.values()), 0.0), strict=True)
    }
    scored = evaluate(pdm, fleet, model, "--alarm-budget", 0, "--json")
    assert scored.code == 0, scored.stderr
    assert {name: row["threshold"] for name, row in scored.json["components"].items()} == expected
    words = ("--data", fleet, "--model", model, "--machine", 1, "--alarm-budget", 0, "--json")
    explained = pdm("explain", *words)
    assert explained.code == 0, explained.stderr
    assert {name: row["threshold"] for name, row in explained.json["components"].items()} == expected


def test_alarm_budget_of_a_model_without_curves_is_rejected(model: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    old = shutil.copytree(model, tmp_path / "old")
    bundles.edit(old, lambda content: content.pop("curves"))
    manifest.note_output(old, "bundle.json")
    outcome = predict(pdm, fleet, old, tmp_path / "out", "--alarm-budget", "0.5")
    assert_clear(outcome, 2, "the model was trained by an earlier version of pdm", "train the model again")
    assert not (tmp_path / "out").exists()
    assert predict(pdm, fleet, old, tmp_path / "out").code == 0


def test_alarm_budget_of_a_model_of_a_short_log_is_rejected(model: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    short = shutil.copytree(model, tmp_path / "short")
    bundles.edit(short, lambda content: [curve.update(months=0.0) for curve in content["curves"]])
    manifest.note_output(short, "bundle.json")
    outcome = evaluate(pdm, fleet, short, "--alarm-budget", "0.5")
    assert_clear(outcome, 2, "trained on too short a log to count false alarms", "train on a longer log")


def test_alarm_budget_is_reported_only_for_data_that_fit_the_model(
    model: Path, raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit("telemetry", lambda t: t.rename(columns={"volt": "ampere"}))(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out", "--alarm-budget", "0.5")
    assert_clear(outcome, 5, "sensors differ from the model's", "--sensors")
    assert "alert thresholds" not in outcome.stderr


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-1", "--alarm-budget: must be at least 0, got -1"),
        ("nan", "--alarm-budget: nan is not a finite number"),
        ("inf", "--alarm-budget: inf is not a finite number"),
        ("few", "--alarm-budget: 'few' is not a number"),
        ("", "--alarm-budget"),
    ],
)
def test_alarm_budget_that_is_not_one_is_rejected(
    value: str, message: str, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    outcome = pdm("predict", "--data", fleet, "--model", fleet, "--out", tmp_path / "out", "--alarm-budget", value)
    assert_clear(outcome, 2, message, "--help")
    assert "-1.0" not in outcome.stderr


def test_predict_of_the_api_takes_the_budget(model: Path, fleet: Path) -> None:
    found = pdm_cli.predict(fleet, model=model, alarm_budget=0).summary["alarm_budget"]
    assert (found["limit"], found["false_alarms_per_machine_month"]) == (0.0, 0.0)
    with pytest.raises(UsageError, match="--alarm-budget: must be at least 0"):
        pdm_cli.predict(fleet, model=model, alarm_budget=-1)
