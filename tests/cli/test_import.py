"""CSV logs of many formats are converted to raw tables."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

import pandas as pd
import pytest

from pdm_cli.io import manifest
from tests.cli.conftest import Pdm
from tests.cli.csv_logs import HEAD, PLAIN, ROWS, read, telemetry, write

SEMICOLONS = ROWS.replace(",", ";").replace("170.5", "170,5")
WAYS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "plain": (PLAIN, ()),
    "CRLF": (ROWS.replace("\n", "\r\n").encode(), ()),
    "no last line end": (PLAIN.rstrip(b"\n"), ()),
    "blank lines": (b"\n" + ROWS.replace("\n", "\n\n").encode(), ()),
    "blanks": (ROWS.replace(",", " , ").encode(), ()),
    "BOM": (codecs.BOM_UTF8 + PLAIN, ()),
    "BOM and encoding": (codecs.BOM_UTF8 + PLAIN, ("--encoding", "utf-8")),
    "UTF-16": (ROWS.encode("utf-16"), ()),
    "quotes": (
        b'"datetime","machineID","volt"\n"2015-01-13 07:00:00","1",170.5\n"2015-01-13 08:00:00","1",\n'
        b"2015-01-13 07:00:00,2,168\n",
        (),
    ),
    "semicolons and decimal commas": (SEMICOLONS.encode(), ("--decimal", ",")),
    "tabs": (ROWS.replace(",", "\t").encode(), ()),
    "given separator": (ROWS.replace(",", "\t").encode(), ("--separator", "tab")),
    "sign of its own": (ROWS.replace(",", "^").encode(), ("--separator", "^")),
    "other words for missing": (ROWS.replace("1,\n", "1,NULL\n").encode(), ()),
    "index of pandas": (
        "".join(f"{'' if i == 0 else i},{line}\n" for i, line in enumerate(ROWS.splitlines())).encode(),
        (),
    ),
    "month first": (ROWS.replace("2015-01-13 ", "1/13/2015 ").encode(), ()),
    "half days": (ROWS.replace("2015-01-13 0", "1/13/2015 ").replace(":00:00", ":00:00 AM").encode(), ()),
    "format": (ROWS.replace("2015-01-13 ", "13.1.15 ").encode(), ("--date-format", "%d.%m.%y %H:%M:%S")),
    "format of one table": (
        ROWS.replace("2015-01-13 ", "13.1.15 ").encode(),
        ("--date-format", "telemetry=%d.%m.%y %H:%M:%S"),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_table_in_many_ways_of_writing(way: str, logs: Path, pdm: Pdm) -> None:
    content, words = WAYS[way]
    found = read(pdm, write(logs, telemetry=content), *words)
    wanted = pd.DataFrame(
        {
            "datetime": pd.to_datetime(["2015-01-13 07:00", "2015-01-13 08:00", "2015-01-13 07:00"]).as_unit("us"),
            "machineID": [1, 1, 2],
            "volt": [170.5, None, 168.0],
        }
    )
    pd.testing.assert_frame_equal(found, wanted)


def test_names_of_the_original_set_parts_and_gz(logs: Path, pdm: Pdm) -> None:
    (logs / "PdM_Telemetry").mkdir()
    (logs / "PdM_Telemetry" / "a.csv.gz").write_bytes(gzip.compress(PLAIN))
    (logs / "PdM_Telemetry" / "b.csv").write_text("volt;machineID;datetime\n5;3;2015-01-14 00:00\n")
    write(
        logs,
        PdM_errors="datetime,machineID,errorID\n1/13/2015 5:00:00 AM,1,3\n",
        maintenance="datetime,machineID,comp\n",
    )
    write(logs, PdM_machines="machineID,model,age\n1,model3,18\n2,,7\n", other="x\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "skipped, not files of a table: other.csv" in outcome.stderr
    raw = logs.parent / "raw"
    assert telemetry(raw)["machineID"].tolist() == [1, 1, 2, 3]
    assert telemetry(raw)["volt"].iloc[3] == 5
    assert pd.read_parquet(raw / "errors.parquet")["errorID"].tolist() == ["3"]
    assert len(pd.read_parquet(raw / "maint.parquet")) == 0
    assert pd.read_parquet(raw / "machines.parquet")["age"].tolist() == [18, 7]
    told = outcome.json
    assert told["schema"] == "pdm.import/1"
    assert told["tables"]["telemetry"]["files"] == ["PdM_Telemetry/a.csv.gz", "PdM_Telemetry/b.csv"]
    assert told["tables"]["telemetry"]["separators"] == [",", ";"]
    assert told["tables"]["errors"]["dates"] == "month-first"
    made = manifest.read(raw)
    assert made is not None
    assert manifest.is_whole(raw, made)
    assert set(made["inputs"]["folder"]) >= {"PdM_errors.csv", "PdM_Telemetry/a.csv.gz"}


def test_zones_are_converted_and_told(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=HEAD + "2015-01-03T07:00:00+02:00,1,1\n2015-01-03T07:00:00Z,1,2\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert "telemetry.csv: timestamps have a time zone and are converted to UTC" in outcome.stderr
    assert [str(s) for s in telemetry(logs.parent / "raw")["datetime"]] == [
        "2015-01-03 05:00:00+00:00",
        "2015-01-03 07:00:00+00:00",
    ]


def test_machines_are_texts_in_all_tables_or_in_none(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=ROWS, errors="datetime,machineID,errorID\n2015-01-13,007,e\n")
    assert read(pdm, logs)["machineID"].tolist() == ["1", "1", "2"]
    assert pd.read_parquet(logs.parent / "raw" / "errors.parquet")["machineID"].tolist() == ["007"]


def test_mapped_names_are_kept(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=ROWS.replace("machineID", "asset"))
    assert "asset" in read(pdm, logs, "--machine-column", "asset")


def test_the_last_of_many_rows_may_decide_between_day_and_month(logs: Path, pdm: Pdm) -> None:
    lines = [f"{1 + i % 12}/{1 + i % 12}/2015 7:00,{i},{i / 7}" for i in range(30_000)]
    write(logs, telemetry=HEAD + "\n".join([*lines, "1/13/2015 7:00,5,5"]))
    found = read(pdm, logs)
    assert len(found) == 30_001
    assert found["datetime"].iloc[-1] == pd.Timestamp("2015-01-13 07:00")


def test_what_all_files_have_in_common_is_told_once(logs: Path, tmp_path: Path, pdm: Pdm) -> None:
    alike = "datetime,machineID,errorID\n2015-01-02 06:00,1,error1\n"
    outcome = pdm("import", write(logs, telemetry=ROWS, errors=alike), "--out", tmp_path / "alike")
    assert outcome.stdout.count("utf-8 text separated by ','") == 1
    (logs / "errors.csv").write_text(alike.replace(",", ";"))
    outcome = pdm("import", logs, "--out", tmp_path / "other")
    assert "telemetry: utf-8 text separated by ','\n" in outcome.stdout
    assert "errors: utf-8 text separated by ';'\n" in outcome.stdout


def test_a_column_of_texts_in_telemetry_stays_text_and_numbers_among_attributes_are_told(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry="datetime,machineID,volt,site\n2015-01-13,1,5,Bonn\n", machines="machineID,age\n1,5\n2,old\n")
    assert read(pdm, logs)["site"].tolist() == ["Bonn"]
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--overwrite")
    assert "machines.csv: column age: 1 of 2 values is not a number, first 'old'" in outcome.stderr


@pytest.mark.slow
def test_a_raw_folder_made_here_is_read_by_preprocess(fleet: Path, logs: Path, pdm: Pdm) -> None:
    for name in ("telemetry", "errors", "maint", "failures", "machines"):
        pd.read_parquet(fleet / f"{name}.parquet").to_csv(logs / f"PdM_{name}.csv", index=False)
    read(pdm, logs)
    for name in ("telemetry", "errors", "maint", "failures", "machines"):
        found = pd.read_parquet(logs.parent / "raw" / f"{name}.parquet")
        pd.testing.assert_frame_equal(found, pd.read_parquet(fleet / f"{name}.parquet"), check_dtype=False)
    outcome = pdm("preprocess", "--data", logs.parent / "raw", "--out", logs.parent / "prepared")
    assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize(
    ("values", "words", "told"),
    [
        (("x", "x", "5"), (), "2 of 3 values are not numbers, first 'x' (telemetry.csv line 2)"),
        (("1.5", "2.5"), ("--decimal", ","), "2 of 2 values are not numbers, first '1.5' (telemetry.csv line 2)"),
        (("Bonn", "Ulm"), (), ""),
    ],
)
def test_a_column_of_telemetry_that_may_be_of_readings_is_told(
    values: tuple[str, ...], words: tuple[str, ...], told: str, logs: Path, pdm: Pdm
) -> None:
    rows = "".join(f"2015-01-1{day};1;2;{value}\n" for day, value in enumerate(values))
    write(logs, telemetry="datetime;machineID;volt;rotate\n" + rows)
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == 0, outcome.stderr
    if told:
        assert f"warning: telemetry.csv: column rotate: {told}: imported as text, not as a sensor" in outcome.stderr
    else:
        assert "warning" not in outcome.stderr


def test_import_keeps_a_column_named_like_the_number_of_another(pdm: Pdm, logs: Path) -> None:
    head = "datetime,machineID,volt,number volt\n"
    found = read(pdm, write(logs, telemetry=head + "2015-01-13,1,1.5,a1\n2015-01-14,1,2.5,b2\n"))
    assert found["volt"].tolist() == [1.5, 2.5]
