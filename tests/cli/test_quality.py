"""Import and preprocess report problems, on the screen, in JSON and in a report, before the long stages run."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Pdm, edit

REFERENCE = os.environ.get("PDM_CLI_REFERENCE")
ROWS = 1200
MACHINES = ("P-1", "P-2", "P-3", "P-4", "P-5", "P-6")


def write_plant(logs: Path) -> Path:
    """Write logs of six pumps with a wrong unit, a flat and a missing sensor, a shifted clock, and rare failures."""
    rng, frames = np.random.default_rng(0), []
    for machine in MACHINES:
        frame = pd.DataFrame(
            {
                "datetime": pd.date_range("2024-01-01", periods=ROWS, freq="h"),
                "machineID": machine,
                "pressure": rng.normal(6, 0.4, ROWS).round(4),
                "flow": rng.normal(120, 8, ROWS).round(2),
                "level": rng.normal(3, 0.2, ROWS).round(3),
            }
        )
        if machine == "P-2":
            frame.loc[700:, "pressure"] = (frame.loc[700:, "pressure"] * 14.5038).round(3)
        if machine == "P-3":
            frame["flow"] = 0.0
        if machine == "P-4":
            frame["datetime"] += pd.Timedelta(hours=2)
        frame.loc[(frame.index > 400) & (frame.index < 900), "level"] = np.nan
        frames.append(frame)
    pd.concat(frames).to_csv(logs / "telemetry.csv", index=False)
    failures = pd.DataFrame(
        {
            "datetime": ["2024-01-15 03:00", "2024-02-15 04:00", "2024-05-05 01:00"],
            "machineID": ["P-1", "P-2", "P-1"],
            "failure": "seal",
        }
    )
    failures.to_csv(logs / "failures.csv", index=False)
    return logs


WRONG = {
    "unit_change": "pressure changes its unit around 2024-01-3",
    "constant_on_machines": "flow does not change on machine P-3: 1,200 readings",
    "shifted_clock": "machine P-4 starts and ends 2h later than most others",
    "failures_without_readings": "1 of 3 failures has no readings of the machine in the 2d before",
    "few_failures": "seal (2): fewer than 10 failures",
}


def problems_of(quality: dict[str, object]) -> dict[str, str]:
    found = quality["problems"]
    assert isinstance(found, list)
    return {problem["type"]: problem["text"] for problem in found}


def assert_wrong(found: dict[str, str]) -> None:
    assert set(found) == set(WRONG)
    for kind, text in WRONG.items():
        assert text in found[kind]


def test_import_problems_are_on_the_screen_in_json_and_in_the_report(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    write_plant(logs)
    outcome = pdm("import", logs, "--out", tmp_path / "raw")
    assert outcome.code == 0, outcome.stderr
    page = re.sub("<[^>]+>", "", (tmp_path / "raw/report.html").read_text())
    for text in WRONG.values():
        assert text in outcome.stdout
        assert text in page
    (line,) = (line for line in outcome.stdout.splitlines() if line.lstrip().startswith("level "))
    # Blocks are low in the gap, and full before and after it.
    assert "42%" in line
    assert "█" * 15 in line
    assert " " * 20 in line
    quality = json.loads((tmp_path / "raw/import.json").read_text())["quality"]
    assert_wrong(problems_of(quality))
    again = pdm("import", logs, "--out", tmp_path / "raw2", "--json", "--quiet")
    assert json.loads(again.stdout)["quality"] == quality
    assert again.stderr == ""


def test_preprocess_finds_the_same_as_import_and_run_warns_before_training(
    logs: Path, pdm: Pdm, tmp_path: Path
) -> None:
    raw, work = tmp_path / "raw", tmp_path / "work"
    pdm("import", write_plant(logs), "--out", raw)
    outcome = pdm("run", "--data", raw, "--out", work, "--fast")
    quality = json.loads((work / "prepared/quality.json").read_text())
    assert_wrong(problems_of(quality))
    imported = json.loads((raw / "import.json").read_text())["quality"]
    assert quality["overview"] == imported["overview"]
    assert quality["failures"] == imported["failures"]
    for kind in set(WRONG) - {"failures_without_readings"}:
        line = next(line for line in outcome.stderr.splitlines() if WRONG[kind] in line)
        assert line.startswith("warning: preprocess: ")
        assert outcome.stderr.index(line) < outcome.stderr.index("error: ")
    # Preprocess warns of these itself.
    assert outcome.stderr.count("seal of machine P-1") + outcome.stderr.count("after the machine's telemetry") <= 2


def test_preprocess_fleet_without_flaws_has_no_problem(fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path / "prepared", "--json")
    found = json.loads(outcome.stdout)
    unexpected = {"few_failures", "no_failure_in_first_fold", "no_failure_to_test_on", "no_failure_to_train_on"}
    assert set(problems_of(found)) <= unexpected


def test_simulate_default_fleet_has_no_problem(pdm: Pdm, tmp_path: Path) -> None:
    pdm("simulate", "--machines", 20, "--days", 365, "--seed", 5, "--out", tmp_path / "raw")
    outcome = pdm("preprocess", "--data", tmp_path / "raw", "--out", tmp_path / "prepared")
    assert "no problems found" in outcome.stdout
    assert "No problems found." in (tmp_path / "prepared/report.html").read_text()


def test_preprocess_clock_set_back_is_named(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    def set_back(table: pd.DataFrame) -> pd.DataFrame:
        table = table.sort_values(["machineID", "datetime"], ignore_index=True)
        return pd.concat([table.iloc[:200], table.iloc[195:]], ignore_index=True)

    edit("telemetry", set_back)(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared", "--on-duplicate", "first")
    assert "time goes back 1 time, first by 4h to " in outcome.stdout


def test_preprocess_duplicates_with_the_option_set_are_a_note(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    def repeat(table: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table, table.iloc[:3].assign(volt=1.0)], ignore_index=True)

    edit("telemetry", repeat)(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared", "--on-duplicate", "mean", "--json")
    (found,) = [problem for problem in outcome.json["problems"] if problem["type"] == "duplicates"]
    assert found["text"] == "3 rows with the machine and time of another row, but different readings"
    assert (found["level"], found["hint"]) == ("note", "--on-duplicate mean averages them")


def test_report_failures_of_unknown_machines_explain_the_smaller_total(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("failures", lambda t: t.assign(machineID=t["machineID"].where(t["machineID"] != t["machineID"].iloc[0], 99)))(
        raw
    )
    unknown = int((pd.read_parquet(raw / "failures.parquet")["machineID"] == 99).sum())
    pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared", "--on-unknown-machine", "drop")
    page = (tmp_path / "prepared/report.html").read_text()
    assert f"; {unknown} more are duplicates or of unknown machines" in page


def test_report_is_rebuilt_for_raw_and_prepared_folders(logs: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    raw, prepared = tmp_path / "raw", tmp_path / "prepared"
    pdm("import", write_plant(logs), "--out", raw)
    pdm("preprocess", "--data", raw, "--out", prepared)
    for folder in (raw, prepared):
        first = (folder / "report.html").read_bytes()
        assert json.loads((folder / "manifest.json").read_text())["outputs"]["report.html"]["bytes"] == len(first)
        assert pdm("report", folder).code == 0
        assert (folder / "report.html").read_bytes() == first
    # Raw tables that pdm did not write have no manifest.
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "telemetry.parquet").write_bytes((fleet / "telemetry.parquet").read_bytes())
    outcome = pdm("report", plain, "--out", tmp_path / "plain.html")
    assert outcome.code == 0, outcome.stderr
    assert "There are no failures." in (tmp_path / "plain.html").read_text()


def test_import_append_replaces_the_report(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    pdm("import", write_plant(logs), "--out", tmp_path / "raw")
    (logs / "failures.csv").write_text("datetime,machineID,failure\n2024-02-01 03:00,P-1,valve\n")
    assert pdm("import", logs, "--out", tmp_path / "raw", "--append").code == 0
    page = (tmp_path / "raw/report.html").read_bytes()
    assert b"valve" in page
    assert json.loads((tmp_path / "raw/manifest.json").read_text())["outputs"]["report.html"]["bytes"] == len(page)


@pytest.mark.skipif(REFERENCE is None, reason="PDM_CLI_REFERENCE (the folder of the reference data) is not set")
@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("azure_pdm", (), set()),
        (
            "cmapss",
            (
                *("--files", "telemetry=train_FD001*", "--cycles", "1h", "--end-is-failure", "engine"),
                *("--names", f"unit,cycle,os1,os2,os3,{','.join(f's{number}' for number in range(1, 22))}"),
                *("--columns", "telemetry.machineID=unit", "--columns", "telemetry.datetime=cycle"),
            ),
            {"constant"},
        ),
        (
            "backblaze",
            (
                *("--columns", "telemetry.machineID=serial_number", "--columns", "telemetry.datetime=date"),
                *("--failure-flag", "failure"),
            ),
            # The files of the first month have every row twice.
            {"constant", "copies"},
        ),
    ],
)
def test_import_real_data_has_no_false_alarm(
    name: str, words: tuple[str, ...], expected: set[str], pdm: Pdm, tmp_path: Path
) -> None:
    assert REFERENCE is not None
    outcome = pdm("import", Path(REFERENCE) / "data" / name, "--out", tmp_path / "raw", *words, "--json")
    assert outcome.code == 0, outcome.stderr
    assert set(problems_of(json.loads(outcome.stdout)["quality"])) == expected
