"""Options of an import from the section ``[import]`` of the config file and from the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Outcome, Pdm, assert_clear
from tests.cli.csv_logs import write

LONG = "Tag;Zeit;Wert\nP1.temp;13.01.24 07:00;2,5\nP1.temp;13.01.24 08:00;Kaputt\nP2.temp;13.01.24 07:00;-999\n"
ORDERS = (
    "Art;Anlage;Beginn;Ende;Text\n"
    "M2;P1;2024-01-13 07:30;2024-01-13 09:30;Lager\n"
    "M1;P1;2024-01-13 08:30;2024-01-13 10:30;Wartung\n"
)
CONFIG = """
[import]
long = ["Tag", "Wert"]
tags = "{machine}.{sensor}"
decimal = ","
na_values = ["Kaputt", -999]

[import.telemetry]
files = "export.csv"
date_format = "%d.%m.%y %H:%M"
columns = { datetime = "Zeit" }

[import.failures]
files = ["orders.csv"]
where = "Art = M2*"

[import.failures.columns]
datetime = "Beginn"
machineID = "Anlage"
failure = "Text"

[labels]
horizon_hours = 48.0
"""


@pytest.fixture
def config(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(logs, export=LONG, orders=ORDERS)
    path = tmp_path / "pdm-cli.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def run(pdm: Pdm, logs: Path, *words: object) -> Outcome:
    outcome = pdm("import", logs, "--out", "raw", *words)
    assert outcome.code == 0, outcome.stderr
    return outcome


def table(name: str) -> pd.DataFrame:
    return pd.read_parquet(Path("raw") / f"{name}.parquet")


@pytest.mark.usefixtures("config")
def test_import_reads_its_options_from_the_config_file(logs: Path, pdm: Pdm) -> None:
    outcome = run(pdm, logs)
    assert table("telemetry")["temp"].fillna(0).tolist() == [2.5, 0, 0]
    assert table("failures")["failure"].tolist() == ["Lager"]
    used = "import: from pdm-cli.toml: files, decimal, date_format, na_values, columns, long, tags, failures_where"
    assert used in outcome.stderr
    recorded = json.loads(Path("raw/manifest.json").read_text())["parameters"]["import"]
    assert recorded["failures"]["where"] == ["Art", "M2*"]
    assert recorded["formats"] == {"telemetry": "%d.%m.%y %H:%M"}


@pytest.mark.usefixtures("config")
def test_import_option_wins_over_the_config_file_key_by_key(logs: Path, pdm: Pdm) -> None:
    words = ("--failures-where", "Art = M1", "--columns", "failures.datetime=Ende", "--na-values", "Kaputt")
    run(pdm, logs, *words)
    # The other columns of failures are still those of the config file.
    found = table("failures").astype(str)
    assert found[["datetime", "machineID", "failure"]].values.tolist() == [["2024-01-13 10:30:00", "P1", "Wartung"]]
    assert table("telemetry")["temp"].fillna(0).tolist() == [2.5, 0, -999]


@pytest.mark.usefixtures("config")
def test_import_condition_names_a_column_as_in_the_file(logs: Path, pdm: Pdm) -> None:
    run(pdm, logs, "--columns", "failures.failure=Art")
    assert table("failures")["failure"].tolist() == ["M2"]


def test_import_of_a_database_leaves_out_options_of_files_in_the_config_file(config: Path, pdm: Pdm) -> None:
    config.write_text('[import]\nmachine_from_file = "{machine}.csv"\nencoding = "cp1252"\n')
    query = "telemetry=select '2015-01-13 07:00' as datetime, 1 as machineID, 5 as volt"
    outcome = pdm("import", "--out", "raw", "--sql", "sqlite://", "--query", query)
    assert outcome.code == 0, outcome.stderr
    assert table("telemetry")["machineID"].tolist() == [1]


@pytest.mark.parametrize(
    ("key", "words", "machines"),
    [
        ('machine = "press 1"', ("--machine-from-file", "{machine}.csv"), ["telemetry"]),
        ('machine_from_file = "{machine}.csv"', ("--machine", "press 1"), ["press 1"]),
        ("machine = 7", (), [7]),
    ],
)
def test_import_option_replaces_the_alternative_in_the_config_file(
    key: str, words: tuple[str, ...], machines: list[object], config: Path, logs: Path, pdm: Pdm
) -> None:
    config.write_text(f"[import]\n{key}\n")
    for path in logs.iterdir():
        path.unlink()
    write(logs, telemetry="datetime,volt,bad,state\n2015-01-13 07:00,5,1,DOWN\n")
    run(pdm, logs, *words)
    assert table("telemetry")["machineID"].tolist() == machines


def test_import_option_for_failures_replaces_those_of_the_config_file(config: Path, logs: Path, pdm: Pdm) -> None:
    config.write_text('[import]\nmachine = "P1"\nstatus = "state"\nfailed = ["DOWN"]\n')
    for path in logs.iterdir():
        path.unlink()
    write(logs, telemetry="datetime,volt,bad,state\n2015-01-13 07:00,5,1,DOWN\n")
    run(pdm, logs)
    assert table("failures")["failure"].tolist() == ["DOWN"]
    assert pdm("import", logs, "--out", "other", "--failure-flag", "bad").code == 0
    assert pd.read_parquet("other/failures.parquet")["failure"].tolist() == ["bad"]


def test_import_reads_its_options_from_the_environment(
    config: Path, logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("[import]\ndecimal = '.'\n")
    monkeypatch.setenv("PDM_CLI_FILES", "telemetry=export.csv,failures=orders.csv")
    monkeypatch.setenv("PDM_CLI_COLUMNS", "telemetry.datetime=Zeit,failures.datetime=Beginn,failures.machineID=Anlage")
    monkeypatch.setenv("PDM_CLI_DATE_FORMAT", "telemetry=%d.%m.%y %H:%M")
    monkeypatch.setenv("PDM_CLI_LONG", "Tag,Wert")
    monkeypatch.setenv("PDM_CLI_DECIMAL", ",")
    outcome = run(
        pdm, logs, "--columns", "failures.failure=Text", "--tags", "{machine}.{sensor}", "--na-values", "Kaputt"
    )
    assert "import: from PDM_CLI_LONG: long" in outcome.stderr
    assert len(table("telemetry")) == 3


@pytest.mark.parametrize("value", ["-999", "[-999]", "'-999'"])
def test_import_takes_a_single_value_for_a_list(value: str, config: Path, logs: Path, pdm: Pdm) -> None:
    words = 'na_values = ["Kaputt", -999]'
    config.write_text(CONFIG.replace(words, f"na_values = {value}"), encoding="utf-8")
    write(logs, export=LONG.replace("Kaputt", "3,5"))
    run(pdm, logs)
    assert table("telemetry")["temp"].dropna().tolist() == [2.5, 3.5]


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("[import]\nlongg = ['a', 'b']\n", "[import] unknown key 'longg'", "did you mean 'long'?"),
        ("[import]\nlong = ['a']\n", '[import] long: expected two columns: long = ["Tag", "Value"]', "--long"),
        ("[import]\nlong = 'Tag'\n", '[import] long: expected two columns: long = ["Tag", "Value"]', "--long"),
        ("[import]\nlong = ['a', '']\n", "[import] long: has an empty value", "pdm import"),
        ("[import]\nnames = 5\n", "[import] names: 5 is not a text", "pdm import"),
        ("[import]\nfiles = ['x.csv']\n", "[import] files: x.csv: expected TABLE=PATTERN", "pdm import"),
        ("[import]\nfiles = {sensors = 'x.csv'}\n", "[import] files: no table 'sensors'", "pdm import"),
        ("[import.failures]\nfile = 'x.csv'\n", "[import.failures] unknown key 'file'", "did you mean 'files'?"),
        ("[import.failures]\nlong = ['a', 'b']\n", "[import.failures] unknown key 'long'", "section [import]"),
        ("[import.errors]\nwhere = 'a = b'\n", "[import.errors] unknown key 'where'", "files, date_format, columns"),
        ("[import.failure]\nfiles = 'x.csv'\n", "unknown section [import.failure]", "did you mean 'import.failures'?"),
        (
            "[import]\nday_first = true\nmonth_first = true\n",
            "[import] day_first and month_first cannot",
            "remove day_first",
        ),
        (
            "[import]\nmachine = 'x'\nmachine_from_file = '{machine}'\n",
            "[import] machine and machine_from_file",
            "remove machine",
        ),
        ("[import.failures]\ncolumns = 'x'\n", "[import] columns", "pdm import"),
        (
            "[import]\nfailures_where = 'a = b'\n[import.failures]\nwhere = 'a = b'\n",
            "[import.failures] where: failures_where is given twice",
            "remove one",
        ),
        (
            "[import]\nfiles = {failures = 'a'}\n[import.failures]\nfiles = 'a'\n",
            "[import.failures] files: is given twice",
            "remove it from [import]",
        ),
        ("[import]\nfailures_where = 'M2'\n", "[import] failures_where M2: expected COLUMN = VALUE", "order_type"),
        ("[import]\ntags = '{sensor}'\n", "[import] tags: has no effect without --long", "--long"),
        ("[import]\ncycles = 'soon'\n", "[import] cycles: 'soon' is not a duration", "1h"),
        ("[import]\ndate_format = '%H'\n", "[import] date_format %H: has no year", "epoch-s"),
        ("long = ['a', 'b']\n", "'long' is outside any section", "move it to section [import]"),
    ],
)
def test_import_of_a_wrong_section_is_rejected(
    content: str, message: str, hint: str, config: Path, logs: Path, pdm: Pdm
) -> None:
    config.write_text(content)
    assert_clear(pdm("import", logs, "--out", "raw"), 3, f"pdm-cli.toml: {message}", hint)


def test_import_section_is_no_part_of_other_manifests(config: Path, pdm: Pdm) -> None:
    assert pdm("simulate", "--machines", "3", "--days", "10", "--seed", "1", "--out", "data").code == 0
    assert pdm("preprocess", "--data", "data", "--out", "prepared").code == 0
    recorded = Path("prepared/manifest.json").read_text()
    assert "import" not in json.loads(recorded)["parameters"]
    config.write_text(CONFIG.replace("Kaputt", "Defekt"))
    assert pdm("preprocess", "--data", "data", "--out", "prepared", "--overwrite").code == 0
    again = json.loads(Path("prepared/manifest.json").read_text())
    assert again["parameters"] == json.loads(recorded)["parameters"]


def test_import_of_a_folder_leaves_out_a_database_of_the_config_file(config: Path, logs: Path, pdm: Pdm) -> None:
    config.write_text(CONFIG.replace("[import]", '[import]\nsql = "sqlite://"', 1))
    run(pdm, logs)
    assert len(table("telemetry")) == 3


def test_import_reads_queries_from_the_config_file(config: Path, pdm: Pdm) -> None:
    query = "select '2015-01-13 07:00' as datetime, 1 as machineID, 5 as volt, 'a, b' as note"
    config.write_text(f'[import]\nsql = "sqlite://"\n[import.telemetry]\nquery = "{query}"\n')
    outcome = pdm("import", "--out", "raw")
    assert outcome.code == 0, outcome.stderr
    assert table("telemetry")["volt"].tolist() == [5]


def test_import_password_in_the_config_file_is_rejected_without_printing_it(config: Path, pdm: Pdm) -> None:
    config.write_text('[import]\nsql = "postgresql://me:s3cret@db/x"\nquery = {telemetry = "select 1"}\n')
    outcome = pdm("import", "--out", "raw")
    assert_clear(outcome, 3, "pdm-cli.toml: [import] sql: the URL contains a password", "PDM_CLI_SQL_PASSWORD")
    assert "s3cret" not in outcome.stderr


@pytest.mark.parametrize(
    ("option", "values"),
    [
        *((option, 1) for option in ("--machine", "--machine-column", "--datetime-column", "--failure-column")),
        *((option, 1) for option in ("--tags", "--names", "--encoding", "--separator", "--cycles", "--na-values")),
        *((option, 1) for option in ("--files", "--columns", "--date-format", "--query", "--sql", "--status")),
        *((option, 1) for option in ("--failed", "--failure-flag", "--failures-where", "--component-words")),
        *((option, 1) for option in ("--end-is-failure", "--except", "--machine-from-file", "--sensors")),
        ("--long", 2),
    ],
)
def test_import_option_without_a_value_is_rejected(
    option: str, values: int, logs: Path, pdm: Pdm, tmp_path: Path
) -> None:
    write(logs, telemetry="datetime,machineID,volt\n2015-01-13 07:00,1,5\n")
    outcome = pdm("import", logs, "--out", tmp_path / "raw", option, *[""] * values)
    assert_clear(outcome, 2, f"{option}: ", "")
    assert "empty" in outcome.stderr
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("words", [("--long", "St"), ("--long", "St", "--tags", "{sensor}"), ("--long",)])
def test_import_long_with_one_value_asks_for_two(words: tuple[str, ...], logs: Path, pdm: Pdm) -> None:
    outcome = pdm("import", logs, "--out", "raw", *words)
    assert_clear(outcome, 2, "--long: needs 2 values: TAG VALUE", "pdm import --help")


ANY_LOG = "Time;Asset;v;failed\n2015-01-13 07:00;1;5;0\n2015-01-13 08:00;1;5;1\n"


@pytest.mark.parametrize("before", ["", "# ours\r\n[labels]\r\nhorizon_hours = 48 # two days", "[columns]\n"])
def test_import_guide_writes_a_section_that_import_reads(
    before: str, config: Path, logs: Path, pdm: Pdm, tmp_path: Path
) -> None:
    config.unlink()
    if before:
        (tmp_path / "elsewhere.toml").write_bytes(before.encode())
        config.symlink_to(tmp_path / "elsewhere.toml")
    for path in logs.iterdir():
        path.unlink()
    write(logs, export=ANY_LOG, orders="Art;Asset;Start;Text\nM2;1;2015-01-13;pump\nM1;1;2015-01-14;pump\n")
    outcome = pdm("import", "--guide", logs, "--write-config")
    assert outcome.code == 2
    assert f"import: wrote [import] to pdm-cli.toml; now run: pdm import {logs} --out raw" in outcome.stderr
    written = config.read_bytes().decode()
    assert written.startswith(before)
    assert "\n[import.failures]" in written
    assert config.is_symlink() == bool(before)
    assert ("\r\n" in written) == (written.count("\r\n") == written.count("\n"))
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    assert "# question: which rows of orders.csv are failures? Art is one of M1, M2" in written
    run(pdm, logs)
    assert table("failures")["failure"].tolist() == ["pump"]


def test_import_guide_does_not_replace_a_section(config: Path, logs: Path, pdm: Pdm) -> None:
    before = config.read_bytes()
    outcome = pdm("import", "--guide", logs, "--write-config")
    assert_clear(outcome, 2, "pdm-cli.toml: already has a section [import]", "another config file with --config")
    assert config.read_bytes() == before


def test_import_guide_without_write_config_writes_nothing(config: Path, logs: Path, pdm: Pdm) -> None:
    config.unlink()
    assert pdm("import", "--guide", logs, "--json").code == 2
    assert not config.exists()
    outcome = pdm("import", "--guide", logs, "--json", "--write-config")
    assert outcome.json["config"] == "pdm-cli.toml"


@pytest.fixture
def shell_words(config: Path, logs: Path) -> list[str]:
    """The words of an import of one log without a config file."""
    config.write_text("# ours\n[labels]\nhorizon_hours = 48 # two days\n")
    for path in logs.iterdir():
        path.unlink()
    write(logs, export="Tag;my time;Wert\nP1.temp;31.12.24 07:00;2,5\nP2.temp;31.12.24 07:00;Kaputt\n")
    words = f"import {logs} --out raw --long Tag Wert --tags {{machine}}.{{sensor}} --decimal , --na-values Kaputt,-999"
    return [*words.split(), "--columns", "telemetry.datetime=my time", "--date-format", "%d.%m.%y %H:%M"]


@pytest.mark.parametrize("flag", ["--verbose", "--json"])
def test_import_writes_its_options_to_a_section_that_import_reads(
    shell_words: list[str], flag: str, config: Path, logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = config.read_text()
    # Not an option of the command line.
    monkeypatch.setenv("PDM_CLI_ENCODING", "utf-8")
    outcome = pdm(*shell_words, "--write-config", flag)
    assert outcome.code == 0, outcome.stderr
    assert f"import: wrote [import] to pdm-cli.toml; now run: pdm import {logs} --out raw" in outcome.stderr
    assert flag != "--json" or outcome.json["config"] == "pdm-cli.toml"
    written = config.read_text()
    assert written.startswith(before + "\n[import]\n")
    assert "encoding" not in written
    first = table("telemetry")
    outcome = pdm("import", logs, "--out", "raw", "--overwrite")
    assert outcome.code == 0, outcome.stderr
    pd.testing.assert_frame_equal(table("telemetry"), first)
    again = pdm(*shell_words, "--overwrite", "--write-config")
    assert_clear(again, 2, "pdm-cli.toml: already has a section [import]", "another config file with --config")
    assert config.read_text() == written


def test_import_that_fails_writes_no_options(shell_words: list[str], config: Path, pdm: Pdm) -> None:
    before = config.read_text()
    assert pdm(*shell_words, "--tags", "{machine}/{sensor}", "--write-config").code == 4
    assert config.read_text() == before


def test_import_guide_writes_no_section_without_options(config: Path, logs: Path, pdm: Pdm) -> None:
    config.unlink()
    for path in logs.iterdir():
        path.unlink()
    write(logs, telemetry="datetime,machineID,v\n2015-01-13 07:00,1,5\n")
    outcome = pdm("import", "--guide", logs, "--write-config")
    assert "import: nothing written: answer the questions first" in outcome.stderr
    assert not config.exists()


def test_import_guide_names_a_config_file_that_cannot_be_written(
    config: Path, logs: Path, pdm: Pdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    config.write_text("[labels]\n")
    monkeypatch.setattr(Path, "replace", fail)
    outcome = pdm("import", "--guide", logs, "--write-config")
    assert_clear(outcome, 3, "pdm-cli.toml: cannot write: No space left on device", "--config")
    assert config.read_text() == "[labels]\n"
    assert [path.name for path in config.parent.iterdir() if "partial" in path.name] == []
