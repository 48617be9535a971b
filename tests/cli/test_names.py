"""Names of machines, components and attributes are data, never code for terminals, browsers or spreadsheets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import QUICK, Pdm

RED = "\x1b[31m"
MACHINE = f"=cmd|' /C x'!{RED}<b>"
COMPONENTS = {
    "comp1": '=HYPERLINK("http://x")',
    "comp2": "<script>alert(1)</script>",
    "comp3": "-1",
    "comp4": f"@{RED}",
}


@pytest.fixture
def hostile(raw: Path) -> Path:
    """The fleet, with names that spreadsheets, browsers, terminals or pandas interpret."""
    for path in raw.glob("*.parquet"):
        table = pd.read_parquet(path)
        table["machineID"] = MACHINE + table["machineID"].astype(str).str.zfill(2)
        for name in ("comp", "failure", "component"):
            if name in table:
                table[name] = table[name].map(COMPONENTS)
        table.rename(columns={"age": "NA", "model": "null"}).to_parquet(path)
    return raw


@pytest.mark.ci
def test_hostile_names_are_escaped_in_all_outputs(hostile: Path, pdm: Pdm, tmp_path: Path) -> None:
    out, predictions = tmp_path / "out", tmp_path / "predictions"
    told = [pdm("run", "--data", hostile, "--out", out, "--jobs", 1, *QUICK)]
    failures = pd.read_parquet(hostile / "failures.parquet")
    last = failures.iloc[failures["datetime"].argmax()]
    cut = last["datetime"] - pd.Timedelta(hours=6)
    telemetry = pd.read_parquet(hostile / "telemetry.parquet")
    telemetry[telemetry["datetime"] <= cut].to_parquet(hostile / "telemetry.parquet")
    words = ("--data", hostile, "--model", out / "model")
    told.append(pdm("predict", *words, "--out", predictions))
    told.append(pdm("explain", *words, "--machine", last["machineID"], "--at", cut.isoformat()))
    told.append(pdm("explain", *words, "--machine", "nobody", "--at", cut.isoformat()))
    assert [outcome.code for outcome in told] == [0, 0, 0, 4], told[-1].stderr
    pages = [(folder / "report.html").read_text() for folder in (out / "model", predictions)]
    for text in [*pages, *(outcome.stdout + outcome.stderr for outcome in told)]:
        assert "\x1b" not in text
    assert not any("<b>" in page or "<script" in page for page in pages)
    with (predictions / "worklist.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    listed = json.loads((predictions / "predictions.json").read_text())["worklist"]
    assert [row["component"] for row in listed if row["component"] in COMPONENTS.values()]
    assert [row["machineID"] for row in rows] == [f"'{row['machineID']}" for row in listed]
    assert all(row[name][0] not in "=+-@\t\r" for row in rows for name in ("machineID", "component", "reasons"))
