"""A log that counts cycles: every screen, message and report shows cycles, and readings with their units."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pdm_cli.io import bundle
from pdm_cli.units import Units
from tests.cli.conftest import Pdm, assert_clear
from tests.conftest import QUICK
from tests.outcome import Outcome

UNITS = Units(1.0, {"volt": "V", "vibration": "mm/s"})
# Dates, time zones, and durations in hours or days.
CALENDAR = re.compile(r"\d{4}-\d\d|\bUTC\b|\d (?:h|hours?|days?|min|months?)\b|\bhours?\b|\bdays?\b|\bmonths?\b")


@pytest.fixture
def cycles(raw: Path) -> Path:
    """The fleet as a log of cycles from 1 on, with units of two sensors."""
    tables = {path: pd.read_parquet(path) for path in raw.glob("*.parquet")}
    start = tables[raw / "telemetry.parquet"]["datetime"].min()
    for path, table in tables.items():
        if "datetime" in table:
            moved = table["datetime"] - start + pd.Timestamp("2000-01-01 01:00")
            table.assign(datetime=moved.astype("datetime64[us]")).to_parquet(path, index=False)
    path = raw / "telemetry.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(UNITS.metadata()), path)
    return raw


def text_of(report: Path) -> str:
    """Return the visible text of a report, without its provenance."""
    page = re.sub(r"<style.*?</style>|<title.*?</title>", "", report.read_text(encoding="utf-8"), flags=re.DOTALL)
    shown = html.unescape(re.sub(r"<[^>]+>", " ", page.partition('<section id="made"')[0]))
    return re.sub(r"\s+", " ", shown)


def assert_cycles(text: str) -> None:
    assert not CALENDAR.findall(text), text
    assert "cycle" in text


@pytest.mark.slow
@pytest.mark.usefixtures("plots")
def test_cycles_are_shown_from_preprocess_to_the_report(pdm: Pdm, cycles: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "predictions"
    outcome = pdm("run", "--data", cycles, "--out", work, "--jobs", 1, "--horizon-hours", "48 cycles", *QUICK)
    assert outcome.code == 0, outcome.stderr
    assert_cycles(outcome.stdout)
    assert not CALENDAR.findall(outcome.stderr), outcome.stderr
    assert "* false alarms per machine and 1,000 cycles" in outcome.stdout
    metrics = json.loads((work / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["cycle_hours"], metrics["units"]) == (1.0, dict(UNITS.sensors))
    assert metrics["split"]["horizon_hours"] == 48
    assert_cycles(text_of(work / "model" / "report.html"))
    assert "volt [V]" in text_of(work / "model" / "report.html")
    assert bundle.load_recipe(work / "model").units == UNITS
    words = ("--data", cycles, "--model", work / "model")
    # Machines that count cycles have clocks of their own, so that one of them may end long before the others.
    telemetry = pq.read_table(cycles / "telemetry.parquet")
    is_kept = [machine != 1 or row < 2500 for row, machine in enumerate(telemetry["machineID"].to_pylist())]
    pq.write_table(telemetry.filter(is_kept), cycles / "telemetry.parquet")
    outcome = pdm("predict", *words, "--out", out)
    assert_cycles(outcome.stdout)
    assert "sent nothing" not in outcome.stderr
    assert "history" not in outcome.stderr
    assert not CALENDAR.findall(outcome.stderr), outcome.stderr
    assert_cycles(text_of(out / "report.html"))
    for command in (("explain", *words, "--machine", 1, "--at", "cycle 2000"), ("evaluate", *words)):
        outcome = pdm(*command)
        assert outcome.code == 0, outcome.stderr
        assert_cycles(outcome.stdout)
        assert not CALENDAR.findall(outcome.stderr), outcome.stderr
    outcome = pdm("evaluate", *words, "--alarm-budget", 0)
    assert "alert thresholds for at most 0 false alarms per machine and 1,000 cycles" in outcome.stderr
    explained = json.loads(pdm("explain", *words, "--machine", 1, "--json").stdout)
    assert (explained["cycle_hours"], explained["datetime"][:2]) == (1.0, "20")
    outcome = pdm("predict", *words, "--out", tmp_path / "other", "--since", "cycle 90000")
    assert_clear(outcome, 4, "no reading since cycle 90000 (--since); the last is cycle", "earlier --since")


@pytest.mark.slow
def test_predict_by_age_warns_of_machines_whose_first_cycles_are_missing(
    pdm: Pdm, cycles: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    words = ("--jobs", 1, "--horizon-hours", "48 cycles", "--families", "rolling,usage")
    assert pdm("run", "--data", cycles, "--out", work, *words, *QUICK).code == 0
    words = ("--data", cycles, "--model", work / "model", "--out", tmp_path / "out")
    assert "begin" not in pdm("predict", *words).stderr
    telemetry = pd.read_parquet(cycles / "telemetry.parquet")
    is_kept = (telemetry["machineID"] != 2) | (telemetry["datetime"] >= pd.Timestamp("2000-01-03 00:00"))
    table = pq.read_table(cycles / "telemetry.parquet").filter(is_kept.to_numpy())
    pq.write_table(table, cycles / "telemetry.parquet")
    outcome = pdm("predict", *words, "--overwrite")
    assert outcome.code == 0
    assert "begins late, such as machine 2 at cycle 48, but the model uses their age" in outcome.stderr


@pytest.mark.slow
def test_units_of_a_model_must_be_those_of_the_data(pdm: Pdm, cycles: Path, work: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for path in (work / "model").iterdir():
        if path.name != "manifest.json":
            (model / path.name).write_bytes(path.read_bytes())
    stored = json.loads((model / "bundle.json").read_text(encoding="utf-8"))

    def predict(**units: object) -> Outcome:
        content = json.dumps({**stored, **units})
        (model / "bundle.json").write_text(content, encoding="utf-8")
        return pdm("predict", "--data", cycles, "--model", model, "--out", tmp_path / "out")

    assert_clear(predict(cycle_hours=2.0), 5, "times are cycles of 1 h; the model was trained on cycles of 2 h", "2h")
    assert_clear(predict(units={"volt": "kV"}), 5, "volt is in V; the model was trained on kV", "convert")
    assert_clear(predict(cycle_hours=-1.0), 5, "cycle_hours -1.0 is negative", "train or fetch")
