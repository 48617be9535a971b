"""Options guessed from the files, and the questions that remain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from pdm_cli.errors import DataError
from pdm_cli.io.importing.engine import Engine
from pdm_cli.io.importing.guide import guess_options, settings_of, words_of
from pdm_cli.io.importing.options import compile_pattern
from pdm_cli.io.importing.table_guess import Guess
from pdm_cli.io.importing.tag_patterns import find_pattern

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


def test_guess_reads_numbers_with_typographic_signs_as_the_import_does(tmp_path: Path) -> None:
    rows = "2015-01-13 07:00,1,\u22123.5\n2015-01-13 08:00,1,\u22124.5\n"
    assert guess(tmp_path, telemetry="datetime,machineID,volt\n" + rows).options == []


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
        ("--columns", "telemetry.datetime=Timestamp"),
        ("--long", "Tag\0Value"),
        ("--tags", "{machine}.{sensor}"),
        ("--columns", "failures.datetime=Beginn"),
        ("--columns", "failures.machineID=Platz"),
        ("--failures-where", "Art = M2 breakdown"),
        ("--columns", "failures.failure=Text"),
        ("--columns", "machines.machineID=Anlage"),
    ]
    assert [question.partition("?")[0] for question in found.questions] == [
        "are accented letters and symbols correct",
        "does the tag P-1.TEMP [°C] name a machine and a sensor as in {machine}.{sensor}",
        "which rows of Auftraege.csv are failures",
    ]
    words = list(words_of(found))
    assert words[words.index("--long") :][:4] == ["--long", "Tag", "Value", "--tags"]
    assert settings_of(found)["long"] == ["Tag", "Value"]


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
    ],
)
def test_guess_of_one_file(content: str, options: list[tuple[str, str]], question: str, tmp_path: Path) -> None:
    found = guess(tmp_path, export=content)
    assert found.options == options
    assert question in " ".join(found.questions)


def test_guess_of_a_file_without_a_header_names_its_columns(tmp_path: Path) -> None:
    rows = "".join(f"{unit} {cycle} {cycle / unit} {cycle * unit} \n" for unit in (1, 2, 3) for cycle in range(1, 9))
    found = guess(tmp_path, export=rows)
    assert found.options == [
        ("--names", "c1,c2,c3,c4"),
        ("--columns", "telemetry.datetime=c2"),
        ("--cycles", "1h"),
        ("--columns", "telemetry.machineID=c1"),
    ]
    assert found.questions[0] == (
        "what are the columns of export.csv? it seems to have no header; run --guide again with your names in --names"
    )


def test_guess_starts_from_given_names(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "export.txt").write_text("2024-01-20;P1;1,5\n2024-01-21;P1;2,5\n", encoding="utf-8")
    given = [("--names", "datetime,machineID,volt"), ("--separator", ";"), ("--decimal", ",")]
    with Engine() as engine:
        found = guess_options(folder, engine, given)
    assert found.options == given


def test_guess_of_files_by_machine_takes_their_names(tmp_path: Path) -> None:
    content = "datetime,volt,failed\n2015-01-13,5,0\n"
    assert guess(tmp_path, P1=content, P2=content).options == [
        ("--machine-from-file", "{machine}.csv"),
        ("--failure-flag", "failed"),
    ]


def long_rows(tags: Sequence[str], *, by_tag: bool) -> list[tuple[str, int, float]]:
    """Return tag, hour and value of 9 hours, ordered by tag or by time."""
    rows = [(tag, hour, 20.5 * number + hour / 4) for number, tag in enumerate(tags, 1) for hour in range(1, 10)]
    return rows if by_tag else sorted(rows, key=lambda row: row[1])


PLANT_TAGS = [f"WERK2/P-10{pump}/{sensor}" for pump in (1, 2, 3) for sensor in ("VIB", "TEMP")]


@pytest.mark.parametrize("by_tag", [True, False])
@pytest.mark.parametrize("names", ["Anlage,Zeit stempel,Wert", "St,T,W", "unit,when,reading"])
def test_guess_of_long_form_does_not_depend_on_the_names_of_columns(names: str, by_tag: bool, tmp_path: Path) -> None:
    rows = "".join(f"{tag},31.12.24 0{hour}:00,{value}\n" for tag, hour, value in long_rows(PLANT_TAGS, by_tag=by_tag))
    tag, time, value = names.split(",")
    found = guess(tmp_path, export=f"{names}\n{rows}")
    assert found.options == [
        ("--columns", f"telemetry.datetime={time}"),
        ("--date-format", "telemetry=%d.%m.%y %H:%M"),
        ("--long", f"{tag}\0{value}"),
        ("--tags", "WERK2/{machine}/{sensor}"),
    ]
    assert "does the tag WERK2/P-101/TEMP name a machine and a sensor" in " ".join(found.questions)


def test_guess_of_long_form_with_other_columns_finds_tag_and_value(tmp_path: Path) -> None:
    rows = [(tag, hour, value) for tag, hour, value in long_rows(["VIB", "TEMP", "FLOW"], by_tag=False)]
    content = "".join(f"2024-12-31 0{hour}:00,P1,{name},{value},Good,192\n" for name, hour, value in rows)
    found = guess(tmp_path, export=f"datetime,machineID,channel,reading,quality,code\n{content}")
    assert ("--long", "channel\0reading") in found.options
    assert "--tags" not in dict(found.options)


@pytest.mark.parametrize(
    ("times", "option"),
    [
        (["31.12.24 23:00", "01.01.25 00:00"], "telemetry=%d.%m.%y %H:%M"),
        (["12/31/24 11:00 PM", "01/01/25 01:00 AM"], "telemetry=%m/%d/%y %I:%M %p"),
        (["31-Dec-2024 23:00:00", "01-Jan-2025 00:00:00"], "telemetry=%d-%b-%Y %H:%M:%S"),
        (["20241231230000", "20250101000000"], "telemetry=%Y%m%d%H%M%S"),
        (["1735686000000", "1735689600000", "1735693200000"], ""),
        (["1735686000.5", "1735689600.0", "1735693200.25"], ""),
        (["2024-12-31 23:00", "2025-01-01 00:00"], ""),
    ],
)
def test_guess_of_times_is_by_their_values(times: list[str], option: str, tmp_path: Path) -> None:
    rows = "".join(f"{time},1,{number}.5\n" for number, time in enumerate(times))
    found = guess(tmp_path, export=f"Zeit stempel,machineID,v\n{rows}")
    assert found.options[0] == ("--columns", "telemetry.datetime=Zeit stempel")
    assert dict(found.options).get("--date-format", "") == option


def test_guess_of_epochs_without_a_name_needs_rising_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{1735686000000 + 3_600_000 * hour},{9876543210987 - hour},1,{hour}.5\n" for hour in range(9))
    found = guess(tmp_path, export=f"x,serial,machineID,v\n{rows}")
    assert found.options == [("--columns", "telemetry.datetime=x")]


def test_guess_of_two_possible_formats_asks_for_the_right_one(tmp_path: Path) -> None:
    found = guess(tmp_path, export="when,machineID,v\n01/02/24,1,5\n02/03/24,1,6\n")
    assert ("--date-format", "telemetry=%m/%d/%y") in found.options
    assert "it may also be %d/%m/%y" in " ".join(found.questions)


def test_guess_of_cycles_takes_numbers_that_rise_by_one(tmp_path: Path) -> None:
    rows = "".join(f"{machine},{cycle},{cycle * machine / 2}\n" for machine in (1, 2) for cycle in range(1, 9))
    found = guess(tmp_path, export=f"unit,n,s1\n{rows}")
    assert found.options[:2] == [("--columns", "telemetry.datetime=n"), ("--cycles", "1h")]


def test_guess_of_machines_takes_a_column_that_distinguishes_the_rows_of_a_time(tmp_path: Path) -> None:
    rows = "".join(
        f"2024-12-31 0{hour}:00,S{site},{hour + site / 7},{hour * site / 3}\n"
        for hour in range(9)
        for site in (1, 2, 3)
    )
    found = guess(tmp_path, export=f"datetime,St,v,w\n{rows}")
    assert found.options == [("--columns", "telemetry.machineID=St")]
    assert found.questions[0].startswith("is St the machine?")


def test_guess_of_machines_of_other_tables_takes_those_of_the_telemetry(tmp_path: Path) -> None:
    telemetry = "".join(f"2024-12-31 0{hour}:00,{machine},{hour}\n" for hour in range(9) for machine in ("A1", "B2"))
    orders = "".join(f"{number},A1,2024-12-31 0{number}:00,pump\n" for number in range(1, 4))
    found = guess(
        tmp_path, telemetry=f"datetime,machineID,v\n{telemetry}", failures=f"nr,Objekt,datetime,failure\n{orders}"
    )
    assert found.options == [("--columns", "failures.machineID=Objekt")]


@pytest.mark.parametrize("name", ["F", "x y"])
def test_guess_asks_about_any_column_of_0_and_1(name: str, tmp_path: Path) -> None:
    # Failures are rare: the first one is far below the first rows.
    times = pd.date_range("2024-12-01", periods=1400, freq="min")
    rows = "".join(f"{time},1,{number},{int(number == 1000)}\n" for number, time in enumerate(times))
    found = guess(tmp_path, export=f"datetime,machineID,v,{name}\n{rows}")
    option = "--failure-flag F" if name == "F" else "--failure-flag 'x y'"
    assert found.options == []
    assert f"is {name}, which is 0 or 1, 1 where a machine failed? then add {option}" in found.questions


def test_guess_of_states_does_not_depend_on_the_name_of_the_column(tmp_path: Path) -> None:
    rows = "".join(f"2024-12-31 0{hour}:00,1,{hour},{'TRIPPED' if hour == 7 else 'RUN'}\n" for hour in range(9))
    found = guess(tmp_path, export=f"datetime,machineID,v,Z\n{rows}")
    assert found.options == [("--status", "Z"), ("--failed", "TRIPPED")]


@pytest.mark.parametrize(
    ("types", "option", "question"),
    [
        (("Corrective", "Preventive"), "typ = Corrective", "which rows of failures.csv are failures?"),
        (("CM", "PM"), "typ = CM", "typ is one of CM, PM"),
        (("ZM10", "ZM20"), "", "are all rows of failures.csv failures? if not, --failures-where 'typ = VALUE'"),
    ],
)
def test_guess_of_work_orders_asks_about_their_type(
    types: tuple[str, str], option: str, question: str, tmp_path: Path
) -> None:
    orders = "".join(
        f"A{number:04},1,2024-12-{number:02} 08:00,{types[number % 2]},{('pump', 'seal', 'motor')[number % 3]}\n"
        for number in range(1, 13)
    )
    found = guess(tmp_path, telemetry=WIDE, failures=f"order,machineID,datetime,typ,part\n{orders}")
    assert dict(found.options).get("--failures-where", "") == option
    assert ("--columns", "failures.failure=part") in found.options
    assert question in " ".join(found.questions)


@pytest.mark.parametrize(
    ("tags", "pattern"),
    [
        (["P1.VIB", "P1.TEMP", "P2.VIB"], "{machine}.{sensor}"),
        (["W1/P-1/VIB", "W2/P-2/VIB", "W2/P-2/TEMP"], "*/{machine}/{sensor}"),
        (["W2/P-101/VIB", "W2/P-101/TEMP"], "W2/{machine}/{sensor}"),
        (["W2/P-101.VIB [mm/s]", "W2/P-101.TEMP [°C]"], "{machine}.{sensor}"),
        (["P1.VIB.X", "P1.VIB.Y", "P2.VIB.X", "P2.TEMP"], "{machine}.{sensor}"),
        (["VIB", "TEMP"], ""),
    ],
)
def test_find_pattern_of_tags(tags: list[str], pattern: str) -> None:
    assert find_pattern(tags) == pattern
    if pattern:
        compile_pattern("--tags", pattern, ["machine", "sensor"])


def test_guess_of_dates_of_either_order_asks_for_it(tmp_path: Path) -> None:
    found = guess(tmp_path, telemetry="datetime,machineID,v\n3/1/2015,1,5\n4/1/2015,1,6\n")
    assert found.questions[0] == "does 3/1/2015 in telemetry.csv begin with the day? --day-first or --month-first"
    assert found.options == []


def test_guess_of_a_text_of_work_orders_asks_for_words_of_components(tmp_path: Path) -> None:
    rows = "".join(f"2015-01-1{day},1,Lager defekt {day}\n" for day in range(9))
    found = guess(tmp_path, telemetry=WIDE, failures=f"datetime,machineID,Kurztext\n{rows}")
    assert found.options == [("--columns", "failures.failure=Kurztext")]
    assert "list words and the component of each with --component-words FILE" in found.questions[0]


def test_guess_of_one_sensor_of_machines_with_a_separator_is_wide(tmp_path: Path) -> None:
    rows = "".join(f"2024-12-31 0{hour}:00,W1/P{pump},{hour}.5\n" for hour in range(9) for pump in (1, 2, 3))
    found = guess(tmp_path, telemetry=f"datetime,Anlage,v\n{rows}")
    assert found.options == [("--columns", "telemetry.machineID=Anlage")]


def test_guess_of_one_value_per_name_asks_whether_it_is_a_sensor(tmp_path: Path) -> None:
    rows = "".join(f"2024-12-31 0{hour}:00,S{site},{hour}.5\n" for hour in range(9) for site in (1, 2, 3))
    found = guess(tmp_path, export=f"datetime,St,W\n{rows}")
    assert found.options[0] == ("--long", "St\0W")
    assert "if it names machines, --columns telemetry.machineID=St" in found.questions[0]


def guess_table(tmp_path: Path, header: str, names: Sequence[str], values: Sequence[float]) -> Guess:
    """Guess a log with a row per time and name, and the value of that name."""
    rows = [
        f"2024-12-31 {hour:02}:00,{name},{value + hour / 10:.1f}"
        for hour in range(9)
        for name, value in zip(names, values, strict=True)
    ]
    return guess(tmp_path, export="\n".join([header, *rows, ""]))


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("my time,Pump Name,vib x", ["A", "North"]),
        ("my time,Pump Name,Value", ["A", "North"]),
        ("my time,Name,Value", ["Pump A", "Pump B"]),
        ("my time,Name,vib x", ["U-1", "U-2", "U-3"]),
    ],
)
def test_guess_of_one_sensor_of_several_machines_is_wide(header: str, names: list[str], tmp_path: Path) -> None:
    found = guess_table(tmp_path, header, names, [5] * len(names))
    time, name, value = header.split(",")
    assert found.options == [
        ("--columns", f"telemetry.datetime={time}"),
        ("--columns", f"telemetry.machineID={name}"),
    ]
    quoted = "'vib x'" if " " in value else value
    quoted_name = f"'{name}'" if " " in name else name
    assert found.questions[0] == (
        f"does {name} name machines? --columns is a guess; if it names sensors, --long {quoted_name} {quoted}"
    )


@pytest.mark.parametrize(
    ("header", "names", "values"),
    [
        # Values of different units, of different sensors, and of no known meaning.
        ("my time,Name,reading 1", ["N1", "N2"], [5, 500]),
        ("my time,Name,vib x", ["temp", "pressure"], [5, 5]),
        ("my time,Name,Value", ["N1", "N2"], [5, 5]),
        ("my time,Pump sensor,vib x", ["A", "B"], [5, 5]),
    ],
)
def test_guess_of_sensors_of_one_machine_is_long(
    header: str, names: list[str], values: list[float], tmp_path: Path
) -> None:
    found = guess_table(tmp_path, header, names, values)
    _, name, value = header.split(",")
    assert ("--long", f"{name}\0{value}") in found.options


def test_guess_quotes_names_in_hints(tmp_path: Path) -> None:
    rows = "".join(f"2024-12-31 0{hour}:00,{n},1{n}.{hour},2{n}.{hour}\n" for hour in range(9) for n in (1, 2, 3))
    orders = "".join(
        f"{'XY'[n % 2]}1,1,2024-12-31 0{n}:00,{('a b', 'c')[n % 2]},{('d', 'e f')[n % 2]}\n" for n in range(9)
    )
    found = guess(
        tmp_path,
        telemetry=f"datetime,my pump,v,w\n{rows}",
        failures=f"order type,machineID,datetime,one text,other text\n{orders}",
    )
    questions = " ".join(found.questions)
    assert "--columns telemetry.machineID='my pump' is a guess" in questions
    assert "--failures-where 'order type = VALUE', one of" in questions
    assert "failures.failure=COLUMN, one of 'one text', 'other text'" in questions


def test_guess_of_dates_that_a_later_row_decides_asks_nothing(tmp_path: Path) -> None:
    # The first rows are all of 1 February, or of 2 January.
    times = [*pd.date_range("2024-02-01", periods=600, freq="min"), pd.Timestamp("2024-02-13")]
    rows = "".join(f"{time:%d.%m.%Y %H:%M},1,{number}\n" for number, time in enumerate(times))
    found = guess(tmp_path, telemetry=f"datetime,machineID,v\n{rows}")
    assert "begin with the day" not in " ".join(found.questions)


def test_guess_of_numbers_for_missing_values_proposes_them(tmp_path: Path) -> None:
    rows = "".join(
        f"2024-12-01 {hour:02}:{minute:02},1,{-999 if minute % 20 == 5 else minute}\n"
        for hour in range(24)
        for minute in range(60)
    )
    found = guess(tmp_path, export=f"datetime,machineID,v\n{rows}")
    assert found.options == [("--na-values", "-999")]
    assert list(words_of(found)) == ["--na-values=-999"]
    assert found.questions[0] == "does -999 in export.csv mean a missing value? --na-values is a guess"


def test_guess_of_long_form_with_a_tag_of_states_finds_tag_and_value(tmp_path: Path) -> None:
    rows = "".join(
        f"2024-12-31 0{hour}:00,M{machine}.{tag},{value}\n"
        for hour in range(9)
        for machine in (1, 2)
        for tag, value in (("volt", hour + 0.5), ("mode", "AUTO" if hour % 2 else "HAND"))
    )
    found = guess(tmp_path, export=f"time,tag,value\n{rows}")
    assert found.options[1:] == [("--long", "tag\0value"), ("--tags", "{machine}.{sensor}")]


def test_guess_of_one_machine_does_not_ask_for_the_machine_of_failures(tmp_path: Path) -> None:
    telemetry = "datetime,volt\n2024-01-20 00:00,5\n2024-01-20 01:00,6\n"
    found = guess(tmp_path, telemetry=telemetry, failures="datetime,failure\n2024-01-20 01:00,pump\n")
    assert found.options == [("--machine", "machine1")]
    assert found.questions == ["is the log about one machine only? --machine gives its name"]


def test_guess_of_a_title_above_the_header_asks_to_delete_it(tmp_path: Path) -> None:
    found = guess(tmp_path, telemetry=f"# Export 1\nSite: A\n\n{WIDE}")
    assert found.options == []
    assert found.questions[0] == "telemetry.csv: the header seems to be in line 4; delete the lines above it"


@pytest.mark.parametrize("content", ["", "\n \n", "sep=;\n"])
def test_guess_of_an_empty_file_names_it(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^telemetry\.csv: empty file$"):
        guess(tmp_path, telemetry=content)


def test_guess_skips_empty_files_beside_others(tmp_path: Path) -> None:
    assert guess(tmp_path, part=WIDE, empty="").options == []


def test_guess_of_numbers_with_thousands_separators_takes_no_tags(tmp_path: Path) -> None:
    rows = "".join(
        f'2015-01-{day:02} 0{hour}:00,1,"1,4{day}.{hour}",8.{hour}\n' for day in range(10, 20) for hour in (1, 2)
    )
    found = guess(tmp_path, telemetry="datetime,machineID,volt,amp\n" + rows)
    assert found.options == []
    assert found.questions[0] == (
        "can the numbers of volt in telemetry.csv be exported without thousands separators? with them, as in 1,410.1, "
        "they are text"
    )


@pytest.mark.parametrize("question", ["", "is Amp in c.csv the same as amp in a.csv?"])
def test_guess_of_files_with_columns_in_other_order_or_case_is_one_table(question: str, tmp_path: Path) -> None:
    found = guess(
        tmp_path,
        a="datetime,machineID,volt,amp\n2015-01-13 07:00,1,5,1\n2015-01-13 08:00,1,5,1\n",
        b="machineID,datetime,amp,volt\n2,2015-01-13 07:00,1,5\n",
        c=f"datetime,machineID,volt,{'Amp' if question else 'amp'}\n2015-01-13 07:00,3,5,1\n",
    )
    assert found.options == []
    assert [text.partition("?")[0] + "?" for text in found.questions[:-1]] == [question] * bool(question)


def test_guess_of_failures_without_a_component_asks_to_add_it(tmp_path: Path) -> None:
    found = guess(tmp_path, telemetry=WIDE, failures="datetime,machineID\n2015-01-13 08:00,1\n")
    assert found.options == []
    assert found.questions == [
        "can you add a column failure to failures.csv, with the component that failed? no other column is left for it; "
        "if it is not known, write the same name in every row"
    ]


def test_guess_of_words_among_numbers_proposes_them_as_missing(tmp_path: Path) -> None:
    # Behind the first rows, whose values decide on the columns.
    rows = "".join(f"2015-01-13 07:{row % 60:02},{row // 60},{row}.5,{row % 7}.25\n" for row in range(600))
    found = guess(
        tmp_path, telemetry=f"datetime,machineID,volt,amp\n{rows}2015-01-14,1,n/v,NA\n2015-01-15,1,inf,k.A.\n"
    )
    assert found.options == [("--na-values", "n/v,k.A.")]
    assert found.questions[0] == "do n/v, k.A. in telemetry.csv mean missing values? --na-values is a guess"


def test_guess_of_many_words_among_numbers_proposes_none_as_missing(tmp_path: Path) -> None:
    rows = "".join(f"2015-01-13 07:{row:02},1,{row}.5,{row}.5\n" for row in range(60))
    words = "2015-01-14,1,a,c\n2015-01-15,1,b,d\n"
    assert guess(tmp_path, telemetry=f"datetime,machineID,volt,amp\n{rows}{words}").options == []


@pytest.mark.parametrize(
    ("usual", "impossible"),
    [("2024-01-13 07:00", "2024-13-45 07:00"), ("13.01.2024 07:00", "31.02.2024 07:00"), ("2024-01-13", "2024-02-30")],
)
def test_guess_of_an_impossible_date_asks_to_fix_it(usual: str, impossible: str, tmp_path: Path) -> None:
    found = guess(tmp_path, telemetry=f"datetime,machineID,volt\n{usual},1,5\n{impossible},1,6\n{usual},2,5\n")
    assert found.questions[0].startswith(f"what is {impossible} in telemetry.csv? it is not a valid date or time")
    assert found.options == []


HISTORY = "Tag;Zeit;Wert\n" + "".join(
    f"P{pump}.{sensor};2015-01-13 0{hour}:00;{hour + pump}\n" for pump in (1, 2) for sensor in "TV" for hour in range(9)
)
ORDERS = "Anlage;Beginn;Text;Ort\nP1;2015-01-13 07:30;Lager heiss;A\nP2;2015-01-13 08:30;am Lager;B\n"
WORDS_HEADER, TAGS_HEADER = ("word", "component"), ("tag", "machine", "sensor", "unit")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_guess_of_files_of_options_proposes_the_options(separator: str, tmp_path: Path) -> None:
    words = [WORDS_HEADER, ("lager", "bearing")]
    tags = [TAGS_HEADER, *((f"P{pump}.{sensor}", f"P{pump}", sensor, "mm") for pump in (1, 2) for sensor in "TV")]
    tables = {name: "".join(f"{separator.join(row)}\n" for row in rows) for name, rows in (("w", words), ("t", tags))}
    found = guess(tmp_path, historian=HISTORY, auftraege=ORDERS, **tables)
    assert found.options == [
        ("--files", "telemetry=historian.csv"),
        ("--files", "failures=auftraege.csv"),
        ("--columns", "telemetry.datetime=Zeit"),
        ("--long", "Tag\0Wert"),
        ("--tags", str(tmp_path / "logs" / "t.csv")),
        ("--columns", "failures.datetime=Beginn"),
        ("--columns", "failures.machineID=Anlage"),
        ("--columns", "failures.failure=Text"),
        ("--component-words", str(tmp_path / "logs" / "w.csv")),
    ]
    assert found.questions == []


def test_guess_of_tags_of_sensors_only_takes_the_machine_from_its_column(tmp_path: Path) -> None:
    rows = "".join(
        f"2015-01-13 0{hour}:00,{pump},{tag},{hour}\n" for hour in range(9) for pump in "AB" for tag in (7, 8)
    )
    found = guess(tmp_path, telemetry=f"datetime,pumpe,nr,value\n{rows}", t="tag,machine,sensor\n7,,temp\n8,,volt\n")
    assert found.options == [
        ("--long", "nr\0value"),
        ("--tags", str(tmp_path / "logs" / "t.csv")),
        ("--columns", "telemetry.machineID=pumpe"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "question"),
    [
        ("w", "word,component\nöl,oil\n", "what is w.csv for? no column of the failures has any of its words"),
        ("t", "tag,machine,sensor\nX,P1,temp\n", "what is t.csv for? no column of the telemetry has any of its tags"),
        ("w", "word,component\nlager,\n", "w.csv: line 2: no component: fix the line"),
    ],
)
def test_guess_of_a_file_of_an_option_that_cannot_be_used_asks_about_it(
    name: str, content: str, question: str, tmp_path: Path
) -> None:
    found = guess(tmp_path, **{"historian": HISTORY, "failures": WIDE.replace("volt", "failure"), name: content})
    assert any(question in one for one in found.questions)
    assert not {"--component-words", str(tmp_path / "logs" / f"{name}.csv")} & {
        word for option in found.options for word in option
    }
    assert ("--files", "telemetry=historian.csv") in found.options


def test_guess_of_unlike_files_without_a_header_asks_for_the_files(tmp_path: Path) -> None:
    rows = "".join(f"{unit} {cycle} {cycle * unit}\n" for unit in (1, 2) for cycle in range(1, 9))
    found = guess(tmp_path, train=rows, rul="112\n98\n")
    assert found.options == []
    assert found.questions == [
        "which of the files is the telemetry? they seem to have no header, and differ in the number of columns "
        "(rul.csv 1, train.csv 3); run --guide again with --files telemetry=train.csv or others"
    ]


@pytest.mark.parametrize("by_unit", [True, False])
def test_guess_of_given_files_without_a_header_finds_cycles_of_each_machine(by_unit: bool, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    rows = [(unit, cycle) for unit in (1, 2, 3) for cycle in range(1, 9 + unit)]
    rows.sort(key=lambda row: row if by_unit else row[::-1])
    content = "".join(f"{unit} {cycle} {cycle / unit + 0.25}\n" for unit, cycle in rows)
    (folder / "train_1.txt").write_text(content, encoding="utf-8")
    (folder / "RUL_1.txt").write_text("112\n98\n", encoding="utf-8")
    given = [("--files", "telemetry=train*"), ("--names", "unit,n,s1")]
    with Engine() as engine:
        found = guess_options(folder, engine, given)
    assert found.options == [
        *given,
        ("--columns", "telemetry.datetime=n"),
        ("--cycles", "1h"),
        ("--columns", "telemetry.machineID=unit"),
    ]
    assert found.questions == [
        "how long is one of n? --cycles 1h is a guess",
        "does the telemetry of each unit end with its failure? then add --end-is-failure NAME, and --except with those "
        "that still run; or are the failures in a table of their own (--files failures=FILE), a column "
        "(--failure-flag, --status)?",
    ]


def test_guess_of_given_files_of_a_table_leaves_out_others_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, content in {"historian": HISTORY, "auftraege": ORDERS, "tickets": f"Nr;{ORDERS}"}.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    with Engine() as engine:
        found = guess_options(folder, engine, [("--files", "failures=auftraege.csv")])
    files = [value for option, value in found.options if option == "--files"]
    assert files == ["failures=auftraege.csv", "telemetry=historian.csv"]


def test_guess_keeps_files_that_are_named_after_a_table(tmp_path: Path) -> None:
    failures = "datetime,machineID,failure\n" + "2015-01-13 07:00,P1,pump\n" * 50
    found = guess(tmp_path, failures=failures, historian=HISTORY)
    assert found.options[:2] == [("--columns", "telemetry.datetime=Zeit"), ("--long", "Tag\0Wert")]


def test_guess_of_a_file_with_carriage_returns_reads_its_lines(tmp_path: Path) -> None:
    assert guess(tmp_path, telemetry=WIDE.replace("\n", "\r")).options == []
