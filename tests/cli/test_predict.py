"""``pdm predict``: new raw tables and a model folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pdm_cli.io import manifest
from pdm_cli.io.raw import RawTelemetry
from pdm_cli.pipeline import predict as predict_command
from pdm_cli.pipeline.ended_alerts import mark_ended_alerts
from tests.cli.conftest import Pdm, assert_clear, edit
from tests.cli.forecasts import evaluate, metrics_of, predict, read

FILES = {
    *("predictions.parquet", "episodes.parquet", "worklist.csv", "by_age.csv", "drift.csv"),
    *("predictions.json", "report.html", "manifest.json"),
}


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


def busiest_end(predictions: pd.DataFrame, logs: list[pd.DataFrame]) -> pd.Timestamp:
    """The time with the most alerts at which another has turned off, not by a failure or a replacement."""
    alerts = predictions.pivot(index="datetime", columns=["machineID", "component"], values="alert")
    renewed = {tuple(row) for log in logs for row in log[["datetime", "machineID", log.columns[-1]]].to_numpy()}
    turned_off = (alerts.shift(fill_value=False) & ~alerts).stack([0, 1], future_stack=True)
    times = {time for time, *pair in turned_off[turned_off].index if (time, *pair) not in renewed}
    return alerts.sum(axis=1)[sorted(times)].idxmax()


def test_the_work_list_is_what_alerts_at_the_end_and_tells_why(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    predictions = read(predicted)
    logs = [pd.read_parquet(raw / f"{name}.parquet") for name in ("maint", "failures")]
    end = busiest_end(predictions, logs)
    edit("telemetry", lambda t: t[t["datetime"] <= end])(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    work = pd.read_csv(
        tmp_path / "out/worklist.csv", parse_dates=["datetime", "since", "expected_from", "expected_until"]
    )
    recent = predictions[predictions["datetime"].between(end - pd.Timedelta(hours=3), end) & predictions["alert"]]
    last = recent.groupby(["machineID", "component"])["datetime"].max()
    renewed = {
        (machine, component)
        for log in logs
        for stamp, machine, component in log[["datetime", "machineID", log.columns[-1]]].itertuples(index=False)
        if (machine, component) in last
        and (last[machine, component] < stamp <= end or (log is logs[1] and stamp == end))
    }
    assert (last < end).any()
    listed = work.set_index(["machineID", "component"])["datetime"]
    assert listed.to_dict() == {pair: time for pair, time in last.items() if pair not in renewed}
    assert work["rank"].tolist() == list(range(1, len(work) + 1))
    is_on = work["datetime"] == end
    assert is_on.is_monotonic_decreasing
    assert all(own["probability"].is_monotonic_decreasing for _, own in work.groupby(is_on))
    assert (work["since"] <= work["datetime"]).all()
    assert (work["expected_from"] == work["datetime"] + pd.Timedelta(hours=3)).all()
    assert (work["expected_until"] == work["datetime"] + pd.Timedelta(hours=48)).all()
    assert (work["reasons"].str.len() > 0).all()
    means = work["reasons"].str.extractall(r"( mean over [^;]+)")[0]
    assert means.str.fullmatch(r" mean over \d+ h is [\d.,]+ \(typical: [\d.,]+\)").all()
    assert len(means)
    assert work["reasons"][0] in outcome.stdout
    # The files do not say which alerts are off at the last reading; screen and report do.
    state = json.loads((tmp_path / "out/predictions.json").read_text())
    ended = [row for row in mark_ended_alerts(tmp_path / "out", state)["worklist"] if "ended" in row]
    off = work[work["datetime"] < end]
    assert [row["rank"] for row in ended] == off["rank"].tolist()
    assert len(off)
    now = predictions[predictions["datetime"] == end].set_index(["machineID", "component"])["probability"]
    for row in ended:
        assert row["ended"]["since"] == end.isoformat()
        assert row["ended"]["probability"] == now[row["machineID"], row["component"]]
    mark = f"off since {end:%m-%d %H:%M}, now "
    assert " ".join(outcome.stdout.split()).count(mark) == len(off)
    assert (tmp_path / "out/report.html").read_text().count("; off since ") == len(off)
    latest = predict(pdm, raw, model, tmp_path / "latest", "--latest")
    assert latest.stdout.count("; off, now ") == len(off)


def test_what_has_failed_is_not_on_the_work_list_any_more(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    failures = pd.read_parquet(raw / "failures.parquet")
    machine, component, end = failures.loc[failures["datetime"].idxmax(), ["machineID", "failure", "datetime"]]
    edit("telemetry", lambda t: t[t["datetime"] <= end])(raw)
    assert predict(pdm, raw, model, tmp_path / "out").code == 0
    predictions, work = read(tmp_path / "out"), pd.read_csv(tmp_path / "out/worklist.csv")
    own = predictions[(predictions["machineID"] == machine) & (predictions["component"] == component)]
    assert own["alert"].tolist()[-2:] == [True, False]
    assert (machine, component) not in set(zip(work["machineID"], work["component"], strict=True))


def test_the_work_list_is_followed_by_what_is_nearest_to_an_alert(
    predicted: Path, fleet: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    predictions = read(predicted)
    bundle = json.loads((model / "bundle.json").read_text())
    thresholds = dict(zip(bundle["components"], (rule["on"] for rule in bundle["rules"]), strict=True))
    predictions["ratio"] = predictions["probability"] / predictions["component"].map(thresholds)
    recent = predictions.groupby("datetime")["alert"].sum().rolling(2).sum()
    calm = predictions["datetime"].isin(recent.index[recent == 0]) & (predictions["datetime"] > "2015-05-01")
    end = predictions["datetime"][calm & (predictions["ratio"] >= 0.5)].iloc[0]
    outcome = predict(pdm, fleet, model, tmp_path / "out", "--until", end.isoformat())
    last = predictions[(predictions["datetime"] == end) & (predictions["ratio"] >= 0.5)]
    last = last.loc[last["ratio"].nlargest(10).index]
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    assert summary["worklist"] == []
    nearest = summary["nearest"]
    pairs = [*zip(last["machineID"], last["component"], strict=True)]
    assert [(row["machineID"], row["component"]) for row in nearest] == pairs
    assert [row["probability"] for row in nearest] == pytest.approx(last["probability"].tolist())
    assert {row["threshold"] for row in nearest} <= {round(level, 10) for level in thresholds.values()}
    told = outcome.stdout.partition("work list: no active alerts\nclosest to an alert\n")[2]
    assert "alert threshold" in told
    page = (tmp_path / "out/report.html").read_text()
    assert "Closest to an alert" in page


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
    assert "drifted (population stability index" in told


def test_a_feature_whose_name_is_a_formula_is_none_in_the_drift_table(
    fleet: Path, model: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = predict_command._measure_drift
    monkeypatch.setattr(
        predict_command, "_measure_drift", lambda *given: measured(*given).assign(feature="=1+1_count_24h")
    )
    assert predict(pdm, fleet, model, tmp_path / "out", "--latest").code == 0
    assert set(pd.read_csv(tmp_path / "out/drift.csv")["feature"]) == {"'=1+1_count_24h"}


@pytest.mark.ci
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
    assert "drift not computed: 640 rows outside the training data; at least 1,000 are needed\n" in stdout
    assert rows_for_drift("--since", "2015-01-02")[:2] == (640, True)
    assert "drift not computed: no rows outside the training data" in rows_for_drift("--until", cutoff.isoformat())[2]
    whole = json.loads((predicted / "predictions.json").read_text())
    assert whole["drift_rows"] == ((pd.Timestamp(whole["end"]) - cutoff) // pd.Timedelta("3h")) * 16
    # Nothing of another fleet was learned from.
    for path in raw.glob("*.parquet"):
        pd.read_parquet(path).assign(machineID=lambda t: t["machineID"] + 500).to_parquet(path, index=False)
    rows, is_untold, stdout = rows_for_drift()
    assert rows > 10_000
    assert not is_untold
    assert "cannot be told" not in stdout


@pytest.mark.ci
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
    assert_clear(both, 2, "--since: cannot be combined with --latest", "drop one of the two")
    outcome = predict(pdm, fleet, model, tmp_path / "none", "--since", "2016-01-01")
    assert_clear(
        outcome, 4, "no reading since 2016-01-01 00:00 (--since); the last is 2015-05-31 06:00", "earlier --since"
    )


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


def test_dates_of_the_work_list_have_one_form(
    fleet: Path, model: Path, predicted: Path, pdm: Pdm, tmp_path: Path
) -> None:
    alerts = read(predicted).query("alert")["datetime"]
    midnight = alerts[alerts == alerts.dt.normalize()].max()
    assert predict(pdm, fleet, model, tmp_path / "out", "--until", midnight.isoformat()).code == 0
    worklist = pd.read_csv(tmp_path / "out" / "worklist.csv", dtype=str)
    assert len(worklist)
    stamps = worklist[["datetime", "since", "expected_from", "expected_until"]]
    assert stamps.apply(lambda column: column.str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")).all(axis=None)


def test_until_and_since_must_leave_something(fleet: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    outcome = predict(pdm, fleet, model, tmp_path / "out", "--until", "2015-01-01T05:59")
    assert_clear(
        outcome, 4, "no reading up to --until 2015-01-01T05:59; the first is 2015-01-01 06:00", "a later --until"
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


@pytest.mark.ci
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

    edit("telemetry", lambda t: pd.concat([t, t.tail(1).assign(volt=0.0)]))(raw)
    end, made = foretell()
    assert (end, made["timezone"], made["on_duplicate"]) == ("2015-05-31T03:00:00", "+02:00", "mean")
    end, made = foretell("--timezone", "UTC")
    assert (end, made["timezone"], made["on_duplicate"]) == ("2015-05-31T06:00:00", "UTC", "mean")
    assert evaluate(pdm, raw, other, "--timezone", "UTC", "--json").json["split"]["test_end"] == "2015-05-31T06:00"
    monkeypatch.setenv("PDM_CLI_TIMEZONE", "UTC")
    assert foretell()[0] == "2015-05-31T06:00:00"
    refused = predict(pdm, raw, other, tmp_path / "out", "--on-duplicate", "refuse", "--overwrite")
    assert refused.code == 4, refused.stderr


def test_raw_telemetry_is_scanned_once(
    fleet: Path, model: Path, pdm: Pdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, scans = RawTelemetry.scan, []
    monkeypatch.setattr(RawTelemetry, "scan", lambda raw: scans.append(raw) or scan(raw))
    assert predict(pdm, fleet, model, tmp_path / "out").code == 0
    assert len(scans) == 1
