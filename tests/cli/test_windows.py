"""Windows of commands against the step of the telemetry."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Pdm, assert_clear, edit
from tests.conftest import QUICK


@pytest.fixture
def daily(raw: Path) -> Path:
    edit("telemetry", lambda t: t[t["datetime"].dt.hour == 0])(raw)
    return raw


def test_run_with_windows_that_do_not_fit_names_all_and_its_hint_works(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("run", "--data", daily, "--out", tmp_path / "out", *QUICK)
    outcome = pdm(*words, "--windows-hours", "3h,1d")
    assert_clear(
        outcome, 4, "--grid-hours 3 is shorter; --windows-hours 3 is not a whole number of steps", "use --grid"
    )
    assert "--lead-time-hours 3 is shorter" in outcome.stderr
    hint = outcome.stderr.split("hint: use ")[1]
    outcome = pdm(*words, *shlex.split(hint))
    assert outcome.code == 0, outcome.stderr


def test_defaults_that_do_not_fit_are_replaced_reported_and_recorded(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("preprocess", "--data", daily, "--out", tmp_path / "out")
    outcome = pdm(*words)
    assert outcome.code == 0, outcome.stderr
    assert (
        "preprocess: readings every 1d: using --grid-hours 24 --windows-hours 24,72,168; set them to change it\n"
        in outcome.stderr
    )
    recorded = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["parameters"]["features"]
    in_table = json.loads(pq.read_schema(tmp_path / "out" / "features.parquet").metadata[b"settings"])["features"]
    for found in (recorded, in_table):
        assert (found["grid_hours"], found["windows_hours"]) == (24.0, [24.0, 72.0, 168.0])
    given = pdm(*words, "--overwrite", "--grid-hours", "1d", "--windows-hours", "1d,3d,7d")
    assert given.code == 0
    assert "set them to change it" not in given.stderr
    again = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert again["parameters"]["features"] == recorded
    # A choice is not replaced, even if it is the default.
    assert_clear(pdm(*words, "--overwrite", "--grid-hours", 3), 4, "--grid-hours 3 is shorter", "use --grid-hours 1d")


def test_step_of_daily_parts_is_found_over_all_parts(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    path = daily / "telemetry.parquet"
    telemetry = pd.read_parquet(path)
    path.unlink()
    path.with_suffix("").mkdir()
    for day, rows in telemetry.groupby("datetime"):
        rows.to_parquet(path.with_suffix("") / f"{day:%Y-%m-%d}.parquet", index=False)
    outcome = pdm("preprocess", "--data", daily, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert "using --grid-hours 24" in outcome.stderr
