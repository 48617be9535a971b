"""What an import tells: its tables in the summary, and what the commands that follow need to know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.cli.screen import Screen
from pdm_cli.io.folders import list_files
from pdm_cli.schema import TELEMETRY
from pdm_cli.settings.model import Settings

if TYPE_CHECKING:
    from pdm_cli.io.importing.csv_convert import Facts, Reading
    from pdm_cli.io.importing.csv_inspect import TableSurvey


def warn_of_lacks(target: Path, settings: Settings, screen: Screen) -> None:
    """Say what the commands that follow need to know, or lack."""
    from dataclasses import asdict

    from pdm_cli.settings.load import find_config
    from pdm_cli.settings.model import ColumnsParams

    if not list_files(target, TELEMETRY):
        screen.warn(f"{target} has no telemetry yet, which all other commands need")
    plain = asdict(ColumnsParams())
    named = [
        f'{name} = "{value}"' for name, value in asdict(settings.columns).items() if value not in (plain[name], ())
    ]
    if named and find_config(None, os.environ, Path()) is None:
        screen.info("import: the other commands need these names, too; in pdm-cli.toml they are there for all of them:")
        screen.info("\n".join(["[columns]", *named]))


def describe_table(
    survey: TableSurvey, reading: Reading, facts: Facts, appended: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what the summary has of a table."""
    kinds = dict.fromkeys(survey.columns, "text") | dict.fromkeys(reading.numbers, "number")
    kinds |= {survey.machine: "text" if reading.is_machine_text else "integer"}
    kinds |= {survey.time: "time"} if survey.time else {}
    return {
        "files": [file.name for file in survey.files],
        "rows": facts.rows,
        "machines": len(facts.machines),
        "start": None if facts.start is None else str(facts.start.tz_localize(None)),
        "end": None if facts.end is None else str(facts.end.tz_localize(None)),
        "separators": list(dict.fromkeys(file.separator for file in survey.files)),
        "encodings": list(dict.fromkeys(file.encoding for file in survey.files)),
        "dates": survey.options.format_of(survey.table) or reading.order if survey.time else None,
        "zone": ("to UTC" if reading.has_zone else "none") if survey.time else None,
        "columns": kinds,
        "appended": appended,
    }
