"""DuckDB as the reader of logs: bounded memory, spilling to disk, and errors that name file and line."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pdm_cli.errors import DataError, TryAgain

if TYPE_CHECKING:
    import pyarrow as pa

# Beyond this DuckDB spills to disk.
_MEMORY = "600MB"
_FETCHED_ROWS = 10_000
# DuckDB's name of an error.
_PREFIX = re.compile(r"^(?:[A-Z]\w*(?: [A-Z]\w*)* Error: )+")


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
        with _translated():
            self._connection.execute(sql)

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a small result; with all of them, :meth:`rejected` knows the rows that cannot be read."""
        with _translated():
            return self._connection.execute(sql).fetchall()

    def rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a large result."""
        # A cursor of its own: the rows may be read while other statements run.
        with _translated(), self._connection.cursor() as cursor:
            result = cursor.execute(sql)
            while piece := result.fetchmany(_FETCHED_ROWS):
                yield from piece

    def batches(self, sql: str, rows: int) -> Generator[pa.RecordBatch, None, None]:
        """Yield a result in pieces of ``rows`` rows, in its order."""
        with _translated():
            yield from self._connection.sql(sql).to_arrow_reader(rows)

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
        try:
            found = self.fetch(f"DESCRIBE SELECT * FROM {relation}")
        except Unreadable as error:
            raise error.of(name) from error
        return [(column, kind) for column, kind, *_ in found]


class Unreadable(DataError):
    """A file that DuckDB cannot read; it does not say which."""

    def of(self, name: str) -> DataError:
        """Return the error with the name of the file or table."""
        return DataError(f"{name}: {self.message}", hint=self.hint)


@contextmanager
def _translated() -> Iterator[None]:
    """Translate errors of files, memory and disk; others, such as of SQL, are bugs."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as exc:
        hint = "free memory or disk space, or import fewer files at a time with --append"
        raise TryAgain("import: not enough memory", hint=hint) from exc
    except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException) as exc:
        reason = _PREFIX.sub("", str(exc).splitlines()[0]).strip()
        if "No space left" in reason:
            raise TryAgain(f"import: {reason}", hint="free disk space, or set TMPDIR to another disk") from exc
        raise Unreadable(f"cannot be read: {reason}", hint="copy or export it again") from exc
