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


@pytest.mark.ci
def test_run_with_windows_that_do_not_fit_names_all_and_its_hint_works(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("run", "--data", daily, "--out", tmp_path / "out", *QUICK)
    outcome = pdm(*words, "--grid-hours", "3h", "--windows-hours", "3h,1d", "--lead-time-hours", "3h")
    assert_clear(
        outcome,
        4,
        "--grid-hours 3h is shorter than the step; --windows-hours 3h is not a whole number of steps",
        "use --grid",
    )
    assert "--lead-time-hours 3h is shorter" in outcome.stderr
    hint = outcome.stderr.split("hint: use ")[1]
    outcome = pdm(*words, *shlex.split(hint))
    assert outcome.code == 0, outcome.stderr


def test_defaults_that_do_not_fit_are_replaced_reported_and_recorded(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("preprocess", "--data", daily, "--out", tmp_path / "out")
    outcome = pdm(*words)
    assert outcome.code == 0, outcome.stderr
    chosen = "preprocess: grid 1d, windows 1d,3d,7d, lead time 1d, horizon 7d: chosen for a step of 1d, telemetry of "
    assert chosen in outcome.stderr
    assert "; change with --grid-hours, --windows-hours, --lead-time-hours and --horizon-hours\n" in outcome.stderr
    recorded = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["parameters"]["features"]
    in_table = json.loads(pq.read_schema(tmp_path / "out" / "features.parquet").metadata[b"settings"])["features"]
    for found in (recorded, in_table):
        assert (found["grid_hours"], found["windows_hours"]) == (24.0, [24.0, 72.0, 168.0])
    given = pdm(*words, "--overwrite", "--grid-hours", "1d", "--windows-hours", "1d,3d,7d")
    assert given.code == 0
    assert "preprocess: lead time 1d, horizon 7d: chosen for" in given.stderr
    again = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert again["parameters"]["features"] == recorded
    # A choice is not replaced, even if it is the default.
    assert_clear(pdm(*words, "--overwrite", "--grid-hours", 3), 4, "--grid-hours 3h is shorter", "use --grid-hours 1d")


def test_step_of_daily_parts_is_found_over_all_parts(daily: Path, pdm: Pdm, tmp_path: Path) -> None:
    path = daily / "telemetry.parquet"
    telemetry = pd.read_parquet(path)
    path.unlink()
    path.with_suffix("").mkdir()
    for day, rows in telemetry.groupby("datetime"):
        rows.to_parquet(path.with_suffix("") / f"{day:%Y-%m-%d}.parquet", index=False)
    outcome = pdm("preprocess", "--data", daily, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    assert "preprocess: grid 1d" in outcome.stderr


@pytest.mark.ci
def test_train_follows_the_choice_of_preprocess_unless_set_and_records_it(
    daily: Path, pdm: Pdm, tmp_path: Path
) -> None:
    prepared, model = tmp_path / "prepared", tmp_path / "model"
    assert pdm("preprocess", "--data", daily, "--out", prepared).code == 0
    chosen = json.loads((prepared / "quality.json").read_text(encoding="utf-8"))["chosen"]
    assert (chosen["lead_time_hours"], chosen["horizon_hours"]) == (24.0, 168.0)
    words = ("train", "--prepared", prepared, "--out", model, *QUICK)
    outcome = pdm(*words)
    assert outcome.code == 0, outcome.stderr
    assert "train: lead time 1d, horizon 7d: chosen for a step of 1d, telemetry of 149d and " in outcome.stderr
    assert "; change with --lead-time-hours and --horizon-hours\n" in outcome.stderr
    split = json.loads((model / "metrics.json").read_text(encoding="utf-8"))["split"]
    bundle = json.loads((model / "bundle.json").read_text(encoding="utf-8"))
    parameters = json.loads((model / "manifest.json").read_text(encoding="utf-8"))["parameters"]
    assert (split["lead_time_hours"], split["horizon_hours"]) == (24.0, 168.0)
    assert parameters["labels"] == {"lead_time_hours": 24.0, "horizon_hours": 168.0}
    assert '"horizon_hours": 168.0' in json.dumps(bundle)
    outcome = pdm("predict", "--data", daily, "--model", model, "--out", tmp_path / "predictions")
    assert "predict: lead time 1d, horizon 7d: as in the training\n" in outcome.stderr
    outcome = pdm(*words, "--overwrite", "--horizon-hours", "4d")
    assert "train: lead time 1d: chosen for" in outcome.stderr
    split = json.loads((model / "metrics.json").read_text(encoding="utf-8"))["split"]
    assert (split["lead_time_hours"], split["horizon_hours"]) == (24.0, 96.0)


def test_defaults_that_fit_leave_no_trace_in_the_quality_report(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "out")
    assert "chosen for" not in outcome.stderr
    assert "chosen" not in json.loads((tmp_path / "out" / "quality.json").read_text(encoding="utf-8"))


def test_environment_and_config_count_as_set(
    daily: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pdm.toml"
    config.write_text("[labels]\nhorizon_hours = '5d'\n", encoding="utf-8")
    monkeypatch.setenv("PDM_CLI_GRID_HOURS", "2d")
    outcome = pdm("preprocess", "--data", daily, "--out", tmp_path / "out", "--config", config)
    assert outcome.code == 0, outcome.stderr
    assert "preprocess: windows 2d,6d,14d, lead time 2d: chosen for" in outcome.stderr
    chosen = json.loads((tmp_path / "out" / "quality.json").read_text(encoding="utf-8"))["chosen"]
    assert (chosen["grid_hours"], chosen["horizon_hours"]) == (48.0, 120.0)
