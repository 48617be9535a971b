"""Fetch the rows of queries for an import, all of them or those after the newest existing one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pdm_cli.io.importing.databases import Database, fetch, find_password
from pdm_cli.io.importing.sources import Found
from pdm_cli.io.parquet import count_rows, find_table, iterate_part
from pdm_cli.progress import Progress
from pdm_cli.schema import MACHINES, Table
from pdm_cli.text import show_count

_PIECE_ROWS = 262_144


def query_logs(database: Database, folder: Path, old: Path | None, time: str, progress: Progress) -> Found:
    """Write the rows of the queries to files.

    Parameters
    ----------
    database : Database
        The queries.
    folder : Path
        Is created for the files.
    old : Path, optional
        Folder of the existing raw tables.
    time : str
        Their time column.
    progress : Progress
        Receives progress lines.
    """
    newest: dict[str, dt.datetime | None] = {}
    if database.is_incremental and old is not None:
        newest = {table.name: _find_newest(old, table, time) for table in database.tables}
    files = fetch(database, folder, newest, password=find_password(database))
    found = Found()
    for table, paths in files.items():
        rows, since = sum(map(count_rows, paths)), newest.get(table.name)
        if not database.is_incremental:
            span = ""
        elif table.name not in database.incremental_tables:
            span = ", not limited by :since"
        else:
            span = ", the whole span: there are none yet" if since is None else f" since {since}"
        progress.info(f"import: queried {table.name}: {show_count(rows, 'row')}{span}")
        # Tables without new rows stay as they are.
        if rows or since is None:
            found.files[table] = paths
    return found


def _find_newest(folder: Path, table: Table, time: str) -> dt.datetime | None:
    """Return the newest time in a raw table; None if it has none or does not exist."""
    import pyarrow as pa
    import pyarrow.compute as pc

    old = find_table(folder, table) if table is not MACHINES and folder.exists() else None
    if old is None or time not in old.schema.names or not pa.types.is_timestamp(old.schema.field(time).type):
        return None
    kind = pa.timestamp("us", tz=old.schema.field(time).type.tz)
    pieces = (piece for part in old.parts for piece in iterate_part(old, part, _PIECE_ROWS, [time]))
    # Rounded down, so that no row is missed.
    newest = (pc.max(piece[time].cast(kind, safe=False)).as_py() for piece in pieces)
    return max((found for found in newest if found is not None), default=None)
