"""Databases with a few rows of logs: SQLite in a file, and a real PostgreSQL of the test session."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

TELEMETRY = [("2015-01-13 07:00:00", 1, 170.5), ("2015-01-13 08:00:00", 1, None), ("2015-01-13 07:00:00", 2, 168.0)]
FAILURES = [("2015-01-13 08:00:00", 2, "comp1")]
# Debian's packages are not on the path.
_FOLDERS = ("/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb")


def write_sqlite(path: Path) -> Path:
    """Write a database with the tables ``readings`` and ``repairs``."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE readings (time TEXT, unit INTEGER, volt REAL)")
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?)", TELEMETRY)
        connection.execute("CREATE TABLE repairs (time TEXT, unit INTEGER, part TEXT)")
        connection.executemany("INSERT INTO repairs VALUES (?, ?, ?)", FAILURES)
    return path


def execute_sqlite(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(sql)


@dataclass(frozen=True)
class Postgres:
    """A running server whose user ``reader`` has a password."""

    port: int
    password: str

    def url(self, user: str = "reader", database: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None if it is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    paths = (path for pattern in _FOLDERS for path in sorted(Path("/").glob(pattern[1:]), reverse=True))
    return next((path.parent for path in paths), None)


@contextmanager
def run_postgres(binaries: Path, folder: Path, password: str) -> Iterator[Postgres]:
    """Run a server on a free port of the loopback interface until the end of the block."""
    account = _unprivileged(folder)
    secret = folder / "password"
    secret.write_text(password)
    if account is not None:
        os.chown(secret, account.pw_uid, account.pw_gid)
    user = None if account is None else account.pw_name
    data = folder / "data"
    _call(user, binaries / "initdb", "-D", data, "-U", "reader", "-A", "scram-sha-256", "--pwfile", secret, "--no-sync")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    control = binaries / "pg_ctl"
    _call(user, control, "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield Postgres(port, password)
    finally:
        _call(user, control, "-D", data, "-m", "immediate", "-w", "stop")


def _unprivileged(folder: Path) -> pwd.struct_passwd | None:
    """Return the user that runs the server: PostgreSQL rejects root."""
    if os.getuid():
        return None
    account = pwd.getpwnam("nobody")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return account


def _call(user: str | None, *words: object) -> None:
    done = subprocess.run(
        [str(word) for word in words],
        user=user,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
