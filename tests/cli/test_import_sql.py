"""Queries of databases become raw tables, without a password in any output."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psycopg
import pytest

from tests.builders.databases import Postgres, execute_sqlite, find_binaries, run_postgres, write_sqlite
from tests.cli.conftest import Outcome, Pdm, assert_clear

PASSWORD = "s3cr3t/of reader"
NAMES = ("--columns", "telemetry.datetime=time", "--columns", "telemetry.machineID=unit")
READINGS = ("--query", "telemetry=select * from readings", *NAMES)
LATER = ("--append", "--since", "last")
NEW_READINGS = ("--query", "telemetry=select * from readings where time > :since", *NAMES)
REPAIRS = ('failures=select time as "datetime", unit as "machineID", part as failure from repairs',)


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    return write_sqlite(tmp_path / "plant.db")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # A folder that a user other than root can reach.
    with tempfile.TemporaryDirectory() as folder, run_postgres(binaries, Path(folder), PASSWORD) as server:
        yield server


@pytest.fixture
def readings(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Executes SQL in the database after a table of readings is created anew."""
    monkeypatch.setenv("PDM_CLI_SQL_PASSWORD", PASSWORD)

    def execute(sql: str) -> None:
        with psycopg.connect(postgres.url(), password=PASSWORD) as connection:
            connection.execute(sql.encode())

    execute(
        "DROP TABLE IF EXISTS readings;"
        'CREATE TABLE readings (time timestamptz, unit int, volt numeric(8, 2), state text, "is % on" bool);'
        "INSERT INTO readings VALUES ('2015-01-13 07:00:00+01', 1, 170.50, 'a:b', true),"
        " ('2015-01-13 07:00:00.5+00', 1, NULL, NULL, false), ('2015-01-13 07:00:00+00', 2, 168, 'c', true)"
    )
    return execute


def of(url: object, out: Path, *words: object) -> tuple[object, ...]:
    return ("import", "--sql", url, "--out", out, *words)


def run(pdm: Pdm, url: object, out: Path, *words: object) -> Outcome:
    outcome = pdm(*of(url, out, *words))
    assert outcome.code == 0, outcome.stderr
    return outcome


def table(out: Path, name: str = "telemetry") -> pd.DataFrame:
    return pd.read_parquet(out / f"{name}.parquet")


def test_import_sql_of_two_queries_writes_two_tables(
    pdm: Pdm, plant: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of another database.
    monkeypatch.setenv("PDM_CLI_SQL_PASSWORD", PASSWORD)
    summary = run(pdm, f"sqlite:///{plant}", out, *READINGS, "--query", *REPAIRS, "--json").json
    start = pd.Timestamp("2015-01-13 07:00")
    expected = pd.DataFrame(
        {
            "datetime": pd.Series([start, start + pd.Timedelta(hours=1), start]).astype("datetime64[us]"),
            "machineID": [1, 1, 2],
            "volt": [170.5, None, 168.0],
        }
    )
    pd.testing.assert_frame_equal(table(out), expected)
    assert table(out, "failures")["failure"].tolist() == ["comp1"]
    assert summary["tables"]["telemetry"]["files"] == ["query of telemetry"]


def test_import_sql_of_long_rows_takes_the_options_of_files(pdm: Pdm, plant: Path, out: Path) -> None:
    execute_sqlite(plant, "CREATE TABLE tags (t, tag, v); INSERT INTO tags VALUES (1421132400, 'P1.temp', 5)")
    words = ("--query", "telemetry=select * from tags", "--long", "tag", "v", "--tags", "{machine}.{sensor}")
    run(pdm, f"sqlite:///{plant}", out, *words, "--columns", "telemetry.datetime=t")
    assert table(out).astype(str).iloc[0].tolist() == ["2015-01-13 07:00:00+00:00", "P1", "5.0"]


def test_import_sql_with_a_failure_flag_writes_failures(pdm: Pdm, plant: Path, out: Path) -> None:
    query = "telemetry=select *, unit = 2 as broken from readings"
    run(pdm, f"sqlite:///{plant}", out, "--query", query, *NAMES, "--failure-flag", "broken")
    assert table(out, "failures")["failure"].tolist() == ["broken"]


def test_import_sql_with_a_bad_value_names_query_and_row(pdm: Pdm, plant: Path, out: Path) -> None:
    execute_sqlite(plant, "INSERT INTO readings VALUES ('2015-01-13 09:00:00', 2, '1.8 V')")
    outcome = pdm(*of(f"sqlite:///{plant}", out, *READINGS))
    assert_clear(outcome, 4, "query of telemetry: row 3, column volt: '1.8 V'", "fix it")
    assert not out.exists()


def test_import_sql_since_last_without_a_table_reads_all_rows(pdm: Pdm, plant: Path, out: Path) -> None:
    outcome = run(pdm, f"sqlite:///{plant}", out, *NEW_READINGS, *LATER)
    assert "queried telemetry: 3 rows, the whole span: there are none yet" in outcome.stderr
    assert len(table(out)) == 3


def test_import_sql_since_last_appends_newer_rows_only(pdm: Pdm, plant: Path, out: Path) -> None:
    run(pdm, f"sqlite:///{plant}", out, *READINGS)
    execute_sqlite(
        plant,
        "INSERT INTO readings VALUES ('2015-01-13 09:00:00', 2, 7.5); UPDATE readings SET volt = 1 WHERE unit = 1",
    )
    outcome = run(pdm, f"sqlite:///{plant}", out, *NEW_READINGS, *LATER, "--query", *REPAIRS)
    assert "queried telemetry: 1 row since 2015-01-13 08:00:00" in outcome.stderr
    assert "queried failures: 1 row, not limited by :since" in outcome.stderr
    assert table(out)["volt"].fillna(-1).tolist() == [170.5, -1, 168.0, 7.5]


def test_import_sql_since_last_without_new_rows_changes_nothing(pdm: Pdm, plant: Path, out: Path) -> None:
    run(pdm, f"sqlite:///{plant}", out, *READINGS, "--query", *REPAIRS)
    before = {name: (out / name).read_bytes() for name in ("telemetry.parquet", "failures.parquet")}
    summary = run(pdm, f"sqlite:///{plant}", out, *NEW_READINGS, *LATER, "--json").json
    assert summary["tables"] == {}
    assert {name: (out / name).read_bytes() for name in before} == before


def test_import_sql_writes_hashes_of_queries_and_rows(pdm: Pdm, plant: Path, out: Path) -> None:
    run(pdm, f"sqlite:///{plant}", out, *READINGS)
    first = json.loads((out / "manifest.json").read_text())["inputs"]["sql"]
    assert list(first) == ["--query telemetry", "query of telemetry"]
    execute_sqlite(plant, "UPDATE readings SET volt = 1 WHERE unit = 1")
    run(pdm, f"sqlite:///{plant}", out, *READINGS, "--overwrite")
    second = json.loads((out / "manifest.json").read_text())["inputs"]["sql"]
    assert first["--query telemetry"] == second["--query telemetry"]
    assert first["query of telemetry"] != second["query of telemetry"]


USAGE = {
    "neither": ((), "missing argument 'FOLDER', or --sql"),
    "both": (("logs", "--sql", "sqlite://", *READINGS), "FOLDER and --sql cannot be combined"),
    "guide": (("--sql", "sqlite://", "--guide"), "--guide: has no effect with --sql"),
    "query without a database": (("logs", *READINGS), "--query: has no effect without --sql"),
    "since without a database": (("logs", *LATER), "--since: has no effect without --sql"),
    "database without a query": (("--sql", "sqlite://"), "--sql: needs --query"),
    "query of no table": (("--sql", "sqlite://", "--query", "x=select 1"), "expected TABLE=SQL"),
    "query without SQL": (("--sql", "sqlite://", "--query", "telemetry="), "expected TABLE=SQL"),
    "two queries": (
        ("--sql", "sqlite://", *READINGS, "--query", "telemetry=select 1"),
        "--query: telemetry=…: given twice",
    ),
    "since without append": (("--sql", "sqlite://", *NEW_READINGS, "--since", "last"), "add --append"),
    "since in no query": (("--sql", "sqlite://", *READINGS, *LATER), "no query contains :since"),
    "query with since": (("--sql", "sqlite://", *NEW_READINGS), "add --append --since last"),
    "option of files": (("--sql", "sqlite://", *READINGS, "--separator", ";"), "--separator: has no effect with --sql"),
    "cycles": (("--sql", "sqlite://", *NEW_READINGS, *LATER, "--cycles", "1h"), "--since and --cycles"),
    "no URL": (("--sql", "plant", *READINGS), "--sql: not a URL"),
    "unknown database": (("--sql", "oracel://x/y", *READINGS), "unknown database oracel"),
    "no file": (("--sql", "sqlite:///none.db", *READINGS), "no such file: none.db"),
    "no such table": (("--sql", "sqlite://", *READINGS), "query of telemetry: no such table: readings"),
    "no select": (("--sql", "sqlite://", "--query", "telemetry=pragma user_version=1"), "returns no rows"),
}


@pytest.mark.parametrize("case", USAGE)
def test_import_sql_with_wrong_options_is_rejected(pdm: Pdm, out: Path, case: str) -> None:
    words, message = USAGE[case]
    outcome = pdm("import", *words, "--out", out)
    assert_clear(outcome, 2, "", "")
    assert message in outcome.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("sql", "message"), [("1 as a, 2 as a", "two columns a"), ("x'00' as a", "column a holds bytes")]
)
def test_import_sql_with_unreadable_columns_is_rejected(pdm: Pdm, out: Path, sql: str, message: str) -> None:
    assert_clear(
        pdm(*of("sqlite://", out, "--query", f"telemetry=select {sql}")),
        4,
        message,
        "select" if "holds" in message else "AS",
    )


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://reader:{PASSWORD}@host/plant",
        f"postgresql://host/plant?user=reader&password={PASSWORD}",
        f"mssql+pyodbc:///?odbc_connect=UID%3Dreader%3BPWD%3D{PASSWORD}",
        f"reader:{PASSWORD}@host",
    ],
)
def test_import_sql_with_a_password_in_the_url_is_rejected(pdm: Pdm, out: Path, url: str) -> None:
    outcome = pdm(*of(url, out, *READINGS, "--debug"))
    assert outcome.code == 2
    assert "s3cr3t" not in outcome.stdout + outcome.stderr
    if "://" in url:
        assert_clear(pdm(*of(url, out, *READINGS)), 2, "the URL contains a password", "PDM_CLI_SQL_PASSWORD")


def _fail_to_connect(*_: object, **words: object) -> None:
    raise RuntimeError(f"no route: postgresql://reader:{words['password']}@host/plant password={words['password']}")


@pytest.mark.parametrize("flag", ["--json", "--debug"])
def test_import_sql_with_a_talkative_driver_hides_the_password(
    pdm: Pdm, out: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setenv("PDM_CLI_SQL_PASSWORD", PASSWORD)
    monkeypatch.setattr("psycopg.connect", _fail_to_connect)
    outcome = pdm(*of("postgresql://reader@host/plant", out, *READINGS, flag))
    assert outcome.code != 1, outcome.stderr
    assert "no route" in outcome.stderr + outcome.stdout
    assert "s3cr3t" not in outcome.stdout + outcome.stderr


def test_import_sql_takes_the_password_of_the_keyring(pdm: Pdm, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://reader@host/plant"
    kept = {("pdm-cli", url): PASSWORD}
    keyring = SimpleNamespace(get_password=lambda *key: kept[key], errors=SimpleNamespace(KeyringError=OSError))
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.delenv("PDM_CLI_SQL_PASSWORD", raising=False)
    seen: list[object] = []
    monkeypatch.setattr("psycopg.connect", lambda *_, password, **__: seen.append(password))
    assert pdm(*of(url, out, *READINGS)).code != 0
    assert seen == [PASSWORD]


@pytest.mark.parametrize(("module", "url"), [("sqlalchemy", "sqlite://"), ("psycopg", "postgresql://host/plant")])
def test_import_sql_without_its_packages_names_the_extra(
    pdm: Pdm, out: Path, monkeypatch: pytest.MonkeyPatch, module: str, url: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    assert_clear(pdm(*of(url, out, *READINGS)), 3, "is not installed", "pip install 'pdm-cli[sql]'")


def test_import_sql_of_a_server_that_is_not_there_can_be_tried_again(pdm: Pdm, out: Path) -> None:
    assert_clear(
        pdm(*of("postgresql://reader@127.0.0.1:1/plant", out, *READINGS)), 75, "cannot connect", "host and port"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("readings")
def test_import_sql_of_postgres_keeps_times_and_numbers(pdm: Pdm, postgres: Postgres, out: Path) -> None:
    run(pdm, postgres.url(), out, *READINGS)
    found = table(out)
    times = ["2015-01-13T06:00:00+00:00", "2015-01-13T07:00:00.500000+00:00", "2015-01-13T07:00:00+00:00"]
    assert [time.isoformat() for time in found["datetime"]] == times
    assert found["volt"].fillna(-1).tolist() == [170.5, -1, 168]
    assert found["is % on"].tolist() == ["true", "false", "true"]
    written = "".join(path.read_text() for path in out.glob("*.json"))
    assert "s3cr3t" not in written


@pytest.mark.slow
def test_import_sql_of_postgres_since_last_binds_a_zoned_time(
    pdm: Pdm, postgres: Postgres, readings: Callable[[str], None], out: Path
) -> None:
    query = "telemetry=select * from readings where time::timestamptz > :since and coalesce(state, '') <> 'x: 100%'"
    run(pdm, postgres.url(), out, "--query", query, *NAMES, *LATER)
    readings("INSERT INTO readings VALUES ('2015-01-13 09:00:00+00', 1, 5, 'd', true)")
    readings("INSERT INTO readings VALUES ('2015-01-13 09:00:00+01', 2, 6, 'x: 100%', true)")
    readings("ALTER ROLE reader SET TIME ZONE 'Asia/Tokyo'")
    outcome = run(pdm, postgres.url(), out, "--query", query, *NAMES, *LATER)
    assert "1 row since 2015-01-13 07:00:00.500000+00:00" in outcome.stderr
    assert len(table(out)) == 4


@pytest.mark.slow
@pytest.mark.usefixtures("readings")
def test_import_sql_of_postgres_streams_rows_in_bounded_memory(
    pdm: Pdm, postgres: Postgres, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    from pdm_cli.io.importing import databases

    convert = databases._as_strings

    def watch(rows: list[object], *more: object) -> object:
        sizes.append(len(rows))
        return convert(rows, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(databases, "_as_strings", watch)
    query = "select timestamp '2015-01-01' + n * interval '1 h' as time, 1 as unit, n as volt from generate_series"
    run(pdm, postgres.url(), out, "--query", f"telemetry={query}(1, 25000) n", *NAMES)
    assert sizes == [10_000, 10_000, 5_000]
    assert table(out)["volt"].sum() == 25_000 * 25_001 / 2


@pytest.mark.slow
@pytest.mark.usefixtures("readings")
@pytest.mark.parametrize(("user", "database"), [("reader", "none"), ("nobody", "postgres")])
def test_import_sql_that_postgres_rejects_is_not_to_be_tried_again(
    pdm: Pdm, postgres: Postgres, out: Path, user: str, database: str
) -> None:
    assert_clear(
        pdm(*of(postgres.url(user, database), out, *READINGS)),
        6,
        "the database rejects the connection",
        "PDM_CLI_SQL_PASSWORD",
    )


@pytest.mark.slow
def test_import_sql_of_a_table_that_is_not_readable_is_rejected(
    pdm: Pdm, postgres: Postgres, readings: Callable[[str], None], out: Path
) -> None:
    readings(f"DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    outcome = pdm(*of(postgres.url("guest"), out, *READINGS))
    assert_clear(outcome, 6, "query of telemetry: permission denied for table readings", "grant")


@pytest.mark.slow
@pytest.mark.usefixtures("readings")
def test_import_sql_of_a_lost_connection_can_be_tried_again(pdm: Pdm, postgres: Postgres, out: Path) -> None:
    words = ("--query", "telemetry=select *, pg_terminate_backend(pg_backend_pid()) from readings", *NAMES)
    assert_clear(pdm(*of(postgres.url(), out, *words)), 75, "query of telemetry: ", "the connection was lost")
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("readings")
def test_import_sql_of_postgres_queries_more_than_the_newest_rows(pdm: Pdm, postgres: Postgres, out: Path) -> None:
    query = "telemetry=select * from readings where time > :since - interval '1 day'"
    for rows in (3, 3):
        run(pdm, postgres.url(), out, "--query", query, *NAMES, *LATER)
        assert len(table(out)) == rows


@pytest.mark.slow
@pytest.mark.usefixtures("readings")
def test_import_sql_that_changes_a_database_is_rejected(pdm: Pdm, postgres: Postgres, out: Path) -> None:
    words = ("--query", "telemetry=delete from readings returning *", *NAMES)
    assert_clear(pdm(*of(postgres.url(), out, *words)), 2, "query of telemetry: syntax error", "--query")
    run(pdm, postgres.url(), out, *READINGS)
    assert len(table(out)) == 3
