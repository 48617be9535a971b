"""Ambiguous or wrong CSV logs are rejected with file, line, column and a hint."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Outcome, Pdm
from tests.cli.csv_logs import HEAD, PLAIN, ROWS, read, write


def refuse(pdm: Pdm, logs: Path, *words: object, code: int = 4) -> Outcome:
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == code, outcome.stderr
    assert "hint: " in outcome.stderr
    assert not (logs.parent / "raw").exists()
    return outcome


BAD: dict[str, tuple[str | bytes, str, str]] = {
    "either order": (
        HEAD + "3/1/2015 7:00,1,2\n4/1/2015 7:00,1,2\n",
        "line 2, column datetime: '3/1/2015 7:00' may be day-first or month-first, like all 2 rows",
        "choose --day-first or --month-first (errors.csv is month-first: '1/13/2015' in line 3)",
    ),
    "two orders": (
        HEAD + "3/1/2015,1,2\n13/1/2015,1,2\n1/14/2015,1,2\n",
        "line 4, column datetime: '1/14/2015' is month-first, while '13/1/2015' (telemetry.csv line 3) is day-first",
        "one date format",
    ),
    "two forms": (
        HEAD + "2015-01-13,1,2\n1/13/2015,1,2\n",
        "line 3, column datetime: '1/13/2015' is month-first, while '2015-01-13'",
        "one date format",
    ),
    "no date": (
        HEAD + "2015-01-13,1,2\n13.1.15,1,2\n",
        "line 3, column datetime: '13.1.15' is not in a known date format",
        "--date-format",
    ),
    "no such day": (
        HEAD + "2015-02-28,1,2\n2015-02-29,1,2\n",
        "line 3, column datetime: '2015-02-29' is not a valid date",
        "fix it",
    ),
    "some zones": (
        HEAD + "2015-02-28T00:00Z,1,2\n2015-02-28T00:00,1,2\n",
        "line 3, column datetime: '2015-02-28T00:00' has no time zone, while",
        "all without",
    ),
    "text in numbers": (
        HEAD + "2015-02-28,1,2\n\n2015-02-28,2,3\n2015-02-28,2,n/a!\n",
        "line 5, column volt: 'n/a!' is not a number",
        "fix it",
    ),
    "decimal comma": (
        HEAD.replace(",", ";") + "2015-02-28;1;2\n2015-02-28;1;3\n2015-02-28;1;2,5\n",
        "line 4, column volt: '2,5' is not a number",
        "--decimal ,",
    ),
    "no machine": (HEAD + "2015-02-28,,2\n", "line 2, column machineID: missing value", "delete the line"),
    "ragged": (HEAD + "2015-02-28,1,2\n2015-02-28,1\n2015-02-28,1,2\n", "line 3: 2 values, expected 3", "--separator"),
    "open quote": (
        HEAD + '2015-02-28,1,2\n2015-02-28,1,"2\n2015-02-28,1,2\n2015-02-28,1,2\n',
        "line 3: unclosed or misplaced quote",
        '""',
    ),
    "dates with two signs": (
        HEAD + "01/13/2015,1,2\n01.02.2015,1,2\n",
        "line 3, column datetime: '01.02.2015' may be day-first or month-first; '01/13/2015'",
        "one date format",
    ),
    "open quote in a key": (
        HEAD + '2015-02-28,1,2\n2015-02-28,"1\n2015-02-28,1",2\n',
        "line 3, column machineID: line break",
        "quote",
    ),
    "not UTF-8": (HEAD.encode() + b"2015-02-28,\xe9,2\n", "line 2: byte 0xe9 at 35 is not valid utf-8", "--encoding"),
    "empty": ("", "telemetry.csv: empty file", "column names"),
    "no column": (
        HEAD.replace("machineID", "machine_id") + "2015-02-28,1,2\n",
        "telemetry.csv: no column 'machineID', only datetime, machine_id, volt",
        "--columns telemetry.machineID=machine_id, or --machine NAME",
    ),
    "column twice": ("datetime,machineID,machineID\n", "duplicate column 'machineID'", "rename"),
    "decimal commas alone": (
        HEAD.replace(",", ";") + "2015-02-28;1;2,5\n2015-02-28;2;3,5\n",
        "line 2, column volt: '2,5' is not a number",
        "--decimal ,",
    ),
    "a head alone": (HEAD, "telemetry.csv: no rows", "export the log again"),
    "no separator": ("datetime,machineID;volt\n1|2|3\n1|2|3\n", "cannot detect the separator", "--separator"),
    "a value too many": (HEAD + "2015-02-28,1,2,\n2015-02-28,1,2,3\n", "line 3: 4 values, expected 3", "fix the line"),
    "two quotes": (
        HEAD.replace("volt", "volt,site")
        + '2015-02-28,1,2,"north\n2015-02-28,2,2,a\n2015-02-28,3,2,b\n2015-02-28,4,2,"south\n2015-02-28,5,2,c\n',
        "line 2: unclosed or misplaced quote",
        'as ""',
    ),
    "signs of two countries": (
        HEAD + "01/13/2015,1,2\n01.02.2015,1,2\n",
        "line 3, column datetime: '01.02.2015' may be day-first or month-first; '01/13/2015' (telemetry.csv",
        "one date format",
    ),
    "other digits": (
        HEAD + "\u0662\u0660\u0661\u0665-01-03,1,2\n",
        "line 2, column datetime: '\u0662\u0660\u0661\u0665-01-03' is not in a known date format",
        "--date-format",
    ),
    "no such year": (
        HEAD + "0000-01-03,1,2\n",
        "line 2, column datetime: '0000-01-03' is not a valid date, time or zone",
        "fix it",
    ),
    "no such zone": (
        HEAD + "2015-01-03T07:00+99:99,1,2\n",
        "line 2, column datetime: '2015-01-03T07:00+99:99' is not a valid date, time or zone",
        "fix it",
    ),
    "long value": (
        HEAD.replace("volt", "volt,site")
        + f"2015-01-03,1,1,{'b' * 200_000}\n"
        + "2015-01-03,2,1,c\n2015-01-03,3,a,d\n",
        "line 4, column volt: 'a' is not a number",
        "fix it",
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
        (("--day-first", "--month-first"), "cannot be combined"),
        (("--append", "--overwrite"), "cannot be combined"),
        (("--on-overlap", "new"), "no effect without --append"),
        (("--separator", "::"), "not a single character"),
        (("--separator", ","), "is also the decimal separator"),
        (("--encoding", "klingon"), "unknown encoding"),
        (("--date-format", "%Q"), "not a date format"),
        (("--date-format", "%d.%m."), "has no year"),
    ],
)
def test_words_that_cannot_be_are_usage_errors(words: tuple[str, ...], message: str, logs: Path, pdm: Pdm) -> None:
    more = ("--decimal", ",") if words == ("--separator", ",") else ()
    assert message in refuse(pdm, write(logs, telemetry=ROWS), *words, *more, code=2).stderr


def test_import_without_files_of_logs_names_what_is_there(logs: Path, pdm: Pdm) -> None:
    (logs / "readme.pdf").write_text("x")
    stderr = refuse(pdm, logs).stderr
    assert "no file of logs, only readme.pdf" in stderr
    assert "telemetry.csv, errors.csv" in stderr


def test_import_of_an_empty_folder_says_so(tmp_path: Path, pdm: Pdm) -> None:
    (tmp_path / "empty").mkdir()
    outcome = pdm("import", tmp_path / "empty", "--out", tmp_path / "raw")
    assert outcome.code == 4
    assert f"error: {tmp_path / 'empty'}: folder is empty\n" in outcome.stderr


def test_two_files_of_one_table_are_refused(logs: Path, pdm: Pdm) -> None:
    assert (
        "errors.csv: table errors is also in PdM_errors.csv"
        in refuse(pdm, write(logs, errors=ROWS, PdM_errors=ROWS)).stderr
    )


def test_damaged_gz_is_refused(logs: Path, pdm: Pdm) -> None:
    (logs / "telemetry.csv.gz").write_bytes(gzip.compress(PLAIN * 50)[:-20])
    assert "telemetry.csv.gz: damaged or truncated" in refuse(pdm, logs).stderr


def test_a_given_encoding_that_cannot_be_is_told(logs: Path, pdm: Pdm) -> None:
    outcome = pdm("import", write(logs, telemetry=ROWS), "--out", logs.parent / "raw", "--encoding", "utf-16")
    assert outcome.code == 4
    assert "telemetry.csv: not valid utf-16" in outcome.stderr
    assert "specify the encoding with --encoding" in outcome.stderr


def test_tables_of_which_there_is_no_log_are_not_removed(pdm: Pdm, logs: Path) -> None:
    read(pdm, write(logs, telemetry=ROWS, machines="machineID,age\n1,5\n"))
    raw = logs.parent / "raw"
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    (logs / "machines.csv").unlink()
    outcome = pdm("import", logs, "--out", raw, "--overwrite")
    assert outcome.code == 2
    assert "contains machines, not found in" in outcome.stderr
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before


def test_a_head_in_another_encoding_is_refused(logs: Path, pdm: Pdm) -> None:
    latin = ROWS.replace("volt", "Öldruck").encode("cp1252")
    stderr = refuse(pdm, write(logs, telemetry=latin)).stderr
    assert "telemetry.csv: line 1: column name '\ufffdldruck' is not valid utf-8" in stderr
    assert "specify the encoding with --encoding, such as cp1252" in stderr
    assert "Öldruck" in read(pdm, logs, "--encoding", "cp1252").columns


def test_a_sign_for_lost_letters_in_a_head_may_be_meant(logs: Path, pdm: Pdm) -> None:
    assert "\ufffdldruck" in read(pdm, write(logs, telemetry=ROWS.replace("volt", "\ufffdldruck"))).columns


def test_letters_of_two_bytes_are_told_before_any_other(logs: Path, pdm: Pdm) -> None:
    stderr = refuse(pdm, write(logs, telemetry=ROWS.replace("volt", "Öldruck").encode("utf-16-le"))).stderr
    assert "try --encoding utf-16-le" in stderr


def test_sensors_that_are_no_columns_are_refused(logs: Path, pdm: Pdm) -> None:
    assert "no column 'rotat'" in refuse(pdm, write(logs, telemetry=ROWS), "--sensors", "volt,rotat").stderr


def test_files_that_are_hidden_or_no_logs_are_not_read(logs: Path, pdm: Pdm) -> None:
    (logs / "telemetry").mkdir()
    (logs / "telemetry" / "2015-01.csv").write_text(ROWS)
    (logs / "telemetry" / "_temporary").mkdir()
    for name in ("._2015-01.csv", "_temporary/0.csv", "notes.md"):
        (logs / "telemetry" / name).write_text("x")
    assert len(read(pdm, logs)) == 3
