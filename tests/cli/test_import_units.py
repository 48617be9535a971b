"""Units in the names of sensors, and the length of a cycle, stay with the data from the import to the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pdm_cli.io.parquet import read_units
from pdm_cli.units import Units
from tests.cli.conftest import Outcome, Pdm, assert_clear

WIDE = (
    "datetime,machineID,VIB_X [mm/s],Druck (bar)\n"
    "2015-01-13 07:00,1,4.2,5\n2015-01-13 08:00,1,4.3,5\n2015-01-13 07:00,2,1.5,6\n2015-01-13 08:00,2,1.4,6\n"
)
LONG = (
    "Tag,datetime,Value\n"
    "P-1.VIB_X [mm/s],2015-01-13 07:00,4.2\nP-1.Druck (bar),2015-01-13 07:00,5\nP-2.VIB_X [mm/s],2015-01-13 07:00,1\n"
)
UNITS = {"VIB_X": "mm/s", "Druck": "bar"}


def run_import(pdm: Pdm, tmp_path: Path, files: dict[str, str], *words: object) -> Outcome:
    logs = tmp_path / "logs"
    logs.mkdir(exist_ok=True)
    for name, content in files.items():
        (logs / name).write_text(content, encoding="utf-8")
    return pdm("import", logs, "--out", tmp_path / "raw", *words)


def imported(tmp_path: Path) -> tuple[list[str], Units]:
    """Return the columns of the telemetry, and its units."""
    path = tmp_path / "raw" / "telemetry.parquet"
    return sorted(pd.read_parquet(path).columns), read_units(path)


def summary(tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tmp_path / "raw" / "import.json").read_text(encoding="utf-8"))
    return content


def test_import_wide_header_with_units_names_sensors_without_them(pdm: Pdm, tmp_path: Path) -> None:
    outcome = run_import(pdm, tmp_path, {"telemetry.csv": WIDE})
    assert "VIB_X [mm/s], Druck [bar] (number)" in outcome.stdout
    assert imported(tmp_path) == (["Druck", "VIB_X", "datetime", "machineID"], Units(sensors=UNITS))
    assert summary(tmp_path)["units"] == UNITS


def test_import_long_tags_with_units_name_sensors_without_them(pdm: Pdm, tmp_path: Path) -> None:
    words = ("--long", "Tag", "Value", "--tags", "{machine}.{sensor}")
    assert run_import(pdm, tmp_path, {"telemetry.csv": LONG}, *words).code == 0
    assert imported(tmp_path) == (["Druck", "VIB_X", "datetime", "machineID"], Units(sensors=UNITS))


def test_import_mapping_of_tags_with_a_unit_column_has_units(pdm: Pdm, tmp_path: Path) -> None:
    mapping = tmp_path / "tags.csv"
    mapping.write_text("tag,machine,sensor,unit\nP-1.VIB_X [mm/s],1,vibration,mm/s\nP-1.Druck (bar),1,pressure,\n")
    run_import(pdm, tmp_path, {"telemetry.csv": LONG}, "--long", "Tag", "Value", "--tags", mapping)
    expected = ["datetime", "machineID", "pressure", "vibration"]
    assert imported(tmp_path) == (expected, Units(sensors={"vibration": "mm/s"}))


@pytest.mark.parametrize("column", ["VIB_X", "VIB_X [mm/s]"])
def test_import_columns_renamed_with_or_without_unit_keep_it(pdm: Pdm, tmp_path: Path, column: str) -> None:
    assert run_import(pdm, tmp_path, {"telemetry.csv": WIDE}, "--columns", f"telemetry.vibration={column}").code == 0
    assert imported(tmp_path)[1] == Units(sensors={"vibration": "mm/s", "Druck": "bar"})


def test_import_same_sensor_in_two_units_is_kept_apart_and_warned_of(pdm: Pdm, tmp_path: Path) -> None:
    words = ("--long", "Tag", "Value", "--tags", "{machine}.{sensor}")
    outcome = run_import(pdm, tmp_path, {"telemetry.csv": LONG.replace("P-2.VIB_X [mm/s]", "P-2.VIB_X [in/s]")}, *words)
    assert "VIB_X is in in/s and mm/s: imported as separate sensors" in outcome.stderr
    assert imported(tmp_path)[0] == ["Druck", "VIB_X [in/s]", "VIB_X [mm/s]", "datetime", "machineID"]


def test_import_files_of_machines_in_two_units_are_rejected(pdm: Pdm, tmp_path: Path) -> None:
    files = {"a.csv": "datetime,VIB [mm/s]\n2015-01-13,1\n", "b.csv": "datetime,VIB [in/s]\n2015-01-13,1\n"}
    outcome = run_import(pdm, tmp_path, files, "--machine-from-file", "{machine}.csv")
    assert_clear(outcome, 4, "b.csv: VIB is in in/s, but in mm/s in a.csv", "convert the values")
    assert not (tmp_path / "raw").exists()


def test_import_append_keeps_units_and_rejects_others(pdm: Pdm, tmp_path: Path) -> None:
    run_import(pdm, tmp_path, {"telemetry.csv": WIDE})
    later = WIDE.replace("2015", "2016")
    assert run_import(pdm, tmp_path, {"telemetry.csv": later.replace(" (bar)", "")}, "--append").code == 0
    assert imported(tmp_path)[1] == Units(sensors=UNITS)
    outcome = run_import(pdm, tmp_path, {"telemetry.csv": later.replace("mm/s", "in/s")}, "--append")
    assert_clear(outcome, 4, "VIB_X is in in/s, but in mm/s in", "convert the new readings")


def test_preprocess_shows_units_and_takes_sensors_with_them(pdm: Pdm, tmp_path: Path) -> None:
    run_import(pdm, tmp_path, {"telemetry.csv": WIDE})
    words = ("--data", tmp_path / "raw", "--grid-hours", 1, "--windows-hours", "1")
    outcome = pdm("preprocess", *words, "--out", tmp_path / "out", "--sensors", "VIB_X [mm/s],Druck")
    assert "2 sensors (VIB_X [mm/s], Druck [bar])" in outcome.stdout
    assert read_units(tmp_path / "out" / "telemetry.parquet").sensors == UNITS
    assert json.loads((tmp_path / "out" / "quality.json").read_text(encoding="utf-8"))["units"] == UNITS
    outcome = pdm("preprocess", *words, "--out", tmp_path / "other", "--sensors", "VIB_X [in/s]")
    assert_clear(outcome, 4, "no column 'VIB_X [in/s]'", "did you mean 'VIB_X'?")


CYCLES = "unit,cycle,volt\n" + "".join(f"{unit},{cycle},170\n" for unit in (1, 2) for cycle in range(1, 9))
CYCLE_WORDS = ("--columns", "telemetry.machineID=unit", "--columns", "telemetry.datetime=cycle", "--cycles")


def test_import_cycles_are_shown_as_cycles_later(pdm: Pdm, tmp_path: Path) -> None:
    outcome = run_import(pdm, tmp_path, {"telemetry.csv": CYCLES}, *CYCLE_WORDS, "2h")
    assert "cycle 1  cycle 8" in outcome.stdout
    assert summary(tmp_path)["cycle_hours"] == 2
    # A copy of the tables alone is enough.
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "raw" / "telemetry.parquet", copy)
    words = ("preprocess", "--data", copy, "--out", tmp_path / "out", "--grid-hours", "1cycle", "--windows-hours")
    outcome = pdm(*words, "4 cycles")
    assert outcome.code == 0, outcome.stderr
    assert "cycle 1 to 8, every 1 cycle\n" in outcome.stdout
    quality = json.loads((tmp_path / "out" / "quality.json").read_text(encoding="utf-8"))
    assert (quality["cycle_hours"], quality["telemetry"]["start"]) == (2, "2000-01-01 02:00:00")
    assert "volt_mean_8h" in pd.read_parquet(tmp_path / "out" / "features.parquet")
    outcome = pdm("detect-anomalies", "--prepared", tmp_path / "out", "--out", tmp_path / "anomalies")
    assert "UTC" not in outcome.stdout
    assert " h " not in outcome.stdout
    outcome = pdm(*words, "3h", "--overwrite")
    assert_clear(outcome, 4, "do not fit the step of 1 cycle: --windows-hours 1.5cycles", "--grid-hours 1cycle")


def test_import_append_of_cycles_to_dates_is_rejected(pdm: Pdm, tmp_path: Path) -> None:
    run_import(pdm, tmp_path, {"telemetry.csv": CYCLES}, *CYCLE_WORDS, "1h")
    outcome = run_import(pdm, tmp_path, {"telemetry.csv": CYCLES}, *CYCLE_WORDS, "2h", "--append")
    assert_clear(outcome, 4, "times are cycles of 2 h, unlike the cycles of 1 h", "--cycles 1h")
    other = {"telemetry.csv": CYCLES.replace("2,7,170", "2,7,171")}
    outcome = run_import(pdm, tmp_path, other, *CYCLE_WORDS, "1h", "--append")
    assert_clear(outcome, 4, "171.0 for datetime cycle 7, machineID 2, but 170.0", "--on-overlap")
    assert run_import(pdm, tmp_path, {"telemetry.csv": CYCLES}, *CYCLE_WORDS, "1h", "--append").code == 0
    assert imported(tmp_path)[1] == Units(1.0)


def test_durations_in_cycles_for_dates_are_rejected(pdm: Pdm, tmp_path: Path) -> None:
    run_import(pdm, tmp_path, {"telemetry.csv": WIDE})
    outcome = pdm("preprocess", "--data", tmp_path / "raw", "--out", tmp_path / "out", "--grid-hours", "3 cycles")
    assert_clear(outcome, 2, "--grid-hours 3cycles: the times of the telemetry are dates, not cycles", "use hours")
