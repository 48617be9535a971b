from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from pdm_cli.io import bundle, manifest
from tests.builders.bundles import Content, edit
from tests.cli.conftest import Pdm, assert_clear

pytestmark = pytest.mark.usefixtures("plots")


@pytest.fixture
def model(work: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(work / "model", tmp_path / "model"))


@pytest.mark.slow
def test_train_writes_the_report_that_report_makes(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    made = pdm("report", work / "model", "--out", tmp_path / "again.html")
    assert made.code == 0, made.stderr
    assert made.stdout == f"{tmp_path / 'again.html'}\n"
    assert (tmp_path / "again.html").read_bytes() == (work / "model/report.html").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.html"]


@pytest.mark.slow
def test_predict_writes_the_report_that_report_makes(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    out = tmp_path / "predictions"
    assert pdm("predict", "--data", fleet, "--model", work / "model", "--out", out, "--latest").code == 0
    assert pdm("report", out, "--out", tmp_path / "again.html").code == 0
    text = (out / "report.html").read_text()
    assert (tmp_path / "again.html").read_text() == text
    summary = json.loads((out / "predictions.json").read_text())
    assert all(row["reasons"].replace("'", "&#39;") in text for row in summary["worklist"])


@pytest.mark.slow
def test_detect_anomalies_writes_the_report_that_report_makes(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    assert pdm("report", work / "anomalies", "--out", tmp_path / "again.html").code == 0
    assert (tmp_path / "again.html").read_bytes() == (work / "anomalies/report.html").read_bytes()


def test_report_of_anomalies_lists_the_episodes_of_the_table(work: Path) -> None:
    text = (work / "anomalies/report.html").read_text()
    summary = json.loads((work / "anomalies/summary.json").read_text())
    table = pd.read_parquet(work / "anomalies/episodes.parquet")
    anomalies = pd.read_parquet(work / "anomalies/anomalies.parquet")
    assert table["readings"].sum() == len(anomalies) > 0
    assert summary["episode_count"] == len(table.drop_duplicates(["machineID", "episode"]))
    entries = summary["episodes"]
    assert len(entries) == min(200, summary["episode_count"])
    assert [entry["rank"] for entry in entries] == list(range(1, len(entries) + 1))
    assert all(one["severity"] >= other["severity"] for one, other in pairwise(entries))
    first = entries[0]
    own = table[(table["machineID"] == first["machineID"]) & (table["start"].between(first["start"], first["end"]))]
    assert first["score"] in own["score"].tolist()
    for name in ("start", "end"):
        assert f'<span class="time">{first[name][:16].replace("T", " ")}</span>' in text
    drawn = json.loads((work / "anomalies/report.json").read_text())["courses"]
    assert text.count("<figcaption>") == len(drawn) == min(10, len(entries))


def test_the_report_tells_the_headline_and_what_was_asked_of_it(work: Path) -> None:
    text = (work / "model/report.html").read_text()
    events = json.loads((work / "model/metrics.json").read_text())["events"]
    assert f'<dd class="value">{events["caught"]} of {events["failures"]}</dd>' in text
    for heading in (
        "Caught failures and false alarms",
        "Data",
        "Leaderboard",
        "Calibration",
        "Costs",
        "Precision and recall",
        "Provenance",
    ):
        assert f">{heading}</h2>" in text
    assert "train.trees" in text
    assert "maintenance events before the machine" in text
    assert "failures by component" in text


def report_of(model: Path, pdm: Pdm, **changes: Content) -> str:
    """Return the report of a model of which JSON files, by their stem, were changed."""
    for name, change in changes.items():
        content = json.loads((model / f"{name}.json").read_text())
        change(content)
        (model / f"{name}.json").write_text(json.dumps(content))
    outcome = pdm("report", model)
    assert outcome.code == 0, outcome.stderr
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", (model / "report.html").read_text())))


@pytest.mark.parametrize(
    ("on", "off", "sentence"),
    [
        (0.5, 0.2, "The alert turns on at the solid line and off below the dotted line."),
        (0.5, 0.5, "The alert is on while the probability reaches the solid line."),
        (2.0, 0.2, ""),
    ],
)
def test_report_of_a_model_mentions_only_lines_that_are_drawn(
    model: Path, pdm: Pdm, on: float, off: float, sentence: str
) -> None:
    def set_levels(metrics: Content) -> None:
        for row in metrics["components"].values():
            row.update(threshold=on, alert_off=off)

    text = report_of(model, pdm, metrics=set_levels)
    assert f"shaded while the alert is on. {sentence}".strip() in text
    assert "bold line" not in text
    assert ("solid line" in text) == ("solid line" in sentence)
    assert ("it never alerts" in text) == (on > 1)


def test_report_of_a_model_alert_before_the_horizon_is_explained(model: Path, pdm: Pdm) -> None:
    def set_alerts(is_early: bool) -> Callable[[Content], None]:
        def change(evidence: Content) -> None:
            line = evidence["timelines"]["caught"]
            line["warning_hours"] = 46.0
            hours = line["prediction"]["hours"]
            line["prediction"]["alert"] = [hour >= -48 or (is_early and hour >= -60) for hour in hours]

        return change

    note = "warned 46 h ahead (an alert counts from 48 h ahead on)"
    assert note in report_of(model, pdm, report=set_alerts(is_early=True))
    text = report_of(model, pdm, report=set_alerts(is_early=False))
    assert note not in text
    assert "warned 46 h ahead" in text
    assert "first alert to the failure, at most the horizon of 48 h;" in text


@pytest.mark.parametrize(
    ("ages", "cost", "note"),
    [
        ([700.0, None], 1.0, "comp1 every 700 h. For the others, none is cheaper than running to failure."),
        ([700.0, None], None, "none is cheaper than running to failure, or their lifetimes are unknown."),
        ([700.0, 900.0], 1.0, "rows: comp1 every 700 h, comp2 every 900 h. "),
        ([None, None], 1.0, "No replacement interval is cheaper than running to failure."),
    ],
)
def test_report_of_a_model_says_why_components_have_no_interval(
    model: Path, pdm: Pdm, ages: list[float | None], cost: float | None, note: str
) -> None:
    def set_costs(metrics: Content) -> None:
        intervals = dict(zip(("comp1", "comp2"), ages, strict=True))
        metrics["costs"].update(fixed_interval=cost, interval_hours=intervals)

    text = report_of(model, pdm, metrics=set_costs)
    assert note in text
    assert ("For the others" in text) == (None in ages and any(ages))


def test_a_report_made_anew_in_place_leaves_the_folder_whole(model: Path, pdm: Pdm) -> None:
    (model / "report.html").write_text("an older one")
    outcome = pdm("report", model, "--json")
    assert outcome.json["schema"] == "pdm.report-file/1"
    assert outcome.json["bytes"] == (model / "report.html").stat().st_size
    listed = manifest.read(model)
    assert listed is not None
    assert manifest.is_whole(model, listed)


def test_a_model_without_manifest_has_a_report(model: Path, pdm: Pdm) -> None:
    (model / "manifest.json").unlink()
    assert pdm("report", model).code == 0
    assert "no manifest.json" in (model / "report.html").read_text()
    assert not (model / "manifest.json").exists()


def test_report_of_a_model_lists_budgets_of_false_alarms_and_draws_curves(work: Path) -> None:
    text, loaded = (work / "model/report.html").read_text(), bundle.load(work / "model")
    drawn = [
        (name, curve)
        for name, curve in zip(loaded.model.components, loaded.curves, strict=True)
        if len(curve.points) > 1
    ]
    assert drawn
    for number, (name, curve) in enumerate(drawn):
        assert f'id="alarms-{number}-title">Caught failures of {name} against false alarms</title>' in text
        rate = curve.rate(curve.chosen)
        assert f"{name}: {curve.current.caught} of {curve.failures} failures caught, {rate:.2f} false alarms" in text
    failures = sum(curve.failures for curve in loaded.curves)
    caught = sum(curve.points[0].caught for curve in loaded.curves)
    assert re.search(rf">at most 0</th>.*?>0\.00<.*?>{caught} of {failures}<", text, flags=re.DOTALL)


def test_report_of_a_model_without_curves_has_none(model: Path, pdm: Pdm) -> None:
    edit(model, lambda content: content.pop("curves"))
    assert pdm("report", model).code == 0
    assert 'id="alarms"' not in (model / "report.html").read_text()


def test_report_of_a_model_names_components_without_a_choice(model: Path, pdm: Pdm) -> None:
    def change(content: Content) -> None:
        never = {"on": 2.0, "off": 2.0, "false_alarms": 0, "caught": 0}
        content["curves"][:2] = [
            {"months": 3.0, "failures": 9, "chosen": 0, "points": [never]},
            {"months": 3.0, "failures": 9, "chosen": 0, "points": [{**never, "on": 0.5, "off": 0.4, "caught": 9}]},
        ]
        content["curves"][2] = {
            "months": 3.0,
            "failures": 9,
            "chosen": 0,
            "points": [never, {**never, "false_alarms": 1}],
        }

    edit(model, change)
    assert pdm("report", model).code == 0
    text = (model / "report.html").read_text()
    assert "comp1: no alerts, whatever the budget." in text
    assert "comp2: no other thresholds catch more failures or cause fewer false alarms." in text


def test_another_folder_is_refused_with_the_way_to_the_right_one(work: Path, pdm: Pdm) -> None:
    outcome = pdm("report", work)
    assert outcome.code == 2
    assert "contains no telemetry, anomalies, health, model or predictions" in outcome.stderr
    assert f"did you mean {work / 'model'}?" in outcome.stderr
    assert pdm("report", work / "no-such").code == 2


def test_report_raw_tables_that_cannot_be_read_are_named(raw: Path, pdm: Pdm) -> None:
    (raw / "failures.parquet").write_bytes(b"no table")
    assert_clear(pdm("report", raw), 4, "failures.parquet: not a Parquet file", "")
    (raw / "telemetry.parquet").write_bytes(b"no table")
    assert_clear(pdm("report", raw), 4, "telemetry.parquet: not a Parquet file", "")


@pytest.mark.parametrize("file", ["report.json", "bundle.json", "predictions.parquet"])
def test_what_is_missing_is_named(file: str, model: Path, pdm: Pdm) -> None:
    before = (model / "report.html").read_bytes()
    (model / file).unlink()
    outcome = pdm("report", model)
    assert outcome.code in (4, 5)
    assert file in outcome.stderr
    assert (model / "report.html").read_bytes() == before


def test_damaged_evidence_is_no_bug(model: Path, pdm: Pdm) -> None:
    (model / "report.json").write_text("{}")
    outcome = pdm("report", model)
    assert outcome.code == 5
    assert "report.json" in outcome.stderr or "cannot build a report" in outcome.stderr


@pytest.mark.parametrize("name", ["probability", "component"])
def test_report_missing_column_of_predictions_is_named(name: str, model: Path, pdm: Pdm) -> None:
    path = model / "predictions.parquet"
    pd.read_parquet(path).drop(columns=name).to_parquet(path)
    outcome = pdm("report", model)
    assert_clear(outcome, 5, f"error: {path}: no column {name!r}", "run the command that wrote the folder again")


def test_report_out_in_a_missing_folder_is_rejected(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("report", work / "model", "--out", tmp_path / "no" / "such.html")
    assert_clear(outcome, 2, f"error: {tmp_path / 'no'}: no such folder", "create the folder")


@pytest.mark.slow
def test_report_out_in_a_file_is_rejected(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = pdm("report", work / "model", "--out", tmp_path / "file" / "such.html")
    assert_clear(outcome, 2, "cannot write", "writable folder")


@pytest.mark.parametrize("name", ["notes.txt", "bundle.json"])
def test_a_file_that_is_no_report_is_not_written_over(name: str, model: Path, pdm: Pdm) -> None:
    target = model / name
    target.write_text("mine")
    outcome = pdm("report", model, "--out", target)
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"error: {target}: exists, but is not a pdm report\nhint: ")
    assert target.read_text() == "mine"


def test_a_report_is_written_over(model: Path, pdm: Pdm, tmp_path: Path) -> None:
    for _ in range(2):
        assert pdm("report", model, "--out", tmp_path / "failures.html").code == 0
