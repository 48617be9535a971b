"""Files of logs that cannot be read are named in our own words, with the line where there is one."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Pdm, assert_clear
from tests.cli.csv_logs import ROWS, write

OBJECTS = [
    {"datetime": "2015-01-13 07:00", "machineID": 1, "volt": 170.5},
    {"datetime": "2015-01-13 08:00", "machineID": 1, "volt": "oops"},
    {"datetime": "2015-01-13 09:00", "machineID": 1, "volt": 171.5},
]
LINES = "".join(f"{json.dumps(row)}\n" for row in OBJECTS)


def encrypted_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("a.csv", ROWS)
    damaged = bytearray(content.getvalue())
    # The flag of encryption, in the header of the file and in the directory.
    damaged[6] |= 1
    damaged[damaged.index(b"PK\1\2") + 8] |= 1
    return bytes(damaged)


def damaged_zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.csv", ROWS * 500)
    damaged = bytearray(content.getvalue())
    damaged[60] ^= 0xFF
    return bytes(damaged)


def empty_zip() -> bytes:
    content = io.BytesIO()
    zipfile.ZipFile(content, "w").close()
    return content.getvalue()


DAMAGED: dict[str, tuple[str, bytes, str, str]] = {
    "value in JSON": ("telemetry.jsonl", LINES.encode(), "line 2, column volt: 'oops' is not a number", "--na-values"),
    "value after blank lines": ("telemetry.jsonl", f"\n\n{LINES}".encode(), "line 4, column volt: 'oops'", "fix it"),
    "value in a list of objects": ("telemetry.json", json.dumps(OBJECTS).encode(), "row 1, column volt: 'oops'", "fix"),
    "a comma too few": (
        "telemetry.jsonl",
        LINES.replace('"machineID": 1, "volt": 1', '"machineID": 1 "volt": 1').encode(),
        "line 1, character 49: not valid JSON: ",
        "fix the line",
    ),
    "a comma too many": (
        "telemetry.json",
        json.dumps(OBJECTS, indent=1).replace('"oops"', '"oops",,').encode(),
        "line 10, character 18: not valid JSON: ",
        "fix the line",
    ),
    "no JSON": ("telemetry.json", b"datetime,volt\n", "line 1, character 1: not valid JSON: 'datetime,volt'", "fix"),
    "no objects": ("telemetry.json", b"[5, 6]", "not a list of objects", "one object per line"),
    "empty JSON": ("telemetry.jsonl", b"\n", "empty file", "one object per line"),
    "truncated JSON": ("telemetry.jsonl.gz", gzip.compress(LINES.encode())[:40], "damaged or truncated", "copy"),
    "JSON in a damaged zip": ("telemetry.jsonl.zip", b"no zip", "damaged or truncated\n", "copy"),
    "workbook": ("telemetry.xlsx", b"no workbook", "not a readable workbook\n", "save it as .xlsx or CSV"),
    "old workbook": ("telemetry.xls", b"no workbook", "not a readable workbook\n", "save it as .xlsx or CSV"),
    "gz": ("telemetry.csv.gz", b"no gz", "damaged or truncated\n", "copy"),
    "zip": ("telemetry.zip", b"no zip", "damaged or truncated\n", "copy"),
    "damaged zip": ("telemetry.zip", damaged_zip(), "damaged or truncated\n", "copy"),
    "empty zip": ("telemetry.zip", empty_zip(), "contains 0 files, expected one", "unpack it"),
    "zip with a password": ("telemetry.zip", encrypted_zip(), "encrypted, or compressed", "unpack it"),
    "an image": (
        "telemetry.csv",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)),
        "telemetry.csv: not a text file\n",
        "export it as CSV, or name another file with --files",
    ),
    "control characters": (
        "telemetry.csv",
        bytes(range(1, 256)) * 3,
        "telemetry.csv: not a text file\n",
        "export it as CSV, or name another file with --files",
    ),
    "Parquet": ("telemetry.parquet", b"PA", "not a readable Parquet file\n", "copy"),
    "one value": ("telemetry.csv", b"datetime,machineID,volt\n2015\n", "line 2: 1 value, expected 3", "fix the line"),
    "one row of either order": (
        "telemetry.csv",
        b"datetime,machineID,volt\n3/1/2015,1,2\n",
        "'3/1/2015' may be day-first or month-first\n",
        "--day-first",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_import_of_a_damaged_file_names_it_in_plain_words(case: str, logs: Path, pdm: Pdm) -> None:
    name, content, message, hint = DAMAGED[case]
    (logs / name).write_bytes(content)
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert_clear(outcome, 4, name, hint)
    assert message in outcome.stderr
    assert not (logs.parent / "raw").exists()


def test_import_of_json_with_strings_and_numbers_reads_both_alike(logs: Path, pdm: Pdm) -> None:
    rows = [{"datetime": "2015-01-13 07:00", "machineID": "1", "volt": "5"}, {**OBJECTS[2], "volt": 6}]
    (logs / "telemetry.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert outcome.code == 0, outcome.stderr
    found = pd.read_parquet(logs.parent / "raw" / "telemetry.parquet")
    assert found[["machineID", "volt"]].values.tolist() == [[1, 5], [1, 6]]


@pytest.mark.parametrize(
    ("option", "header", "line", "message"),
    [
        ("--component-words", "word,component", "motor", "line 3: no component"),
        ("--component-words", "word,component", ",pump", "line 3: no word"),
        ("--tags", "tag,machine,sensor", "2.volt", "line 3: no sensor"),
        ("--tags", "tag,machine,sensor", ",2,volt", "line 3: no tag"),
    ],
)
def test_import_with_an_incomplete_file_of_an_option_names_its_line(
    option: str, header: str, line: str, message: str, logs: Path, pdm: Pdm
) -> None:
    write(logs, telemetry=ROWS)
    given = logs.parent / "given.csv"
    given.write_text(f"{header}\na,b,c\n{line}\n")
    long = ("--long", "machineID", "volt") if option == "--tags" else ()
    outcome = pdm("import", logs, "--out", logs.parent / "raw", option, given, *long)
    assert_clear(outcome, 2, message, "fix the line")


def test_import_of_a_line_break_in_a_text_of_failures_proposes_other_columns(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=ROWS, failures='datetime,machineID,failure\n2015-01-13 07:00,1,"pump\nbroken"\n')
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    hint = "choose another column with --columns failures.failure=COLUMN, name the component by words"
    assert_clear(outcome, 4, "failures.csv: line 2, column failure: line break in a value", hint)
    words = logs.parent / "words.csv"
    words.write_text("word,component\nbroken,PUMP\n")
    assert pdm("import", logs, "--out", logs.parent / "raw", "--component-words", words).code == 0


def test_import_of_text_with_a_control_character_as_separator_reads_it(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=ROWS.replace(",", "\x01"))
    assert pdm("import", logs, "--out", logs.parent / "raw", "--separator", "\x01").code == 0
