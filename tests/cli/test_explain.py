"""``pdm explain``: what drove the probability of one machine at one time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Outcome, Pdm, assert_clear, edit


@pytest.fixture(scope="session")
def predictions(work: Path, fleet: Path, pdm: Pdm, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("explained") / "out"
    assert pdm("predict", "--data", fleet, "--model", work / "model", "--out", out).code == 0
    return pd.read_parquet(out / "predictions.parquet")


@pytest.fixture(scope="session")
def worst(predictions: pd.DataFrame) -> pd.Series:
    """The row with the highest probability among those with an alert."""
    return predictions.loc[predictions[predictions["alert"]]["probability"].idxmax()]


def explain(pdm: Pdm, data: Path, work: Path, *words: object) -> Outcome:
    return pdm("explain", "--model", work / "model", "--data", data, *words)


@pytest.mark.slow
def test_it_explains_the_probability_that_predict_gives(
    predictions: pd.DataFrame, worst: pd.Series, fleet: Path, work: Path, pdm: Pdm
) -> None:
    found = explain(pdm, fleet, work, "--machine", worst["machineID"], "--at", worst["datetime"], "--json").json
    assert found["schema"] == "pdm.explain/1"
    assert (found["machineID"], found["component"]) == (worst["machineID"], worst["component"])
    at = predictions["datetime"] == worst["datetime"]
    same = predictions[at & (predictions["machineID"] == worst["machineID"])].set_index("component")
    assert {name: row["probability"] for name, row in found["components"].items()} == same["probability"].to_dict()
    assert {name: row["alert"] for name, row in found["components"].items()} == same["alert"].to_dict()
    weights = [abs(reason["log_odds"]) for reason in found["reasons"]]
    assert len(weights) == 8
    assert weights == sorted(weights, reverse=True)
    assert set(found["before"]["sensors"]) == {"volt", "rotate", "pressure", "vibration"}
    assert {len(values) for values in found["before"]["sensors"].values()} == {28}


@pytest.mark.slow
def test_all_features_together_are_the_same_whatever_is_named(
    worst: pd.Series, fleet: Path, work: Path, pdm: Pdm
) -> None:
    words = ("--machine", worst["machineID"], "--at", worst["datetime"], "--json")
    sums, counts = [], []
    for top in (1, 1000):
        found = explain(pdm, fleet, work, *words, "--top", top).json
        sums.append(sum(reason["log_odds"] for reason in found["reasons"]) + found["others"]["log_odds"])
        counts.append(len(found["reasons"]))
    assert counts[0] == 1
    assert counts[1] > 1
    assert found["others"]["count"] == 0
    assert sums[0] == pytest.approx(sums[1])


@pytest.mark.slow
def test_it_is_told_in_words_with_usual_values_and_sparklines(
    worst: pd.Series, fleet: Path, work: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = explain(pdm, fleet, work, "--machine", worst["machineID"], "--at", worst["datetime"])
    assert outcome.code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith(f"machine {worst['machineID']} at {worst['datetime']:%Y-%m-%d %H:%M} UTC")
    assert f"for (+) and against (-) a failure of {worst['component']}" in outcome.stdout
    assert "typical" in outcome.stdout
    assert outcome.stdout.count("7 days before, 6 h a bar") == 2
    assert any("█" in line and "vibration" in line for line in lines)


@pytest.mark.slow
def test_the_last_row_before_a_time_between_two_is_taken_and_told(
    worst: pd.Series, fleet: Path, work: Path, pdm: Pdm
) -> None:
    later = worst["datetime"] + pd.Timedelta("100min")
    outcome = explain(pdm, fleet, work, "--machine", worst["machineID"], "--at", later, "--json")
    assert outcome.json["datetime"] == f"{worst['datetime']:%Y-%m-%dT%H:%M}"
    assert f"using the last one before it, {worst['datetime']:%Y-%m-%d %H:%M} UTC" in outcome.stderr


@pytest.mark.slow
def test_without_a_time_it_is_the_machines_last_row(fleet: Path, work: Path, pdm: Pdm) -> None:
    found = explain(pdm, fleet, work, "--machine", 3, "--component", "comp2", "--json").json
    assert (found["datetime"], found["component"]) == ("2015-05-31T06:00", "comp2")


@pytest.mark.slow
def test_what_comes_later_changes_nothing(worst: pd.Series, raw: Path, fleet: Path, work: Path, pdm: Pdm) -> None:
    words = ("--machine", worst["machineID"], "--at", worst["datetime"], "--json")
    whole = explain(pdm, fleet, work, *words).stdout
    for name in ("telemetry", "errors", "maint", "failures"):
        edit(name, lambda t: t[t["datetime"] <= worst["datetime"]])(raw)
    assert explain(pdm, raw, work, *words).stdout == whole


@pytest.mark.slow
def test_machines_may_be_texts(raw: Path, work: Path, pdm: Pdm) -> None:
    for name in ("telemetry", "errors", "maint", "failures", "machines"):
        edit(name, lambda t: t.assign(machineID="pump " + t["machineID"].astype(str)))(raw)
    assert explain(pdm, raw, work, "--machine", "pump 7", "--json").json["machineID"] == "pump 7"
    assert_clear(explain(pdm, raw, work, "--machine", "pmp 7"), 4, "--machine pmp 7: not in", "did you mean pump 7?")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (("--machine", "99"), 4, "--machine 99: not in the telemetry", "it has 16 machines: 1, 2, 3, 4, 5 … 16"),
        (("--machine", "3", "--at", "2014-12-31"), 4, "--at 2014-12-31T00:00: outside the telemetry", "2015-05-31"),
        (("--machine", "3", "--at", "2015-05-31T09:00"), 4, "outside the telemetry of machine 3", "2015-01-01 06:00"),
        (("--machine", "3", "--at", "soon"), 2, "--at: 'soon' is not a time", "2015-10-01T06:00"),
        (("--machine", "3", "--component", "comp9"), 4, "--component comp9: not in the model", "comp1, comp2"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    words: tuple[str, ...], code: int, message: str, hint: str, fleet: Path, work: Path, pdm: Pdm
) -> None:
    assert_clear(explain(pdm, fleet, work, *words), code, message, hint)
