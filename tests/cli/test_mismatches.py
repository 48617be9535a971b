"""Raw tables of another kind than those of the training: refused, taken, or warned of."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import QUICK, Pdm, assert_clear, edit
from tests.cli.forecasts import evaluate, predict, read


def rename_sensor(raw: Path) -> None:
    edit("telemetry", lambda t: t.rename(columns={"volt": "ampere"}))(raw)


MISMATCHES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "other sensors": (
        rename_sensor,
        "sensors differ from the model's: volt missing; ampere unknown",
        "choose columns with --sensors",
    ),
    "one more sensor": (
        edit("telemetry", lambda t: t.assign(oil=1.0)),
        "sensors differ from the model's: oil unknown",
        "choose columns with --sensors",
    ),
    "a sensor as text": (
        edit("telemetry", lambda t: t.assign(volt=t["volt"].astype(str))),
        "column volt contains text, expected numbers",
        "pandas.to_numeric",
    ),
    "another step": (
        edit("telemetry", lambda t: t[t["datetime"].dt.hour % 2 == 0]),
        "one reading every 120 min; the model was trained on one every 60 min",
        "same step",
    ),
    "missing table": (
        lambda raw: (raw / "errors.parquet").unlink(),
        "errors.parquet: not in",
        "empty, with its columns",
    ),
    "missing attributes": (
        lambda raw: (raw / "machines.parquet").unlink(),
        "machines.parquet: not in",
        "the model",
    ),
}


@pytest.mark.slow
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


@pytest.mark.slow
def test_sensors_that_the_model_does_not_know_can_be_left_out(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    edit("telemetry", lambda t: t.assign(oil=1.0))(raw)
    words = ("--sensors", "volt,rotate,pressure,vibration")
    assert predict(pdm, raw, model, tmp_path / "out", *words).code == 0
    pd.testing.assert_frame_equal(read(tmp_path / "out"), read(predicted), check_exact=True)


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
        assert_clear(outcome, 4, "telemetry.parquet: 0 feature rows of ", "")


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
    assert f"warning: not in the training data, so the model cannot distinguish them: {told}\n" in outcome.stderr


def test_many_kinds_that_the_model_never_saw_are_counted(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("maint", lambda t: t.assign(comp=[f"part{number % 7}" for number in range(len(t))]))(raw)
    stderr = predict(pdm, raw, model, tmp_path / "out").stderr
    assert "distinguish them: part0, part1, part2, part3, part4 and 2 more in maint.parquet\n" in stderr


def test_machines_that_fell_silent_are_warned_of_and_shown_as_such(
    predicted: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    # Silent for days, but not for a month.
    alerts = read(predicted).query("alert and machineID > 1 and '2015-05-05' < datetime < '2015-05-28'")
    machine, end = alerts.iloc[0]["machineID"], alerts.iloc[0]["datetime"]
    edit("telemetry", lambda t: t[(t["machineID"] != machine) | (t["datetime"] <= end)])(raw)
    for log in ("failures", "maint"):
        edit(log, lambda t: t[(t["machineID"] != machine) | (t["datetime"] <= end - pd.Timedelta("48h"))])(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    told = (
        "warning: 1 of 16 machines sent nothing for more than 48 h before the newest reading (2015-05-31 06:00), first"
    )
    assert (
        f"{told} {machine} (since {end:%Y-%m-%d %H:%M}); their predictions are as of their last reading"
        in outcome.stderr
    )
    assert f"{machine} (silent; predicted as of {end:%Y-%m-%d %H:%M})" in outcome.stdout
    silent = json.loads((tmp_path / "out/predictions.json").read_text())["silent"]
    assert silent == {"count": 1, "first": [{"machineID": machine, "datetime": f"{end:%Y-%m-%dT%H:%M:%S}"}]}
    assert json.loads((predicted / "predictions.json").read_text())["silent"] == {"count": 0, "first": []}
    page = (tmp_path / "out/report.html").read_text()
    assert "Problems in the data" in page
    assert f'machine {machine} (since <span class="time">{end:%Y-%m-%d %H:%M}</span>). Their predictions' in page
    assert "Problems in the data" not in (predicted / "report.html").read_text()


def test_a_sensor_that_died_is_warned_of(raw: Path, model: Path, pdm: Pdm, tmp_path: Path) -> None:
    died = pd.Timestamp("2015-05-20T04:00")
    edit("telemetry", lambda t: t.assign(volt=t["volt"].where((t["machineID"] < 3) | (t["datetime"] <= died))))(raw)
    outcome = predict(pdm, raw, model, tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    told = "warning: no reading of volt for more than 48 h on 14 of 16 machines, first 3 (since 2015-05-20 04:00); "
    assert f"{told}their predictions rely on the other sensors\n" in outcome.stderr
    summary = json.loads((tmp_path / "out/predictions.json").read_text())
    assert summary["dead_sensors"] == [{"sensor": "volt", "machines": 14, "first": 3, "since": "2015-05-20T04:00:00"}]
    page = (tmp_path / "out/report.html").read_text()
    assert "No reading of volt for more than 48 h on 14 machines, first 3" in page
    assert page.index("No reading of volt") < page.index("Components to inspect</h2>")


@pytest.mark.ci
def test_telemetry_too_short_for_the_features_is_warned_of(
    fleet: Path, raw: Path, model: Path, pdm: Pdm, tmp_path: Path
) -> None:
    told = "days, but features look back up to 33 days: pass the complete history, not only the newest part\n"
    edit("telemetry", lambda t: t[t["datetime"] > "2015-05-01T06:00"])(raw)
    assert f"warning: telemetry spans only 30 {told}" in predict(pdm, raw, model, tmp_path / "month").stderr
    until = predict(pdm, fleet, model, tmp_path / "until", "--until", "2015-01-15T06:00")
    assert f"warning: telemetry spans only 14 {told}" in until.stderr
    assert "spans only" not in predict(pdm, fleet, model, tmp_path / "whole", "--latest").stderr
    # A model of such a short log, and one that does not record the span of its log.
    short = Path(shutil.copytree(model, tmp_path / "short"))
    (short / "manifest.json").unlink()
    content = json.loads((short / "bundle.json").read_text(encoding="utf-8"))
    for span, is_warned in ((29 * 86_400_000_000, False), (31 * 86_400_000_000, True), (None, True)):
        content["trained"]["span_us"] = span
        (short / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
        outcome = predict(pdm, raw, short, tmp_path / f"span {span}")
        assert (f"telemetry spans only 30 {told}" in outcome.stderr) == is_warned


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
