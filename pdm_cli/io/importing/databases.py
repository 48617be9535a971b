"""Rows of database queries, streamed to Parquet files of strings, which are read like files of logs."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import ConfigError, DataError, PdmError, RemoteError, TryAgain, UsageError
from pdm_cli.schema import RAW_TABLES, Table
from pdm_cli.settings.database_url import HAS_PASSWORD, HOW_TO_GIVE_PASSWORDS, PASSWORD_VARIABLE, has_password
from pdm_cli.text import name_some

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import URL, Connection, Engine, TextClause

# Name under which keyrings keep the passwords of URLs.
KEYRING = "pdm-cli"
_CHUNK_ROWS = 10_000
_COLON = re.compile(r":(?!since\b)|(?<=:):")
_SINCE = re.compile(r"(?<![:\w]):since\b")
_BUSY = re.compile(r"starting up|shutting down|too many|reserved for|timed? ?out", re.IGNORECASE)
_REJECTED = re.compile(
    r"FATAL|denied|authenticat|password|login failed|does not exist|unknown database|unable to open|not a database",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\bdenied\b|not authorized|insufficient privilege", re.IGNORECASE)
# Before all logs: the value of :since if no time exists yet.
_BEGINNING = dt.datetime(1900, 1, 1)
_SHORTEST_SECRET = 3


@dataclass(frozen=True)
class Database:
    """Queries of a database as the user describes them.

    Attributes
    ----------
    url : str
        SQLAlchemy's URL of the database, without a password.
    queries : mapping of str to str
        Table to the SQL text of its rows.
    is_incremental : bool
        Whether queries are about the rows after the newest existing one.
    """

    url: str
    queries: Mapping[str, str]
    is_incremental: bool = False

    def __str__(self) -> str:
        return "--sql"

    @property
    def tables(self) -> list[Table]:
        """The tables of the queries."""
        return [table for table in RAW_TABLES if table.name in self.queries]

    @property
    def incremental_tables(self) -> list[str]:
        """The tables whose queries contain ``:since``."""
        return [table.name for table in self.tables if _SINCE.search(self.queries[table.name])]


def check_database(database: Database) -> None:
    """Check the URL and the queries without connecting.

    Raises
    ------
    ConfigError
        If a package is missing.
    UsageError
        If the URL is not valid or has a password, or ``:since`` does not fit the options.
    """
    _parse_url(database.url)
    having = database.incremental_tables
    if database.is_incremental and not having:
        raise UsageError(
            "--since last: no query contains :since", hint="such as --query telemetry='select … where time > :since'"
        )
    if having and not database.is_incremental:
        raise UsageError(f"--query {having[0]}=…: contains :since", hint="add --append --since last")


def fetch(
    database: Database, folder: Path, newest: Mapping[str, dt.datetime | None], *, password: str | None
) -> dict[Table, list[Path]]:
    """Write the rows of all queries to files in ``folder``, in bounded memory.

    Parameters
    ----------
    database : Database
        The queries.
    folder : Path
        Receives a file per query, of strings only.
    newest : mapping of str to datetime
        Table to its newest existing time, which is bound to ``:since``; None if there is none.
    password : str, optional
        Password of the user in the URL.

    Raises
    ------
    DataError
        If a column appears twice or holds values that are not single.
    RemoteError, TryAgain
        If the database rejects the connection, or does not answer.
    UsageError
        If the database rejects a query.
    """
    folder.mkdir()
    url = _parse_url(database.url)
    if url.get_backend_name() == "sqlite":
        # It has no users, and rejects a password.
        password = None
    files: dict[Table, list[Path]] = {}
    secrets = _Secrets(password)
    with _connect(url, secrets) as connection:
        for table in database.tables:
            name = f"query of {table.name}"
            text = database.queries[table.name]
            with _translate(name, secrets):
                since = _as_bound(newest.get(table.name), url.get_backend_name())
                _write(connection, _statement(text, since), name, folder / name)
            files[table] = [folder / name]
    return files


def find_password(database: Database) -> str | None:
    """Return the password from the environment or, if the package is installed, from the keyring."""
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    if not _parse_url(database.url).username:
        return None
    try:
        import keyring
    except ImportError:
        return None
    try:
        kept: str | None = keyring.get_password(KEYRING, database.url)
    except keyring.errors.KeyringError:
        # Servers often have no keyring to ask.
        return None
    return kept


def _parse_url(text: str) -> URL:
    """Return a URL without a password."""
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        raise ConfigError("--sql: SQLAlchemy is not installed", hint="pip install 'pdm-cli[sql]'") from None
    if has_password(text):
        raise UsageError(f"--sql: {HAS_PASSWORD}", hint=HOW_TO_GIVE_PASSWORDS)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text may contain a password.
        raise UsageError("--sql: not a URL", hint="such as postgresql://user@host/database") from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    return url


class _Secrets:
    """Removes a password from messages of drivers."""

    def __init__(self, password: str | None) -> None:
        from urllib.parse import quote, quote_plus

        self.password = password
        spellings = {password, quote(password, safe=""), quote_plus(password), repr(password)[1:-1]} if password else ()
        self._spellings = sorted(spellings, key=len, reverse=True)

    def clean(self, exc: BaseException) -> str:
        """Return the first line of an error's message without the password."""
        lines = [line.strip() for line in str(getattr(exc, "orig", None) or exc).splitlines() if line.strip()]
        text = lines[0] if lines else type(exc).__name__
        text = re.sub(r"(?<=://)([^/\s:@]*):[^/\s]*@", r"\1:…@", text)
        text = re.sub(r"\b((?:password|pwd)\s*=\s*)('[^']*'|[^\s;&]+)", r"\1…", text, flags=re.IGNORECASE)
        for spelling in self._spellings:
            # One or two characters would be in half of all words.
            if len(spelling) >= _SHORTEST_SECRET:
                text = text.replace(spelling, "…")
        return text


@contextmanager
def _connect(url: URL, secrets: _Secrets) -> Iterator[Connection]:
    """Yield a connection whose changes are rolled back."""
    engine = _create_engine(url, secrets)
    try:
        try:
            connection = engine.connect()
        except Exception as exc:  # noqa: BLE001
            # Neither the message nor the traceback of a driver may show the password.
            raise _unreachable(secrets.clean(exc)) from None
        with connection:
            yield connection
    finally:
        engine.dispose()


def _create_engine(url: URL, secrets: _Secrets) -> Engine:
    import sqlalchemy
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

    if url.get_backend_name() == "sqlite":
        _check_file(url.database)
    try:
        return sqlalchemy.create_engine(
            url if secrets.password is None else url.set(password=secrets.password),
            poolclass=sqlalchemy.NullPool,
            hide_parameters=True,
        )
    except NoSuchModuleError:
        raise UsageError(
            f"--sql: unknown database {url.drivername}",
            hint="such as postgresql, mysql+pymysql, mssql+pyodbc or sqlite",
        ) from None
    except ImportError as exc:
        package = exc.name or url.drivername
        hint = "pip install 'pdm-cli[sql]'" if package == "psycopg" else f"pip install {package}"
        raise ConfigError(f"--sql: {package} is not installed", hint=hint) from None
    except (SQLAlchemyError, TypeError, ValueError) as exc:
        raise UsageError(f"--sql: {secrets.clean(exc)}", hint="correct the URL") from None


def _check_file(database: str | None) -> None:
    """Check that a file of SQLite exists: it creates those that do not."""
    path = Path(database or "")
    if database and not database.startswith("file:") and not path.is_file():
        raise UsageError(f"--sql: no such file: {path}", hint="sqlite:///relative.db or sqlite:////absolute.db")


def _unreachable(message: str) -> PdmError:
    """Return the error for a database that cannot be connected to."""
    if _REJECTED.search(message) and not _BUSY.search(message):
        hint = f"check the URL, and the password in {PASSWORD_VARIABLE} or the keyring"
        return RemoteError(f"--sql: the database rejects the connection: {message}", hint=hint)
    return TryAgain(f"--sql: cannot connect to the database: {message}", hint="check host and port, or try again later")


@contextmanager
def _translate(name: str, secrets: _Secrets) -> Iterator[None]:
    """Translate the errors of a query."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except DBAPIError as exc:
        message = f"{name}: {secrets.clean(exc)}"
        if exc.connection_invalidated:
            raise TryAgain(message, hint="the connection was lost: try again") from None
        if _DENIED.search(message):
            raise RemoteError(message, hint="grant the user of the URL the right to read the table") from None
        raise UsageError(message, hint="correct the SQL of --query") from None
    except SQLAlchemyError as exc:
        raise UsageError(f"{name}: {secrets.clean(exc)}", hint="correct the SQL of --query") from None


def _as_bound(newest: dt.datetime | None, backend: str) -> dt.datetime | str:
    """Return the value of ``:since``."""
    since = newest or _BEGINNING
    # SQLite has no times; its functions write them like this, and compare them as strings.
    return since.replace(tzinfo=None).isoformat(sep=" ") if backend == "sqlite" else since


def _statement(text: str, since: dt.datetime | str) -> TextClause:
    """Return a query whose only parameter is ``:since``: other colons are casts, or in strings."""
    import sqlalchemy

    statement = sqlalchemy.text(_COLON.sub(r"\\:", text.strip().rstrip(";")))
    return statement.bindparams(since=since) if _SINCE.search(text) else statement


def _write(connection: Connection, statement: TextClause, name: str, path: Path) -> None:
    """Write the rows of a query as strings."""
    import pyarrow as pa

    from pdm_cli.io.parquet import TableWriter

    result = connection.execution_options(yield_per=_CHUNK_ROWS).execute(statement)
    if not result.returns_rows:
        raise UsageError(f"{name}: returns no rows", hint="write a select")
    names = list(result.keys())
    if twice := sorted({column for column in names if names.count(column) > 1}):
        raise DataError(f"{name}: two columns {name_some(twice)}", hint="name each column with AS")
    schema = pa.schema([(column, pa.string()) for column in names])
    with TableWriter(path) as writer:
        for rows in result.partitions(_CHUNK_ROWS):
            writer.write_arrow(_as_strings(rows, schema, name))
        if not writer.rows:
            writer.write_arrow(schema.empty_table())


def _as_strings(rows: Sequence[Sequence[Any]], schema: pa.Schema, name: str) -> pa.Table:
    import pyarrow as pa

    columns = []
    for column, values in zip(schema.names, zip(*rows, strict=True), strict=True):
        try:
            columns.append(pa.array(list(map(_as_string, values)), pa.string()))
        except TypeError as exc:
            raise DataError(
                f"{name}: column {column} holds {exc}", hint="select single values, or leave it out"
            ) from exc
    return pa.table(columns, schema=schema)


def _as_string(value: Any) -> str | None:
    """Return a value as it would be written in a file."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return None if math.isnan(value) else repr(value)
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo is None else value.astimezone(dt.UTC)).isoformat(sep=" ")
    if isinstance(value, bytes | bytearray | memoryview | list | tuple | dict | set):
        raise TypeError(type(value).__name__)
    return str(value)
