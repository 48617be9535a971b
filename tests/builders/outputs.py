"""Output folders, and what must stand in them."""

from __future__ import annotations

from pathlib import Path

from pdm_cli.io import manifest
from pdm_cli.io.manifest import Provenance
from pdm_cli.io.output_folder import output_folder

RECIPE = Provenance("preprocess", {}, {}, {"python": "3"}, "0" * 64)


def write_output(folder: Path, content: str = "one") -> None:
    with output_folder(folder, RECIPE) as partial:
        (partial / "table.parquet").write_text(content)
        (partial / "parts").mkdir()
        (partial / "parts" / "a.parquet").write_text(content)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_whole(folder: Path, content: str) -> None:
    assert set(content_of(folder)) == {"table.parquet", "parts/a.parquet", "manifest.json"}
    assert (folder / "table.parquet").read_text() == content
    assert manifest.reasons_to_redo(folder, RECIPE) == []
