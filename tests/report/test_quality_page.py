"""Problems are sentences, warnings first."""

from __future__ import annotations

from pdm_cli.report.page import Notice
from pdm_cli.report.quality_page import list_notices


def test_list_notices_warnings_come_first_as_sentences() -> None:
    note = {"type": "few_failures", "level": "note", "text": "seal (2): few", "hint": "provide a longer log"}
    warning = {"type": "unit_change", "level": "warning", "text": "volt: another unit?", "hint": ""}
    assert list_notices([note, warning]) == [
        Notice("volt: another unit?", "", is_warning=True),
        Notice("seal (2): few.", "Provide a longer log.", is_warning=False),
    ]
