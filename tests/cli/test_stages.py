from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pdm_cli.io import manifest, parquet
from pdm_cli.io import raw as raw_tables
from pdm_cli.schema import ANOMALIES, PREDICTIONS
from tests.cli.conftest import QUICK, Pdm

pytestmark = pytest.mark.slow

STAGE_FOLDERS = ("prepared", "anomalies", "model")


def hashes(folder: Path) -> dict[str, str]:
    """Hashes of all files but the ones that name seconds or command lines."""
    named = ("manifest.json", "metrics.json", "leaderboard.csv")
    return {
        p.relative_to(folder).as_posix(): manifest.hash_file(p)["sha256"]
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in named
    }


def test_run_makes_every_output_and_a_manifest_that_lists_it(work: Path) -> None:
    for name in STAGE_FOLDERS:
        listed = manifest.read(work / name)
        assert listed is not None
        files = {p.relative_to(work / name).as_posix() for p in (work / name).rglob("*") if p.is_file()}
        assert files - {"manifest.json"} == set(listed["outputs"])
        assert manifest.is_whole(work / name, listed)


def test_metrics_have_the_keys_of_the_contract(work: Path) -> None:
    metrics = json.loads((work / "model/metrics.json").read_text())
    assert set(metrics["macro"]) == {"roc_auc", "average_precision", "brier", "f1"}
    for row in metrics["components"].values():
        assert {"roc_auc", "average_precision", "brier", "f1", "threshold"} <= set(row)
    events = metrics["events"]
    assert {"failures", "caught", "warning_hours", "false_alarms_per_machine_month"} <= set(events)
    assert set(events["warning_hours"]) == {"q25", "median", "q75"}
    assert events["caught"] <= events["failures"]
    assert {"cutoff", "test_start", "test_end"} <= set(metrics["split"])
    assert metrics["seconds"]


def test_tables_have_the_columns_of_the_schema(work: Path) -> None:
    for path, table in (("anomalies/anomalies.parquet", ANOMALIES), ("model/predictions.parquet", PREDICTIONS)):
        assert pq.ParquetFile(work / path).schema_arrow.names == [column.name for column in table.columns]


def test_predictions_are_those_of_the_held_out_time_only(work: Path) -> None:
    split = json.loads((work / "model/metrics.json").read_text())["split"]
    predictions = pd.read_parquet(work / "model/predictions.parquet")
    assert predictions["datetime"].min() >= pd.Timestamp(split["test_start"])
    horizon = pd.Timedelta(hours=split["horizon_hours"])
    labelled = predictions[predictions["label"].notna()]
    assert labelled["datetime"].max() + horizon <= pd.Timestamp(split["test_end"])
    assert predictions["probability"].between(0, 1).all()


def test_row_groups_are_whole_machines(work: Path) -> None:
    for name in ("telemetry", "features"):
        path = work / "prepared" / f"{name}.parquet"
        groups = [
            set(parquet.read_row_group(path, g, ["machineID"])["machineID"])
            for g in range(parquet.count_row_groups(path))
        ]
        assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.usefixtures("plots")
def test_stages_one_by_one_write_the_same_bytes_as_run(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    prepared, anomalies, model = (tmp_path / name for name in STAGE_FOLDERS)
    assert pdm("preprocess", "--data", fleet, "--out", prepared).code == 0
    assert pdm("detect-anomalies", "--prepared", prepared, "--out", anomalies, "--jobs", 2).code == 0
    words = ("train", "--prepared", prepared, "--anomalies", anomalies, "--out", model, "--fast", "--trees", 20)
    assert pdm(*words).code == 0
    for name in STAGE_FOLDERS:
        assert hashes(tmp_path / name) == hashes(work / name)


def test_the_layout_of_the_raw_files_changes_no_byte(work: Path, raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    telemetry = pd.read_parquet(raw / "telemetry.parquet").sort_values(["datetime", "machineID"])
    (raw / "telemetry.parquet").unlink()
    (raw / "telemetry").mkdir()
    for month, part in telemetry.groupby(telemetry["datetime"].dt.month):
        part.to_parquet(raw / f"telemetry/{month:02}.parquet", index=False)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    ours, theirs = hashes(tmp_path / "prepared"), hashes(work / "prepared")
    assert {k: v for k, v in ours.items() if k.endswith(".parquet")} == {
        k: v for k, v in theirs.items() if k.endswith(".parquet")
    }


def test_run_keeps_what_is_unchanged_and_says_so(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    copy = shutil.copytree(work, tmp_path / "out")
    outcome = pdm("run", "--data", fleet, "--out", copy, "--jobs", 2, "--fast", "--trees", 20)
    assert outcome.code == 0
    assert outcome.stderr.count("unchanged, reusing") == 3


@pytest.mark.ci
def test_run_redoes_only_what_a_setting_changes_and_names_it(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    copy = shutil.copytree(work, tmp_path / "out")
    outcome = pdm("run", "--data", fleet, "--out", copy, "--jobs", 1, "--fast", "--trees", 10)
    assert outcome.stderr.count("unchanged, reusing") == 2
    assert "train: trees changed" in outcome.stderr


def test_run_notices_a_changed_input_and_a_damaged_output(work: Path, raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    copy = shutil.copytree(work, tmp_path / "out")
    errors = pd.read_parquet(raw / "errors.parquet")
    errors.iloc[1:].to_parquet(raw / "errors.parquet", index=False)
    (copy / "anomalies/anomalies.parquet").write_bytes(b"")
    outcome = pdm("run", "--data", raw, "--out", copy, "--jobs", 1, "--fast", "--trees", 20)
    assert outcome.code == 0
    assert "preprocess: errors.parquet changed" in outcome.stderr
    assert "detect-anomalies: an output file is missing or was changed" in outcome.stderr


@pytest.mark.ci
@pytest.mark.usefixtures("plots")
def test_force_runs_every_stage_again(work: Path, fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    copy = shutil.copytree(work, tmp_path / "out")
    outcome = pdm("run", "--data", fleet, "--out", copy, "--jobs", 1, "--fast", "--trees", 20, "--force")
    assert "kept" not in outcome.stderr
    assert hashes(copy) == hashes(work)


def test_json_is_one_object_with_a_schema_and_nothing_else_on_stdout(work_copy: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = pdm("run", "--data", fleet, "--out", work_copy, "--jobs", 1, "--fast", "--trees", 20, "--json")
    assert outcome.json["schema"] == "pdm.train/1"
    assert outcome.json["out"] == str(work_copy / "model")


def test_quiet_says_nothing_on_stderr(work_copy: Path, fleet: Path, pdm: Pdm) -> None:
    assert pdm("run", "--data", fleet, "--out", work_copy, "--jobs", 1, "--fast", "--trees", 20, "-q").stderr == ""


@pytest.mark.ci
def test_batch_anomalies_are_no_features_and_train_says_so(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("detect-anomalies", "--prepared", work / "prepared", "--out", tmp_path / "batch", "--mode", "batch")
    assert pdm(*words).code == 0
    assert parquet.read_metadata(tmp_path / "batch/anomalies.parquet")["causal"] == "false"
    words = ("train", "--prepared", work / "prepared", "--anomalies", tmp_path / "batch")
    outcome = pdm(*words, "--out", tmp_path / "model", "--fast", "--trees", 2)
    assert "not used as features" in outcome.stderr
    bundle = json.loads((tmp_path / "model/bundle.json").read_text())
    assert "anomalies" not in bundle["tables"]
    assert not [name for member in bundle["members"] for name in member["features"] if "anomaly" in name]


@pytest.mark.ci
def test_causal_anomalies_become_features(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    assert parquet.read_metadata(work / "anomalies/anomalies.parquet")["causal"] == "true"
    words = ("train", "--prepared", work / "prepared", "--anomalies", work / "anomalies", "--out", tmp_path / "m")
    assert pdm(*words, *QUICK, "--families", "rolling,anomalies").code == 0
    features = json.loads((tmp_path / "m/bundle.json").read_text())["members"][0]["features"]
    assert {"hours_since_volt_anomaly", "volt_anomaly_count_24h", "volt_anomaly_score"} <= set(features)


def test_how_readings_were_judged_is_told(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    summary = json.loads((work / "anomalies/summary.json").read_text())
    told = {"smooth_hours": 24.0, "period_hours": 24.0, "window_days": 28.0}
    assert {name: summary[name] for name in told} == told
    words = ("detect-anomalies", "--prepared", work / "prepared", "--overwrite", "--out", tmp_path / "a")
    line = "tested: trailing means over 24 h, season of 24 h, compared with the 14 days before each reading"
    assert line in pdm(*words, "--window-days", 14).stdout
    outcome = pdm(*words, "--mode", "batch")
    assert "tested: trailing means over 12 h, season of 24 h, compared with the whole series" in outcome.stdout
    assert "--max-anoms" not in outcome.stdout
    outcome = pdm(*words, "--mode", "batch", "--smooth-hours", 0, "--period-hours", 168, "--max-anoms", 0.001)
    assert "tested: raw readings, season of 168 h, compared with the whole series" in outcome.stdout
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert "window_days" not in summary
    capped = sum(facts["capped"] for facts in summary["sensors"].values())
    assert f"{capped} series reached --max-anoms 0.001 and may have more anomalies" in " ".join(outcome.stdout.split())


@pytest.fixture(scope="module")
def in_groups(fleet: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared fleet in several row groups, so that more than one process has work."""
    folder = tmp_path_factory.mktemp("groups") / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_tables, "BATCH_ROWS", 10_000)
        assert pdm("preprocess", "--data", fleet, "--out", folder).code == 0
    assert parquet.count_row_groups(folder / "telemetry.parquet") >= 3
    return folder


@pytest.mark.ci
@pytest.mark.parametrize("mode", ["causal", "batch"])
def test_anomalies_are_the_same_from_any_number_of_processes(
    mode: str, in_groups: Path, pdm: Pdm, tmp_path: Path
) -> None:
    words = ["detect-anomalies", "--prepared", str(in_groups), "--mode", mode]
    assert pdm(*words, "--out", tmp_path / "1", "--jobs", 1).code == 0
    several = [sys.executable, "-m", "pdm_cli", *words, "--out", str(tmp_path / "2"), "--jobs", "2"]
    subprocess.run(several, capture_output=True, check=True)
    assert len(pd.read_parquet(tmp_path / "1/anomalies.parquet")) > 100
    # The report has the command line.
    one, two = (hashes(tmp_path / name) for name in "12")
    assert one.pop("report.html")
    assert two.pop("report.html")
    assert one == two


@pytest.mark.ci
def test_both_roads_of_stl_give_the_same_anomalies(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    found = []
    for stl in ("batch", "statsmodels"):
        words = ("detect-anomalies", "--prepared", work / "prepared", "--out", tmp_path / stl, "--mode", "batch")
        assert pdm(*words, "--stl", stl).code == 0
        found.append(pd.read_parquet(tmp_path / stl / "anomalies.parquet"))
    assert len(found[0]) > 100
    pd.testing.assert_frame_equal(*found, rtol=1e-9)


def test_strict_refuses_the_first_series_that_cannot_be_judged(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    telemetry = pd.read_parquet(raw / "telemetry.parquet")
    telemetry.loc[telemetry["machineID"] == 2, "rotate"] = 450.0
    telemetry.to_parquet(raw / "telemetry.parquet", index=False)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    words = ("detect-anomalies", "--prepared", tmp_path / "prepared", "--out", tmp_path / "a")
    outcome = pdm(*words, "--strict")
    assert outcome.code == 4
    assert "telemetry.parquet: machine 2, rotate: not tested: the series is constant" in outcome.stderr
    assert not (tmp_path / "a").exists()
    summary = pdm(*words, "--json").json
    (skipped,) = summary["skipped"]
    # From the fourth day, when the fleet is known, to the fifteenth it is compared with the other machines.
    assert skipped.pop("readings") == 150 * 24 + 1 - 11 * 24
    assert skipped == {"machineID": 2, "sensor": "rotate", "reason": "the series is constant"}
    assert summary["sensors"]["rotate"]["judged_by_fleet"] == 16 * 11 * 24


@pytest.mark.ci
def test_train_works_from_telemetry_and_failures_alone(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    for name in ("errors", "maint", "machines"):
        (raw / f"{name}.parquet").unlink()
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    assert (
        pdm("train", "--prepared", tmp_path / "prepared", "--out", tmp_path / "model", "--fast", "--trees", 5).code == 0
    )


@pytest.mark.ci
def test_machines_named_by_text_work_throughout(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    for path in raw.glob("*.parquet"):
        table = pd.read_parquet(path)
        table.assign(machineID="pump-" + table["machineID"].astype(str)).to_parquet(path, index=False)
    outcome = pdm("run", "--data", raw, "--out", tmp_path / "out", "--jobs", 1, "--fast", "--trees", 5)
    assert outcome.code == 0, outcome.stderr
    assert pd.read_parquet(tmp_path / "out/model/predictions.parquet")["machineID"].str.startswith("pump-").all()


@pytest.mark.parametrize("gap", [6, 60])
def test_gaps_are_reported_and_the_other_series_go_on(raw: Path, pdm: Pdm, tmp_path: Path, gap: int) -> None:
    telemetry = pd.read_parquet(raw / "telemetry.parquet")
    is_first = telemetry["machineID"] == 1
    rows = telemetry[is_first].index[500 : 500 + gap]
    telemetry.drop(rows).to_parquet(raw / "telemetry.parquet", index=False)
    prepared = pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared", "--json")
    name = "gaps" if gap == 6 else "long_gaps"
    assert prepared.json["findings"][name]["count"] == 1
    words = ("detect-anomalies", "--prepared", tmp_path / "prepared", "--out", tmp_path / "a", "--mode", "batch")
    detected = pdm(*words, "--json")
    assert detected.code == 0
    assert detected.json["skipped"] == []
    # Of both pieces, the means over less than 12 h are not tested.
    spans = pd.read_parquet(tmp_path / "a/unjudged.parquet")
    own = spans[(spans["machineID"] == 1) & (spans["sensor"] == "volt")]
    assert own["readings"].tolist() == ([11, 10] if gap == 6 else [11, 11])


@pytest.mark.ci
def test_demo_needs_no_data_and_is_kept_when_run_again(pdm: Pdm, tmp_path: Path) -> None:
    words = ("demo", "--machines", 24, "--days", 150, "--out", tmp_path / "demo")
    first = pdm(*words, "--json")
    assert first.code == 0, first.stderr
    assert first.json["events"]["failures"] > 0
    # What was trained on is not foretold.
    foretold = first.json["predictions"]
    assert foretold["start"] == first.json["split"]["test_start"]
    # Of every line of the work list it is told what then happened, and of every failure whether it was foretold.
    outcomes = first.json["outcomes"]
    ranks = [row["rank"] for row in outcomes if row["rank"] is not None]
    assert ranks == [line["rank"] for line in foretold["worklist"]]
    truth = pd.read_parquet(tmp_path / "demo/data/truth.parquet")
    to_come = truth[truth["fails"] & (truth["until"] > pd.Timestamp(foretold["end"]))]
    assert sum(row["failed"] is not None for row in outcomes) == len(to_come)
    again = pdm(*words)
    assert again.stderr.count("unchanged, reusing") == 5
    assert "demo/predictions/worklist.csv" in again.stdout


def test_a_folder_of_one_stage_is_none_for_all_of_them(work: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = pdm("run", "--data", fleet, "--out", work / "model", "--fast")
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"error: --out {work / 'model'}: contains the output of pdm train\nhint: ")
    assert not (work / "model/prepared").exists()
