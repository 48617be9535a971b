"""Rows at impossible times are set aside by name, and sentinels are named with the option that removes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Pdm, assert_clear, edit
from tests.cli.forecasts import predict, read

STRAYS = {"telemetry": ["0001-01-01", "2106-02-07", "9999-12-31"], "maint": ["1970-01-01"], "errors": ["2106-02-07"]}


def add_strays(raw: Path) -> None:
    for name, times in STRAYS.items():

        def add(table: pd.DataFrame, times: list[str] = times) -> pd.DataFrame:
            strays = table.iloc[[0] * len(times)].assign(datetime=np.array(times, "datetime64[us]"))
            return pd.concat([table, strays.astype(table.dtypes)], ignore_index=True)

        edit(name, add)(raw)


def test_preprocess_rows_at_impossible_times_are_set_aside_and_counted(
    fleet: Path, raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    assert pdm("preprocess", "--data", fleet, "--out", tmp_path / "plain").code == 0
    add_strays(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared")
    assert outcome.code == 0, outcome.stderr
    for line in (
        "telemetry.parquet: 3 readings set aside: time outside 1990-01-01 00:00 to 2015-06-01 06:00, first 0001-01-01 "
        "00:00 (machine 1); other times with --time-range",
        "maint.parquet: 1 event set aside: time before 1990-01-01 00:00, first 1970-01-01 00:00 (machine ",
        "errors.parquet: 1 event set aside: time outside 1990-01-01 00:00 to 2015-06-01 ",
    ):
        assert f"warning: {line}" in outcome.stderr
    quality = json.loads((tmp_path / "prepared" / "quality.json").read_text())
    finding = quality["findings"]["outside_time_range"]
    assert finding["count"] == 5
    assert finding["first"][1] == {"machineID": 1, "datetime": "2106-02-07T00:00:00", "table": "telemetry.parquet"}
    assert "readings and events at impossible times, set aside" in outcome.stdout
    for path in (tmp_path / "plain").glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "prepared" / path.name).read_bytes()


def test_preprocess_time_range_given_is_exactly_that_range(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    words = ("preprocess", "--data", raw, "--out", tmp_path / "prepared")
    outcome = pdm(*words, "--time-range", "2015-01-05T06:00,2015-02-01")
    assert outcome.code == 0, outcome.stderr
    times = pd.read_parquet(tmp_path / "prepared" / "telemetry.parquet")["datetime"]
    assert [times.min(), times.max()] == [pd.Timestamp("2015-01-05 06:00"), pd.Timestamp("2015-02-01")]
    events = pd.read_parquet(tmp_path / "prepared" / "maint.parquet")["datetime"]
    assert events.between("2015-01-05 06:00", "2015-02-01").all()
    outcome = pdm(*words, "--overwrite", "--time-range", "2020-01-01,")
    assert_clear(outcome, 4, "telemetry.parquet: no reading in --time-range 2020-01-01,", "change the range")


def test_preprocess_machine_with_a_wrong_clock_is_set_aside_with_its_events(
    raw: Path, pdm: Pdm, tmp_path: Path
) -> None:
    ahead = pd.Timedelta(days=7168)
    edit("telemetry", lambda t: t.assign(datetime=t["datetime"].where(t["machineID"] != 3, t["datetime"] + ahead)))(raw)
    outcome = pdm("preprocess", "--data", raw, "--out", tmp_path / "prepared")
    assert outcome.code == 0, outcome.stderr
    assert "3601 readings set aside" in outcome.stderr.replace(",", "")
    for name in ("telemetry", "maint"):
        assert 3 not in set(pd.read_parquet(tmp_path / "prepared" / f"{name}.parquet")["machineID"])
    quality = json.loads((tmp_path / "prepared" / "quality.json").read_text())
    assert quality["findings"]["events_without_telemetry"]["count"] > 0


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("2015-01-01", "is not a range such as"),
        (",", "is not a range such as"),
        ("yesterday,", "is not a range such as"),
        ("2016-01-01,2015-01-01", "ends before it begins"),
    ],
)
def test_preprocess_time_range_that_is_none_is_rejected(
    given: str, problem: str, fleet: Path, pdm: Pdm, tmp_path: Path
) -> None:
    outcome = pdm("preprocess", "--data", fleet, "--out", tmp_path / "prepared", "--time-range", given)
    assert_clear(outcome, 2, f"--time-range: {given!r} {problem}", "--help-all")


def test_predict_stray_readings_change_no_prediction(
    fleet: Path, raw: Path, work: Path, pdm: Pdm, tmp_path: Path
) -> None:
    assert predict(pdm, fleet, work / "model", tmp_path / "plain").code == 0
    add_strays(raw)
    outcome = predict(pdm, raw, work / "model", tmp_path / "strays")
    assert outcome.code == 0, outcome.stderr
    assert "3 readings set aside" in outcome.stderr
    pd.testing.assert_frame_equal(read(tmp_path / "plain"), read(tmp_path / "strays"))


def test_preprocess_sentinel_is_named_with_the_ranges_that_remove_it(raw: Path, pdm: Pdm, tmp_path: Path) -> None:
    edit("telemetry", lambda t: t.assign(volt=t["volt"].where(t.index % 2000 != 7, -999.0)))(raw)
    words = ("preprocess", "--data", raw, "--out", tmp_path / "prepared", "--overwrite")
    outcome = pdm(*words)
    assert "warning: telemetry.parquet: volt is -999 in 29 readings, far from its other values (" in outcome.stderr
    hint = outcome.stderr.partition("a missing value? remove with --ranges ")[2].split()[0]
    (sentinel,) = json.loads((tmp_path / "prepared" / "quality.json").read_text())["sentinels"]
    assert (sentinel["sensor"], sentinel["value"], sentinel["count"]) == ("volt", -999.0, 29)
    outcome = pdm(*words, "--ranges", hint)
    assert "far from" not in outcome.stderr
    quality = json.loads((tmp_path / "prepared" / "quality.json").read_text())
    assert quality["sentinels"] == []
    assert quality["findings"]["out_of_range"]["count"] == 29
