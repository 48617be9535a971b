"""Errors of DuckDB are those of files, memory or disk, or else bugs."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pdm_cli.errors import DataError, TryAgain
from pdm_cli.io.importing import engine as engines
from pdm_cli.io.importing.engine import Engine, Unreadable

LARGE = "SELECT string_agg(range::VARCHAR || repeat('x', 100), '') FROM range(2_000_000)"


def test_engine_without_memory_asks_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_MEMORY", "20MB")
    with Engine() as engine:
        for read in (engine.fetch, lambda sql: list(engine.rows(sql)), lambda sql: list(engine.batches(sql, 10))):
            with pytest.raises(TryAgain, match="not enough memory"):
                read(LARGE)


def test_engine_of_a_file_that_it_cannot_read_raises_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no table")
    relation = f"read_parquet('{tmp_path / 'a.parquet'}')"
    with Engine() as engine:
        with pytest.raises(Unreadable, match="cannot be read"):
            engine.fetch(f"SELECT * FROM {relation}")
        with pytest.raises(DataError, match=r"^telemetry\.parquet: cannot be read"):
            engine.describe(relation, "telemetry.parquet")


def test_engine_of_wrong_sql_is_a_bug() -> None:
    with Engine() as engine, pytest.raises(duckdb.ParserException):
        engine.fetch("SELEC 1")


def test_engine_removes_its_scratch_folder() -> None:
    with Engine() as engine:
        scratch = engine.scratch
        assert scratch.is_dir()
    assert not scratch.exists()
