"""``pdm train``: the search, its traces in the output folder, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pdm_cli.features.build import FEATURES, LEARNED
from pdm_cli.features.events import US_PER_HOUR
from pdm_cli.io import manifest
from pdm_cli.settings.model import MAX_SEED
from pdm_cli.training.splits import Split, split_by_time
from tests.cli.conftest import QUICK, Pdm, assert_clear

pytestmark = pytest.mark.slow

# Algorithms that are always there; the first ones of the search without LightGBM.
SEARCH = ("--algorithms", "xgboost,logistic_regression", "--trials", 3, "--trees", 20)


@pytest.fixture(scope="session")
def searched(work: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was searched for."""
    out = tmp_path_factory.mktemp("searched") / "model"
    outcome = pdm("train", "--prepared", work / "prepared", "--anomalies", work / "anomalies", "--out", out, *SEARCH)
    assert outcome.code == 0, outcome.stderr
    assert "logistic_regression" in outcome.stdout
    assert "3 of 3 trials" in outcome.stdout
    told = [line for line in outcome.stderr.splitlines() if "trial " in line]
    assert len(told) == 3
    assert told[1] == "train: trial 2 of 3: trying logistic_regression on the selected feature set"
    return out


def metrics_of(model: Path) -> dict:
    return json.loads((model / "metrics.json").read_text())


def board_of(model: Path) -> pd.DataFrame:
    """The leaderboard without what the clock says."""
    return pd.read_csv(model / "leaderboard.csv").drop(columns=["fit_seconds", "rows_per_second"])


def model_bytes(model: Path) -> dict[str, str]:
    files = [*model.glob("member_*"), *model.glob("hazard_*"), model / "bundle.json", model / "predictions.parquet"]
    return {name: found["sha256"] for name, found in manifest.hash_files(model, files).items()}


def train(pdm: Pdm, work: Path, out: Path, *words: object):
    return pdm("train", "--prepared", work / "prepared", "--out", out, *words)


@pytest.mark.ci
def test_train_saves_only_the_states_of_families_that_the_model_uses(
    work: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few columns are not selected from, so the first set of families is used.
    monkeypatch.setattr("pdm_cli.training.dataset.count_columns", lambda _: 10_000)
    assert train(pdm, work, tmp_path / "model", *QUICK).code == 0
    stored = json.loads((tmp_path / "model/bundle.json").read_text())
    assert set(stored["states"]) == {"template"} == set(stored["families"]) & set(LEARNED)


def test_a_search_leaves_a_leaderboard_of_its_trials(searched: Path) -> None:
    board = pd.read_csv(searched / "leaderboard.csv")
    assert len(board) == 3
    assert sorted(board["trial"]) == [0, 1, 2]
    assert set(board["algorithm"]) == {"xgboost", "logistic_regression"}
    complete = board[board["state"] == "complete"]
    assert complete["rank"].tolist() == list(range(1, len(complete) + 1))
    assert complete["score"].is_monotonic_decreasing
    folds = complete[["fold_1", "fold_2"]]
    np.testing.assert_allclose(complete["score"], folds.mean(axis=1))
    np.testing.assert_allclose(complete["spread"], folds.max(axis=1) - folds.min(axis=1))
    assert (board["fit_seconds"] > 0).all()
    assert (board["rows_per_second"] > 0).all()
    search = metrics_of(searched)["search"]
    assert [row["trial"] for row in search["leaderboard"]] == board["trial"].tolist()
    assert search["chosen_trials"][0] == board["trial"][0]


def test_metrics_tell_all_that_the_contract_wants(searched: Path) -> None:
    metrics = metrics_of(searched)
    rows = {"roc_auc", "average_precision", "brier", "f1"}
    assert set(metrics["macro"]) == rows
    assert {"caught", "failures", "warning_hours", "false_alarms_per_machine_month"} <= set(metrics["events"])
    assert {"3h", "12h", "24h"} <= set(metrics["events"]["warned_ahead"])
    assert metrics["events"]["intervals"]
    for component in metrics["components"].values():
        assert rows | {"threshold", "alert_off", "reliability", "calibration_error", "events"} <= set(component)
        assert component["alert_off"] <= component["threshold"]
    assert {"alerts", "run_to_failure", "fixed_interval", "unit"} <= set(metrics["costs"])
    assert metrics["calibration_error"] is not None
    assert {"cutoff", "test_start", "test_end", "gap_hours", "horizon_hours"} <= set(metrics["split"])
    search = metrics["search"]
    assert (search["trials"], search["trials_wanted"], search["cut_short"], search["resumed"]) == (3, 3, False, 0)
    assert search["metric"] == "average_precision"
    assert set(metrics["seconds"]) == {"features", "guards", "training", "test"}


def test_a_finished_search_leaves_nothing_but_its_files(searched: Path) -> None:
    assert not [path.name for path in searched.iterdir() if path.name.startswith(".")]


@pytest.mark.ci
def test_fast_trains_the_first_trial_of_the_search(searched: Path, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--anomalies", work / "anomalies", *QUICK)
    assert train(pdm, work, tmp_path / "fast", *words).code == 0
    assert train(pdm, work, tmp_path / "one", *words[:2], "--trials", 1, "--trees", 20).code == 0
    board, whole = board_of(tmp_path / "fast"), board_of(searched).set_index("trial")
    assert len(board) == 1
    assert board["score"][0] == whole["score"][0]
    assert board["hyper"][0] == whole["hyper"][0]
    members = [
        {name: digest for name, digest in model_bytes(tmp_path / name).items() if name.startswith("member_")}
        for name in ("fast", "one")
    ]
    assert members[0] == members[1]


@pytest.mark.ci
def test_a_search_without_time_makes_a_model_and_says_so(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = train(pdm, work, tmp_path / "m", *SEARCH, "--time-budget", 0)
    assert outcome.code == 0, outcome.stderr
    assert "search stopped by --time-budget-seconds 0 s after 1 of 3 trials" in outcome.stderr
    assert "1 of 3 trials; the time budget ran out, so another run may give a different model" in " ".join(
        outcome.stdout.split()
    )
    search = metrics_of(tmp_path / "m")["search"]
    assert (search["trials"], search["trials_wanted"], search["cut_short"]) == (1, 3, True)


@pytest.mark.ci
def test_a_search_takes_settings_as_extreme_as_they_may_be(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    extremes = ("--seed", MAX_SEED, "--shift-hours", 2, "--max-leaves", 65_536, "--min-child-weight", 1e9, "--l2", 1e9)
    costs = [word for name in ("missed-failure", "false-alarm", "planned-repair") for word in (f"--{name}", 1e12)]
    outcome = train(pdm, work, tmp_path / "model", *SEARCH, *extremes, *costs)
    assert outcome.code == 0, outcome.stderr
    assert metrics_of(tmp_path / "model")["search"]["trials"] == 3


@pytest.mark.ci
def test_trees_outside_the_search_space_are_searched_around_all_the_same(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--algorithms", "xgboost", "--trials", 2, "--trees", 3, "--l2", 0, "--learning-rate", 0.9)
    outcome = train(pdm, work, tmp_path / "m", *words)
    assert outcome.code == 0, outcome.stderr
    first = board_of(tmp_path / "m").set_index("trial")["hyper"].map(json.loads)[0]
    assert (first["trees"], first["l2"], first["learning_rate"]) == (3, 0, 0.9)


@pytest.mark.parametrize("split", ["machine", "both"])
def test_machines_can_be_held_out(split: str, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = train(pdm, work, tmp_path / "m", *QUICK, "--split", split, "--folds", 1, "--json")
    assert outcome.code == 0, outcome.stderr
    told = outcome.json["split"]
    held_out = set(told["machines_held_out"])
    assert (told["kind"], len(held_out)) == (split, 4)
    predictions = pd.read_parquet(tmp_path / "m/predictions.parquet")
    assert set(predictions["machineID"]) == held_out
    trained = json.loads((tmp_path / "m/bundle.json").read_text())["trained"]["machines"]
    assert not held_out & set(trained)
    first = pd.read_parquet(work / "prepared/features.parquet", columns=["datetime"])["datetime"].min()
    assert (predictions["datetime"].min() == first) == (split == "machine")


@pytest.mark.ci
def test_the_cheapest_alert_rule_goes_off_no_higher_than_on(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = train(pdm, work, tmp_path / "m", *QUICK, "--threshold", "cost", "--json")
    assert outcome.code == 0, outcome.stderr
    assert all(row["alert_off"] <= row["threshold"] for row in outcome.json["components"].values())


@pytest.mark.ci
@pytest.mark.parametrize("rule", ["f1", "recall=0.95"])
def test_alert_rules_by_f1_and_recall_have_one_level(rule: str, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = train(pdm, work, tmp_path / "m", *QUICK, "--threshold", rule, "--json")
    assert outcome.code == 0, outcome.stderr
    assert all(row["threshold"] == row["alert_off"] for row in outcome.json["components"].values())


@pytest.mark.ci
def test_costs_are_told_in_their_unit(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = train(pdm, work, tmp_path / "m", *QUICK, "--unit", "EUR", "--missed-failure", 1000)
    assert "cost in EUR per machine and month: acting on alerts " in outcome.stdout
    costs = metrics_of(tmp_path / "m")["costs"]
    assert costs["unit"] == "EUR"
    assert costs["alerts"] < costs["run_to_failure"]


BAD_CHOICES = {
    "threshold": (
        ("--threshold", "recall=1.5"),
        "--threshold: recall needs a share",
        "--help",
    ),
    "threshold name": (("--threshold", "best"), "--threshold: expected hysteresis, f1, cost", "--help"),
    "family": (("--families", "rolling,weather"), "--families: unknown family 'weather'", "known: rolling"),
    "algorithm": (("--algorithms", "xgboost,svm"), "--algorithms: unknown algorithm 'svm'", "known: xgboost"),
    "metric": (("--metric", "accuracy"), "'accuracy' is not one of", "--help"),
    "split": (("--split", "random"), "'random' is not one of", "--help"),
}


@pytest.mark.parametrize("name", BAD_CHOICES)
def test_unknown_choices_are_refused_with_the_known(
    name: str, work: Path, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    words, message, hint = BAD_CHOICES[name]
    assert_clear(train(pdm, work, tmp_path / "m", *words), 2, message, hint)
    assert_clear(pdm("run", "--data", fleet, "--out", tmp_path / "out", *words), 2, message, hint)
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.ci
@pytest.mark.parametrize("family", [*FEATURES, *LEARNED])
def test_every_family_makes_a_model_by_itself(family: str, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--anomalies", work / "anomalies", "--families", family, "--fast", "--trees", 2, "--folds", 1)
    outcome = train(pdm, work, tmp_path / "model", *words)
    assert outcome.code == 0, outcome.stderr
    assert json.loads((tmp_path / "model/bundle.json").read_text())["families"] == [family]


def test_families_whose_tables_are_not_there_are_refused(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    (raw / "maint.parquet").unlink()
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    outcome = train(pdm, tmp_path, tmp_path / "m", *QUICK, "--families", "visits")
    assert_clear(outcome, 4, "no table for the features of --families visits", "--families")


def plant_leak(raw: Path) -> None:
    """Let a counter of the machine know that comp3 fails within the horizon."""
    telemetry = pd.read_parquet(raw / "telemetry.parquet").sort_values(["datetime", "machineID"])
    failures = pd.read_parquet(raw / "failures.parquet")
    coming = failures[failures["failure"] == "comp3"].assign(at=lambda t: t["datetime"]).sort_values("datetime")
    found = pd.merge_asof(
        telemetry, coming[["datetime", "machineID", "at"]], on="datetime", by="machineID", direction="forward"
    )
    hours = (found["at"] - found["datetime"]) / pd.Timedelta(hours=1)
    leaking = found.assign(counter=hours.between(3, 48).astype(float)).drop(columns="at")
    leaking.to_parquet(raw / "telemetry.parquet", index=False)


@pytest.mark.ci
def test_a_feature_that_knows_of_the_future_is_refused_by_name(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    plant_leak(raw)
    assert pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared").code == 0
    outcome = train(pdm, tmp_path, tmp_path / "m", *QUICK)
    assert_clear(outcome, 5, "features: counter_", "--allow-suspicious")
    assert "alone predicts failures of comp3 (AUC " in outcome.stderr
    assert not (tmp_path / "m").exists()
    assert train(pdm, tmp_path, tmp_path / "m", *QUICK, "--allow-suspicious").code == 0


def test_a_feature_that_looks_ahead_is_refused_by_name(work: Path, pdm: Pdm, tmp_path: Path) -> None:
    shutil.copytree(work / "prepared", tmp_path / "prepared")
    path = tmp_path / "prepared/features.parquet"
    table = pq.read_table(path)
    name = "volt_mean_3h"
    ahead = table.select(["machineID", name]).to_pandas().groupby("machineID")[name].shift(-1)
    column = table.schema.get_field_index(name)
    field = table.schema.field(column)
    # Numbers as before, and all that stands beside them in the file; only that each is of three hours later.
    table = table.set_column(column, field, pa.array(ahead, field.type)).replace_schema_metadata(table.schema.metadata)
    pq.write_table(table, path)
    outcome = train(pdm, tmp_path, tmp_path / "m", *QUICK)
    assert_clear(outcome, 5, f"feature {name} of machine ", "run pdm preprocess")
    assert "uses the future" in outcome.stderr
    assert not (tmp_path / "m").exists()


def test_a_split_whose_training_looks_into_the_test_is_refused(
    work: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_gap(*given: Any, **named: Any) -> Split:
        split = split_by_time(*given, **named)
        return replace(split, test_start=split.cutoff - 24 * US_PER_HOUR)

    monkeypatch.setattr("pdm_cli.training.labelled_rows.split_by_time", without_gap)
    outcome = train(pdm, work, tmp_path / "m", *QUICK)
    assert_clear(outcome, 5, "is trained on, but its label depends on the test span", "a later --test-start")
    assert not (tmp_path / "m").exists()


def test_anomalies_of_other_telemetry_are_refused(work: Path, raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    telemetry = pd.read_parquet(raw / "telemetry.parquet")
    telemetry[telemetry["machineID"] != 1].to_parquet(raw / "telemetry.parquet", index=False)
    words = ("--data", raw, "--out", tmp_path / "prepared", "--on-unknown-machine", "drop")
    assert pdm("preprocess", *words).code == 0
    outcome = train(pdm, tmp_path, tmp_path / "m", *QUICK, "--anomalies", work / "anomalies")
    assert_clear(outcome, 4, "anomalies.parquet: was computed from different telemetry than", "pdm detect-anomalies")


@pytest.mark.ci
def test_a_model_is_the_same_on_any_number_of_threads(searched: Path, work: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("--anomalies", work / "anomalies", *SEARCH)
    for threads in (1, 2):
        assert train(pdm, work, tmp_path / str(threads), *words, "--threads", threads).code == 0
        assert model_bytes(tmp_path / str(threads)) == model_bytes(searched)


@pytest.mark.ci
def test_a_killed_search_is_taken_up_again_with_other_trials_and_ends_as_if_nothing_had_been(
    searched: Path, work: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    words = [sys.executable, "-m", "pdm_cli", "train", "--prepared", work / "prepared", "--anomalies"]
    words = [*map(str, [*words, work / "anomalies", "--out", model, *SEARCH])]
    # What is made of the trials may change: their number, their time, and how alerts are chosen.
    other = ["--trials", "5", "--time-budget", "600", "--threshold", "cost", "--missed-failure", "50"]
    process = subprocess.Popen([*words, *other], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    tried = 0
    for line in process.stderr:
        tried += "trying" in line
        if tried == 2:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    process.stderr.close()
    assert not (model / "manifest.json").exists()
    (log,) = model.glob(".pdm-partial-kept-*/search.log")
    # What a kill while writing leaves: half a line, and a lock that nobody holds.
    with log.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    log.with_name("search.log.lock").symlink_to(log)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "search resumed after 1 of 3 trials" in done.stderr
    assert metrics_of(model)["search"]["resumed"] == 1
    assert model_bytes(model) == model_bytes(searched)
    pd.testing.assert_frame_equal(board_of(model), board_of(searched))
    assert not list(model.glob(".pdm-partial-*"))
