"""Words in the names that other programs give to columns and files."""

from __future__ import annotations

import re
from pathlib import Path

from pdm_cli.schema import ERRORS, FAILURES, MACHINE, MACHINES, MAINT, TIME, Table

# Words in the names that other programs give to key columns.
WORDS = {
    TIME: re.compile(r"time|date|stamp|zeit|datum|beginn|start|fecha|heure", re.IGNORECASE),
    MACHINE: re.compile(
        r"machine|asset|equipment|unit|serial|device|maschine|anlage|pumpe|platz|turbine", re.IGNORECASE
    ),
}

# Words in the names of files, by table.
_FILE_WORDS: dict[Table, re.Pattern[str]] = {
    FAILURES: re.compile(r"fail|order|auftr|workorder|breakdown|stoer|störung|ticket", re.IGNORECASE),
    ERRORS: re.compile(r"error|alarm|event|fault|meld", re.IGNORECASE),
    MAINT: re.compile(r"maint|service|wartung|repair|replac", re.IGNORECASE),
    MACHINES: re.compile(r"machine|equip|asset|master|anlage|device", re.IGNORECASE),
}


def find_table_named(path: Path) -> Table | None:
    """Return the table that the name of a file suggests, in any of the words that other programs use for it."""
    return next((table for table, words in _FILE_WORDS.items() if words.search(path.name)), None)
