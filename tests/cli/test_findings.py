"""What preprocess tells of the events, and train of the components that they leave without a lesson."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Outcome, Pdm


def edit_failures(raw: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = raw / "failures.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def add(raw: Path, *kinds: str, at: str, machine: int = 1) -> None:
    rows = pd.DataFrame({"datetime": pd.Timestamp(at), "machineID": machine, "failure": list(kinds)})
    edit_failures(raw, lambda table: pd.concat([table, rows.astype(table.dtypes)]))


def prepared(pdm: Pdm, raw: Path, out: Path) -> Outcome:
    outcome = pdm("preprocess", "--data", raw, "--out", out)
    assert outcome.code == 0, outcome.stderr
    return outcome


def trained(pdm: Pdm, raw: Path, folder: Path, *words: object) -> Outcome:
    prepared(pdm, raw, folder / "prepared")
    return pdm("train", "--prepared", folder / "prepared", "--out", folder / "model", "--fast", "--trees", 2, *words)


def test_failures_after_the_telemetry_are_warned_of_and_stand_apart_from_other_events(
    raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    count = len(pd.read_parquet(raw / "failures.parquet"))
    add(raw, "comp1", "comp2", at="2016-03-01 06:00")
    outcome = prepared(pdm, raw, tmp_path / "prepared")
    assert (
        f"warning: failures.parquet: 2 of {count + 2:,} failures after the machine's telemetry, first (1, 2016-03-01 "
        "06:00): a model cannot be trained on them"
    ) in outcome.stderr
    assert "failures after the machine's telemetry" in outcome.stdout


def test_components_are_told_with_their_failures(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    counts = pd.read_parquet(raw / "failures.parquet")["failure"].value_counts()
    outcome = prepared(pdm, raw, tmp_path / "prepared")
    (line,) = [line for line in outcome.stdout.splitlines() if line.startswith("failures by component: ")]
    assert all(f"{name} {count}" in line for name, count in counts.items())
    assert "two components" not in outcome.stderr


def test_a_component_that_looks_misspelt_is_warned_of(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    stamp = str(pd.read_parquet(raw / "failures.parquet")["datetime"].iloc[0])
    add(raw, "Comp1", at=stamp)
    outcome = prepared(pdm, raw, tmp_path / "prepared")
    assert "warning: failures.parquet: 'Comp1' (1 failure) and 'comp1' (" in outcome.stderr


@pytest.mark.ci
def test_components_that_cannot_be_trained_on_get_their_base_rate(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    add(
        raw, "pump", "valve", at=str(pd.read_parquet(raw / "telemetry.parquet", columns=["datetime"])["datetime"].max())
    )
    outcome = trained(pdm, raw, tmp_path)
    assert outcome.code == 0, outcome.stderr
    assert "warning: too few failures of pump, valve to train on in every fold: " in outcome.stderr
    assert "too few failures to train on, so only the base rate and no alerts: pump, valve" in outcome.stdout


@pytest.mark.ci
def test_a_component_that_fails_after_the_telemetry_gets_its_base_rate(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    add(raw, "pump", at="2016-03-01 06:00")
    outcome = trained(pdm, raw, tmp_path)
    assert outcome.code == 0, outcome.stderr
    assert "warning: too few failures of pump to train on in every fold: " in outcome.stderr


@pytest.mark.slow
def test_a_horizon_in_which_no_row_sees_a_failure_is_told_as_such(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit_failures(raw, lambda table: table.assign(datetime=table["datetime"] + pd.Timedelta("1h")))
    outcome = trained(pdm, raw, tmp_path, "--lead-time-hours", 5, "--horizon-hours", 6)
    assert outcome.code == 4
    assert "no row lies 5 to 6 h before a failure of comp1, comp2, comp3, comp4" in outcome.stderr
    assert "hint: set another --lead-time-hours or --horizon-hours" in outcome.stderr


@pytest.mark.slow
def test_who_foretells_is_told_nothing_of_what_can_be_learned(raw: Path, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    add(raw, "Comp1", at="2016-03-01 06:00")
    outcome = pdm("predict", "--data", raw, "--model", work / "model", "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "cannot be trained on them" not in outcome.stderr
    assert "two components" not in outcome.stderr


def test_preprocess_some_machines_named_otherwise_are_listed_with_the_similar_names(
    raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    # Machines 1 and 2 are M-1 and M-2 in the telemetry, and m1 and M-02 in the failures; M-77 has no telemetry.
    for path in raw.glob("*.parquet"):
        table = pd.read_parquet(path)
        table["machineID"] = "M-" + table["machineID"].astype(str)
        if path.name == "failures.parquet":
            table["machineID"] = table["machineID"].replace({"M-1": "m1", "M-2": "M-02", "M-3": "M-77"})
        table.to_parquet(path, index=False)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared")
    assert outcome.code == 4
    assert "; 3 such machines: " in outcome.stderr
    (hint,) = [line for line in outcome.stderr.splitlines() if line.startswith("hint: ")]
    assert "'m1' here may be 'M-1' in the telemetry" in hint
    assert "'M-02' here may be 'M-2' in the telemetry" in hint
    assert "M-77" not in hint
    assert hint.endswith(", or ignore them with --on-unknown-machine drop")


def test_events_whose_machines_are_named_otherwise_are_told_with_both_names(
    raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit_failures(raw, lambda table: table.assign(machineID=table["machineID"] + 900))
    words = ("preprocess", "--data", raw, "--out", tmp_path / "prepared")
    outcome = pdm(*words)
    assert outcome.code == 4
    assert "failures.parquet: none of its machines has telemetry: machines here 901, 902, 903, " in outcome.stderr
    assert ", in the telemetry 1, 2, 3, 4, 5, 6, 7, 8 and 8 more\n" in outcome.stderr
    assert "hint: use the same machine names, or ignore them with --on-unknown-machine drop" in outcome.stderr
    outcome = pdm(*words, "--on-unknown-machine", "drop")
    assert outcome.code == 0
    assert "warning: failures.parquet: none of its machines has telemetry" in outcome.stderr
