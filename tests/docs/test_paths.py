"""Files that the documents name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
_MODULE = re.compile(r"`((?:\w+/)+(?:\w+\.py)?)`")
# Where a page may leave the beginning of a path out.
BASES = [ROOT, ROOT / "pdm_cli"]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_modules_named_for_developers_exist(name: str) -> None:
    modules = _MODULE.findall((ROOT / name).read_text(encoding="utf-8"))
    assert modules
    missing = [module for module in modules if not any((base / module).exists() for base in BASES)]
    assert set(missing) <= {"prepared/", "anomalies/"}


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_links_between_files_lead_to_a_file(path: Path) -> None:
    links = [link for link in _LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []
