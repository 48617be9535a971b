"""DuckDB as the reader of logs: bounded memory, spilling to disk, and errors that name file and line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pdm_cli.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Beyond this DuckDB spills to disk.
_MEMORY = "600MB"
_FETCHED_ROWS = 10_000


class Engine:
    """A DuckDB connection with a scratch folder, both gone at the end of the block."""

    def __enter__(self) -> Self:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="pdm-import-")
        self.scratch = Path(self._folder.name)
        spill = self.scratch / "spill"
        spill.mkdir()
        # Nothing is loaded from the network, or from files that a user left behind.
        self._connection = duckdb.connect()
        self.run("SET autoinstall_known_extensions = false")
        self.run("SET autoload_known_extensions = false")
        self.run(f"SET memory_limit = '{_MEMORY}'")
        self.run(f"SET temp_directory = '{spill}'")
        self.run("SET enable_progress_bar = false")
        self.run("SET TimeZone = 'UTC'")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()
        self._folder.cleanup()

    def run(self, sql: str) -> None:
        """Run a statement without a result."""
        self._connection.execute(sql)

    def row(self, sql: str) -> dict[str, Any]:
        """Return the only row of a result by column."""
        result = self._connection.execute(sql)
        names = [column[0] for column in result.description]
        # Rows that cannot be read are known only when all have been fetched.
        (values,) = result.fetchall()
        return dict(zip(names, values, strict=True))

    def rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a result."""
        # A cursor of its own: the rows may be read while other statements run.
        with self._connection.cursor() as cursor:
            result = cursor.execute(sql)
            while piece := result.fetchmany(_FETCHED_ROWS):
                yield from piece

    def batches(self, sql: str, rows: int) -> pa.RecordBatchReader:
        """Return a reader of a result in pieces of ``rows`` rows, in the order of the result."""
        return self._connection.sql(sql).to_arrow_reader(rows)

    def rejected(self) -> list[tuple[int, str, str]]:
        """Return line, type and message of the rows that DuckDB could not read in text files."""
        import duckdb

        sql = "SELECT line, error_type, error_message FROM reject_errors ORDER BY file_id, line"
        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.CatalogException:
            # The table exists once a text file has been read.
            return []

    def describe(self, relation: str, name: str) -> list[tuple[str, str]]:
        """Return the columns of a file and their types.

        Raises
        ------
        DataError
            If DuckDB cannot read the file.
        """
        import duckdb

        try:
            found = self._connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        except duckdb.Error as exc:
            raise unreadable(name, exc) from exc
        return [(column, kind) for column, kind, *_ in found]


def unreadable(name: str, exc: Exception) -> DataError:
    """Return the error for a file that DuckDB cannot read."""
    return DataError(f"{name}: cannot be read: {str(exc).splitlines()[0]}", hint="copy or export it again")
