"""``pdm import --append``: rows are appended to the existing raw tables, or rejected."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pdm_cli.io import manifest, output_folder
from pdm_cli.pipeline import import_logs
from tests.cli.conftest import Outcome, Pdm
from tests.cli.csv_logs import HEAD, ROWS, read, telemetry, write


def test_a_later_log_has_machines_as_the_tables_that_are_there(logs: Path, pdm: Pdm) -> None:
    write(logs, telemetry=HEAD + "2015-01-03,M1,1\n2015-01-03,2,2\n", errors="datetime,machineID,errorID\n")
    assert append(pdm, logs).code == 0
    (logs / "telemetry.csv").unlink()
    assert append(pdm, write(logs, errors="datetime,machineID,errorID\n2015-01-03T00:00Z,2,e\n")).code == 0
    errors = pd.read_parquet(logs.parent / "raw/errors.parquet")
    assert errors["machineID"].tolist() == ["2"]
    assert str(errors["datetime"].dt.tz) == "UTC"


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
    conflict = "99.0 for datetime 2015-01-13 07:00:00, machineID 1, but 170.5 in telemetry.parquet"
    assert f"telemetry.csv: line 3, column volt: {conflict}" in outcome.stderr
    assert "--on-overlap new or old" in outcome.stderr
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
    assert append(pdm, logs, "--on-overlap", kept).code == 0
    pd.testing.assert_series_equal(telemetry(raw)["volt"], pd.Series(volts, name="volt", dtype=float))


def test_a_long_reading_with_another_value_is_named_by_its_line(logs: Path, pdm: Pdm) -> None:
    long = ("--long", "tag", "value", "--tags", "{machine}.{sensor}")
    rows = [f"{hour}.1.2015 00:00,{machine}.volt,{hour}\n" for machine in (2, 1) for hour in range(14, 20)]
    write(logs, telemetry="datetime,tag,value\n" + "".join(rows))
    assert append(pdm, logs, *long).code == 0
    rows[7] = rows[7].replace(",15\n", ",99\n")
    write(logs, telemetry="datetime,tag,value\n" + "".join(rows))
    outcome = append(pdm, logs, *long)
    assert outcome.code == 4
    conflict = "99.0 for datetime 2015-01-15 00:00:00, machineID 1, but 15.0 in telemetry.parquet"
    assert f"telemetry.csv: line 9, column volt: {conflict}" in outcome.stderr


@pytest.mark.parametrize("summary", ["[1]", '{"tables": []}', '{"tables": {"failures": 3}}', "no JSON"])
def test_append_next_to_another_summary_ignores_it(summary: str, logs: Path, pdm: Pdm) -> None:
    flagged = "datetime,machineID,volt,failure\n2015-01-13 07:00:00,1,170.5,0\n2015-01-13 08:00:00,1,3,1\n"
    read(pdm, write(logs, telemetry=flagged), "--failure-flag", "failure")
    (logs.parent / "raw/import.json").write_text(summary)
    write(logs, telemetry=flagged.replace("-13", "-14"))
    assert append(pdm, logs, "--failure-flag", "failure").code == 0


@pytest.mark.parametrize("command", ["preprocess", "train"])
def test_append_to_what_another_command_wrote_is_refused(command: str, logs: Path, pdm: Pdm) -> None:
    assert append(pdm, write(logs, telemetry=ROWS)).code == 0
    path = logs.parent / "raw/manifest.json"
    path.write_text(path.read_text().replace('"command": "import"', f'"command": "{command}"'))
    outcome = append(pdm, logs)
    assert outcome.code == 2
    assert f"contains the output of pdm {command}, not raw tables" in outcome.stderr


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
        (
            HEAD.replace("volt", "press,rotate") + "2015-02-28,1,2,3\n",
            "telemetry.csv: columns differ from those of telemetry.parquet: missing 'volt'; new 'press', 'rotate'\n"
            "hint: import into a folder of its own with --out, or import all logs again without --append\n",
        ),
        (
            HEAD.replace("volt", "volt,press") + "2015-02-28,1,2,3\n",
            "telemetry.csv: columns differ from those of telemetry.parquet: new 'press'\n",
        ),
        (HEAD + "2015-02-28T00:00Z,1,2\n", "timestamps have a time zone, unlike those of telemetry.parquet"),
        (HEAD + "2015-02-28,A,2\n", "line 2, column machineID: 'A' is not an integer, unlike the machines of"),
        (HEAD + "2015-02-28,1,x\n", "line 2, column volt: 'x' is not a number, unlike those of telemetry.parquet"),
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
    assert "errors.csv: line 2, column machineID: 'M1' is not an integer, unlike the machines of telemetry.parquet" in (
        outcome.stderr
    )


def test_zones_in_some_tables_only_are_told(logs: Path, pdm: Pdm) -> None:
    words = "timestamps of telemetry.parquet have a time zone, those of errors.parquet have none: pdm preprocess"
    read(pdm, write(logs, telemetry=HEAD + "2015-01-13 07:00Z,1,5\n"))
    (logs / "telemetry.csv").unlink()
    assert words in append(pdm, write(logs, errors=ERROR)).stderr
    other = pdm("import", write(logs, telemetry=HEAD + "2015-01-13 07:00Z,1,5\n"), "--out", logs.parent / "other")
    assert words in other.stderr
    same = pdm("import", write(logs, errors=ERROR.replace("07:00", "07:00Z")), "--out", logs.parent / "same")
    assert "have a time zone, those" not in same.stderr


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


def test_the_words_of_one_row_that_was_added(logs: Path, pdm: Pdm) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    outcome = pdm("import", write(logs, telemetry=HEAD + "2015-01-14,1,5\n"), "--out", logs.parent / "raw", "--append")
    assert "telemetry: 1 row appended to 3" in outcome.stdout


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.slow
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
        patch.setattr(output_folder.shutil, "rmtree", lambda *_, **__: None)
        with suppress(Killed):
            append(pdm, logs)
    output_folder.check_growable(raw)
    assert len(telemetry(raw)) in (3, 4)
    assert not list(raw.glob(".pdm-partial-*"))
    outcome = append(pdm, logs)
    assert outcome.code == 0, outcome.stderr
    assert telemetry(raw)["volt"].iloc[3] == 5
    assert (raw / "machines.parquet").is_file()


def test_an_error_in_the_second_pass_leaves_the_old(logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch) -> None:
    read(pdm, write(logs, telemetry=ROWS))
    monkeypatch.setattr(import_logs, "describe_table", lambda *_: 1 / 0)
    assert append(pdm, write(logs, telemetry=HEAD + "2015-01-14,1,5\n")).code == 1
    assert len(telemetry(logs.parent / "raw")) == 3
    assert not list((logs.parent / "raw").glob(".pdm-partial-*"))


FLAGS = "datetime,machineID,volt,broken\n"


def rows_of(flags: str, *, day: int = 1, machine: int = 1) -> str:
    """Return a row per hour, with the given flags."""
    return "".join(f"2015-01-{day:02d} {hour:02d}:00,{machine},{hour},{flag}\n" for hour, flag in enumerate(flags))


def failures_of(raw: Path, name: str = "failures") -> list[tuple[str, int, str]]:
    table = pd.read_parquet(raw / f"{name}.parquet")
    return [(f"{row[0]:%d %H}", row[1], row[2]) for row in table.itertuples(index=False)]


def test_failure_flags_of_later_logs_are_appended_and_an_episode_over_the_border_counts_once(
    logs: Path, pdm: Pdm
) -> None:
    words, raw = ("--failure-flag", "broken"), logs.parent / "raw"
    read(pdm, write(logs, telemetry=FLAGS + rows_of("0110011") + rows_of("0001", machine=2)), *words)
    assert failures_of(raw) == [("01 01", 1, "broken"), ("01 03", 2, "broken"), ("01 05", 1, "broken")]
    # Machine 1 is still broken at first; machine 3 is new and broken from its first row on.
    later = rows_of("1101", day=2) + rows_of("0011", day=2, machine=2) + rows_of("10", day=2, machine=3)
    outcome = append(pdm, write(logs, telemetry=FLAGS + later), *words)
    assert outcome.code == 0, outcome.stderr
    expected = [("02 00", 3, "broken"), ("02 02", 2, "broken"), ("02 03", 1, "broken")]
    assert failures_of(raw)[3:] == expected
    assert outcome.json["tables"]["failures"]["appended"] == {
        "before": 3,
        "added": 3,
        "same": 0,
        "differing": 0,
        "kept": "old",
    }
    assert outcome.json["tables"]["failures"]["ongoing"] == [["1", "broken"], ["2", "broken"]]
    # The same rows again, and one more: the log begins within a failure that is known.
    outcome = append(pdm, write(logs, telemetry=FLAGS + later + rows_of("1", day=3)), *words)
    assert outcome.code == 0, outcome.stderr
    assert failures_of(raw)[3:] == expected
    # Logs without a failure end those that were ongoing.
    outcome = append(pdm, write(logs, telemetry=FLAGS + rows_of("000", day=4)), *words)
    assert outcome.code == 0, outcome.stderr
    assert failures_of(raw)[3:] == expected
    assert outcome.json["tables"]["failures"]["ongoing"] == [["2", "broken"]]
    outcome = append(pdm, write(logs, telemetry=FLAGS + rows_of("1", day=5)), *words)
    assert failures_of(raw)[6:] == [("05 00", 1, "broken")]


def test_states_of_later_logs_are_appended_with_the_same_normal_state(logs: Path, pdm: Pdm) -> None:
    head, raw = "datetime,machineID,volt,state\n", logs.parent / "raw"
    words = ("--status", "state", "--failed", "DOWN")

    def states(names: list[str], day: int) -> str:
        return head + "".join(f"2015-01-{day:02d} {hour:02d}:00,1,{hour},{name}\n" for hour, name in enumerate(names))

    read(pdm, write(logs, telemetry=states(["OK", "OK", "OK", "SLOW", "DOWN", "DOWN"], 1)), *words)
    assert failures_of(raw) == [("01 04", 1, "DOWN")]
    assert failures_of(raw, "errors") == [("01 03", 1, "SLOW")]
    outcome = append(pdm, write(logs, telemetry=states(["DOWN", "SLOW", "SLOW", "SLOW"], 2)), *words)
    assert outcome.code == 0, outcome.stderr
    assert failures_of(raw) == [("01 04", 1, "DOWN")]
    assert failures_of(raw, "errors") == [("01 03", 1, "SLOW"), ("02 01", 1, "SLOW")]
    assert append(pdm, write(logs, telemetry=states(["SLOW", "OK", "DOWN"], 3)), *words).code == 0
    assert failures_of(raw) == [("01 04", 1, "DOWN"), ("03 02", 1, "DOWN")]
    assert failures_of(raw, "errors") == [("01 03", 1, "SLOW"), ("02 01", 1, "SLOW")]


def test_end_as_failure_is_appended_for_new_machines_and_refused_where_telemetry_goes_on(logs: Path, pdm: Pdm) -> None:
    head, raw = "datetime,machineID,volt\n", logs.parent / "raw"
    words = ("--end-is-failure", "engine")
    read(pdm, write(logs, telemetry=head + "2015-01-01,1,1\n2015-01-02,1,2\n2015-01-01,2,1\n"), *words, "--except", "2")
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    outcome = append(pdm, write(logs, telemetry=head + "2015-01-03,1,1\n"), *words)
    assert outcome.code == 4
    assert (
        "--end-is-failure engine: machine 1: telemetry continues after the failure in failures.parquet"
        in outcome.stderr
    )
    assert "--overwrite instead of --append; --except names machines that still run" in outcome.stderr
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before
    # Machine 2 was still running, and machine 3 is new.
    outcome = append(pdm, write(logs, telemetry=head + "2015-01-05,2,1\n2015-01-03,3,1\n"), *words)
    assert outcome.code == 0, outcome.stderr
    assert failures_of(raw) == [("02 00", 1, "engine"), ("03 00", 3, "engine"), ("05 00", 2, "engine")]
