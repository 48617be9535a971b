"""The code blocks of docs/python.md, run in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.vocabulary import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENT = ROOT / "docs/python.md"


@pytest.mark.ci
@pytest.mark.slow
def test_python_blocks_run_in_order(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").symlink_to(fleet)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PDM_CLI_TREES", "20")
    names: dict[str, Any] = {}
    text = DOCUMENT.read_text()
    for match in BLOCK.finditer(text):
        # As many lines before as in the document, so that a traceback names the right one.
        source = "\n" * text.count("\n", 0, match.start(1)) + match[1]
        exec(compile(source, str(DOCUMENT), "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("unknown setting 'grid_hour'\ndid you mean 'grid_hours'?\ntrain: split by time ")
    assert "\ntrain: trial 1 of 1: " in printed
    assert names["model"].metrics["split"]["horizon_hours"] == 48
    assert names["result"].metrics["split"]["horizon_hours"] == 72
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"prepared", "anomalies", "model"}
