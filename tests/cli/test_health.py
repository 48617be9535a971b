from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import pdm_cli
from pdm_cli.errors import UsageError
from pdm_cli.io import manifest
from pdm_cli.pipeline.run import find_chain
from pdm_cli.pipeline.stages import CHAIN, HEALTH_CHAIN
from pdm_cli.schema import HEALTH
from tests.builders.health import START, make_telemetry
from tests.cli.conftest import Pdm
from tests.conftest import call_pdm
from tests.outcome import Outcome

pytestmark = pytest.mark.slow


def make_raw(folder: Path) -> Path:
    """Write raw tables of six machines without failures; on their last days the third is damaged, the fourth leaks."""
    telemetry = make_telemetry().assign(leak=0.0)
    telemetry.loc[telemetry["machineID"].eq(4) & (telemetry["datetime"] > START + pd.Timedelta(days=78)), "leak"] = 20.0
    damaged = (telemetry["machineID"] == 3) & (telemetry["datetime"] > START + pd.Timedelta(days=76))
    telemetry.loc[damaged, "shake"] += 3.0
    folder.mkdir(parents=True)
    telemetry.to_parquet(folder / "telemetry.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_raw(tmp_path_factory.mktemp("health") / "raw")


@pytest.fixture(scope="module")
def ran(fleet: Path) -> Outcome:
    return call_pdm("run", "--data", fleet, "--out", fleet.parent / "work", "--json", "--jobs", 1)


@pytest.fixture(scope="module")
def work(ran: Outcome, fleet: Path) -> Path:
    assert ran.code == 0
    return fleet.parent / "work"


def test_run_without_failures_measures_health(ran: Outcome, work: Path) -> None:
    assert "run: no failures.parquet: measuring health instead of training a model" in ran.stderr
    assert sorted(path.name for path in work.iterdir()) == ["anomalies", "health", "prepared"]
    summary = ran.json
    assert (summary["schema"], summary["out"]) == ("pdm.health/1", str(work / "health"))
    assert [(row["machineID"], row["sensors"]) for row in summary["ranking"]] == [(3, "shake")]
    assert [(row["machineID"], row["sensors"]) for row in summary["nearest"]][:1] == [(4, "leak")]
    (constant,) = summary["constant_sensors"]
    assert summary["reference_bursts"] == []
    assert constant == {"sensor": "leak", "health": pytest.approx(summary["nearest"][0]["health"])}
    assert "warning: health: leak: did not vary in the reference; a change lowers the health to 0." in ran.stderr
    assert summary["reference_days"] == pytest.approx(21, abs=0.1)
    written = json.loads((work / "health/health.json").read_text())
    assert {**written, "out": summary["out"]} == summary


def test_run_without_failures_writes_every_file_of_the_folder(work: Path) -> None:
    folder = work / "health"
    listed = manifest.read(folder)
    assert listed is not None
    names = {"episodes.parquet", "health.json", "health.parquet", "ranking.csv", "report.html"}
    assert set(listed["outputs"]) == names
    assert pq.ParquetFile(folder / HEALTH.file).schema_arrow.names == [column.name for column in HEALTH.columns]
    health = pd.read_parquet(folder / HEALTH.file)
    assert health["health"].dropna().between(0, 1).all()
    assert (health["alarm"] == (health["health"] < 0.5)).all()
    ranking = pd.read_csv(folder / "ranking.csv")
    assert ranking["rank"].tolist() == [1, 2, 3, 4, 5, 6]


def test_run_without_failures_again_reuses_the_stages(work: Path, fleet: Path, pdm: Pdm) -> None:
    again = pdm("run", "--data", fleet, "--out", work)
    assert "health: unchanged" in again.stderr
    assert "machines to inspect" not in again.stdout
    assert "alarm since" in again.stdout
    assert "1 alarm expected per machine and year in normal operation" in " ".join(again.stdout.split())


def test_run_without_failures_into_the_folder_of_a_model_is_rejected(fleet: Path, pdm: Pdm, tmp_path: Path) -> None:
    out = tmp_path / "work"
    (out / "model").mkdir(parents=True)
    (out / "model" / "manifest.json").write_text(
        json.dumps({"schema": manifest.SCHEMA, "command": "train", "parameters": {}, "inputs": {}, "outputs": {}})
    )
    outcome = pdm("run", "--data", fleet, "--out", out)
    assert outcome.code == 2
    assert f"{out / 'model'}: model of earlier data, but {fleet} has no failures" in outcome.stderr
    assert f"hint: choose another folder with --out, or delete {out / 'model'}" in outcome.stderr
    assert [path.name for path in out.iterdir()] == ["model"]


def test_run_with_failures_beside_health_reports_that_it_is_of_an_earlier_run(
    work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    shutil.copytree(work / "health", tmp_path / "work" / "health")
    data = make_raw(tmp_path / "raw")
    (data / "failures.csv").touch()
    outcome = pdm("run", "--data", data, "--out", tmp_path / "work")
    assert f"{tmp_path / 'work' / 'health'}: health of an earlier run without failures" in outcome.stderr


@pytest.mark.usefixtures("plots")
def test_report_names_the_machine_and_draws_its_health(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    page = (work / "health/report.html").read_text()
    assert "<title>Machine health</title>" in page
    assert "Machines with an alarm" in page
    assert "Health of machine 3</title>" in page
    assert "leak: did not vary in the reference; a change lowers the health to 0." in page
    rebuilt = tmp_path / "again.html"
    assert pdm("report", work / "health", "--out", rebuilt).code == 0
    assert rebuilt.read_text() == page


def test_health_with_another_rate_changes_the_alarms(ran: Outcome, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("health", "--prepared", work / "prepared", "--json")
    rare, often = (pdm(*words, "--out", tmp_path / str(rate), "--alarms-per-machine-year", rate) for rate in (0.1, 50))
    assert rare.json["level"]["deviation"] > ran.json["level"]["deviation"] > often.json["level"]["deviation"]
    assert rare.json["alarms"] < ran.json["alarms"] < often.json["alarms"]


@pytest.mark.parametrize(
    ("days", "message", "hint"),
    [
        (90, "no row after the reference of 90 days (--reference-days)", "set fewer --reference-days"),
        (
            2,
            "the first 2 days (--reference-days) are too short to calibrate alarms: 0 spans of 168 h with varying "
            "sensors, all machines together, and at least 5 are needed; the first 168 h of each machine do not count",
            "use a longer log, or set more --reference-days",
        ),
    ],
)
def test_reference_that_does_not_fit_is_reported(
    work: Path, pdm: Pdm, tmp_path: Path, days: int, message: str, hint: str
) -> None:
    words = ("--prepared", work / "prepared", "--out", tmp_path / "out")
    outcome = pdm("health", *words, "--reference-days", days)
    assert outcome.code == 4
    assert message in outcome.stderr
    assert f"hint: {hint}" in outcome.stderr


def test_damage_in_the_reference_is_a_warning(pdm: Pdm, tmp_path: Path) -> None:
    telemetry = make_telemetry(load=0)
    days = (telemetry["datetime"] - START) / pd.Timedelta(days=1)
    telemetry.loc[(telemetry["machineID"] == 3) & days.between(12, 15), "shake"] += 20.0
    (tmp_path / "raw").mkdir()
    telemetry.to_parquet(tmp_path / "raw/telemetry.parquet", index=False)
    out = tmp_path / "work"
    outcome = pdm("run", "--data", tmp_path / "raw", "--out", out)
    doubt = "he first 21 days, on which alarms are calibrated, may not be normal: 3 shake "
    assert f"warning: health: t{doubt}" in outcome.stderr
    assert "end --reference-days before it" in outcome.stderr
    assert f"T{doubt}" in (out / "health/report.html").read_text()
    (burst,) = json.loads((out / "health/health.json").read_text())["reference_bursts"]
    assert (burst["machineID"], burst["sensor"]) == (3, "shake")


def test_machine_that_recovered_is_listed_with_its_alarm(pdm: Pdm, tmp_path: Path) -> None:
    telemetry = make_telemetry()
    days = (telemetry["datetime"] - START) / pd.Timedelta(days=1)
    telemetry.loc[(telemetry["machineID"] == 3) & days.between(60, 63), "shake"] += 3.0
    (tmp_path / "raw").mkdir()
    telemetry.to_parquet(tmp_path / "raw/telemetry.parquet", index=False)
    out = tmp_path / "work"
    shown = pdm("run", "--data", tmp_path / "raw", "--out", out).stdout
    assert "machines to inspect: no alarm is on" in shown
    assert "latest alarms" in shown
    assert "calibrated on the 21 days before" in shown
    summary = json.loads((out / "health/health.json").read_text())
    assert summary["ranking"] == []
    assert [(row["machineID"], row["sensors"]) for row in summary["latest_episodes"]] == [(3, "shake")]
    assert len(summary["nearest"]) == 5
    assert summary["nearest"][0]["health"] > 0.5
    page = (out / "health/report.html").read_text()
    assert "no known health" not in page
    assert "Alarms, latest first" in page
    assert "Health over time" in page
    assert "Machine 3; line: alarm level, shaded: alarm on." in page


def test_files_that_are_no_table_of_failures_do_not_count(tmp_path: Path) -> None:
    for name in ("._failures.parquet", ".failures.csv.swp", "no_failures.txt", "failures.md"):
        (tmp_path / name).touch()
    assert find_chain(tmp_path) == HEALTH_CHAIN


@pytest.mark.parametrize("name", ["failures.parquet", "failures.csv", "failures/", ".pdm-partial-1/previous/"])
def test_tables_of_failures_and_half_moved_folders_count(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True) if name.endswith("/") else (tmp_path / name).touch()
    assert find_chain(tmp_path) == CHAIN


def test_submitted_run_without_failures_has_the_step_health(fleet: Path, pdm: Pdm) -> None:
    words = ("run", "--data", fleet, "--alarms-per-machine-year", 2)
    plan = pdm("submit", "--dry-run", "--json", *words).stdout
    assert "--alarms-per-machine-year 2" in plan
    assert "pdm_cli train" not in plan


def test_api_without_failures_returns_the_health(fleet: Path, tmp_path: Path) -> None:
    stale = tmp_path / "model/metrics.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    result = pdm_cli.run({"telemetry": pd.read_parquet(fleet / "telemetry.parquet")}, out=tmp_path, jobs=1)
    with pytest.raises(UsageError, match="no model: the raw tables had no failures") as caught:
        _ = result.metrics
    assert caught.value.hint == "use .health of the result"
    assert result.health.ranking["machineID"].iloc[0] == 3
    assert len(result.health.health) == result.health.summary["rows"]
    assert result.health.episodes["machineID"].tolist()[-1:] == [3]
    assert result.health.report.is_file()
    again = pdm_cli.health(result.prepared, reference_days=30)
    assert again.summary["reference_days"] == 30
