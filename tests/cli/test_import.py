"""CSV logs of all kinds become raw tables; what is doubtful or wrong is refused with file, line, column and way out."""

from __future__ import annotations

import codecs
import gzip
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pdm_cli import csv_files, manifest, outputs
from pdm_cli.commands import import_facts
from tests.cli.conftest import Outcome, Pdm

HEAD = "datetime,machineID,volt\n"
ROWS = HEAD + "2015-01-13 07:00:00,1,170.5\n2015-01-13 08:00:00,1,\n2015-01-13 07:00:00,2,168\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def write(logs: Path, **contents: str | bytes) -> Path:
    for name, content in contents.items():
        (logs / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return logs


def telemetry(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "telemetry.parquet")


def read(pdm: Pdm, logs: Path, *words: object) -> pd.DataFrame:
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == 0, outcome.stderr
    return telemetry(logs.parent / "raw")


def refuse(pdm: Pdm, logs: Path, *words: object, code: int = 4) -> Outcome:
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == code, outcome.stderr
    assert "hint: " in outcome.stderr
    assert not (logs.parent / "raw").exists()
    return outcome


PLAIN = ROWS.encode()
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
    assert "left out, as their names are of no table: other.csv" in outcome.stderr
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


def test_a_later_log_has_machines_as_the_tables_that_are_there(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=HEAD + "2015-01-03,M1,1\n2015-01-03,2,2\n", errors="datetime,machineID,errorID\n")
    assert append(pdm, logs).code == 0
    (logs / "telemetry.csv").unlink()
    assert append(pdm, write(logs, errors="datetime,machineID,errorID\n2015-01-03T00:00Z,2,e\n")).code == 0
    errors = pd.read_parquet(logs.parent / "raw/errors.parquet")
    assert errors["machineID"].tolist() == ["2"]
    assert str(errors["datetime"].dt.tz) == "UTC"


def test_zones_are_converted_and_told(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=HEAD + "2015-01-03T07:00:00+02:00,1,1\n2015-01-03T07:00:00Z,1,2\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert "telemetry.csv: stamps carry a time zone and are converted to UTC" in outcome.stderr
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


def test_pieces_come_to_the_same_as_the_whole(logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{1 + i % 12}/{1 + i % 12}/2015 7:00,{i},{i / 7}" for i in range(999)]
    write(logs, telemetry=HEAD + "\n".join([*lines, "1/13/2015 7:00,5,5"]))
    whole = read(pdm, logs)
    # Only the last row of the last piece tells the month.
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 512)
    pieces = read(pdm, logs, "--overwrite")
    pd.testing.assert_frame_equal(whole, pieces)
    assert whole["datetime"].iloc[-1] == pd.Timestamp("2015-01-13 07:00")


BAD: dict[str, tuple[str | bytes, str, str]] = {
    "either order": (
        HEAD + "3/1/2015 7:00,1,2\n4/1/2015 7:00,1,2\n",
        "line 2, column datetime: '3/1/2015 7:00' may be day-first or month-first: both fit all 2 rows",
        "--day-first or --month-first says which (errors.csv is month-first: '1/13/2015' in line 3)",
    ),
    "two orders": (
        HEAD + "3/1/2015,1,2\n13/1/2015,1,2\n1/14/2015,1,2\n",
        "line 4, column datetime: '1/14/2015' is month-first, while '13/1/2015' (telemetry.csv line 3) is day-first",
        "one form",
    ),
    "two forms": (
        HEAD + "2015-01-13,1,2\n1/13/2015,1,2\n",
        "line 3, column datetime: '1/13/2015' is month-first, while '2015-01-13'",
        "one form",
    ),
    "no date": (
        HEAD + "2015-01-13,1,2\n13.1.15,1,2\n",
        "line 3, column datetime: '13.1.15' is no date",
        "--date-format",
    ),
    "no such day": (
        HEAD + "2015-02-28,1,2\n2015-02-29,1,2\n",
        "line 3, column datetime: '2015-02-29': there is no such day",
        "mend it",
    ),
    "some zones": (
        HEAD + "2015-02-28T00:00Z,1,2\n2015-02-28T00:00,1,2\n",
        "line 3, column datetime: '2015-02-28T00:00' has no time zone, while",
        "none",
    ),
    "text in numbers": (
        HEAD + "2015-02-28,1,2\n\n2015-02-28,2,3\n2015-02-28,2,n/a!\n",
        "line 5, column volt: 'n/a!' is no number",
        "mend it",
    ),
    "decimal comma": (
        HEAD.replace(",", ";") + "2015-02-28;1;2\n2015-02-28;1;3\n2015-02-28;1;2,5\n",
        "line 4, column volt: '2,5' is no number",
        "--decimal ,",
    ),
    "no machine": (HEAD + "2015-02-28,,2\n", "line 2, column machineID: a value is missing", "leave the line out"),
    "ragged": (HEAD + "2015-02-28,1,2\n2015-02-28,1\n2015-02-28,1,2\n", "line 3: 2 values, wanted 3", "--separator"),
    "open quote": (
        HEAD + '2015-02-28,1,2\n2015-02-28,1,"2\n2015-02-28,1,2\n2015-02-28,1,2\n',
        "line 3: a quote is not closed",
        '""',
    ),
    "dates with two signs": (
        HEAD + "01/13/2015,1,2\n01.02.2015,1,2\n",
        "line 3, column datetime: '01.02.2015' may be day-first or month-first, and '01/13/2015'",
        "one form",
    ),
    "year nought": (HEAD + "0000-01-03,1,2\n", "line 2, column datetime: '0000-01-03': there is no such day", "mend"),
    "open quote in a key": (
        HEAD + '2015-02-28,1,2\n2015-02-28,"1\n2015-02-28,1",2\n',
        "line 3, column machineID: a line break",
        "quote",
    ),
    "not UTF-8": (HEAD.encode() + b"2015-02-28,\xe9,2\n", "line 2: byte 0xe9 at 35 is no utf-8 text", "--encoding"),
    "empty": ("", "telemetry.csv: the file is empty", "names of the columns"),
    "no column": (
        HEAD.replace("machineID", "machine_id") + "2015-02-28,1,2\n",
        "telemetry.csv: no column 'machineID'",
        "--machine-column",
    ),
    "column twice": ("datetime,machineID,machineID\n", "column 'machineID' stands in it twice", "own name"),
    "decimal commas alone": (
        HEAD.replace(",", ";") + "2015-02-28;1;2,5\n2015-02-28;2;3,5\n",
        "line 2, column volt: '2,5' is no number",
        "--decimal ,",
    ),
    "a head alone": (HEAD, "telemetry.csv: no rows", "whole log"),
    "no separator": ("datetime,machineID;volt\n1|2|3\n1|2|3\n", "no separator gives the rows", "--separator"),
    "a sign too many": (HEAD + "2015-02-28,1,2,\n" * 3, "line 2: 4 values, wanted 3", "mend the line"),
    "two quotes": (
        HEAD.replace("volt", "volt,site")
        + '2015-02-28,1,2,"north\n2015-02-28,2,2,a\n2015-02-28,3,2,b\n2015-02-28,4,2,"south\n2015-02-28,5,2,c\n',
        "line 2: a quote is not closed as it should be",
        'as ""',
    ),
    "signs of two countries": (
        HEAD + "01/13/2015,1,2\n01.02.2015,1,2\n",
        "line 3, column datetime: '01.02.2015' may be day-first or month-first, and '01/13/2015' (telemetry.csv",
        "in one form",
    ),
    "other digits": (
        HEAD + "\u0662\u0660\u0661\u0665-01-03,1,2\n",
        "line 2, column datetime: '\u0662\u0660\u0661\u0665-01-03' is no date of a form that is told by itself",
        "--date-format",
    ),
    "no such year": (
        HEAD + "0000-01-03,1,2\n",
        "line 2, column datetime: '0000-01-03': there is no such day, time or zone",
        "mend it",
    ),
    "no such zone": (
        HEAD + "2015-01-03T07:00+99:99,1,2\n",
        "line 2, column datetime: '2015-01-03T07:00+99:99': there is no such day, time or zone",
        "mend it",
    ),
    "long value": (
        HEAD.replace("volt", "volt,site")
        + f"2015-01-03,1,1,{'b' * 200_000}\n"
        + "2015-01-03,2,1,c\n2015-01-03,3,a,d\n",
        "line 4, column volt: 'a' is no number",
        "mend it",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_place_and_way_out(case: str, logs: Path, pdm: Pdm) -> None:
    content, message, hint = BAD[case]
    write(logs, telemetry=content, errors="datetime,machineID,errorID\n1/1/2015,1,e\n1/13/2015,1,e\n")
    outcome = refuse(pdm, logs)
    assert f"error: telemetry.csv: {message}".replace("telemetry.csv: telemetry.csv", "telemetry.csv") in outcome.stderr
    assert hint in outcome.stderr.split("hint: ")[1]


def test_the_order_may_be_given_but_not_against_the_rows(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=HEAD + "3/1/2015 7:00,1,2\n")
    assert read(pdm, logs, "--day-first")["datetime"].iloc[0] == pd.Timestamp("2015-01-03 07:00")
    assert read(pdm, logs, "--month-first", "--overwrite")["datetime"].iloc[0] == pd.Timestamp("2015-03-01 07:00")
    write(logs, telemetry=HEAD + "3/13/2015 7:00,1,2\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--day-first", "--overwrite")
    assert outcome.code == 4
    assert "line 2, column datetime: '3/13/2015 7:00' cannot be day-first" in outcome.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--day-first", "--month-first"), "only one can be"),
        (("--append", "--overwrite"), "only one can be"),
        (("--on-overlap", "new"), "no effect without --append"),
        (("--separator", "::"), "not one sign"),
        (("--separator", ","), "decimal sign, too"),
        (("--encoding", "klingon"), "not known"),
        (("--date-format", "%Q"), "bad directive"),
        (("--date-format", "%d.%m."), "has no year"),
    ],
)
def test_words_that_cannot_be_are_usage_errors(words: tuple[str, ...], message: str, logs: Path, pdm: Pdm) -> None:
    more = ("--decimal", ",") if words == ("--separator", ",") else ()
    assert message in refuse(pdm, write(logs, telemetry=ROWS), *words, *more, code=2).stderr


def test_a_folder_without_tables_tells_what_is_there(logs: Path, pdm: Pdm) -> None:
    stderr = refuse(pdm, write(logs, readings=ROWS)).stderr
    assert "no table among readings.csv" in stderr
    assert "telemetry.csv, errors.csv" in stderr


def test_parquet_tables_and_empty_folders_are_told_as_such(fleet: Path, tmp_path: Path, pdm: Pdm) -> None:
    outcome = pdm("import", fleet, "--out", tmp_path / "raw")
    assert outcome.code == 4
    assert "telemetry.parquet, errors.parquet" in outcome.stderr
    assert f"hint: they need no import: pdm run --data {fleet} --out work" in outcome.stderr
    (tmp_path / "empty").mkdir()
    outcome = pdm("import", tmp_path / "empty", "--out", tmp_path / "raw")
    assert outcome.code == 4
    assert f"error: {tmp_path / 'empty'}: is empty\n" in outcome.stderr


def test_what_all_files_have_in_common_is_told_once(logs: Path, tmp_path: Path, pdm: Pdm) -> None:
    alike = "datetime,machineID,errorID\n2015-01-02 06:00,1,error1\n"
    outcome = pdm("import", write(logs, telemetry=ROWS, errors=alike), "--out", tmp_path / "alike")
    assert outcome.stdout.count("utf-8 text separated by ','") == 1
    (logs / "errors.csv").write_text(alike.replace(",", ";"))
    outcome = pdm("import", logs, "--out", tmp_path / "other")
    assert "telemetry: utf-8 text separated by ','\n" in outcome.stdout
    assert "errors: utf-8 text separated by ';'\n" in outcome.stdout


def test_two_files_of_one_table_are_refused(logs: Path, pdm: Pdm) -> None:
    assert "PdM_errors.csv is of the table errors, too" in refuse(pdm, write(logs, errors=ROWS, PdM_errors=ROWS)).stderr


def test_damaged_gz_is_refused(logs: Path, pdm: Pdm) -> None:
    (logs / "telemetry.csv.gz").write_bytes(gzip.compress(PLAIN * 50)[:-20])
    assert "telemetry.csv.gz: damaged or cut off" in refuse(pdm, logs).stderr


def test_a_column_of_texts_in_telemetry_stays_text_and_numbers_among_attributes_are_told(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry="datetime,machineID,volt,site\n2015-01-13,1,5,Bonn\n", machines="machineID,age\n1,5\n2,old\n")
    assert read(pdm, logs)["site"].tolist() == ["Bonn"]
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--overwrite")
    assert "machines.csv: column age: 1 of 2 values are no numbers, first 'old'" in outcome.stderr


def test_a_raw_folder_made_here_is_read_by_preprocess(fleet: Path, logs: Path, pdm: Pdm) -> None:
    for name in ("telemetry", "errors", "maint", "failures", "machines"):
        pd.read_parquet(fleet / f"{name}.parquet").to_csv(logs / f"PdM_{name}.csv", index=False)
    read(pdm, logs)
    for name in ("telemetry", "errors", "maint", "failures", "machines"):
        found = pd.read_parquet(logs.parent / "raw" / f"{name}.parquet")
        pd.testing.assert_frame_equal(found, pd.read_parquet(fleet / f"{name}.parquet"), check_dtype=False)
    outcome = pdm("preprocess", "--data", logs.parent / "raw", "--out", logs.parent / "prepared")
    assert outcome.code == 0, outcome.stderr


def append(pdm: Pdm, logs: Path, *words: object) -> Outcome:
    return pdm("import", logs, "--out", logs.parent / "raw", "--append", *words, "--json")


def test_append_adds_new_rows_and_drops_the_same(logs: Path, pdm: Pdm) -> None:
    errors = "datetime,machineID,errorID\n2015-01-13,1,e1\n"
    write(logs, telemetry=ROWS, errors=errors)
    assert append(pdm, logs).code == 0
    write(logs, telemetry=ROWS + "2015-01-14,1,5\n", errors=errors + "2015-01-13,1,e2\n")
    outcome = append(pdm, logs)
    assert outcome.code == 0, outcome.stderr
    assert outcome.json["tables"]["telemetry"]["appended"] == {
        "before": 3,
        "added": 1,
        "same": 3,
        "differing": 0,
        "kept": "refuse",
    }
    raw = logs.parent / "raw"
    assert telemetry(raw)["machineID"].tolist() == [1, 1, 2, 1]
    assert pd.read_parquet(raw / "errors.parquet")["errorID"].tolist() == ["e1", "e2"]
    assert not list(raw.glob("new-*"))
    made = manifest.read(raw)
    assert made is not None
    assert manifest.is_whole(raw, made)


@pytest.mark.parametrize(("kept", "volts"), [("new", [None, 168.0, 99.0]), ("old", [170.5, None, 168.0])])
def test_rows_with_other_values_are_refused_or_chosen(
    kept: str, volts: list[float | None], logs: Path, pdm: Pdm
) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    raw = logs.parent / "raw"
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    write(logs, telemetry=HEAD + "2015-01-13 08:00:00,1,\n2015-01-13 07:00:00,1,99\n")
    outcome = append(pdm, logs)
    assert outcome.code == 4
    assert "telemetry.csv: line 3, column volt: 99.0 for datetime 2015-01-13 07:00:00, machineID 1" in outcome.stderr
    assert "--on-overlap new or old" in outcome.stderr
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
    assert append(pdm, logs, "--on-overlap", kept).code == 0
    pd.testing.assert_series_equal(telemetry(raw)["volt"], pd.Series(volts, name="volt", dtype=float))


@pytest.mark.parametrize("command", ["preprocess", "train"])
def test_append_to_what_another_command_wrote_is_refused(command: str, logs: Path, pdm: Pdm) -> None:
    assert append(pdm, write(logs, telemetry=ROWS)).code == 0
    path = logs.parent / "raw/manifest.json"
    path.write_text(path.read_text().replace('"command": "import"', f'"command": "{command}"'))
    outcome = append(pdm, logs)
    assert outcome.code == 2
    assert f"holds what pdm {command} wrote" in outcome.stderr


def test_files_of_others_are_never_taken_over(logs: Path, pdm: Pdm) -> None:
    raw = logs.parent / "raw"
    assert append(pdm, write(logs, telemetry=ROWS)).code == 0
    (raw / "notes").mkdir()
    (raw / "notes" / "a.txt").write_text("mine")
    for words in (("--append",), ("--overwrite",)):
        outcome = pdm("import", logs, "--out", raw, *words)
        assert outcome.code == 2
        assert "notes/a.txt" in outcome.stderr
    assert (raw / "notes" / "a.txt").read_text() == "mine"


def test_append_to_raw_tables_that_others_wrote(logs: Path, pdm: Pdm) -> None:
    raw = logs.parent / "raw"
    (raw / "telemetry").mkdir(parents=True)
    for number in (1, 2):
        content = {
            "datetime": pd.to_datetime(["2015-01-01"]),
            "machineID": pd.array([number], "int32"),
            "volt": [number],
        }
        pq.write_table(pa.table(pd.DataFrame(content)), raw / "telemetry" / f"{number}.parquet")
    assert append(pdm, write(logs, telemetry=ROWS)).code == 0
    assert telemetry(raw)["volt"].iloc[:3].tolist() == [1.0, 2.0, 170.5]
    assert not (raw / "telemetry").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD.replace("volt", "rotate") + "2015-02-28,1,2\n", "no column"),
        (HEAD + "2015-02-28T00:00Z,1,2\n", "carry a time zone, while those of telemetry.parquet carry none"),
        (HEAD + "2015-02-28,A,2\n", "line 2, column machineID: 'A' is no whole number, as the machines of"),
        (HEAD + "2015-02-28,1,x\n", "line 2, column volt: 'x' is no number, as those of telemetry.parquet are"),
    ],
)
def test_what_does_not_fit_behind_the_old_is_refused(content: str, message: str, logs: Path, pdm: Pdm) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    outcome = append(pdm, write(logs, telemetry=content))
    assert outcome.code == 4
    assert message in outcome.stderr
    assert len(telemetry(logs.parent / "raw")) == 3


ERROR = "datetime,machineID,errorID\n2015-01-13 07:00,2,e\n"


def test_machines_are_named_as_in_the_other_tables_that_are_there(logs: Path, pdm: Pdm) -> None:
    raw = logs.parent / "raw"
    read(pdm, write(logs, telemetry=HEAD + "2015-01-13,M1,5\n2015-01-13,2,5\n"))
    (logs / "telemetry.csv").unlink()
    assert append(pdm, write(logs, errors=ERROR)).code == 0
    assert pd.read_parquet(raw / "errors.parquet")["machineID"].tolist() == ["2"]


def test_a_named_machine_is_refused_where_other_tables_number_them(logs: Path, pdm: Pdm) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    (logs / "telemetry.csv").unlink()
    outcome = append(pdm, write(logs, errors=ERROR.replace(",2,", ",M1,")))
    assert outcome.code == 4
    assert "errors.csv: line 2, column machineID: 'M1' is no whole number, as the machines of telemetry.parquet" in (
        outcome.stderr
    )


def test_zones_in_some_tables_only_are_told(logs: Path, pdm: Pdm) -> None:
    words = "stamps of telemetry.parquet carry a time zone, those of errors.parquet do not: pdm preprocess"
    read(pdm, write(logs, telemetry=HEAD + "2015-01-13 07:00Z,1,5\n"))
    (logs / "telemetry.csv").unlink()
    assert words in append(pdm, write(logs, errors=ERROR)).stderr
    other = pdm("import", write(logs, telemetry=HEAD + "2015-01-13 07:00Z,1,5\n"), "--out", logs.parent / "other")
    assert words in other.stderr
    same = pdm("import", write(logs, errors=ERROR.replace("07:00", "07:00Z")), "--out", logs.parent / "same")
    assert "carry a time zone, those" not in same.stderr


def test_a_head_alone_or_a_column_without_a_value_fixes_nothing(logs: Path, pdm: Pdm) -> None:
    raw, head = logs.parent / "raw", "datetime,machineID,volt,note\n"
    assert append(pdm, write(logs, errors=ERROR.splitlines()[0] + "\n", telemetry=head + "2015-01-13,A,5,\n")).code == 0
    zoned = ERROR.replace("07:00,2", "07:00Z,A")
    outcome = append(pdm, write(logs, errors=zoned, telemetry=head + "2015-01-14,A,5,ab\n"))
    assert outcome.code == 0, outcome.stderr
    assert telemetry(raw)["note"].fillna("none").tolist() == ["none", "ab"]
    assert pd.read_parquet(raw / "errors.parquet")["machineID"].tolist() == ["A"]
    # A head alone behind rows takes their zone.
    assert append(pdm, write(logs, errors=ERROR.splitlines()[0] + "\n")).code == 0


@pytest.mark.parametrize(
    ("values", "words", "told"),
    [
        (("-", "-", "5"), (), "2 of 3 values are no numbers, first '-' (telemetry.csv line 2)"),
        (("1.5", "2.5"), ("--decimal", ","), "2 of 2 values are no numbers, first '1.5' (telemetry.csv line 2)"),
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
        assert f"warning: telemetry.csv: column rotate: {told}: it is taken as text and is no sensor" in outcome.stderr
    else:
        assert "warning" not in outcome.stderr


def test_the_words_of_one_row_that_was_added(logs: Path, pdm: Pdm) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    outcome = pdm("import", write(logs, telemetry=HEAD + "2015-01-14,1,5\n"), "--out", logs.parent / "raw", "--append")
    assert "telemetry: 1 row added to 3" in outcome.stdout


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("moves", range(1, 9))
def test_a_kill_while_files_are_moved_loses_nothing(
    moves: int, logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    raw = logs.parent / "raw"
    write(logs, telemetry=HEAD + "2015-01-14,1,5\n", machines="machineID,age\n1,5\n")
    done = 0
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done > moves:
            raise Killed
        return replace(path, target)

    with monkeypatch.context() as patch:
        # After a kill nothing is undone and nothing is cleared away.
        patch.setattr(Path, "replace", stop)
        patch.setattr(outputs.shutil, "rmtree", lambda *_, **__: None)
        with suppress(Killed):
            append(pdm, logs)
    outputs.check_growable(raw)
    assert len(telemetry(raw)) in (3, 4)
    assert not list(raw.glob(".pdm-partial-*"))
    outcome = append(pdm, logs)
    assert outcome.code == 0, outcome.stderr
    assert telemetry(raw)["volt"].iloc[3] == 5
    assert (raw / "machines.parquet").is_file()


def test_an_error_in_the_second_pass_leaves_the_old(logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    monkeypatch.setattr(import_facts, "describe_table", lambda *_: 1 / 0)
    assert append(pdm, write(logs, telemetry=HEAD + "2015-01-14,1,5\n")).code == 1
    assert len(telemetry(logs.parent / "raw")) == 3
    assert not list((logs.parent / "raw").glob(".pdm-partial-*"))


def test_a_given_encoding_that_cannot_be_is_told(logs: Path, pdm: Pdm) -> None:
    outcome = pdm("import", write(logs, telemetry=ROWS), "--out", logs.parent / "raw", "--encoding", "utf-16")
    assert outcome.code == 4
    assert "telemetry.csv: no utf-16 text" in outcome.stderr
    assert "--encoding names another one" in outcome.stderr


def test_tables_of_which_there_is_no_log_are_not_removed(pdm: Pdm, logs: Path) -> None:
    read(pdm, write(logs, telemetry=ROWS, machines="machineID,age\n1,5\n"))
    raw = logs.parent / "raw"
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    (logs / "machines.csv").unlink()
    outcome = pdm("import", logs, "--out", raw, "--overwrite")
    assert outcome.code == 2
    assert "has machines, of which there are no logs" in outcome.stderr
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
