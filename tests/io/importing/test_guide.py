"""Options guessed from the files, and the questions that remain."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdm_cli.io.importing.engine import Engine
from pdm_cli.io.importing.guide import Guess, guess_options, words_of

WIDE = "datetime,machineID,volt\n2015-01-13 07:00,1,5\n2015-01-13 08:00,1,6\n"


def guess(tmp_path: Path, **files: str | bytes) -> Guess:
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with Engine() as engine:
        return guess_options(folder, engine)


def test_guess_of_named_tables_needs_no_options(tmp_path: Path) -> None:
    found = guess(tmp_path, telemetry=WIDE, failures="datetime,machineID,failure\n2015-01-13 08:00,1,pump\n")
    assert found == Guess()


def test_guess_of_a_plant_names_files_encoding_and_long_form(tmp_path: Path) -> None:
    rows = "".join(f"P-{pump}.TEMP [°C];13.01.2015 0{hour}:00;2,5\n" for pump in (1, 2) for hour in range(9))
    orders = "Art;Platz;Beginn;Text\nM2 breakdown;P-1;13.01.2015 07:30;Lager\nM1;P-1;13.01.2015 07:30;Öl\n"
    found = guess(
        tmp_path,
        historian=("Tag;Timestamp;Value\n" + rows).encode("cp1252"),
        Auftraege=orders.encode("cp1252"),
        Equipment=b"Anlage;Baujahr\nP-1;2005\n",
    )
    assert found.options == [
        ("--encoding", "cp1252"),
        ("--files", "telemetry=historian.csv"),
        ("--files", "failures=Auftraege.csv"),
        ("--files", "machines=Equipment.csv"),
        ("--decimal", ","),
        ("--long", "Tag\0Value"),
        ("--tags", "{machine}.{sensor}"),
        ("--columns", "telemetry.datetime=Timestamp"),
        ("--columns", "failures.datetime=Beginn"),
        ("--columns", "failures.machineID=Platz"),
        ("--failures-where", "Art = M2 breakdown"),
        ("--columns", "machines.machineID=Anlage"),
    ]
    assert [question.partition("?")[0] for question in found.questions] == [
        "are umlauts and signs right in the result",
        "which column of Auftraege.csv has the component that failed",
    ]
    assert list(words_of(found))[11:14] == ["Tag", "Value", "--tags"]


@pytest.mark.parametrize(
    ("content", "options", "question"),
    [
        (
            "date,serial,failure,smart\n2013-04-10,Z,0,5\n",
            [
                ("--columns", "telemetry.datetime=date"),
                ("--columns", "telemetry.machineID=serial"),
                ("--failure-flag", "failure"),
            ],
            "",
        ),
        (
            "unit,cycle,s1\n1,1,5\n",
            [("--columns", "telemetry.datetime=cycle"), ("--cycles", "1h"), ("--columns", "telemetry.machineID=unit")],
            "how long is one of cycle?",
        ),
        (
            "timestamp,value\n2015-01-13,5\n",
            [("--columns", "telemetry.datetime=timestamp"), ("--machine", "machine1")],
            "one machine",
        ),
        ("datetime,machineID,tag,value\n2015-01-13,1,temp,5\n", [("--long", "tag\0value")], "where are the failures?"),
        (
            "datetime,machineID,status,v\n2015-01-13,1,OK,1\n2015-01-14,1,BROKEN,1\n",
            [("--status", "status"), ("--failed", "BROKEN")],
            "which states of status are failures?",
        ),
        ("1,2.5,3\n2,3.5,4\n", [], "name them with --names"),
        ("1,1,3\n2,3.5,4\n", [], "no header? name the columns with --names"),
    ],
)
def test_guess_of_one_file(content: str, options: list[tuple[str, str]], question: str, tmp_path: Path) -> None:
    found = guess(tmp_path, export=content)
    assert found.options == options
    assert question in " ".join(found.questions)


def test_guess_of_files_by_machine_takes_their_names(tmp_path: Path) -> None:
    content = "datetime,volt,failed\n2015-01-13,5,0\n"
    assert guess(tmp_path, P1=content, P2=content).options == [
        ("--machine-from-file", "{machine}.csv"),
        ("--failure-flag", "failed"),
    ]
