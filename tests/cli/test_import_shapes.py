"""Logs of many shapes become raw tables: long form, one file per machine, no header, other formats, cycles."""

from __future__ import annotations

import gzip
import json
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from tests.cli.conftest import Outcome, Pdm, assert_clear

START = pd.Timestamp("2015-01-13 07:00")
ROWS = [("2015-01-13 07:00:00", "1", 170.5), ("2015-01-13 08:00:00", "1", 171.0), ("2015-01-13 07:00:00", "2", 168.0)]
UNNAMED = "".join(f"2015-01-13 0{hour}:00,{machine},{hour + 5}.5,6\n" for hour in (7, 8) for machine in (1, 2))
WIDE = "datetime,machineID,volt\n" + "".join(f"{time},{machine},{volt}\n" for time, machine, volt in ROWS)


def run(pdm: Pdm, logs: Path, *words: object) -> Outcome:
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == 0, outcome.stderr
    return outcome


def table(logs: Path, name: str = "telemetry") -> pd.DataFrame:
    return pd.read_parquet(logs.parent / "raw" / f"{name}.parquet")


def put(logs: Path, name: str, content: str | bytes) -> Path:
    path = logs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def put_sheet(logs: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["datetime", "machineID", "volt"])
    for time, machine, volt in ROWS:
        sheet.append([pd.Timestamp(time).to_pydatetime(), int(machine), volt])
    book.save(logs / "telemetry.xlsx")


def put_json(logs: Path) -> None:
    rows = [{"datetime": time, "machineID": int(machine), "volt": volt} for time, machine, volt in ROWS]
    put(logs, "telemetry.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def put_packed_json(logs: Path) -> None:
    put_json(logs)
    lines = logs / "telemetry.jsonl"
    with zipfile.ZipFile(logs / "telemetry.jsonl.zip", "w") as packed:
        packed.write(lines, "export.jsonl")
    lines.unlink()


def put_parquet(logs: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["datetime", "machineID", "volt"])
    frame.assign(datetime=pd.to_datetime(frame["datetime"])).to_parquet(logs / "telemetry.parquet", index=False)


def put_zip(logs: Path) -> None:
    with zipfile.ZipFile(logs / "telemetry.zip", "w") as packed:
        packed.writestr("export.csv", WIDE)


def put_hive(logs: Path) -> None:
    for machine in "12":
        rows = "".join(f"{time},{volt}\n" for time, own, volt in ROWS if own == machine)
        put(logs, f"telemetry/machineID={machine}/part-0.csv", f"datetime,volt\n{rows}")


FORMS: dict[str, Any] = {
    "workbook": (put_sheet, ()),
    "JSON lines": (put_json, ()),
    "JSON lines in a zip": (put_packed_json, ()),
    "Parquet": (put_parquet, ()),
    "zip": (put_zip, ()),
    "hive folders": (put_hive, ()),
    "any name": (lambda logs: put(logs, "export 2015.csv.gz", gzip.compress(WIDE.encode())), ()),
    "named files": (
        lambda logs: (put(logs, "a/x.txt", WIDE), put(logs, "other.csv", "q\n1\n")),
        ("--files", "telemetry=a/*.txt"),
    ),
    "no header": (
        lambda logs: put(logs, "telemetry.csv", WIDE.partition("\n")[2]),
        ("--names", "datetime,machineID,volt"),
    ),
    "columns of other names": (
        lambda logs: put(logs, "telemetry.csv", WIDE.replace("datetime,machineID,volt", "Zeit,Pumpe,U")),
        (
            "--columns",
            "telemetry.datetime=Zeit",
            "--columns",
            "telemetry.machineID=Pumpe",
            "--columns",
            "telemetry.volt=U",
        ),
    ),
    "long, machine in the tag": (
        lambda logs: put(logs, "x.csv", "Tag;T;V\n" + "".join(f"{m}.volt;{t};{v}\n" for t, m, v in ROWS)),
        ("--long", "Tag", "V", "--tags", "{machine}.{sensor}", "--columns", "telemetry.datetime=T"),
    ),
    "long, machine in a column": (
        lambda logs: put(
            logs, "telemetry.csv", "datetime,machineID,tag,value\n" + "".join(f"{t},{m},volt,{v}\n" for t, m, v in ROWS)
        ),
        ("--long", "tag", "value"),
    ),
    "epoch seconds": (
        lambda logs: put(
            logs,
            "telemetry.csv",
            "datetime,machineID,volt\n" + "".join(f"{pd.Timestamp(t).timestamp():.2f},{m},{v}\n" for t, m, v in ROWS),
        ),
        (),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_import_of_each_form_gives_the_same_table(form: str, logs: Path, pdm: Pdm) -> None:
    write, words = FORMS[form]
    write(logs)
    run(pdm, logs, *words)
    found = table(logs)
    found["datetime"] = pd.to_datetime(found["datetime"], utc=True).dt.tz_localize(None)
    found = found[["datetime", "machineID", "volt"]].sort_values(["machineID", "datetime"]).reset_index(drop=True)
    expected = pd.DataFrame(ROWS, columns=["datetime", "machineID", "volt"])
    expected = expected.assign(
        datetime=pd.to_datetime(expected["datetime"]), machineID=expected["machineID"].astype(int)
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_import_of_one_file_per_machine_names_it_after_the_file(logs: Path, pdm: Pdm) -> None:
    for name in ("P-101", "P-102"):
        put(logs, f"{name}.csv", "datetime,volt\n2015-01-13 07:00,5\n")
    outcome = run(pdm, logs, "--machine-from-file", "{machine}.csv")
    assert "read as telemetry: P-101.csv, P-102.csv" in outcome.stderr
    assert table(logs)["machineID"].tolist() == ["P-101", "P-102"]
    bad = pdm("import", logs, "--out", logs.parent / "other", "--machine-from-file", "pump {machine}.csv")
    assert_clear(bad, 4, "P-101.csv: does not fit pump {machine}.csv", "--machine-from-file")


@pytest.mark.parametrize("kind", ["wide", "long"])
def test_import_keeps_columns_whose_names_differ_in_case_apart(kind: str, logs: Path, pdm: Pdm) -> None:
    wide = "datetime,machineID,temp,Temp,a AS b\n2015-01-13 07:00,1,5,6,7\n"
    names = ("temp", "Temp", "a AS b")
    long = "".join(f"2015-01-13 07:00,1,{name},{value}\n" for value, name in enumerate(names, 5))
    put(logs, "telemetry.csv", wide if kind == "wide" else f"datetime,machineID,tag,value\n{long}")
    run(pdm, logs, *(() if kind == "wide" else ("--long", "tag", "value")))
    assert table(logs)[list(names)].to_numpy().tolist() == [[5, 6, 7]]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_import_of_names_with_signs_of_patterns_reads_these_files(ending: str, logs: Path, pdm: Pdm) -> None:
    names = ("log[1]", "log1", "log*", "logx", "log?")
    for machine, name in enumerate(names):
        frame = pd.DataFrame({"datetime": [START], "machineID": [machine], "volt": [5.0]})
        (logs / "telemetry").mkdir(exist_ok=True)
        path = logs / "telemetry" / f"{name}.{ending}"
        if ending == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    run(pdm, logs)
    assert sorted(table(logs)["machineID"]) == list(range(len(names)))


def test_import_takes_the_file_of_that_name_before_a_pattern(logs: Path, pdm: Pdm) -> None:
    for machine, name in enumerate(("export [2].csv", "export 2.csv")):
        put(logs, name, f"datetime,machineID,volt\n2015-01-13 07:00,{machine},5\n")
    run(pdm, logs, "--files", "telemetry=export [2].csv")
    assert table(logs)["machineID"].tolist() == [0]


def test_import_of_two_digits_for_a_year_of_four_is_rejected(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,machineID,volt\n13.01.24 07:00,1,5\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--date-format", "%d.%m.%Y %H:%M")
    assert_clear(outcome, 4, "'13.01.24 07:00' does not match the format", "two digits of a year are %y")


@pytest.mark.parametrize(
    ("write", "form"), [(put_sheet, "Excel workbook, sheet Sheet"), (put_json, "JSON lines"), (put_parquet, "Parquet")]
)
def test_import_shows_the_format_of_files_that_are_not_text(
    write: Callable[[Path], None], form: str, logs: Path, pdm: Pdm
) -> None:
    write(logs)
    outcome = run(pdm, logs)
    assert form in outcome.stdout
    assert "text separated by" not in outcome.stdout


def test_import_names_the_format_of_a_year_of_four_digits(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,machineID,volt\n2024-01-20 07:00,1,5\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--date-format", "%d.%m.%Y")
    assert_clear(outcome, 4, "does not match the format %d.%m.%Y", "'2024-01-20 07:00' looks like %Y-%m-%d %H:%M")


def test_import_with_another_separator_than_the_text_has_is_rejected(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,machineID,volt\n2024-01-20 07:00,1,5\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--separator", ";")
    assert_clear(outcome, 4, "no column 'datetime'", "the text seems to be separated by ',': drop --separator")


def test_import_of_a_title_above_the_header_names_the_line_of_the_header(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "# Export 1\nSite: A\n\ndatetime,machineID,volt\n2024-01-20,1,5\n2024-01-21,1,6\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert_clear(outcome, 4, "no column 'datetime'", "the header seems to be in line 4; delete the lines above it")


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ("oops\n2", "column volt: 'oops' is not a number, and there is no other sensor", "--na-values"),
        ("1.234,5\n1.234,6", "column volt: '1.234,5' is not a number", "without thousands separators"),
        ("Bonn\nUlm", "no column of numbers", "at least one sensor"),
    ],
)
def test_import_of_telemetry_without_a_sensor_is_rejected(
    values: str, message: str, hint: str, logs: Path, pdm: Pdm
) -> None:
    rows = "".join(f"2015-01-1{day};1;{value}\n" for day, value in enumerate(values.splitlines()))
    put(logs, "telemetry.csv", f"datetime;machineID;volt\n{rows}")
    assert_clear(pdm("import", logs, "--out", logs.parent / "raw", "--decimal", ","), 4, message, hint)


def test_import_of_work_orders_without_a_failure_is_rejected(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", WIDE)
    put(logs, "failures.csv", "datetime,machineID,failure,typ\n2015-01-13 08:00,1,pump,M1\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--failures-where", "typ = M9*")
    assert_clear(outcome, 4, "failures.csv: no row matches --failures-where 'typ = M9*'", "the value and its case")


def test_import_prints_column_names_as_the_config_takes_them(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", WIDE)
    assert 'sensors = ["volt"]' in run(pdm, logs, "--sensors", "volt").stderr


@pytest.mark.parametrize("named", ["volt", "volt [V]"])
def test_import_of_sensors_leaves_out_other_columns(named: str, logs: Path, pdm: Pdm) -> None:
    rows = "".join(f"2015-01-13 0{hour}:00,1,{hour},,{'oops' if hour == 5 else hour},early\n" for hour in range(9))
    put(logs, "telemetry.csv", "datetime,machineID,volt [V],empty,temp,shift\n" + rows)
    outcome = run(pdm, logs, "--sensors", named)
    assert list(table(logs)) == ["datetime", "machineID", "volt"]
    assert "warning" not in outcome.stderr


def test_import_names_a_sensor_with_thousands_separators(logs: Path, pdm: Pdm) -> None:
    rows = "".join(f"2015-01-13 0{hour}:00;1;1.01{hour},50;47,2{hour}\n" for hour in range(9))
    put(logs, "telemetry.csv", "datetime;machineID;volt;temp\n" + rows)
    outcome = run(pdm, logs, "--decimal", ",")
    text = "volt is text, not a sensor: '1.010,50' (telemetry.csv line 2) has thousands separators"
    assert f"warning: telemetry.csv: {text}; export numbers without thousands separators" in outcome.stderr
    assert "volt is text, not a sensor" in outcome.stdout


def test_import_follows_links_and_names_broken_ones(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    put(tmp_path / "archive", "machineID=2/a.csv", "datetime,volt\n2015-01-13 07:00,5\n")
    put(logs, "telemetry/machineID=1/b.csv", "datetime,volt\n2015-01-13 07:00,5\n")
    (logs / "telemetry" / "older").symlink_to(tmp_path / "archive")
    run(pdm, logs)
    assert sorted(table(logs)["machineID"]) == [1, 2]
    (logs / "telemetry" / "gone.csv").symlink_to(tmp_path / "nothing.csv")
    bad = pdm("import", logs, "--out", logs.parent / "other")
    assert_clear(bad, 4, "gone.csv: cannot follow the link", "delete the link")


@pytest.mark.parametrize("words", [(), ("--machine-from-file", "{machine}.csv.gz")])
def test_import_of_many_packed_files_needs_little_memory(words: tuple[str, ...], logs: Path, pdm: Pdm) -> None:
    for number in range(40):
        content = WIDE.replace("machineID", "channel") if words else WIDE
        put(logs, f"day{number}.csv.gz", gzip.compress(content.encode()))
    run(pdm, logs, *words)
    assert len(table(logs)) == 120


def test_import_of_one_machine_takes_its_name(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,volt\n2015-01-13 07:00,5\n")
    run(pdm, logs, "--machine", "press 1")
    assert table(logs)["machineID"].tolist() == ["press 1"]


def test_import_of_long_logs_reads_tags_from_a_mapping(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    mapping = tmp_path / "tags.csv"
    mapping.write_text("tag,machine,sensor\nTT-1,P-1,temp\nPT-1,P-1,pressure\n", encoding="utf-8")
    readings = [("TT-1", "07", "20,5"), ("PT-1", "07", "Bad Input"), ("PT-1", "08", "3,5"), ("XX", "07", "1")]
    rows = "".join(f"{tag};13.01.2015 {hour}:00;{value}\n" for tag, hour, value in readings)
    put(logs, "telemetry.csv", "Tag;Timestamp;Value\n" + rows)
    words = ("--long", "Tag", "Value", "--decimal", ",", "--columns", "telemetry.datetime=Timestamp")
    outcome = run(pdm, logs, *words, "--tags", mapping)
    assert "tags left out, as they do not match --tags: XX" in outcome.stderr
    found = table(logs)
    assert found["temp"].tolist()[:1] == [20.5]
    assert found["pressure"].isna().tolist() == [True, False]
    bad = pdm("import", logs, "--out", logs.parent / "other", *words, "--tags", "{machine}/{sensor}")
    assert_clear(bad, 4, "no tag fits {machine}/{sensor}, such as 'PT-1', 'TT-1', 'XX'", "--tags")


def test_import_of_long_logs_locates_a_wrong_value(logs: Path, pdm: Pdm) -> None:
    rows = "".join(f"2015-01-13 0{hour}:00,1,volt,{hour}\n" for hour in range(5))
    put(logs, "telemetry.csv", f"datetime,machineID,tag,value\n{rows}2015-01-13 07:00,1,volt,oops\n")
    bad = pdm("import", logs, "--out", logs.parent / "raw", "--long", "tag", "value")
    assert_clear(bad, 4, "telemetry.csv: line 7, column volt: 'oops' is not a number", "--na-values")


def test_import_of_long_logs_reports_readings_of_one_time(logs: Path, pdm: Pdm) -> None:
    row = "2015-01-13 07:00,1,volt,{}\n"
    put(logs, "telemetry.csv", "datetime,machineID,tag,value\n" + "".join(map(row.format, (5, 7, 6))))
    outcome = run(pdm, logs, "--long", "tag", "value")
    assert "2 readings with the same tag and time as another; the largest is kept" in outcome.stderr
    assert table(logs)["volt"].tolist() == [7]


def test_import_lists_of_tags_and_words_may_have_semicolons(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    mapping, words = tmp_path / "tags.csv", tmp_path / "words.csv"
    mapping.write_text("tag;machine;sensor\nTT-1;1;temp\n", encoding="utf-8")
    words.write_text("word;component\nleak;SEAL\n", encoding="utf-8")
    put(logs, "telemetry.csv", "Tag,datetime,Value\nTT-1,2015-01-13 07:00,20.5\n")
    put(logs, "failures.csv", "machineID,datetime,failure\n1,2015-01-13 07:00,Leak at pump\n")
    run(pdm, logs, "--long", "Tag", "Value", "--tags", mapping, "--component-words", words)
    assert list(table(logs)) == ["datetime", "machineID", "temp"]
    assert table(logs, "failures")["failure"].tolist() == ["SEAL"]


def test_import_of_cycles_ends_with_a_failure(logs: Path, pdm: Pdm) -> None:
    rows = "".join(f"{unit} {cycle} {cycle / 2}  \n" for unit in (1, 2, 3) for cycle in range(1, unit + 3))
    put(logs, "train_FD001.txt", rows)
    words = (
        "--names",
        "unit,cycle,s1",
        "--columns",
        "telemetry.machineID=unit",
        "--columns",
        "telemetry.datetime=cycle",
    )
    outcome = run(pdm, logs, *words, "--cycles", "2h", "--end-is-failure", "engine", "--except", "3")
    assert "times are cycles" in outcome.stdout
    assert table(logs)["datetime"].iloc[0] == pd.Timestamp("2000-01-01 02:00")
    failures = table(logs, "failures").sort_values("machineID")
    assert failures["machineID"].tolist() == [1, 2]
    assert failures["failure"].tolist() == ["engine", "engine"]
    assert failures["datetime"].tolist() == [pd.Timestamp("2000-01-01 06:00"), pd.Timestamp("2000-01-01 08:00")]
    run(pdm, logs, *words, "--cycles", "2h", "--end-is-failure", "engine", "--except", "*", "--overwrite")
    assert list(table(logs, "failures")) == ["datetime", "machineID", "failure"]
    assert table(logs, "failures").empty


def test_import_of_a_failure_flag_takes_the_first_row_of_each_failure(logs: Path, pdm: Pdm) -> None:
    flags = [0, 1, 1, 0, 1]
    rows = "".join(f"2015-01-13 0{hour}:00,1,{hour},{flag}\n" for hour, flag in enumerate(flags))
    put(logs, "telemetry.csv", "datetime,machineID,volt,pump\n" + rows)
    run(pdm, logs, "--failure-flag", "pump")
    assert "pump" not in table(logs)
    failures = table(logs, "failures")
    assert failures["datetime"].dt.hour.tolist() == [1, 4]
    assert failures["failure"].tolist() == ["pump", "pump"]
    put(logs, "telemetry.csv", "datetime,machineID,volt,pump\n" + rows.replace(",1\n", ",2\n"))
    bad = pdm("import", logs, "--out", logs.parent / "other", "--failure-flag", "pump")
    assert_clear(bad, 4, "telemetry.csv: line 3, column pump: '2' is neither 0 nor 1", "--status")


def test_import_of_states_makes_failures_and_errors(logs: Path, pdm: Pdm) -> None:
    states = ["NORMAL", "BROKEN", "BROKEN", "RECOVERING", "NORMAL", "NORMAL", "NORMAL"]
    rows = "".join(f"2015-01-13 0{hour}:00,1,{hour},{state}\n" for hour, state in enumerate(states))
    put(logs, "telemetry.csv", "datetime,machineID,volt,state\n" + rows)
    run(pdm, logs, "--status", "state", "--failed", "BROKEN")
    assert list(table(logs)) == ["datetime", "machineID", "volt"]
    assert table(logs, "failures")[["failure"]].assign(
        hour=table(logs, "failures")["datetime"].dt.hour
    ).values.tolist() == [["BROKEN", 1]]
    assert table(logs, "errors")["errorID"].tolist() == ["RECOVERING"]
    bad = pdm("import", logs, "--out", logs.parent / "other", "--status", "state", "--failed", "broken")
    assert_clear(bad, 4, "column state: ", "'BROKEN'")


@pytest.mark.parametrize(("state", "is_similar"), [("Broken", True), ("BROEKN", True), ("RECOVERING", False)])
def test_import_of_states_warns_of_one_like_a_failure(state: str, is_similar: bool, logs: Path, pdm: Pdm) -> None:
    states = ["NORMAL", "BROKEN", "NORMAL", "BROKEN", "NORMAL", state]
    rows = "".join(f"2015-01-13 0{hour}:00,1,{hour},{name}\n" for hour, name in enumerate(states))
    put(logs, "telemetry.csv", "datetime,machineID,volt,state\n" + rows)
    outcome = run(pdm, logs, "--status", "state", "--failed", "BROKEN")
    warning = f"state {state!r} is not a failure, though it resembles 'BROKEN'; add --failed {state}"
    assert (warning in outcome.stderr) == is_similar


def test_import_of_words_of_several_components_takes_the_first_and_warns(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    put(logs, "telemetry.csv", WIDE)
    put(
        logs,
        "failures.csv",
        "machineID,datetime,failure\n1,2015-01-13 07:00,pump seal leaks\n1,2015-01-13 08:00,PUMP stuck\n",
    )
    words = tmp_path / "words.csv"
    words.write_text("word,component\nseal,SEAL\npump,PUMP\nstuck,PUMP\n", encoding="utf-8")
    outcome = run(pdm, logs, "--component-words", words)
    assert "1 of 2 failures has words of several components" in outcome.stderr
    assert table(logs, "failures")["failure"].tolist() == ["SEAL", "PUMP"]


def test_import_of_own_words_for_missing_values_keeps_those_of_historians(logs: Path, pdm: Pdm) -> None:
    put(
        logs,
        "telemetry.csv",
        "datetime,machineID,volt\n2015-01-13 07:00,1,Bad Input\n2015-01-13 08:00,1,Defekt\n2015-01-13 09:00,1,5\n",
    )
    run(pdm, logs, "--na-values", "Defekt")
    assert table(logs)["volt"].isna().tolist() == [True, True, False]


def test_import_of_work_orders_filters_rows_and_finds_components_by_words(logs: Path, pdm: Pdm, tmp_path: Path) -> None:
    put(logs, "telemetry.csv", WIDE)
    put(
        logs,
        "orders.csv",
        "Art;Platz;Beginn;Text\n"
        "M2 breakdown;1;13.01.2015 07:30;GLRD undicht\n"
        "M1 preventive;1;14.01.2015 07:30;Wartung\n"
        "M2 breakdown;2;15.01.2015 07:30;Lager defekt\n",
    )
    words = tmp_path / "words.csv"
    words.write_text("word,component\nglrd,SEAL\nlager,BEARING\n", encoding="utf-8")
    columns = {"machineID": "Platz", "datetime": "Beginn", "failure": "Text"}
    named = [part for name, column in columns.items() for part in ("--columns", f"failures.{name}={column}")]
    outcome = run(
        pdm, logs, "--files", "failures=orders.csv", *named, "--failures-where", "Art = M2*", "--component-words", words
    )
    assert "have none of the words" not in outcome.stderr
    words.write_text("word,component\nglrd,SEAL\n", encoding="utf-8")
    outcome = run(
        *(pdm, logs, "--overwrite", "--files", "failures=orders.csv", *named),
        *("--failures-where", "Art = M2*", "--component-words", words),
    )
    assert "1 of 2 failures has none of the words in --component-words: component other" in outcome.stderr
    assert table(logs, "failures")["failure"].tolist() == ["SEAL", "other"]
    words.write_text("word,component\nglrd,SEAL\nlager,BEARING\n", encoding="utf-8")
    run(
        *(pdm, logs, "--overwrite", "--files", "failures=orders.csv", *named),
        *("--failures-where", "Art = M2*", "--component-words", words),
    )
    failures = table(logs, "failures")
    assert failures["failure"].tolist() == ["SEAL", "BEARING"]
    assert failures["datetime"].dt.day.tolist() == [13, 15]


def test_import_of_long_logs_without_the_option_asks_for_it(logs: Path, pdm: Pdm) -> None:
    rows = "".join(f"2015-01-13 07:00,1,{tag},5\n" for tag in "abc")
    put(logs, "telemetry.csv", "datetime,machineID,tag,value\n" + rows)
    assert "2 of 3 rows have the machine and time of another row" in run(pdm, logs).stderr


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (
            "Timestamp,Pumpe,v\n",
            "no column 'datetime', only Timestamp, Pumpe, v",
            "--columns telemetry.datetime=Timestamp",
        ),
        (
            "datetime,Technischer Platz,v\n",
            "no column 'machineID'",
            "--columns telemetry.machineID='Technischer Platz'",
        ),
        ("bar,foo,volt,temp\n" + UNNAMED, "no column 'datetime'", "hint: --columns telemetry.datetime=bar"),
        (
            "datetime,foo,volt,temp\n" + UNNAMED,
            "no column 'machineID'",
            "hint: --columns telemetry.machineID=foo, or --machine NAME if there is only one",
        ),
        (
            "bar,foo,volt,temp\n7,a,2,1\n",
            "no column 'datetime'",
            "hint: --columns telemetry.datetime=COLUMN, one of bar, foo, volt, temp; --guide proposes the options",
        ),
        (
            "a,b,volt,temp\n2015-01-13,2015-01-14,2,1\n",
            "no column 'datetime'",
            "hint: --columns telemetry.datetime=COLUMN, one of a, b, volt, temp; --guide proposes the options",
        ),
        (
            "datetime,rpm,volt\n2015-01-13,100,2\n2015-01-14,100,3\n",
            "no column 'machineID'",
            "hint: --columns telemetry.machineID=COLUMN, one of rpm, volt, or --machine NAME if there is only one; "
            "--guide proposes the options",
        ),
        ("1,2.5,3\n", "no column 'datetime'", "no header? name the columns with --names"),
        ("1,1,3\n", "duplicate column '1'", "no header? name the columns with --names"),
        ("datetime,machineID,v\n1,1,2\n", "'1' is not in a known date format", "--cycles 1h"),
    ],
)
def test_import_names_the_option_that_solves_an_error(
    content: str, message: str, hint: str, logs: Path, pdm: Pdm
) -> None:
    put(logs, "telemetry.csv", content + "2015-01-13,1,2\n" * (content.count("\n") == 1))
    assert_clear(pdm("import", logs, "--out", logs.parent / "raw"), 4, message, hint)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tags", "{sensor}"), "--tags: has no effect without --long"),
        (("--long", "a", "b", "--tags", "{machine}"), "has no {sensor}"),
        (("--failed", "x"), "--failed: has no effect alone"),
        (("--status", "x"), "--status: has no effect alone"),
        (("--except", "1"), "--except: has no effect without --end-is-failure"),
        (("--cycles", "soon"), "--cycles: 'soon' is not a duration such as 10s, 15min, 3h or 1d"),
        (("--cycles", "5"), "--cycles: '5' is not a duration"),
        (("--columns", "datetime=x"), "expected TABLE.FIELD=COLUMN"),
        (("--files", "telemetry"), "expected TABLE=PATTERN"),
        (("--failures-where", "M2"), "expected COLUMN = VALUE"),
        (("--names", "a,a"), "'a' is given twice"),
        (("--machine-from-file", "x.csv"), "has no {machine}"),
        (("--machine", "x", "--machine-from-file", "{machine}.csv"), "cannot be combined"),
        (("--failure-flag", "x", "--end-is-failure", "y"), "cannot be combined"),
        (("--failures-where", "x = y"), "--failures-where: has no effect without a table of failures"),
        (("--long", "v", "v"), "tags and values are in one column"),
        (("--columns", "telemetry.volt=a", "--columns", "telemetry.volt=b"), "telemetry.volt is given twice"),
        (("--day-first", "--date-format", "%d.%m.%Y"), "--day-first: has no effect with --date-format"),
        (("--guide", "--long", "a", "b"), "--guide and --long cannot be combined"),
        (("--component-words", "nofile.csv"), "--component-words nofile.csv: No such file or directory"),
    ],
)
def test_import_options_that_cannot_be_are_usage_errors(
    words: tuple[str, ...], message: str, logs: Path, pdm: Pdm
) -> None:
    put(logs, "telemetry.csv", WIDE)
    assert_clear(pdm("import", logs, "--out", logs.parent / "raw", *words), 2, message, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--columns", "telemetry.volt=U"), "telemetry.csv: no column 'U'"),
        (("--failure-flag", "flag"), "telemetry.csv: no column 'flag'"),
        (("--files", "telemetry=nope*.csv"), "no file nope*.csv"),
        (("--end-is-failure", "pump", "--except", "9"), "--except 9: no such machine"),
        (("--long", "tag", "value"), "telemetry.csv: no column 'tag'"),
        (("--machine", "x"), "telemetry.csv: the column 'machineID' conflicts with --machine"),
        (("--machine-from-file", "{machine}.csv"), "the column 'machineID' conflicts with --machine-from-file"),
        (("--cycles", "1h"), "column datetime: '2015-01-13 07:00:00' is not a number of cycles"),
    ],
)
def test_import_options_that_fit_no_file_are_data_errors(
    words: tuple[str, ...], message: str, logs: Path, pdm: Pdm
) -> None:
    put(logs, "telemetry.csv", WIDE)
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *words)
    assert outcome.code == 4, outcome.stderr
    assert message in outcome.stderr
    assert not (logs.parent / "raw").exists()


def test_import_guide_prints_a_command_that_runs(logs: Path, pdm: Pdm) -> None:
    put(logs, "export.csv", "Time;Asset;v;failed\n2015-01-13 07:00;1;5;0\n2015-01-13 08:00;1;5;1\n")
    outcome = pdm("import", "--guide", logs)
    assert outcome.code == 2
    words = shlex.split(outcome.stdout.splitlines()[0])
    assert words[:5] == ["pdm", "import", str(logs), "--out", "raw"]
    assert outcome.stderr == ""
    run(pdm, logs, *words[5:])
    assert len(table(logs, "failures")) == 1


def test_import_guide_asks_what_it_cannot_decide(logs: Path, pdm: Pdm) -> None:
    put(logs, "export.csv", "Time;v\n2015-01-13 07:00;5\n")
    outcome = pdm("import", "--guide", logs, "--json")
    assert outcome.code == 2
    assert outcome.json["schema"] == "pdm.import-guide/1"
    assert [question.partition("?")[0] for question in outcome.json["questions"]] == [
        "is the log about one machine only",
        "where are the failures",
    ]


@pytest.mark.parametrize("shape", ["wide", "long"])
def test_import_names_numbers_that_may_mean_a_missing_value(shape: str, logs: Path, pdm: Pdm) -> None:
    hours = pd.date_range(START, periods=60, freq="h")
    press = ["I/O Timeout" if n == 5 else "-999.0" if n % 20 == 3 else f"{4.2 + n / 50:.2f}" for n in range(60)]
    words: tuple[str, ...] = ()
    rows = "".join(f"{hour},1,{value}\n" for hour, value in zip(hours, press, strict=True))
    header = "datetime,machineID,press\n"
    if shape == "long":
        rows, header, words = (
            rows.replace(",1,", ",1,press,"),
            "datetime,machineID,tag,value\n",
            ("--long", "tag", "value"),
        )
    put(logs, "telemetry.csv", header + rows)
    outcome = run(pdm, logs, *words)
    warning = "telemetry.csv: press is -999 in 3 readings, far from its other values (4.2 to 5.38): a missing value? "
    assert f"warning: {warning}remove with --na-values=-999" in outcome.stderr
    assert (table(logs)["press"] == -999).sum() == 3
    outcome = run(pdm, logs, *words, "--na-values=-999", "--overwrite")
    assert "warning" not in outcome.stderr
    assert table(logs)["press"].isna().sum() == 4


@pytest.mark.parametrize(
    "tags", [[f'"1,49{number}.99"' for number in range(3)], [str(number) for number in range(101)]]
)
def test_import_of_readings_as_tags_is_rejected(tags: list[str], logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,machineID,volt,amp\n" + "".join(f"2024-01-20,1,{tag},5\n" for tag in tags))
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--long", "volt", "amp")
    first = tags[0].replace('"', "")
    message = f"column volt of --long: {len(tags)} of {len(tags)} tags are numbers, such as '{first}', not names"
    assert_clear(outcome, 4, message, "drop --long if each sensor has its own column")
    run(pdm, logs, "--long", "volt", "amp", "--tags", "{sensor}")


def test_import_takes_integers_as_tags(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,machineID,tag,value\n2024-01-20,1,7,5\n2024-01-20,1,8,6\n")
    run(pdm, logs, "--long", "tag", "value")
    assert list(table(logs).columns) == ["datetime", "machineID", "7", "8"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("Tag", "Wert"), "did you mean 'Value'?"),
        (("Tagg", "Vallue"), "did you mean 'Tag'?"),
        (("x", "y"), "--long names two of Tag, Value"),
    ],
)
def test_import_with_a_misspelled_column_of_long_proposes_another(
    words: tuple[str, str], hint: str, logs: Path, pdm: Pdm
) -> None:
    # The decimal comma is no separator, so the header is in the first line.
    put(logs, "telemetry.csv", "Tag;datetime;Value\n" + "p1.volt;2024-01-20 07:00;1,5\n" * 3)
    outcome = pdm("import", logs, "--out", logs.parent / "raw", "--decimal", ",", "--long", *words)
    missing = next(word for word in words if word != "Tag")
    assert_clear(outcome, 4, f"no column '{missing}', only Tag, datetime, Value", f"hint: {hint}")


def test_import_of_failures_without_a_component_asks_to_add_it(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", WIDE)
    put(logs, "failures.csv", "datetime,machineID\n2015-01-13 08:00:00,1\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert_clear(outcome, 4, "failures.csv: no column 'failure'", "add a column 'failure'")


@pytest.mark.parametrize("options", [(), ("--columns", "telemetry.datetime=Zeit")])
def test_import_of_a_file_of_another_table_proposes_its_table(options: tuple[str, ...], logs: Path, pdm: Pdm) -> None:
    put(logs, "Messwerte.csv", WIDE.replace("datetime", "Zeit"))
    put(logs, "Auftraege.csv", "Auftrag,Anlage,Beginn,Bauteil\n1,1,2015-01-13 08:00,Lager\n")
    outcome = pdm("import", logs, "--out", logs.parent / "raw", *options)
    hint = "Auftraege.csv may be another table, such as --files failures=Auftraege.csv; --guide proposes the options"
    assert_clear(outcome, 4, "Auftraege.csv: no column", hint)


def test_import_of_parts_with_columns_in_another_case_proposes_no_other_table(logs: Path, pdm: Pdm) -> None:
    put(logs, "a.csv", WIDE)
    put(logs, "b.csv", WIDE.replace("volt", "Volt"))
    outcome = pdm("import", logs, "--out", logs.parent / "raw")
    assert_clear(outcome, 4, "a.csv: no column 'Volt'", "use the same columns in all parts of a table")


@pytest.mark.parametrize(
    ("name", "hint"), [("vollt", "did you mean 'volt'?"), ("machine", "--sensors lists some of volt")]
)
def test_misspelled_sensor_proposes_sensors_only(name: str, hint: str, logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", WIDE)
    raw = logs.parent / "raw"
    assert_clear(pdm("import", logs, "--out", raw, "--sensors", name), 4, f"no column '{name}'", hint)
    run(pdm, logs)
    outcome = pdm("preprocess", "--data", raw, "--out", logs.parent / "prepared", "--sensors", name)
    assert_clear(outcome, 4, f"no column '{name}'", hint)


def test_summary_counts_the_rows_that_failures_where_leaves_out(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", WIDE)
    orders = "".join(f"2015-01-13 08:00:00,1,{component},{kind}\n" for component, kind in ("aX", "bY", "cY"))
    put(logs, "failures.csv", "datetime,machineID,failure,type\n" + orders)
    outcome = run(pdm, logs, "--failures-where", "type = X")
    assert "failures: 2 rows left out by --failures-where" in outcome.stdout
    summary = json.loads((logs.parent / "raw" / "import.json").read_text())
    assert (summary["tables"]["failures"]["rows"], summary["tables"]["failures"]["left_out"]) == (1, 2)
    assert "left_out" not in summary["tables"]["telemetry"]


def test_import_does_not_list_files_of_options_among_those_skipped(logs: Path, pdm: Pdm) -> None:
    tags = put(logs, "tags.csv", "tag,machine,sensor\nA1,P1,temp\nA2,P2,temp\n")
    put(logs, "history.csv", "datetime,tag,value\n2015-01-13 07:00,A1,5\n2015-01-13 07:00,A2,6\n")
    put(logs, "failures.csv", "datetime,machineID,failure\n2015-01-13 07:00,P1,hot bearing\n")
    words = put(logs, "words.csv", "word,component\nbearing,BEARING\n")
    outcome = run(pdm, logs, "--long", "tag", "value", "--tags", tags, "--component-words", words)
    assert "skipped" not in outcome.stderr
    assert "import: read as telemetry: history.csv\n" in outcome.stderr
    assert table(logs, "failures")["failure"].tolist() == ["BEARING"]
    assert (
        "skipped, not files of a table: words.csv"
        in run(
            pdm, logs, "--overwrite", "--long", "tag", "value", "--tags", tags, "--files", "telemetry=history.csv"
        ).stderr
    )


def test_import_of_work_orders_takes_brackets_and_question_marks_as_they_are(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", WIDE)
    orders = "".join(f"2015-01-13 07:00,1,motor,{text}\n" for text in ("Motor [A] broke?", "Motor A broke"))
    put(logs, "failures.csv", f"datetime,machineID,failure,text\n{orders}")
    run(pdm, logs, "--failures-where", "text = Motor [A]*?")
    assert len(pd.read_parquet(logs.parent / "raw/failures.parquet")) == 1


def test_import_of_tags_with_spaces_names_machines_without(logs: Path, pdm: Pdm) -> None:
    put(logs, "telemetry.csv", "datetime,tag,value\n2015-01-13 07:00,10 | volt,1\n2015-01-13 07:00,2|volt,2\n")
    run(pdm, logs, "--long", "tag", "value", "--tags", "{machine}|{sensor}")
    assert pd.read_parquet(logs.parent / "raw/telemetry.parquet")["machineID"].tolist() == [2, 10]


def test_import_guide_with_words_and_given_files_prints_a_command_that_runs(logs: Path, pdm: Pdm) -> None:
    put(logs, "historian.csv", "Zeit;Anlage;v\n2015-01-13 07:00;P1;5\n2015-01-13 08:00;P1;6\n")
    put(logs, "auftraege.csv", "Beginn;Anlage;Text\n2015-01-13 08:00;P1;Lager heiss\n")
    put(logs, "words.csv", "word;component\nlager;bearing\n")
    put(logs, "other.csv", "a;b\n5;6\n")
    given = ("--files", "telemetry=hist*", "--files", "failures=auftr*")
    outcome = pdm("import", "--guide", logs, *given)
    assert outcome.code == 2
    words = shlex.split(outcome.stdout.splitlines()[0])
    assert words[5:9] == [*given]
    assert words[-2:] == ["--component-words", str(logs / "words.csv")]
    assert "skipped, not files of a table: other.csv\n" in run(pdm, logs, *words[5:]).stderr
    assert table(logs, "failures")["failure"].tolist() == ["bearing"]
