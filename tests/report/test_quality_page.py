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


def test_list_notices_command_at_the_start_of_a_hint_keeps_its_case() -> None:
    note = {"level": "note", "text": "4 rows repeat another row", "hint": "pdm preprocess keeps one of each"}
    assert list_notices([note])[0].hint == "pdm preprocess keeps one of each."
