"""The Python API: the functions of ``pdm_cli`` on folders and DataFrames."""

from __future__ import annotations

import dataclasses
import gc
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pdm_cli
from pdm_cli.errors import ConfigError, DataError, FeatureMismatch, GateNotMet, PdmError, UsageError
from pdm_cli.io import manifest
from pdm_cli.pipeline.results import Model, Predictions, Prepared, Run
from pdm_cli.schema import RAW_TABLES
from tests.builders.progress import Recorder
from tests.conftest import call_pdm

QUICK: dict[str, Any] = {"fast": True, "trees": 20}
NAMES = ("detect_anomalies", "evaluate", "explain", "health", "predict", "preprocess", "run", "simulate", "train")


def frames_of(folder: Path) -> dict[str, pd.DataFrame]:
    return {table.name: pd.read_parquet(folder / table.file) for table in RAW_TABLES}


def hashes(folder: Path) -> dict[str, Any]:
    """Return the hashes of all files but those with durations, paths or input hashes."""
    differing = {"manifest.json", "leaderboard.csv", "metrics.json", "report.html"}
    return manifest.hash_files(folder, (path for path in folder.iterdir() if path.name not in differing))


@pytest.fixture(scope="module")
def ran(fleet: Path) -> Run:
    return pdm_cli.run(fleet, jobs=1, **QUICK)


@pytest.fixture(scope="module")
def predictions(fleet: Path, ran: Run) -> Predictions:
    return pdm_cli.predict(frames_of(fleet), model=ran.model)


def test_import_loads_neither_pandas_nor_the_pipeline() -> None:
    code = (
        "import sys, pdm_cli; names = dir(pdm_cli); assert pdm_cli.__version__;"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'pydantic', 'pdm_cli.pipeline'} & set(sys.modules); assert not heavy;"
        "pdm_cli.run; assert not {'pandas', 'numpy', 'pyarrow', 'typer', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_of_the_package_are_functions_with_docstrings() -> None:
    assert set(pdm_cli.__all__) == {*NAMES, "__version__"}
    assert all(getattr(pdm_cli, name).__doc__ for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        pdm_cli.trian  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


def test_stub_lists_the_names_of_the_package() -> None:
    stub = Path(pdm_cli.__file__).with_suffix(".pyi").read_text()
    assert {line.rsplit(" ", 1)[1] for line in stub.splitlines() if line.startswith("from")} == set(NAMES)


def test_run_writes_the_bytes_of_the_command(ran: Run, work: Path) -> None:
    for folder in ("prepared", "anomalies", "model"):
        assert hashes(ran.folder / folder) == hashes(work / folder)
    assert ran.metrics["macro"] == json.loads((work / "model/metrics.json").read_text())["macro"]
    assert ran.prepared.quality["telemetry"]["machines"] == 16
    assert set(ran.anomalies.anomalies) >= {"machineID", "sensor", "score"}
    assert len(ran.model.leaderboard) == 1
    with pytest.raises(UsageError, match="no health: the raw tables had failures"):
        _ = ran.health


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda frame: pdm_cli.preprocess(frame), "data is a DataFrame, expected a folder or a dict of DataFrames"),
        (lambda _: pdm_cli.preprocess([1, 2]), "data is a list, expected a folder or a dict"),  # type: ignore[arg-type]
        (lambda frame: pdm_cli.preprocess(telemetry=frame["volt"]), "telemetry is a Series, expected a DataFrame"),
        (lambda _: pdm_cli.detect_anomalies(None), "NoneType is not a folder or a result"),  # type: ignore[arg-type]
        (lambda frame: pdm_cli.explain({"telemetry": frame}, model="m", machine=1, top=-3), "--top: expected a number"),
        (
            lambda frame: pdm_cli.explain({"telemetry": frame}, model="m", machine=1, top="x"),
            "--top: expected a number",
        ),
    ],
)
def test_argument_of_another_type_is_a_usage_error(call: Any, message: str, fleet: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        call(pd.read_parquet(fleet / "telemetry.parquet").head())


def test_table_that_is_none_is_not_given(fleet: Path) -> None:
    telemetry = pd.read_parquet(fleet / "telemetry.parquet")
    assert pdm_cli.preprocess(telemetry=telemetry, failures=None).quality["telemetry"]["machines"] == 16


def test_error_about_frames_does_not_name_their_temporary_folder(fleet: Path) -> None:
    with pytest.raises(PdmError) as caught:
        pdm_cli.preprocess(failures=pd.read_parquet(fleet / "failures.parquet"))
    assert "telemetry" in caught.value.message
    assert "pdm-data" not in f"{caught.value.message} {caught.value.hint}"


def test_predict_with_frames_writes_the_bytes_of_the_command_with_a_folder(
    predictions: Predictions, fleet: Path, work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = call_pdm("predict", "--data", fleet, "--model", work / "model", "--out", out, "--json")
    assert outcome.code == 0, outcome.stderr
    assert hashes(predictions.folder) == hashes(out)
    assert {**predictions.summary, "out": str(out)} == outcome.json
    pd.testing.assert_frame_equal(predictions.predictions, pd.read_parquet(out / "predictions.parquet"))


def test_predictions_are_read_as_frames(predictions: Predictions) -> None:
    worklist = predictions.worklist
    assert len(worklist) == len(predictions.summary["worklist"])
    assert worklist["datetime"].dtype == worklist["since"].dtype == "datetime64[us]"
    assert {"rank", "machineID", "component", "probability", "reasons"} <= set(worklist)
    assert set(predictions.drift) == {"feature", "family", "stability_index"}
    assert len(predictions.episodes) == predictions.summary["episodes"]
    assert predictions.report.is_file()


@pytest.mark.ci
def test_stages_take_results_and_write_the_same_as_run(fleet: Path, ran: Run, tmp_path: Path) -> None:
    tables = frames_of(fleet)
    prepared = pdm_cli.preprocess(**tables)
    anomalies = pdm_cli.detect_anomalies(prepared, jobs=1)
    model = pdm_cli.train(prepared, anomalies, out=tmp_path / "model", **QUICK)
    assert hashes(prepared.folder) == hashes(ran.prepared.folder)
    assert hashes(anomalies.folder) == hashes(ran.anomalies.folder)
    assert hashes(model.folder) == hashes(ran.model.folder)
    assert model.folder == tmp_path / "model"
    assert Model(tmp_path / "model").metrics == model.metrics
    assert set(model.predictions) >= {"label", "probability"}
    assert prepared.telemetry["machineID"].nunique() == prepared.features["machineID"].nunique() == 16


@pytest.mark.slow
def test_evaluate_returns_the_metrics_of_the_command(fleet: Path, work: Path) -> None:
    found = pdm_cli.evaluate(fleet, model=work / "model")
    assert found.metrics == call_pdm("evaluate", "--data", fleet, "--model", work / "model", "--json").json
    with pytest.raises(GateNotMet, match=r"--fail-on ap<1\.1") as caught:
        pdm_cli.evaluate(fleet, model=work / "model", fail_on=["ap<1.1"])
    assert caught.value.details["metrics"] == found.metrics


@pytest.mark.slow
def test_explain_returns_the_object_of_the_command(fleet: Path, work: Path) -> None:
    found = pdm_cli.explain(fleet, model=work / "model", machine=3, at=pd.Timestamp("2015-05-20T06:00"), top=3)
    words = ("--machine", 3, "--at", "2015-05-20T06:00", "--top", 3, "--json")
    assert found.summary == call_pdm("explain", "--data", fleet, "--model", work / "model", *words).json
    assert len(found.reasons) == 3
    assert {"feature", "log_odds", "usual.middle"} <= set(found.reasons)


@pytest.mark.slow
def test_nothing_is_printed_and_progress_goes_to_its_receiver(
    fleet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    progress = Recorder()
    pdm_cli.preprocess(fleet, out=tmp_path / "out", progress=progress)
    pdm_cli.preprocess(fleet)
    assert capfd.readouterr() == ("", "")
    assert progress.lines[-1].startswith(f"preprocess: wrote {tmp_path / 'out'}")
    assert progress.tracked == [("preprocess: machines", 16, 16)]


@pytest.mark.slow
def test_temporary_folder_exists_as_long_as_a_result_in_it(fleet: Path) -> None:
    ran = pdm_cli.preprocess(fleet)
    folder = ran.folder
    copy = dataclasses.replace(ran)
    del ran
    gc.collect()
    assert folder.is_dir()
    del copy
    gc.collect()
    assert not folder.parent.exists()


@pytest.mark.slow
def test_settings_are_those_of_the_environment_and_the_config_file(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.toml").write_text("[features]\ngrid_hours = 6\n")
    monkeypatch.setenv("PDM_CLI_WINDOWS_HOURS", "12")
    found = pdm_cli.preprocess(fleet, config=tmp_path / "my.toml")
    assert found.quality["features"]["rows"] < pdm_cli.preprocess(fleet, grid_hours=3).quality["features"]["rows"]
    assert any(name.endswith("_12h") for name in found.features)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"grid_hour": 3}, "unknown setting 'grid_hour'", "did you mean 'grid_hours'?"),
        ({"trees": 3}, "unknown setting 'trees'", "a setting of section [train]"),
        ({"xyz": 3}, "unknown setting 'xyz'", "known: "),
        ({"grid_hours": -3}, "--grid-hours: ", "--help"),
        ({"telemetry": pd.DataFrame()}, "give either a folder or DataFrames", "leave out telemetry"),
    ],
)
def test_wrong_option_is_a_usage_error(options: dict[str, Any], message: str, hint: str, fleet: Path) -> None:
    with pytest.raises(UsageError) as caught:
        pdm_cli.preprocess(fleet, **options)
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


def test_wrong_tables_are_errors_of_the_same_family(fleet: Path, work: Path, tmp_path: Path) -> None:
    tables = frames_of(fleet)
    with pytest.raises(UsageError, match="no raw tables"):
        pdm_cli.preprocess()
    with pytest.raises(UsageError, match="unknown table 'failure'") as unknown:
        pdm_cli.preprocess({**tables, "failure": tables["failures"]})
    assert unknown.value.hint == "did you mean 'failures'?"
    mixed = tables["telemetry"].assign(volt=["high", *tables["telemetry"]["volt"][1:]])
    with pytest.raises(DataError, match="telemetry: not a table: "):
        pdm_cli.preprocess(telemetry=mixed)
    with pytest.raises(DataError, match=r"telemetry\.parquet: no column 'machineID'"):
        pdm_cli.preprocess(telemetry=tables["telemetry"].drop(columns="machineID"))
    with pytest.raises(UsageError, match="no such folder"):
        pdm_cli.train(tmp_path / "nowhere")
    with pytest.raises(FeatureMismatch, match="sensors differ"):
        pdm_cli.predict({**tables, "telemetry": tables["telemetry"].drop(columns="volt")}, model=work / "model")
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        pdm_cli.preprocess(fleet, config=tmp_path / "missing.toml")


@pytest.mark.slow
def test_existing_output_is_kept_unless_overwrite(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = pdm_cli.preprocess(fleet, out=out)
    with pytest.raises(UsageError, match="not empty"):
        pdm_cli.preprocess(fleet, out=out)
    assert pdm_cli.preprocess(fleet, out=out, overwrite=True) == first == Prepared(out)


def test_prediction_span_is_checked(fleet: Path, work: Path) -> None:
    with pytest.raises(UsageError, match="--since: cannot be combined with --latest"):
        pdm_cli.predict(fleet, model=work / "model", since="2015-05-01", latest=True)


def test_simulate_result_is_a_fleet_that_the_stages_take(tmp_path: Path) -> None:
    simulated = pdm_cli.simulate(machines=2, days=60, seed=1, profile="step", out=tmp_path / "raw")
    assert simulated.summary["profile"] == "step"
    assert simulated.folder == tmp_path / "raw"
    assert len(simulated.telemetry) == simulated.summary["rows"]["telemetry"]
    assert len(simulated.failures) == simulated.summary["rows"]["failures"]
    assert set(simulated.truth["component"]) <= {"valve", "electrical"}
    assert pdm_cli.preprocess(simulated).quality["telemetry"]["machines"] == 2
    with pytest.raises(UsageError, match="raw"):
        pdm_cli.simulate(machines=1, days=1, out=tmp_path / "raw")


def test_simulate_temporary_folder_lives_as_long_as_the_result() -> None:
    simulated = pdm_cli.simulate(machines=1, days=1)
    folder = simulated.folder
    assert (folder / "truth.parquet").is_file()
    del simulated
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"machines": 0}, "machines must be at least 1, not 0"), ({"profile": "steps"}, "profile must be one of step, ")],
)
def test_simulate_argument_out_of_range_is_a_usage_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pdm_cli.simulate(**{"days": 1, **arguments})
