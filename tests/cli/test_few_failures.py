"""Components with too few failures to train on: base rates, no alerts, and every command says so or works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import QUICK, Pdm, assert_clear, edit

pytestmark = pytest.mark.slow

SAID = (
    "too few failures of comp9 to train on in every fold: its probability is its base rate, and it never alerts; "
    "provide a longer log (training needs at least 2 failures of a component before the cutoff: one to train and one "
    "to test on in a fold), or train without it (--components)\n"
)


def add_rare(log: pd.DataFrame) -> pd.DataFrame:
    """Return the log with a single failure of comp9."""
    rare = log.iloc[:1].assign(failure="comp9", datetime=pd.Timestamp("2015-03-20 06:00"))
    return pd.concat([log, rare], ignore_index=True)


@pytest.fixture(scope="module")
def trained(fleet: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw tables with a component that failed once, and a model of it."""
    folder = tmp_path_factory.mktemp("few")
    raw = folder / "raw"
    raw.mkdir()
    for path in fleet.glob("*.parquet"):
        (raw / path.name).write_bytes(path.read_bytes())
    edit("failures", add_rare)(raw)
    assert pdm("preprocess", "--data", raw, "--out", folder / "prepared").code == 0
    outcome = pdm("train", "--prepared", folder / "prepared", "--out", folder / "model", *QUICK, "--split", "time")
    assert outcome.code == 0, outcome.stderr
    assert SAID in outcome.stderr
    assert "only the base rate and no alerts: comp9" in outcome.stdout
    return folder


def test_train_only_components_with_few_failures_is_rejected(trained: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("train", "--prepared", trained / "prepared", "--out", tmp_path / "m", *QUICK, "--split", "time")
    outcome = pdm(*words, "--components", "comp9")
    assert_clear(outcome, 4, "too few failures of comp9 to train on in every fold", "provide a longer log")
    assert not (tmp_path / "m").exists()


def test_metrics_and_report_of_a_component_with_few_failures_say_so(trained: Path) -> None:
    metrics = json.loads((trained / "model/metrics.json").read_text())
    found = {name: row["prior_only"] for name, row in metrics["components"].items()}
    assert found.pop("comp9")
    assert not any(found.values())
    assert metrics["components"]["comp9"]["events"]["false_alarms"] == 0
    page = (trained / "model/report.html").read_text()
    assert "only the base rate and no alerts: comp9" in page
    assert "comp9: fails every " in page
    lifetime = metrics["components"]["comp9"]["lifetime"]
    assert (lifetime["failures"], lifetime["ageing"]) == (1, None)
    assert metrics["components"]["comp1"]["lifetime"] is None


def test_predictions_of_a_component_with_few_failures_are_its_base_rate(trained: Path, pdm: Pdm) -> None:
    out = trained / "predicted"
    outcome = pdm("predict", "--data", trained / "raw", "--model", trained / "model", "--out", out)
    assert outcome.code == 0, outcome.stderr
    predictions = pd.read_parquet(out / "predictions.parquet")
    own = predictions[predictions["component"] == "comp9"]
    assert len(own) > 1000
    assert own["probability"].nunique() == 1
    assert 0 < own["probability"].iloc[0] < 0.01
    assert not own["alert"].any()
    assert "failures within 48 h per machine, of components without alerts: comp9 " in outcome.stdout


def test_predict_lists_parts_of_a_component_with_few_failures_by_age(trained: Path, pdm: Pdm, tmp_path: Path) -> None:
    out = tmp_path / "predicted"
    outcome = pdm("predict", "--data", trained / "raw", "--model", trained / "model", "--out", out, "--json")
    assert outcome.code == 0, outcome.stderr
    found = outcome.json["by_age"]
    assert list(found["components"]) == ["comp9"]
    # Too few failures to say that older parts fail more often.
    assert found["first"] == []
    parts = pd.read_csv(out / "by_age.csv")
    assert set(parts["component"]) == {"comp9"}
    assert sorted(parts["machineID"]) == list(range(1, outcome.json["machines"] + 1))
    rate = found["components"]["comp9"]
    assert parts["probability"].tolist() == pytest.approx([rate["probability"]] * len(parts))
    assert 0 < rate["low"] < rate["probability"] < rate["high"] < 0.05
    failed = parts.set_index("machineID").loc[1]
    raw = pd.read_parquet(trained / "raw/telemetry.parquet")
    last = raw.loc[raw["machineID"] == 1, "datetime"].max()
    assert failed["age_hours"] == (last - pd.Timestamp("2015-03-20 06:00")).total_seconds() // 3600
    assert list(parts.loc[parts["is_minimum"], "machineID"]) == list(range(2, len(parts) + 1))
    assert "Components without alerts" in (out / "report.html").read_text()


def with_lifetimes(trained: Path, folder: Path, lifetimes: dict | None) -> Path:
    """Return a copy of the model with other lifetimes; ``None`` for those of an older model, which has none."""
    shutil.copytree(trained / "model", folder)
    (folder / "manifest.json").unlink()
    content = json.loads((folder / "bundle.json").read_text())
    del content["lifetimes"]
    if lifetimes is not None:
        content["lifetimes"] = lifetimes
    (folder / "bundle.json").write_text(json.dumps(content))
    return folder


def test_predict_with_an_old_model_has_no_parts_by_age(trained: Path, pdm: Pdm, tmp_path: Path) -> None:
    model, out = with_lifetimes(trained, tmp_path / "model", None), tmp_path / "predicted"
    outcome = pdm("predict", "--data", trained / "raw", "--model", model, "--out", out)
    assert outcome.code == 0, outcome.stderr
    assert "without alerts" not in outcome.stdout
    assert len(pd.read_csv(out / "by_age.csv")) == 0
    assert "Components without alerts" not in (out / "report.html").read_text()


def test_predict_shows_the_oldest_parts_of_a_component_that_wears_out(trained: Path, pdm: Pdm, tmp_path: Path) -> None:
    weibull = {"shape": 4.0, "scale_hours": 3000, "covariance": [0.01, 0, 0.001], "longest_hours": 5000}
    rate = {"failures": 40, "machine_hours": 1e5, "rate": 4e-4, "rate_low": 3e-4, "rate_high": 5e-4}
    lifetime = {**rate, "weibull": {**weibull, "lives": 90, "failures": 40}}
    model, out = with_lifetimes(trained, tmp_path / "model", {"comp9": lifetime}), tmp_path / "predicted"
    outcome = pdm("predict", "--data", trained / "raw", "--model", model, "--out", out)
    assert outcome.code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    title = lines.index("parts most likely to fail by their age, of components without alerts")
    assert "fails within 48 h" in lines[title + 2]
    shown, parts = lines[title + 4 : title + 9], pd.read_csv(out / "by_age.csv")
    assert [line.split()[0] for line in shown] == [str(machine) for machine in parts["machineID"].head(5)]
    assert all(" comp9 " in line and " days or more " in line for line in shown)
    assert not lines[title + 9].strip()
    assert parts["probability"].is_monotonic_decreasing
    # The part that was replaced is younger than the others.
    assert parts["machineID"].iloc[-1] == 1
    page = (out / "report.html").read_text()
    assert "wears out (Weibull shape 4.00" in page
    assert "Parts most likely to fail, by age" in page
    asked = ("--data", trained / "raw", "--model", model, "--machine", 2)
    explained = pdm("explain", *asked)
    assert explained.code == 0, explained.stderr
    assert "comp9 never alerts; at its age of " in explained.stdout
    part = pdm("explain", *asked, "--json").json["components"]["comp9"]["by_age"]
    row = parts.set_index("machineID").loc[2]
    assert part["probability"] == pytest.approx(row["probability"])
    assert (part["age_hours"], part["is_minimum"]) == (row["age_hours"], row["is_minimum"])


def test_evaluate_a_component_with_few_failures_works(trained: Path, pdm: Pdm) -> None:
    outcome = pdm("evaluate", "--data", trained / "raw", "--model", trained / "model", "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["components"]["comp9"]["prior_only"]


def test_explain_a_component_with_few_failures_has_no_reasons(trained: Path, pdm: Pdm) -> None:
    words = ("explain", "--data", trained / "raw", "--model", trained / "model", "--machine", 1, "--component", "comp9")
    outcome = pdm(*words, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["reasons"] == []
    assert outcome.json["others"]["log_odds"] == 0
    outcome = pdm(*words)
    assert outcome.code == 0, outcome.stderr
    assert "comp9 never alerts; at its age of " in outcome.stdout


def test_held_out_rows_of_metrics_and_predictions_are_the_same(trained: Path) -> None:
    metrics = json.loads((trained / "model/metrics.json").read_text())
    predictions = pd.read_parquet(trained / "model/predictions.parquet")
    for name, row in metrics["components"].items():
        own = predictions[(predictions["component"] == name) & predictions["label"].notna()]
        assert len(own) == metrics["split"]["test_rows"] == sum(part["rows"] for part in row["reliability"])
        error = own["probability"].to_numpy() - own["label"].to_numpy(np.float64)
        assert np.mean(error**2) == pytest.approx(row["brier"])
