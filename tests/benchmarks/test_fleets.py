"""The comparison with other tools: their features see no future, and the bootstrap scores as scikit-learn does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from benchmarks.fleets import __main__ as program
from benchmarks.fleets import sets
from benchmarks.fleets.compare import Scored, compare, replicate_precision, weighted_precision
from benchmarks.fleets.features import plain_features
from pdm_cli.features.build import Sources
from pdm_cli.features.events import Instants
from pdm_cli.simulation.fleet import simulate_fleet
from tests.builders.problems import simulated

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def sources() -> Sources:
    return simulated(machines=3, days=40)


def with_gaps(sources: Sources) -> Sources:
    """Return the tables with missing readings, and one sensor that has none at first."""
    telemetry = sources.telemetry.copy()
    telemetry.loc[telemetry.index % 7 == 0, "volt"] = np.nan
    telemetry.loc[telemetry.groupby("machineID").cumcount() < 60, "rotate"] = np.nan
    return Sources(sources.rolling, telemetry, sources.step_us, sources.grid_us, sources.events, sources.machines)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("mean", lambda values: values.rolling(24, min_periods=1).mean()),
        ("std", lambda values: values.rolling(24, min_periods=2).std(ddof=0)),
        ("min", lambda values: values.rolling(24, min_periods=1).min()),
        ("max", lambda values: values.rolling(24, min_periods=1).max()),
        ("slope", lambda values: values.rolling(24, min_periods=2).apply(fit_slope)),
    ],
)
def test_plain_features_with_gaps_equal_those_of_pandas(statistic: str, expected: object, sources: Sources) -> None:
    gappy = with_gaps(sources)
    instants = Instants.of(gappy.rolling)
    features = plain_features(gappy, instants, with_level=False)
    for sensor in ("volt", "rotate"):
        slow = gappy.telemetry.groupby("machineID")[sensor].transform(expected)  # type: ignore[call-overload]
        keys = pd.MultiIndex.from_frame(gappy.telemetry[["machineID", "datetime"]])
        at = pd.MultiIndex.from_frame(gappy.rolling[["machineID", "datetime"]])
        values = pd.Series(slow.to_numpy(), keys).reindex(at).to_numpy()
        np.testing.assert_allclose(features[f"{sensor}_{statistic}_24"], values, rtol=1e-3, atol=1e-3)


def fit_slope(values: pd.Series) -> float:
    known = np.flatnonzero(~np.isnan(values))
    return float(np.polyfit(known, np.asarray(values)[known], 1)[0])


def test_plain_features_later_readings_and_events_change_no_earlier_row(sources: Sources) -> None:
    instants = Instants.of(sources.rolling)
    whole = plain_features(sources, instants, with_level=True)
    cut = int(np.median(instants.times))
    telemetry = sources.telemetry.copy()
    is_later = telemetry["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64) > cut
    telemetry.loc[is_later, ["volt", "rotate", "pressure", "vibration"]] = 1e3
    events = {
        name: frame[frame["datetime"].to_numpy().astype("datetime64[us]").astype(np.int64) <= cut]
        for name, frame in sources.events.items()
    }
    known = plain_features(
        Sources(sources.rolling, telemetry, sources.step_us, sources.grid_us, events, sources.machines),
        instants,
        with_level=True,
    )
    earlier = instants.times <= cut
    pd.testing.assert_frame_equal(whole.loc[earlier, list(known)], known[earlier], rtol=1e-3, atol=1e-3)


def test_plain_features_of_rare_readings_have_windows_in_steps(sources: Sources) -> None:
    daily = sources.telemetry.iloc[::24].reset_index(drop=True)
    instants = Instants.of(daily)
    rare = Sources(daily[["machineID", "datetime"]], daily, 24 * HOUR_US, 24 * HOUR_US, {}, None)
    names = plain_features(rare, instants, with_level=True).columns
    assert {"volt_mean_3", "volt_slope_28", "volt_above_level_7"} <= set(names)


def test_weighted_precision_equals_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.2).astype(float)
    probabilities = np.round(rng.random(300) * 0.5 + 0.3 * labels, 1)
    weights = rng.integers(0, 4, (5, 300)).astype(float)
    expected = [average_precision_score(labels, probabilities, sample_weight=own) for own in weights]
    np.testing.assert_allclose(weighted_precision(labels, probabilities, weights), expected)


def test_compare_better_tool_has_a_lower_bound_above_zero_and_itself_none() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(20), 100)
    labels = (rng.random((2000, 2)) < 0.1).astype(float)
    labels[rng.random((2000, 2)) < 0.1] = np.nan
    noise = rng.random((2000, 2))
    good, poor = (Scored(labels, noise + gain * (labels == 1), codes) for gain in (0.8, 0.1))
    gain, lower = compare({"a": good, "b": good}, {"a": poor, "b": poor})
    assert gain > lower > 0
    assert compare({"a": good}, {"a": good}) == (0.0, 0.0)
    assert replicate_precision(good, seed=1).std() > 0


@pytest.mark.parametrize(("option", "value"), [("--sets", "ramp-0,other"), ("--tools", "lightgbm,other")])
def test_comparison_unknown_name_is_rejected_with_the_known_ones(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program.read_arguments([option, value])
    assert f"{option}: unknown other; known: " in capsys.readouterr().err


def test_comparison_autogluon_runs_only_with_all() -> None:
    assert "autogluon-level" not in program.read_arguments([]).tools
    assert "autogluon-level" in program.read_arguments(["--all"]).tools


@pytest.mark.ci
@pytest.mark.slow
def test_comparison_runs_all_tools_on_the_same_rows_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "telemetry.parquet").exists():
            sets.write_fleets([simulate_fleet(machines=16, days=150, seed=1)], folder)
        return folder

    monkeypatch.setattr(program, "list_sets", lambda: {"small": sets.FleetSet("small", write)})
    words = ["--tools", "pdm-fast,lightgbm,logistic-level", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["fleets", *words])
    monkeypatch.setenv("PDM_CLI_TREES", "20")
    program.main()
    shown = capsys.readouterr().out
    assert "mean AP over 1 sets: pdm-fast " in shown
    assert "pdm-fast minus " in shown
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["tool"] for row in rows] == ["pdm-fast", "lightgbm", "logistic-level"]
    assert len({row["failures"] for row in rows}) == 1
    assert all(row["average_precision"] > 0.3 for row in rows)
    metrics = json.loads((tmp_path / "sets/small/fast/model/metrics.json").read_text())
    assert rows[0]["average_precision"] == pytest.approx(metrics["macro"]["average_precision"])
    assert rows[0]["caught"] == metrics["events"]["caught"]
    assert rows[0]["false_alarms"] == metrics["events"]["false_alarms"]
    program.main()
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3
