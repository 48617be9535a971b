"""``pdm predict`` and ``pdm evaluate``: new raw tables and a model folder."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pdm_cli import manifest
from pdm_cli.commands import predict as predict_command
from pdm_cli.commands.simulate import write_fleet
from pdm_cli.core.simulate import simulate_fleet
from pdm_cli.raw import RawTelemetry
from tests.cli.conftest import QUICK, Outcome, Pdm
from tests.cli.test_errors import assert_clear, edit

FILES = {
    *("predictions.parquet", "episodes.parquet", "worklist.csv", "drift.csv"),
    *("predictions.json", "report.html", "manifest.json"),
}


@pytest.fixture(scope="session")
def model(work: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of all families, anomalies and template too."""
    out = tmp_path_factory.mktemp("model") / "model"
    words = ("--prepared", work / "prepared", "--anomalies", work / "anomalies", "--out", out)
    families = "rolling,hours_since,counts,anomalies,attributes,visits,cycle_places,shifts,template"
    outcome = pdm("train", *words, *QUICK, "--families", families)
    assert outcome.code == 0, outcome.stderr
    return out


@pytest.fixture(scope="session")
def predicted(fleet: Path, model: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted") / "out"
    outcome = predict(pdm, fleet, model, out)
    assert outcome.code == 0, outcome.stderr
    return out


def predict(pdm: Pdm, data: Path, model: Path, out: Path, *words: object) -> Outcome:
    return pdm("predict", "--data", data, "--model", model, "--out", out, *words)


def evaluate(pdm: Pdm, data: Path, model: Path, *words: object) -> Outcome:
    return pdm("evaluate", "--data", data, "--model", model, *words)


def read(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "predictions.parquet")


def metrics_of(model: Path) -> dict:
    return json.loads((model / "metrics.json").read_text())


def test_predictions_from_raw_data_are_those_of_training_to_the_last_bit(model: Path, predicted: Path) -> None:
    theirs = read(model).drop(columns="label")
    ours = read(predicted)
    ours = ours[ours["datetime"] >= theirs["datetime"].min()].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_what_comes_later_changes_no_prediction(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    end = pd.Timestamp("2015-05-20")
    for name in ("telemetry", "errors", "maint", "failures"):
        edit(name, lambda t: t[t["datetime"] <= end])(raw)
    assert predict(pdm, raw, model, tmp_path / "out").code == 0
    whole = read(predicted)
    whole = whole[whole["datetime"] <= end].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(tmp_path / "out"), whole, check_exact=True)


def test_everything_is_written_and_listed(predicted: Path) -> None:
    assert {path.name for path in predicted.iterdir()} == FILES
    summary = json.loads((predicted / "predictions.json").read_text())
    predictions = read(predicted)
    components = predictions["component"].nunique()
    assert summary["schema"] == "pdm.predict/1"
    assert summary["rows"] * components == len(predictions)
    assert summary["machines"] == predictions["machineID"].nunique()
    assert summary["alerts"] == predictions["alert"].sum()
    assert summary["episodes"] == len(pd.read_parquet(predicted / "episodes.parquet"))


def test_the_work_list_is_what_alerts_at_the_end_and_tells_why(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    predictions = read(predicted)
    # Stop at the moment with the most alerts, so that there is work; one has gone off within the lead time.
    end = predictions[predictions["alert"]]["datetime"].value_counts().index[0]
    edit("telemetry", lambda t: t[t["datetime"] <= end])(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    work = pd.read_csv(
        tmp_path / "out/worklist.csv", parse_dates=["datetime", "since", "expected_from", "expected_until"]
    )
    recent = predictions[predictions["datetime"].between(end - pd.Timedelta(hours=3), end) & predictions["alert"]]
    last = recent.groupby(["machineID", "component"])["datetime"].max()
    logs = [pd.read_parquet(raw / f"{name}.parquet") for name in ("maint", "failures")]
    renewed = {
        (machine, component)
        for log in logs
        for stamp, machine, component in log[["datetime", "machineID", log.columns[-1]]].itertuples(index=False)
        if (machine, component) in last and last[machine, component] < stamp <= end
    }
    assert (last < end).any()
    listed = work.set_index(["machineID", "component"])["datetime"]
    assert listed.to_dict() == {pair: time for pair, time in last.items() if pair not in renewed}
    assert work["rank"].tolist() == list(range(1, len(work) + 1))
    assert work["probability"].is_monotonic_decreasing
    assert (work["since"] <= work["datetime"]).all()
    assert (work["expected_from"] == work["datetime"] + pd.Timedelta(hours=3)).all()
    assert (work["expected_until"] == work["datetime"] + pd.Timedelta(hours=48)).all()
    assert (work["reasons"].str.len() > 0).all()
    means = work["reasons"].str.extractall(r"( mean of [^;]+)")[0]
    assert means.str.fullmatch(r" mean of \d+ h is [\d.,]+ \(usually [\d.,]+\)").all()
    assert len(means)
    assert work["reasons"][0] in outcome.stdout


def test_what_has_failed_is_not_on_the_work_list_any_more(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    failures = pd.read_parquet(raw / "failures.parquet")
    machine, component, end = failures.loc[failures["datetime"].idxmax(), ["machineID", "failure", "datetime"]]
    edit("telemetry", lambda t: t[t["datetime"] <= end])(raw)
    assert predict(pdm, raw, model, tmp_path / "out").code == 0
    predictions, work = read(tmp_path / "out"), pd.read_csv(tmp_path / "out/worklist.csv")
    own = predictions[(predictions["machineID"] == machine) & (predictions["component"] == component)]
    assert own["alert"].tolist()[-2:] == [True, False]
    assert (machine, component) not in set(zip(work["machineID"], work["component"], strict=True))


def test_a_short_work_list_is_followed_by_what_is_nearest_to_an_alert(
    predicted: Path, fleet: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    predictions = read(predicted)
    recent = predictions.groupby("datetime")["alert"].sum().rolling(2).sum()
    end = recent.index[(recent == 0) & (recent.index > "2015-05-01")][0]
    outcome = predict(pdm, fleet, model, tmp_path / "out", "--until", end.isoformat())
    last = predictions[predictions["datetime"] == end].nlargest(3, "probability")
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    assert summary["worklist"] == []
    nearest = summary["nearest"]
    pairs = [*zip(last["machineID"], last["component"], strict=True)]
    assert [(row["machineID"], row["component"]) for row in nearest] == pairs
    assert [row["probability"] for row in nearest] == pytest.approx(last["probability"].tolist())
    rules = json.loads((model / "bundle.json").read_text())["rules"]
    assert {row["threshold"] for row in nearest} <= {round(rule["on"], 10) for rule in rules}
    told = outcome.stdout.partition("work list: no alert is on\nnearest to an alert\n")[2]
    assert "alert on at" in told
    page = (tmp_path / "out/report.html").read_text()
    assert "Nearest to an alert" in page
    assert json.loads((predicted / "predictions.json").read_text())["nearest"] != []
    busy = predictions[predictions["alert"]]["datetime"].value_counts().index[0]
    outcome = predict(pdm, fleet, model, tmp_path / "busy", "--until", busy.isoformat(), "--json")
    assert len(outcome.json["worklist"]) > 2
    assert outcome.json["nearest"] == []


def test_drift_is_told_per_feature_and_warned_of(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("telemetry", lambda t: t.assign(volt=t["volt"] + 60))(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out", "--json")
    drift = pd.read_csv(tmp_path / "out/drift.csv")
    features = json.loads((model / "bundle.json").read_text())["members"][0]["features"]
    assert set(drift["feature"]) == set(features)
    assert drift["stability_index"].is_monotonic_decreasing
    assert drift["feature"][0].startswith("volt_mean")
    assert "volt_mean_24h" in {row["feature"] for row in outcome.json["drift"]}
    told = predict(pdm, raw, model, tmp_path / "out", "--overwrite").stdout
    assert "spread otherwise than in the training" in told


def test_a_feature_whose_name_is_a_formula_is_none_in_the_drift_table(
    fleet: Path, model: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = predict_command._drift
    monkeypatch.setattr(predict_command, "_drift", lambda *given: made(*given).assign(feature="=1+1_count_24h"))
    assert predict(pdm, fleet, model, tmp_path / "out", "--latest").code == 0
    assert set(pd.read_csv(tmp_path / "out/drift.csv")["feature"]) == {"'=1+1_count_24h"}


def test_drift_is_not_told_by_rows_that_the_model_learned_from(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    def rows_for_drift(*words: object) -> tuple[int, bool, str]:
        out = tmp_path / "out"
        outcome = predict(pdm, raw, model, out, "--overwrite", *words)
        assert outcome.code == 0, outcome.stderr
        rows = json.loads((out / "predictions.json").read_text())["drift_rows"]
        return rows, bool(pd.read_csv(out / "drift.csv")["stability_index"].isna().all()), outcome.stdout

    cutoff = pd.Timestamp(metrics_of(model)["split"]["cutoff"])
    edit("telemetry", lambda t: t[t["datetime"] <= cutoff + pd.Timedelta("5D")])(raw)
    rows, is_untold, stdout = rows_for_drift()
    assert (rows, is_untold) == (5 * 8 * 16, True)
    assert "drift cannot be told: 640 instants that the model did not learn from, wanted 1,000\n" in stdout
    assert rows_for_drift("--since", "2015-01-02")[:2] == (640, True)
    assert "drift cannot be told: no instant is new to it" in rows_for_drift("--until", cutoff.isoformat())[2]
    whole = json.loads((predicted / "predictions.json").read_text())
    assert whole["drift_rows"] == ((pd.Timestamp(whole["end"]) - cutoff) // pd.Timedelta("3h")) * 16
    # Nothing of another fleet was learned from.
    for path in raw.glob("*.parquet"):
        pd.read_parquet(path).assign(machineID=lambda t: t["machineID"] + 500).to_parquet(path, index=False)
    rows, is_untold, stdout = rows_for_drift()
    assert rows > 10_000
    assert not is_untold
    assert "cannot be told" not in stdout


def test_since_and_latest_write_less_and_change_nothing(
    predicted: Path, fleet: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    whole = read(predicted)
    assert predict(pdm, fleet, model, tmp_path / "since", "--since", "2015-05-15").code == 0
    later = whole[whole["datetime"] >= "2015-05-15"].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(tmp_path / "since"), later, check_exact=True)
    assert predict(pdm, fleet, model, tmp_path / "latest", "--latest").code == 0
    last = whole[whole["datetime"] == whole.groupby("machineID")["datetime"].transform("max")].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(tmp_path / "latest"), last, check_exact=True)
    both = predict(pdm, fleet, model, tmp_path / "none", "--since", "2015-05-15", "--latest")
    assert_clear(both, 2, "--since: has no meaning beside --latest", "leave one of the two out")
    outcome = predict(pdm, fleet, model, tmp_path / "none", "--since", "2016-01-01")
    assert_clear(outcome, 4, "no instant from --since on; the last is 2015-05-31T06:00", "earlier --since")


def test_until_tells_what_tables_that_end_then_tell(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    failures = pd.read_parquet(raw / "failures.parquet")
    # Between two readings; a component failed three hours before the last row, a sensor is dead, a machine silent.
    last = failures.loc[failures["datetime"].idxmax()]
    end = last["datetime"] + pd.Timedelta(hours=3, minutes=30)
    is_last, is_old = (
        (lambda t: t["machineID"] == last["machineID"]),
        (lambda t: t["datetime"] < end - pd.Timedelta("3D")),
    )
    edit("telemetry", lambda t: t.assign(volt=t["volt"].where(is_last(t) | is_old(t))))(raw)
    edit("telemetry", lambda t: t[(t["machineID"] != 1) | is_old(t)])(raw)
    assert predict(pdm, raw, model, tmp_path / "until", "--until", end.isoformat()).code == 0
    for name in ("telemetry", "errors", "maint", "failures"):
        edit(name, lambda t: t[t["datetime"] <= end])(raw)
    assert predict(pdm, raw, model, tmp_path / "cut").code == 0
    until, cut = (tmp_path / name for name in ("until", "cut"))
    pd.testing.assert_frame_equal(read(until), read(cut), check_exact=True)
    for name in ("worklist.csv", "drift.csv", "episodes.parquet", "predictions.json"):
        assert (until / name).read_bytes() == (cut / name).read_bytes()
    assert read(until)["datetime"].max() == end.floor("h")


def test_until_and_since_must_leave_something(fleet: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = predict(pdm, fleet, model, tmp_path / "out", "--until", "2015-01-01T05:59")
    assert_clear(
        outcome, 4, "no instant until --until 2015-01-01T05:59; the first is 2015-01-01T06:00", "a later --until"
    )
    words = ("--since", "2015-05-15", "--until", "2015-05-14T20:00-02:00")
    outcome = predict(pdm, fleet, model, tmp_path / "out", *words)
    assert_clear(outcome, 2, "--since 2015-05-15T00:00 is after --until 2015-05-14T22:00", "an earlier --since")


def changed(model: Path, to: Path, change: Callable[[dict], object]) -> Path:
    """Return a copy of a model with another recipe, as if it had been trained so."""
    copy = Path(shutil.copytree(model, to))
    content = json.loads((copy / "bundle.json").read_text())
    change(content)
    (copy / "bundle.json").write_text(json.dumps(content))
    manifest.note_output(copy, "bundle.json")
    return copy


def test_what_the_user_gives_at_its_default_comes_before_what_the_model_was_trained_with(
    raw: Path, model: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"timezone": "+02:00", "on_duplicate": "mean"}
    other = changed(model, tmp_path / "model", lambda content: content["settings"]["preprocess"].update(own))

    def foretell(*words: object) -> tuple[str, dict]:
        out = tmp_path / "out"
        outcome = predict(pdm, raw, other, out, "--latest", "--overwrite", *words)
        assert outcome.code == 0, outcome.stderr
        made = json.loads((out / "manifest.json").read_text())["parameters"]["preprocess"]
        return read(out)["datetime"].max().isoformat(), made

    edit("telemetry", lambda t: pd.concat([t, t.tail(1)]))(raw)
    end, made = foretell()
    assert (end, made["timezone"], made["on_duplicate"]) == ("2015-05-31T03:00:00", "+02:00", "mean")
    end, made = foretell("--timezone", "UTC")
    assert (end, made["timezone"], made["on_duplicate"]) == ("2015-05-31T06:00:00", "UTC", "mean")
    assert evaluate(pdm, raw, other, "--timezone", "UTC", "--json").json["split"]["test_end"] == "2015-05-31T06:00"
    monkeypatch.setenv("PDM_CLI_TIMEZONE", "UTC")
    assert foretell()[0] == "2015-05-31T06:00:00"
    refused = predict(pdm, raw, other, tmp_path / "out", "--on-duplicate", "refuse", "--overwrite")
    assert refused.code == 4, refused.stderr


def rename_sensor(raw: Path) -> None:
    edit("telemetry", lambda t: t.rename(columns={"volt": "ampere"}))(raw)


MISMATCHES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "other sensors": (
        rename_sensor,
        "not the sensors of the model: volt missing; ampere not known to it",
        "--sensors picks columns",
    ),
    "one more sensor": (
        edit("telemetry", lambda t: t.assign(oil=1.0)),
        "not the sensors of the model: oil not known to it",
        "--sensors picks columns",
    ),
    "a sensor as text": (
        edit("telemetry", lambda t: t.assign(volt=t["volt"].astype(str))),
        "column volt is a text, wanted a number",
        "pandas.to_numeric",
    ),
    "another step": (
        edit("telemetry", lambda t: t[t["datetime"].dt.hour % 2 == 0]),
        "a reading every 120 min, the model was trained on one every 60 min",
        "same step",
    ),
    "missing table": (
        lambda raw: (raw / "errors.parquet").unlink(),
        "errors.parquet: not in",
        "empty but with its columns",
    ),
    "missing attributes": (
        lambda raw: (raw / "machines.parquet").unlink(),
        "machines.parquet: not in",
        "the model",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_data_of_another_kind_are_refused_with_the_difference(
    name: str, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    spoil, message, hint = MISMATCHES[name]
    spoil(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 5, outcome.stderr
    assert message in outcome.stderr
    assert hint in outcome.stderr
    assert not (tmp_path / "out").exists()
    assert evaluate(pdm, raw, model).code == 5


def test_raw_telemetry_is_scanned_once(
    fleet: Path, model: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, scans = RawTelemetry.scan, []
    monkeypatch.setattr(RawTelemetry, "scan", lambda raw: scans.append(raw) or scan(raw))
    assert predict(pdm, fleet, model, tmp_path / "out").code == 0
    assert len(scans) == 1


def test_sensors_that_the_model_does_not_know_can_be_left_out(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit("telemetry", lambda t: t.assign(oil=1.0))(raw)
    words = ("--sensors", "volt,rotate,pressure,vibration")
    assert predict(pdm, raw, model, tmp_path / "out", *words).code == 0
    pd.testing.assert_frame_equal(read(tmp_path / "out"), read(predicted), check_exact=True)


def test_data_without_any_failure_of_late_can_be_predicted_and_scored_as_far_as_possible(
    raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit("failures", lambda t: t[t["datetime"] < "2015-04-20"])(raw)
    assert predict(pdm, raw, model, tmp_path / "out").code == 0
    outcome = evaluate(pdm, raw, model)
    assert outcome.code == 0, outcome.stderr
    assert "no failure in the test span" in outcome.stdout
    told = evaluate(pdm, raw, model, "--fail-on", "ap<0.1")
    assert_clear(told, 10, "--fail-on ap<0.1 (ap cannot be told)", "does not pass")


def test_empty_logs_are_enough(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    for name in ("errors", "maint", "failures"):
        edit(name, lambda t: t.iloc[:0])(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr


def test_telemetry_without_a_finite_reading_is_refused_by_all_that_need_features(
    raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    sensors = ("volt", "rotate", "pressure", "vibration")
    edit("telemetry", lambda t: t[t["datetime"] < "2015-01-08"].assign(**dict.fromkeys(sensors, math.nan)))(raw)
    for outcome in (
        predict(pdm, raw, model, tmp_path / "out"),
        evaluate(pdm, raw, model),
        pdm("explain", "--data", raw, "--model", model, "--machine", 1),
        pdm("run", "--data", raw, "--out", tmp_path / "run", "--jobs", 1, *QUICK),
    ):
        assert_clear(outcome, 4, "telemetry.parquet: no row of features can be made", "telemetry with readings")


def test_a_machine_is_foretold_the_same_without_the_others(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    for path in raw.glob("*.parquet"):
        table = pd.read_parquet(path)
        table[table["machineID"] == 5].to_parquet(path, index=False)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    whole, alone = read(predicted), read(tmp_path / "out")
    whole = whole[whole["machineID"] == 5].reset_index(drop=True)
    assert len(alone) == len(whole)
    # Visits of the fleet stand in until a machine's own say enough, here for two weeks; then it is to the last bit.
    late = whole["datetime"] > "2015-02-01"
    pd.testing.assert_frame_equal(alone[late], whole[late], check_exact=True)


def test_machines_and_kinds_that_the_model_never_saw_are_taken(
    raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit("errors", lambda t: t.assign(errorID=t["errorID"].replace("error1", "error77")))(raw)
    edit("machines", lambda t: t.assign(model=t["model"].replace("model3", "model99")))(raw)
    for path in raw.glob("*.parquet"):
        pd.read_parquet(path).assign(machineID=lambda t: t["machineID"] + 500).to_parquet(path, index=False)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    told = "error77 in errors.parquet; model99 in model of machines.parquet"
    assert f"warning: never seen in the training, so the model cannot tell them apart: {told}\n" in outcome.stderr


def test_many_kinds_that_the_model_never_saw_are_counted(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("maint", lambda t: t.assign(comp=[f"part{number % 7}" for number in range(len(t))]))(raw)
    stderr = predict(pdm, raw, model, tmp_path / "out").stderr
    assert "tell them apart: part0, part1, part2, part3, part4 and 2 more in maint.parquet\n" in stderr


def test_machines_that_fell_silent_are_warned_of_and_shown_as_such(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    alerts = read(predicted).query("alert and machineID > 1")
    machine, end = alerts.iloc[0]["machineID"], alerts.iloc[0]["datetime"]
    edit("telemetry", lambda t: t[(t["machineID"] != machine) | (t["datetime"] <= end)])(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    told = "warning: silent for more than 48 h before the newest reading (2015-05-31T06:00): 1 of 16 machines, first"
    assert f"{told} {machine} (since {end:%Y-%m-%dT%H:%M}); what is foretold of them is of then" in outcome.stderr
    assert f"{machine} (silent; foretold {end:%Y-%m-%d %H:%M})" in outcome.stdout
    silent = json.loads((tmp_path / "out/predictions.json").read_text())["silent"]
    assert silent == {"count": 1, "first": [{"machineID": machine, "datetime": f"{end:%Y-%m-%dT%H:%M:%S}"}]}
    assert json.loads((predicted / "predictions.json").read_text())["silent"] == {"count": 0, "first": []}
    page = (tmp_path / "out/report.html").read_text()
    assert "What is amiss in the data" in page
    assert f'machine {machine} (since <span class="stamp">{end:%Y-%m-%d %H:%M}</span>). What is foretold of' in page
    assert "What is amiss in the data" not in (predicted / "report.html").read_text()


def test_a_sensor_that_died_is_warned_of(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    died = pd.Timestamp("2015-05-20T04:00")
    edit("telemetry", lambda t: t.assign(volt=t["volt"].where((t["machineID"] < 3) | (t["datetime"] <= died))))(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    told = "warning: no reading of volt for more than 48 h on 14 of 16 machines, first 3 (since 2015-05-20T04:00); "
    assert f"{told}what is foretold of them goes by the other sensors\n" in outcome.stderr
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    assert summary["dead_sensors"] == [{"sensor": "volt", "machines": 14, "first": 3, "since": "2015-05-20T04:00:00"}]
    page = (tmp_path / "out/report.html").read_text()
    assert "No reading of volt for more than 48 h on 14 machines, first 3" in page
    assert page.index("No reading of volt") < page.index("What to see to</h2>")


def test_telemetry_too_short_for_the_features_is_warned_of(
    fleet: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    told = "days; features look back up to 33: give the whole log, not only what is new\n"
    edit("telemetry", lambda t: t[t["datetime"] > "2015-05-01T06:00"])(raw)
    assert f"warning: telemetry spans only 30 {told}" in predict(pdm, raw, model, tmp_path / "month").stderr
    until = predict(pdm, fleet, model, tmp_path / "until", "--until", "2015-01-15T06:00")
    assert f"warning: telemetry spans only 14 {told}" in until.stderr
    assert "spans only" not in predict(pdm, fleet, model, tmp_path / "whole", "--latest").stderr


def test_a_damaged_bundle_is_refused(fleet: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    for number, spoil in enumerate(
        (
            lambda folder: (folder / "bundle.json").unlink(),
            lambda folder: (folder / "bundle.json").write_text("{}"),
            lambda folder: next(folder.glob("member_*")).write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR."),
        )
    ):
        copy = Path(shutil.copytree(model, tmp_path / str(number)))
        spoil(copy)
        outcome = predict(pdm, fleet, copy, tmp_path / "out")
        assert outcome.code == 5, outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert outcome.stderr.strip().splitlines()[-1].startswith("hint: ")
        assert not (tmp_path / "out").exists()
    assert_clear(
        predict(pdm, fleet, tmp_path / "nowhere", tmp_path / "out"), 2, "no such folder", "written by pdm train"
    )


def test_evaluate_says_of_the_test_span_what_train_said(model: Path, fleet: Path, pdm: Pdm) -> None:
    outcome = evaluate(pdm, fleet, model, "--json")
    assert outcome.code == 0, outcome.stderr
    ours, theirs = outcome.json, metrics_of(model)
    assert ours["schema"] == "pdm.evaluate/1"
    for key in ("macro", "components", "events", "calibration_error"):
        assert ours[key] == theirs[key]
    assert ours["costs"]["alerts"] == theirs["costs"]["alerts"]
    for key in ("test_start", "test_end", "test_rows", "horizon_hours"):
        assert ours["split"][key] == theirs["split"][key]


@pytest.mark.parametrize("split", ["machine", "both"])
def test_evaluate_looks_at_the_machines_that_were_held_out(
    split: str, work: Path, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    words = ("--prepared", work / "prepared", "--anomalies", work / "anomalies", "--out", tmp_path / "m")
    assert pdm("train", *words, *QUICK, "--split", split, "--folds", 1).code == 0
    outcome = evaluate(pdm, fleet, tmp_path / "m", "--json")
    assert "only the 4 machines that the model was not trained on are scored" in outcome.stderr
    for key in ("macro", "events"):
        assert outcome.json[key] == metrics_of(tmp_path / "m")[key]


def test_machines_of_another_fleet_are_scored_from_their_first_row(model: Path, pdm: Pdm, tmp_path: Path) -> None:
    other = simulate_fleet(machines=4, days=60, seed=9)
    for table in (other.telemetry, other.errors, other.maint, other.failures, other.machines):
        table["machineID"] += 100
    write_fleet(other, tmp_path / "raw")
    outcome = evaluate(pdm, tmp_path / "raw", model, "--json")
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["split"]["test_start"].startswith("2015-01-01")


def test_gates_end_with_exit_10_and_tell_the_metric(model: Path, fleet: Path, pdm: Pdm) -> None:
    passed = evaluate(pdm, fleet, model, "--fail-on", "ap<0.05,false_alarms>100")
    assert passed.code == 0, passed.stderr
    failed = evaluate(pdm, fleet, model, "--fail-on", "auc<0.05,ap<1.1")
    assert_clear(failed, 10, "--fail-on ap<1.1 (ap is 0.", "does not pass")
    assert "all: means of the scores" in failed.stdout
    # One object on stdout, and all conditions that hold.
    both = evaluate(pdm, fleet, model, "--fail-on", "f1<1.1,ap<1.1", "--json")
    assert both.code == 10
    assert both.json["schema"] == "pdm.error/1"
    assert "f1<1.1" in both.json["message"]
    assert "ap<1.1" in both.json["message"]
    assert set(both.json["details"]["metrics"]["macro"]) >= {"average_precision", "f1"}
    for empty in ("", " ", ","):
        assert_clear(evaluate(pdm, fleet, model, "--fail-on", empty), 2, "--fail-on: is empty", "not set?")
    for bad in ("ap", "ap<many", "beauty<1"):
        assert_clear(evaluate(pdm, fleet, model, "--fail-on", bad), 2, "--fail-on: ", "ap<0.9")


def test_evaluate_needs_the_failures_and_later_data(raw: Path, model: Path, pdm: Pdm) -> None:
    edit("telemetry", lambda t: t[t["datetime"] <= "2015-04-01"])(raw)
    assert_clear(evaluate(pdm, raw, model), 4, "no row that the model has not seen", "later telemetry")
